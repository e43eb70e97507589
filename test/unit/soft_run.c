// Guest code on the soft engine: pieces of assembly copied into a small flat 64-bit guest, run until they write to a
// port. What they leave in registers and memory is compared with what the manual says, flags across memory accesses
// first of all.
#include "soft_guest.h"

GUEST_CODE(arithmetic, "mov $5, %eax\nlea 7(%rax,%rax,2), %rbx\nadd %rbx, %rax\nimul $3, %rax, %r14\nmov %r14, %r15\n"
           "sub $1, %r15");
static void test_arithmetic(void **state)
{
    RUN(arithmetic);
    assert_int_equal(REG(RBX), 22);
    assert_int_equal(REG(RAX), 27);
    assert_int_equal(REG(R14), 81);
    assert_int_equal(REG(R15), 80);
}

GUEST_CODE(memory, "mov $0x1122334455667788, %rax\nmov %rax, 8(%rdi)\nmov 8(%rdi), %r15\nmov %r15, 16(%rdi)\n"
                   "mov 16(%rdi), %ecx\nmovzwl 8(%rdi), %edx\nmovb $0x7f, 0xffe(%rdi)\nmov %rax, 0xffd(%rdi)\n"
                   "mov 0xffd(%rdi), %r8\nmov %rdi, %r14\nmov 8(%r14), %r9\nmov $1, %r15d\nmov (%r14,%r15,8), %r10\n"
                   "mov %ah, (%rdi)\nmov (%rdi), %bh\nadd %ah, 16(%rdi)\nxchg %r14, 8(%rdi)\n");
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
                  "mov $0x7fffffff, %eax\nadd $1, %eax\npush %rax\npop %rsi\nseto %ch\nstc\nmov (%rdi), %rbx\n"
                  "inc %rbx\nadc $0, %r8\ncmp %rax, %rax\ncall 1f\nsete %r9b\njmp 2f\n1: mov (%rdi), %rbx\nret\n"
                  "2: stc\nincq 24(%rdi)\nadcq $0, 32(%rdi)");
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

GUEST_CODE(bits, "mov $77, %eax\nbts %rax, (%rdi)\nmov $-1, %ecx\nbts %ecx, 64(%rdi)\nbt %rax, (%rdi)\nsetc %dl\n"
           "mov $13, %r15d\nbtsq %r15, 128(%rdi)\nlock btsw %ax, 128(%rdi)");
static void test_bit_offsets(void **state)
{
    RUN(bits);
    assert_int_equal(MEMORY(8), 1 << 13);
    assert_int_equal(MEMORY(56), 1ull << 63);
    assert_int_equal(REG(RDX), 1);
    assert_int_equal(MEMORY(128), 1 << 13);
    assert_int_equal(MEMORY(136), 1 << 13);
}

GUEST_CODE(vectors, "movdqu (%rdi), %xmm3\npcmpeqd %xmm4, %xmm4\npaddq %xmm4, %xmm3\nmovdqu %xmm3, 0xff8(%rdi)\n"
           "movdqu 0xff8(%rdi), %xmm5\n"
                    "movq %xmm5, %rax\nfninit\nfld1\nfadd %st(0)\nfstpl 32(%rdi)\nmov 32(%rdi), %rbx\nrep stosb");
static void test_vectors(void **state)
{
    RUN(vectors);
    assert_int_equal(REG(RAX), ~0ull);
    assert_int_equal(REG(RBX), 0x4000000000000000);
}

// The immediate of the MOV at 1: is rewritten before each of three passes, by code on the same page and in the same
// block.
GUEST_CODE(changing, "lea 1f(%rip), %rsi\nmov $3, %ecx\n2: mov %ecx, 1(%rsi)\n1: mov $0x12345678, %eax\n"
           "add %eax, %ebx\ndec %ecx\njnz 2b");
static void test_changing_code(void **state)
{
    RUN(changing);
    assert_int_equal(REG(RBX), 6);
}

