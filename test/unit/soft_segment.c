// Segment loads, far transfers, task switches and the instructions that ask about selectors: checks in the manual's
// order, error codes, and that a refused transfer changes nothing.
#include "soft_system.h"

#include "engine/soft/insn_descriptor.h"
#include "engine/soft/insn_far.h"
#include "engine/soft/insn_syscall.h"
#include "engine/soft/task.h"

static u64 frame32(struct fixture *f, unsigned index) { return ram_read(f, f->cpu->gpr[RSP] + 4 * index, 4); }

// The vector and error code a 32-bit load of a segment register ends with; -1: it was loaded.
static int load(struct fixture *f, enum segment_index index, u16 selector, u32 *code)
{
    struct segment before = f->cpu->segment[index];
    if (!ABANDONED(f, segment_load(f->cpu, index, selector)))
        return -1;
    *code = frame32(f, 0);
    if (f->cpu->cpl == 0 && index != SEG_SS)
        assert_memory_equal(&before, &f->cpu->segment[index], sizeof before);
    return handled(f);
}

static void expect_load(struct fixture *f, unsigned cpl, enum segment_index index, u16 selector, int vector, u32 code)
{
    u32 got = ~0u;
    protected32(f, cpl);
    assert_int_equal(load(f, index, selector, &got), vector);
    if (vector >= 0)
        assert_int_equal(got, code);
}

static void test_data_segments(void **state)
{
    struct fixture *f = *state;
    expect_load(f, 0, SEG_DS, DATA0, -1, 0);
    assert_true(ram_read(f, GDT + DATA0 + 5, 1) & AR_ACCESSED);
    expect_load(f, 0, SEG_ES, CODE0, -1, 0); // readable code
    expect_load(f, 0, SEG_ES, 0x93, VECTOR_GP, 0x90); // beyond the table
    expect_load(f, 0, SEG_ES, 0x0c, VECTOR_GP, 0x0c); // there is no LDT
    expect_load(f, 0, SEG_FS, ABSENT, VECTOR_NP, ABSENT);
    expect_load(f, 0, SEG_FS, TSS_SELECTOR, VECTOR_GP, TSS_SELECTOR);
    expect_load(f, 0, SEG_DS, DATA0 | 3, VECTOR_GP, DATA0); // RPL above DPL
    expect_load(f, 3, SEG_DS, DATA0, VECTOR_GP, DATA0);
    expect_load(f, 3, SEG_DS, CONFORMING | 3, -1, 0);       // conforming code has no privilege
    expect_load(f, 3, SEG_DS, 3, -1, 0);
    assert_true(f->cpu->segment[SEG_DS].access & AR_UNUSABLE);
}

static void test_stack_segment(void **state)
{
    struct fixture *f = *state;
    expect_load(f, 0, SEG_SS, 0, VECTOR_GP, 0);
    expect_load(f, 0, SEG_SS, READ_ONLY, VECTOR_GP, READ_ONLY);
    expect_load(f, 0, SEG_SS, DATA3, VECTOR_GP, DATA3 & 0xfc);
    expect_load(f, 0, SEG_SS, ABSENT, VECTOR_SS, ABSENT);
    expect_load(f, 0, SEG_SS, EXPAND_DOWN, -1, 0);
    assert_false(segment_contains(&f->cpu->segment[SEG_SS], 0xfff, 1));
    assert_true(segment_contains(&f->cpu->segment[SEG_SS], 0x1000, 4));
    assert_false(segment_contains(&f->cpu->segment[SEG_SS], 0xfffffffe, 4));
}

static void test_stack_null_in_64_bit_mode(void **state)
{
    struct fixture *f = *state;
    long64(f, 0);
    assert_false(ABANDONED(f, segment_load(f->cpu, SEG_SS, 0)));
    long64(f, 0);
    assert_true(ABANDONED(f, segment_load(f->cpu, SEG_SS, 3))); // RPL is not CPL
    long64(f, 3);
    assert_true(ABANDONED(f, segment_load(f->cpu, SEG_SS, 3)));
    assert_int_equal(handled(f), VECTOR_GP);
}

static void test_bases_are_repeated(void **state)
{
    struct fixture *f = *state;
    protected32(f, 0);
    descriptor(f, DATA0, 0x12345678, 0xfffff, 0xc092);
    assert_false(ABANDONED(f, segment_load(f->cpu, SEG_FS, DATA0)));
    assert_int_equal(f->cpu->fs_base, 0x12345678);
    assert_false(ABANDONED(f, segment_load(f->cpu, SEG_GS, DATA0)));
    assert_int_equal(f->cpu->gs_base, 0x12345678);
}

static struct insn far_insn(u16 selector, u64 offset, unsigned size)
{
    return (struct insn){
        .operand_size = size, .length = 7, .count = 1,
        .operand[0] = {.kind = OPERAND_FAR, .selector = selector, .value = (s64)offset},
    };
}

