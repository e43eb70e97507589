// VM entry (SDM 3C chapter 27): checks, guest state, MSR list, injection. The checks only read, so a VMLAUNCH that
// fails them has no effect; from then on the guest's values go straight from the VMCS page into struct cpu.
#include "engine/soft/access.h"
#include "engine/soft/debug.h"
#include "engine/soft/lapic.h"
#include "engine/soft/vmx/apic.h"
#include "engine/soft/vmx/check.h"
#include "engine/soft/vmx/state.h"

static u64 entry_efer(const struct cpu *cpu, const struct vmcs *vmcs)
{
    u64 efer = cpu->msr.efer;
    if (vmcs->entry_controls & ENTRY_LOAD_EFER)
        return vmcs->guest_efer;
    u64 mode = vmcs->entry_controls & ENTRY_IA32E ? EFER_LMA | EFER_LME : 0;
    if (vmcs->guest_cr0 & CR0_PG)
        return (efer & ~(EFER_LMA | EFER_LME)) | mode;
    return (efer & ~EFER_LMA) | (mode & EFER_LMA);
}

// SDM 3C 27.3.2.1.
static void entry_load_registers(struct cpu *cpu, const struct vmcs *vmcs)
{
    cpu->msr.efer = entry_efer(cpu, vmcs);
    cpu->cr0 = (vmcs->guest_cr0 & VMX_CR0_LOADED) | (cpu->cr0 & ~VMX_CR0_LOADED);
    cpu->cr3 = vmcs->guest_cr3;
    cpu->cr4 = vmcs->guest_cr4;
    cpu->msr.sysenter_cs = vmcs->guest_sysenter_cs;
    cpu->msr.sysenter_esp = vmcs->guest_sysenter_esp;
    cpu->msr.sysenter_eip = vmcs->guest_sysenter_eip;
    if (vmcs->entry_controls & ENTRY_LOAD_DEBUG) {
        cpu->dr[7] = (vmcs->guest_dr7 & 0xffff2fff) | DR7_FIXED;
        cpu->msr.debugctl = vmcs->guest_debugctl;
    }
    if (vmcs->entry_controls & ENTRY_LOAD_PAT)
        cpu->msr.pat = vmcs->guest_pat;
    cpu->gpr[RSP] = vmcs->guest_rsp;
    cpu->rip = cpu->next_rip = vmcs->guest_rip;
    cpu->rflags = vmcs->guest_rflags;
}

// SDM 3C 27.3.2.2 and 27.3.2.3. Of an unusable segment only SS.DPL, and the bases, mean something.
static void entry_load_segments(struct cpu *cpu, const struct vmcs *vmcs)
{
    for (unsigned i = 0; i < VMCS_SEGMENTS; i++) {
        u32 access = vmcs->guest_access[i];
        cpu->segment[vmx_segment[i]] = (struct segment){
            .base = vmcs->guest_base[i],
            .limit = vmcs->guest_limit[i],
            .access = access & AR_UNUSABLE ? access & (AR_UNUSABLE | AR_DPL) : access,
            .selector = vmcs->guest_selector[i],
        };
    }
    cpu->fs_base = vmcs->guest_base[VMCS_FS];
    cpu->gs_base = vmcs->guest_base[VMCS_GS];
    cpu->gdt = (struct descriptor_table){.base = vmcs->guest_gdtr_base, .limit = vmcs->guest_gdtr_limit};
    cpu->idt = (struct descriptor_table){.base = vmcs->guest_idtr_base, .limit = vmcs->guest_idtr_limit};
    cpu->cpl = cpu->segment[SEG_SS].access >> AR_DPL_SHIFT & 3;
}

// Which pending debug exceptions survive the entry (SDM 3C 27.7.3).
static u64 entry_pending_debug(const struct vmcs *vmcs)
{
    u32 info = vmcs->entry_interruption;
    u64 pending = vmcs->pending_debug;
    if (info & INTERRUPTION_VALID) {
        unsigned type = info >> INTERRUPTION_TYPE_SHIFT & 7;
        bool soft = type == EVENT_SOFT_INTERRUPT || type == EVENT_SOFT_EXCEPTION;
        if (type != VMX_EVENT_OTHER && !(soft && vmcs->interruptibility & BLOCKING_MOV_SS))
            return 0;
    } else if (vmcs->activity == ACTIVITY_WAIT_SIPI) {
        return 0;
    }
    return pending & (VMX_PENDING_ENABLED | DR6_BS) ? pending & (0xf | DR6_BS) : 0;
}

