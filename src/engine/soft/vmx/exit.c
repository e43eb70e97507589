// VM exit (SDM 3C chapter 28): guest state into the VMCS page, host state out of it. Everything happens in place and
// nothing is flushed unless the architecture says so, because exits are what nested virtualization spends its time
// on.
#include "engine/soft/access.h"
#include "engine/soft/debug.h"
#include "engine/soft/lapic.h"
#include "engine/soft/vmx/state.h"

enum { ABORT_MSR_STORE = 1, ABORT_PDPTE = 2, ABORT_MSR_LOAD = 4 }; // VMX-abort indicators (SDM 3C 28.7)

u32 vmx_interruption(const struct event *event)
{
    return event->vector | (u32)event->type << INTERRUPTION_TYPE_SHIFT | (event->has_error ? INTERRUPTION_ERROR : 0) |
           INTERRUPTION_VALID;
}

// SDM 3C 28.7: a processor that cannot get back to its host is in shutdown.
static _Noreturn void exit_abort(struct cpu *cpu, u32 indicator)
{
    vmx_trace(cpu, "VMX abort %u", indicator);
    cpu->vmx->vmcs->abort = indicator;
    cpu->guest_mode = false;
    cpu_triple_fault(cpu);
}

// SDM 3C 28.3.1.
static void exit_save_registers(struct cpu *cpu, struct vmcs *vmcs)
{
    u32 exit = cpu->vmx->exit;
    vmcs->guest_cr0 = cpu->cr0;
    vmcs->guest_cr3 = cpu->cr3;
    vmcs->guest_cr4 = cpu->cr4;
    vmcs->guest_sysenter_cs = cpu->msr.sysenter_cs;
    vmcs->guest_sysenter_esp = cpu->msr.sysenter_esp;
    vmcs->guest_sysenter_eip = cpu->msr.sysenter_eip;
    if (exit & EXIT_SAVE_DEBUG) {
        vmcs->guest_dr7 = cpu->dr[7];
        vmcs->guest_debugctl = cpu->msr.debugctl;
    }
    if (exit & EXIT_SAVE_PAT)
        vmcs->guest_pat = cpu->msr.pat;
    if (exit & EXIT_SAVE_EFER)
        vmcs->guest_efer = cpu->msr.efer;
    u32 entry = vmcs->entry_controls & ~(u32)ENTRY_IA32E;
    vmcs->entry_controls = cpu_long(cpu) ? entry | ENTRY_IA32E : entry;
    if (cpu->eptp)
        for (unsigned i = 0; i < 4; i++)
            vmcs->guest_pdpte[i] = cpu->pdpte[i];
    vmcs->guest_rsp = cpu->gpr[RSP];
    vmcs->guest_rip = cpu->rip;
    vmcs->guest_rflags = cpu->rflags;
}

// SDM 3C 28.3.2.
static void exit_save_segments(const struct cpu *cpu, struct vmcs *vmcs)
{
    for (unsigned i = 0; i < VMCS_SEGMENTS; i++) {
        const struct segment *segment = &cpu->segment[vmx_segment[i]];
        vmcs->guest_selector[i] = segment->selector;
        vmcs->guest_base[i] = segment->base;
        vmcs->guest_limit[i] = segment->limit;
        vmcs->guest_access[i] = segment->access;
    }
    vmcs->guest_gdtr_base = cpu->gdt.base;
    vmcs->guest_gdtr_limit = cpu->gdt.limit;
    vmcs->guest_idtr_base = cpu->idt.base;
    vmcs->guest_idtr_limit = cpu->idt.limit;
}

// SDM 3C 28.3.4.
static void exit_save_activity(const struct cpu *cpu, struct vmcs *vmcs)
{
    vmcs->activity = cpu->mp_state == KVM_MP_STATE_HALTED          ? ACTIVITY_HLT
                     : cpu->mp_state == KVM_MP_STATE_INIT_RECEIVED ? ACTIVITY_WAIT_SIPI
                                                                   : ACTIVITY_ACTIVE;
    vmcs->interruptibility = cpu->interruptibility;
    u64 pending = cpu->pending_debug & (0xf | DR6_BS);
    vmcs->pending_debug = pending & 0xf ? pending | VMX_PENDING_ENABLED : pending;
    if (cpu->vmx->exit & EXIT_SAVE_TIMER) {
        u64 now = cpu->vmx->exit_tsc, deadline = cpu->vmx->timer_deadline;
        vmcs->preemption_timer = deadline > now ? (deadline - now) >> VMX_TIMER_SHIFT : 0;
    }
}

