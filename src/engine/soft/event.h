// Events that interrupt the instruction stream: exceptions, interrupts, NMIs, INT n. One description and one way in
// (event_deliver) for all of them, whoever caused them: an instruction's fault, the local APIC, a VM entry's
// injection or KVM_SET_VCPU_EVENTS. A delivery that faults keeps what it was delivering, because double faults, VM
// exits (IDT-vectoring information, SDM 3C 25.9.3) and saved state all need to know.
#pragma once

#include "base/types.h"

struct cpu;

enum vector {
    VECTOR_DE = 0, VECTOR_DB = 1, VECTOR_NMI = 2, VECTOR_BP = 3, VECTOR_OF = 4, VECTOR_BR = 5, VECTOR_UD = 6,
    VECTOR_NM = 7, VECTOR_DF = 8, VECTOR_TS = 10, VECTOR_NP = 11, VECTOR_SS = 12, VECTOR_GP = 13, VECTOR_PF = 14,
    VECTOR_MF = 16, VECTOR_AC = 17, VECTOR_MC = 18, VECTOR_XM = 19, VECTOR_VE = 20, VECTOR_CP = 21,
};

// As in VM-entry interruption information bits 10:8 (SDM 3C 25.8.3).
enum event_type {
    EVENT_INTERRUPT = 0, EVENT_NMI = 2, EVENT_EXCEPTION = 3, EVENT_SOFT_INTERRUPT = 4, EVENT_PRIVILEGED_EXCEPTION = 5,
    EVENT_SOFT_EXCEPTION = 6,
};

struct event {
    bool valid;
    u8 type;      // enum event_type
    u8 vector;
    bool has_error;
    u8 length;    // of the instruction, for the soft types
    u32 error;
    u64 address;  // #PF: goes to CR2; #DB: DR6 bits
};

// Raises a fault at the current instruction (cpu->rip is saved as its return address) and does not return. #PF: cr2
// is the linear address. Does everything: VMX exception intercepts, contributory and double faults, triple fault.
_Noreturn void cpu_raise(struct cpu *cpu, enum vector vector);
_Noreturn void cpu_raise_code(struct cpu *cpu, enum vector vector, u32 error_code);
_Noreturn void cpu_raise_page_fault(struct cpu *cpu, u64 linear, u32 error_code);
_Noreturn void cpu_raise_debug(struct cpu *cpu, u64 dr6_bits, bool trap); // trap: after the instruction (next_rip)

// INT n, INT3, INTO, INT1: `length` bytes of instruction at cpu->rip. The caller made INT n's own checks.
_Noreturn void cpu_raise_software(struct cpu *cpu, enum event_type type, unsigned vector, unsigned length);

// Delivers cpu->event (valid) through the IDT, IVT or as a VM exit. cpu->rip is the return address, except for the soft
// types, where it is the INT instruction's and `length` is added. May not return (faults inside the delivery unwind).
void event_deliver(struct cpu *cpu);

// The run loop's question before guest code runs: injects cpu->event, else takes the most urgent of what is pending
// and not blocked: pending debug traps, NMI, external interrupts (local APIC, ExtINT), and the VM exits for them and
// their windows. Returns true when the vCPU may run guest code now; false when it is halted or waiting.
bool event_poll(struct cpu *cpu);

// Something that held interrupts back may have ended (IF, TPR, NMI blocking): makes the run loop look, if there is
// cause.
void event_unmasked(struct cpu *cpu);

// The shutdown of SDM 3A 6.15: a triple fault. VM exit when in guest mode, else KVM_EXIT_SHUTDOWN.
_Noreturn void cpu_triple_fault(struct cpu *cpu);
