// The run loop of one vCPU (run.c).
#pragma once

#include "engine/soft/cpu.h"

int run_vcpu(struct cpu *cpu); // KVM_RUN: 0 with cpu->run filled, or -EINTR

// Called by generated code (glue.c): executes a system instruction in the middle of a block. Returns when the block may
// go on; unwinds to the run loop when anything else has to happen first.
void run_inline(struct cpu *cpu, u32 insn_id);
