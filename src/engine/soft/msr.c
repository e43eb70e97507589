// Model-specific registers. One read and one write switch serve RDMSR/WRMSR, VMX's MSR lists and KVM_GET/SET_MSRS;
// what is not named in them does not exist and faults, which is what systems probe for. The set is what Linux, KVM
// and conformance tests touch on a processor without performance counters, power management and model quirks (SDM 4,
// table 2-2).
#include <errno.h>

#include "engine/soft/access.h"
#include "engine/soft/cpuid.h"
#include "engine/soft/debug.h"
#include "engine/soft/insn_msr.h"
#include "engine/soft/intercept.h"
#include "engine/soft/lapic.h"
#include "engine/soft/msr.h"
#include "engine/soft/segment.h"
#include "engine/soft/vm.h"
#include "engine/soft/vmx/vmx.h"

enum {
    MSR_MC_ADDRESS = 0x0, MSR_MC_TYPE = 0x1, MSR_TSC = 0x10, MSR_PLATFORM_ID = 0x17, MSR_APIC_BASE = 0x1b,
    MSR_FEATURE_CONTROL = 0x3a, MSR_TSC_ADJUST = 0x3b, MSR_SPEC_CTRL = 0x48, MSR_PRED_CMD = 0x49,
    MSR_UPDATE_TRIGGER = 0x79, MSR_UPDATE_SIGNATURE = 0x8b,
    MSR_PLATFORM_INFO = 0xce, MSR_MTRR_CAP = 0xfe, MSR_ARCH_CAPABILITIES = 0x10a,
    MSR_FLUSH_CMD = 0x10b, MSR_SYSENTER_CS = 0x174, MSR_SYSENTER_ESP = 0x175, MSR_SYSENTER_EIP = 0x176,
    MSR_MCG_CAP = 0x179, MSR_MCG_STATUS = 0x17a, MSR_MCG_CTL = 0x17b, MSR_MISC_ENABLE = 0x1a0, MSR_DEBUGCTL = 0x1d9,
    MSR_MTRR_VARIABLE = 0x200, MSR_MTRR_VARIABLE_LAST = 0x20f, MSR_MTRR_FIX64K = 0x250, MSR_MTRR_FIX16K = 0x258,
    MSR_MTRR_FIX4K = 0x268, MSR_MTRR_FIX4K_LAST = 0x26f, MSR_PAT = 0x277, MSR_MTRR_DEF_TYPE = 0x2ff,
    MSR_MC0_CTL = 0x400,
    MSR_TSC_DEADLINE = 0x6e0, MSR_X2APIC = 0x800, MSR_X2APIC_LAST = 0x8ff, MSR_XSS = 0xda0,
};

enum {
    MSR_EFER = (int)0xc0000080, MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SFMASK,
    MSR_FS_BASE = (int)0xc0000100, MSR_GS_BASE, MSR_KERNEL_GS_BASE, MSR_TSC_AUX,
};

enum { MSR_MC_BANKS = 4 };
#define MSR_MC_LAST (MSR_MC0_CTL + 4 * MSR_MC_BANKS - 1)
#define MSR_MCG_CAP_VALUE (MSR_MC_BANKS | 1u << 8) // MCG_CTL_P
#define MSR_MTRR_CAP_VALUE (8u | 1 << 8 | 1 << 10) // eight variable ranges, fixed ranges, write combining
#define MSR_MISC_ENABLE_READ_ONLY (1ull << 7 | 1ull << 11 | 1ull << 12)

// Memory types (SDM 3A 11.3): UC, WC, WT, WP, WB; PAT has UC- beside them.
static bool msr_memory_type(u64 type, bool pat)
{
    return type < 8 && (pat ? 0xf3 : 0x73) >> type & 1;
}

bool msr_pat_valid(u64 value)
{
    for (unsigned i = 0; i < 8; i++)
        if (!msr_memory_type(value >> i * 8 & 0xff, true))
            return false;
    return true;
}

static u64 *msr_mtrr_fixed(struct cpu *cpu, u32 msr)
{
    if (msr == MSR_MTRR_FIX64K)
        return &cpu->msr.mtrr_fixed[0];
    if (msr == MSR_MTRR_FIX16K || msr == MSR_MTRR_FIX16K + 1)
        return &cpu->msr.mtrr_fixed[1 + msr - MSR_MTRR_FIX16K];
    return &cpu->msr.mtrr_fixed[3 + msr - MSR_MTRR_FIX4K];
}

