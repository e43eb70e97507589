// VM entry: what the capability MSRs allow is accepted and what they do not is refused, bit by bit; the first failing
// check is the one the manual names first; a good entry loads the guest, and the exit after it the host.
#include "engine/soft/cpuid.h"
#include "vmx_fixture.h"

static u64 capability(struct fixture *f, u32 msr)
{
    u64 value;
    assert_true(vmx_msr_read(f->cpu, msr, &value));
    return value;
}

static void test_msrs(void **state)
{
    struct fixture *f = *state;
    u64 value, basic = capability(f, 0x480);
    assert_int_equal(basic & 0x7fffffff, VMCS_REVISION);
    assert_int_equal(basic >> 32 & 0x1fff, 4096);
    assert_false(vmx_msr_read(f->cpu, 0x491, &value));
    assert_false(vmx_msr_read(f->cpu, 0x47f, &value));
    // The TRUE controls allow at least what the old ones do.
    for (u32 msr = 0x481; msr <= 0x484; msr++) {
        u64 old = capability(f, msr), exact = capability(f, msr + 12);
        assert_int_equal(old >> 32, exact >> 32);
        assert_int_equal(exact & old & 0xffffffff, exact & 0xffffffff);
    }
}

static u32 *control_field(struct vmcs *vmcs, enum vmx_control control)
{
    switch (control) {
    case CONTROL_PIN: return &vmcs->pin_controls;
    case CONTROL_CPU: return &vmcs->cpu_controls;
    case CONTROL_CPU2: return &vmcs->cpu_controls2;
    case CONTROL_EXIT: return &vmcs->exit_controls;
    default: return &vmcs->entry_controls;
    }
}

// A control of an instruction that the processor does not have does not exist either.
static void test_controls_of_missing_instructions(void **state)
{
    struct fixture *f = *state;
    u32 features = f->cpu->features;
    f->cpu->features |= FEATURE_RDSEED;
    assert_true(capability(f, 0x48b) >> 32 & CPU2_RDSEED);
    f->cpu->features &= ~(u32)FEATURE_RDSEED;
    assert_false(capability(f, 0x48b) >> 32 & CPU2_RDSEED);
    vmcs_fill(f->vmcs);
    f->vmcs->cpu_controls2 |= CPU2_RDSEED;
    const char *failed = vmx_check_controls(f->cpu, f->vmcs);
    assert_non_null(failed);
    assert_non_null(strstr(failed, "reserved bits"));
    f->cpu->features = features;
}

static void test_reserved_control_bits(void **state)
{
    struct fixture *f = *state;
    static const u32 msr[CONTROL_COUNT] = {0x48d, 0x48e, 0x48b, 0x48f, 0x490};
    for (enum vmx_control control = 0; control < CONTROL_COUNT; control++) {
        u64 allowed = capability(f, msr[control]);
        for (unsigned bit = 0; bit < 32; bit++) {
            vmcs_fill(f->vmcs);
            assert_null(vmx_check_controls(f->cpu, f->vmcs));
            u32 *field = control_field(f->vmcs, control);
            if (allowed >> bit & 1)
                *field &= ~(1u << bit);
            else if (!(allowed >> (bit + 32) & 1))
                *field |= 1u << bit;
            else
                continue;
            const char *failed = vmx_check_controls(f->cpu, f->vmcs);
            assert_non_null(failed);
            assert_non_null(strstr(failed, "reserved bits"));
        }
    }
}

struct check_case {
    u32 encoding;
    u64 value;
    const char *section; // how the failing check's text begins
};

