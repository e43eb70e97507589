// See vcpu.h.
#include "worker/vcpu.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "machine/cpuid.h"
#include "machine/firmware.h"
#include "worker/vcpu_trace.h"
#include "worker/vm.h"

static int vcpu_set_waiting(struct vcpu *vcpu, struct error *error)
{
    struct kvm_mp_state state = {.mp_state = vcpu->id ? KVM_MP_STATE_UNINITIALIZED : KVM_MP_STATE_RUNNABLE};
    int result = vcpu->vm->engine->vcpu_ioctl(vcpu->handle, KVM_SET_MP_STATE, &state);
    return result < 0 ? error_set(error, "processor %u: the %s engine refuses its start state: %s", vcpu->id,
                                  vcpu->vm->engine->name, strerror(-result))
                      : 0;
}

int vcpu_create(struct vcpu *vcpu, struct vm *vm, unsigned id, struct error *error)
{
    const struct cpuid_config cpuid = {.cpus = vm->options->cpus, .nested = vm->options->nested};
    *vcpu = (struct vcpu){.vm = vm, .id = id};
    if (vm->engine->vcpu_create(vm->engine_vm, id, &vcpu->handle, error))
        return -1;
    vcpu->run = vm->engine->vcpu_run_area(vcpu->handle);
    if (!cpuid_set(vm->engine, vm->engine_vm, vcpu->handle, &cpuid, id, error) &&
        !firmware_processor(vm->engine, vcpu->handle, id, error) && !vcpu_set_waiting(vcpu, error))
        return 0;
    vcpu_destroy(vcpu);
    return -1;
}

void vcpu_destroy(struct vcpu *vcpu)
{
    if (vcpu->handle)
        vcpu->vm->engine->vcpu_destroy(vcpu->handle);
    vcpu->handle = NULL;
}

// Where it happened, for people who look for the reason.
static void vcpu_describe(struct vcpu *vcpu, char *text, size_t bytes)
{
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    if (vcpu->vm->engine->vcpu_ioctl(vcpu->handle, KVM_GET_REGS, &regs) < 0 ||
        vcpu->vm->engine->vcpu_ioctl(vcpu->handle, KVM_GET_SREGS, &sregs) < 0) {
        snprintf(text, bytes, "(registers unknown)");
        return;
    }
    snprintf(text, bytes, "at %x:%" PRIx64 " (cr0 %" PRIx64 " cr2 %" PRIx64 " cr3 %" PRIx64 " cr4 %" PRIx64
                          " efer %" PRIx64 " rsp %" PRIx64 " rflags %" PRIx64 ")",
             sregs.cs.selector, (u64)regs.rip, (u64)sregs.cr0, (u64)sregs.cr2, (u64)sregs.cr3, (u64)sregs.cr4,
             (u64)sregs.efer, (u64)regs.rsp, (u64)regs.rflags);
}

static void vcpu_internal_error(struct vcpu *vcpu)
{
    static const char *const causes[] = {
        [KVM_INTERNAL_ERROR_EMULATION] = "an instruction it cannot emulate",
        [KVM_INTERNAL_ERROR_SIMUL_EX] = "an exception while delivering another",
        [KVM_INTERNAL_ERROR_DELIVERY_EV] = "an exit while delivering an event",
        [KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON] = "an exit it does not expect",
    };
    const struct kvm_run *run = vcpu->run;
    u32 cause = run->internal.suberror;
    char place[256], bytes[64] = "";
    vcpu_describe(vcpu, place, sizeof place);
    if (cause == KVM_INTERNAL_ERROR_EMULATION && run->emulation_failure.ndata >= 3 &&
        run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) {
        unsigned size = run->emulation_failure.insn_size;
        size_t used = (size_t)snprintf(bytes, sizeof bytes, ", bytes");
        for (unsigned i = 0; i < size && i < sizeof run->emulation_failure.insn_bytes; i++)
            used += (size_t)snprintf(bytes + used, sizeof bytes - used, " %02x", run->emulation_failure.insn_bytes[i]);
    }
    vm_end(vcpu->vm, VM_ENGINE_FAILURE, 0, "the %s engine met %s (internal error %u) on processor %u %s%s: try %s",
           vcpu->vm->engine->name, cause < ARRAY_SIZE(causes) && causes[cause] ? causes[cause] : "an unknown condition",
           cause, vcpu->id, place, bytes, "another engine with --engine");
}

