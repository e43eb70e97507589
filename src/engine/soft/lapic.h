// The local APIC of one vCPU: xAPIC page, x2APIC MSRs, timer (one-shot, periodic, TSC deadline), IPIs. Its state is
// in the layout of kvm_lapic_state. Interrupts arrive from any thread; everything else is the vCPU's own thread's.
#pragma once

#include "engine/soft/cpu.h"

// After cpu->vm, cpu->id and vm->cpu[] are set, one vCPU at a time; the destroyed ones stop receiving at once.
int lapic_create(struct cpu *cpu);
void lapic_destroy(struct cpu *cpu);
void lapic_reset(struct cpu *cpu, bool init);

// At every event_poll, own thread: takes in what other threads posted (NMI, INIT, SIPI), expired timers, and EOIs that
// the board's IOAPIC wants to hear of, for which KVM_RUN has to return (cpu->leave is set, cpu->run filled).
void lapic_collect(struct cpu *cpu);
bool lapic_wants_collect(const struct cpu *cpu); // it would find something

// Any thread.
void lapic_post_nmi(struct cpu *cpu);

u32 lapic_mmio_read(struct cpu *cpu, unsigned offset);              // 32-bit register at a multiple of 16
void lapic_mmio_write(struct cpu *cpu, unsigned offset, u32 value);
bool lapic_msr_read(struct cpu *cpu, u32 msr, u64 *value);          // x2APIC 0x800.., false: #GP
bool lapic_msr_write(struct cpu *cpu, u32 msr, u64 value);
bool lapic_set_base(struct cpu *cpu, u64 apic_base);                // IA32_APIC_BASE, false: #GP
u64 lapic_deadline_read(struct cpu *cpu);
void lapic_deadline_write(struct cpu *cpu, u64 tsc);
void lapic_tsc_moved(struct cpu *cpu);                              // after cpu->tsc_offset changed
u64 lapic_cr8(const struct cpu *cpu);
void lapic_set_cr8(struct cpu *cpu, u64 value);

bool lapic_software_enabled(const struct cpu *cpu);
bool lapic_accepts_extint(const struct cpu *cpu);                   // LVT0 in ExtINT mode (or APIC disabled)
int lapic_pending(struct cpu *cpu);                                 // highest deliverable vector above PPR, -1: none
int lapic_acknowledge(struct cpu *cpu);                             // IRR -> ISR, returns the vector
int lapic_deliver_msi(struct engine_vm *vm, const struct kvm_msi *msi); // any thread; > 0 delivered, 0 not
u64 lapic_next_timer(const struct cpu *cpu);                        // CLOCK_MONOTONIC ns of the next expiry, ~0: none
void lapic_timer_expire(struct cpu *cpu);                           // own thread: if the timer thread has seen it due
void lapic_alarm_set(struct cpu *cpu, u64 ticks);                   // another REQUEST_EVENT, in so many host TSC ticks
void lapic_alarm_cancel(struct cpu *cpu);
bool lapic_alarm_rang(const struct cpu *cpu);                       // it has been, and is to be set again if wanted
int lapic_get(struct cpu *cpu, struct kvm_lapic_state *state);
int lapic_set(struct cpu *cpu, const struct kvm_lapic_state *state);
