// A processor's sense of time while the VM stands still: its TSC and the timers of its local APIC. Stopped, they are
// data that may go into a file; started, they go on from there as if no time had passed, on every processor by exactly
// the same. The vCPU is outside KVM_RUN all the while.
#pragma once

#include "engine/engine.h"

struct vcpu_clock {
    u64 tsc;      // what the guest's IA32_TSC read when it stopped
    u64 deadline; // IA32_TSC_DEADLINE, 0: not armed
    struct kvm_lapic_state lapic;
};

// The host's counter: one reading serves all processors of a VM, which is what keeps them together.
static inline u64 vcpu_clock_host_tsc(void) { return __builtin_ia32_rdtsc(); }

// 0, or -errno from the engine.
int vcpu_clock_stop(struct vcpu_clock *clock, const struct engine *engine, struct engine_vcpu *vcpu, u64 host_tsc);
int vcpu_clock_start(const struct vcpu_clock *clock, const struct engine *engine, struct engine_vcpu *vcpu,
                     u64 host_tsc);
