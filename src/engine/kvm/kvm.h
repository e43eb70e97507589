// Inside the kvm engine only.
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "engine/engine.h"

enum { KVM_GUESTS_SEEN = 64 };

// What the vCPUs said of their nested state (nested.c).
struct kvm_nested {
    pthread_mutex_t lock;
    struct engine_vcpu *vcpus[ENGINE_MAX_VCPUS];
    u64 guests[KVM_GUESTS_SEEN]; // addresses of VMCSs and VMCBs that were current
    unsigned guest_count;
};

struct engine_vm {
    int kvm; // /dev/kvm: questions about the host
    int fd;
    size_t run_bytes; // of a vCPU's shared area
    struct kvm_nested nested;
};

struct engine_vcpu {
    struct engine_vm *vm;
    unsigned id;
    int fd;
    struct kvm_run *run;
    size_t run_bytes;
    atomic_int thread; // that runs it, 0 before the first KVM_RUN: whom a kick signals
    atomic_bool asked; // shall look at its nested state before it enters the guest again
    enum engine_extension extension; // what it said last, under vm->nested.lock
    bool in_guest;
};

// Opens /dev/kvm, if the caller has not, and checks that it is the KVM this engine is written for. A descriptor of its
// own, or -1.
int kvm_host_open(const struct engine_config *config, struct error *error);

int kvm_probe(const struct engine_config *config, struct error *error);

void kvm_nested_init(struct kvm_nested *nested);
void kvm_nested_add(struct engine_vcpu *vcpu);
void kvm_nested_remove(struct engine_vcpu *vcpu);
void kvm_nested_look(struct engine_vcpu *vcpu); // the vCPU's thread, outside KVM_RUN
void kvm_nested_status(struct engine_vm *vm, struct engine_nested_status *status);

// Makes the vCPU's thread, if it is another, leave KVM_RUN.
void kvm_vcpu_signal(struct engine_vcpu *vcpu);
