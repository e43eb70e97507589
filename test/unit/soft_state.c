// MSRs, CPUID and the vCPU's state in KVM's structures.
#include "soft_system.h"

#include <errno.h>

#include "engine/soft/cpuid.h"
#include "engine/soft/debug.h"
#include "engine/soft/insn_control.h"
#include "engine/soft/lapic_state.h"
#include "engine/soft/msr.h"
#include "engine/soft/state.h"
#include "engine/soft/vm.h"

#define PAT 0x277
#define EFER 0xc0000080u

static bool writes(struct fixture *f, u32 msr, u64 value) { return msr_write(f->cpu, msr, value, false); }

static u64 reads(struct fixture *f, u32 msr)
{
    u64 value = 0;
    assert_true(msr_read(f->cpu, msr, &value, false));
    return value;
}

static void test_msr_values(void **state)
{
    struct fixture *f = *state;
    u64 value;
    long64(f, 0);
    assert_true(writes(f, PAT, 0x0007040600070406));
    assert_false(writes(f, PAT, 0x0207040600070406)); // type 2 does not exist
    assert_false(writes(f, PAT, 0x0807040600070406));
    assert_false(writes(f, EFER, EFER_SCE | EFER_NXE)); // LME while paging is on
    assert_true(writes(f, EFER, EFER_LME));             // LMA is not the guest's to write
    assert_int_equal(reads(f, EFER), EFER_LME | EFER_LMA);
    assert_false(writes(f, EFER, EFER_LME | EFER_SVME));
    assert_false(writes(f, 0xc0000082, 1ull << 47)); // LSTAR
    assert_true(writes(f, 0xc0000101, 0xffff800000000000));
    assert_int_equal(f->cpu->gs_base, 0xffff800000000000);
    assert_false(msr_read(f->cpu, 0x49, &value, false)); // PRED_CMD is for writing
    assert_true(writes(f, 0x49, 1));
    assert_false(writes(f, 0x48, 1ull << 7));
    assert_false(writes(f, 0x10a, 0)); // ARCH_CAPABILITIES is for reading
    assert_false(msr_read(f->cpu, 0xc1, &value, false)); // no performance counters
    assert_false(msr_read(f->cpu, 0x12345, &value, false));
    assert_false(writes(f, 0x401, 1));  // MC0_STATUS takes zero only
    assert_true(writes(f, 0x403, 123));
    assert_false(writes(f, 0x2ff, 2));  // MTRR default type
    assert_true(writes(f, 0x2ff, 0xc06));
    assert_false(writes(f, 0x201, 1));  // reserved bits of a mask
    assert_false(writes(f, 0x250, 0x0606060606060602));
}

static void test_tsc_adjust(void **state)
{
    struct fixture *f = *state;
    long64(f, 0);
    assert_true(writes(f, 0x3b, 0));
    u64 offset = f->cpu->tsc_offset;
    assert_true(writes(f, 0x3b, 1000));
    assert_int_equal(f->cpu->tsc_offset - offset, 1000);
    assert_true(writes(f, 0x10, 0));
    assert_int_equal(f->cpu->tsc_offset - offset, reads(f, 0x3b));
    assert_in_range(reads(f, 0x10), 0, 1ull << 36);
}

