// Delivery of events: frames, error codes with their EXT bit, stacks, double and triple faults, what holds what back.
#include "soft_system.h"

#include "engine/soft/access.h"
#include "engine/soft/debug.h"
#include "engine/soft/insn_far.h"

static u64 frame(struct fixture *f, unsigned index) { return ram_read(f, f->cpu->gpr[RSP] + 8 * index, 8); }
static u64 frame32(struct fixture *f, unsigned index) { return ram_read(f, f->cpu->gpr[RSP] + 4 * index, 4); }

static bool inject(struct fixture *f, enum event_type type, unsigned vector, unsigned length)
{
    f->cpu->event = (struct event){.valid = true, .type = type, .vector = vector, .length = length};
    return ABANDONED(f, event_deliver(f->cpu));
}

static void test_long_fault_from_user(void **state)
{
    struct fixture *f = *state;
    long64(f, 3);
    f->cpu->rflags |= FLAG_IF | FLAG_TF | FLAG_CF;
    assert_true(ABANDONED(f, cpu_raise_page_fault(f->cpu, 0x1234567, 7)));
    assert_int_equal(handled(f), VECTOR_PF);
    assert_int_equal(f->cpu->cr2, 0x1234567);
    assert_int_equal(f->cpu->cpl, 0);
    assert_int_equal(f->cpu->segment[SEG_CS].selector, CODE0);
    assert_int_equal(f->cpu->segment[SEG_SS].selector, 0);
    assert_true(f->cpu->segment[SEG_SS].access & AR_UNUSABLE);
    assert_int_equal(f->cpu->gpr[RSP], STACK0 - 48);
    assert_int_equal(frame(f, 0), 7);
    assert_int_equal(frame(f, 1), CODE);
    assert_int_equal(frame(f, 2), CODE3);
    assert_int_equal(frame(f, 3), FLAG_FIXED | FLAG_IF | FLAG_TF | FLAG_CF | FLAG_RF); // a fault's image has RF
    assert_int_equal(frame(f, 4), STACK3);
    assert_int_equal(frame(f, 5), DATA3);
    assert_int_equal(f->cpu->rflags, FLAG_FIXED | FLAG_CF);
    assert_false(f->cpu->event.valid);
}

static void test_long_interrupt_aligns_the_stack(void **state)
{
    struct fixture *f = *state;
    long64(f, 0);
    f->cpu->gpr[RSP] = STACK0 - 4;
    assert_false(inject(f, EVENT_INTERRUPT, 0x40, 0));
    assert_int_equal(handled(f), 0x40);
    assert_int_equal(f->cpu->gpr[RSP], STACK0 - 16 - 40);
    assert_int_equal(frame(f, 3), STACK0 - 4);
    assert_int_equal(frame(f, 2), FLAG_FIXED);
    assert_int_equal(f->cpu->segment[SEG_SS].selector, DATA0); // no change of privilege, no change of SS
}

static void test_long_ist(void **state)
{
    struct fixture *f = *state;
    long64(f, 0);
    gate(f, IDT + VECTOR_NMI * 16, CODE0, HANDLER + VECTOR_NMI * 16, 0x8e, 1, true);
    assert_false(inject(f, EVENT_NMI, VECTOR_NMI, 0));
    assert_int_equal(f->cpu->gpr[RSP], STACK_IST - 40);
    assert_int_equal(frame(f, 3), STACK0);
    assert_int_equal(f->cpu->interruptibility, BLOCKING_NMI);
}

static void test_trap_gate_keeps_if(void **state)
{
    struct fixture *f = *state;
    long64(f, 0);
    gate(f, IDT + 0x41 * 16, CODE0, HANDLER + 0x41 * 16, 0x8f, 0, true);
    f->cpu->rflags |= FLAG_IF;
    assert_false(inject(f, EVENT_INTERRUPT, 0x41, 0));
    assert_int_equal(f->cpu->rflags, FLAG_FIXED | FLAG_IF);
}

