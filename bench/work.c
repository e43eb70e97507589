// The micro-workloads of `make bench`: one static program, so that the very same machine code runs on the bare machine,
// in nidus, in QEMU and in the levels below. Each workload runs until it has taken long enough to be timed, three
// times, and the best is printed as "NAME NANOSECONDS", nanoseconds per operation; interruptions only ever make one
// longer.
//
//   work NAME...              what `table` lists
//   work time NAME COMMAND... how long one command takes, in nanoseconds
#include <cpuid.h>
#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RANDOM_BYTES = 64 << 20, BUFFER_BYTES = 16 << 10, ENOUGH_NS = 150000000, TAKES = 3, POST_PORT = 0x80 };

static volatile uint64_t sink; // keeps results alive

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void regs(uint64_t n)
{
    uint64_t a = 1, b = 2, c = 3, d = 4;
    for (uint64_t i = 0; i < n; i++) {
        a += b ^ i;
        b = (b << 13 | b >> 51) + c;
        c ^= a * 9;
        d = d > a ? d - c : d + b;
        __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d));
    }
    sink = a + b + c + d;
}

static uint8_t *memory; // RANDOM_BYTES, touched once

static void random_read(uint64_t n)
{
    const uint64_t *words = (const uint64_t *)memory;
    uint64_t x = 88172645463325252u, sum = 0;
    for (uint64_t i = 0; i < n; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        sum += words[x >> 41 & (RANDOM_BYTES / 8 - 1)];
    }
    sink = sum;
}

static void random_chase(uint64_t n)
{
    uint64_t *words = (uint64_t *)memory, at = 0;
    for (uint64_t i = 0; i < n; i++)
        at = (at + words[at] + 1) * 2862933555777941757u >> 41 & (RANDOM_BYTES / 8 - 1);
    sink = at;
}

__attribute__((target("aes,sse4.1"))) static void aes(uint64_t n)
{
    __m128i *block = (__m128i *)memory, x = _mm_set1_epi32(7);
    for (uint64_t i = 0; i < n; i++) {
        __m128i *at = &block[i * 4 & (BUFFER_BYTES / 16 - 1)];
        x = _mm_aesenc_si128(x, at[0]);
        x = _mm_aesenc_si128(x, at[1]);
        x = _mm_aesenc_si128(x, at[2]);
        x = _mm_aesenclast_si128(x, at[3]);
        _mm_storeu_si128(at, x);
    }
    sink = (uint64_t)_mm_extract_epi64(x, 0);
}

__attribute__((target("avx2"))) static void avx2(uint64_t n)
{
    __m256i *block = (__m256i *)memory, sum = _mm256_set1_epi32(3);
    for (uint64_t i = 0; i < n; i++) {
        __m256i *at = &block[i * 2 & (BUFFER_BYTES / 32 - 1)];
        __m256i product = _mm256_mullo_epi32(_mm256_loadu_si256(at), sum);
        sum = _mm256_add_epi32(_mm256_xor_si256(product, _mm256_loadu_si256(at + 1)), sum);
        _mm256_storeu_si256(at, sum);
    }
    sink = (uint64_t)_mm256_extract_epi64(sum, 0);
}

__attribute__((target("sha,sse4.1"))) static void sha_ni(uint64_t n)
{
    __m128i *block = (__m128i *)memory, a = _mm_set1_epi32(1), b = _mm_set1_epi32(2);
    for (uint64_t i = 0; i < n; i++) {
        __m128i w = _mm_loadu_si128(&block[i & (BUFFER_BYTES / 16 - 1)]);
        w = _mm_sha256msg1_epu32(w, a);
        a = _mm_sha256rnds2_epu32(a, b, w);
        b = _mm_sha256rnds2_epu32(b, a, _mm_shuffle_epi32(w, 0x0e));
    }
    sink = (uint64_t)_mm_extract_epi64(_mm_add_epi32(a, b), 0);
}

static void x87(uint64_t n)
{
    // Its own values: what the vector workloads leave behind makes denormals and NaNs, which take an assist each.
    static double values[1024];
    for (size_t i = 0; i < 1024; i++)
        values[i] = 1.0 + (double)(i & 7);
    long double x = 1.5L;
    for (uint64_t i = 0; i < n; i++) {
        x = x * 0.75L + values[i & 1023];
        __asm__ volatile("fsqrt" : "+t"(x));
        __asm__ volatile("" : "+t"(x));
    }
    sink = (uint64_t)x;
}

