// The life of a vCPU's VT-x state outside world switches, and the decoding of controls for guest mode.
#include <errno.h>
#include <stdlib.h>

#include "engine/soft/bytes.h"
#include "engine/soft/lapic.h"
#include "engine/soft/vmx/state.h"

int vmx_create(struct cpu *cpu)
{
    cpu->vmx = aligned_alloc(64, align_up(sizeof(struct vmx), 64));
    if (!cpu->vmx)
        return -ENOMEM;
    bytes_set(cpu->vmx, 0, sizeof(struct vmx));
    bytes_set(cpu->vmx->nowhere, 0xff, PAGE_BYTES);
    vmx_reset(cpu);
    return 0;
}

void vmx_destroy(struct cpu *cpu)
{
    free(cpu->vmx);
    cpu->vmx = NULL;
}

void vmx_reset(struct cpu *cpu)
{
    struct vmx *vmx = cpu->vmx;
    if (!vmx)
        return;
    __atomic_store_n(&vmx->on, false, __ATOMIC_RELAXED);
    vmx->vmxon = vmx->current = vmx->apic_access = VMX_NO_ADDRESS;
    vmx->vmcs = vmx->shadow = NULL;
    vmx->trap_pending = false;
    vmx->apic_reason = 0;
    cpu->guest_mode = false;
    cpu->eptp = 0;
    cpu->vpid = 0;
}

u8 *vmx_page(struct cpu *cpu, u64 gpa)
{
    const struct ram_slot *slot = ram_slot_find(cpu->vm, gpa);
    u8 *page = slot && !(slot->flags & KVM_MEM_READONLY) ? ram_pointer(cpu->vm, gpa, PAGE_BYTES) : NULL;
    return page ? page : cpu->vmx->nowhere;
}

// Read and write address regions that fit a page: what an alignment check of VM entry has made true, unless guest code
// scribbles in the page, hence the masks.
static u8 *vmx_decode_page(struct cpu *cpu, bool used, u64 gpa)
{
    return used ? vmx_page(cpu, gpa & ~(u64)(PAGE_BYTES - 1)) : cpu->vmx->nowhere;
}

static void vmx_decode_pages(struct cpu *cpu)
{
    struct vmx *vmx = cpu->vmx;
    const struct vmcs *vmcs = vmx->vmcs;
    vmx->msr_bitmap = vmx_decode_page(cpu, vmx->cpu & CPU_MSR_BITMAPS, vmcs->msr_bitmap);
    vmx->io_bitmap_a = vmx_decode_page(cpu, vmx->cpu & CPU_IO_BITMAPS, vmcs->io_bitmap_a);
    vmx->io_bitmap_b = vmx_decode_page(cpu, vmx->cpu & CPU_IO_BITMAPS, vmcs->io_bitmap_b);
    vmx->virtual_apic = vmx_decode_page(cpu, vmx->cpu & CPU_TPR_SHADOW, vmcs->virtual_apic);
    bool shadow = vmx->cpu2 & CPU2_SHADOW_VMCS;
    vmx->vmread_bitmap = vmx_decode_page(cpu, shadow, vmcs->vmread_bitmap);
    vmx->vmwrite_bitmap = vmx_decode_page(cpu, shadow, vmcs->vmwrite_bitmap);
    vmx->shadow = shadow && vmcs->link != VMX_NO_ADDRESS ? (struct vmcs *)vmx_decode_page(cpu, true, vmcs->link) : NULL;
}

void vmx_decode(struct cpu *cpu)
{
    struct vmx *vmx = cpu->vmx;
    const struct vmcs *vmcs = vmx->vmcs;
    vmx->pin = vmcs->pin_controls;
    vmx->cpu = vmcs->cpu_controls;
    vmx->cpu2 = vmx->cpu & CPU_SECONDARY ? vmcs->cpu_controls2 : 0;
    vmx->exit = vmcs->exit_controls;
    vmx->entry = vmcs->entry_controls;
    vmx->exceptions = vmcs->exception_bitmap;
    vmx->apic_access = vmx->cpu2 & CPU2_APIC_ACCESS ? vmcs->apic_access : VMX_NO_ADDRESS;
    vmx->tsc_offset = vmx->cpu & CPU_TSC_OFFSET ? vmcs->tsc_offset : 0;
    vmx->tsc_multiplier = vmx->cpu & CPU_TSC_OFFSET && vmx->cpu2 & CPU2_TSC_SCALING ? vmcs->tsc_multiplier : 0;
    cpu->eptp = vmx->cpu2 & CPU2_EPT ? vmcs->eptp : 0;
    cpu->vpid = vmx->cpu2 & CPU2_VPID ? vmcs->vpid : 0;
    vmx_decode_pages(cpu);
}

void vmx_slots_changed(struct cpu *cpu)
{
    struct vmx *vmx = cpu->vmx;
    if (!vmx || vmx->current == VMX_NO_ADDRESS)
        return;
    vmx->vmcs = (struct vmcs *)vmx_page(cpu, vmx->current);
    if (cpu->guest_mode)
        vmx_decode_pages(cpu);
}

void vmx_tsc_moved(struct cpu *cpu, u64 moved)
{
    struct vmx *vmx = cpu->vmx;
    if (!(vmx->pin & PIN_PREEMPTION_TIMER))
        return;
    u64 now = vmx_host_tsc();
    vmx->timer_deadline -= moved; // it is the host's
    lapic_alarm_set(cpu, vmx->timer_deadline > now ? vmx->timer_deadline - now : 0);
}

void vmx_succeed(struct cpu *cpu)
{
    cpu->rflags &= ~FLAGS_ARITHMETIC;
}

void vmx_fail_invalid(struct cpu *cpu)
{
    cpu->rflags = (cpu->rflags & ~FLAGS_ARITHMETIC) | FLAG_CF;
}

void vmx_fail(struct cpu *cpu, enum vmx_error error)
{
    if (!cpu->vmx->vmcs) {
        vmx_fail_invalid(cpu);
        return;
    }
    cpu->rflags = (cpu->rflags & ~FLAGS_ARITHMETIC) | FLAG_ZF;
    cpu->vmx->vmcs->instruction_error = error;
    vmx_trace(cpu, "VMfailValid(%u)", error);
}