static void test_software_interrupt_needs_privilege(void **state)
{
    struct fixture *f = *state;
    long64(f, 3);
    assert_true(ABANDONED(f, cpu_raise_software(f->cpu, EVENT_SOFT_INTERRUPT, 0x80, 2)));
    assert_int_equal(handled(f), VECTOR_GP);
    assert_int_equal(frame(f, 0), 0x80 * 8 + 2); // EXT is clear
    assert_int_equal(frame(f, 1), CODE);         // the instruction itself
    long64(f, 3);
    gate(f, IDT + 0x80 * 16, CODE0, HANDLER + 0x80 * 16, 0xee, 0, true);
    assert_true(ABANDONED(f, cpu_raise_software(f->cpu, EVENT_SOFT_INTERRUPT, 0x80, 2)));
    assert_int_equal(handled(f), 0x80);
    assert_int_equal(frame(f, 0), CODE + 2);
}

static void test_external_interrupt_sets_ext(void **state)
{
    struct fixture *f = *state;
    long64(f, 0);
    gate(f, IDT + 0x50 * 16, CODE0, HANDLER, 0x0e, 0, true); // not present
    assert_true(inject(f, EVENT_INTERRUPT, 0x50, 0));
    assert_int_equal(handled(f), VECTOR_NP);
    assert_int_equal(frame(f, 0), 0x50 * 8 + 2 + 1);
    long64(f, 0);
    gate(f, IDT + 0x50 * 16, DATA0, HANDLER, 0x8e, 0, true); // no code segment
    assert_true(inject(f, EVENT_INTERRUPT, 0x50, 0));
    assert_int_equal(handled(f), VECTOR_GP);
    assert_int_equal(frame(f, 0), DATA0 + 1);
    long64(f, 0);
    f->cpu->idt.limit = 0x50 * 16 + 14;
    assert_true(inject(f, EVENT_INTERRUPT, 0x50, 0));
    assert_int_equal(frame(f, 0), 0x50 * 8 + 2 + 1);
    long64(f, 0);
    gate(f, IDT + 0x50 * 16, 0, HANDLER, 0x8e, 0, true);
    assert_true(inject(f, EVENT_INTERRUPT, 0x50, 0));
    assert_int_equal(handled(f), VECTOR_GP);
    assert_int_equal(frame(f, 0), 1);
}

static void test_page_fault_on_page_fault_is_double(void **state)
{
    struct fixture *f = *state;
    long64(f, 0);
    f->cpu->gpr[RSP] = RAM - 64; // not mapped
    gate(f, IDT + VECTOR_DF * 16, CODE0, HANDLER + VECTOR_DF * 16, 0x8e, 1, true);
    assert_true(ABANDONED(f, cpu_raise_page_fault(f->cpu, 0x999000, 2)));
    assert_int_equal(handled(f), VECTOR_DF);
    assert_int_equal(frame(f, 0), 0);
    assert_int_equal(frame(f, 1), CODE);
    assert_int_equal(f->cpu->cr2, RAM - 72); // of the second fault
}

static void test_page_fault_on_interrupt_is_serial(void **state)
{
    struct fixture *f = *state;
    long64(f, 0);
    f->cpu->gpr[RSP] = RAM - 64;
    gate(f, IDT + VECTOR_PF * 16, CODE0, HANDLER + VECTOR_PF * 16, 0x8e, 1, true);
    assert_true(inject(f, EVENT_INTERRUPT, 0x40, 0));
    assert_int_equal(handled(f), VECTOR_PF);
    assert_int_equal(frame(f, 0), 2);
}

