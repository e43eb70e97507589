// The bare machine's side: a chain of signals. Each case ends in an exception, whose signal frame holds the complete
// state it left; the handler stores that, puts the next case's state into the frame and returns into it. So a case
// costs one signal, nothing is lost between, and 32-bit code is only another CS in the frame.
#include <asm/ldt.h>
#include <asm/prctl.h>
#include <immintrin.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "random.h"

enum { SW_BYTES_AT = 464, SW_BYTES_END = 512, STACK_BYTES = 256 << 10 };

static const int signals[] = {SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
static const int register_order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                       REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

// A signal handler has nowhere else to look.
static struct {
    struct test *tests;
    unsigned count, next;
    bool running, again;
    greg_t registers[NGREG];
    u64 fs_base, gs_base;
    bool segments;
    u8 *code, *data;
    const u8 *pristine;
    u8 *memory; // for the results
    unsigned memory_used;
    u8 *stack;
} chain;

static void copy(void *to, const void *from, size_t bytes)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

__attribute__((target("avx2"))) static bool differ(const u8 *a, const u8 *b, size_t bytes)
{
    __m256i difference = _mm256_setzero_si256();
    for (size_t i = 0; i < bytes; i += 32)
        difference = _mm256_or_si256(difference, _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(a + i)),
                                                                  _mm256_loadu_si256((const __m256i *)(b + i))));
    return !_mm256_testz_si256(difference, difference);
}

static void store_result(struct test *test, const ucontext_t *context)
{
    struct state *state = &test->native;
    const u8 *frame = (const u8 *)context->uc_mcontext.fpregs;
    area_load(&state->vectors, frame);
    for (unsigned i = 0; i < 16; i++)
        state->gpr[i] = (u64)context->uc_mcontext.gregs[register_order[i]];
    state->rip = (u64)context->uc_mcontext.gregs[REG_RIP] + code_base(test);
    state->flags = (u64)context->uc_mcontext.gregs[REG_EFL];
    state->vector = (u32)context->uc_mcontext.gregs[REG_TRAPNO];
    state->error = (u32)context->uc_mcontext.gregs[REG_ERR];
    state->cr2 = (u64)context->uc_mcontext.gregs[REG_CR2];
    test->native_memory = NULL;
    if (differ(chain.data, chain.pristine, DATA_WRITABLE)) {
        test->native_memory = chain.memory + (size_t)DATA_WRITABLE * chain.memory_used++;
        copy(test->native_memory, chain.data, DATA_WRITABLE);
        copy(chain.data, chain.pristine, DATA_WRITABLE);
    }
}

// A paravirtualized kernel cannot return to a program whose stack pointer is not canonical: its host answers with #GP
// or #UD, wherever the program is. There no case begins so, and one that has come so far by itself when an interrupt
// falls into it is run once more.
static bool stray_fault(const ucontext_t *context)
{
    const greg_t *regs = context->uc_mcontext.gregs;
    bool canonical = (regs[REG_RSP] << 16) >> 16 == regs[REG_RSP];
    chain.again = !chain.again && !canonical && (regs[REG_TRAPNO] == 13 || regs[REG_TRAPNO] == 6);
    if (chain.again)
        copy(chain.data, chain.pristine, DATA_WRITABLE);
    return chain.again;
}

static void load_state(const struct test *test, ucontext_t *context)
{
    const struct state *state = &test->before;
    u8 *frame = (u8 *)context->uc_mcontext.fpregs;
    u8 software[SW_BYTES_END - SW_BYTES_AT]; // what Linux says about the frame
    u64 frame_bv;
    copy(&frame_bv, frame + 512, 8);
    copy(software, frame + SW_BYTES_AT, sizeof software);
    area_store(frame, &state->vectors);
    copy(frame + SW_BYTES_AT, software, sizeof software);
    frame_bv = (frame_bv & ~(u64)AREA_COMPONENTS) | state->vectors.xstate_bv;
    copy(frame + 512, &frame_bv, 8);
    for (unsigned i = 0; i < 16; i++)
        context->uc_mcontext.gregs[register_order[i]] = (greg_t)state->gpr[i];
    context->uc_mcontext.gregs[REG_RIP] = (greg_t)(state->rip - code_base(test));
    context->uc_mcontext.gregs[REG_EFL] = (greg_t)state->flags;
    u64 code = test->bits == 64 ? USER_CS64 : test->bits == 32 ? USER_CS32 : ldt_code(state->rip);
    u64 stack = test->bits == 16 ? LDT_DATA : USER_DS;
    context->uc_mcontext.gregs[REG_CSGSFS] = (greg_t)(code | stack << 48);
}

