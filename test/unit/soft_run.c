// Guest code on the soft engine: pieces of assembly copied into a small flat 64-bit guest, run until they write to a port.
// What they leave in registers and memory is compared with what the manual says, flags across memory accesses first of all.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "engine/engine.h"
#include "engine/soft/cpu.h"
#include "engine/soft/signal.h"

enum { RAM = 4 << 20, CODE = 0x10000, DATA = 0x20000, STACK = 0x80000, TABLES = 0x1000, DONE_PORT = 0x42 };

struct guest {
    struct engine_vm *vm;
    struct engine_vcpu *vcpu;
    struct cpu *cpu;
    u8 *ram;
};

#define GUEST_CODE(name, text) \
    extern const u8 name##_start[], name##_end[]; \
    __asm__(".pushsection .rodata\n.globl " #name "_start\n" #name "_start:\n" text "\nout %al, $0x42\nhlt\n.globl " #name "_end\n" #name \
            "_end:\n.popsection")

static void page_tables(u8 *ram)
{
    u64 *pml4 = (u64 *)(void *)(ram + TABLES), *pdpt = pml4 + 512, *pd = pdpt + 512;
    pml4[0] = (TABLES + 0x1000) | 7;
    pdpt[0] = (TABLES + 0x2000) | 7;
    for (u64 i = 0; i < RAM >> 21; i++)
        pd[i] = i << 21 | 0x87;
}

static void long_mode(struct cpu *cpu)
{
    cpu->cr3 = TABLES;
    cpu->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    cpu->msr.efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
    cpu->cr0 = CR0_PE | CR0_PG | CR0_NE | CR0_ET | CR0_WP | CR0_MP;
    for (unsigned i = SEG_ES; i <= SEG_GS; i++)
        cpu->segment[i] = (struct segment){ .limit = ~0u, .access = 0xc093, .selector = 16 };
    cpu->segment[SEG_CS] = (struct segment){ .limit = ~0u, .access = 0xa09b, .selector = 8 };
    cpu->cpl = 0;
    cpu->rflags = FLAG_FIXED;
    cpu_mode_update(cpu);
}

static int setup(void **state)
{
    static struct guest guest;
    struct error error = { "" };
    guest.ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct engine_config config = { .vendor = ENGINE_VENDOR_INTEL, .vcpus = 1, .trace_fd = -1 };
    if (engine_soft.open(&config, &guest.vm, &error) || engine_soft.vcpu_create(guest.vm, 0, &guest.vcpu, &error)) {
        print_error("%s\n", error.text);
        return -1;
    }
    guest.cpu = (struct cpu *)guest.vcpu;
    struct kvm_userspace_memory_region region = { .memory_size = RAM, .userspace_addr = (u64)guest.ram };
    assert_int_equal(engine_soft.vm_ioctl(guest.vm, KVM_SET_USER_MEMORY_REGION, &region), 0);
    static struct {
        struct kvm_cpuid2 head;
        struct kvm_cpuid_entry2 entry[128];
    } cpuid = { .head.nent = 128 };
    assert_int_equal(engine_soft.vm_ioctl(guest.vm, KVM_GET_SUPPORTED_CPUID, &cpuid), 0);
    assert_int_equal(engine_soft.vcpu_ioctl(guest.vcpu, KVM_SET_CPUID2, &cpuid), 0);
    *state = &guest;
    return 0;
}

static int teardown(void **state)
{
    struct guest *guest = *state;
    engine_soft.vcpu_destroy(guest->vcpu);
    engine_soft.close(guest->vm);
    munmap(guest->ram, RAM);
    return 0;
}

static void load(struct guest *guest, const u8 *start, const u8 *end)
{
    memset(guest->ram, 0, RAM);
    page_tables(guest->ram);
    memcpy(guest->ram + CODE, start, (size_t)(end - start));
    engine_soft.memory_written(guest->vm, 0, RAM);
    long_mode(guest->cpu);
    memset(guest->cpu->gpr, 0, sizeof guest->cpu->gpr);
    guest->cpu->gpr[RSP] = STACK;
    guest->cpu->gpr[RDI] = DATA;
    guest->cpu->rip = CODE;
}

static void run_loaded(struct guest *guest)
{
    assert_int_equal(signal_install(), 0); // cmocka puts its own handlers there before each test
    assert_int_equal(engine_soft.vcpu_ioctl(guest->vcpu, KVM_RUN, NULL), 0);
    const struct kvm_run *run = guest->cpu->run;
    assert_int_equal(run->exit_reason, KVM_EXIT_IO);
    assert_int_equal(run->io.port, DONE_PORT);
}

#define RUN(name) (load(*state, name##_start, name##_end), run_loaded(*state))
#define REG(n) (((struct guest *)*state)->cpu->gpr[n])
#define MEMORY(offset) (*(u64 *)(void *)(((struct guest *)*state)->ram + DATA + (offset)))

