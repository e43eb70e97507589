// The capability MSRs: what a hypervisor in the VM is told that it may use. It names only what this CPU does.
#include "engine/soft/cpuid.h"
#include "engine/soft/vmx/control.h"

const struct vmx_control_bits vmx_control_bits[CONTROL_COUNT] = {
    [CONTROL_PIN] = {
        .default1 = 0x16,
        .fixed1 = 0x16,
        .may = PIN_EXTERNAL_INTERRUPT | PIN_NMI | PIN_VIRTUAL_NMI | PIN_PREEMPTION_TIMER |
               PIN_POSTED_INTERRUPTS,
    },
    [CONTROL_CPU] = {
        .default1 = 0x0401e172,
        .fixed1 = 0x04006172,
        .may = CPU_INTERRUPT_WINDOW | CPU_TSC_OFFSET | CPU_HLT | CPU_INVLPG | CPU_MWAIT | CPU_RDPMC | CPU_RDTSC |
               CPU_CR3_LOAD | CPU_CR3_STORE | CPU_CR8_LOAD | CPU_CR8_STORE | CPU_TPR_SHADOW | CPU_NMI_WINDOW |
               CPU_MOV_DR | CPU_IO | CPU_IO_BITMAPS | CPU_MONITOR_TRAP | CPU_MSR_BITMAPS | CPU_MONITOR | CPU_PAUSE |
               CPU_SECONDARY,
    },
    [CONTROL_CPU2] = {
        .may = CPU2_APIC_ACCESS | CPU2_EPT | CPU2_DESCRIPTOR_TABLE | CPU2_RDTSCP | CPU2_X2APIC | CPU2_VPID |
               CPU2_WBINVD | CPU2_UNRESTRICTED | CPU2_APIC_REGISTER | CPU2_INTERRUPT_DELIVERY | CPU2_PAUSE_LOOP |
               CPU2_RDRAND | CPU2_INVPCID | CPU2_SHADOW_VMCS | CPU2_RDSEED | CPU2_XSAVES | CPU2_TSC_SCALING,
    },
    [CONTROL_EXIT] = {
        .default1 = 0x36dff,
        .fixed1 = 0x36dfb,
        .may = EXIT_SAVE_DEBUG | EXIT_HOST_64 | EXIT_ACK_INTERRUPT | EXIT_SAVE_PAT | EXIT_LOAD_PAT | EXIT_SAVE_EFER |
               EXIT_LOAD_EFER | EXIT_SAVE_TIMER,
    },
    [CONTROL_ENTRY] = {
        .default1 = 0x11ff,
        .fixed1 = 0x11fb,
        .may = ENTRY_LOAD_DEBUG | ENTRY_IA32E | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER,
    },
};

enum {
    BASIC_WRITE_BACK = 6,
    MISC_STORES_LMA = 1 << 5, MISC_HLT = 1 << 6, MISC_WAIT_SIPI = 1 << 8, MISC_CR3_TARGETS = VMX_CR3_TARGETS << 16,
    MISC_VMWRITE_ANY = 1 << 29, MISC_INJECT_LENGTH_0 = 1 << 30,
};

u32 vmx_control_may(const struct cpu *cpu, enum vmx_control control)
{
    static const struct { u32 feature, bit; } of_instructions[] = {
        {FEATURE_RDTSCP | FEATURE_RDPID, CPU2_RDTSCP}, {FEATURE_INVPCID, CPU2_INVPCID}, {FEATURE_RDRAND, CPU2_RDRAND},
        {FEATURE_RDSEED, CPU2_RDSEED}, {FEATURE_XSAVES, CPU2_XSAVES},
    };
    u32 may = vmx_control_bits[control].may;
    for (unsigned i = 0; i < ARRAY_SIZE(of_instructions) && control == CONTROL_CPU2; i++)
        if (!(cpu->features & of_instructions[i].feature))
            may &= ~of_instructions[i].bit;
    return may;
}

