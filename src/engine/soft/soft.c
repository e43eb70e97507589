// The soft engine's face: engine.h's operations as a table of KVM requests. Creates VMs and vCPUs, changes memory slots
// with the world stopped, and hands everything else to the file that knows it.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "engine/soft/block.h"
#include "engine/soft/cpuid.h"
#include "engine/soft/fpu.h"
#include "engine/soft/gsbase.h"
#include "engine/soft/lapic.h"
#include "engine/soft/msr.h"
#include "engine/soft/run.h"
#include "engine/soft/signal.h"
#include "engine/soft/state.h"
#include "engine/soft/tsc.h"
#include "engine/soft/vmx/vmx.h"
#include "engine/soft/window.h"
#include "engine/soft/world.h"
#include "engine/soft/xstate.h"

enum { RUN_AREA_BYTES = 3 * PAGE_BYTES };

// A vCPU is a struct cpu; the interface's name for it is opaque.
static struct cpu *cpu_of(struct engine_vcpu *vcpu) { return (struct cpu *)vcpu; }
static struct engine_vcpu *vcpu_of(struct cpu *cpu) { return (struct engine_vcpu *)cpu; }

static int soft_probe(const struct engine_config *config, struct error *error)
{
    if (config->vendor == ENGINE_VENDOR_AMD)
        return error_set(error, "the soft engine does not offer AMD processors; use '--vendor intel'");
    return 0;
}

static int soft_open(const struct engine_config *config, struct engine_vm **out, struct error *error)
{
    if (soft_probe(config, error) < 0)
        return -1;
    struct engine_vm *vm = calloc(1, sizeof *vm);
    if (!vm)
        return error_set(error, "cannot create the VM: out of memory");
    vm->config = *config;
    vm->tsc_khz = tsc_host_khz();
    pthread_mutex_init(&vm->lock, NULL);
    pthread_cond_init(&vm->resumed, NULL);
    pthread_cond_init(&vm->stopped, NULL);
    int result = signal_install();
    if (!result) {
        vm->gsbase = gsbase_probe();
        result = code_create(vm);
    }
    if (result) {
        code_destroy(vm);
        free(vm);
        return error_set(error, "cannot create the VM's code cache: %s", strerror(-result));
    }
    *out = vm;
    return 0;
}

static void slot_release(struct ram_slot *slot)
{
    if (slot->pages)
        munmap(slot->pages, slot->bytes / PAGE_BYTES * sizeof *slot->pages);
    free((void *)slot->dirty);
    slot->pages = NULL;
    slot->dirty = NULL;
}

static void soft_close(struct engine_vm *vm)
{
    code_destroy(vm);
    for (unsigned i = 0; i < vm->slot_count; i++)
        slot_release(&vm->slot[i]);
    free(vm->route);
    pthread_mutex_destroy(&vm->lock);
    pthread_cond_destroy(&vm->resumed);
    pthread_cond_destroy(&vm->stopped);
    free(vm);
}

static int slot_index(const struct engine_vm *vm, u32 id)
{
    for (unsigned i = 0; i < vm->slot_count; i++)
        if (vm->slot[i].id == id)
            return (int)i;
    return -1;
}

static void slot_remove(struct engine_vm *vm, unsigned index)
{
    slot_release(&vm->slot[index]);
    for (unsigned i = index; i + 1 < vm->slot_count; i++)
        vm->slot[i] = vm->slot[i + 1];
    vm->slot_count--;
}