static void test_far_jump(void **state)
{
    struct fixture *f = *state;
    struct insn insn = far_insn(CODE16, 0x1234, 4);
    protected32(f, 0);
    assert_false(ABANDONED(f, insn_jmp_far(f->cpu, &insn)));
    assert_int_equal(f->cpu->next_rip, 0x1234);
    assert_false(f->cpu->segment[SEG_CS].access & AR_DB);
    insn = far_insn(CODE16, 0x10000, 4); // beyond its limit
    protected32(f, 0);
    assert_true(ABANDONED(f, insn_jmp_far(f->cpu, &insn)));
    assert_int_equal(handled(f), VECTOR_GP);
    assert_int_equal(frame32(f, 0), 0);
    insn = far_insn(CODE3, 0, 4);
    protected32(f, 0);
    assert_true(ABANDONED(f, insn_jmp_far(f->cpu, &insn)));
    assert_int_equal(frame32(f, 0), CODE3 & 0xfc);
}

static void test_call_gate_and_return(void **state)
{
    struct fixture *f = *state;
    struct insn call = far_insn(GATE | 3, 0, 4), ret = {.operand_size = 4, .length = 3, .count = 1,
        .operand[0] = {.kind = OPERAND_IMMEDIATE, .value = 8}};
    protected32(f, 3);
    gate(f, GDT + GATE, CODE0, 0x5678, 0xec, 2, false); // two parameters
    ram_write(f, STACK3, 8, 0x2222222211111111);
    f->cpu->next_rip = CODE + 7;
    assert_false(ABANDONED(f, insn_call_far(f->cpu, &call)));
    assert_int_equal(f->cpu->cpl, 0);
    assert_int_equal(f->cpu->next_rip, 0x5678);
    assert_int_equal(f->cpu->segment[SEG_CS].selector, CODE0);
    const u64 expected[] = {CODE + 7, CODE3, 0x11111111, 0x22222222, STACK3, DATA3};
    for (unsigned i = 0; i < ARRAY_SIZE(expected); i++)
        assert_int_equal(frame32(f, i), expected[i]);
    f->cpu->segment[SEG_ES].access &= ~(u32)AR_DPL; // a segment of the kernel's does not leave with it
    assert_false(ABANDONED(f, insn_ret_far(f->cpu, &ret)));
    assert_int_equal(f->cpu->cpl, 3);
    assert_int_equal(f->cpu->next_rip, CODE + 7);
    assert_int_equal(f->cpu->gpr[RSP], STACK3 + 8);
    assert_int_equal(f->cpu->segment[SEG_ES].selector, 0);
    assert_int_equal(f->cpu->segment[SEG_DS].selector, DATA3);
    // A gate that user code may not use.
    protected32(f, 3);
    gate(f, GDT + GATE, CODE0, 0x5678, 0x8c, 0, false);
    assert_true(ABANDONED(f, insn_call_far(f->cpu, &call)));
    assert_int_equal(handled(f), VECTOR_GP);
    assert_int_equal(frame32(f, 0), GATE);
}

static void push64(struct fixture *f, u64 value)
{
    f->cpu->gpr[RSP] -= 8;
    ram_write(f, f->cpu->gpr[RSP], 8, value);
}

static void iret_frame(struct fixture *f, u16 ss, u64 rsp, u64 flags, u16 cs, u64 rip)
{
    long64(f, 0);
    push64(f, ss);
    push64(f, rsp);
    push64(f, flags);
    push64(f, cs);
    push64(f, rip);
}

static void test_iret_64(void **state)
{
    struct fixture *f = *state;
    const struct insn iret = {.operand_size = 8, .length = 2, .code64 = true};
    iret_frame(f, DATA3, STACK3 - 8, FLAG_FIXED | FLAG_IF | FLAG_RF | FLAG_NT, CODE3, 0x7fffffffffff);
    assert_false(ABANDONED(f, insn_iret(f->cpu, &iret)));
    assert_int_equal(f->cpu->cpl, 3);
    assert_int_equal(f->cpu->gpr[RSP], STACK3 - 8);
    assert_int_equal(f->cpu->next_rip, 0x7fffffffffff);
    assert_int_equal(f->cpu->rflags, FLAG_FIXED | FLAG_IF | FLAG_RF | FLAG_NT);
    iret_frame(f, DATA3, STACK3, FLAG_FIXED, CODE3, 0x800000000000); // not canonical
    assert_true(ABANDONED(f, insn_iret(f->cpu, &iret)));
    assert_int_equal(handled(f), VECTOR_GP);
    assert_int_equal(f->cpu->gpr[RSP], STACK0 - 48 - 48); // SS and CPL were not touched before
    iret_frame(f, 0, STACK3, FLAG_FIXED, CODE3, CODE); // null SS in ring 3
    assert_true(ABANDONED(f, insn_iret(f->cpu, &iret)));
    assert_int_equal(handled(f), VECTOR_GP);
    iret_frame(f, 0, STACK3, FLAG_FIXED, CODE0, CODE); // null SS in ring 0
    assert_false(ABANDONED(f, insn_iret(f->cpu, &iret)));
    assert_int_equal(f->cpu->gpr[RSP], STACK3);
    iret_frame(f, DATA0, STACK0, FLAG_FIXED, CODE0, CODE);
    f->cpu->rflags |= FLAG_NT;
    assert_true(ABANDONED(f, insn_iret(f->cpu, &iret)));
    assert_int_equal(handled(f), VECTOR_GP);
}