// REP MOVS and STOS (repeat.c): up to the end of a page and beyond it, over themselves, downwards, of nothing, with
// flags and R14 and R15 alive across them. The first writes everything, so that the others find their pages in the TLB.
GUEST_CODE(repeats, "mov %rdi, %rbx\nmov $0x55, %eax\nmov $0x3000, %ecx\nrep stosb\nmov $7, %r14d\nmov $9, %r15d\n"
           "mov $0x0807060504030201, %rax\nlea 0xf00(%rbx), %rdi\nmov $0x20, %ecx\nstc\nrep stosq\nsetc %r8b\n"
           "mov %rdi, %r9\nlea 0x1f08(%rbx), %rdi\nmov $0x20, %ecx\nrep stosq\nmov %rdi, %r10\n"
           "lea 0xf00(%rbx), %rsi\nlea 0x2f00(%rbx), %rdi\nmov $0x100, %ecx\nadd %r15, %r14\nrep movsb\n"
           "mov %rsi, %r11\n"
           "movb $0x77, 0x200(%rbx)\nlea 0x200(%rbx), %rsi\nlea 0x201(%rbx), %rdi\nmov $0x40, %ecx\nrep movsb\n"
           "lea 0x2ff8(%rbx), %rsi\nlea 0x438(%rbx), %rdi\nmov $8, %ecx\nstd\nrep movsq\ncld\nmov %rdi, %r12\n"
           "lea 0xf00(%rbx), %rsi\nlea 0x500(%rbx), %rdi\nmov $3, %ecx\nrep movsl\nxor %ecx, %ecx\nrep stosb\n"
           "mov %rdi, %r13\nadd %r15, %r14");
static void test_repeats(void **state)
{
    RUN(repeats);
    const u64 word = 0x0807060504030201;
    assert_int_equal(REG(R8) & 0xff, 1);
    assert_int_equal(REG(R9), DATA + 0x1000);
    assert_int_equal(MEMORY(0xef8), 0x5555555555555555);
    for (u64 at = 0xf00; at < 0x1000; at += 8)
        assert_int_equal(MEMORY(at), word);
    assert_int_equal(MEMORY(0x1000), 0x5555555555555555);
    assert_int_equal(REG(R10), DATA + 0x2008);
    assert_int_equal(MEMORY(0x1f00), 0x5555555555555555);
    assert_int_equal(MEMORY(0x1f08), word);
    assert_int_equal(MEMORY(0x2000), word);
    assert_int_equal(MEMORY(0x2008), 0x5555555555555555);
    assert_int_equal(REG(R11), DATA + 0x1000);
    assert_int_equal(MEMORY(0x2f00), word);
    assert_int_equal(MEMORY(0x2ff8), word);
    assert_int_equal(MEMORY(0x1f8), 0x5555555555555555);
    for (u64 at = 0x200; at < 0x240; at += 8)
        assert_int_equal(MEMORY(at), 0x7777777777777777);
    assert_int_equal(MEMORY(0x240), 0x5555555555555577);
    assert_int_equal(REG(R12), DATA + 0x3f8);
    assert_int_equal(MEMORY(0x3f8), 0x5555555555555555);
    assert_int_equal(MEMORY(0x400), word);
    assert_int_equal(MEMORY(0x438), word);
    assert_int_equal(MEMORY(0x440), 0x5555555555555555);
    assert_int_equal(MEMORY(0x500), word);
    assert_int_equal(MEMORY(0x508), 0x5555555504030201);
    assert_int_equal(REG(R13), DATA + 0x50c);
    assert_int_equal(REG(RCX), 0);
    assert_int_equal(REG(R14), 7 + 2 * 9);
}

// Any value is a stack pointer as long as nobody uses it. The loop is long enough to be interrupted by the host.
// Accesses around one base (span.c): within a page; across two, where the base moves on by constants; pushes and pops
// with other uses of the stack between them; flags that live across them.
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

GUEST_CODE(span_stack, "mov $3000, %ecx\nmov %rsp, %rdx\n1: sub $8, %rsp\nmov $7, %r14\nmov $9, %r15\ncall 2f\n"
           "add %rax, %rbx\ncmp $4, %rax\njne 3f\ndec %ecx\njnz 1b\nmov %rdx, %rsi\nsub %rsp, %rsi\njmp 3f\n"
           "2: push %r14\npush %r15\npush $-5\npush %rsp\nsub $0x40, %rsp\nmov %rcx, 8(%rsp)\ncmp $1, %ecx\n"
           "mov %r15, 0x10(%rsp)\nmov 0x10(%rsp), %r14\nsetc %al\nmovzx %al, %eax\nadd $0x40, %rsp\npop %r8\n"
           "sub %rsp, %r8\npop %r9\npop %r15\ncmp %r14, %r15\npop %r14\nsete %al\nadd %r9d, %eax\nadd $8, %eax\nret\n"
           "3:");
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
GUEST_CODE(span_code, "lea 1f(%rip), %rsi\nmov $3, %ecx\n2: mov %ecx, 1(%rsi)\nmovb $0x12, 4(%rsi)\n"
           "1: mov $0x12345678, %eax\nadd %rax, %rbx\ndec %ecx\njnz 2b");
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
        cmocka_unit_test(test_changing_code), cmocka_unit_test(test_spans), cmocka_unit_test(test_repeats),
        cmocka_unit_test(test_span_stack), cmocka_unit_test(test_span_code),
        cmocka_unit_test(test_stack_pointer_astray),
    };
    return cmocka_run_group_tests(tests, guest_setup, guest_teardown);
}
