// The MSR lists of VM entries and exits (SDM 3C 27.4, 28.4, 28.6): 16-byte entries of index and value in guest RAM.
// They fail where RDMSR and WRMSR would, and for the MSRs that the VMCS or the microcode claim for themselves.
#include "engine/soft/access.h"
#include "engine/soft/msr.h"
#include "engine/soft/vmx/vmx.h"

enum {
    MSR_FS_BASE = (int)0xc0000100, MSR_GS_BASE = (int)0xc0000101, MSR_BIOS_UPDATE_TRIGGER = 0x79,
    MSR_SMM_MONITOR = 0x9b, MSR_SMBASE = 0x9e, MSR_TSC = 0x10,
};

static bool msr_loadable(const struct cpu *cpu, u32 index)
{
    if (index == (u32)MSR_FS_BASE || index == (u32)MSR_GS_BASE || index == MSR_BIOS_UPDATE_TRIGGER ||
        index == MSR_SMM_MONITOR)
        return false;
    bool x2apic = index >> 8 == 8;
    return !x2apic || !(cpu->msr.apic_base & 1 << 10);
}

static bool msr_storable(const struct cpu *cpu, u32 index)
{
    return index != MSR_SMBASE && (index >> 8 != 8 || !(cpu->msr.apic_base & 1 << 10));
}

// The time stamp is stored as the host counts it, without the guest's offset.
static bool msr_stored(struct cpu *cpu, u32 index, u64 *value)
{
    if (index != MSR_TSC)
        return msr_read(cpu, index, value, false);
    *value = cpu->vmx->exit_tsc + cpu->tsc_offset;
    return true;
}

// The count is the guest's: beyond the recommended maximum the manual promises nothing, and here the list ends as
// failed.
u32 vmx_msr_load(struct cpu *cpu, u64 list, u32 count)
{
    for (u32 i = 0; i < count; i++) {
        u64 index = physical_read(cpu, list + i * 16ull, 8), value = physical_read(cpu, list + i * 16ull + 8, 8);
        if (i >= VMX_MSR_LIST_MAX || index >> 32 || !msr_loadable(cpu, index) || !msr_write(cpu, index, value, false)) {
            vmx_trace(cpu, "MSR load list, entry %u: MSR %#lx value %#lx", i + 1, (unsigned long)index,
                      (unsigned long)value);
            return i + 1;
        }
    }
    return 0;
}

u32 vmx_msr_store(struct cpu *cpu, u64 list, u32 count)
{
    for (u32 i = 0; i < count; i++) {
        u64 index = physical_read(cpu, list + i * 16ull, 8), value;
        if (i >= VMX_MSR_LIST_MAX || index >> 32 || !msr_storable(cpu, index) || !msr_stored(cpu, index, &value)) {
            vmx_trace(cpu, "MSR store list, entry %u: MSR %#lx", i + 1, (unsigned long)index);
            return i + 1;
        }
        physical_write(cpu, list + i * 16ull + 8, 8, value);
    }
    return 0;
}
