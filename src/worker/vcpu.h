// A virtual processor's thread: enters the engine, hands what comes out to the board, and notes an ending it cannot
// go on from.
#pragma once

#include <pthread.h>

#include "base/error.h"
#include "base/types.h"
#include "machine/vcpu_clock.h"

struct engine_vcpu;
struct kvm_run;
struct vm;

struct vcpu {
    struct vm *vm;
    unsigned id;
    struct engine_vcpu *handle;
    struct kvm_run *run;
    pthread_t thread;
    bool started;
    u64 cpu_ns; // what the thread had used when it ended
    struct vcpu_clock clock; // while the VM is paused
};

// vCPU threads and pausing: each thread brings its processor to a state that can be looked at, waits until all have,
// and does so once more, for what the others sent it meanwhile. Under vm->lock.
struct vcpu_meeting {
    pthread_cond_t changed;
    unsigned threads;          // that run or wait here
    unsigned arrived, settled; // of them
};

// The processor as firmware would leave it: CPUID set, all but the first waiting for INIT and SIPI.
int vcpu_create(struct vcpu *vcpu, struct vm *vm, unsigned id, struct error *error);
int vcpu_start(struct vcpu *vcpu, struct error *error);
void vcpu_kick(struct vcpu *vcpu);
u64 vcpu_cpu_ns(const struct vcpu *vcpu); // of the host's, by its thread so far; any thread, until vcpu_join
void vcpu_join(struct vcpu *vcpu);
void vcpu_destroy(struct vcpu *vcpu);