static bool msr_mtrr_write(struct cpu *cpu, u32 msr, u64 value)
{
    if (msr == MSR_MTRR_DEF_TYPE) {
        if (value & ~0xcffull || !msr_memory_type(value & 0xff, false))
            return false;
        cpu->msr.mtrr_def_type = value;
        return true;
    }
    if (msr >= MSR_MTRR_VARIABLE && msr <= MSR_MTRR_VARIABLE_LAST) {
        u64 low = msr & 1 ? 0x7ff : 0xf00; // reserved in masks, in bases
        if (value & (~cpu->physical_mask | low) || (!(msr & 1) && !msr_memory_type(value & 0xff, false)))
            return false;
        cpu->msr.mtrr_variable[msr - MSR_MTRR_VARIABLE] = value;
        return true;
    }
    for (unsigned i = 0; i < 8; i++)
        if (!msr_memory_type(value >> i * 8 & 0xff, false))
            return false;
    *msr_mtrr_fixed(cpu, msr) = value;
    return true;
}

// The machine-check banks are there, as every processor of today has some, and nothing ever goes wrong in them.
static bool msr_mc_write(struct cpu *cpu, u32 msr, u64 value, bool host)
{
    bool control = (msr & 3) == 0, status = (msr & 3) == 1;
    if (!host && ((control && value && value != ~0ull) || (status && value)))
        return false;
    cpu->msr.mc[msr - MSR_MC0_CTL] = value;
    return true;
}

static bool msr_feature(const struct cpu *cpu, u32 feature, bool host)
{
    return host || cpu->features & feature;
}

static bool msr_read_speculation(const struct cpu *cpu, u32 msr, u64 *value, bool host)
{
    if (msr == MSR_SPEC_CTRL && msr_feature(cpu, FEATURE_SPEC_CTRL, host))
        *value = cpu->msr.spec_ctrl;
    else if (msr == MSR_ARCH_CAPABILITIES && msr_feature(cpu, FEATURE_ARCH_CAPABILITIES, host))
        *value = cpu->msr.arch_capabilities;
    else
        return false;
    return true;
}

static bool msr_read_long_mode(const struct cpu *cpu, u32 msr, u64 *value, bool host)
{
    if (!msr_feature(cpu, FEATURE_LONG_MODE, host))
        return false;
    switch ((int)msr) {
    case MSR_STAR: *value = cpu->msr.star; return true;
    case MSR_LSTAR: *value = cpu->msr.lstar; return true;
    case MSR_CSTAR: *value = cpu->msr.cstar; return true;
    case MSR_SFMASK: *value = cpu->msr.sfmask; return true;
    case MSR_FS_BASE: *value = cpu->fs_base; return true;
    case MSR_GS_BASE: *value = cpu->gs_base; return true;
    case MSR_KERNEL_GS_BASE: *value = cpu->msr.kernel_gs_base; return true;
    case MSR_TSC_AUX: *value = cpu->msr.tsc_aux; return msr_feature(cpu, FEATURE_RDTSCP | FEATURE_RDPID, host);
    default: return false;
    }
}

static bool msr_read_timing(struct cpu *cpu, u32 msr, u64 *value, bool host)
{
    switch (msr) {
    case MSR_TSC: *value = cpu_tsc(cpu); return true;
    case MSR_TSC_ADJUST: *value = cpu->msr.tsc_adjust; return msr_feature(cpu, FEATURE_TSC_ADJUST, host);
    case MSR_TSC_DEADLINE:
        if (!msr_feature(cpu, FEATURE_DEADLINE, host))
            return false;
        *value = lapic_deadline_read(cpu);
        return true;
    default: return false;
    }
}

