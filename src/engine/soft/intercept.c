// The questions of intercept.h, answered for VT-x from the controls decoded at VM entry. Order and qualifications
// follow SDM 3C chapters 26 and 28.
#include <Zydis/Zydis.h>

#include "engine/soft/access.h"
#include "engine/soft/debug.h"
#include "engine/soft/intercept.h"
#include "engine/soft/lapic.h"
#include "engine/soft/segment.h"
#include "engine/soft/vmx/apic.h"
#include "engine/soft/vmx/state.h"

static void exit_if(struct cpu *cpu, const struct insn *insn, bool intercepted, enum vmx_reason reason)
{
    if (intercepted)
        vmx_exit_insn(cpu, insn, reason, 0);
}

static u32 intercept_table_identity(const struct insn *insn)
{
    switch (insn->mnemonic) {
    case ZYDIS_MNEMONIC_SGDT: case ZYDIS_MNEMONIC_SLDT: return 0;
    case ZYDIS_MNEMONIC_SIDT: case ZYDIS_MNEMONIC_STR: return 1u << 28;
    case ZYDIS_MNEMONIC_LGDT: case ZYDIS_MNEMONIC_LLDT: return 2u << 28;
    default: return 3u << 28;
    }
}

static void intercept_tables(struct cpu *cpu, const struct insn *insn, enum vmx_reason reason)
{
    if (!(cpu->vmx->cpu2 & CPU2_DESCRIPTOR_TABLE))
        return;
    u32 size = reason == REASON_GDTR_IDTR && insn->operand_size != 2 ? 1u << 11 : 0;
    cpu->vmx->vmcs->exit_information = vmx_information_memory(insn, 0, -1) | intercept_table_identity(insn) | size;
    vmx_exit_insn(cpu, insn, reason, vmx_displacement(cpu, insn, 0));
}

static void intercept_invlpg(struct cpu *cpu, const struct insn *insn)
{
    if (!(cpu->vmx->cpu & CPU_INVLPG))
        return;
    unsigned segment = insn->operand[0].segment;
    u64 linear = operand_offset(cpu, insn, 0);
    if (!insn->code64)
        linear = (u32)(linear + cpu->segment[segment].base);
    else if (segment == SEG_FS || segment == SEG_GS)
        linear += cpu->segment[segment].base;
    vmx_exit_insn(cpu, insn, REASON_INVLPG, linear);
}

static void intercept_invpcid(struct cpu *cpu, const struct insn *insn)
{
    if (!(cpu->vmx->cpu2 & CPU2_INVPCID))
        cpu_raise(cpu, VECTOR_UD);
    if (!(cpu->vmx->cpu & CPU_INVLPG))
        return;
    cpu->vmx->vmcs->exit_information = vmx_information_memory(insn, 1, insn->operand[0].reg);
    vmx_exit_insn(cpu, insn, REASON_INVPCID, vmx_displacement(cpu, insn, 1));
}

static void intercept_random(struct cpu *cpu, const struct insn *insn, u32 control, enum vmx_reason reason)
{
    if (!(cpu->vmx->cpu2 & control))
        return;
    cpu->vmx->vmcs->exit_information = vmx_information_register(insn);
    vmx_exit_insn(cpu, insn, reason, 0);
}

static void intercept_xsaves(struct cpu *cpu, const struct insn *insn, enum vmx_reason reason)
{
    struct vmx *vmx = cpu->vmx;
    if (!(vmx->cpu2 & CPU2_XSAVES))
        cpu_raise(cpu, VECTOR_UD);
    u64 wanted = (u32)cpu->gpr[RAX] | cpu->gpr[RDX] << 32;
    if (!(wanted & cpu->msr.xss & vmx->vmcs->xss_exiting))
        return;
    vmx->vmcs->exit_information = vmx_information_memory(insn, 0, -1);
    vmx_exit_insn(cpu, insn, reason, vmx_displacement(cpu, insn, 0));
}

