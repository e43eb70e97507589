// What a hypervisor in the VM may intercept, asked in one place by the same C functions in L1 and L2. Outside guest
// mode every question is answered by one predictable branch. An intercepted operation does not return: the VM exit
// has been made and the vCPU goes on in the hypervisor. Implemented by vmx/ (and one day svm/).
//
// Callers ask after the faults that have priority over VM exits (#UD, #GP for privilege and operands named in SDM 3C
// 26.1.1) and before any effect of the instruction.
#pragma once

#include "engine/soft/cpu.h"

enum intercept {
    INTERCEPT_NONE,
    INTERCEPT_CPUID, INTERCEPT_HLT, INTERCEPT_INVD, INTERCEPT_WBINVD, INTERCEPT_INVLPG, INTERCEPT_INVPCID,
    INTERCEPT_RDPMC, INTERCEPT_RDTSC, INTERCEPT_RDTSCP, INTERCEPT_PAUSE, INTERCEPT_XSETBV, INTERCEPT_GDTR_IDTR,
    INTERCEPT_LDTR_TR, INTERCEPT_RDRAND, INTERCEPT_RDSEED, INTERCEPT_XSAVES, INTERCEPT_XRSTORS, INTERCEPT_MONITOR,
    INTERCEPT_MWAIT, INTERCEPT_TPAUSE, INTERCEPT_RSM, INTERCEPT_ENCLS,
    INTERCEPT_RDPID, INTERCEPT_COUNT
};

void intercept_insn_slow(struct cpu *cpu, const struct insn *insn, enum intercept intercept);
static inline void intercept_insn(struct cpu *cpu, const struct insn *insn, enum intercept intercept)
{
    if (UNLIKELY(cpu->guest_mode) && intercept != INTERCEPT_NONE)
        intercept_insn_slow(cpu, insn, intercept);
}

// MOV to CR0, CR3, CR4, CR8: `value` is what the instruction would load; returned is what it shall load (guest/host
// masks).
u64 intercept_cr_write(struct cpu *cpu, const struct insn *insn, unsigned cr, unsigned gpr, u64 value);
// MOV to CR8, after intercept_cr_write: true when the value went to the virtual TPR (TPR shadow), not to the local
// APIC.
bool intercept_cr8_write(struct cpu *cpu, u64 value);
// MOV from CR0, CR3, CR4, CR8 and SMSW (cr 0): the value to show (read shadows). `gpr` is the destination (-1: SMSW).
u64 intercept_cr_read(struct cpu *cpu, const struct insn *insn, unsigned cr, int gpr);
void intercept_clts(struct cpu *cpu, const struct insn *insn);
bool intercept_clts_keeps_ts(const struct cpu *cpu);            // TS is owned by the host: CLTS changes nothing
u64 intercept_lmsw(struct cpu *cpu, const struct insn *insn, u16 source); // returns the new CR0
void intercept_dr(struct cpu *cpu, const struct insn *insn, unsigned dr, unsigned gpr, bool write);
void intercept_msr(struct cpu *cpu, u32 msr, bool write);
// RDMSR and WRMSR of 0x800..0x8ff after intercept_msr, before the local APIC: true when the virtual-APIC page was used.
bool intercept_x2apic(struct cpu *cpu, u32 msr, bool write, u64 *value);
// IN, OUT, INS, OUTS, after the #GP of the I/O permission bitmap (SDM 3C 26.1.1). `linear`: of the string operand.
void intercept_io(struct cpu *cpu, const struct insn *insn, u16 port, unsigned size, bool in, bool string, u64 linear);
// `source`: 0 CALL, 1 IRET, 2 JMP, 3 IDT gate.
void intercept_task_switch(struct cpu *cpu, u16 selector, unsigned source, bool has_error, u32 error);

// Exceptions, NMI and INT n about to be delivered (cpu->delivering says what was being delivered before, if anything).
void intercept_event(struct cpu *cpu, const struct event *event);
// External interrupt about to be taken: returns true when it is not intercepted and goes to the guest's IDT.
bool intercept_interrupt(struct cpu *cpu);
bool intercept_nmi(struct cpu *cpu);
// Whether guest mode changes who blocks interrupts: with external-interrupt exiting RFLAGS.IF does not (SDM 3C 26.2).
bool intercept_interrupt_unblocked(const struct cpu *cpu);
// Guest mode: with virtual NMIs BLOCKING_NMI holds back only the guest's own; whether IRET ends that blocking (SDM 3C
// 26.3).
bool intercept_nmi_unblocked(const struct cpu *cpu);
bool intercept_iret_unblocks(const struct cpu *cpu);
bool intercept_init_blocked(const struct cpu *cpu); // in VMX root operation INIT stays pending (SDM 3C 24.8)
// VM exits that are due on their own at an instruction boundary, most urgent first (SDM 3C 26.2, 26.7): MTF, preemption
// timer, NMI window, interrupt window, TPR threshold, pending virtual interrupts (delivers them itself).
void intercept_boundary(struct cpu *cpu);
// An instruction of a single-step block has retired, or an event was delivered: the monitor trap flag's exit becomes
// due.
void intercept_retired(struct cpu *cpu);
void intercept_init(struct cpu *cpu);
bool intercept_sipi(struct cpu *cpu, u8 vector); // true: consumed
void intercept_triple_fault(struct cpu *cpu);

// Nested translation (called by stage2.c with cpu->guest_mode). `linear_valid`: the access came from a linear
// address; `walk`: it was to a paging-structure entry. `access`: 1 read, 2 write, 4 fetch. `permissions`: EPT's R/W/X
// (and user-X) of the entries ANDed, bits 2:0.
_Noreturn void intercept_ept_violation(struct cpu *cpu, u64 gpa, u64 linear, bool linear_valid, bool walk,
                                       unsigned access, unsigned permissions);
_Noreturn void intercept_ept_misconfiguration(struct cpu *cpu, u64 gpa);
// Access to the page that backs the virtual APIC (VMX APIC-access page): true when it was virtualized: *value read or
// written.
bool intercept_apic_access(struct cpu *cpu, u64 linear, unsigned offset, unsigned size, enum access access, u64 *value);
// The page address VMX wants told about, or ~0: TLB fills must not map it (mmu asks at fill time).
u64 intercept_apic_access_page(const struct cpu *cpu);

// TSC as RDTSC shows it now: host TSC + offset (+ VMX TSC offset and scaling in guest mode).
u64 cpu_tsc(const struct cpu *cpu);
