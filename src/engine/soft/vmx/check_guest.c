// Checks on the guest-state area, SDM 3C 27.3.1.
#include "engine/soft/access.h"
#include "engine/soft/msr.h"
#include "engine/soft/vmx/check.h"
#include "engine/soft/vmx/control.h"

static bool guest_64(const struct vmcs *vmcs) { return vmcs->entry_controls & ENTRY_IA32E; }
static bool guest_v8086(const struct vmcs *vmcs) { return vmcs->guest_rflags & FLAG_VM; }
static u32 guest_cpu2(const struct vmcs *vmcs) { return vmcs->cpu_controls & CPU_SECONDARY ? vmcs->cpu_controls2 : 0; }
static bool guest_unrestricted(const struct vmcs *vmcs) { return guest_cpu2(vmcs) & CPU2_UNRESTRICTED; }
static bool segment_usable(const struct vmcs *vmcs, unsigned i) { return !(vmcs->guest_access[i] & AR_UNUSABLE); }
static unsigned segment_dpl(const struct vmcs *vmcs, unsigned i) { return vmcs->guest_access[i] >> AR_DPL_SHIFT & 3; }

// SDM 3C 27.3.1.1.
static const char *check_control_registers(struct cpu *cpu, const struct vmcs *vmcs)
{
    u64 cr0 = vmcs->guest_cr0, cr4 = vmcs->guest_cr4;
    u64 fixed = guest_unrestricted(vmcs) ? CR0_NE : CR0_PE | CR0_NE | CR0_PG;
    REQUIRE((cr0 & fixed) == fixed && !(cr0 >> 32), "27.3.1.1: guest CR0");
    REQUIRE(!(cr0 & CR0_PG) || cr0 & CR0_PE, "27.3.1.1: guest CR0.PG without PE");
    REQUIRE(cr4 & CR4_VMXE && !(cr4 & ~(cpu->cr4_allowed | CR4_VMXE)), "27.3.1.1: guest CR4");
    if (vmcs->entry_controls & ENTRY_LOAD_DEBUG)
        REQUIRE(!(vmcs->guest_debugctl & ~VMX_DEBUGCTL_ALLOWED), "27.3.1.1: guest IA32_DEBUGCTL");
    if (guest_64(vmcs))
        REQUIRE(cr0 & CR0_PG && cr4 & CR4_PAE, "27.3.1.1: IA-32e mode guest without paging or PAE");
    else
        REQUIRE(!(cr4 & CR4_PCIDE), "27.3.1.1: guest CR4.PCIDE outside IA-32e mode");
    REQUIRE(vmx_in_physical(cpu, vmcs->guest_cr3), "27.3.1.1: guest CR3 beyond the physical address width");
    if (vmcs->entry_controls & ENTRY_LOAD_DEBUG)
        REQUIRE(!(vmcs->guest_dr7 >> 32), "27.3.1.1: guest DR7 bits 63:32");
    REQUIRE(cpu_canonical(vmcs->guest_sysenter_esp), "27.3.1.1: guest IA32_SYSENTER_ESP not canonical");
    REQUIRE(cpu_canonical(vmcs->guest_sysenter_eip), "27.3.1.1: guest IA32_SYSENTER_EIP not canonical");
    if (vmcs->entry_controls & ENTRY_LOAD_PAT)
        REQUIRE(msr_pat_valid(vmcs->guest_pat), "27.3.1.1: guest IA32_PAT");
    if (vmcs->entry_controls & ENTRY_LOAD_EFER) {
        u64 efer = vmcs->guest_efer;
        REQUIRE(!(efer & ~vmx_efer_allowed(cpu)), "27.3.1.1: guest IA32_EFER, reserved bits");
        REQUIRE(!(efer & EFER_LMA) == !guest_64(vmcs), "27.3.1.1: guest IA32_EFER.LMA against IA-32e mode guest");
        REQUIRE(!(cr0 & CR0_PG) || !(efer & EFER_LMA) == !(efer & EFER_LME),
                "27.3.1.1: guest IA32_EFER.LMA against LME");
    }
    return NULL;
}