static void vcpu_system_event(struct vcpu *vcpu)
{
    switch (vcpu->run->system_event.type) {
    case KVM_SYSTEM_EVENT_SHUTDOWN:
        vm_end(vcpu->vm, VM_POWER_OFF, 0, "%s", "");
        break;
    case KVM_SYSTEM_EVENT_RESET:
        vm_end(vcpu->vm, VM_RESET, 0, "%s", "");
        break;
    default:
        vm_end(vcpu->vm, VM_ENGINE_FAILURE, 0, "the %s engine reports system event %u on processor %u",
               vcpu->vm->engine->name, vcpu->run->system_event.type, vcpu->id);
        break;
    }
}

static void vcpu_exit(struct vcpu *vcpu)
{
    struct vm *vm = vcpu->vm;
    struct kvm_run *run = vcpu->run;
    char place[256];
    switch (run->exit_reason) {
    case KVM_EXIT_IO:
    case KVM_EXIT_MMIO:
    case KVM_EXIT_IOAPIC_EOI:
        board_exit(vm->board, run);
        break;
    case KVM_EXIT_IRQ_WINDOW_OPEN:
    case KVM_EXIT_INTR:
        break;
    case KVM_EXIT_SHUTDOWN:
        vcpu_describe(vcpu, place, sizeof place);
        vm_end(vm, VM_TRIPLE_FAULT, 0, "processor %u ended in a triple fault %s", vcpu->id, place);
        break;
    case KVM_EXIT_SYSTEM_EVENT:
        vcpu_system_event(vcpu);
        break;
    case KVM_EXIT_INTERNAL_ERROR:
        vcpu_internal_error(vcpu);
        break;
    case KVM_EXIT_FAIL_ENTRY:
        vcpu_describe(vcpu, place, sizeof place);
        vm_end(vm, VM_ENGINE_FAILURE, 0, "the processor refuses to enter the VM (hardware reason %#llx) %s: %s",
               run->fail_entry.hardware_entry_failure_reason, place,
               "is another hypervisor loaded, or the host's firmware broken? --engine soft does without it");
        break;
    default:
        vcpu_describe(vcpu, place, sizeof place);
        vm_end(vm, VM_ENGINE_FAILURE, 0, "the %s engine left processor %u for a reason nidus does not know (%u) %s",
               vm->engine->name, vcpu->id, run->exit_reason, place);
        break;
    }
}

static int vcpu_enter(struct vcpu *vcpu)
{
    struct vm *vm = vcpu->vm;
    // The PIC's interrupts go to the first processor only, as on a PC.
    int result = vcpu->id == 0 ? board_before_run(vm->board, vcpu->handle, vcpu->run) : 0;
    return result < 0 ? result : vm->engine->vcpu_ioctl(vcpu->handle, KVM_RUN, NULL);
}

static void vcpu_left(struct vcpu *vcpu, int result)
{
    struct vm *vm = vcpu->vm;
    if (result < 0) {
        char place[256];
        vcpu_describe(vcpu, place, sizeof place);
        vm_end(vm, VM_ENGINE_FAILURE, 0, "the %s engine cannot run processor %u: %s %s", vm->engine->name, vcpu->id,
               strerror(-result), place);
        return;
    }
    vcpu_exit(vcpu);
    if (vm->options->trace & ENGINE_TRACE_EXITS)
        vcpu_trace_exit(vcpu);
}

