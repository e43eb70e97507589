// The checks of VM entry (SDM 3C 27.2 and 27.3). Each returns the first check that fails, in the manual's order, as
// text for `--trace vmx` that begins with the manual's section; NULL when all hold.
#pragma once

#include "engine/soft/vmx/vmx.h"

#define REQUIRE(condition, text) \
    do { \
        if (UNLIKELY(!(condition))) \
            return text; \
    } while (0)

const char *vmx_check_controls(struct cpu *cpu, const struct vmcs *vmcs); // 27.2.1: VMfailValid(7)
const char *vmx_check_host(struct cpu *cpu, const struct vmcs *vmcs);     // 27.2.2 to 27.2.4: VMfailValid(8)
// 27.3.1: a VM exit with reason 33 and this qualification. PDPTEs that come from memory are put into `pdpte`.
const char *vmx_check_guest(struct cpu *cpu, const struct vmcs *vmcs, u64 *qualification, u64 pdpte[4]);

bool vmx_in_physical(const struct cpu *cpu, u64 address); // within the physical address width
bool vmx_physical_valid(const struct cpu *cpu, u64 address, u64 alignment); // and aligned
const char *vmx_check_eptp(const struct cpu *cpu, u64 eptp);
