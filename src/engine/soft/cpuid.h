// CPUID: what the VM may show (KVM_GET_SUPPORTED_CPUID), and what a guest sees of what its board chose
// (KVM_SET_CPUID2).
#pragma once

#include "engine/soft/vm.h"

// Fills the table; returns the number of entries, or -E2BIG with the room too small.
int cpuid_supported(const struct engine_vm *vm, struct kvm_cpuid_entry2 *entry, unsigned room);

// KVM_SET_CPUID2: 0 or -errno. Fills what the CPU derives from it.
int cpuid_install(struct cpu *cpu, const struct kvm_cpuid_entry2 *entry, unsigned count);

// One leaf as the guest sees it now (with the dynamic bits).
void cpuid_read(const struct cpu *cpu, u32 leaf, u32 subleaf, u32 out[4]);

enum { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX };

// What system instructions ask often, in cpu->features.
enum cpu_feature {
    FEATURE_RDTSCP = 1 << 0, FEATURE_RDPID = 1 << 1, FEATURE_INVPCID = 1 << 2, FEATURE_SMAP = 1 << 3,
    FEATURE_XGETBV1 = 1 << 4, FEATURE_DEADLINE = 1 << 5, FEATURE_TSC_ADJUST = 1 << 6, FEATURE_SPEC_CTRL = 1 << 7,
    FEATURE_STIBP = 1 << 8, FEATURE_SSBD = 1 << 9, FEATURE_FLUSH_L1D = 1 << 10, FEATURE_ARCH_CAPABILITIES = 1 << 11,
    FEATURE_XSAVES = 1 << 12, FEATURE_NX = 1 << 13, FEATURE_LONG_MODE = 1 << 14, FEATURE_SYSCALL = 1 << 15,
    FEATURE_VMX = 1 << 16, FEATURE_X2APIC = 1 << 17, FEATURE_BHI_CTRL = 1 << 18,
    FEATURE_RDRAND = 1 << 19, FEATURE_RDSEED = 1 << 20, FEATURE_SERIALIZE = 1 << 21,
};
