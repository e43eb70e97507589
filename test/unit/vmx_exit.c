// VM exits: which questions of intercept.h are answered with one, what the exit says, and that a guest which
// scribbles over its VMCS harms only itself.
#include "vmx_fixture.h"

#include "engine/soft/intercept.h"

static void enter(struct fixture *f)
{
    assert_true(vmx_launches(f));
    f->cpu->rip = 0x2000;
    f->cpu->next_rip = 0x2002;
    f->cpu->event.valid = false;
}

// Runs the statement in guest mode: true when it made a VM exit.
#define EXITS(f, statement) \
    ({ \
        enter(f); \
        bool left = true; \
        if (!__builtin_setjmp((f)->cpu->unwind)) { \
            statement; \
            left = false; \
        } \
        if (!left) \
            assert_true((f)->cpu->guest_mode); \
        host_fill((f)->cpu); \
        left; \
    })

static void __attribute__((noinline)) ask_msr(struct cpu *cpu, u32 msr, bool write) { intercept_msr(cpu, msr, write); }
static void __attribute__((noinline)) ask_io(struct cpu *cpu, const struct insn *insn, u16 port, unsigned size)
{
    intercept_io(cpu, insn, port, size, false, false, 0);
}
static void __attribute__((noinline)) ask_event(struct cpu *cpu, const struct event *event)
{
    intercept_event(cpu, event);
}
static void __attribute__((noinline)) ask_insn(struct cpu *cpu, const struct insn *insn, enum intercept intercept)
{
    intercept_insn(cpu, insn, intercept);
}
static u64 written;
static void __attribute__((noinline))
ask_cr(struct cpu *cpu, const struct insn *insn, unsigned cr, unsigned gpr, u64 value)
{
    written = intercept_cr_write(cpu, insn, cr, gpr, value);
}

static void test_memory_information(void **state)
{
    struct fixture *f = *state;
    struct insn insn = {.length = 7, .address_size = 8, .code64 = true, .count = 1};
    insn.operand[0] = (struct operand){.kind = OPERAND_MEMORY, .segment = SEG_SS, .base = RSP, .index = R9, .scale = 4,
                                       .value = -8};
    assert_int_equal(vmx_information_memory(&insn, 0, -1), 2 | 2 << 7 | SEG_SS << 15 | R9 << 18 | RSP << 23);
    assert_int_equal(vmx_information_memory(&insn, 0, R15) >> 28, R15);
    assert_int_equal(vmx_displacement(f->cpu, &insn, 0), (u64)-8);
    insn.operand[0] = (struct operand){.kind = OPERAND_MEMORY, .segment = SEG_DS, .base = INSN_RIP,
                                       .index = INSN_NO_REGISTER, .scale = 1, .value = 0x10};
    f->cpu->next_rip = 0x1007;
    assert_int_equal(vmx_information_memory(&insn, 0, -1), 2 << 7 | SEG_DS << 15 | 1 << 22 | 1 << 27);
    assert_int_equal(vmx_displacement(f->cpu, &insn, 0), 0x1017);
    insn.operand[0] = (struct operand){.kind = OPERAND_GPR, .size = 8, .reg = R12};
    assert_int_equal(vmx_information_memory(&insn, 0, RCX), 2 << 7 | 1 << 10 | R12 << 3 | RCX << 28);
    assert_int_equal(vmx_displacement(f->cpu, &insn, 0), 0);
}

static void test_msr_bitmap(void **state)
{
    struct fixture *f = *state;
    f->vmcs->cpu_controls |= CPU_MSR_BITMAPS;
    f->vmcs->msr_bitmap = 0x5000;
    u8 *bitmap = f->ram + 0x5000;
    bitmap[0x10 / 8] |= 1 << (0x10 % 8);
    bitmap[3072 + 0x82 / 8] |= 1 << (0x82 % 8);
    assert_true(EXITS(f, ask_msr(f->cpu, 0x10, false)));
    assert_int_equal(f->vmcs->exit_reason, REASON_RDMSR);
    assert_int_equal(f->vmcs->exit_length, 2);
    assert_false(EXITS(f, ask_msr(f->cpu, 0x10, true)));
    assert_false(EXITS(f, ask_msr(f->cpu, 0xc0000082, false)));
    assert_true(EXITS(f, ask_msr(f->cpu, 0xc0000082, true)));
    assert_int_equal(f->vmcs->exit_reason, REASON_WRMSR);
    assert_true(EXITS(f, ask_msr(f->cpu, 0x40000000, false))); // in neither range
    f->vmcs->msr_bitmap = 0x80000000; // no RAM there: reads as ones
    assert_true(EXITS(f, ask_msr(f->cpu, 0x1b, false)));
}