static const struct check_case control_cases[] = {
    {0x400a, 5, "27.2.1.1: CR3-target"},
    {0x0000, 0, "27.2.1.1: VPID"},
    {0x201a, 0x20000 | 3 << 3 | 1, "27.2.1.1: EPTP memory type"},
    {0x201a, 0x20000 | 2 << 3 | 6, "27.2.1.1: EPTP page-walk"},
    {0x201a, 0x20000 | 3 << 3 | 6 | 1 << 7, "27.2.1.1: EPTP reserved"},
    {0x201a, 1ull << 40 | 3 << 3 | 6, "27.2.1.1: EPTP reserved"},
    {0x400c, 0x36dfb | EXIT_HOST_64 | EXIT_SAVE_TIMER, "27.2.1.2: the preemption timer"},
    {0x4016, 0x80000100, "27.2.1.3: interruption type"},
    {0x4016, 0x80000203, "27.2.1.3: NMI"},
    {0x4016, 0x80000320, "27.2.1.3: hardware exception"},
    {0x4016, 0x8000030e, "27.2.1.3: deliver-error-code"},
    {0x4016, 0x80000b06, "27.2.1.3: deliver-error-code"},
    {0x4016, 0x80001003, "27.2.1.3: interruption information"},
};

static const struct check_case host_cases[] = {
    {0x6c00, CR0_PE | CR0_PG, "27.2.2: host CR0"},
    {0x6c04, CR4_PAE, "27.2.2: host CR4"},
    {0x6c02, 1ull << 40, "27.2.2: host CR3"},
    {0x6c10, 1ull << 63, "27.2.2: host IA32_SYSENTER_ESP"},
    {0x2c02, EFER_LMA, "27.2.2: host IA32_EFER.LMA"},
    {0x2c02, EFER_LMA | EFER_LME | 2, "27.2.2: host IA32_EFER, reserved"},
    {0x0c02, 0, "27.2.3: host CS is null"},
    {0x0c02, 9, "27.2.3: host selector"},
    {0x0c0c, 0, "27.2.3: host TR is null"},
    {0x6c06, 1ull << 47, "27.2.3: host FS"},
    {0x6c16, 1ull << 47, "27.2.4: host RIP"},
    {0x6c04, CR4_VMXE, "27.2.4: no PAE"},
};

static const struct check_case guest_cases[] = {
    {0x6800, CR0_PE | CR0_PG, "27.3.1.1: guest CR0"},
    {0x6804, CR4_PAE, "27.3.1.1: guest CR4"},
    {0x6804, CR4_VMXE, "27.3.1.1: IA-32e"},
    {0x2802, 4, "27.3.1.1: guest IA32_DEBUGCTL"},
    {0x681a, 1ull << 32, "27.3.1.1: guest DR7"},
    {0x2806, EFER_LMA, "27.3.1.1: guest IA32_EFER.LMA against LME"},
    {0x2806, 0, "27.3.1.1: guest IA32_EFER.LMA against IA-32e"},
    {0x080e, 4, "27.3.1.2: TR in"},
    {0x6808, 1ull << 32, "27.3.1.2: base of CS"},
    {0x680e, 1ull << 47, "27.3.1.2: base of FS"},
    {0x4816, 0xa093, "27.3.1.2: type of CS"},
    {0x4816, 0xe09b, "27.3.1.2: CS with both"},
    {0x4802, 0xffff0000, "27.3.1.2: limit of CS"},
    {0x4818, 0xc091, "27.3.1.2: type of SS"},
    {0x0804, 19, "27.3.1.2: RPL of SS"},
    {0x4822, 0x83, "27.3.1.2: type of TR"},
    {0x4822, 0x1008b, "27.3.1.2: TR unusable"},
    {0x4810, 0x10000, "27.3.1.3: limit of GDTR"},
    {0x681e, 1ull << 50, "27.3.1.4: RIP"},
    {0x6820, 0, "27.3.1.4: RFLAGS"},
    {0x6820, 0x8002, "27.3.1.4: RFLAGS"},
    {0x4016, 0x80000030, "27.3.1.4: external interrupt"},
    {0x4826, 2, "27.3.1.5: activity"},
    {0x4824, 3, "27.3.1.5: blocking by both"},
    {0x4824, 1, "27.3.1.5: blocking by STI"},
    {0x4824, 0x20, "27.3.1.5: interruptibility"},
    {0x6822, 1ull << 13, "27.3.1.5: pending debug"},
    {0x2800, 0x123, "27.3.1.5: VMCS link"},
    {0x2800, VMX_SHADOW_VMCS, "27.3.1.5: revision"},
    {0x2800, VMX_VMCS, "27.3.1.5: VMCS link pointer names"},
};

