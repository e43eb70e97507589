// x87 and vector state of a vCPU as the owner of the VM reads and writes it: 0 or a negative errno. The vCPU's own
// thread.
#pragma once

#include "engine/soft/cpu.h"

int xstate_get_fpu(struct cpu *cpu, struct kvm_fpu *fpu);
int xstate_set_fpu(struct cpu *cpu, const struct kvm_fpu *fpu);
int xstate_get_xsave(struct cpu *cpu, struct kvm_xsave *xsave);
int xstate_set_xsave(struct cpu *cpu, const struct kvm_xsave *xsave);
int xstate_get_xcrs(struct cpu *cpu, struct kvm_xcrs *xcrs);
int xstate_set_xcrs(struct cpu *cpu, const struct kvm_xcrs *xcrs);