static void test_contributory_pairs(void **state)
{
    struct fixture *f = *state;
    // #DE, then #NP for its gate: double fault. #UD is benign: serial.
    long64(f, 0);
    gate(f, IDT + VECTOR_DE * 16, CODE0, HANDLER, 0x0e, 0, true);
    assert_true(ABANDONED(f, cpu_raise(f->cpu, VECTOR_DE)));
    assert_int_equal(handled(f), VECTOR_DF);
    long64(f, 0);
    gate(f, IDT + VECTOR_UD * 16, CODE0, HANDLER, 0x0e, 0, true);
    assert_true(ABANDONED(f, cpu_raise(f->cpu, VECTOR_UD)));
    assert_int_equal(handled(f), VECTOR_NP);
    assert_int_equal(frame(f, 0), VECTOR_UD * 8 + 2 + 1);
}

static void test_triple_fault(void **state)
{
    struct fixture *f = *state;
    long64(f, 0);
    f->cpu->idt.limit = 0;
    assert_true(ABANDONED(f, cpu_raise(f->cpu, VECTOR_DE)));
    assert_true(f->cpu->leave);
    assert_int_equal(f->cpu->run->exit_reason, KVM_EXIT_SHUTDOWN);
}

static void test_protected_inner_stack(void **state)
{
    struct fixture *f = *state;
    protected32(f, 3);
    assert_true(ABANDONED(f, cpu_raise_code(f->cpu, VECTOR_GP, 0x28)));
    assert_int_equal(handled(f), VECTOR_GP);
    assert_int_equal(f->cpu->gpr[RSP], STACK0 - 24);
    assert_int_equal(f->cpu->segment[SEG_SS].selector, DATA0);
    assert_int_equal(frame32(f, 0), 0x28);
    assert_int_equal(frame32(f, 2), CODE3);
    assert_int_equal(frame32(f, 4), STACK3);
    assert_int_equal(frame32(f, 5), DATA3);
    // A TSS whose SS0 is no stack for ring 0: #TS with that selector, which cannot be delivered either.
    protected32(f, 3);
    ram_write(f, TSS + 8, 4, DATA3);
    assert_true(ABANDONED(f, cpu_raise(f->cpu, VECTOR_UD)));
    assert_true(f->cpu->leave);
}

static void test_v8086_frame(void **state)
{
    struct fixture *f = *state;
    protected32(f, 3);
    f->cpu->rflags |= FLAG_VM | FLAG_IOPL;
    for (unsigned i = SEG_ES; i <= SEG_GS; i++)
        segment_set_real(f->cpu, i, 0x1000 + i);
    f->cpu->rip = 0x10;
    f->cpu->gpr[RSP] = 0x800;
    cpu_mode_update(f->cpu);
    assert_true(ABANDONED(f, cpu_raise(f->cpu, VECTOR_UD)));
    assert_int_equal(handled(f), VECTOR_UD);
    assert_int_equal(f->cpu->gpr[RSP], STACK0 - 36);
    const u64 expected[] = {0x10, 0x1001, FLAG_FIXED | FLAG_VM | FLAG_IOPL | FLAG_RF, 0x800, 0x1002, 0x1000, 0x1003,
        0x1004, 0x1005};
    for (unsigned i = 0; i < ARRAY_SIZE(expected); i++)
        assert_int_equal(frame32(f, i), expected[i]);
    assert_false(f->cpu->rflags & FLAG_VM);
    assert_true(f->cpu->segment[SEG_DS].access & AR_UNUSABLE);
    // And back.
    const struct insn iret = {.operand_size = 4, .length = 1};
    assert_false(ABANDONED(f, insn_iret(f->cpu, &iret)));
    assert_true(f->cpu->rflags & FLAG_VM);
    assert_int_equal(f->cpu->cpl, 3);
    assert_int_equal(f->cpu->next_rip, 0x10);
    assert_int_equal(f->cpu->gpr[RSP], 0x800);
    assert_int_equal(f->cpu->segment[SEG_GS].base, 0x10050);
}