// Called without a C library: its thread is where FS pointed.
static void arch_prctl(int code, u64 *address)
{
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "0"((long)SYS_arch_prctl), "D"((long)code), "S"(address)
                     : "rcx", "r11", "memory");
    (void)result;
}

// The bases are given as the kernel itself gives them, by descriptor or with selector 0: one that does not know of
// FSGSBASE takes a base that was written otherwise away at its next context switch.
static void segments_enter(void)
{
    if (chain.segments) {
        __asm__ volatile("mov %0, %%fs; mov %1, %%gs" : : "r"(LDT_FS), "r"(LDT_GS));
        return;
    }
    arch_prctl(ARCH_SET_FS, (u64 *)FS_BASE);
    arch_prctl(ARCH_SET_GS, (u64 *)GS_BASE);
}

static void segments_leave(void)
{
    if (chain.segments)
        __asm__ volatile("mov %0, %%fs; mov %0, %%gs" : : "r"(0));
    arch_prctl(ARCH_SET_FS, (u64 *)chain.fs_base);
    arch_prctl(ARCH_SET_GS, (u64 *)chain.gs_base);
}

static void handler(int number, siginfo_t *info, void *opaque)
{
    (void)number, (void)info;
    ucontext_t *context = opaque;
    __asm__ volatile("push %0; popfq" : : "r"(0x202ull) : "cc", "memory"); // the frame does not restore ID and NT
    if (!chain.running) {
        copy(chain.registers, context->uc_mcontext.gregs, sizeof chain.registers);
        segments_enter();
        chain.running = true;
    } else if (!stray_fault(context)) {
        store_result(&chain.tests[chain.next++], context);
    }
    if (chain.next < chain.count) {
        load_state(&chain.tests[chain.next], context);
        return;
    }
    chain.running = false;
    segments_leave();
    copy(context->uc_mcontext.gregs, chain.registers, sizeof chain.registers);
    u64 none = 0;
    u32 mxcsr = 0x1f80;
    u8 *frame = (u8 *)context->uc_mcontext.fpregs;
    copy(frame + 512, &none, 8);
    copy(frame + 24, &mxcsr, 4);
}

static void *map(u64 address, size_t bytes, int protection)
{
    void *p = mmap((void *)address, bytes, protection,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_POPULATE, -1, 0);
    if (p == MAP_FAILED || (u64)p != address) {
        perror("random: mmap at a fixed address");
        exit(2);
    }
    return p;
}

static void ldt_set(struct user_desc segment)
{
    segment.useable = 1;
    if (syscall(SYS_modify_ldt, 1, &segment, sizeof segment) != 0) {
        perror("random: modify_ldt");
        exit(2);
    }
}

static sigjmp_buf probe;

static void probe_failed(int number)
{
    (void)number;
    siglongjmp(probe, 1);
}

// Not every kernel that runs 64-bit programs can: a paravirtualized one may have neither LDTs nor 32-bit code segments,
// though modify_ldt succeeds.
bool native_has_segments(void)
{
    struct sigaction action = {.sa_handler = probe_failed}, old;
    struct user_desc segment = {.entry_number = LDT_GS >> 3, .base_addr = GS_BASE, .limit = 0xfffff,
                                .limit_in_pages = 1, .seg_32bit = 1, .useable = 1};
    if (syscall(SYS_modify_ldt, 1, &segment, sizeof segment) != 0)
        return false;
    sigaction(SIGSEGV, &action, &old);
    bool failed = sigsetjmp(probe, 1) != 0;
    if (!failed)
        __asm__ volatile("mov %0, %%gs; mov %1, %%gs" : : "r"(LDT_GS), "r"(0));
    sigaction(SIGSEGV, &old, NULL);
    return !failed;
}

