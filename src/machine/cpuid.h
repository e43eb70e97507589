// What CPUID says on each processor of the board: the engine knows what its processors can do, the board knows how many
// there are, how they are arranged (one package of single-threaded cores; APIC id = number) and whether hypervisors
// are wanted in it.
#pragma once

#include "engine/engine.h"

struct cpuid_config {
    unsigned cpus;
    bool nested;
};

enum { CPUID_ENTRIES = 256 };

// Adjusts the engine's table (of at most CPUID_ENTRIES entries) for processor `id`.
void cpuid_adjust(struct kvm_cpuid2 *table, const struct cpuid_config *config, unsigned id);

// Asks the engine and adjusts: what a processor of this VM shows on this host. The caller frees it; NULL with the
// reason.
struct kvm_cpuid2 *cpuid_make(const struct engine *engine, struct engine_vm *vm, const struct cpuid_config *config,
                              unsigned id, struct error *error);

// The same, and sets the result.
int cpuid_set(const struct engine *engine, struct engine_vm *vm, struct engine_vcpu *vcpu,
              const struct cpuid_config *config, unsigned id, struct error *error);