static bool segment_granularity(const struct vmcs *vmcs, unsigned i)
{
    u32 limit = vmcs->guest_limit[i], access = vmcs->guest_access[i];
    if ((limit & 0xfff) != 0xfff && access & AR_G)
        return false;
    return !(limit >> 20) || access & AR_G;
}

static const char *check_v8086_segments(const struct vmcs *vmcs)
{
    for (unsigned i = VMCS_ES; i <= VMCS_GS; i++) {
        REQUIRE(vmcs->guest_base[i] == (u64)vmcs->guest_selector[i] << 4,
                "27.3.1.2: segment base in virtual-8086 mode");
        REQUIRE(vmcs->guest_limit[i] == 0xffff, "27.3.1.2: segment limit in virtual-8086 mode");
        REQUIRE(vmcs->guest_access[i] == 0xf3, "27.3.1.2: access rights in virtual-8086 mode");
    }
    return NULL;
}

static const char *check_code_segment(const struct vmcs *vmcs)
{
    u32 access = vmcs->guest_access[VMCS_CS];
    unsigned type = access & AR_TYPE, dpl = segment_dpl(vmcs, VMCS_CS), stack = segment_dpl(vmcs, VMCS_SS);
    bool data = type == 3 && guest_unrestricted(vmcs);
    REQUIRE(data || (type & (AR_CODE | AR_ACCESSED)) == (AR_CODE | AR_ACCESSED), "27.3.1.2: type of CS");
    REQUIRE(access & AR_S, "27.3.1.2: CS is a system segment");
    if (data)
        REQUIRE(dpl == 0, "27.3.1.2: DPL of a CS that is a data segment");
    else if (type & AR_CONFORMING)
        REQUIRE(dpl <= stack, "27.3.1.2: DPL of a conforming CS above that of SS");
    else
        REQUIRE(dpl == stack, "27.3.1.2: DPL of CS against that of SS");
    REQUIRE(access & AR_P, "27.3.1.2: CS not present");
    REQUIRE(!(access & 0xfffe0f00), "27.3.1.2: access rights of CS, reserved bits");
    REQUIRE(!guest_64(vmcs) || !(access & AR_L) || !(access & AR_DB), "27.3.1.2: CS with both L and D");
    REQUIRE(segment_granularity(vmcs, VMCS_CS), "27.3.1.2: limit of CS against G");
    return NULL;
}

static const char *check_stack_segment(const struct vmcs *vmcs)
{
    u32 access = vmcs->guest_access[VMCS_SS];
    unsigned type = access & AR_TYPE;
    if (segment_usable(vmcs, VMCS_SS))
        REQUIRE(type == 3 || type == 7, "27.3.1.2: type of SS");
    if (!guest_unrestricted(vmcs))
        REQUIRE(segment_dpl(vmcs, VMCS_SS) == (vmcs->guest_selector[VMCS_SS] & 3u), "27.3.1.2: DPL of SS against RPL");
    bool zero = (vmcs->guest_access[VMCS_CS] & AR_TYPE) == 3 || !(vmcs->guest_cr0 & CR0_PE);
    REQUIRE(!zero || segment_dpl(vmcs, VMCS_SS) == 0, "27.3.1.2: DPL of SS with a data CS or in real mode");
    return NULL;
}

static const char *check_data_segment(const struct vmcs *vmcs, unsigned i)
{
    u32 access = vmcs->guest_access[i];
    unsigned type = access & AR_TYPE;
    if (!segment_usable(vmcs, i))
        return NULL;
    if (i != VMCS_SS) {
        REQUIRE(type & AR_ACCESSED, "27.3.1.2: data segment not accessed");
        REQUIRE(!(type & AR_CODE) || type & AR_RW, "27.3.1.2: data segment not readable");
        if (!guest_unrestricted(vmcs) && type < 12)
            REQUIRE(segment_dpl(vmcs, i) >= (vmcs->guest_selector[i] & 3u),
                    "27.3.1.2: DPL of a data segment below RPL");
    }
    REQUIRE(access & AR_S, "27.3.1.2: data segment is a system segment");
    REQUIRE(access & AR_P, "27.3.1.2: data segment not present");
    REQUIRE(!(access & 0xfffe0f00), "27.3.1.2: access rights of a data segment, reserved bits");
    REQUIRE(segment_granularity(vmcs, i), "27.3.1.2: limit of a data segment against G");
    return NULL;
}