bool msr_read(struct cpu *cpu, u32 msr, u64 *value, bool host)
{
    switch ((int)msr) {
    case MSR_MC_ADDRESS: case MSR_MC_TYPE: case MSR_PLATFORM_ID: *value = 0; return true;
    case MSR_TSC: case MSR_TSC_ADJUST: case MSR_TSC_DEADLINE: return msr_read_timing(cpu, msr, value, host);
    case MSR_APIC_BASE: *value = cpu->msr.apic_base; return true;
    case MSR_FEATURE_CONTROL: *value = cpu->msr.feature_control; return msr_feature(cpu, FEATURE_VMX, host);
    case MSR_SPEC_CTRL: case MSR_ARCH_CAPABILITIES: return msr_read_speculation(cpu, msr, value, host);
    case MSR_UPDATE_SIGNATURE: *value = cpu->msr.microcode; return true;
    case MSR_PLATFORM_INFO: *value = cpu->msr.platform_info; return true;
    case MSR_MTRR_CAP: *value = MSR_MTRR_CAP_VALUE; return true;
    case MSR_SYSENTER_CS: *value = cpu->msr.sysenter_cs; return true;
    case MSR_SYSENTER_ESP: *value = cpu->msr.sysenter_esp; return true;
    case MSR_SYSENTER_EIP: *value = cpu->msr.sysenter_eip; return true;
    case MSR_MCG_CAP: *value = MSR_MCG_CAP_VALUE; return true;
    case MSR_MCG_STATUS: *value = cpu->msr.mcg_status; return true;
    case MSR_MCG_CTL: *value = cpu->msr.mcg_ctl; return true;
    case MSR_MISC_ENABLE: *value = cpu->msr.misc_enable; return true;
    case MSR_DEBUGCTL: *value = cpu->msr.debugctl; return true;
    case MSR_PAT: *value = cpu->msr.pat; return true;
    case MSR_MTRR_DEF_TYPE: *value = cpu->msr.mtrr_def_type; return true;
    case MSR_MTRR_FIX64K: case MSR_MTRR_FIX16K: case MSR_MTRR_FIX16K + 1: case MSR_MTRR_FIX4K ... MSR_MTRR_FIX4K_LAST:
        *value = *msr_mtrr_fixed(cpu, msr);
        return true;
    case MSR_MTRR_VARIABLE ... MSR_MTRR_VARIABLE_LAST:
        *value = cpu->msr.mtrr_variable[msr - MSR_MTRR_VARIABLE];
        return true;
    case MSR_MC0_CTL ... MSR_MC_LAST: *value = cpu->msr.mc[msr - MSR_MC0_CTL]; return true;
    case VMX_MSR_FIRST ... VMX_MSR_LAST:
        return cpu->vmx && msr_feature(cpu, FEATURE_VMX, host) && vmx_msr_read(cpu, msr, value);
    case MSR_X2APIC ... MSR_X2APIC_LAST: return lapic_msr_read(cpu, msr, value);
    case MSR_XSS: *value = cpu->msr.xss; return msr_feature(cpu, FEATURE_XSAVES, host);
    case MSR_EFER: *value = cpu->msr.efer; return true;
    default: return msr_read_long_mode(cpu, msr, value, host);
    }
}

// A write moves the counter, and IA32_TSC_ADJUST keeps account of all moves (SDM 3B 18.17.3).
static bool msr_write_timing(struct cpu *cpu, u32 msr, u64 value, bool host)
{
    u64 change;
    switch (msr) {
    case MSR_TSC:
        change = value - cpu_tsc(cpu);
        cpu->tsc_offset += change;
        if (!host)
            cpu->msr.tsc_adjust += change;
        return true;
    case MSR_TSC_ADJUST:
        if (!msr_feature(cpu, FEATURE_TSC_ADJUST, host))
            return false;
        if (!host)
            cpu->tsc_offset += value - cpu->msr.tsc_adjust;
        cpu->msr.tsc_adjust = value;
        return true;
    default:
        if (!msr_feature(cpu, FEATURE_DEADLINE, host))
            return false;
        lapic_deadline_write(cpu, value);
        return true;
    }
}

static bool msr_write_speculation(struct cpu *cpu, u32 msr, u64 value, bool host)
{
    u64 control = 0;
    switch (msr) {
    case MSR_SPEC_CTRL:
        if (cpu->features & FEATURE_SPEC_CTRL)
            control |= 1;
        if (cpu->features & FEATURE_STIBP)
            control |= 2;
        if (cpu->features & FEATURE_SSBD)
            control |= 4;
        if (cpu->features & FEATURE_BHI_CTRL)
            control |= 1 << 10;
        if (!host && (!control || value & ~control))
            return false;
        cpu->msr.spec_ctrl = value;
        return true;
    case MSR_PRED_CMD:
        return msr_feature(cpu, FEATURE_SPEC_CTRL, host) && !(value & ~1ull);
    case MSR_FLUSH_CMD:
        return msr_feature(cpu, FEATURE_FLUSH_L1D, host) && !(value & ~1ull);
    default: // IA32_ARCH_CAPABILITIES
        if (host)
            cpu->msr.arch_capabilities = value;
        return host;
    }
}

