// The program: draws cases in batches, runs each batch on both sides, shows what differs. Exit status 0: nothing
// differs.
//
//   random [--seed N] [--first N] [--cases N] [--class all|copy|stack|flow|string|state|system|vector|x87] [--bits
// 16|32|64]
//          [--insns N] [--native] [--keep-going] [--verbose]
#include <Zydis/Zydis.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "random.h"

enum { SHOWN = 20 };

static const char *const class_name[CLASS_COUNT] = {"all", "copy", "stack", "flow", "string", "state", "system",
    "vector", "x87"};

struct run {
    struct options options;
    struct test *tests;
    u8 data[DATA_MAPPED], soft_memory[DATA_WRITABLE];
    u64 done, insns, different, faulted, by_mnemonic[ZYDIS_MNEMONIC_MAX_VALUE + 1];
};

// A case's number says its batch, hence the memory it starts from, and its slot, so that it can be run again alone.
static unsigned generate_batch(struct run *run, u64 number)
{
    const struct options *o = &run->options;
    unsigned count = 0;
    for (u64 i = number % BATCH; i < BATCH && number + count < o->first + o->cases; i++, count++)
        generate_test(&run->tests[count], o, number + count, slot_address((unsigned)i));
    return count;
}

static unsigned mnemonic(const struct test *test)
{
    ZydisDecoder decoder;
    ZydisDecodedInstruction insn;
    decoder_init(&decoder, test->bits);
    return ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, NULL, test->bytes, test->length, &insn))
        ? insn.mnemonic : 0;
}

static void check(struct run *run, struct test *test, const u8 *soft_memory)
{
    const u8 *native_memory = test->native_memory ? test->native_memory : run->data;
    run->faulted += test->native.vector != 3;
    if (compare_test(test, native_memory, soft_memory, false))
        return;
    run->by_mnemonic[mnemonic(test)]++;
    if (run->different++ < SHOWN || run->options.verbose) {
        print_test(test);
        if (run->options.cases == 1)
            printf("    native: vector %u error %x cr2 %llx rip %llx\n", test->native.vector, test->native.error,
                   (unsigned long long)test->native.cr2, (unsigned long long)test->native.rip);
        compare_test(test, native_memory, soft_memory, true);
    }
}

static void run_batch(struct run *run, unsigned count)
{
    native_run(run->tests, count);
    if (!run->options.native_only) {
        guest_begin(run->tests, count, run->data);
        for (unsigned i = 0; i < count; i++)
            check(run, &run->tests[i], guest_run(&run->tests[i], run->soft_memory) ? run->soft_memory : run->data);
        return;
    }
    for (unsigned i = 0; i < count; i++) // what must hold of the tester itself: the machine agrees with itself
        run->tests[i].soft = run->tests[i].native;
    u8 *memory = malloc((size_t)count * DATA_WRITABLE);
    for (unsigned i = 0; i < count; i++)
        memcpy(memory + (size_t)i * DATA_WRITABLE,
               run->tests[i].native_memory ? run->tests[i].native_memory : run->data, DATA_WRITABLE);
    native_run(run->tests, count);
    for (unsigned i = 0; i < count; i++)
        check(run, &run->tests[i], memory + (size_t)i * DATA_WRITABLE);
    free(memory);
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static bool parse(int argc, char **argv, struct options *o)
{
    static const struct option options[] = {
        {"seed", required_argument, NULL, 's'}, {"first", required_argument, NULL, 'f'},
        {"cases", required_argument, NULL, 'n'},
        {"class", required_argument, NULL, 'c'}, {"bits", required_argument, NULL, 'b'},
        {"insns", required_argument, NULL, 'i'},
        {"native", no_argument, NULL, 'N'}, {"keep-going", no_argument, NULL, 'k'},
        {"verbose", no_argument, NULL, 'v'}, {0},
    };
    *o = (struct options){.seed = 1, .cases = 100000, .insns = CASE_INSNS};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 's': o->seed = strtoull(optarg, NULL, 0); break;
        case 'f': o->first = strtoull(optarg, NULL, 0); break;
        case 'n': o->cases = strtoull(optarg, NULL, 0); break;
        case 'b': o->bits = (unsigned)atoi(optarg); break;
        case 'i': o->insns = (unsigned)atoi(optarg); break;
        case 'N': o->native_only = true; break;
        case 'k': o->keep_going = true; break;
        case 'v': o->verbose = true; break;
        case 'c':
            while (o->class < CLASS_COUNT && strcmp(optarg, class_name[o->class]))
                o->class++;
            if (o->class < CLASS_COUNT)
                break;
            fprintf(stderr, "random: no class '%s'\n", optarg);
            return false;
        default: return false;
        }
    }
    if (o->bits != 0 && o->bits != 16 && o->bits != 32 && o->bits != 64)
        return false;
    return o->insns >= 1 && o->insns <= CASE_INSNS && optind == argc;
}

static const char *bits_name(unsigned bits)
{
    return bits == 0 ? "64-bit and 32-bit" : bits == 64 ? "64-bit" : bits == 32 ? "32-bit" : "16-bit";
}

static int finish(const struct run *run, double taken)
{
    for (unsigned i = 0; i <= ZYDIS_MNEMONIC_MAX_VALUE; i++)
        if (run->by_mnemonic[i])
            printf("%8llu  %s\n", (unsigned long long)run->by_mnemonic[i], ZydisMnemonicGetString((ZydisMnemonic)i));
    printf("random: class %s, %s, seed %llu: %llu cases, %llu instructions, %llu ended in a fault, %llu differ; "
           "%.0f cases/s\n",
           class_name[run->options.class], bits_name(run->options.bits), (unsigned long long)run->options.seed,
           (unsigned long long)run->done, (unsigned long long)run->insns, (unsigned long long)run->faulted,
           (unsigned long long)run->different, (double)run->done / taken);
    return run->different ? 1 : 0;
}

int main(int argc, char **argv)
{
    static struct run run;
    if (!parse(argc, argv, &run.options))
        return 2;
    if (!area_init()) {
        printf("random: skipped: this host has no AVX-512\n");
        return 0;
    }
    run.options.intel = host_is_intel();
    if (!native_has_segments()) {
        if (run.options.bits != 0 && run.options.bits != 64) {
            printf("random: skipped: this host's kernel has no 16-bit and 32-bit code segments\n");
            return 0;
        }
        run.options.bits = 64;
        run.options.paravirtual = true;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    run.tests = aligned_alloc(64, sizeof(struct test) * BATCH);
    if (!run.tests)
        return 2;
    native_create(run.options.bits);
    if (!run.options.native_only)
        guest_create(run.options.bits);
    double start = seconds();
    for (u64 number = run.options.first; run.done < run.options.cases && (!run.different || run.options.keep_going);) {
        struct random random = {run.options.seed ^ number / BATCH};
        generate_memory(&random, run.data);
        native_set_memory(run.data);
        unsigned count = generate_batch(&run, number);
        for (unsigned i = 0; i < count; i++)
            run.insns += run.tests[i].insns;
        run_batch(&run, count);
        run.done += count;
        number += count;
    }
    return finish(&run, seconds() - start);
}
