// The gs base of generated code, in each of the ways that gsbase.c knows: several processors on threads of their own
// change between two address spaces each and read a page that means something else in every one of them, while their
// threads are interrupted and scheduled at any instruction. A base that is not the current context's reads another's
// value.
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <asm/prctl.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/engine.h"
#include "engine/soft/block.h"
#include "engine/soft/gsbase.h"
#include "engine/soft/signal.h"

enum { PROCESSORS = 4, SPACES = 2 * PROCESSORS, LARGE = 2 << 20, RAM = (1 + SPACES) * LARGE, CODE = 0x10000,
       STACK = 0x80000, TABLES = 0x100000, TABLES_BYTES = 0x4000, GOOD_PORT = 0x42, ROUNDS = 200, CALL_ROUNDS = 20,
       FORGET_SECONDS = 60 };

extern const u8 loop_start[], loop_end[];
__asm__(".pushsection .rodata\n"
        "loop_start: mov $500, %ecx\n"
        "1: mov %r8, %cr3\n"
        "cmp %rbx, (%rdi)\n"
        "jne 2f\n"
        "cmp %rbx, 8(%rdi)\n"
        "jne 2f\n"
        "mov %r9, %cr3\n"
        "mov $2000, %edx\n"
        "3: cmp %rbp, (%rdi)\n"
        "jne 2f\n"
        "dec %edx\n"
        "jnz 3b\n"
        "dec %ecx\n"
        "jnz 1b\n"
        "out %al, $0x42\n"
        "jmp loop_start\n"
        "2: out %al, $0x43\n"
        "hlt\n"
        "loop_end:\n"
        ".popsection");

struct processor {
    struct engine_vcpu *vcpu;
    struct cpu *cpu;
    pthread_t thread;
    unsigned rounds, wanted;
    _Atomic bool started, done;
    u32 last_exit, last_port;
};

static struct engine_vm *vm;
static u8 *ram;
static struct processor processors[PROCESSORS];
static _Atomic unsigned forgotten; // bases taken away while generated code ran
static _Thread_local struct processor *self;

static u64 value_of(unsigned space) { return 0x1111000000000000u + space; }

static u64 space_tables(unsigned space)
{
    u64 at = TABLES + space * TABLES_BYTES, *pml4 = (u64 *)(void *)(ram + at), *pdpt = pml4 + 512, *pd = pdpt + 512;
    pml4[0] = (at + 0x1000) | 7;
    pdpt[0] = (at + 0x2000) | 7;
    pd[0] = 0x87;
    pd[1] = (u64)(1 + space) * LARGE | 0x87;
    u64 *page = (u64 *)(void *)(ram + (u64)(1 + space) * LARGE);
    page[0] = page[1] = value_of(space);
    return at | (space + 1) | 1ull << 63; // PCID; nothing is flushed
}

static void processor_reset(struct processor *p, unsigned id)
{
    struct cpu *cpu = p->cpu;
    cpu->gpr[R8] = space_tables(2 * id);
    cpu->gpr[R9] = space_tables(2 * id + 1);
    cpu->gpr[RBX] = value_of(2 * id);
    cpu->gpr[RBP] = value_of(2 * id + 1);
    cpu->gpr[RDI] = LARGE;
    cpu->gpr[RSP] = STACK;
    cpu->cr3 = cpu->gpr[R8] & ~(1ull << 63);
    cpu->cr4 = CR4_PAE | CR4_PCIDE;
    cpu->msr.efer = EFER_LME | EFER_LMA;
    cpu->cr0 = CR0_PE | CR0_PG | CR0_NE | CR0_ET;
    for (unsigned i = SEG_ES; i <= SEG_GS; i++)
        cpu->segment[i] = (struct segment){ .limit = ~0u, .access = 0xc093, .selector = 16 };
    cpu->segment[SEG_CS] = (struct segment){ .limit = ~0u, .access = 0xa09b, .selector = 8 };
    cpu->cpl = 0;
    cpu->mp_state = KVM_MP_STATE_RUNNABLE;
    cpu->rflags = FLAG_FIXED;
    cpu->rip = CODE;
    cpu_mode_update(cpu);
}

static int setup(void **state)
{
    (void)state;
    struct error error = { "" };
    struct engine_config config = { .vendor = ENGINE_VENDOR_INTEL, .vcpus = PROCESSORS, .trace_fd = -1 };
    ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ram == MAP_FAILED || engine_soft.open(&config, &vm, &error))
        return -1;
    static struct {
        struct kvm_cpuid2 head;
        struct kvm_cpuid_entry2 entry[128];
    } cpuid = { .head.nent = 128 };
    struct kvm_userspace_memory_region region = { .memory_size = RAM, .userspace_addr = (u64)ram };
    if (engine_soft.vm_ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) ||
        engine_soft.vm_ioctl(vm, KVM_GET_SUPPORTED_CPUID, &cpuid))
        return -1;
    for (unsigned i = 0; i < PROCESSORS; i++) {
        struct processor *p = &processors[i];
        *p = (struct processor){ 0 };
        if (engine_soft.vcpu_create(vm, i, &p->vcpu, &error) || engine_soft.vcpu_ioctl(p->vcpu, KVM_SET_CPUID2, &cpuid))
            return -1;
        p->cpu = (struct cpu *)p->vcpu;
        processor_reset(p, i);
    }
    memcpy(ram + CODE, loop_start, (size_t)(loop_end - loop_start));
    forgotten = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < PROCESSORS; i++)
        engine_soft.vcpu_destroy(processors[i].vcpu);
    engine_soft.close(vm);
    return munmap(ram, RAM);
}