static void test_cpuid_shows_what_is_there(void **state)
{
    struct fixture *f = *state;
    u32 out[4];
    long64(f, 0);
    cpuid_read(f->cpu, 0, 0, out);
    assert_memory_equal(&out[CPUID_EBX], "Genu", 4);
    u32 last = out[CPUID_EAX];
    cpuid_read(f->cpu, 1, 0, out);
    assert_true(out[CPUID_ECX] >> 31 & 1);
    assert_false(out[CPUID_ECX] >> 27 & 1); // OSXSAVE follows CR4
    assert_false(out[CPUID_ECX] >> 3 & 1);  // MONITOR
    assert_false(out[CPUID_ECX] >> 5 & 1);  // VMX was not asked for
    f->cpu->cr4 |= CR4_OSXSAVE;
    cpuid_read(f->cpu, 1, 0, out);
    assert_true(out[CPUID_ECX] >> 27 & 1);
    cpuid_read(f->cpu, 7, 0, out);
    assert_false(out[CPUID_EBX] & (1 << 2 | 1 << 4 | 1 << 11 | 1 << 14 | 1 << 25)); // SGX, HLE, RTM, MPX, PT
    assert_false(out[CPUID_ECX] & (1 << 3 | 1 << 5 | 1 << 7 | 1 << 16));            // PKU, WAITPKG, CET, LA57
    assert_false(out[CPUID_EDX] & (1 << 20 | 1 << 22 | 1 << 24 | 1 << 25)); // IBT, AMX
    f->cpu->xcr0 = 1;
    cpuid_read(f->cpu, 0xd, 0, out);
    assert_int_equal(out[CPUID_EBX], 576);
    u32 beyond[4];
    cpuid_read(f->cpu, last, 0, out);
    cpuid_read(f->cpu, last + 100, 0, beyond);
    assert_memory_equal(out, beyond, sizeof out);
    cpuid_read(f->cpu, 0x40000000, 0, out);
    assert_memory_equal(&out[1], "nidusnidus\0\0", 12);
    cpuid_read(f->cpu, 0x40000001, 0, out);
    assert_int_equal(out[0] | out[1] | out[2] | out[3], 0);
}

static void test_cpuid_tsc_ratio(void **state)
{
    struct fixture *f = *state;
    static const u64 khz[] = {1000000, 2000000, 2345678, 2893203, 3999999, 799990};
    u64 own = f->vm->tsc_khz;
    for (unsigned i = 0; i < ARRAY_SIZE(khz); i++) {
        struct kvm_cpuid_entry2 entry[CPU_CPUID_ENTRIES];
        f->vm->tsc_khz = khz[i];
        int count = cpuid_supported(f->vm, entry, CPU_CPUID_ENTRIES);
        assert_true(count > 0);
        for (int j = 0; j < count; j++) {
            if (entry[j].function != 0x15)
                continue;
            u64 crystal = entry[j].ecx / 1000;
            assert_true(crystal * entry[j].ebx <= 0xffffffff); // Linux multiplies in 32 bits
            u64 got = crystal * entry[j].ebx / entry[j].eax;
            assert_in_range(got, khz[i] - khz[i] / 25000, khz[i] + khz[i] / 25000); // 40 parts in a million
        }
    }
    assert_int_equal(cpuid_supported(f->vm, NULL, 0), -E2BIG);
    f->vm->tsc_khz = own;
}

static void test_control_registers(void **state)
{
    struct fixture *f = *state;
    struct insn insn = {.operand_size = 8, .length = 3, .count = 2, .code64 = true, .operand = {
        {.kind = OPERAND_CONTROL, .reg = 4}, {.kind = OPERAND_GPR, .size = 8, .reg = RAX}}};
    static const struct { u8 cr; u64 value; bool good; } row[] = {
        {4, CR4_PAE | CR4_SMEP, true}, {4, 0, false}, {4, CR4_PAE | CR4_VME, false}, {4, CR4_PAE | 1 << 12, false},
        {4, CR4_PAE | CR4_PCIDE, true}, {4, CR4_PAE | CR4_VMXE, false},
        {0, CR0_PE | CR0_PG | CR0_NW, false}, {0, CR0_PG, false}, {0, 1ull << 32, false},
        {0, CR0_PE, false}, // paging cannot end in 64-bit code
        {0, CR0_PE | CR0_PG | CR0_WP, true}, {3, TABLES | 8, true}, {3, 1ull << 63 | TABLES, false},
        {8, 16, false}, {8, 15, true},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(row); i++) {
        long64(f, 0);
        insn.operand[0].reg = row[i].cr;
        f->cpu->gpr[RAX] = row[i].value;
        assert_int_equal(ABANDONED(f, insn_mov_cr(f->cpu, &insn)), !row[i].good);
        if (!row[i].good)
            assert_int_equal(handled(f), VECTOR_GP);
    }
    long64(f, 0);
    insn.operand[0].reg = 8;
    f->cpu->gpr[RAX] = 0;
    assert_false(ABANDONED(f, insn_mov_cr(f->cpu, &insn)));
}