GUEST_CODE(arithmetic, "mov $5, %eax\nlea 7(%rax,%rax,2), %rbx\nadd %rbx, %rax\nimul $3, %rax, %r14\nmov %r14, %r15\nsub $1, %r15");
static void test_arithmetic(void **state)
{
    RUN(arithmetic);
    assert_int_equal(REG(RBX), 22);
    assert_int_equal(REG(RAX), 27);
    assert_int_equal(REG(R14), 81);
    assert_int_equal(REG(R15), 80);
}

GUEST_CODE(memory, "mov $0x1122334455667788, %rax\nmov %rax, 8(%rdi)\nmov 8(%rdi), %r15\nmov %r15, 16(%rdi)\n"
                   "mov 16(%rdi), %ecx\nmovzwl 8(%rdi), %edx\nmovb $0x7f, 0xffe(%rdi)\nmov %rax, 0xffd(%rdi)\nmov 0xffd(%rdi), %r8\n"
                   "mov %rdi, %r14\nmov 8(%r14), %r9\nmov $1, %r15d\nmov (%r14,%r15,8), %r10\nmov %ah, (%rdi)\nmov (%rdi), %bh\n"
                   "add %ah, 16(%rdi)\nxchg %r14, 8(%rdi)\n");
static void test_memory(void **state)
{
    RUN(memory);
    assert_int_equal(REG(RCX), 0x55667788);
    assert_int_equal(REG(RDX), 0x7788);
    assert_int_equal(REG(R8), 0x1122334455667788);
    assert_int_equal(REG(R9), 0x1122334455667788);
    assert_int_equal(REG(R10), 0x1122334455667788);
    assert_int_equal(REG(R14), 0x1122334455667788);
    assert_int_equal(MEMORY(8), DATA);
    assert_int_equal(REG(RBX), 0x7700);
    assert_int_equal(MEMORY(16) & 0xff, 0xff);
}

GUEST_CODE(flags, "mov $1, %eax\ncmp $2, %eax\nmov (%rdi), %rbx\nmov %rbx, 8(%rdi)\nsetb %cl\nadc $0, %rdx\n"
                  "mov $0x7fffffff, %eax\nadd $1, %eax\npush %rax\npop %rsi\nseto %ch\nstc\nmov (%rdi), %rbx\ninc %rbx\nadc $0, %r8\n"
                  "cmp %rax, %rax\ncall 1f\nsete %r9b\njmp 2f\n1: mov (%rdi), %rbx\nret\n2: stc\nincq 24(%rdi)\nadcq $0, 32(%rdi)");
static void test_flags_across_memory(void **state)
{
    RUN(flags);
    assert_int_equal(REG(RCX) & 0xffff, 0x0101);
    assert_int_equal(REG(RDX), 1);
    assert_int_equal(REG(R8), 1);
    assert_int_equal(REG(R9), 1);
    assert_int_equal(MEMORY(32), 1);
}

GUEST_CODE(loops, "mov $1000000, %ecx\nxor %eax, %eax\n1: add %rcx, %rax\ndec %rcx\njnz 1b\n"
                  "mov $100000, %ecx\n2: call 3f\nloop 2b\njmp 4f\n3: add $2, %r14\npush %r14\npop %r15\nret\n4:");
static void test_loops_and_calls(void **state)
{
    RUN(loops);
    assert_int_equal(REG(RAX), 500000500000);
    assert_int_equal(REG(R15), 200000);
}

GUEST_CODE(bits, "mov $77, %eax\nbts %rax, (%rdi)\nmov $-1, %ecx\nbts %ecx, 64(%rdi)\nbt %rax, (%rdi)\nsetc %dl\nmov $13, %r15d\nbtsq %r15, 128(%rdi)\nlock btsw %ax, 128(%rdi)");
static void test_bit_offsets(void **state)
{
    RUN(bits);
    assert_int_equal(MEMORY(8), 1 << 13);
    assert_int_equal(MEMORY(56), 1ull << 63);
    assert_int_equal(REG(RDX), 1);
    assert_int_equal(MEMORY(128), 1 << 13);
    assert_int_equal(MEMORY(136), 1 << 13);
}

GUEST_CODE(vectors, "movdqu (%rdi), %xmm3\npcmpeqd %xmm4, %xmm4\npaddq %xmm4, %xmm3\nmovdqu %xmm3, 0xff8(%rdi)\nmovdqu 0xff8(%rdi), %xmm5\n"
                    "movq %xmm5, %rax\nfninit\nfld1\nfadd %st(0)\nfstpl 32(%rdi)\nmov 32(%rdi), %rbx\nrep stosb");
static void test_vectors(void **state)
{
    RUN(vectors);
    assert_int_equal(REG(RAX), ~0ull);
    assert_int_equal(REG(RBX), 0x4000000000000000);
}