// What the kernel does to a thread it schedules, at an instruction of our choice.
static void forget(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    if (!self || vm->gsbase != GSBASE_TRAP)
        return;
    const ucontext_t *interrupted = context;
    if (code_contains(vm->code, (const u8 *)interrupted->uc_mcontext.gregs[REG_RIP]))
        forgotten++;
    syscall(SYS_arch_prctl, ARCH_SET_GS, self->cpu->gs_trap);
}

// On a busy host all rounds may be over before a signal came at the right moment: then some more.
static bool processor_goes_on(const struct processor *p)
{
    return p->rounds < p->wanted || (vm->gsbase == GSBASE_TRAP && !forgotten && p->rounds < 100 * p->wanted);
}

static void *processor_thread(void *argument)
{
    struct processor *p = self = argument;
    p->started = true;
    while (processor_goes_on(p)) {
        if (engine_soft.vcpu_ioctl(p->vcpu, KVM_RUN, NULL))
            break;
        p->last_exit = p->cpu->run->exit_reason;
        p->last_port = p->cpu->run->io.port;
        if (p->last_exit != KVM_EXIT_IO || p->last_port != GOOD_PORT)
            break;
        p->rounds++;
        sched_yield();
    }
    self = NULL;
    p->done = true;
    return NULL;
}

static void signals(void)
{
    struct sigaction action = { .sa_sigaction = forget, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART };
    assert_int_equal(signal_install(), 0); // cmocka puts its own handlers there before each test
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
}

static void run_all(enum gsbase_way way, unsigned rounds)
{
    signals();
    vm->gsbase = (u8)way;
    time_t deadline = time(NULL) + FORGET_SECONDS;
    for (unsigned i = 0; i < PROCESSORS; i++) {
        processors[i].wanted = rounds;
        assert_int_equal(pthread_create(&processors[i].thread, NULL, processor_thread, &processors[i]), 0);
    }
    for (unsigned running = 1; running && time(NULL) < deadline;) {
        running = 0;
        for (unsigned i = 0; i < PROCESSORS; i++)
            if (!processors[i].done) {
                running++;
                pthread_kill(processors[i].thread, SIGUSR1);
            }
        sched_yield();
    }
    for (unsigned i = 0; i < PROCESSORS; i++) {
        pthread_join(processors[i].thread, NULL);
        assert_int_equal(processors[i].last_exit, KVM_EXIT_IO);
        assert_int_equal(processors[i].last_port, GOOD_PORT);
        assert_true(processors[i].rounds >= rounds);
    }
}

static void test_probe(void **state)
{
    (void)state;
    signals();
    enum gsbase_way way = gsbase_probe();
    assert_int_equal(way, vm->gsbase);
    assert_int_equal(way, gsbase_probe());
}

static void test_call(void **state)
{
    (void)state;
    run_all(GSBASE_CALL, CALL_ROUNDS);
}

static void test_plain(void **state)
{
    (void)state;
    if (vm->gsbase != GSBASE_PLAIN) {
        print_message("the host's kernel does not announce FSGSBASE\n");
        skip();
    }
    run_all(GSBASE_PLAIN, ROUNDS);
}

static void test_trap(void **state)
{
    (void)state;
    if (vm->gsbase == GSBASE_CALL) {
        print_message("WRGSBASE does not execute here\n");
        skip();
    }
    run_all(GSBASE_TRAP, ROUNDS);
    assert_true(forgotten > 0);
}

// A thread may run one processor after another, in any of the ways.
static void test_one_thread(void **state)
{
    (void)state;
    signals();
    enum gsbase_way found = vm->gsbase;
    for (unsigned i = 0; i < 4 * PROCESSORS; i++) {
        struct processor *p = &processors[i % PROCESSORS];
        vm->gsbase = i / PROCESSORS % 2 ? (u8)found : GSBASE_CALL;
        assert_int_equal(engine_soft.vcpu_ioctl(p->vcpu, KVM_RUN, NULL), 0);
        assert_int_equal(p->cpu->run->exit_reason, KVM_EXIT_IO);
        assert_int_equal(p->cpu->run->io.port, GOOD_PORT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_probe, setup, teardown),
        cmocka_unit_test_setup_teardown(test_call, setup, teardown),
        cmocka_unit_test_setup_teardown(test_plain, setup, teardown),
        cmocka_unit_test_setup_teardown(test_trap, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_thread, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
