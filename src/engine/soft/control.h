// Control registers as values, for whoever loads them: instructions, SIPI and INIT, task switches, VM entries,
// KVM_SET_SREGS.
#pragma once

#include "engine/soft/cpu.h"

// The loads of MOV to CR, with #GP for what the manual forbids, all consequences (PDPTEs, EFER.LMA, TLB, mode).
void control_set_cr0(struct cpu *cpu, u64 value);
void control_set_cr3(struct cpu *cpu, u64 value);
void control_set_cr4(struct cpu *cpu, u64 value);

bool control_xcr0_valid(const struct cpu *cpu, u64 value); // XSETBV's checks

// Ones for the guest's physical address bits (CPUID 80000008H).
static inline u64 control_physical_mask(const struct cpu *cpu) { return cpu->physical_mask; }

// The four page-directory-pointer-table entries of PAE paging; false when one is present with reserved bits set.
bool control_read_pdptes(struct cpu *cpu, u64 cr3, u64 pdpte[4]);
