// The run loop of one vCPU (run.c).
#pragma once

#include "engine/soft/cpu.h"

int run_vcpu(struct cpu *cpu); // KVM_RUN: 0 with cpu->run filled, or -EINTR