// PAUSE-loop exiting counts only at CPL 0: PAUSEs that follow each other within the gap, for longer than the window
// (SDM 3C 26.1.3).
static void intercept_pause(struct cpu *cpu, const struct insn *insn)
{
    struct vmx *vmx = cpu->vmx;
    exit_if(cpu, insn, vmx->cpu & CPU_PAUSE, REASON_PAUSE);
    if (!(vmx->cpu2 & CPU2_PAUSE_LOOP) || cpu->cpl)
        return;
    u64 now = vmx_host_tsc(), gap = now - vmx->ple_last;
    vmx->ple_last = now;
    if (gap > vmx->vmcs->ple_gap)
        vmx->ple_first = now;
    else
        exit_if(cpu, insn, now - vmx->ple_first > vmx->vmcs->ple_window, REASON_PAUSE);
}

// No guest sees the time at which its preemption timer has run out: the instruction is tried again, behind that exit.
static void intercept_time(struct cpu *cpu)
{
    if (cpu->vmx->pin & PIN_PREEMPTION_TIMER && vmx_host_tsc() >= cpu->vmx->timer_deadline)
        cpu_resume(cpu);
}

void intercept_insn_slow(struct cpu *cpu, const struct insn *insn, enum intercept intercept)
{
    u32 primary = cpu->vmx->cpu, secondary = cpu->vmx->cpu2;
    switch (intercept) {
    case INTERCEPT_CPUID: exit_if(cpu, insn, true, REASON_CPUID); break;
    case INTERCEPT_HLT: exit_if(cpu, insn, primary & CPU_HLT, REASON_HLT); break;
    case INTERCEPT_INVD: exit_if(cpu, insn, true, REASON_INVD); break;
    case INTERCEPT_WBINVD: exit_if(cpu, insn, secondary & CPU2_WBINVD, REASON_WBINVD); break;
    case INTERCEPT_INVLPG: intercept_invlpg(cpu, insn); break;
    case INTERCEPT_INVPCID: intercept_invpcid(cpu, insn); break;
    case INTERCEPT_RDPMC: exit_if(cpu, insn, primary & CPU_RDPMC, REASON_RDPMC); break;
    case INTERCEPT_RDTSC:
        intercept_time(cpu);
        exit_if(cpu, insn, primary & CPU_RDTSC, REASON_RDTSC); break;
    case INTERCEPT_RDTSCP:
        if (!(secondary & CPU2_RDTSCP))
            cpu_raise(cpu, VECTOR_UD);
        intercept_time(cpu);
        exit_if(cpu, insn, primary & CPU_RDTSC, REASON_RDTSCP);
        break;
    case INTERCEPT_RDPID:
        if (!(secondary & CPU2_RDTSCP))
            cpu_raise(cpu, VECTOR_UD);
        break;
    case INTERCEPT_PAUSE: intercept_pause(cpu, insn); break;
    case INTERCEPT_XSETBV: exit_if(cpu, insn, true, REASON_XSETBV); break;
    case INTERCEPT_GDTR_IDTR: intercept_tables(cpu, insn, REASON_GDTR_IDTR); break;
    case INTERCEPT_LDTR_TR: intercept_tables(cpu, insn, REASON_LDTR_TR); break;
    case INTERCEPT_RDRAND: intercept_random(cpu, insn, CPU2_RDRAND, REASON_RDRAND); break;
    case INTERCEPT_RDSEED: intercept_random(cpu, insn, CPU2_RDSEED, REASON_RDSEED); break;
    case INTERCEPT_XSAVES: intercept_xsaves(cpu, insn, REASON_XSAVES); break;
    case INTERCEPT_XRSTORS: intercept_xsaves(cpu, insn, REASON_XRSTORS); break;
    case INTERCEPT_MONITOR: exit_if(cpu, insn, primary & CPU_MONITOR, REASON_MONITOR); break;
    case INTERCEPT_MWAIT: exit_if(cpu, insn, primary & CPU_MWAIT, REASON_MWAIT); break;
    case INTERCEPT_RSM: exit_if(cpu, insn, true, REASON_RSM); break;
    default: break;
    }
}