static const char *check_protected_segments(const struct vmcs *vmcs)
{
    if (!guest_unrestricted(vmcs))
        REQUIRE((vmcs->guest_selector[VMCS_SS] & 3) == (vmcs->guest_selector[VMCS_CS] & 3),
                "27.3.1.2: RPL of SS and CS");
    REQUIRE(!(vmcs->guest_base[VMCS_CS] >> 32), "27.3.1.2: base of CS");
    for (unsigned i = VMCS_ES; i <= VMCS_DS; i++)
        REQUIRE(i == VMCS_CS || !segment_usable(vmcs, i) || !(vmcs->guest_base[i] >> 32),
                "27.3.1.2: base of SS, DS or ES");
    const char *failed = check_code_segment(vmcs);
    if (!failed)
        failed = check_stack_segment(vmcs);
    static const u8 order[] = {VMCS_SS, VMCS_DS, VMCS_ES, VMCS_FS, VMCS_GS};
    for (unsigned i = 0; i < ARRAY_SIZE(order) && !failed; i++)
        failed = check_data_segment(vmcs, order[i]);
    return failed;
}

static const char *check_task_register(const struct vmcs *vmcs)
{
    u32 access = vmcs->guest_access[VMCS_TR];
    unsigned type = access & AR_TYPE;
    REQUIRE(type == 11 || (type == 3 && !guest_64(vmcs)), "27.3.1.2: type of TR");
    REQUIRE(!(access & AR_S), "27.3.1.2: TR is not a system segment");
    REQUIRE(access & AR_P, "27.3.1.2: TR not present");
    REQUIRE(!(access & 0xfffe0f00), "27.3.1.2: access rights of TR, reserved bits");
    REQUIRE(segment_granularity(vmcs, VMCS_TR), "27.3.1.2: limit of TR against G");
    REQUIRE(!(access & AR_UNUSABLE), "27.3.1.2: TR unusable");
    return NULL;
}

static const char *check_ldtr(const struct vmcs *vmcs)
{
    u32 access = vmcs->guest_access[VMCS_LDTR];
    if (!segment_usable(vmcs, VMCS_LDTR))
        return NULL;
    REQUIRE((access & AR_TYPE) == 2, "27.3.1.2: type of LDTR");
    REQUIRE(!(access & AR_S), "27.3.1.2: LDTR is not a system segment");
    REQUIRE(access & AR_P, "27.3.1.2: LDTR not present");
    REQUIRE(!(access & 0xfffe0f00), "27.3.1.2: access rights of LDTR, reserved bits");
    REQUIRE(segment_granularity(vmcs, VMCS_LDTR), "27.3.1.2: limit of LDTR against G");
    return NULL;
}

static const char *check_segments(const struct vmcs *vmcs)
{
    REQUIRE(!(vmcs->guest_selector[VMCS_TR] & 4), "27.3.1.2: TR in the LDT");
    REQUIRE(!segment_usable(vmcs, VMCS_LDTR) || !(vmcs->guest_selector[VMCS_LDTR] & 4), "27.3.1.2: LDTR in the LDT");
    REQUIRE(cpu_canonical(vmcs->guest_base[VMCS_TR]), "27.3.1.2: base of TR not canonical");
    REQUIRE(cpu_canonical(vmcs->guest_base[VMCS_FS]), "27.3.1.2: base of FS not canonical");
    REQUIRE(cpu_canonical(vmcs->guest_base[VMCS_GS]), "27.3.1.2: base of GS not canonical");
    REQUIRE(!segment_usable(vmcs, VMCS_LDTR) || cpu_canonical(vmcs->guest_base[VMCS_LDTR]),
            "27.3.1.2: base of LDTR not canonical");
    const char *failed = guest_v8086(vmcs) ? check_v8086_segments(vmcs) : check_protected_segments(vmcs);
    if (!failed)
        failed = check_task_register(vmcs);
    return failed ? failed : check_ldtr(vmcs);
}

