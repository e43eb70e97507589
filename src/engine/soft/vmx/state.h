// What entry.c and exit.c share of the state they move.
#pragma once

#include "engine/soft/vmx/vmx.h"

// The bits of CR0 that world switches load: all but ET, CD, NW and the reserved ones (SDM 3C 27.3.2.1, 28.5.1).
#define VMX_CR0_LOADED (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM | CR0_PG)

// Pending debug exceptions: an enabled breakpoint was met (SDM 3C table 25-4).
#define VMX_PENDING_ENABLED (1ull << 12)

static const u8 vmx_segment[VMCS_SEGMENTS] = {
    [VMCS_ES] = SEG_ES, [VMCS_CS] = SEG_CS, [VMCS_SS] = SEG_SS, [VMCS_DS] = SEG_DS,
    [VMCS_FS] = SEG_FS, [VMCS_GS] = SEG_GS, [VMCS_LDTR] = SEG_LDTR, [VMCS_TR] = SEG_TR,
};

static inline u64 vmx_host_tsc(void) { return __builtin_ia32_rdtsc(); }