static void test_io_bitmap(void **state)
{
    struct fixture *f = *state;
    struct insn insn = {.length = 2, .address_size = 8, .operand_size = 4, .code64 = true, .count = 2};
    insn.operand[0] = (struct operand){.kind = OPERAND_GPR, .reg = RDX, .size = 2};
    insn.operand[1] = (struct operand){.kind = OPERAND_GPR, .reg = RAX, .size = 4};
    f->vmcs->cpu_controls |= CPU_IO_BITMAPS;
    f->vmcs->io_bitmap_a = 0x5000;
    f->vmcs->io_bitmap_b = 0x6000;
    f->ram[0x5000 + 0x83 / 8] |= 1 << (0x83 % 8);
    assert_false(EXITS(f, ask_io(f->cpu, &insn, 0x7f, 4)));
    assert_true(EXITS(f, ask_io(f->cpu, &insn, 0x80, 4)));
    assert_int_equal(f->vmcs->exit_reason, REASON_IO);
    assert_int_equal(f->vmcs->qualification, 3 | 0x80 << 16);
    assert_false(EXITS(f, ask_io(f->cpu, &insn, 0x8083, 1)));
    assert_true(EXITS(f, ask_io(f->cpu, &insn, 0xffff, 2))); // wraps around
}

static void test_control_registers(void **state)
{
    struct fixture *f = *state;
    const struct insn insn = {.length = 3, .code64 = true};
    f->vmcs->cr0_mask = CR0_TS | CR0_CD;
    f->vmcs->cr0_shadow = CR0_TS;
    u64 cr0 = CR0_PE | CR0_NE | CR0_PG | CR0_WP;
    assert_true(EXITS(f, ask_cr(f->cpu, &insn, 0, RBX, cr0)));
    assert_int_equal(f->vmcs->exit_reason, REASON_CR);
    assert_int_equal(f->vmcs->qualification, RBX << 8);
    assert_false(EXITS(f, ask_cr(f->cpu, &insn, 0, RBX, cr0 | CR0_TS | CR0_AM)));
    assert_int_equal(written & (CR0_TS | CR0_AM), CR0_AM); // the guest's own bit is written, the host's is kept
    f->vmcs->cpu_controls |= CPU_CR3_LOAD;
    f->vmcs->cr3_target_count = 1;
    f->vmcs->cr3_target[0] = 0x123000;
    assert_false(EXITS(f, ask_cr(f->cpu, &insn, 3, RAX, 0x123000)));
    assert_true(EXITS(f, ask_cr(f->cpu, &insn, 3, RAX, 0x124000)));
    assert_int_equal(f->vmcs->qualification, 3);
}