static struct segment exit_flat_segment(u16 selector, u32 access, bool may_be_null)
{
    if (may_be_null && !selector)
        return (struct segment){.access = AR_UNUSABLE};
    return (struct segment){.limit = 0xffffffff, .access = access | AR_S | AR_P | AR_G, .selector = selector};
}

// SDM 3C 28.5.2 and 28.5.3.
static void exit_load_segments(struct cpu *cpu, const struct vmcs *vmcs)
{
    static const u8 data[] = {VMCS_ES, VMCS_SS, VMCS_DS, VMCS_FS, VMCS_GS};
    u32 size = vmcs->exit_controls & EXIT_HOST_64 ? AR_L : AR_DB;
    cpu->segment[SEG_CS] = exit_flat_segment(vmcs->host_selector[VMCS_CS], 11 | size, false);
    for (unsigned i = 0; i < ARRAY_SIZE(data); i++)
        cpu->segment[vmx_segment[data[i]]] = exit_flat_segment(vmcs->host_selector[data[i]], 3 | AR_DB, true);
    cpu->segment[SEG_FS].base = cpu->fs_base = vmcs->host_fs_base;
    cpu->segment[SEG_GS].base = cpu->gs_base = vmcs->host_gs_base;
    cpu->segment[SEG_TR] = (struct segment){
        .base = vmcs->host_tr_base, .limit = 0x67, .access = 11 | AR_P, .selector = vmcs->host_selector[VMCS_TR],
    };
    cpu->segment[SEG_LDTR] = (struct segment){.access = AR_UNUSABLE};
    cpu->gdt = (struct descriptor_table){.base = vmcs->host_gdtr_base, .limit = 0xffff};
    cpu->idt = (struct descriptor_table){.base = vmcs->host_idtr_base, .limit = 0xffff};
    cpu->cpl = 0;
}

// SDM 3C 28.5.1.
static void exit_load_registers(struct cpu *cpu, const struct vmcs *vmcs)
{
    u32 exit = vmcs->exit_controls;
    u64 mode = exit & EXIT_HOST_64 ? EFER_LMA | EFER_LME : 0;
    u64 efer = exit & EXIT_LOAD_EFER ? vmcs->host_efer : cpu->msr.efer;
    cpu->msr.efer = (efer & ~(EFER_LMA | EFER_LME)) | mode;
    cpu->cr0 = (vmcs->host_cr0 & VMX_CR0_LOADED) | (cpu->cr0 & ~VMX_CR0_LOADED);
    cpu->cr3 = vmcs->host_cr3;
    cpu->cr4 = exit & EXIT_HOST_64 ? vmcs->host_cr4 | CR4_PAE : vmcs->host_cr4 & ~CR4_PCIDE;
    cpu->dr[7] = DR7_FIXED;
    cpu->msr.debugctl = 0;
    cpu->msr.sysenter_cs = vmcs->host_sysenter_cs;
    cpu->msr.sysenter_esp = vmcs->host_sysenter_esp;
    cpu->msr.sysenter_eip = vmcs->host_sysenter_eip;
    if (exit & EXIT_LOAD_PAT)
        cpu->msr.pat = vmcs->host_pat;
    cpu->rip = cpu->next_rip = vmcs->host_rip;
    cpu->gpr[RSP] = vmcs->host_rsp;
    cpu->rflags = FLAG_FIXED;
}

static void exit_load_pdptes(struct cpu *cpu)
{
    if (!(cpu->cr0 & CR0_PG) || !(cpu->cr4 & CR4_PAE) || cpu_long(cpu))
        return;
    u64 reserved = ~cpu->physical_mask | 0x1e6;
    for (unsigned i = 0; i < 4; i++) {
        cpu->pdpte[i] = physical_read(cpu, (cpu->cr3 & 0xffffffe0) + i * 8, 8);
        if (cpu->pdpte[i] & 1 && cpu->pdpte[i] & reserved)
            exit_abort(cpu, ABORT_PDPTE);
    }
}

