// See vcpu_clock.h. KVM_VCPU_TSC_OFFSET says exactly what is meant; a KVM before Linux 5.16 has only IA32_TSC, which is
// the same less the time between reading and writing it, and KVM itself keeps the processors together there.
#include "machine/vcpu_clock.h"

#include <errno.h>

enum { CLOCK_MSR_TSC = 0x10, CLOCK_MSR_DEADLINE = 0x6e0 };

static int clock_offset(const struct engine *engine, struct engine_vcpu *vcpu, unsigned long request, u64 *offset)
{
    struct kvm_device_attr attribute = {
        .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (u64)(uintptr_t)offset};
    return engine->vcpu_ioctl(vcpu, request, &attribute);
}

static int clock_msr(const struct engine *engine, struct engine_vcpu *vcpu, unsigned long request, u32 index,
                     u64 *value)
{
    union {
        struct kvm_msrs msrs;
        u8 space[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
    } one = {.msrs = {.nmsrs = 1}};
    struct kvm_msr_entry *entry = one.msrs.entries;
    *entry = (struct kvm_msr_entry){.index = index, .data = *value};
    int result = engine->vcpu_ioctl(vcpu, request, &one.msrs);
    if (result == 1)
        *value = entry->data;
    return result < 0 ? result : result == 1 ? 0 : -EINVAL;
}

int vcpu_clock_stop(struct vcpu_clock *clock, const struct engine *engine, struct engine_vcpu *vcpu, u64 host_tsc)
{
    u64 offset;
    int result = clock_offset(engine, vcpu, KVM_GET_DEVICE_ATTR, &offset);
    clock->tsc = host_tsc + offset;
    if (result < 0)
        result = clock_msr(engine, vcpu, KVM_GET_MSRS, CLOCK_MSR_TSC, &clock->tsc);
    if (result >= 0)
        result = engine->vcpu_ioctl(vcpu, KVM_GET_LAPIC, &clock->lapic);
    clock->deadline = 0; // where there is no such timer
    clock_msr(engine, vcpu, KVM_GET_MSRS, CLOCK_MSR_DEADLINE, &clock->deadline);
    return result;
}

int vcpu_clock_start(const struct vcpu_clock *clock, const struct engine *engine, struct engine_vcpu *vcpu,
                     u64 host_tsc)
{
    u64 offset = clock->tsc - host_tsc, tsc = clock->tsc, deadline = clock->deadline;
    int result = clock_offset(engine, vcpu, KVM_SET_DEVICE_ATTR, &offset);
    if (result < 0)
        result = clock_msr(engine, vcpu, KVM_SET_MSRS, CLOCK_MSR_TSC, &tsc);
    if (result >= 0)
        result = engine->vcpu_ioctl(vcpu, KVM_SET_LAPIC, (void *)(uintptr_t)&clock->lapic);
    // Last: it means something only in the mode that the APIC's timer was given.
    if (result >= 0 && deadline)
        result = clock_msr(engine, vcpu, KVM_SET_MSRS, CLOCK_MSR_DEADLINE, &deadline);
    return result;
}