// SDM 3C 27.3.1.3 and 27.3.1.4.
static const char *check_tables_and_flow(const struct vmcs *vmcs)
{
    REQUIRE(cpu_canonical(vmcs->guest_gdtr_base), "27.3.1.3: base of GDTR not canonical");
    REQUIRE(cpu_canonical(vmcs->guest_idtr_base), "27.3.1.3: base of IDTR not canonical");
    REQUIRE(!(vmcs->guest_gdtr_limit >> 16), "27.3.1.3: limit of GDTR");
    REQUIRE(!(vmcs->guest_idtr_limit >> 16), "27.3.1.3: limit of IDTR");
    if (!guest_64(vmcs) || !(vmcs->guest_access[VMCS_CS] & AR_L)) {
        REQUIRE(!(vmcs->guest_rip >> 32), "27.3.1.4: RIP bits 63:32 outside 64-bit mode");
    } else {
        u64 upper = vmcs->guest_rip >> 48;
        REQUIRE(upper == 0 || upper == 0xffff, "27.3.1.4: RIP beyond the linear address width");
    }
    u64 flags = vmcs->guest_rflags;
    REQUIRE(!(flags & ~(u64)0x3f7fd7) && flags & FLAG_FIXED, "27.3.1.4: RFLAGS, reserved bits");
    REQUIRE(!(flags & FLAG_VM) || (!guest_64(vmcs) && vmcs->guest_cr0 & CR0_PE), "27.3.1.4: RFLAGS.VM");
    u32 info = vmcs->entry_interruption;
    bool interrupt = info & INTERRUPTION_VALID && (info & INTERRUPTION_TYPE) == 0;
    REQUIRE(!interrupt || flags & FLAG_IF, "27.3.1.4: external interrupt injected with RFLAGS.IF clear");
    return NULL;
}

// Which events an activity state lets in (SDM 3C 27.3.1.5).
static bool check_activity_injection(u32 activity, u32 info)
{
    unsigned type = info >> INTERRUPTION_TYPE_SHIFT & 7, vector = info & 0xff;
    if (!(info & INTERRUPTION_VALID) || activity == ACTIVITY_ACTIVE)
        return true;
    if (activity == ACTIVITY_WAIT_SIPI)
        return false;
    return type == EVENT_INTERRUPT || type == EVENT_NMI || type == VMX_EVENT_OTHER ||
           (type == EVENT_EXCEPTION && (vector == VECTOR_DB || vector == VECTOR_MC));
}

static const char *check_activity(const struct vmcs *vmcs)
{
    u32 activity = vmcs->activity, blocking = vmcs->interruptibility, info = vmcs->entry_interruption;
    bool valid = info & INTERRUPTION_VALID;
    unsigned type = info >> INTERRUPTION_TYPE_SHIFT & 7;
    REQUIRE(activity <= ACTIVITY_WAIT_SIPI && activity != ACTIVITY_SHUTDOWN, "27.3.1.5: activity state");
    REQUIRE(activity != ACTIVITY_HLT || segment_dpl(vmcs, VMCS_SS) == 0, "27.3.1.5: HLT with SS.DPL not 0");
    REQUIRE(!(blocking & (BLOCKING_STI | BLOCKING_MOV_SS)) || activity == ACTIVITY_ACTIVE,
            "27.3.1.5: blocking by STI or MOV SS in an inactive state");
    REQUIRE(check_activity_injection(activity, info), "27.3.1.5: event injected into an inactive state");
    REQUIRE(!(blocking & ~(u32)(BLOCKING_STI | BLOCKING_MOV_SS | BLOCKING_NMI)),
            "27.3.1.5: interruptibility state, reserved bits");
    REQUIRE((blocking & (BLOCKING_STI | BLOCKING_MOV_SS)) != (BLOCKING_STI | BLOCKING_MOV_SS),
            "27.3.1.5: blocking by both STI and MOV SS");
    REQUIRE(!(blocking & BLOCKING_STI) || vmcs->guest_rflags & FLAG_IF,
            "27.3.1.5: blocking by STI with RFLAGS.IF clear");
    REQUIRE(!valid || type != EVENT_INTERRUPT || !(blocking & (BLOCKING_STI | BLOCKING_MOV_SS)),
            "27.3.1.5: external interrupt injected while blocked");
    REQUIRE(!valid || type != EVENT_NMI || !(blocking & BLOCKING_MOV_SS),
            "27.3.1.5: NMI injected while blocked by MOV SS");
    REQUIRE(!valid || type != EVENT_NMI || !(blocking & BLOCKING_NMI) || !(vmcs->pin_controls & PIN_VIRTUAL_NMI),
            "27.3.1.5: virtual NMI injected while blocked");
    return NULL;
}