static void test_user_cannot_change_if_with_iret(void **state)
{
    struct fixture *f = *state;
    const struct insn iret = {.operand_size = 8, .length = 2, .code64 = true};
    long64(f, 3);
    push64(f, DATA3);
    push64(f, STACK3);
    push64(f, FLAG_IF | FLAG_IOPL | FLAG_CF);
    push64(f, CODE3);
    push64(f, CODE);
    assert_false(ABANDONED(f, insn_iret(f->cpu, &iret)));
    assert_int_equal(f->cpu->rflags, FLAG_FIXED | FLAG_CF);
}

static void task_prepare(struct fixture *f)
{
    protected32(f, 0);
    ram_write(f, TSS2 + 0x20, 4, 0x30000);
    ram_write(f, TSS2 + 0x24, 4, FLAG_FIXED | FLAG_CF);
    ram_write(f, TSS2 + 0x28, 4, 0xa5a5);
    ram_write(f, TSS2 + 0x38, 4, STACK_IST);
    const u16 selector[] = {DATA0, CODE0, DATA0, DATA0, 0, 0};
    for (unsigned i = 0; i < 6; i++)
        ram_write(f, TSS2 + 0x48 + i * 4, 2, selector[i]);
}

static void test_task_switch(void **state)
{
    struct fixture *f = *state;
    struct insn call = far_insn(TSS2_SELECTOR, 0, 4);
    const struct insn iret = {.operand_size = 4, .length = 1};
    task_prepare(f);
    descriptor(f, TSS_SELECTOR, TSS, 0x67, 0x8b);
    f->cpu->gpr[RAX] = 0x77;
    assert_false(ABANDONED(f, insn_call_far(f->cpu, &call)));
    assert_int_equal(f->cpu->next_rip, 0x30000);
    assert_int_equal(f->cpu->gpr[RAX], 0xa5a5);
    assert_int_equal(f->cpu->rflags, FLAG_FIXED | FLAG_CF | FLAG_NT);
    assert_true(f->cpu->cr0 & CR0_TS);
    assert_int_equal(f->cpu->segment[SEG_TR].selector, TSS2_SELECTOR);
    assert_int_equal(ram_read(f, TSS2, 2), TSS_SELECTOR);
    assert_int_equal(ram_read(f, GDT + TSS2_SELECTOR + 5, 1), 0x8b);
    assert_int_equal(ram_read(f, GDT + TSS_SELECTOR + 5, 1), 0x8b);
    assert_int_equal(ram_read(f, TSS + 0x20, 4), CODE + 2);
    assert_int_equal(ram_read(f, TSS + 0x28, 4), 0x77);
    assert_false(ABANDONED(f, insn_iret(f->cpu, &iret)));
    assert_int_equal(f->cpu->next_rip, CODE + 2);
    assert_int_equal(f->cpu->gpr[RAX], 0x77);
    assert_int_equal(ram_read(f, GDT + TSS2_SELECTOR + 5, 1), 0x89);
}

static void test_task_switch_refusals(void **state)
{
    struct fixture *f = *state;
    struct insn call = far_insn(TSS2_SELECTOR, 0, 4);
    task_prepare(f);
    descriptor(f, TSS2_SELECTOR, TSS2, 0x67, 0x8b); // busy
    assert_true(ABANDONED(f, insn_call_far(f->cpu, &call)));
    assert_int_equal(handled(f), VECTOR_GP);
    assert_int_equal(frame32(f, 0), TSS2_SELECTOR);
    task_prepare(f);
    descriptor(f, TSS2_SELECTOR, TSS2, 0x66, 0x89); // too short
    assert_true(ABANDONED(f, insn_call_far(f->cpu, &call)));
    assert_int_equal(handled(f), VECTOR_TS);
    assert_int_equal(f->cpu->segment[SEG_TR].selector, TSS_SELECTOR);
    task_prepare(f);
    ram_write(f, TSS2 + 0x54, 2, ABSENT); // the new task's DS: its own fault, on its own stack
    assert_true(ABANDONED(f, insn_call_far(f->cpu, &call)));
    assert_int_equal(handled(f), VECTOR_NP);
    assert_int_equal(f->cpu->segment[SEG_TR].selector, TSS2_SELECTOR);
    assert_int_equal(frame32(f, 0), ABSENT);
    assert_int_equal(frame32(f, 1), 0x30000);
}