// The second half of every VM exit and of failed entries (SDM 3C 28.5 to 28.7, 27.8).
static _Noreturn void exit_to_host(struct cpu *cpu, struct vmcs *vmcs, u32 blocking)
{
    if (!cpu->vpid)
        tlb_flush_vpid(cpu, 0, false);
    if (cpu->vmx->pin & PIN_PREEMPTION_TIMER)
        lapic_alarm_cancel(cpu);
    cpu->guest_mode = false;
    cpu->eptp = 0;
    cpu->vpid = 0;
    exit_load_registers(cpu, vmcs);
    exit_load_segments(cpu, vmcs);
    exit_load_pdptes(cpu);
    cpu->interruptibility = blocking;
    cpu->mp_state = KVM_MP_STATE_RUNNABLE;
    cpu->pending_debug = 0;
    cpu->event.valid = cpu->delivering.valid = false;
    if (vmx_msr_load(cpu, vmcs->exit_load, vmcs->exit_load_count))
        exit_abort(cpu, ABORT_MSR_LOAD);
    ram_mark_dirty(cpu->vm, cpu->vmx->current);
    cpu_mode_update(cpu);
    cpu_resume(cpu);
}

void vmx_exit_event(struct cpu *cpu, u32 reason, u64 qualification, u32 interruption, u32 error)
{
    struct vmx *vmx = cpu->vmx;
    struct vmcs *vmcs = vmx->vmcs;
    vmx->exit_tsc = vmx_host_tsc();
    vmcs->exit_reason = reason;
    vmcs->qualification = qualification;
    vmcs->exit_interruption = interruption;
    if (interruption & INTERRUPTION_ERROR)
        vmcs->exit_error = error;
    vmcs->idt_vectoring = 0;
    if (cpu->delivering.valid) { // SDM 3C 28.2.4
        vmcs->idt_vectoring = vmx_interruption(&cpu->delivering);
        vmcs->idt_error = cpu->delivering.error;
        if (cpu->delivering.type >= EVENT_SOFT_INTERRUPT)
            vmcs->exit_length = cpu->delivering.length;
    }
    vmcs->entry_interruption &= ~INTERRUPTION_VALID;
    vmx_trace(cpu, "exit %u %s rip %#lx qualification %#lx interruption %#x vectoring %#x length %u information %#x",
              reason, vmx_reason_name(reason), (unsigned long)cpu->rip, (unsigned long)qualification, interruption,
              vmcs->idt_vectoring, vmcs->exit_length, vmcs->exit_information);
    exit_save_registers(cpu, vmcs);
    exit_save_segments(cpu, vmcs);
    exit_save_activity(cpu, vmcs);
    if (vmx_msr_store(cpu, vmcs->exit_store, vmcs->exit_store_count))
        exit_abort(cpu, ABORT_MSR_STORE);
    // Real NMIs are never blocked under virtual NMIs; the bit was the virtual ones' (SDM 3C 28.5.5).
    u32 blocking = vmx->pin & PIN_VIRTUAL_NMI ? 0 : cpu->interruptibility & BLOCKING_NMI;
    u32 nmi = (u32)EVENT_NMI << INTERRUPTION_TYPE_SHIFT;
    if (reason == REASON_EXCEPTION_NMI && (interruption & INTERRUPTION_TYPE) == nmi)
        blocking = BLOCKING_NMI;
    exit_to_host(cpu, vmcs, blocking);
}

void vmx_exit(struct cpu *cpu, u32 reason, u64 qualification)
{
    vmx_exit_event(cpu, reason, qualification, 0, 0);
}

void vmx_exit_insn(struct cpu *cpu, const struct insn *insn, u32 reason, u64 qualification)
{
    cpu->vmx->vmcs->exit_length = insn->length;
    vmx_exit_event(cpu, reason, qualification, 0, 0);
}

void vmx_exit_access(struct cpu *cpu, u32 reason, u64 qualification)
{
    u64 length = cpu->next_rip - cpu->rip; // of no instruction when it is being fetched
    cpu->vmx->vmcs->exit_length = length <= 15 ? length : 0;
    vmx_exit_event(cpu, reason, qualification, 0, 0);
}

// SDM 3C 27.8: no guest state is saved, and of the exit information only reason and qualification are.
void vmx_entry_failed(struct cpu *cpu, u32 reason, u64 qualification)
{
    struct vmcs *vmcs = cpu->vmx->vmcs;
    vmcs->exit_reason = reason | REASON_ENTRY_FAILURE;
    vmcs->qualification = qualification;
    vmx_trace(cpu, "entry failure %u qualification %lu", reason, (unsigned long)qualification);
    exit_to_host(cpu, vmcs, cpu->interruptibility & BLOCKING_NMI);
}
