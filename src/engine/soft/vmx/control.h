// Which settings of the VMX controls exist: the capability MSRs and the entry checks both read this one table, so
// that what is advertised, what is accepted and what is implemented cannot drift apart.
#pragma once

#include "engine/soft/vmx/vmx.h"

enum vmx_control { CONTROL_PIN, CONTROL_CPU, CONTROL_CPU2, CONTROL_EXIT, CONTROL_ENTRY, CONTROL_COUNT };

struct vmx_control_bits {
    u32 default1; // read as 1 by the old capability MSR (SDM 3D appendix A.2)
    u32 fixed1;   // must really be 1: the TRUE capability MSR
    u32 may;      // implemented, free to be 0 or 1; vmx_control_may
};

extern const struct vmx_control_bits vmx_control_bits[CONTROL_COUNT];

// What may be set on this processor: not the controls of instructions that its CPUID does not show.
u32 vmx_control_may(const struct cpu *cpu, enum vmx_control control);

// Whether the value sets only what may, and all that must be set.
bool vmx_control_valid(const struct cpu *cpu, enum vmx_control control, u32 value);

// EPT and VPID capabilities (SDM 3D appendix A.10).
enum { EPT_EXECUTE_ONLY = 1 << 0, EPT_WALK_4 = 1 << 6, EPT_UNCACHEABLE = 1 << 8, EPT_WRITE_BACK = 1 << 14,
       EPT_2M = 1 << 16, EPT_1G = 1 << 17, EPT_INVEPT = 1 << 20, EPT_ACCESSED_DIRTY = 1 << 21,
       EPT_INVEPT_SINGLE = 1 << 25, EPT_INVEPT_ALL = 1 << 26 };
#define VPID_INVVPID (1ull << 32)
#define VPID_INVVPID_TYPES (0xfull << 40)

// EFER, DEBUGCTL and PAT as the checks and loads of VMX want them.
u64 vmx_efer_allowed(const struct cpu *cpu);
#define VMX_DEBUGCTL_ALLOWED ((u64)(1 << 0 | 1 << 1)) // LBR and BTF
