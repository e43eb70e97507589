// Device memory, and the exits to the board that reach it. An instruction that reads a device is abandoned with
// KVM_EXIT_MMIO and executed again from its start when KVM_RUN is called with the data; the reads it has already been
// given are replayed from cpu->mmio_read. Writes are collected while the instruction executes and sent when it has
// retired. The local APIC's page, and VMX's APIC-access page, never leave the engine.
#pragma once

#include "engine/soft/cpu.h"

// cpu->mmio_exit: what KVM_RUN last returned for; REPLAY: the answer is there, the instruction not yet begun again.
// Nothing, no interrupt either, may come before it then (cpu->mmio_reads is not 0): devices notice being read twice.
enum mmio_exit { MMIO_NONE, MMIO_READ, MMIO_WRITE, MMIO_REPLAY };

bool mmio_is_lapic(const struct cpu *cpu, u64 gpa); // in the page of this CPU's own xAPIC

u64 mmio_read(struct cpu *cpu, u64 gpa, unsigned size);              // 1..8 bytes; may not return
void mmio_write(struct cpu *cpu, u64 gpa, unsigned size, u64 value); // 1..8 bytes

// The run loop: takes the data of the exit that KVM_RUN returned with. Called at the start of KVM_RUN. True: another
// write has to be sent before guest code runs, with cpu->run filled.
bool mmio_complete(struct cpu *cpu);

// The run loop, after an instruction retired: forgets reads; true when a write has to be sent, with cpu->run filled.
bool mmio_retire(struct cpu *cpu);