static void test_popf_privilege(void **state)
{
    struct fixture *f = *state;
    const struct insn popf = {.operand_size = 8, .length = 1, .code64 = true};
    long64(f, 3);
    ram_write(f, STACK3, 8, FLAG_IF | FLAG_IOPL | FLAG_VM | FLAG_AC | FLAG_ZF | FLAG_RF);
    assert_false(ABANDONED(f, insn_popf(f->cpu, &popf)));
    assert_int_equal(f->cpu->rflags, FLAG_FIXED | FLAG_AC | FLAG_ZF);
    long64(f, 0);
    ram_write(f, STACK0, 8, FLAG_IF | FLAG_IOPL | FLAG_VM);
    assert_false(ABANDONED(f, insn_popf(f->cpu, &popf)));
    assert_int_equal(f->cpu->rflags, FLAG_FIXED | FLAG_IF | FLAG_IOPL);
    const struct insn cli = {.length = 1, .code64 = true};
    long64(f, 3);
    f->cpu->rflags |= FLAG_IF;
    assert_true(ABANDONED(f, insn_cli(f->cpu, &cli)));
    assert_int_equal(handled(f), VECTOR_GP);
}

static void test_state_round_trip(void **state)
{
    struct fixture *f = *state;
    struct kvm_regs regs, regs2;
    struct kvm_sregs sregs, sregs2;
    long64(f, 3);
    for (unsigned i = 0; i < 16; i++)
        f->cpu->gpr[i] = 0x1111111111111111ull * i;
    assert_int_equal(state_get_regs(f->cpu, &regs), 0);
    assert_int_equal(regs.rbx, 0x1111111111111111ull * RBX);
    assert_int_equal(state_get_sregs(f->cpu, &sregs), 0);
    assert_int_equal(sregs.ss.dpl, 3);
    cpu_reset(f->cpu, false);
    assert_int_equal(state_set_sregs(f->cpu, &sregs), 0);
    assert_int_equal(state_set_regs(f->cpu, &regs), 0);
    assert_int_equal(f->cpu->cpl, 3);
    assert_true(cpu_code64(f->cpu));
    assert_int_equal(state_get_regs(f->cpu, &regs2), 0);
    assert_int_equal(state_get_sregs(f->cpu, &sregs2), 0);
    assert_memory_equal(&regs, &regs2, sizeof regs);
    assert_memory_equal(&sregs, &sregs2, sizeof sregs);
    sregs.cr0 = CR0_PG; // without PE
    assert_int_equal(state_set_sregs(f->cpu, &sregs), -EINVAL);
    sregs = sregs2;
    sregs.efer = EFER_LMA;
    assert_int_equal(state_set_sregs(f->cpu, &sregs), -EINVAL);
    sregs = sregs2;
    sregs.cr4 |= 1ull << 40;
    assert_int_equal(state_set_sregs(f->cpu, &sregs), -EINVAL);
}

static void test_events_round_trip(void **state)
{
    struct fixture *f = *state;
    static const struct event event[] = {
        {.valid = true, .type = EVENT_EXCEPTION, .vector = VECTOR_GP, .has_error = true, .error = 0x18},
        {.valid = true, .type = EVENT_INTERRUPT, .vector = 0x41},
        {.valid = true, .type = EVENT_SOFT_INTERRUPT, .vector = 0x80, .length = 2},
        {.valid = true, .type = EVENT_NMI, .vector = VECTOR_NMI},
        {.valid = true, .type = EVENT_SOFT_EXCEPTION, .vector = VECTOR_BP, .length = 1},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(event); i++) {
        struct kvm_vcpu_events events;
        long64(f, 0);
        f->cpu->event = event[i];
        f->cpu->interruptibility = BLOCKING_STI | BLOCKING_NMI;
        f->cpu->nmi_pending = true;
        assert_int_equal(state_get_events(f->cpu, &events), 0);
        long64(f, 0);
        f->cpu->nmi_pending = false;
        assert_int_equal(state_set_events(f->cpu, &events), 0);
        assert_memory_equal(&f->cpu->event, &event[i], sizeof event[i]);
        assert_int_equal(f->cpu->interruptibility, BLOCKING_STI | BLOCKING_NMI);
        assert_true(f->cpu->nmi_pending);
        f->cpu->nmi_pending = false;
    }
    struct kvm_vcpu_events events;
    long64(f, 0);
    f->cpu->pending_debug = DR6_BS;
    assert_int_equal(state_get_events(f->cpu, &events), 0);
    long64(f, 0);
    assert_int_equal(state_set_events(f->cpu, &events), 0);
    assert_int_equal(f->cpu->pending_debug, DR6_BS);
    f->cpu->pending_debug = 0;
    events.exception.nr = 32;
    assert_int_equal(state_set_events(f->cpu, &events), -EINVAL);
}

