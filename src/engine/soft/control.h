// Control registers as values, for whoever loads them: instructions, SIPI and INIT, task switches, VM entries, KVM_SET_SREGS.
#pragma once

#include "engine/soft/cpu.h"

u64 control_cr4_allowed(const struct cpu *cpu); // bits this guest's CPUID lets it set

// The loads of MOV to CR, with #GP for what the manual forbids, all consequences (PDPTEs, EFER.LMA, TLB, mode).
void control_set_cr0(struct cpu *cpu, u64 value);
void control_set_cr3(struct cpu *cpu, u64 value);
void control_set_cr4(struct cpu *cpu, u64 value);

u64 control_physical_mask(const struct cpu *cpu); // ones for the guest's physical address bits (CPUID 0x80000008)
