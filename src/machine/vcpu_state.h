// A processor in a saved state: all that the engine keeps of it, in KVM's words, and its time (vcpu_clock.h). The vCPU
// is outside KVM_RUN, which was left with immediate_exit.
#pragma once

#include "engine/engine.h"
#include "machine/saved_state.h"
#include "machine/vcpu_clock.h"

struct vcpu_state {
    const struct engine *engine;
    struct engine_vm *vm;
    struct engine_vcpu *vcpu;
    unsigned id;
    bool nested;              // it has virtualization extensions
    struct vcpu_clock *clock; // stopped when the VM was paused
};

int vcpu_state_save(const struct vcpu_state *state, struct state_writer *writer, struct error *error);

// Into a vCPU that was just created and has its CPUID table; guest memory was restored before. Its clock is loaded, not
// started.
int vcpu_state_restore(const struct vcpu_state *state, struct state_reader *reader, struct error *error);
