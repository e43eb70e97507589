// Hot loops on the soft engine (loop.c, span.c): all rounds' registers, flags and memory are what one round after the
// other would leave, wherever the loop ends: at its condition, at a page that cannot be had, at an interruption, or by
// changing its own code. Every loop runs more often than it takes to become hot. Registers R14 and R15, which may be in
// the host's or in memory, take each part that there is.
#include <pthread.h>
#include <time.h>

#include "soft_guest.h"

enum { PAGE = 4096, WORDS = PAGE / 8, FAULT_PF = FAULT_PORT + 14, FAULT_DE = FAULT_PORT + 0 };

// Guest code with NAME_at between its two parts.
#define CODE_AT(name, before, behind) \
    extern const u8 name##_at[]; \
    GUEST_CODE(name, before "\n.globl " #name "_at\n" #name "_at:\n" behind)

static u64 *words(struct guest *guest) { return (u64 *)(void *)(guest->ram + DATA); }

// Takes rights from the page behind DATA's.
static void second_page(struct guest *guest, u64 without) { *guest_pte(guest, DATA + PAGE) &= ~without; }

// What exception delivery pushed, with or without error code.
static u64 pushed(struct guest *guest, unsigned index)
{
    return *(u64 *)(void *)(guest->ram + guest->cpu[0]->gpr[RSP] + 8 * index);
}

static void assert_page_fault(struct guest *guest, const u8 *start, const u8 *at, u64 address, u64 error, u64 rsp)
{
    assert_int_equal(guest_port(guest, 0), FAULT_PF);
    assert_int_equal(guest->cpu[0]->cr2, address);
    assert_int_equal(pushed(guest, 0), error);
    assert_int_equal(pushed(guest, 1), CODE + (u64)(at - start));
    assert_int_equal(pushed(guest, 4), rsp);
}

#define PAGE_FAULT(name, address, error, rsp) \
    assert_page_fault(*state, name##_start, name##_at, address, error, rsp)

// Loops that end at their condition.

GUEST_CODE(carry, "clc\n1: mov (%rsi,%rcx,8), %rax\nadc %rax, (%rdi,%rcx,8)\nlea 1(%rcx), %rcx\ndec %edx\njnz 1b\n"
           "setc %bl\n"
                  "sets %bh");
static void test_carry_through_rounds(void **state)
{
    for (u64 length = 90; length < 110; length++) {
        LOAD(carry);
        REG(RSI) = DATA + 2 * PAGE;
        REG(RDX) = length;
        u64 want[128], carried = 0;
        for (u64 i = 0; i < length; i++) {
            u64 a = MEMORY(8 * i) = ~0ull - (i % 7 == 3), b = MEMORY(2 * PAGE + 8 * i) = i % 5 == 0 ? 1 : i % 3;
            unsigned __int128 sum = (unsigned __int128)a + b + carried;
            want[i] = (u64)sum;
            carried = (u64)(sum >> 64);
        }
        assert_int_equal(guest_port(*state, 0), DONE_PORT);
        assert_memory_equal(words(*state), want, 8 * length);
        assert_int_equal(REG(RBX), carried);
        assert_int_equal(REG(RCX), length);
    }
}

// Leaves in the middle of a round, with R14 and R15 changed since memory had them and flags that are read behind it.
GUEST_CODE(middle, "1: inc %r15\nlea 3(%r14), %r14\ncmp %r8, %r15\nje 2f\nadd %r14, %rbx\nmov %rbx, (%rdi)\n"
           "mov %r15, 8(%rdi)\n"
                   "add 8(%rdi), %r9\njmp 1b\n2: setz %cl\nmov %r15, %r10\nmov %r14, %r11");
static void test_leaving_in_the_middle(void **state)
{
    for (u64 rounds = 95; rounds < 115; rounds++) {
        LOAD(middle);
        REG(R8) = rounds;
        assert_int_equal(guest_port(*state, 0), DONE_PORT);
        u64 before = rounds - 1;
        assert_int_equal(REG(RCX), 1);
        assert_int_equal(REG(R15), rounds);
        assert_int_equal(REG(R10), rounds);
        assert_int_equal(REG(R14), 3 * rounds);
        assert_int_equal(REG(R11), 3 * rounds);
        assert_int_equal(REG(RBX), 3 * (before * rounds / 2));
        assert_int_equal(MEMORY(0), REG(RBX));
        assert_int_equal(MEMORY(8), before);
        assert_int_equal(REG(R9), before * rounds / 2);
    }
}

// Loops that run into a page that cannot be had.

CODE_AT(indexed, "mov %rdi, %r14\nxor %r15d, %r15d\n1:", "add (%r14,%r15,8), %rbx\ninc %r15\n"
                    "cmp $100000, %r15\njne 1b");
static void test_fault_of_base_and_index(void **state)
{
    LOAD(indexed);
    for (u64 i = 0; i < 2 * WORDS; i++)
        MEMORY(8 * i) = i + 1;
    second_page(*state, PTE_PRESENT);
    PAGE_FAULT(indexed, DATA + PAGE, 0, STACK);
    assert_int_equal(REG(R14), DATA);
    assert_int_equal(REG(R15), WORDS);
    assert_int_equal(REG(RBX), WORDS * (WORDS + 1) / 2);
}

CODE_AT(stored, "1:", "mov %r15, (%rdi,%rcx,8)\nadd $3, %r15\ninc %rcx\njmp 1b");
static void test_fault_of_data(void **state)
{
    LOAD(stored);
    second_page(*state, PTE_WRITE);
    PAGE_FAULT(stored, DATA + PAGE, 3, STACK);
    assert_int_equal(REG(R15), 3 * WORDS);
    assert_int_equal(REG(RCX), WORDS);
    for (u64 i = 0; i < WORDS; i++)
        assert_int_equal(MEMORY(8 * i), 3 * i);
    assert_int_equal(MEMORY(PAGE), 0);
}

CODE_AT(straddling, "lea -4(%rdi), %r15\n1:", "mov %rax, (%r15)\nmov %rax, 8(%r15)\ninc %rax\n"
                       "add $16, %r15\ninc %r14\njmp 1b");
static void test_fault_across_pages(void **state)
{
    LOAD(straddling);
    second_page(*state, PTE_PRESENT);
    PAGE_FAULT(straddling, DATA + PAGE, 2, STACK);
    assert_int_equal(REG(R14), PAGE / 16);
    assert_int_equal(REG(RAX), PAGE / 16);
    assert_int_equal(REG(R15), DATA + PAGE - 4);
    assert_int_equal(MEMORY(PAGE - 12) >> 32, 0);          // the last store's upper half
    assert_int_equal(MEMORY(PAGE - 8) >> 32, 0);           // of the one that faulted, nothing
    assert_int_equal((u32)MEMORY(PAGE - 12), PAGE / 16 - 1);
}

CODE_AT(exchanged, "mov %rdi, %r14\nmov $100000, %rcx\n1:", "xadd %r15, (%r14)\nadd $8, %r14\ndec %rcx\n"
                      "jnz 1b");
static void test_fault_of_exchange(void **state)
{
    LOAD(exchanged);
    for (u64 i = 0; i < 2 * WORDS; i++)
        MEMORY(8 * i) = 10 * i;
    second_page(*state, PTE_WRITE);
    PAGE_FAULT(exchanged, DATA + PAGE, 3, STACK);
    assert_int_equal(REG(R14), DATA + PAGE);
    assert_int_equal(REG(R15), 10 * (WORDS - 1));
    assert_int_equal(REG(RCX), 100000 - WORDS);
    for (u64 i = 1; i < WORDS; i++)
        assert_int_equal(MEMORY(8 * i), 10 * i + 10 * (i - 1));
    assert_int_equal(MEMORY(PAGE), 10 * WORDS);
}

// The second access of a pair faults: the first is done, and what was computed between them.
CODE_AT(paired, "lea 8(%rdi), %rsi\n1: mov (%rsi), %r15\nadd $5, %r15\n", "mov %r15, 8(%rsi)\n"
                   "lea 1(%r15), %r14\nadd %r14, %rbx\nadd $16, %rsi\ndec %ecx\njnz 1b");
static void test_fault_between_accesses(void **state)
{
    LOAD(paired);
    for (u64 i = 0; i < 2 * WORDS; i++)
        MEMORY(8 * i) = 7 * i;
    second_page(*state, PTE_WRITE);
    PAGE_FAULT(paired, DATA + PAGE, 3, STACK);
    u64 last = WORDS - 1;
    assert_int_equal(REG(R15), 7 * last + 5);
    assert_int_equal(REG(R14), 7 * (last - 2) + 6);
    assert_int_equal(REG(RSI), DATA + 8 * last);
    u64 sum = 0;
    for (u64 i = 1; i < last; i += 2)
        sum += 7 * i + 6;
    assert_int_equal(REG(RBX), sum);
    assert_int_equal(MEMORY(PAGE), 7 * WORDS);
}

CODE_AT(popped, "mov %rdi, %rsp\n1:", "pop %r15\npop %r14\nsub %r15, %rbx\nadd %r14, %rbx\njmp 1b");
static void test_fault_of_stack(void **state)
{
    LOAD(popped);
    for (u64 i = 0; i < WORDS; i++)
        MEMORY(8 * i) = i * i;
    second_page(*state, PTE_PRESENT);
    PAGE_FAULT(popped, DATA + PAGE, 0, DATA + PAGE);
    assert_int_equal(REG(R15), (WORDS - 2) * (WORDS - 2));
    assert_int_equal(REG(R14), (WORDS - 1) * (WORDS - 1));
    assert_int_equal(REG(RBX), (u64)WORDS * (WORDS - 1) / 2);
}

// Other faults.

// R15 is newer in the host's register than in memory when flags are brought back for an instruction that may keep them.
CODE_AT(divided, "mov 16(%rdi), %rbx\njmp 1f\n1: stc\nmov (%rdi), %rbx\nlea 0x1234(%rcx), %r15\nmov $0x77, %eax\n",
        "divq 8(%rdi)\nsetc %al");
static void test_divide_error(void **state)
{
    struct guest *guest = *state;
    LOAD(divided);
    assert_int_equal(guest_port(guest, 0), FAULT_DE);
    assert_int_equal(pushed(guest, 0), CODE + (u64)(divided_at - divided_start));
    assert_int_equal(pushed(guest, 2) & FLAG_CF, FLAG_CF);
    assert_int_equal(REG(R15), 0x1234);
}

// Beside a high byte the host's address is in a register lent by the guest.
CODE_AT(divided_byte, "mov 16(%rdi), %rbx\nmov $0x1111, %esi\nmov $0x2222, %edx\nmov $0x3333, %ebx\nmov $0x4444, %ecx\n"
        "jmp 1f\n"
                      "1: mov (%rdi), %rbp\nmov $5, %r15\n", "divb 8(%rdi)");
static void test_divide_error_of_bytes(void **state)
{
    struct guest *guest = *state;
    LOAD(divided_byte);
    assert_int_equal(guest_port(guest, 0), FAULT_DE);
    assert_int_equal(pushed(guest, 0), CODE + (u64)(divided_byte_at - divided_byte_start));
    assert_int_equal(REG(RSI), 0x1111);
    assert_int_equal(REG(RDX), 0x2222);
    assert_int_equal(REG(RBX), 0x3333);
    assert_int_equal(REG(RCX), 0x4444);
    assert_int_equal(REG(RDI), DATA);
    assert_int_equal(REG(R15), 5);
}

// A store across pages, whose second execution is emitted behind a block that ends, by its length, with R15 in the
// host's.
#define NOPS(count) ".rept " #count "\nnop\n.endr\n"
GUEST_CODE(bounced, "mov $0x1122334455667788, %r15\nmov 8(%rdi), %rbx\njmp 1f\n"
                    "1: xadd %r15, (%rsi)\nmov (%rdi), %rbx\n" NOPS(60) "add %r15, 8(%rdi)\nadd 16(%rdi), %r15");
static void test_store_across_pages(void **state)
{
    LOAD(bounced);
    REG(RSI) = DATA + PAGE - 4;
    MEMORY(PAGE - 8) = 0x22ull << 32;
    MEMORY(8) = 1;
    MEMORY(16) = 5;
    *guest_pte(*state, DATA + PAGE) += 2 * PAGE; // or the host's addresses would be contiguous, too
    assert_int_equal(guest_port(*state, 0), DONE_PORT);
    assert_int_equal(MEMORY(PAGE - 8) >> 32, 0x55667788 + 0x22);
    assert_int_equal((u32)MEMORY(3 * PAGE), 0x11223344);
    assert_int_equal(MEMORY(8), 0x23);
    assert_int_equal(REG(R15), 0x27);
}

// Loops that change their own code, in a round long after they became hot.

#define CHANGES(name, pointer, store, body) \
    CODE_AT(name, "mov $1000, %ecx\n1: cmp $500, %ecx\nmov %r8, " pointer "\ncmove %r9, " pointer "\n" store, \
            body "\nadd %rax, %rbx\ndec %ecx\njnz 1b")

CHANGES(changed, "%rsi", "movl $7, 1(%rsi)", "mov $3, %eax");
CHANGES(changed_pair, "%rsi", "movl $6, 1(%rsi)\naddl $1, 1(%rsi)", "mov $3, %eax");
CHANGES(changed_frame, "%rbp", "movl $7, 1(%rbp)", "mov $3, %eax");
CHANGES(changed_push, "%rsp", "push $7", "movabs $3, %rax");

#define CHANGED(name, offset, rounds, before, after) \
    LOAD(name); \
    REG(R8) = DATA + 16; \
    REG(R9) = CODE + (u64)(name##_at - name##_start) + (offset); \
    assert_int_equal(guest_port(*state, 0), DONE_PORT); \
    assert_int_equal(REG(RBX), (rounds) * (before) + (1000 - (rounds)) * (after))

static void test_changing_itself(void **state)
{
    CHANGED(changed, 0, 500, 3, 7);
    CHANGED(changed_pair, 0, 500, 3, 7);
    CHANGED(changed_frame, 0, 500, 3, 7);
    CHANGED(changed_push, 10, 500, 3, 7);
}

// Interruptions.

struct kicker {
    struct guest *guest;
    _Atomic bool stop;
};

static void *kick(void *argument)
{
    struct kicker *kicker = argument;
    while (!kicker->stop) {
        engine_soft.vcpu_kick(kicker->guest->vcpu[0]);
        nanosleep(&(struct timespec){ .tv_nsec = 20000 }, NULL);
    }
    return NULL;
}

// Whatever instruction it was interrupted before, each of them has been executed as often as the others, or once more.
GUEST_CODE(endless, "mov %rdi, %rsi\n1: add $1, %r14\nadd $1, %rcx\nmov %r14, (%rsi)\nadd $1, %r15\nmov %r15, 8(%rsi)\n"
                    "add $1, %rbx\ncmpq $0, 16(%rsi)\nje 1b");
static void test_interrupted(void **state)
{
    struct guest *guest = *state;
    struct kicker kicker = { .guest = guest };
    pthread_t thread;
    LOAD(endless);
    assert_int_equal(pthread_create(&thread, NULL, kick, &kicker), 0);
    u64 last = 0;
    for (unsigned interruptions = 0; interruptions < 200;) {
        assert_int_equal(engine_soft.vcpu_ioctl(guest->vcpu[0], KVM_RUN, NULL), -EINTR);
        u64 count = REG(R14);
        assert_in_range(count, last, ~0ull);
        assert_in_range(count - REG(RCX), 0, 1);
        assert_in_range(count - REG(R15), 0, 1);
        assert_in_range(REG(R15) - REG(RBX), 0, 1);
        assert_in_range(count - MEMORY(0), 0, 1);
        assert_in_range(REG(R15) - MEMORY(8), 0, 1);
        interruptions += count > last;
        last = count;
    }
    kicker.stop = true;
    pthread_join(thread, NULL);
    MEMORY(16) = 1;
    int result;
    do
        result = engine_soft.vcpu_ioctl(guest->vcpu[0], KVM_RUN, NULL);
    while (result == -EINTR);
    assert_int_equal(result, 0);
    assert_int_equal(guest->cpu[0]->run->exit_reason, KVM_EXIT_IO);
    assert_int_equal(REG(R15), REG(R14));
    assert_int_equal(MEMORY(0), REG(R14));
    assert_int_equal(MEMORY(8), REG(R14));
}

// Two processors in one loop, and a third that changes it over and over.

CODE_AT(shared, "cmp $2, %rsi\nje 3f\n1: add $1, %r14\nmov %r14, (%rdi)\n", "mov $1, %eax\nadd %r14, 8(%rdi)\n"
                   "add $1, %r15\ncmp $99, %eax\njne 1b\njmp 4f\n"
                   "3: cmpq $1000, (%r12)\njb 3b\n5: cmpq $1000, (%r13)\njb 5b\n" // both are hot
                   "mov $2000, %ecx\n6: mov %ecx, %eax\nand $31, %eax\nmov %eax, 1(%rbp)\nmov $50, %edx\n7: pause\n"
                   "dec %edx\njnz 7b\ndec %ecx\njnz 6b\nmovl $99, 1(%rbp)\n4:");

struct runner {
    struct guest *guest;
    unsigned id, port;
};

static void *run_one(void *argument)
{
    struct runner *runner = argument;
    runner->port = guest_port(runner->guest, runner->id);
    return NULL;
}

static void test_shared_loop(void **state)
{
    struct guest *guest = *state;
    struct runner runner[GUEST_VCPUS];
    pthread_t thread[GUEST_VCPUS];
    LOAD(shared);
    for (unsigned i = 0; i < GUEST_VCPUS; i++) {
        u64 *gpr = guest->cpu[i]->gpr;
        gpr[RSI] = i;
        gpr[RDI] = DATA + i * PAGE;
        gpr[R12] = DATA;
        gpr[R13] = DATA + PAGE;
        gpr[RBP] = CODE + (u64)(shared_at - shared_start);
        runner[i] = (struct runner){ .guest = guest, .id = i };
        assert_int_equal(pthread_create(&thread[i], NULL, run_one, &runner[i]), 0);
    }
    for (unsigned i = 0; i < GUEST_VCPUS; i++) {
        pthread_join(thread[i], NULL);
        assert_int_equal(runner[i].port, DONE_PORT);
    }
    for (unsigned i = 0; i < 2; i++) {
        const u64 *gpr = guest->cpu[i]->gpr, rounds = gpr[R14];
        assert_int_equal(gpr[R15], rounds);
        assert_int_equal(MEMORY(i * PAGE), rounds);
        assert_int_equal(MEMORY(i * PAGE + 8), rounds * (rounds + 1) / 2);
        assert_int_equal(gpr[RAX], 99);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_carry_through_rounds), cmocka_unit_test(test_leaving_in_the_middle),
        cmocka_unit_test(test_fault_of_base_and_index), cmocka_unit_test(test_fault_of_data),
        cmocka_unit_test(test_fault_across_pages), cmocka_unit_test(test_fault_of_exchange),
        cmocka_unit_test(test_fault_between_accesses), cmocka_unit_test(test_fault_of_stack),
        cmocka_unit_test(test_divide_error), cmocka_unit_test(test_divide_error_of_bytes),
        cmocka_unit_test(test_store_across_pages),
        cmocka_unit_test(test_changing_itself), cmocka_unit_test(test_interrupted), cmocka_unit_test(test_shared_loop),
    };
    return cmocka_run_group_tests(tests, guest_setup, guest_teardown);
}