// Access to a control register (SDM 3C table 28-3).
enum { CR_WRITE = 0 << 4, CR_READ = 1 << 4, CR_CLTS = 2 << 4, CR_LMSW = 3 << 4, CR_LMSW_MEMORY = 1 << 6,
       CR_GPR_SHIFT = 8, CR_LMSW_SHIFT = 16 };

static u64 intercept_masked_write(struct cpu *cpu, const struct insn *insn, u64 value, u64 mask, u64 shadow, u64 now,
                                  u64 qualification)
{
    if ((value ^ shadow) & mask)
        vmx_exit_insn(cpu, insn, REASON_CR, qualification);
    return (value & ~mask) | (now & mask);
}

static bool intercept_cr3_target(const struct vmcs *vmcs, u64 value)
{
    for (unsigned i = 0; i < vmcs->cr3_target_count && i < VMX_CR3_TARGETS; i++)
        if (vmcs->cr3_target[i] == value)
            return true;
    return false;
}

u64 intercept_cr_write(struct cpu *cpu, const struct insn *insn, unsigned cr, unsigned gpr, u64 value)
{
    const struct vmx *vmx = cpu->vmx;
    const struct vmcs *vmcs = vmx->vmcs;
    u64 qualification = cr | CR_WRITE | gpr << CR_GPR_SHIFT;
    if (cr == 0)
        return intercept_masked_write(cpu, insn, value, vmcs->cr0_mask, vmcs->cr0_shadow, cpu->cr0, qualification);
    if (cr == 4)
        return intercept_masked_write(cpu, insn, value, vmcs->cr4_mask, vmcs->cr4_shadow, cpu->cr4, qualification);
    bool exits = (cr == 3 && vmx->cpu & CPU_CR3_LOAD && !intercept_cr3_target(vmcs, value)) ||
                 (cr == 8 && vmx->cpu & CPU_CR8_LOAD);
    if (exits)
        vmx_exit_insn(cpu, insn, REASON_CR, qualification);
    return value;
}

bool intercept_cr8_write(struct cpu *cpu, u64 value)
{
    if (!cpu->guest_mode || !(cpu->vmx->cpu & CPU_TPR_SHADOW))
        return false;
    apic_write_tpr(cpu, value << 4);
    return true;
}

u64 intercept_cr_read(struct cpu *cpu, const struct insn *insn, unsigned cr, int gpr)
{
    const struct vmx *vmx = cpu->vmx;
    const struct vmcs *vmcs = vmx->vmcs;
    u64 qualification = cr | CR_READ | (u64)(gpr < 0 ? 0 : gpr) << CR_GPR_SHIFT;
    switch (cr) {
    case 0:
        return (cpu->cr0 & ~vmcs->cr0_mask) | (vmcs->cr0_shadow & vmcs->cr0_mask);
    case 4:
        return (cpu->cr4 & ~vmcs->cr4_mask) | (vmcs->cr4_shadow & vmcs->cr4_mask);
    case 3:
        if (vmx->cpu & CPU_CR3_STORE)
            vmx_exit_insn(cpu, insn, REASON_CR, qualification);
        return cpu->cr3;
    case 8:
        if (vmx->cpu & CPU_CR8_STORE)
            vmx_exit_insn(cpu, insn, REASON_CR, qualification);
        return vmx->cpu & CPU_TPR_SHADOW ? apic_read_tpr(cpu) >> 4 : lapic_cr8(cpu);
    default:
        return cpu->cr2;
    }
}

bool intercept_clts_keeps_ts(const struct cpu *cpu)
{
    return cpu->vmx->vmcs->cr0_mask & CR0_TS;
}

