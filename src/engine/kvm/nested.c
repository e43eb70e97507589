// Whether hypervisors run in the VM. KVM tells of a vCPU's nested state only its own thread may wait for, because it
// holds the vCPU while the guest runs: so whoever asks leaves a question and a signal, and each vCPU's thread answers
// it on its way back into the guest. A vCPU that is outside KVM_RUN for long (paused) keeps its last answer.
//
// A signal that arrives just before KVM_RUN is lost, but then the question is found by the next entry: exits are
// frequent where hypervisors run.
#include <sys/ioctl.h>

#include "engine/kvm/kvm.h"

void kvm_nested_init(struct kvm_nested *nested) { pthread_mutex_init(&nested->lock, NULL); }

void kvm_nested_add(struct engine_vcpu *vcpu)
{
    pthread_mutex_lock(&vcpu->vm->nested.lock);
    if (vcpu->id < ENGINE_MAX_VCPUS)
        vcpu->vm->nested.vcpus[vcpu->id] = vcpu;
    pthread_mutex_unlock(&vcpu->vm->nested.lock);
}

void kvm_nested_remove(struct engine_vcpu *vcpu)
{
    pthread_mutex_lock(&vcpu->vm->nested.lock);
    if (vcpu->id < ENGINE_MAX_VCPUS && vcpu->vm->nested.vcpus[vcpu->id] == vcpu)
        vcpu->vm->nested.vcpus[vcpu->id] = NULL;
    pthread_mutex_unlock(&vcpu->vm->nested.lock);
}

static void nested_see_guest(struct kvm_nested *nested, u64 address)
{
    for (unsigned i = 0; i < nested->guest_count; i++)
        if (nested->guests[i] == address)
            return;
    if (nested->guest_count < KVM_GUESTS_SEEN)
        nested->guests[nested->guest_count++] = address;
}

static enum engine_extension nested_extension(struct engine_vcpu *vcpu, const struct kvm_nested_state *state)
{
    struct kvm_sregs sregs;
    if (state->format == KVM_STATE_NESTED_FORMAT_VMX)
        return state->hdr.vmx.vmxon_pa == ~(u64)0 ? ENGINE_EXTENSION_NONE : ENGINE_EXTENSION_VMX;
    bool svme = ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) >= 0 && sregs.efer & (u64)1 << 12;
    return svme ? ENGINE_EXTENSION_SVM : ENGINE_EXTENSION_NONE;
}

void kvm_nested_look(struct engine_vcpu *vcpu)
{
    union {
        struct kvm_nested_state state;
        u8 room[sizeof(struct kvm_nested_state) + sizeof(struct kvm_vmx_nested_state_data)];
    } nested = {.state = {.size = sizeof nested}};
    struct kvm_nested *all = &vcpu->vm->nested;
    if (ioctl(vcpu->fd, KVM_GET_NESTED_STATE, &nested.state) < 0)
        return; // this KVM does not nest
    enum engine_extension extension = nested_extension(vcpu, &nested.state);
    bool vmx = extension == ENGINE_EXTENSION_VMX, in_guest = nested.state.flags & KVM_STATE_NESTED_GUEST_MODE;
    pthread_mutex_lock(&all->lock);
    vcpu->extension = extension;
    vcpu->in_guest = in_guest;
    if (in_guest)
        nested_see_guest(all, vmx ? nested.state.hdr.vmx.vmcs12_pa : nested.state.hdr.svm.vmcb_pa);
    pthread_mutex_unlock(&all->lock);
}

void kvm_nested_status(struct engine_vm *vm, struct engine_nested_status *status)
{
    struct kvm_nested *nested = &vm->nested;
    *status = (struct engine_nested_status){.extension = ENGINE_EXTENSION_NONE};
    pthread_mutex_lock(&nested->lock);
    for (unsigned i = 0; i < ENGINE_MAX_VCPUS; i++) {
        struct engine_vcpu *vcpu = nested->vcpus[i];
        if (!vcpu)
            continue;
        if (vcpu->extension != ENGINE_EXTENSION_NONE)
            status->extension = vcpu->extension;
        status->on += vcpu->extension != ENGINE_EXTENSION_NONE;
        status->in_guest += vcpu->in_guest;
        atomic_store(&vcpu->asked, true);
        kvm_vcpu_signal(vcpu);
    }
    status->launched = nested->guest_count;
    pthread_mutex_unlock(&nested->lock);
}