// KVM_RUN completes the exit it returned with before it looks at immediate_exit; that may make another exit.
static void vcpu_settle(struct vcpu *vcpu)
{
    int result = 0;
    while (result != -EINTR && !atomic_load(&vcpu->vm->over)) {
        __atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
        result = vcpu->vm->engine->vcpu_ioctl(vcpu->handle, KVM_RUN, NULL);
        if (result != -EINTR)
            vcpu_left(vcpu, result);
    }
    __atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
}

static bool vcpu_waits(const struct vm *vm) { return atomic_load(&vm->pausing) && !atomic_load(&vm->over); }

static void vcpu_park(struct vcpu *vcpu)
{
    struct vm *vm = vcpu->vm;
    struct vcpu_meeting *meeting = &vm->meeting;
    vcpu_settle(vcpu);
    pthread_mutex_lock(&vm->lock);
    meeting->arrived++;
    pthread_cond_broadcast(&meeting->changed);
    while (vcpu_waits(vm) && meeting->arrived < meeting->threads)
        pthread_cond_wait(&meeting->changed, &vm->lock);
    pthread_mutex_unlock(&vm->lock);
    vcpu_settle(vcpu);
    pthread_mutex_lock(&vm->lock);
    meeting->settled++;
    pthread_cond_broadcast(&meeting->changed);
    while (vcpu_waits(vm))
        pthread_cond_wait(&meeting->changed, &vm->lock);
    meeting->arrived--;
    meeting->settled--;
    pthread_mutex_unlock(&vm->lock);
}

// 0: the thread of that clock has ended.
static u64 vcpu_clock_ns(clockid_t clock)
{
    struct timespec time;
    return clock_gettime(clock, &time) ? 0 : (u64)time.tv_sec * 1000000000 + (u64)time.tv_nsec;
}

static void *vcpu_main(void *argument)
{
    struct vcpu *vcpu = argument;
    struct vm *vm = vcpu->vm;
    char name[16];
    snprintf(name, sizeof name, "vcpu%u", vcpu->id);
    pthread_setname_np(pthread_self(), name);
    while (!atomic_load(&vm->over)) {
        if (UNLIKELY(atomic_load(&vm->pausing))) {
            vcpu_park(vcpu);
            continue;
        }
        int result = vcpu_enter(vcpu);
        if (result != -EINTR)
            vcpu_left(vcpu, result);
    }
    __atomic_store_n(&vcpu->cpu_ns, vcpu_clock_ns(CLOCK_THREAD_CPUTIME_ID), __ATOMIC_RELEASE);
    return NULL;
}

u64 vcpu_cpu_ns(const struct vcpu *vcpu)
{
    clockid_t clock;
    u64 now = vcpu->started && !pthread_getcpuclockid(vcpu->thread, &clock) ? vcpu_clock_ns(clock) : 0;
    return now ? now : __atomic_load_n(&vcpu->cpu_ns, __ATOMIC_ACQUIRE);
}

int vcpu_start(struct vcpu *vcpu, struct error *error)
{
    // Signals that end the VM belong to the main thread; the rest are the engine's.
    sigset_t mask, before;
    sigemptyset(&mask);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGHUP);
    sigaddset(&mask, SIGQUIT);
    sigaddset(&mask, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &mask, &before);
    int result = pthread_create(&vcpu->thread, NULL, vcpu_main, vcpu);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    vcpu->started = result == 0;
    if (vcpu->started) {
        pthread_mutex_lock(&vcpu->vm->lock);
        vcpu->vm->meeting.threads++;
        pthread_mutex_unlock(&vcpu->vm->lock);
    }
    return result ? error_set(error, "processor %u: no thread for it: %s", vcpu->id, strerror(result)) : 0;
}

void vcpu_kick(struct vcpu *vcpu) { vcpu->vm->engine->vcpu_kick(vcpu->handle); }

void vcpu_join(struct vcpu *vcpu)
{
    if (vcpu->started)
        pthread_join(vcpu->thread, NULL);
    vcpu->started = false;
}
