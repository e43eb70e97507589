// The vCPU's state in KVM's structures. 0 or -errno. The vCPU is outside KVM_RUN; its vector state was saved
// (fpu_save).
#pragma once

#include "engine/soft/cpu.h"

int state_get_regs(struct cpu *cpu, struct kvm_regs *regs);
int state_set_regs(struct cpu *cpu, const struct kvm_regs *regs);
int state_get_sregs(struct cpu *cpu, struct kvm_sregs *sregs);
int state_set_sregs(struct cpu *cpu, const struct kvm_sregs *sregs);
int state_get_sregs2(struct cpu *cpu, struct kvm_sregs2 *sregs2);
int state_set_sregs2(struct cpu *cpu, const struct kvm_sregs2 *sregs2);
int state_get_events(struct cpu *cpu, struct kvm_vcpu_events *events);
int state_set_events(struct cpu *cpu, const struct kvm_vcpu_events *events);
int state_get_debugregs(struct cpu *cpu, struct kvm_debugregs *debugregs);
int state_set_debugregs(struct cpu *cpu, const struct kvm_debugregs *debugregs);
int state_get_msrs(struct cpu *cpu, struct kvm_msrs *msrs);       // the number read, as KVM_GET_MSRS
int state_set_msrs(struct cpu *cpu, const struct kvm_msrs *msrs); // the number written
int state_tsc_attribute(struct cpu *cpu, unsigned long request, const struct kvm_device_attr *attribute);
int state_get_mp_state(struct cpu *cpu, struct kvm_mp_state *state);
int state_set_mp_state(struct cpu *cpu, const struct kvm_mp_state *state);
int state_interrupt(struct cpu *cpu, const struct kvm_interrupt *interrupt); // KVM_INTERRUPT
int state_nmi(struct cpu *cpu);                                              // KVM_NMI
int state_translate(struct cpu *cpu, struct kvm_translation *translation);
