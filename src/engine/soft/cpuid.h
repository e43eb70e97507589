// CPUID: what the VM may show (KVM_GET_SUPPORTED_CPUID), and what a guest sees of what its board chose (KVM_SET_CPUID2).
#pragma once

#include "engine/soft/vm.h"

// Fills the table; returns the number of entries, or -E2BIG with the room too small.
int cpuid_supported(const struct engine_vm *vm, struct kvm_cpuid_entry2 *entry, unsigned room);

// KVM_SET_CPUID2: 0 or -errno. Fills the caches the CPU keeps of it.
int cpuid_set(struct cpu *cpu, const struct kvm_cpuid_entry2 *entry, unsigned count);

// One leaf as the guest sees it now (with the dynamic bits).
void cpuid_read(const struct cpu *cpu, u32 leaf, u32 subleaf, u32 out[4]);

enum { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX };
