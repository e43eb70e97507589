// The second stage of translation: the physical addresses of a hypervisor's guest to those of the VM itself, through
// EPT (SDM 3C 29.3). The interface names no vendor: the caller says what it is accessing and why.
#pragma once

#include "engine/soft/cpu.h"

struct stage2_access {
    u64 gpa;
    u64 linear;        // valid when linear_valid
    bool linear_valid;
    bool walk;         // to an entry of the guest's paging structures
    unsigned wanted;   // a bit per enum access
};

struct stage2 {
    u64 gpa;          // in the VM's physical space
    unsigned allowed; // a bit per enum access
};

// Whether the second stage keeps accessed and dirty flags (EPTP bit 6). Then reading the guest's paging structures
// counts as writing (SDM 3C 29.3.5).
static inline bool stage2_flags(const struct cpu *cpu) { return cpu->eptp & 1 << 6; }

enum stage2_end { STAGE2_MAPPED, STAGE2_VIOLATION, STAGE2_MISCONFIGURATION };

// The walk itself, with its accessed and dirty flags. `allowed` of a violation is what the entries allow together.
enum stage2_end stage2_resolve(struct cpu *cpu, const struct stage2_access *access, struct stage2 *result);

// A walk without a second stage is the identity. Violations and misconfigurations leave by intercept.h and do not
// return.
void stage2_walk(struct cpu *cpu, const struct stage2_access *access, struct stage2 *result);

static inline void stage2_translate(struct cpu *cpu, const struct stage2_access *access, struct stage2 *result)
{
    if (UNLIKELY(cpu->eptp))
        stage2_walk(cpu, access, result);
    else
        *result = (struct stage2){.gpa = access->gpa, .allowed = 7};
}

// The same without any effect. False: a violation or misconfiguration.
bool stage2_look(struct cpu *cpu, u64 gpa, u64 *result);