static void check_begins(const char *failed, const char *section)
{
    assert_non_null(failed);
    assert_memory_equal(failed, section, strlen(section));
}

static void test_controls(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < ARRAY_SIZE(control_cases); i++) {
        vmx_again(f);
        vmcs_field_write(f->vmcs, control_cases[i].encoding, control_cases[i].value);
        check_begins(vmx_check_controls(f->cpu, f->vmcs), control_cases[i].section);
        assert_false(vmx_launches(f));
        assert_int_equal(f->vmcs->instruction_error, VMX_ERROR_CONTROLS);
        assert_int_equal(f->cpu->rflags & FLAGS_ARITHMETIC, FLAG_ZF);
    }
}

static void test_host(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < ARRAY_SIZE(host_cases); i++) {
        vmx_again(f);
        vmcs_field_write(f->vmcs, host_cases[i].encoding, host_cases[i].value);
        check_begins(vmx_check_host(f->cpu, f->vmcs), host_cases[i].section);
        assert_false(vmx_launches(f));
        assert_int_equal(f->vmcs->instruction_error, VMX_ERROR_HOST);
    }
}

static void test_guest(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < ARRAY_SIZE(guest_cases); i++) {
        vmx_again(f);
        vmcs_field_write(f->vmcs, guest_cases[i].encoding, guest_cases[i].value);
        u64 qualification, pdpte[4];
        check_begins(vmx_check_guest(f->cpu, f->vmcs, &qualification, pdpte), guest_cases[i].section);
        assert_int_equal(qualification, guest_cases[i].encoding == 0x2800 ? 4 : 0);
        assert_false(vmx_launches(f));
        assert_int_equal(f->vmcs->exit_reason, REASON_BAD_GUEST_STATE | REASON_ENTRY_FAILURE);
        assert_int_equal(f->cpu->rip, VMX_HOST_RIP);
        assert_int_equal(f->vmcs->launched, 0);
    }
}

static void test_order(void **state)
{
    struct fixture *f = *state;
    // Everything wrong at once: controls speak first, then the host, then the guest.
    f->vmcs->guest_rflags = 0;
    f->vmcs->host_cr0 = 0;
    f->vmcs->cr3_target_count = 5;
    assert_false(vmx_launches(f));
    assert_int_equal(f->vmcs->instruction_error, VMX_ERROR_CONTROLS);
    f->vmcs->cr3_target_count = 0;
    assert_false(vmx_launches(f));
    assert_int_equal(f->vmcs->instruction_error, VMX_ERROR_HOST);
    assert_int_equal(f->vmcs->exit_reason, 0);
    f->vmcs->host_cr0 = CR0_PE | CR0_NE | CR0_PG;
    assert_false(vmx_launches(f));
    assert_int_equal(f->vmcs->exit_reason, REASON_BAD_GUEST_STATE | REASON_ENTRY_FAILURE);
}