void intercept_clts(struct cpu *cpu, const struct insn *insn)
{
    const struct vmcs *vmcs = cpu->vmx->vmcs;
    if (vmcs->cr0_mask & vmcs->cr0_shadow & CR0_TS)
        vmx_exit_insn(cpu, insn, REASON_CR, CR_CLTS);
}

u64 intercept_lmsw(struct cpu *cpu, const struct insn *insn, u16 source)
{
    struct vmcs *vmcs = cpu->vmx->vmcs;
    const u64 loadable = CR0_MP | CR0_EM | CR0_TS;
    u64 mask = vmcs->cr0_mask;
    bool sets_pe = mask & source & ~vmcs->cr0_shadow & CR0_PE;
    if (sets_pe || (source ^ vmcs->cr0_shadow) & mask & loadable) {
        bool memory = insn->operand[0].kind == OPERAND_MEMORY;
        if (memory)
            vmcs->guest_linear = operand_linear(cpu, insn, 0, 2, ACCESS_READ);
        vmx_exit_insn(cpu, insn, REASON_CR, CR_LMSW | (memory ? CR_LMSW_MEMORY : 0) | (u64)source << CR_LMSW_SHIFT);
    }
    u64 value = (cpu->cr0 & ~(loadable & ~mask)) | (source & loadable & ~mask);
    return value | (source & ~mask & CR0_PE);
}

void intercept_dr(struct cpu *cpu, const struct insn *insn, unsigned dr, unsigned gpr, bool write)
{
    if (cpu->vmx->cpu & CPU_MOV_DR)
        vmx_exit_insn(cpu, insn, REASON_DR, dr | (write ? 0 : 1 << 4) | gpr << 8);
}

// RDMSR, WRMSR: two bytes of instruction each (SDM 3C 26.1.3).
void intercept_msr(struct cpu *cpu, u32 msr, bool write)
{
    const struct vmx *vmx = cpu->vmx;
    u32 low = msr & 0x1fff;
    bool exits = true;
    if (vmx->cpu & CPU_MSR_BITMAPS && (msr == low || msr == (0xc0000000 | low))) {
        unsigned offset = (msr == low ? 0 : 1024) + (write ? 2048 : 0);
        exits = vmx->msr_bitmap[offset + low / 8] >> low % 8 & 1;
    }
    if (!exits)
        return;
    vmx->vmcs->exit_length = cpu->next_rip - cpu->rip;
    vmx_exit(cpu, write ? REASON_WRMSR : REASON_RDMSR, 0);
}

static bool intercept_port(const struct vmx *vmx, u16 port, unsigned size)
{
    if (!(vmx->cpu & CPU_IO_BITMAPS))
        return vmx->cpu & CPU_IO;
    if (port + size > 0x10000)
        return true;
    for (unsigned p = port; p < port + size; p++) {
        const u8 *bitmap = p & 0x8000 ? vmx->io_bitmap_b : vmx->io_bitmap_a;
        if (bitmap[(p & 0x7fff) / 8] >> p % 8 & 1)
            return true;
    }
    return false;
}

void intercept_io(struct cpu *cpu, const struct insn *insn, u16 port, unsigned size, bool in, bool string, u64 linear)
{
    if (!cpu->guest_mode || !intercept_port(cpu->vmx, port, size))
        return;
    struct vmcs *vmcs = cpu->vmx->vmcs;
    u64 qualification = (size - 1) | (in ? 1 << 3 : 0) | (string ? 1 << 4 : 0) | (u64)port << 16;
    if (string && insn->prefixes & (INSN_REP | INSN_REPNE))
        qualification |= 1 << 5;
    if (!string && insn->operand[in].kind == OPERAND_IMMEDIATE)
        qualification |= 1 << 6;
    if (string) {
        vmcs->guest_linear = linear;
        vmcs->exit_information = vmx_information_string(insn, in ? 0 : 1);
    }
    vmx_exit_insn(cpu, insn, REASON_IO, qualification);
}