static bool msr_write_efer(struct cpu *cpu, u64 value, bool host)
{
    u64 allowed = EFER_LMA;
    if (cpu->features & FEATURE_SYSCALL)
        allowed |= EFER_SCE;
    if (cpu->features & FEATURE_LONG_MODE)
        allowed |= EFER_LME;
    if (cpu->features & FEATURE_NX)
        allowed |= EFER_NXE;
    if (value & ~allowed)
        return false;
    if (!host) {
        if ((cpu->msr.efer ^ value) & EFER_LME && cpu->cr0 & CR0_PG)
            return false;
        value = (value & ~EFER_LMA) | (cpu->msr.efer & EFER_LMA);
    }
    cpu->msr.efer = value;
    cpu_mode_update(cpu);
    return true;
}

static bool msr_write_address(u64 *to, u64 value)
{
    if (!cpu_canonical(value))
        return false;
    *to = value;
    return true;
}

static bool msr_write_base(struct cpu *cpu, enum segment_index index, u64 value)
{
    if (!cpu_canonical(value))
        return false;
    segment_set_base(cpu, index, value);
    return true;
}

static bool msr_write_long_mode(struct cpu *cpu, u32 msr, u64 value, bool host)
{
    if (!msr_feature(cpu, FEATURE_LONG_MODE, host))
        return false;
    switch ((int)msr) {
    case MSR_STAR: cpu->msr.star = value; return true;
    case MSR_LSTAR: return msr_write_address(&cpu->msr.lstar, value);
    case MSR_CSTAR: return msr_write_address(&cpu->msr.cstar, value);
    case MSR_SFMASK: cpu->msr.sfmask = value; return !(value >> 32);
    case MSR_FS_BASE: return msr_write_base(cpu, SEG_FS, value);
    case MSR_GS_BASE: return msr_write_base(cpu, SEG_GS, value);
    case MSR_KERNEL_GS_BASE: return msr_write_address(&cpu->msr.kernel_gs_base, value);
    case MSR_TSC_AUX:
        if (value >> 32 || !msr_feature(cpu, FEATURE_RDTSCP | FEATURE_RDPID, host))
            return false;
        cpu->msr.tsc_aux = value;
        return true;
    default:
        return false;
    }
}

static bool msr_write_feature_control(struct cpu *cpu, u64 value, bool host)
{
    if (!host)
        return msr_feature(cpu, FEATURE_VMX, false) && vmx_feature_control_write(cpu, value);
    cpu->msr.feature_control = value;
    return true;
}

static bool msr_write_misc_enable(struct cpu *cpu, u64 value, bool host)
{
    u64 kept = host ? 0 : MSR_MISC_ENABLE_READ_ONLY;
    cpu->msr.misc_enable = (value & ~kept) | (cpu->msr.misc_enable & kept);
    return true;
}

bool msr_write(struct cpu *cpu, u32 msr, u64 value, bool host)
{
    switch ((int)msr) {
    case MSR_MC_ADDRESS: case MSR_MC_TYPE: return !value;
    case MSR_TSC: case MSR_TSC_ADJUST: case MSR_TSC_DEADLINE: return msr_write_timing(cpu, msr, value, host);
    case MSR_APIC_BASE: return lapic_set_base(cpu, value);
    case MSR_FEATURE_CONTROL: return msr_write_feature_control(cpu, value, host);
    case MSR_SPEC_CTRL: case MSR_PRED_CMD: case MSR_FLUSH_CMD: case MSR_ARCH_CAPABILITIES:
        return msr_write_speculation(cpu, msr, value, host);
    case MSR_UPDATE_TRIGGER: return true; // there is no microcode to update
    case MSR_UPDATE_SIGNATURE:            // software writes zero before it asks for the signature with CPUID
        if (host)
            cpu->msr.microcode = value;
        return true;
    case MSR_PLATFORM_INFO:
        if (host)
            cpu->msr.platform_info = value;
        return host;
    case MSR_SYSENTER_CS: cpu->msr.sysenter_cs = (u32)value; return true;
    case MSR_SYSENTER_ESP: return msr_write_address(&cpu->msr.sysenter_esp, value);
    case MSR_SYSENTER_EIP: return msr_write_address(&cpu->msr.sysenter_eip, value);
    case MSR_MCG_STATUS: cpu->msr.mcg_status = value; return true;
    case MSR_MCG_CTL:
        if (value && value != ~0ull)
            return false;
        cpu->msr.mcg_ctl = value;
        return true;
    case MSR_MISC_ENABLE: return msr_write_misc_enable(cpu, value, host);
    case MSR_DEBUGCTL: // single-stepping on branches and branch records are not there: dropped, as KVM does
        if (host)
            cpu->msr.debugctl = value; // VM entries load what was not checked for that
        return host || !(value & ~3ull);
    case MSR_PAT:
        if (!msr_pat_valid(value))
            return false;
        cpu->msr.pat = value;
        return true;
    case MSR_MTRR_FIX64K: case MSR_MTRR_FIX16K: case MSR_MTRR_FIX16K + 1: case MSR_MTRR_FIX4K ... MSR_MTRR_FIX4K_LAST:
    case MSR_MTRR_VARIABLE ... MSR_MTRR_VARIABLE_LAST: case MSR_MTRR_DEF_TYPE:
        return msr_mtrr_write(cpu, msr, value);
    case MSR_MC0_CTL ... MSR_MC_LAST: return msr_mc_write(cpu, msr, value, host);
    case MSR_X2APIC ... MSR_X2APIC_LAST: return lapic_msr_write(cpu, msr, value);
    case MSR_XSS: return !value && msr_feature(cpu, FEATURE_XSAVES, host); // no supervisor states
    case MSR_EFER: return msr_write_efer(cpu, value, host);
    default: return msr_write_long_mode(cpu, msr, value, host);
    }
}