// Calls and returns through a table: what interpreters and shells are made of.
static uint64_t step_add(uint64_t x) { return x + 3; }
static uint64_t step_mix(uint64_t x) { return x ^ x >> 7; }
static uint64_t step_odd(uint64_t x) { return x & 1 ? x * 5 : x / 2; }
static uint64_t step_not(uint64_t x) { return ~x; }

static void calls(uint64_t n)
{
    static uint64_t (*const steps[])(uint64_t) = {step_add, step_mix, step_odd, step_not};
    uint64_t x = 1;
    for (uint64_t i = 0; i < n; i++)
        x = steps[x >> 3 & 3](x + i);
    sink = x;
}

static void syscalls(uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        syscall(SYS_getppid);
}

static void faults(uint64_t n)
{
    enum { PAGES = 256 };
    for (uint64_t i = 0; i < n; i += PAGES) {
        char *pages = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (pages == MAP_FAILED)
            exit(1);
        for (size_t page = 0; page < PAGES; page++)
            pages[page * 4096] = 1;
        munmap(pages, PAGES * 4096);
    }
}

static void cpuid_exits(uint64_t n)
{
    unsigned a = 0, b = 0, c = 0, d = 0;
    for (uint64_t i = 0; i < n; i++)
        __cpuid_count(1, 0, a, b, c, d);
    sink = a + b + c + d;
}

static void port_exits(uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        outb(0, POST_PORT);
}

static bool always(void) { return true; }
static bool has_avx2(void) { return __builtin_cpu_supports("avx2"); }
static bool has_aes(void) { return __builtin_cpu_supports("aes"); }

static bool has_sha(void)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && b >> 29 & 1;
}

// Only in a guest: a port of the bare machine is nobody's to play with.
static bool in_guest(void)
{
    return getpid() != 1 && getenv("NIDUS_LEVEL") && ioperm(POST_PORT, 1, 1) == 0;
}

static const struct workload {
    const char *name;
    void (*run)(uint64_t n);
    bool (*possible)(void);
    bool needs_memory;
} table[] = {
    {"regs", regs, always, false},          {"calls", calls, always, false},
    {"random", random_read, always, true},  {"chase", random_chase, always, true},
    {"aes", aes, has_aes, true},            {"avx2", avx2, has_avx2, true},
    {"sha-ni", sha_ni, has_sha, true},      {"x87", x87, always, false},
    {"syscall", syscalls, always, false},   {"fault", faults, always, false},
    {"cpuid", cpuid_exits, always, false},  {"port", port_exits, in_guest, false},
};

// Doubles the count until a run takes long enough, then takes the best of several of that length.
static double measure(const struct workload *work)
{
    uint64_t n = 256, spent = 0;
    for (; n < 1ull << 40; n *= 2) {
        uint64_t start = now_ns();
        work->run(n);
        spent = now_ns() - start;
        if (spent >= ENOUGH_NS)
            break;
    }
    for (int take = 1; take < TAKES; take++) {
        uint64_t start = now_ns();
        work->run(n);
        uint64_t again = now_ns() - start;
        if (again < spent)
            spent = again;
    }
    return (double)spent / (double)n;
}

static int run_one(const char *name)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const struct workload *work = &table[i];
        if (strcmp(work->name, name))
            continue;
        if (!work->possible())
            return 0;
        if (work->needs_memory && !memory) {
            memory = mmap(NULL, RANDOM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (memory == MAP_FAILED)
                return 1;
            memset(memory, 1, RANDOM_BYTES); // every page present
        }
        printf("%s %.3f\n", name, measure(work));
        fflush(stdout);
        return 0;
    }
    fprintf(stderr, "work: no workload '%s'\n", name);
    return 1;
}

static int time_command(const char *name, char **command)
{
    uint64_t best = UINT64_MAX;
    for (int take = 0; take < TAKES; take++) {
        uint64_t start = now_ns();
        pid_t child = fork();
        if (child == 0) {
            if (!freopen("/dev/null", "w", stdout))
                _exit(126);
            execvp(command[0], command);
            _exit(127);
        }
        int status;
        if (child < 0 || waitpid(child, &status, 0) < 0 || status) {
            fprintf(stderr, "work: %s failed\n", command[0]);
            return 1;
        }
        uint64_t spent = now_ns() - start;
        if (spent < best)
            best = spent;
    }
    printf("%s %llu\n", name, (unsigned long long)best);
    return 0;
}

int main(int count, char **arguments)
{
    if (count > 3 && !strcmp(arguments[1], "time"))
        return time_command(arguments[2], arguments + 3);
    int failed = 0;
    for (int i = 1; i < count; i++)
        failed |= run_one(arguments[i]);
    return failed;
}