static int slot_add(struct engine_vm *vm, const struct kvm_userspace_memory_region *region)
{
    u64 pages = region->memory_size / PAGE_BYTES;
    struct ram_slot slot = { .gpa = region->guest_phys_addr, .bytes = region->memory_size, .id = region->slot,
                             .host = (u8 *)region->userspace_addr, .flags = region->flags };
    if (vm->slot_count == VM_SLOTS)
        return -ENOSPC;
    void *memory = mmap(NULL, pages * sizeof *slot.pages, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return -ENOMEM;
    slot.pages = memory;
    if (region->flags & KVM_MEM_LOG_DIRTY_PAGES) {
        slot.dirty = calloc((pages + 63) / 64, sizeof(u64));
        if (!slot.dirty) {
            slot_release(&slot);
            return -ENOMEM;
        }
    }
    unsigned at = vm->slot_count;
    while (at && vm->slot[at - 1].gpa > slot.gpa) {
        vm->slot[at] = vm->slot[at - 1];
        at--;
    }
    vm->slot[at] = slot;
    vm->slot_count++;
    return 0;
}

static int slot_check(const struct engine_vm *vm, const struct kvm_userspace_memory_region *region)
{
    u64 first = region->guest_phys_addr, bytes = region->memory_size;
    if ((first | bytes | region->userspace_addr) & (PAGE_BYTES - 1) || first + bytes < first ||
        first + bytes > 1ull << 46) return -EINVAL;
    for (unsigned i = 0; i < vm->slot_count; i++) {
        const struct ram_slot *slot = &vm->slot[i];
        if (slot->id != region->slot && first < slot->gpa + slot->bytes && slot->gpa < first + bytes)
            return -EEXIST;
    }
    return 0;
}

static void slots_changed(struct engine_vm *vm)
{
    code_flush(vm);
    for (unsigned i = 0; i < ENGINE_MAX_VCPUS; i++)
        if (vm->cpu[i]) {
            tlb_flush_all(vm->cpu[i]);
            if (vm->cpu[i]->vmx)
                vmx_slots_changed(vm->cpu[i]);
        }
}

static int soft_set_memory(struct engine_vm *vm, const struct kvm_userspace_memory_region *region)
{
    int result = slot_check(vm, region);
    if (result)
        return result;
    world_stop(vm, NULL);
    int index = slot_index(vm, region->slot);
    if (index >= 0)
        slot_remove(vm, (unsigned)index);
    if (region->memory_size)
        result = slot_add(vm, region);
    slots_changed(vm);
    world_resume(vm);
    return result;
}

static int soft_get_dirty_log(struct engine_vm *vm, const struct kvm_dirty_log *log)
{
    world_stop(vm, NULL);
    int index = slot_index(vm, log->slot), result = 0;
    if (index < 0 || !vm->slot[index].dirty) {
        result = -ENOENT;
    } else {
        struct ram_slot *slot = &vm->slot[index];
        u64 words = (slot->bytes / PAGE_BYTES + 63) / 64, *to = log->dirty_bitmap;
        for (u64 i = 0; i < words; i++)
            to[i] = atomic_exchange(&slot->dirty[i], 0);
        for (unsigned i = 0; i < ENGINE_MAX_VCPUS; i++)
            if (vm->cpu[i])
                tlb_flush_all(vm->cpu[i]);
    }
    world_resume(vm);
    return result;
}

static int soft_set_routing(struct engine_vm *vm, const struct kvm_irq_routing *routing)
{
    if (routing->nr > 4096)
        return -EINVAL;
    struct kvm_irq_routing_entry *route = calloc(routing->nr ? routing->nr : 1, sizeof *route);
    if (!route)
        return -ENOMEM;
    memcpy(route, routing->entries, routing->nr * sizeof *route);
    world_stop(vm, NULL);
    struct kvm_irq_routing_entry *old = vm->route;
    vm->route = route;
    vm->routes = routing->nr;
    world_resume(vm);
    free(old);
    return 0;
}

static int soft_supported_cpuid(struct engine_vm *vm, struct kvm_cpuid2 *cpuid)
{
    int count = cpuid_supported(vm, cpuid->entries, cpuid->nent);
    if (count < 0)
        return count;
    cpuid->nent = (u32)count;
    return 0;
}

static int soft_check_extension(const struct engine_vm *vm, long capability)
{
    switch (capability) {
    case KVM_CAP_SPLIT_IRQCHIP: case KVM_CAP_IRQ_ROUTING: case KVM_CAP_USER_MEMORY: case KVM_CAP_SIGNAL_MSI:
    case KVM_CAP_IMMEDIATE_EXIT: case KVM_CAP_XSAVE: case KVM_CAP_XCRS: case KVM_CAP_VCPU_EVENTS:
    case KVM_CAP_DEBUGREGS: case KVM_CAP_SREGS2: case KVM_CAP_TSC_DEADLINE_TIMER: case KVM_CAP_EXT_CPUID:
    case KVM_CAP_MP_STATE:
        return 1;
    case KVM_CAP_NESTED_STATE:
        return vm->config.nested ? (int)sizeof(struct kvm_nested_state) + 2 * PAGE_BYTES : 0;
    case KVM_CAP_NR_MEMSLOTS:
        return VM_SLOTS;
    case KVM_CAP_MAX_VCPUS: case KVM_CAP_NR_VCPUS:
        return ENGINE_MAX_VCPUS;
    default:
        return 0;
    }
}

static int soft_vm_ioctl(struct engine_vm *vm, unsigned long request, void *argument)
{
    switch (request) {
    case KVM_SET_USER_MEMORY_REGION: return soft_set_memory(vm, argument);
    case KVM_GET_DIRTY_LOG: return soft_get_dirty_log(vm, argument);
    case KVM_SIGNAL_MSI: return lapic_deliver_msi(vm, argument);
    case KVM_SET_GSI_ROUTING: return soft_set_routing(vm, argument);
    case KVM_GET_SUPPORTED_CPUID: return soft_supported_cpuid(vm, argument);
    case KVM_GET_MSR_INDEX_LIST: return msr_index_list(argument);
    case KVM_CHECK_EXTENSION: return soft_check_extension(vm, (long)argument);
    default: return -ENOTTY;
    }
}

static void soft_vcpu_destroy(struct engine_vcpu *vcpu)
{
    struct cpu *cpu = cpu_of(vcpu);
    struct engine_vm *vm = cpu->vm;
    world_stop(vm, NULL);
    vm->cpu[cpu->id] = NULL;
    vm->cpu_count--;
    world_resume(vm);
    vmx_destroy(cpu);
    lapic_destroy(cpu);
    tlb_destroy(cpu);
    if (cpu->run)
        munmap(cpu->run, RUN_AREA_BYTES);
    signal_stack_release(cpu);
    window_unmap(cpu->gs_trap);
    window_destroy_cpu(cpu);
}

static int soft_vcpu_start(struct cpu *cpu)
{
    void *run = mmap(NULL, RUN_AREA_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (run == MAP_FAILED)
        return -errno;
    cpu->run = run;
    cpu->gs_trap = window_reserve();
    if (!cpu->gs_trap)
        return -errno;
    int result = tlb_create(cpu);
    if (!result)
        result = lapic_create(cpu);
    if (!result && cpu->vm->config.nested)
        result = vmx_create(cpu);
    if (result)
        return result;
    cpu_reset(cpu, false);
    fpu_reset(cpu, false);
    lapic_reset(cpu, false);
    cpu_mode_update(cpu);
    return 0;
}

static int soft_vcpu_create(struct engine_vm *vm, unsigned id, struct engine_vcpu **out, struct error *error)
{
    if (id >= ENGINE_MAX_VCPUS || vm->cpu[id])
        return error_set(error, "cannot create vCPU %u: ids go from 0 to %d, each once", id, ENGINE_MAX_VCPUS - 1);
    struct cpu *cpu = window_create_cpu();
    if (!cpu)
        return error_set(error, "cannot create vCPU %u: %s", id, strerror(errno));
    cpu->self = cpu;
    cpu->vm = vm;
    cpu->id = id;
    world_stop(vm, NULL);
    vm->cpu[id] = cpu;
    vm->cpu_count++;
    int result = soft_vcpu_start(cpu);
    world_resume(vm);
    if (result) {
        soft_vcpu_destroy(vcpu_of(cpu));
        return error_set(error, "cannot create vCPU %u: %s", id, strerror(-result));
    }
    *out = vcpu_of(cpu);
    return 0;
}

static struct kvm_run *soft_vcpu_run_area(struct engine_vcpu *vcpu) { return cpu_of(vcpu)->run; }

static int soft_set_cpuid(struct cpu *cpu, const struct kvm_cpuid2 *cpuid)
{
    int result = cpuid_install(cpu, cpuid->entries, cpuid->nent);
    if (!result)
        cpu_mode_update(cpu);
    return result;
}

static int soft_get_cpuid(const struct cpu *cpu, struct kvm_cpuid2 *cpuid)
{
    if (cpuid->nent < cpu->cpuid_count)
        return -E2BIG;
    memcpy(cpuid->entries, cpu->cpuid, cpu->cpuid_count * sizeof *cpu->cpuid);
    cpuid->nent = cpu->cpuid_count;
    return 0;
}

static int soft_nested(struct cpu *cpu, unsigned long request, void *argument)
{
    if (!cpu->vmx)
        return -EINVAL;
    return request == KVM_GET_NESTED_STATE ? vmx_nested_get(cpu, argument) : vmx_nested_set(cpu, argument);
}

static int soft_vcpu_ioctl(struct engine_vcpu *vcpu, unsigned long request, void *argument)
{
    struct cpu *cpu = cpu_of(vcpu);
    switch (request) {
    case KVM_RUN: return run_vcpu(cpu);
    case KVM_GET_REGS: return state_get_regs(cpu, argument);
    case KVM_SET_REGS: return state_set_regs(cpu, argument);
    case KVM_GET_SREGS: return state_get_sregs(cpu, argument);
    case KVM_SET_SREGS: return state_set_sregs(cpu, argument);
    case KVM_GET_SREGS2: return state_get_sregs2(cpu, argument);
    case KVM_SET_SREGS2: return state_set_sregs2(cpu, argument);
    case KVM_GET_FPU: return xstate_get_fpu(cpu, argument);
    case KVM_SET_FPU: return xstate_set_fpu(cpu, argument);
    case KVM_GET_XSAVE: return xstate_get_xsave(cpu, argument);
    case KVM_SET_XSAVE: return xstate_set_xsave(cpu, argument);
    case KVM_GET_XCRS: return xstate_get_xcrs(cpu, argument);
    case KVM_SET_XCRS: return xstate_set_xcrs(cpu, argument);
    case KVM_GET_MSRS: return state_get_msrs(cpu, argument);
    case KVM_SET_MSRS: return state_set_msrs(cpu, argument);
    case KVM_GET_LAPIC: return lapic_get(cpu, argument);
    case KVM_SET_LAPIC: return lapic_set(cpu, argument);
    case KVM_GET_VCPU_EVENTS: return state_get_events(cpu, argument);
    case KVM_SET_VCPU_EVENTS: return state_set_events(cpu, argument);
    case KVM_GET_MP_STATE: return state_get_mp_state(cpu, argument);
    case KVM_SET_MP_STATE: return state_set_mp_state(cpu, argument);
    case KVM_GET_DEBUGREGS: return state_get_debugregs(cpu, argument);
    case KVM_SET_DEBUGREGS: return state_set_debugregs(cpu, argument);
    case KVM_GET_NESTED_STATE: case KVM_SET_NESTED_STATE: return soft_nested(cpu, request, argument);
    case KVM_SET_CPUID2: return soft_set_cpuid(cpu, argument);
    case KVM_GET_CPUID2: return soft_get_cpuid(cpu, argument);
    case KVM_INTERRUPT: return state_interrupt(cpu, argument);
    case KVM_NMI: return state_nmi(cpu);
    case KVM_TRANSLATE: return state_translate(cpu, argument);
    case KVM_HAS_DEVICE_ATTR: case KVM_GET_DEVICE_ATTR: case KVM_SET_DEVICE_ATTR:
        return state_tsc_attribute(cpu, request, argument);
    case KVM_GET_TSC_KHZ: return (int)cpu->vm->tsc_khz;
    default: return -ENOTTY;
    }
}

static void soft_vcpu_kick(struct engine_vcpu *vcpu) { cpu_request(cpu_of(vcpu), REQUEST_LEAVE); }

static void soft_memory_written(struct engine_vm *vm, u64 gpa, u64 bytes) { code_written(vm, NULL, gpa, bytes); }

// Looks at the vCPUs while they run: each value is one word, and a moment later it may be another one anyway.
static void soft_nested_status(struct engine_vm *vm, struct engine_nested_status *status)
{
    *status = (struct engine_nested_status){.extension = ENGINE_EXTENSION_NONE};
    for (unsigned i = 0; i < ENGINE_MAX_VCPUS; i++) {
        const struct cpu *cpu = vm->cpu[i];
        if (!cpu)
            continue;
        bool vmx = cpu->vmx && __atomic_load_n(&cpu->vmx->on, __ATOMIC_RELAXED);
        bool svm = __atomic_load_n(&cpu->msr.efer, __ATOMIC_RELAXED) & EFER_SVME;
        if (vmx || svm)
            status->extension = vmx ? ENGINE_EXTENSION_VMX : ENGINE_EXTENSION_SVM;
        status->on += vmx || svm;
        status->in_guest += __atomic_load_n(&cpu->guest_mode, __ATOMIC_RELAXED);
        status->launched += __atomic_load_n(&cpu->guests_launched, __ATOMIC_RELAXED);
    }
}

const struct engine engine_soft = {
    .name = "soft",
    .summary = "nidus's own CPU: needs no hardware virtualization, offers VT-x on any x86-64 host",
    .probe = soft_probe,
    .open = soft_open,
    .close = soft_close,
    .vm_ioctl = soft_vm_ioctl,
    .vcpu_create = soft_vcpu_create,
    .vcpu_destroy = soft_vcpu_destroy,
    .vcpu_run_area = soft_vcpu_run_area,
    .vcpu_ioctl = soft_vcpu_ioctl,
    .vcpu_kick = soft_vcpu_kick,
    .memory_written = soft_memory_written,
    .nested_status = soft_nested_status,
};