static void test_questions(void **state)
{
    struct fixture *f = *state;
    const struct { u16 selector; unsigned cpl; bool read, write, lar, lsl; } row[] = {
        {DATA0, 0, true, true, true, true}, {CODE0, 0, true, false, true, true},
        {READ_ONLY, 0, true, false, true, true},
        {0, 0, false, false, false, false}, {DATA0, 3, false, false, false, false},
        {TSS_SELECTOR, 0, false, false, true, true}, {0xf8, 0, false, false, false, false},
        {CONFORMING, 3, true, false, true, true},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(row); i++) {
        protected32(f, row[i].cpl);
        struct insn one = {.operand_size = 2, .count = 1, .operand[0] = {.kind = OPERAND_GPR, .size = 2, .reg = RAX}};
        struct insn two = {.operand_size = 4, .count = 2, .operand = {{.kind = OPERAND_GPR, .size = 4, .reg = RCX},
                                                                      {.kind = OPERAND_GPR, .size = 2, .reg = RAX}}};
        f->cpu->gpr[RAX] = row[i].selector;
        insn_verr(f->cpu, &one);
        assert_int_equal(!!(f->cpu->rflags & FLAG_ZF), row[i].read);
        insn_verw(f->cpu, &one);
        assert_int_equal(!!(f->cpu->rflags & FLAG_ZF), row[i].write);
        insn_lar(f->cpu, &two);
        assert_int_equal(!!(f->cpu->rflags & FLAG_ZF), row[i].lar);
        insn_lsl(f->cpu, &two);
        assert_int_equal(!!(f->cpu->rflags & FLAG_ZF), row[i].lsl);
        if (row[i].selector == TSS_SELECTOR)
            assert_int_equal(f->cpu->gpr[RCX], 0x67);
    }
}

static void test_syscall_and_sysret(void **state)
{
    struct fixture *f = *state;
    const struct insn syscall = {.operand_size = 8, .length = 2, .code64 = true};
    long64(f, 3);
    f->cpu->msr.star = (u64)0x13 << 48 | (u64)CODE0 << 32;
    f->cpu->msr.lstar = 0xffffffff81000000;
    f->cpu->msr.sfmask = FLAG_IF | FLAG_TF;
    f->cpu->rflags |= FLAG_IF | FLAG_TF | FLAG_CF;
    assert_false(ABANDONED(f, insn_syscall(f->cpu, &syscall)));
    assert_int_equal(f->cpu->next_rip, 0xffffffff81000000);
    assert_int_equal(f->cpu->cpl, 0);
    assert_int_equal(f->cpu->rflags, FLAG_FIXED | FLAG_CF);
    assert_int_equal(f->cpu->gpr[RCX], CODE + 2);
    assert_int_equal(f->cpu->gpr[R11], FLAG_FIXED | FLAG_IF | FLAG_TF | FLAG_CF);
    assert_int_equal(f->cpu->segment[SEG_SS].selector, DATA0);
    assert_false(ABANDONED(f, insn_sysret(f->cpu, &syscall)));
    assert_int_equal(f->cpu->next_rip, CODE + 2);
    assert_int_equal(f->cpu->cpl, 3);
    assert_int_equal(f->cpu->segment[SEG_CS].selector, 0x23);
    assert_int_equal(f->cpu->segment[SEG_SS].selector, 0x1b);
    assert_true(f->cpu->rflags & FLAG_IF);
    long64(f, 0);
    f->cpu->gpr[RCX] = 1ull << 47;
    assert_true(ABANDONED(f, insn_sysret(f->cpu, &syscall)));
    assert_int_equal(handled(f), VECTOR_GP);
    assert_int_equal(f->cpu->cpl, 0); // in the kernel still, on its stack
    assert_int_equal(f->cpu->gpr[RSP], STACK0 - 48);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_data_segments),
        cmocka_unit_test(test_stack_segment),
        cmocka_unit_test(test_stack_null_in_64_bit_mode),
        cmocka_unit_test(test_bases_are_repeated),
        cmocka_unit_test(test_far_jump),
        cmocka_unit_test(test_call_gate_and_return),
        cmocka_unit_test(test_iret_64),
        cmocka_unit_test(test_user_cannot_change_if_with_iret),
        cmocka_unit_test(test_task_switch),
        cmocka_unit_test(test_task_switch_refusals),
        cmocka_unit_test(test_questions),
        cmocka_unit_test(test_syscall_and_sysret),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