static void test_real_mode(void **state)
{
    struct fixture *f = *state;
    real16(f);
    f->cpu->rflags |= FLAG_IF;
    assert_true(ABANDONED(f, cpu_raise(f->cpu, VECTOR_GP))); // no error code here
    assert_int_equal(f->cpu->segment[SEG_CS].base, HANDLER);
    assert_int_equal(f->cpu->rip, 0x100 + VECTOR_GP * 16);
    assert_int_equal(f->cpu->gpr[RSP], 0x7000 - 6);
    assert_int_equal(ram_read(f, 0x6ffa, 2), 0x100);
    assert_int_equal(ram_read(f, 0x6ffc, 2), 0x1000);
    assert_int_equal(ram_read(f, 0x6ffe, 2), FLAG_FIXED | FLAG_IF);
    assert_int_equal(f->cpu->rflags, FLAG_FIXED);
    real16(f);
    f->cpu->idt.limit = 0x1f; // not even room for #DF
    assert_true(ABANDONED(f, cpu_raise_software(f->cpu, EVENT_SOFT_INTERRUPT, 0x80, 2)));
    assert_true(f->cpu->leave);
}

static void test_nmi_waits_for_iret(void **state)
{
    struct fixture *f = *state;
    long64(f, 0);
    f->cpu->nmi_pending = true;
    assert_false(ABANDONED(f, assert_true(event_poll(f->cpu))));
    assert_int_equal(handled(f), VECTOR_NMI);
    f->cpu->nmi_pending = true;
    f->cpu->rip = CODE;
    assert_false(ABANDONED(f, assert_true(event_poll(f->cpu))));
    assert_int_equal(f->cpu->rip, CODE);
    const struct insn iret = {.operand_size = 8, .length = 2, .code64 = true};
    assert_false(ABANDONED(f, insn_iret(f->cpu, &iret)));
    f->cpu->rip = f->cpu->next_rip;
    assert_false(ABANDONED(f, assert_true(event_poll(f->cpu))));
    assert_int_equal(handled(f), VECTOR_NMI);
    assert_false(f->cpu->nmi_pending);
}

static void test_mov_ss_holds_everything_back(void **state)
{
    struct fixture *f = *state;
    long64(f, 0);
    f->cpu->rflags |= FLAG_IF;
    f->cpu->interruptibility = BLOCKING_MOV_SS;
    f->cpu->nmi_pending = f->cpu->extint_pending = true;
    f->cpu->extint_vector = 0x33;
    f->cpu->pending_debug = DR6_BS;
    assert_false(ABANDONED(f, assert_true(event_poll(f->cpu))));
    assert_int_equal(f->cpu->rip, CODE);
    f->cpu->interruptibility = 0;
    assert_true(ABANDONED(f, event_poll(f->cpu))); // the trap first
    assert_int_equal(handled(f), VECTOR_DB);
    assert_int_equal(f->cpu->dr[6] & 0xffff, 0x4ff0);
    assert_false(ABANDONED(f, assert_true(event_poll(f->cpu))));
    assert_int_equal(handled(f), VECTOR_NMI);
    assert_true(f->cpu->extint_pending); // IF is clear in handlers
    f->cpu->extint_pending = false;
}

