// Inside the kvm engine only.
#pragma once

#include <stdatomic.h>

#include "engine/engine.h"

struct engine_vm {
    int kvm; // /dev/kvm: questions about the host
    int fd;
    size_t run_bytes; // of a vCPU's shared area
};

struct engine_vcpu {
    int fd;
    struct kvm_run *run;
    size_t run_bytes;
    atomic_int thread; // that runs it, 0 before the first KVM_RUN: whom a kick signals
};

// Opens /dev/kvm and checks that it is the KVM this engine is written for. A descriptor, or -1.
int kvm_host_open(struct error *error);

int kvm_probe(const struct engine_config *config, struct error *error);