static void test_round_trip(void **state)
{
    struct fixture *f = *state;
    static const struct insn vmcall = {.length = 3, .code64 = true};
    f->vmcs->guest_base[VMCS_FS] = 0xffff800000001000;
    f->vmcs->guest_sysenter_eip = 0x4242;
    assert_true(vmx_launches(f));
    assert_int_equal(f->cpu->rip, 0x1234);
    assert_int_equal(f->cpu->gpr[RSP], 0x5678);
    assert_int_equal(f->cpu->fs_base, 0xffff800000001000);
    assert_int_equal(f->cpu->eptp, f->vmcs->eptp);
    assert_int_equal(f->cpu->vpid, 1);
    assert_int_equal(f->vmcs->launched, 1);
    assert_int_equal(f->cpu->vmx->entries, 1);
    f->cpu->gpr[RSP] = 0x9999;
    f->cpu->rip = 0x2000;
    assert_false(vmx_returns(f->cpu, insn_vmcall, &vmcall));
    assert_false(f->cpu->guest_mode);
    assert_int_equal(f->vmcs->exit_reason, REASON_VMCALL);
    assert_int_equal(f->vmcs->exit_length, 3);
    assert_int_equal(f->vmcs->guest_rip, 0x2000);
    assert_int_equal(f->vmcs->guest_rsp, 0x9999);
    assert_int_equal(f->vmcs->guest_base[VMCS_FS], 0xffff800000001000);
    assert_int_equal(f->vmcs->guest_access[VMCS_CS], 0xa09b);
    assert_int_equal(f->cpu->rip, VMX_HOST_RIP);
    assert_int_equal(f->cpu->gpr[RSP], 0x8000);
    assert_int_equal(f->cpu->rflags, FLAG_FIXED);
    assert_int_equal(f->cpu->segment[SEG_CS].access, 0xa09b);
    assert_int_equal(f->cpu->eptp, 0);
    // A launched VMCS is resumed, not launched.
    assert_true(vmx_returns(f->cpu, insn_vmlaunch, &vmcall));
    assert_int_equal(f->vmcs->instruction_error, VMX_ERROR_LAUNCH_NOT_CLEAR);
    assert_false(vmx_returns(f->cpu, insn_vmresume, &vmcall));
    assert_true(f->cpu->guest_mode);
}

static void test_injection(void **state)
{
    struct fixture *f = *state;
    f->vmcs->entry_interruption = INTERRUPTION_VALID | INTERRUPTION_ERROR | 3 << 8 | VECTOR_GP;
    f->vmcs->entry_error = 0x1234;
    assert_true(vmx_launches(f));
    assert_true(f->cpu->event.valid);
    assert_int_equal(f->cpu->event.vector, VECTOR_GP);
    assert_int_equal(f->cpu->event.error, 0x1234);
    // An exit while it is delivered tells of it.
    f->cpu->delivering = f->cpu->event;
    static const struct insn vmcall = {.length = 3, .code64 = true};
    assert_false(vmx_returns(f->cpu, insn_vmcall, &vmcall));
    assert_int_equal(f->vmcs->idt_vectoring, INTERRUPTION_VALID | INTERRUPTION_ERROR | 3 << 8 | VECTOR_GP);
    assert_int_equal(f->vmcs->idt_error, 0x1234);
    assert_int_equal(f->vmcs->entry_interruption & INTERRUPTION_VALID, 0);
    assert_false(f->cpu->event.valid);
}

static void put_msr(struct fixture *f, unsigned entry, u64 index, u64 value)
{
    u64 *at = (u64 *)(f->ram + 0x9000 + entry * 16);
    at[0] = index;
    at[1] = value;
}

static void test_msr_lists(void **state)
{
    struct fixture *f = *state;
    put_msr(f, 0, 0xc0000102, 0x1234000);
    put_msr(f, 1, 0xc0000100, 0x1234000); // FS_BASE is the VMCS's own
    f->vmcs->entry_load = 0x9000;
    f->vmcs->entry_load_count = 1;
    assert_true(vmx_launches(f));
    assert_int_equal(f->cpu->msr.kernel_gs_base, 0x1234000);
    vmx_again(f);
    f->vmcs->entry_load = 0x9000;
    f->vmcs->entry_load_count = 2;
    assert_false(vmx_launches(f));
    assert_int_equal(f->vmcs->exit_reason, REASON_BAD_MSR | REASON_ENTRY_FAILURE);
    assert_int_equal(f->vmcs->qualification, 2);
    assert_int_equal(f->cpu->rip, VMX_HOST_RIP);
    assert_int_equal(f->vmcs->launched, 0);
}