bool vmx_control_valid(const struct cpu *cpu, enum vmx_control control, u32 value)
{
    const struct vmx_control_bits *bits = &vmx_control_bits[control];
    return (value & bits->fixed1) == bits->fixed1 && !(value & ~(bits->default1 | vmx_control_may(cpu, control)));
}

static u64 capability(const struct cpu *cpu, enum vmx_control control, bool exact)
{
    const struct vmx_control_bits *bits = &vmx_control_bits[control];
    return (u64)(bits->default1 | vmx_control_may(cpu, control)) << 32 | (exact ? bits->fixed1 : bits->default1);
}

bool vmx_msr_read(const struct cpu *cpu, u32 msr, u64 *value)
{
    if (!cpu->vmx)
        return false;
    switch (msr) {
    case 0x480: // IA32_VMX_BASIC: region size, memory type, INS/OUTS information, TRUE controls
        *value = VMCS_REVISION | (u64)VMCS_BYTES << 32 | (u64)BASIC_WRITE_BACK << 50 | 1ull << 54 | 1ull << 55;
        return true;
    case 0x481: *value = capability(cpu, CONTROL_PIN, false); return true;
    case 0x482: *value = capability(cpu, CONTROL_CPU, false); return true;
    case 0x483: *value = capability(cpu, CONTROL_EXIT, false); return true;
    case 0x484: *value = capability(cpu, CONTROL_ENTRY, false); return true;
    case 0x485:
        *value = VMX_TIMER_SHIFT | MISC_STORES_LMA | MISC_HLT | MISC_WAIT_SIPI | MISC_CR3_TARGETS | MISC_VMWRITE_ANY |
                 MISC_INJECT_LENGTH_0;
        return true;
    case 0x486: *value = CR0_PE | CR0_NE | CR0_PG; return true;
    case 0x487: *value = 0xffffffff; return true;
    case 0x488: *value = CR4_VMXE; return true;
    case 0x489: *value = cpu->cr4_allowed | CR4_VMXE; return true;
    case 0x48a: *value = vmcs_field_highest_index() << 1; return true;
    case 0x48b: *value = capability(cpu, CONTROL_CPU2, false); return true;
    case 0x48c:
        *value = EPT_EXECUTE_ONLY | EPT_WALK_4 | EPT_UNCACHEABLE | EPT_WRITE_BACK | EPT_2M | EPT_1G | EPT_INVEPT |
                 EPT_ACCESSED_DIRTY | EPT_INVEPT_SINGLE | EPT_INVEPT_ALL | VPID_INVVPID | VPID_INVVPID_TYPES;
        return true;
    case 0x48d: *value = capability(cpu, CONTROL_PIN, true); return true;
    case 0x48e: *value = capability(cpu, CONTROL_CPU, true); return true;
    case 0x48f: *value = capability(cpu, CONTROL_EXIT, true); return true;
    case 0x490: *value = capability(cpu, CONTROL_ENTRY, true); return true;
    default: // 0x491: there are no VM functions
        return false;
    }
}

// Lock and "VMX outside SMX" are all there is of it (SDM 3C 24.7).
bool vmx_feature_control_write(struct cpu *cpu, u64 value)
{
    if (!cpu->vmx || cpu->msr.feature_control & 1 || value & ~(u64)(1 | 4))
        return false;
    cpu->msr.feature_control = value;
    return true;
}

bool vmx_cr0_allowed(const struct cpu *cpu, u64 cr0)
{
    if (!cpu->vmx || !cpu->vmx->on)
        return true;
    u64 fixed = CR0_PE | CR0_NE | CR0_PG;
    if (cpu->guest_mode && cpu->vmx->cpu2 & CPU2_UNRESTRICTED)
        fixed = CR0_NE;
    return (cr0 & fixed) == fixed;
}

bool vmx_cr4_allowed(const struct cpu *cpu, u64 cr4)
{
    return !cpu->vmx || !cpu->vmx->on || cr4 & CR4_VMXE;
}

u64 vmx_efer_allowed(const struct cpu *cpu)
{
    u64 allowed = EFER_SCE | EFER_LME | EFER_LMA;
    if (cpu->features & FEATURE_NX)
        allowed |= EFER_NXE;
    return allowed;
}
