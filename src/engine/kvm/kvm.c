// The host's KVM as an engine. The interface is KVM's own, so this forwards; what it adds is the set-up every VM needs
// (split interrupt controllers, the pages Intel processors want for real mode) and the kick: a signal that does
// nothing but end KVM_RUN, together with immediate_exit for the moment just before it.
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/kvm/kvm.h"

// Four pages below the BIOS' place that no guest is told of: Intel processors without "unrestricted guest" need a task
// state segment and an identity map there to run real mode.
#define KVM_IDENTITY_PAGE ((u64)0xfffbc000)
#define KVM_TASK_PAGES ((u64)0xfffbd000)

enum { KVM_IOAPIC_PINS = 24, KVM_KICK_SIGNAL = SIGUSR1 };

static void kvm_kick_received(int signal) { (void)signal; }

static int kvm_vm_set_up(struct engine_vm *vm, struct error *error)
{
    u64 identity = KVM_IDENTITY_PAGE;
    struct kvm_enable_cap split = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {KVM_IOAPIC_PINS}};
    struct sigaction action = {.sa_handler = kvm_kick_received, .sa_flags = SA_RESTART};
    // AMD hosts know neither of the two pages' calls; where they are missing they are not needed.
    ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity);
    ioctl(vm->fd, KVM_SET_TSS_ADDR, KVM_TASK_PAGES);
    if (ioctl(vm->fd, KVM_ENABLE_CAP, &split) < 0)
        return error_set(error, "KVM refuses a split interrupt controller: %s", strerror(errno));
    int bytes = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (bytes < (int)sizeof(struct kvm_run))
        return error_set(error, "KVM's run area is too small (%d bytes)", bytes);
    vm->run_bytes = (size_t)bytes;
    if (sigaction(KVM_KICK_SIGNAL, &action, NULL) < 0)
        return error_set(error, "cannot set up the signal that interrupts processors: %s", strerror(errno));
    return 0;
}

static void kvm_close(struct engine_vm *vm)
{
    if (vm->fd >= 0)
        close(vm->fd);
    if (vm->kvm >= 0)
        close(vm->kvm);
    pthread_mutex_destroy(&vm->nested.lock);
    free(vm);
}

static int kvm_open(const struct engine_config *config, struct engine_vm **out, struct error *error)
{
    if (kvm_probe(config, error))
        return -1;
    struct engine_vm *vm = calloc(1, sizeof *vm);
    if (!vm)
        return error_set(error, "out of memory for a VM");
    vm->fd = -1;
    kvm_nested_init(&vm->nested);
    vm->kvm = kvm_host_open(config, error);
    if (vm->kvm < 0) {
        kvm_close(vm);
        return -1;
    }
    vm->fd = ioctl(vm->kvm, KVM_CREATE_VM, 0);
    if (vm->fd < 0)
        error_set(error, "KVM does not create a VM: %s: another hypervisor may hold the processor; use --engine soft",
                  strerror(errno));
    if (vm->fd < 0 || kvm_vm_set_up(vm, error)) {
        kvm_close(vm);
        return -1;
    }
    *out = vm;
    return 0;
}

static int kvm_vm_ioctl(struct engine_vm *vm, unsigned long request, void *argument)
{
    int fd = request == KVM_GET_SUPPORTED_CPUID || request == KVM_GET_MSR_INDEX_LIST ? vm->kvm : vm->fd;
    int result = ioctl(fd, request, argument);
    return result < 0 ? -errno : result;
}

static void kvm_vcpu_destroy(struct engine_vcpu *vcpu)
{
    kvm_nested_remove(vcpu);
    if (vcpu->run)
        munmap(vcpu->run, vcpu->run_bytes);
    if (vcpu->fd >= 0)
        close(vcpu->fd);
    free(vcpu);
}

static int kvm_vcpu_create(struct engine_vm *vm, unsigned id, struct engine_vcpu **out, struct error *error)
{
    struct engine_vcpu *vcpu = calloc(1, sizeof *vcpu);
    if (!vcpu)
        return error_set(error, "out of memory for processor %u", id);
    vcpu->vm = vm;
    vcpu->id = id;
    vcpu->run_bytes = vm->run_bytes;
    vcpu->fd = ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)id);
    if (vcpu->fd < 0) {
        error_set(error, "KVM does not create processor %u: %s", id, strerror(errno));
        kvm_vcpu_destroy(vcpu);
        return -1;
    }
    void *run = mmap(NULL, vm->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
    if (run == MAP_FAILED) {
        error_set(error, "KVM's run area of processor %u cannot be mapped: %s", id, strerror(errno));
        kvm_vcpu_destroy(vcpu);
        return -1;
    }
    vcpu->run = run;
    kvm_nested_add(vcpu);
    *out = vcpu;
    return 0;
}

static struct kvm_run *kvm_vcpu_run_area(struct engine_vcpu *vcpu) { return vcpu->run; }

// -EAGAIN is a processor that waited for INIT/SIPI and got it: nothing a caller could do but enter again. Nor need it
// know of an interruption that was not a kick, but a question after the nested state.
static int kvm_vcpu_run(struct engine_vcpu *vcpu)
{
    int result;
    bool again;
    atomic_store(&vcpu->thread, (int)syscall(SYS_gettid));
    do {
        bool asked = atomic_exchange(&vcpu->asked, false);
        if (asked)
            kvm_nested_look(vcpu);
        result = ioctl(vcpu->fd, KVM_RUN, 0);
        bool kicked = __atomic_load_n(&vcpu->run->immediate_exit, __ATOMIC_SEQ_CST);
        again = result < 0 && (errno == EAGAIN || (errno == EINTR && !kicked && atomic_load(&vcpu->asked)));
    } while (again);
    if (result >= 0)
        return 0;
    int cause = errno;
    if (cause == EINTR)
        __atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
    return -cause;
}

static int kvm_vcpu_ioctl(struct engine_vcpu *vcpu, unsigned long request, void *argument)
{
    if (request == KVM_RUN)
        return kvm_vcpu_run(vcpu);
    int result = ioctl(vcpu->fd, request, argument);
    return result < 0 ? -errno : result;
}

void kvm_vcpu_signal(struct engine_vcpu *vcpu)
{
    int thread = atomic_load(&vcpu->thread);
    if (thread && thread != (int)syscall(SYS_gettid))
        syscall(SYS_tgkill, getpid(), thread, KVM_KICK_SIGNAL);
}

static void kvm_vcpu_kick(struct engine_vcpu *vcpu)
{
    __atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    kvm_vcpu_signal(vcpu);
}

const struct engine engine_kvm = {
    .name = "kvm",
    .summary = "the host's own KVM (needs /dev/kvm; nested only where that KVM nests)",
    .probe = kvm_probe,
    .open = kvm_open,
    .close = kvm_close,
    .vm_ioctl = kvm_vm_ioctl,
    .vcpu_create = kvm_vcpu_create,
    .vcpu_destroy = kvm_vcpu_destroy,
    .vcpu_run_area = kvm_vcpu_run_area,
    .vcpu_ioctl = kvm_vcpu_ioctl,
    .vcpu_kick = kvm_vcpu_kick,
    .nested_status = kvm_nested_status,
};