void intercept_task_switch(struct cpu *cpu, u16 selector, unsigned source, bool has_error, u32 error)
{
    (void)has_error; // the IDT-vectoring information has them
    (void)error;
    if (!cpu->guest_mode)
        return;
    if (!cpu->delivering.valid)
        cpu->vmx->vmcs->exit_length = cpu->next_rip - cpu->rip;
    vmx_exit(cpu, REASON_TASK_SWITCH, selector | (u64)source << 30);
}

static bool intercept_exception(const struct vmx *vmx, const struct event *event)
{
    bool bit = vmx->exceptions >> event->vector & 1;
    if (event->vector != VECTOR_PF)
        return bit;
    const struct vmcs *vmcs = vmx->vmcs;
    return ((event->error & vmcs->pf_error_mask) == vmcs->pf_error_match) == bit;
}

void intercept_event(struct cpu *cpu, const struct event *event)
{
    bool exception = event->type == EVENT_EXCEPTION || event->type == EVENT_SOFT_EXCEPTION ||
                     event->type == EVENT_PRIVILEGED_EXCEPTION;
    if (LIKELY(!cpu->guest_mode) || !exception || !intercept_exception(cpu->vmx, event))
        return;
    u64 qualification = 0;
    if (event->vector == VECTOR_PF)
        qualification = event->address;
    else if (event->vector == VECTOR_DB)
        qualification = event->address & (0xf | DR6_BD | DR6_BS);
    if (event->type != EVENT_EXCEPTION)
        cpu->vmx->vmcs->exit_length = event->length;
    vmx_exit_event(cpu, REASON_EXCEPTION_NMI, qualification, vmx_interruption(event), event->error);
}

bool intercept_interrupt(struct cpu *cpu)
{
    const struct vmx *vmx = cpu->vmx;
    if (!(vmx->pin & PIN_EXTERNAL_INTERRUPT))
        return true;
    u32 interruption = 0;
    if (vmx->exit & EXIT_ACK_INTERRUPT) {
        int vector = cpu->extint_pending ? cpu->extint_vector : lapic_acknowledge(cpu);
        bool from_lapic = !cpu->extint_pending;
        cpu->extint_pending = false;
        if (vector < 0 || (from_lapic && apic_posted_interrupt(cpu, vector)))
            return false;
        interruption = (u32)vector | INTERRUPTION_VALID;
    }
    vmx_exit_event(cpu, REASON_EXTERNAL_INTERRUPT, 0, interruption, 0);
}

bool intercept_nmi(struct cpu *cpu)
{
    if (cpu->vmx->pin & PIN_NMI)
        vmx_exit_event(cpu, REASON_EXCEPTION_NMI, 0,
                       VECTOR_NMI | (u32)EVENT_NMI << INTERRUPTION_TYPE_SHIFT | INTERRUPTION_VALID, 0);
    return true;
}

bool intercept_interrupt_unblocked(const struct cpu *cpu)
{
    return cpu->guest_mode && cpu->vmx->pin & PIN_EXTERNAL_INTERRUPT;
}

bool intercept_nmi_unblocked(const struct cpu *cpu)
{
    return vmx_virtual_nmis(cpu);
}

bool intercept_iret_unblocks(const struct cpu *cpu)
{
    return !(cpu->vmx->pin & PIN_NMI) || cpu->vmx->pin & PIN_VIRTUAL_NMI;
}

// Interrupts and NMIs are let in by no window while a debug trap is due, which comes first.
static void intercept_windows(struct cpu *cpu)
{
    const struct vmx *vmx = cpu->vmx;
    u32 blocking = cpu->interruptibility;
    if (blocking & BLOCKING_MOV_SS)
        return;
    if (vmx->cpu & CPU_NMI_WINDOW && !(blocking & (BLOCKING_NMI | BLOCKING_STI)))
        vmx_exit(cpu, REASON_NMI_WINDOW, 0);
    bool nmi = cpu->nmi_pending && (vmx_virtual_nmis(cpu) || !(blocking & BLOCKING_NMI));
    bool open = cpu->rflags & FLAG_IF && !(blocking & BLOCKING_STI);
    if (nmi || !open)
        return;
    if (vmx->cpu & CPU_INTERRUPT_WINDOW)
        vmx_exit(cpu, REASON_INTERRUPT_WINDOW, 0);
    apic_deliver_virtual(cpu);
}