static void test_exceptions(void **state)
{
    struct fixture *f = *state;
    struct event event = {.valid = true, .type = EVENT_EXCEPTION, .vector = VECTOR_PF, .has_error = true, .error = 2,
                          .address = 0x1234};
    f->vmcs->pf_error_mask = 2;
    f->vmcs->pf_error_match = 2;
    assert_false(EXITS(f, ask_event(f->cpu, &event)));
    f->vmcs->exception_bitmap = 1 << VECTOR_PF;
    assert_true(EXITS(f, ask_event(f->cpu, &event)));
    assert_int_equal(f->vmcs->exit_interruption, 0x80000b0e);
    assert_int_equal(f->vmcs->exit_error, 2);
    assert_int_equal(f->vmcs->qualification, 0x1234);
    event.error = 0;
    assert_false(EXITS(f, ask_event(f->cpu, &event)));
    f->vmcs->exception_bitmap = 0; // the bitmap's bit turns the meaning of a mismatch round
    assert_true(EXITS(f, ask_event(f->cpu, &event)));
    event = (struct event){.valid = true, .type = EVENT_SOFT_INTERRUPT, .vector = VECTOR_GP, .length = 2};
    f->vmcs->exception_bitmap = ~0u;
    assert_false(EXITS(f, ask_event(f->cpu, &event)));
    event = (struct event){.valid = true, .type = EVENT_SOFT_EXCEPTION, .vector = VECTOR_BP, .length = 1};
    assert_true(EXITS(f, ask_event(f->cpu, &event)));
    assert_int_equal(f->vmcs->exit_interruption, 0x80000603);
    assert_int_equal(f->vmcs->exit_length, 1);
}

static void test_instructions(void **state)
{
    struct fixture *f = *state;
    const struct insn insn = {.length = 2, .code64 = true};
    assert_true(EXITS(f, ask_insn(f->cpu, &insn, INTERCEPT_CPUID)));
    assert_int_equal(f->vmcs->exit_reason, REASON_CPUID);
    assert_true(EXITS(f, ask_insn(f->cpu, &insn, INTERCEPT_HLT)));
    f->vmcs->cpu_controls &= ~(u32)CPU_HLT;
    assert_false(EXITS(f, ask_insn(f->cpu, &insn, INTERCEPT_HLT)));
    assert_false(EXITS(f, ask_insn(f->cpu, &insn, INTERCEPT_WBINVD)));
    f->vmcs->cpu_controls2 |= CPU2_WBINVD;
    assert_true(EXITS(f, ask_insn(f->cpu, &insn, INTERCEPT_WBINVD)));
    assert_int_equal(f->vmcs->exit_reason, REASON_WBINVD);
}

static u64 next_random(u64 *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 24;
}

static __attribute__((noinline)) void scribbled_exit(struct fixture *f)
{
    static const struct insn insn = {.length = 3, .code64 = true};
    (void)vmx_returns(f->cpu, insn_vmcall, &insn);
}

// Other processors, and the hypervisor itself, can write to the page at any time.
static void test_scribbling(void **state)
{
    struct fixture *f = *state;
    u64 seed = 1;
    unsigned entered = 0;
    for (unsigned round = 0; round < 20000; round++) {
        vmx_again(f);
        f->cpu->vmx->on = true;
        f->cpu->vmx->current = VMX_VMCS;
        f->cpu->vmx->vmcs = f->vmcs;
        u32 *words = (u32 *)f->vmcs;
        for (u64 n = next_random(&seed) % 4; n > 0; n--)
            words[4 + next_random(&seed) % (sizeof *f->vmcs / 4 - 4)] ^= 1u << next_random(&seed) % 32;
        entered += vmx_launches(f);
        if (!f->cpu->guest_mode)
            continue;
        for (u64 n = next_random(&seed) % 40; n > 0; n--)
            words[next_random(&seed) % (sizeof *f->vmcs / 4)] = (u32)next_random(&seed);
        scribbled_exit(f);
        assert_false(f->cpu->guest_mode);
    }
    assert_true(entered > 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_memory_information, vmx_setup, vmx_teardown),
        cmocka_unit_test_setup_teardown(test_msr_bitmap, vmx_setup, vmx_teardown),
        cmocka_unit_test_setup_teardown(test_io_bitmap, vmx_setup, vmx_teardown),
        cmocka_unit_test_setup_teardown(test_control_registers, vmx_setup, vmx_teardown),
        cmocka_unit_test_setup_teardown(test_exceptions, vmx_setup, vmx_teardown),
        cmocka_unit_test_setup_teardown(test_instructions, vmx_setup, vmx_teardown),
        cmocka_unit_test_setup_teardown(test_scribbling, vmx_setup, vmx_teardown),
    };
    return cmocka_run_group_tests_name("vmx_exit", tests, NULL, NULL);
}