void native_create(unsigned bits)
{
    chain.segments = native_has_segments();
    chain.data = map(DATA_BASE, DATA_MAPPED, PROT_READ | PROT_WRITE);
    chain.code = map(CODE_BASE, CODE_REGION, PROT_READ | PROT_WRITE);
    chain.memory = malloc((size_t)BATCH * DATA_WRITABLE);
    chain.stack = malloc(STACK_BYTES);
    if (!chain.memory || !chain.stack)
        abort();
    for (unsigned i = 0; i < LDT_CODES && bits == 16; i++)
        ldt_set((struct user_desc){.entry_number = i, .base_addr = (unsigned)CODE_BASE + (i << 16), .limit = 0xffff,
                                   .contents = MODIFY_LDT_CONTENTS_CODE});
    if (bits == 16)
        ldt_set((struct user_desc){.entry_number = LDT_CODES, .base_addr = DATA_BASE, .limit = LDT_DATA_LIMIT});
    if (!chain.segments)
        return;
    ldt_set((struct user_desc){.entry_number = LDT_FS >> 3, .base_addr = FS_BASE, .limit = 0xfffff,
                               .limit_in_pages = 1, .seg_32bit = 1});
    ldt_set((struct user_desc){.entry_number = LDT_GS >> 3, .base_addr = GS_BASE, .limit = 0xfffff,
                               .limit_in_pages = 1, .seg_32bit = 1});
    // 32-bit code addresses memory through segments; in 64-bit mode the selectors do not matter.
    __asm__ volatile("mov %0, %%ds; mov %0, %%es" : : "r"(bits == 16 ? (int)LDT_DATA : (int)USER_DS));
}

void native_set_memory(const u8 data[DATA_MAPPED])
{
    mprotect((void *)DATA_BASE, DATA_MAPPED, PROT_READ | PROT_WRITE);
    memcpy(chain.data, data, DATA_MAPPED);
    mprotect((void *)(DATA_BASE + DATA_WRITABLE), DATA_MAPPED - DATA_WRITABLE, PROT_READ);
    chain.pristine = data;
}

// A thread of its own: the engine believes that nobody else changes the FS and GS bases of the one it runs on.
static void *run_chain(void *unused)
{
    (void)unused;
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK}, old[ARRAY_SIZE(signals)];
    stack_t stack = {.ss_sp = chain.stack, .ss_size = STACK_BYTES}, old_stack;
    sigfillset(&action.sa_mask);
    sigaltstack(&stack, &old_stack);
    for (unsigned i = 0; i < ARRAY_SIZE(signals); i++)
        sigaction(signals[i], &action, &old[i]);
    arch_prctl(ARCH_GET_FS, &chain.fs_base);
    arch_prctl(ARCH_GET_GS, &chain.gs_base);
    __asm__ volatile("int3" : : : "memory", "cc");
    for (unsigned i = 0; i < ARRAY_SIZE(signals); i++)
        sigaction(signals[i], &old[i], NULL);
    sigaltstack(&old_stack, NULL);
    return NULL;
}

const u8 *native_code(u64 rip, u64 *bytes)
{
    u64 at = rip - CODE_BASE;
    if (at >= CODE_REGION)
        return NULL;
    *bytes = CODE_REGION - at;
    return chain.code + at;
}

void native_run(struct test *tests, unsigned count)
{
    pthread_t thread;
    mprotect(chain.code, CODE_REGION, PROT_READ | PROT_WRITE);
    memset(chain.code, 0xcc, CODE_REGION);
    for (unsigned i = 0; i < count; i++)
        memcpy(chain.code + (tests[i].before.rip - CODE_BASE), tests[i].bytes, tests[i].length);
    mprotect(chain.code, CODE_REGION, PROT_READ | PROT_EXEC);
    chain.tests = tests;
    chain.count = count;
    chain.next = 0;
    chain.memory_used = 0;
    if (pthread_create(&thread, NULL, run_chain, NULL) != 0) {
        perror("random: a thread");
        exit(2);
    }
    pthread_join(thread, NULL);
}