static void intercept_timer(struct cpu *cpu)
{
    u64 now = vmx_host_tsc(), deadline = cpu->vmx->timer_deadline;
    if (now >= deadline)
        vmx_exit(cpu, REASON_PREEMPTION_TIMER, 0);
    if (lapic_alarm_rang(cpu))
        lapic_alarm_set(cpu, deadline - now);
}

void intercept_boundary(struct cpu *cpu)
{
    struct vmx *vmx = cpu->vmx;
    apic_boundary(cpu);
    if (vmx->trap_pending) {
        vmx->trap_pending = false;
        vmx_exit(cpu, REASON_MONITOR_TRAP, 0);
    }
    if (cpu->pending_debug && !(cpu->interruptibility & BLOCKING_MOV_SS))
        return;
    if (vmx->pin & PIN_PREEMPTION_TIMER)
        intercept_timer(cpu);
    intercept_windows(cpu);
}

void intercept_retired(struct cpu *cpu)
{
    if (vmx_single_step(cpu))
        cpu->vmx->trap_pending = true;
}

void intercept_init(struct cpu *cpu)
{
    if (cpu->guest_mode)
        vmx_exit(cpu, REASON_INIT, 0);
}

// In VMX root operation INIT waits, and so it does for a guest in the wait-for-SIPI state (SDM 3C 24.8, 26.2).
bool intercept_init_blocked(const struct cpu *cpu)
{
    if (!cpu->vmx || !cpu->vmx->on)
        return false;
    return !cpu->guest_mode || cpu->mp_state == KVM_MP_STATE_INIT_RECEIVED;
}

bool intercept_sipi(struct cpu *cpu, u8 vector)
{
    if (!cpu->vmx || !cpu->vmx->on)
        return false;
    if (cpu->guest_mode && cpu->mp_state == KVM_MP_STATE_INIT_RECEIVED)
        vmx_exit(cpu, REASON_SIPI, vector);
    return true;
}

void intercept_triple_fault(struct cpu *cpu)
{
    if (cpu->guest_mode)
        vmx_exit(cpu, REASON_TRIPLE_FAULT, 0);
}

void intercept_ept_violation(struct cpu *cpu, u64 gpa, u64 linear, bool linear_valid, bool walk, unsigned access,
                             unsigned permissions)
{
    struct vmcs *vmcs = cpu->vmx->vmcs;
    u64 qualification = (access & 7) | (permissions & 7) << 3;
    if (linear_valid) {
        qualification |= 1 << 7 | (walk ? 0 : 1 << 8);
        vmcs->guest_linear = linear;
    }
    vmcs->guest_physical = gpa;
    vmx_exit_access(cpu, REASON_EPT_VIOLATION, qualification);
}

void intercept_ept_misconfiguration(struct cpu *cpu, u64 gpa)
{
    cpu->vmx->vmcs->guest_physical = gpa;
    vmx_exit_access(cpu, REASON_EPT_MISCONFIGURATION, 0);
}

u64 intercept_apic_access_page(const struct cpu *cpu)
{
    return cpu->guest_mode ? cpu->vmx->apic_access : VMX_NO_ADDRESS;
}

u64 cpu_tsc(const struct cpu *cpu)
{
    u64 tsc = vmx_host_tsc() + cpu->tsc_offset;
    if (LIKELY(!cpu->guest_mode))
        return tsc;
    if (cpu->vmx->tsc_multiplier)
        tsc = (u128)tsc * cpu->vmx->tsc_multiplier >> 48;
    return tsc + cpu->vmx->tsc_offset;
}
