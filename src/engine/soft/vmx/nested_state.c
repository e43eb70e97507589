// VT-x state in KVM's form (KVM_GET/SET_NESTED_STATE). The VMCS is in guest RAM already, so its copy in the data says
// nothing new to nidus; it is there because the form has it, and because whoever saves registers and RAM at different
// moments needs it.
#include <errno.h>

#include "engine/soft/bytes.h"
#include "engine/soft/lapic.h"
#include "engine/soft/vmx/check.h"
#include "engine/soft/vmx/state.h"

enum { NESTED_KNOWN_FLAGS = KVM_STATE_NESTED_GUEST_MODE | KVM_STATE_NESTED_RUN_PENDING | KVM_STATE_NESTED_MTF_PENDING };

static u64 deadline_to_kvm(const struct cpu *cpu)
{
    return (cpu->vmx->timer_deadline + cpu->tsc_offset) >> VMX_TIMER_SHIFT;
}

static u64 deadline_from_kvm(const struct cpu *cpu, u64 deadline)
{
    return (deadline << VMX_TIMER_SHIFT) - cpu->tsc_offset;
}

static u32 nested_size(const struct cpu *cpu)
{
    u32 size = sizeof(struct kvm_nested_state);
    return cpu->vmx && cpu->vmx->vmcs ? size + sizeof(struct kvm_vmx_nested_state_data) : size;
}

int vmx_nested_get(struct cpu *cpu, struct kvm_nested_state *state)
{
    const struct vmx *vmx = cpu->vmx;
    u32 room = state->size, size = nested_size(cpu);
    state->size = size;
    if (room < size)
        return -E2BIG;
    bytes_set(state, 0, size);
    state->size = size;
    state->format = KVM_STATE_NESTED_FORMAT_VMX;
    state->hdr.vmx.vmxon_pa = state->hdr.vmx.vmcs12_pa = VMX_NO_ADDRESS;
    if (!vmx || !vmx->on)
        return 0;
    state->hdr.vmx.vmxon_pa = vmx->vmxon;
    state->hdr.vmx.vmcs12_pa = vmx->current;
    if (cpu->guest_mode) {
        state->flags |= KVM_STATE_NESTED_GUEST_MODE;
        if (vmx->trap_pending)
            state->flags |= KVM_STATE_NESTED_MTF_PENDING;
        if (vmx->pin & PIN_PREEMPTION_TIMER) {
            state->hdr.vmx.flags |= KVM_STATE_VMX_PREEMPTION_TIMER_DEADLINE;
            state->hdr.vmx.preemption_timer_deadline = deadline_to_kvm(cpu);
        }
    }
    if (vmx->vmcs)
        bytes_copy(state->data.vmx[0].vmcs12, vmx->vmcs, VMCS_BYTES);
    if (cpu->guest_mode && vmx->shadow)
        bytes_copy(state->data.vmx[0].shadow_vmcs12, vmx->shadow, VMCS_BYTES);
    return 0;
}

static bool nested_valid(struct cpu *cpu, const struct kvm_nested_state *state)
{
    u64 vmxon = state->hdr.vmx.vmxon_pa, current = state->hdr.vmx.vmcs12_pa;
    bool guest = state->flags & KVM_STATE_NESTED_GUEST_MODE;
    if (state->format != KVM_STATE_NESTED_FORMAT_VMX || state->flags & ~NESTED_KNOWN_FLAGS || state->hdr.vmx.smm.flags)
        return false;
    if (vmxon == VMX_NO_ADDRESS)
        return current == VMX_NO_ADDRESS && !state->flags;
    if (!cpu->vmx || !vmx_physical_valid(cpu, vmxon, PAGE_BYTES))
        return false;
    if (current == VMX_NO_ADDRESS)
        return !guest;
    bool data = state->size >= sizeof(*state) + sizeof(state->data.vmx[0]);
    return current != vmxon && vmx_physical_valid(cpu, current, PAGE_BYTES) && (data || !guest);
}

static void nested_enter(struct cpu *cpu, const struct kvm_nested_state *state)
{
    struct vmx *vmx = cpu->vmx;
    vmx_decode(cpu);
    if (vmx->shadow && vmx->vmcs->link != VMX_NO_ADDRESS)
        bytes_copy(vmx->shadow, state->data.vmx[0].shadow_vmcs12, VMCS_BYTES);
    cpu->guest_mode = true;
    vmx->trap_pending = state->flags & KVM_STATE_NESTED_MTF_PENDING;
    if (!(vmx->pin & PIN_PREEMPTION_TIMER))
        return;
    u64 now = vmx_host_tsc();
    vmx->timer_deadline = now;
    if (state->hdr.vmx.flags & KVM_STATE_VMX_PREEMPTION_TIMER_DEADLINE)
        vmx->timer_deadline = deadline_from_kvm(cpu, state->hdr.vmx.preemption_timer_deadline);
    lapic_alarm_set(cpu, vmx->timer_deadline > now ? vmx->timer_deadline - now : 0);
}

int vmx_nested_set(struct cpu *cpu, const struct kvm_nested_state *state)
{
    struct vmx *vmx = cpu->vmx;
    if (state->size < sizeof(*state) || !nested_valid(cpu, state))
        return -EINVAL;
    if (!vmx)
        return 0;
    lapic_alarm_cancel(cpu);
    vmx_reset(cpu);
    if (state->hdr.vmx.vmxon_pa == VMX_NO_ADDRESS)
        return 0;
    vmx->on = true;
    vmx->vmxon = state->hdr.vmx.vmxon_pa;
    vmx->current = state->hdr.vmx.vmcs12_pa;
    if (vmx->current != VMX_NO_ADDRESS) {
        vmx->vmcs = (struct vmcs *)vmx_page(cpu, vmx->current);
        bool in_ram = (u8 *)vmx->vmcs != vmx->nowhere;
        if (in_ram && state->size >= sizeof(*state) + sizeof(state->data.vmx[0]))
            bytes_copy(vmx->vmcs, state->data.vmx[0].vmcs12, VMCS_BYTES);
        ram_mark_dirty(cpu->vm, vmx->current);
    }
    if (state->flags & KVM_STATE_NESTED_GUEST_MODE) {
        // Controls are decoded if a VM entry would have accepted them. Guest state is in the registers by now, and host
        // state is looked at when it is loaded.
        if (vmx_check_controls(cpu, vmx->vmcs)) {
            vmx_reset(cpu);
            return -EINVAL;
        }
        nested_enter(cpu, state);
    }
    cpu_mode_update(cpu);
    cpu_request(cpu, REQUEST_EVENT);
    return 0;
}