// The PIC's interrupt that KVM_INTERRUPT handed over and nothing has taken yet, and an INIT that waits for the end of
// VMX operation, are state too.
static void test_latches_round_trip(void **state)
{
    struct fixture *f = *state;
    struct kvm_interrupt interrupt = {.irq = 0x61};
    struct kvm_sregs sregs;
    struct kvm_vcpu_events events;
    long64(f, 0);
    assert_int_equal(state_interrupt(f->cpu, &interrupt), 0);
    f->cpu->init_pending = true;
    assert_int_equal(state_get_sregs(f->cpu, &sregs), 0);
    assert_int_equal(state_get_events(f->cpu, &events), 0);
    assert_false(events.interrupt.injected);
    f->cpu->extint_pending = f->cpu->init_pending = false;
    assert_int_equal(state_set_sregs(f->cpu, &sregs), 0);
    assert_int_equal(state_set_events(f->cpu, &events), 0);
    assert_true(f->cpu->extint_pending);
    assert_int_equal(f->cpu->extint_vector, 0x61);
    assert_true(f->cpu->init_pending);
    assert_false(f->cpu->event.valid);
    f->cpu->init_pending = f->cpu->extint_pending = false;
    // One on its way in is told by both, and is one all the same.
    f->cpu->event = (struct event){.valid = true, .type = EVENT_INTERRUPT, .vector = 0x62};
    assert_int_equal(state_get_sregs(f->cpu, &sregs), 0);
    assert_int_equal(state_get_events(f->cpu, &events), 0);
    f->cpu->event.valid = false;
    assert_int_equal(state_set_sregs(f->cpu, &sregs), 0);
    assert_int_equal(state_set_events(f->cpu, &events), 0);
    assert_true(f->cpu->event.valid);
    assert_int_equal(f->cpu->event.vector, 0x62);
    assert_false(f->cpu->extint_pending);
    f->cpu->event.valid = false;
    events.smi.smm = 1;
    assert_int_equal(state_set_events(f->cpu, &events), -EINVAL);
}

static void test_sregs2(void **state)
{
    struct fixture *f = *state;
    struct kvm_sregs2 sregs2;
    long64(f, 0);
    assert_int_equal(state_get_sregs2(f->cpu, &sregs2), 0);
    assert_int_equal(sregs2.flags, 0); // four-level paging has none
    protected32(f, 0);
    for (unsigned i = 0; i < 4; i++) {
        ram_write(f, TABLES + i * 8, 8, (TABLES + 0x1000) | 1);
        f->cpu->pdpte[i] = 0x5001 + i * 0x1000; // in a guest of VMX, not what CR3's table says now
    }
    f->cpu->cr3 = TABLES;
    f->cpu->cr0 |= CR0_PG;
    f->cpu->cr4 |= CR4_PAE;
    assert_int_equal(state_get_sregs2(f->cpu, &sregs2), 0);
    assert_int_equal(sregs2.flags, KVM_SREGS2_FLAGS_PDPTRS_VALID);
    memset(f->cpu->pdpte, 0, sizeof f->cpu->pdpte);
    f->cpu->extint_pending = true;
    assert_int_equal(state_set_sregs2(f->cpu, &sregs2), 0);
    assert_int_equal(f->cpu->pdpte[3], 0x8001);
    assert_true(f->cpu->extint_pending);
    f->cpu->extint_pending = false;
    sregs2.flags = 2;
    assert_int_equal(state_set_sregs2(f->cpu, &sregs2), -EINVAL);
    f->cpu->cr0 &= ~CR0_PG;
}