// The immediate of the MOV at 1: is rewritten before each of three passes, by code on the same page and in the same block.
GUEST_CODE(changing, "lea 1f(%rip), %rsi\nmov $3, %ecx\n2: mov %ecx, 1(%rsi)\n1: mov $0x12345678, %eax\nadd %eax, %ebx\ndec %ecx\njnz 2b");
static void test_changing_code(void **state)
{
    RUN(changing);
    assert_int_equal(REG(RBX), 6);
}

// Any value is a stack pointer as long as nobody uses it. The loop is long enough to be interrupted by the host.
// Accesses around one base (span.c): within a page; across two, where the base moves on by constants; pushes and pops with
// other uses of the stack between them; flags that live across them.
GUEST_CODE(spans, "lea 0xfe8(%rdi), %rsi\nmov $0x1111, %eax\nmov $16, %ecx\n"
           "1: mov %rax, (%rsi)\nadd $8, %rsi\nmov %rcx, 0x100(%rsi)\nmov -8(%rsi), %r14\nadd 0x100(%rsi), %r14\n"
           "lea 8(%rsi), %rsi\nmov %r14, 0x200(%rsi)\nadd 0x200(%rsi), %r15\nadd %r14, %rbx\ndec %ecx\njnz 1b\n"
           "sub $16*16, %rsi\nmov (%rsi), %r8\nmov 0x108(%rsi), %r9\nmov 0x210(%rsi), %r10");
static void test_spans(void **state)
{
    RUN(spans);
    assert_int_equal(REG(RBX), 16 * 0x1111 + 136);
    assert_int_equal(REG(R15), REG(RBX));
    assert_int_equal(REG(RSI), DATA + 0xfe8);
    assert_int_equal(REG(R8), 0x1111);
    assert_int_equal(REG(R9), 16);
    assert_int_equal(REG(R10), 0x1111 + 16);
    for (u64 i = 0; i < 16; i++) {
        assert_int_equal(MEMORY(0xfe8 + 16 * i), 0x1111);
        assert_int_equal(MEMORY(0xff0 + 16 * i + 0x100), 16 - i);
        assert_int_equal(MEMORY(0xff8 + 16 * i + 0x200), 0x1111 + 16 - i);
    }
}

GUEST_CODE(span_stack, "mov $3000, %ecx\nmov %rsp, %rdx\n1: sub $8, %rsp\nmov $7, %r14\nmov $9, %r15\ncall 2f\nadd %rax, %rbx\n"
           "cmp $4, %rax\njne 3f\ndec %ecx\njnz 1b\nmov %rdx, %rsi\nsub %rsp, %rsi\njmp 3f\n"
           "2: push %r14\npush %r15\npush $-5\npush %rsp\nsub $0x40, %rsp\nmov %rcx, 8(%rsp)\ncmp $1, %ecx\nmov %r15, 0x10(%rsp)\n"
           "mov 0x10(%rsp), %r14\nsetc %al\nmovzx %al, %eax\nadd $0x40, %rsp\npop %r8\nsub %rsp, %r8\npop %r9\npop %r15\ncmp %r14, %r15\npop %r14\n"
           "sete %al\nadd %r9d, %eax\nadd $8, %eax\nret\n3:");
static void test_span_stack(void **state)
{
    RUN(span_stack);
    assert_int_equal(REG(RBX), 3000 * 4);
    assert_int_equal(REG(RSI), 3000 * 8);
    assert_int_equal(REG(R8), 0);
    assert_int_equal(REG(R9), -5);
    assert_int_equal(REG(R14), 7);
    assert_int_equal(REG(R15), 9);
}

// Both stores are to the page they are in, and the second changes the block itself.
GUEST_CODE(span_code, "lea 1f(%rip), %rsi\nmov $3, %ecx\n2: mov %ecx, 1(%rsi)\nmovb $0x12, 4(%rsi)\n1: mov $0x12345678, %eax\n"
           "add %rax, %rbx\ndec %ecx\njnz 2b");
static void test_span_code(void **state)
{
    RUN(span_code);
    assert_int_equal(REG(RBX), 3 * 0x12000000 + 6);
}

GUEST_CODE(astray, "mov %rsp, %r13\nmov $0x98edb79bfa58b6de, %rsp\nmov $300000000, %rcx\n1: dec %rcx\njnz 1b\n"
                   "mov (%rdi), %rax\nmov %rsp, %rbx\nmov %r13, %rsp\n");
static void test_stack_pointer_astray(void **state)
{
    RUN(astray);
    assert_int_equal(REG(RBX), 0x98edb79bfa58b6de);
    assert_int_equal(REG(RCX), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arithmetic), cmocka_unit_test(test_memory), cmocka_unit_test(test_flags_across_memory),
        cmocka_unit_test(test_loops_and_calls), cmocka_unit_test(test_bit_offsets), cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_changing_code), cmocka_unit_test(test_spans), cmocka_unit_test(test_span_stack),
        cmocka_unit_test(test_span_code), cmocka_unit_test(test_stack_pointer_astray),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