static const char *check_pending_debug(const struct vmcs *vmcs)
{
    u64 pending = vmcs->pending_debug;
    REQUIRE(!(pending & ~(u64)0x500f), "27.3.1.5: pending debug exceptions, reserved bits");
    bool blocked = vmcs->interruptibility & (BLOCKING_STI | BLOCKING_MOV_SS) || vmcs->activity == ACTIVITY_HLT;
    bool stepping = vmcs->guest_rflags & FLAG_TF && !(vmcs->guest_debugctl & 2);
    REQUIRE(!blocked || !(pending & 1 << 14) == !stepping, "27.3.1.5: pending debug exceptions, BS against RFLAGS.TF");
    return NULL;
}

static const char *check_link(struct cpu *cpu, const struct vmcs *vmcs)
{
    u64 link = vmcs->link;
    if (link == VMX_NO_ADDRESS)
        return NULL;
    REQUIRE(vmx_physical_valid(cpu, link, PAGE_BYTES), "27.3.1.5: VMCS link pointer");
    u32 want = VMCS_REVISION | (guest_cpu2(vmcs) & CPU2_SHADOW_VMCS ? (u32)VMCS_SHADOW : 0);
    REQUIRE(physical_read(cpu, link, 4) == want, "27.3.1.5: revision or kind of the VMCS that the link pointer names");
    REQUIRE(link != cpu->vmx->current, "27.3.1.5: VMCS link pointer names the current VMCS");
    return NULL;
}

// SDM 3C 27.3.1.6: PAE paging's PDPTEs, from the VMCS with EPT, else from memory.
static const char *check_pdptes(struct cpu *cpu, const struct vmcs *vmcs, u64 pdpte[4])
{
    bool pae = vmcs->guest_cr0 & CR0_PG && vmcs->guest_cr4 & CR4_PAE && !guest_64(vmcs);
    if (!pae)
        return NULL;
    bool ept = guest_cpu2(vmcs) & CPU2_EPT;
    u64 reserved = ~cpu->physical_mask | 0x1e6;
    for (unsigned i = 0; i < 4; i++) {
        pdpte[i] = ept ? vmcs->guest_pdpte[i] : physical_read(cpu, (vmcs->guest_cr3 & 0xffffffe0) + i * 8, 8);
        REQUIRE(!(pdpte[i] & 1) || !(pdpte[i] & reserved), "27.3.1.6: PDPTE, reserved bits");
    }
    return NULL;
}

const char *vmx_check_guest(struct cpu *cpu, const struct vmcs *vmcs, u64 *qualification, u64 pdpte[4])
{
    *qualification = 0;
    const char *failed = check_control_registers(cpu, vmcs);
    if (!failed)
        failed = check_segments(vmcs);
    if (!failed)
        failed = check_tables_and_flow(vmcs);
    if (!failed)
        failed = check_activity(vmcs);
    if (!failed)
        failed = check_pending_debug(vmcs);
    if (failed)
        return failed;
    failed = check_link(cpu, vmcs);
    if (failed) {
        *qualification = 4;
        return failed;
    }
    failed = check_pdptes(cpu, vmcs, pdpte);
    if (failed)
        *qualification = 2;
    return failed;
}