// Every register of the list can be read, and takes what was read.
static void test_msr_list(void **state)
{
    struct fixture *f = *state;
    static u32 room[1 + 256];
    struct kvm_msr_list *list = (struct kvm_msr_list *)room;
    long64(f, 0);
    assert_int_equal(msr_index_list(list), -E2BIG);
    u32 wanted = list->nmsrs;
    assert_in_range(wanted, 40, 256);
    assert_int_equal(msr_index_list(list), 0);
    assert_int_equal(list->nmsrs, wanted);
    for (u32 i = 0; i < wanted; i++) {
        u64 value;
        if (!msr_read(f->cpu, list->indices[i], &value, true) || !msr_write(f->cpu, list->indices[i], value, true))
            fail_msg("MSR 0x%x", list->indices[i]);
    }
    f->cpu->msr.debugctl = 0x4000; // what a VM entry loaded
    assert_true(msr_write(f->cpu, 0x1d9, 0x4000, true));
    assert_false(msr_write(f->cpu, 0x1d9, 0x4000, false));
    f->cpu->msr.debugctl = 0;
}

static void test_tsc_offset(void **state)
{
    struct fixture *f = *state;
    u64 offset = 0, deadline;
    struct kvm_device_attr attribute = {.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET,
                                        .addr = (u64)(uintptr_t)&offset};
    long64(f, 0);
    assert_int_equal(state_tsc_attribute(f->cpu, KVM_HAS_DEVICE_ATTR, &attribute), 0);
    assert_int_equal(state_tsc_attribute(f->cpu, KVM_GET_DEVICE_ATTR, &attribute), 0);
    assert_int_equal(offset, f->cpu->tsc_offset);
    // A deadline far ahead in the guest's time is far ahead however the guest's time is moved.
    f->cpu->lapic->reg[0x32] = 2 << 17 | 0x55;
    deadline = __builtin_ia32_rdtsc() + offset + ((u64)f->vm->tsc_khz * 1000 << 10);
    lapic_deadline_write(f->cpu, deadline);
    u64 expiry = f->cpu->lapic->expiry;
    offset -= (u64)f->vm->tsc_khz * 1000 << 9; // 512 s back
    assert_int_equal(state_tsc_attribute(f->cpu, KVM_SET_DEVICE_ATTR, &attribute), 0);
    assert_int_equal(f->cpu->tsc_offset, offset);
    assert_int_equal(lapic_deadline_read(f->cpu), deadline);
    assert_in_range(f->cpu->lapic->expiry - expiry, 500 * 1000000000ull, 513 * 1000000000ull);
    lapic_deadline_write(f->cpu, 0);
    attribute.attr = 1;
    assert_int_equal(state_tsc_attribute(f->cpu, KVM_GET_DEVICE_ATTR, &attribute), -ENXIO);
}

static void test_reset(void **state)
{
    struct fixture *f = *state;
    long64(f, 3);
    f->cpu->msr.lstar = 0x1234;
    f->cpu->cr0 |= CR0_CD;
    cpu_reset(f->cpu, true);
    assert_int_equal(f->cpu->cr0, CR0_ET | CR0_CD); // INIT keeps the cache bits and the MSRs
    assert_int_equal(f->cpu->msr.lstar, 0x1234);
    assert_int_equal(f->cpu->segment[SEG_CS].base + f->cpu->rip, 0xfffffff0);
    cpu_reset(f->cpu, false);
    assert_int_equal(f->cpu->cr0, CR0_ET | CR0_CD | CR0_NW);
    assert_int_equal(f->cpu->msr.lstar, 0);
    assert_int_equal(f->cpu->msr.pat, 0x0007040600070406);
    assert_int_equal(f->cpu->dr[7], 0x400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_msr_values),
        cmocka_unit_test(test_tsc_adjust),
        cmocka_unit_test(test_cpuid_shows_what_is_there),
        cmocka_unit_test(test_cpuid_tsc_ratio),
        cmocka_unit_test(test_control_registers),
        cmocka_unit_test(test_popf_privilege),
        cmocka_unit_test(test_state_round_trip),
        cmocka_unit_test(test_events_round_trip),
        cmocka_unit_test(test_latches_round_trip),
        cmocka_unit_test(test_sregs2),
        cmocka_unit_test(test_msr_list),
        cmocka_unit_test(test_tsc_offset),
        cmocka_unit_test(test_reset),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
