// APIC virtualization (SDM 3C chapter 30): the virtual-APIC page stands in for the local APIC's registers.
#pragma once

#include "engine/soft/vmx/vmx.h"

u8 apic_read_tpr(const struct cpu *cpu);
void apic_write_tpr(struct cpu *cpu, u8 value); // TPR virtualization; with TPR shadow

void apic_enter(struct cpu *cpu);            // what VM entry evaluates (SDM 3C 27.3.2.5, 27.7.7)
void apic_boundary(struct cpu *cpu);         // trap-like exits that an access to the virtual APIC has made due
void apic_deliver_virtual(struct cpu *cpu);  // interrupts are open: delivers a recognized virtual interrupt
bool apic_posted_interrupt(struct cpu *cpu, unsigned vector); // true: it was the notification, and has been processed