// Runs of registers that are state of a vCPU's own (KVM_GET_MSR_INDEX_LIST): those that say what the processor is, and
// those that other requests carry, are not.
static const struct {
    u32 first, last;
} msr_state[] = {
    {MSR_TSC, MSR_TSC}, {MSR_FEATURE_CONTROL, MSR_TSC_ADJUST}, {MSR_SPEC_CTRL, MSR_SPEC_CTRL},
    {MSR_UPDATE_SIGNATURE, MSR_UPDATE_SIGNATURE}, {MSR_PLATFORM_INFO, MSR_PLATFORM_INFO},
    {MSR_ARCH_CAPABILITIES, MSR_ARCH_CAPABILITIES}, {MSR_SYSENTER_CS, MSR_SYSENTER_EIP},
    {MSR_MCG_STATUS, MSR_MCG_CTL}, {MSR_MISC_ENABLE, MSR_MISC_ENABLE}, {MSR_DEBUGCTL, MSR_DEBUGCTL},
    {MSR_MTRR_VARIABLE, MSR_MTRR_VARIABLE_LAST}, {MSR_MTRR_FIX64K, MSR_MTRR_FIX64K},
    {MSR_MTRR_FIX16K, MSR_MTRR_FIX16K + 1}, {MSR_MTRR_FIX4K, MSR_MTRR_FIX4K_LAST}, {MSR_PAT, MSR_PAT},
    {MSR_MTRR_DEF_TYPE, MSR_MTRR_DEF_TYPE}, {MSR_MC0_CTL, MSR_MC_LAST}, {MSR_TSC_DEADLINE, MSR_TSC_DEADLINE},
    {MSR_XSS, MSR_XSS}, {(u32)MSR_EFER, (u32)MSR_SFMASK}, {(u32)MSR_KERNEL_GS_BASE, (u32)MSR_TSC_AUX},
};

int msr_index_list(struct kvm_msr_list *list)
{
    u32 room = list->nmsrs, count = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(msr_state); i++)
        for (u32 msr = msr_state[i].first; msr <= msr_state[i].last; msr++, count++)
            if (count < room)
                list->indices[count] = msr;
    list->nmsrs = count;
    return count > room ? -E2BIG : 0;
}

void insn_rdmsr(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    u32 msr = cpu->gpr[RCX];
    u64 value;
    if (cpu->guest_mode)
        intercept_msr(cpu, msr, false);
    if (!intercept_x2apic(cpu, msr, false, &value) && !msr_read(cpu, msr, &value, false))
        cpu_raise_code(cpu, VECTOR_GP, 0);
    cpu->gpr[RAX] = (u32)value;
    cpu->gpr[RDX] = value >> 32;
}

void insn_wrmsr(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    u32 msr = cpu->gpr[RCX];
    if (cpu->guest_mode)
        intercept_msr(cpu, msr, true);
    u64 value = (u32)cpu->gpr[RAX] | cpu->gpr[RDX] << 32;
    if (!intercept_x2apic(cpu, msr, true, &value) && !msr_write(cpu, msr, value, false))
        cpu_raise_code(cpu, VECTOR_GP, 0);
}