static void test_breakpoints(void **state)
{
    enum { DATA = 0x10000 };
    struct fixture *f = *state;
    long64(f, 0);
    f->cpu->dr[0] = DATA + 8;
    f->cpu->dr[1] = CODE;
    f->cpu->dr[2] = 0x3f8;
    f->cpu->dr[7] = DR7_FIXED | 1 | 0xdull << 16 | 1ull << 4 | 0x2ull << 24; // 4 bytes written, one byte of ports
    f->cpu->rip = CODE + 1;
    assert_false(ABANDONED(f, assert_true(debug_prepare(f->cpu))));
    access_write(f->cpu, DATA, 8, 0);
    access_write(f->cpu, DATA + 12, 4, 0);
    access_read(f->cpu, DATA + 8, 4);
    assert_int_equal(f->cpu->pending_debug, 0);
    access_write(f->cpu, DATA + 11, 1, 0);
    assert_int_equal(f->cpu->pending_debug, 1);
    debug_io(f->cpu, 0x3f8, 1); // not without CR4.DE
    assert_int_equal(f->cpu->pending_debug, 1);
    f->cpu->cr4 |= CR4_DE;
    debug_io(f->cpu, 0x3f6, 4);
    assert_int_equal(f->cpu->pending_debug, 5);
    f->cpu->pending_debug = 0;
    // On execution: a fault, unless RF says that it has been taken.
    f->cpu->dr[7] |= 1 << 2;
    f->cpu->rip = CODE;
    f->cpu->rflags |= FLAG_RF;
    assert_false(ABANDONED(f, debug_prepare(f->cpu)));
    f->cpu->rflags &= ~FLAG_RF;
    f->cpu->dr[6] = DR6_FIXED;
    assert_true(ABANDONED(f, debug_prepare(f->cpu)));
    assert_int_equal(handled(f), VECTOR_DB);
    assert_int_equal(frame(f, 0), CODE);
    assert_int_equal(f->cpu->dr[6], DR6_FIXED | 2);
    f->cpu->dr[7] = DR7_FIXED;
    assert_false(ABANDONED(f, assert_false(debug_prepare(f->cpu))));
}

static void test_halted_until_interrupt(void **state)
{
    struct fixture *f = *state;
    long64(f, 0);
    f->cpu->mp_state = KVM_MP_STATE_HALTED;
    assert_false(ABANDONED(f, assert_false(event_poll(f->cpu))));
    f->cpu->extint_pending = true;
    f->cpu->extint_vector = 0x33;
    assert_false(ABANDONED(f, assert_false(event_poll(f->cpu)))); // IF is clear
    f->cpu->rflags |= FLAG_IF;
    assert_false(ABANDONED(f, assert_true(event_poll(f->cpu))));
    assert_int_equal(handled(f), 0x33);
}

static void test_init_and_sipi(void **state)
{
    struct fixture *f = *state;
    long64(f, 0);
    f->cpu->msr.apic_base &= ~0x100ull; // no boot processor
    f->cpu->init_pending = true;
    assert_false(ABANDONED(f, assert_false(event_poll(f->cpu))));
    assert_int_equal(f->cpu->mp_state, KVM_MP_STATE_INIT_RECEIVED);
    assert_int_equal(f->cpu->cr0, CR0_ET);
    f->cpu->sipi_pending = true;
    f->cpu->sipi_vector = 0x12;
    assert_false(ABANDONED(f, assert_true(event_poll(f->cpu))));
    assert_int_equal(f->cpu->segment[SEG_CS].base + f->cpu->rip, 0x12000);
    f->cpu->msr.apic_base |= 0x100;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_long_fault_from_user),
        cmocka_unit_test(test_long_interrupt_aligns_the_stack),
        cmocka_unit_test(test_long_ist),
        cmocka_unit_test(test_trap_gate_keeps_if),
        cmocka_unit_test(test_software_interrupt_needs_privilege),
        cmocka_unit_test(test_external_interrupt_sets_ext),
        cmocka_unit_test(test_page_fault_on_page_fault_is_double),
        cmocka_unit_test(test_page_fault_on_interrupt_is_serial),
        cmocka_unit_test(test_contributory_pairs),
        cmocka_unit_test(test_triple_fault),
        cmocka_unit_test(test_protected_inner_stack),
        cmocka_unit_test(test_v8086_frame),
        cmocka_unit_test(test_real_mode),
        cmocka_unit_test(test_nmi_waits_for_iret),
        cmocka_unit_test(test_mov_ss_holds_everything_back),
        cmocka_unit_test(test_breakpoints),
        cmocka_unit_test(test_halted_until_interrupt),
        cmocka_unit_test(test_init_and_sipi),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
