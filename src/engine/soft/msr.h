// Model-specific registers: one switch for RDMSR/WRMSR, VMX MSR lists and KVM_GET/SET_MSRS.
#pragma once

#include "engine/soft/cpu.h"

#define APIC_BASE_BSP (1ull << 8)
#define APIC_BASE_X2APIC (1ull << 10)
#define APIC_BASE_ENABLE (1ull << 11)

// False: #GP. `host` is KVM_GET/SET_MSRS (and CPU set-up): may write what the guest may only read. Privilege and
// intercepts were checked by the caller. In IA-32e mode no effect beyond the register, its TLB and mode consequences.
bool msr_read(struct cpu *cpu, u32 msr, u64 *value, bool host);
bool msr_write(struct cpu *cpu, u32 msr, u64 value, bool host);

// KVM_GET_MSR_INDEX_LIST: what a saved state has to hold. -E2BIG, with the number wanted, if the list is too short.
int msr_index_list(struct kvm_msr_list *list);

bool msr_pat_valid(u64 value);