static void entry_inject(struct cpu *cpu, const struct vmcs *vmcs)
{
    u32 info = vmcs->entry_interruption;
    unsigned type = info >> INTERRUPTION_TYPE_SHIFT & 7;
    if (!(info & INTERRUPTION_VALID))
        return;
    if (type == VMX_EVENT_OTHER) {
        cpu->vmx->trap_pending = true;
        return;
    }
    bool soft = type == EVENT_SOFT_INTERRUPT || type == EVENT_PRIVILEGED_EXCEPTION || type == EVENT_SOFT_EXCEPTION;
    cpu->event = (struct event){
        .valid = true,
        .type = type,
        .vector = info & 0xff,
        .has_error = info & INTERRUPTION_ERROR,
        .error = vmcs->entry_error,
        .length = soft ? vmcs->entry_length & 15 : 0,
    };
}

// SDM 3C 27.3.2.5, 27.6, 27.7.
static void entry_load_activity(struct cpu *cpu, const struct vmcs *vmcs)
{
    struct vmx *vmx = cpu->vmx;
    cpu->interruptibility = vmcs->interruptibility & (BLOCKING_STI | BLOCKING_MOV_SS | BLOCKING_NMI);
    cpu->pending_debug = entry_pending_debug(vmcs);
    cpu->event.valid = cpu->delivering.valid = false;
    vmx->trap_pending = false;
    bool vectoring = vmcs->entry_interruption & INTERRUPTION_VALID;
    cpu->mp_state = KVM_MP_STATE_RUNNABLE;
    if (vmcs->activity == ACTIVITY_WAIT_SIPI)
        cpu->mp_state = KVM_MP_STATE_INIT_RECEIVED;
    else if (vmcs->activity == ACTIVITY_HLT && !vectoring)
        cpu->mp_state = KVM_MP_STATE_HALTED;
    entry_inject(cpu, vmcs);
    apic_enter(cpu);
    if (vmx->pin & PIN_PREEMPTION_TIMER) {
        u64 ticks = (u64)vmcs->preemption_timer << VMX_TIMER_SHIFT;
        vmx->timer_deadline = vmx_host_tsc() + ticks;
        lapic_alarm_set(cpu, ticks);
    }
}

static void entry_trace(struct cpu *cpu, const struct vmcs *vmcs)
{
    vmx_trace(cpu, "entry %lu vmcs %#lx rip %#lx rsp %#lx cr0 %#lx cr3 %#lx cr4 %#lx flags %#lx inject %#x",
              (unsigned long)cpu->vmx->entries, (unsigned long)cpu->vmx->current, (unsigned long)vmcs->guest_rip,
              (unsigned long)vmcs->guest_rsp, (unsigned long)vmcs->guest_cr0, (unsigned long)vmcs->guest_cr3,
              (unsigned long)vmcs->guest_cr4, (unsigned long)vmcs->guest_rflags, vmcs->entry_interruption);
}

// By VMLAUNCH. Hypervisors clear the page of a new VMCS before they give it a revision.
static void entry_first(struct cpu *cpu, struct vmcs *vmcs)
{
    vmcs->launched = 1;
    if (vmcs->counted)
        return;
    vmcs->counted = 1;
    __atomic_store_n(&cpu->guests_launched, cpu->guests_launched + 1, __ATOMIC_RELAXED);
}

void vmx_enter(struct cpu *cpu)
{
    struct vmx *vmx = cpu->vmx;
    struct vmcs *vmcs = vmx->vmcs;
    const char *failed = vmx_check_controls(cpu, vmcs);
    enum vmx_error error = VMX_ERROR_CONTROLS;
    if (!failed) {
        failed = vmx_check_host(cpu, vmcs);
        error = VMX_ERROR_HOST;
    }
    if (failed) {
        vmx_trace(cpu, "entry refused, SDM 3C %s", failed);
        vmx_fail(cpu, error);
        return;
    }
    u64 qualification, pdpte[4] = {0};
    failed = vmx_check_guest(cpu, vmcs, &qualification, pdpte);
    if (failed) {
        vmx_trace(cpu, "entry failed, SDM 3C %s", failed);
        vmx_entry_failed(cpu, REASON_BAD_GUEST_STATE, qualification);
    }
    vmx_decode(cpu);
    entry_load_registers(cpu, vmcs);
    entry_load_segments(cpu, vmcs);
    for (unsigned i = 0; i < 4; i++)
        cpu->pdpte[i] = pdpte[i];
    u32 entry = vmx_msr_load(cpu, vmcs->entry_load, vmcs->entry_load_count);
    if (entry)
        vmx_entry_failed(cpu, REASON_BAD_MSR, entry);
    if (UNLIKELY(!vmcs->launched))
        entry_first(cpu, vmcs);
    vmx->entries++;
    cpu->guest_mode = true;
    entry_load_activity(cpu, vmcs);
    if (!cpu->vpid)
        tlb_flush_vpid(cpu, 0, false);
    if (UNLIKELY(cpu->vm->config.trace & ENGINE_TRACE_VMX))
        entry_trace(cpu, vmcs);
    cpu_mode_update(cpu);
    cpu_resume(cpu); // and so to event_poll, for what is due before the first instruction
}