static void test_nested_state(void **state)
{
    struct fixture *f = *state;
    struct kvm_nested_state *saved = calloc(1, sizeof *saved + sizeof saved->data.vmx[0]);
    assert_true(vmx_launches(f));
    saved->size = sizeof *saved;
    assert_int_equal(vmx_nested_get(f->cpu, saved), -7); // E2BIG, and says how much it wants
    assert_int_equal(saved->size, sizeof *saved + sizeof saved->data.vmx[0]);
    assert_int_equal(vmx_nested_get(f->cpu, saved), 0);
    assert_int_equal(saved->flags, KVM_STATE_NESTED_GUEST_MODE);
    assert_int_equal(saved->hdr.vmx.vmcs12_pa, VMX_VMCS);
    vmx_reset(f->cpu);
    memset(f->vmcs, 0, sizeof *f->vmcs);
    assert_int_equal(vmx_nested_set(f->cpu, saved), 0);
    assert_true(f->cpu->guest_mode);
    assert_int_equal(f->cpu->vpid, 1);
    assert_int_equal(f->vmcs->host_rip, VMX_HOST_RIP);
    saved->hdr.vmx.vmcs12_pa = VMX_REGION;
    assert_int_equal(vmx_nested_set(f->cpu, saved), -22);
    free(saved);
}

// What engine.h's nested_status says of a hypervisor that comes, launches, moves its guest and goes.
static void test_nested_status(void **state)
{
    static const struct insn off = {.length = 3, .code64 = true};
    struct fixture *f = *state;
    struct engine_nested_status status;
    engine_soft.nested_status(f->vm, &status);
    assert_int_equal(status.extension, ENGINE_EXTENSION_VMX);
    assert_int_equal(status.on, 1);
    assert_int_equal(status.in_guest, 0);
    assert_int_equal(status.launched, 0);
    assert_true(vmx_launches(f));
    engine_soft.nested_status(f->vm, &status);
    assert_int_equal(status.in_guest, 1);
    assert_int_equal(status.launched, 1);
    host_fill(f->cpu);
    assert_true(vmx_launches(f)); // VMCLEAR and VMLAUNCH: the same guest
    engine_soft.nested_status(f->vm, &status);
    assert_int_equal(status.launched, 1);
    vmx_again(f); // a new VMCS in the same page
    assert_true(vmx_launches(f));
    engine_soft.nested_status(f->vm, &status);
    assert_int_equal(status.launched, 2);
    vmx_again(f);
    f->vmcs->host_cr4 = 0; // refused: nothing was launched
    assert_false(vmx_launches(f));
    engine_soft.nested_status(f->vm, &status);
    assert_int_equal(status.launched, 2);
    assert_true(vmx_returns(f->cpu, insn_vmxoff, &off));
    engine_soft.nested_status(f->vm, &status);
    assert_int_equal(status.extension, ENGINE_EXTENSION_NONE);
    assert_int_equal(status.on, 0);
    assert_int_equal(status.launched, 2);
    f->cpu->msr.efer |= EFER_SVME;
    engine_soft.nested_status(f->vm, &status);
    assert_int_equal(status.extension, ENGINE_EXTENSION_SVM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_msrs, vmx_setup, vmx_teardown),
        cmocka_unit_test_setup_teardown(test_reserved_control_bits, vmx_setup, vmx_teardown),
        cmocka_unit_test_setup_teardown(test_controls_of_missing_instructions, vmx_setup, vmx_teardown),
        cmocka_unit_test_setup_teardown(test_controls, vmx_setup, vmx_teardown),
        cmocka_unit_test_setup_teardown(test_host, vmx_setup, vmx_teardown),
        cmocka_unit_test_setup_teardown(test_guest, vmx_setup, vmx_teardown),
        cmocka_unit_test_setup_teardown(test_order, vmx_setup, vmx_teardown),
        cmocka_unit_test_setup_teardown(test_round_trip, vmx_setup, vmx_teardown),
        cmocka_unit_test_setup_teardown(test_injection, vmx_setup, vmx_teardown),
        cmocka_unit_test_setup_teardown(test_msr_lists, vmx_setup, vmx_teardown),
        cmocka_unit_test_setup_teardown(test_nested_state, vmx_setup, vmx_teardown),
        cmocka_unit_test_setup_teardown(test_nested_status, vmx_setup, vmx_teardown),
    };
    return cmocka_run_group_tests_name("vmx_entry", tests, NULL, NULL);
}
