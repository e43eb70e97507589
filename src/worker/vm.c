// See vm.h.
#include "worker/vm.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "machine/vcpu_clock.h"
#include "virtio/virtio_mem.h"
#include "worker/host.h"
#include "worker/vm_boot.h"
#include "worker/vm_devices.h"

static void vm_wake(struct vm *vm)
{
    u64 one = 1;
    ssize_t result = write(vm->wake, &one, sizeof one); // fails only if the main thread is about to wake
    (void)result;
}

void vm_end(struct vm *vm, enum vm_end kind, unsigned debug_status, const char *format, ...)
{
    pthread_mutex_lock(&vm->lock);
    // Whoever ends a VM from outside means the next life of a guest that just reset, too.
    if (vm->ending.kind == VM_RUNS || (vm->ending.kind == VM_RESET && kind == VM_ENDED)) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(vm->ending.text.text, sizeof vm->ending.text.text, format, arguments);
        va_end(arguments);
        vm->ending.kind = kind;
        vm->ending.debug_status = debug_status;
    }
    atomic_store(&vm->over, true);
    pthread_cond_broadcast(&vm->meeting.changed);
    pthread_mutex_unlock(&vm->lock);
    vm_wake(vm);
}

void vm_want_save(struct vm *vm)
{
    atomic_store(&vm->save_wanted, true);
    vm_wake(vm);
}

static void vm_on_shutdown(void *context) { vm_end(context, VM_POWER_OFF, 0, "%s", ""); }

static void vm_on_reset(void *context) { vm_end(context, VM_RESET, 0, "%s", ""); }

static void vm_on_debug_exit(void *context, unsigned status) { vm_end(context, VM_DEBUG_EXIT, status, "%s", ""); }

static void vm_on_unplugged(void *context, unsigned place, bool let_go)
{
    struct vm *vm = context;
    pthread_mutex_lock(&vm->lock);
    vm->unplugged |= (u32)1 << place;
    vm->let_go = let_go ? vm->let_go | (u32)1 << place : vm->let_go & ~((u32)1 << place);
    pthread_mutex_unlock(&vm->lock);
    vm_wake(vm);
}

static void vm_on_extint(void *context)
{
    struct vm *vm = context;
    if (vm->vcpu_count)
        vcpu_kick(&vm->vcpus[0]);
}

// The maximum, rounded up to what can be plugged.
static u64 vm_memory_most(const struct run_options *options)
{
    u64 more = options->memory_maximum > options->memory_bytes ? options->memory_maximum - options->memory_bytes : 0;
    return options->memory_bytes + align_up(more, virtio_mem_block(more));
}

static int vm_create_board(struct vm *vm, struct error *error)
{
    const struct board_config config = {
        .engine = vm->engine,
        .vm = vm->engine_vm,
        .memory_bytes = vm->options->memory_bytes,
        .memory_most = vm_memory_most(vm->options),
        .cpus = vm->options->cpus,
        .debug = vm->options->debug_exit,
        .console = host_serial(vm->host),
        .events = {.context = vm, .shutdown = vm_on_shutdown, .reset = vm_on_reset, .debug_exit = vm_on_debug_exit,
                   .unplugged = vm_on_unplugged, .extint = vm_on_extint},
    };
    vm->board = board_create(&config, error);
    if (!vm->board)
        return -1;
    vm->devices = vm_devices_create(vm->options, vm->host, vm->board, error);
    return vm->devices ? 0 : -1;
}

static bool vm_hypervisor_runs(void *context)
{
    const struct vm *vm = context;
    struct engine_nested_status nested = {0};
    if (vm->engine->nested_status)
        vm->engine->nested_status(vm->engine_vm, &nested);
    return nested.on;
}

static int vm_create_parts(struct vm *vm, struct error *error)
{
    const struct engine_config config = {
        .vendor = vm->options->vendor,
        .nested = vm->options->nested,
        .vcpus = vm->options->cpus,
        .trace = vm->options->trace,
        .trace_fd = -1,
        .device = vm->host->device,
    };
    vm->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (vm->wake < 0)
        return error_set(error, "no event descriptor for the VM: too many files are open");
    if (vm->engine->open(&config, &vm->engine_vm, error) || vm_create_board(vm, error))
        return -1;
    for (unsigned i = 0; i < vm->options->cpus; i++) {
        if (vcpu_create(&vm->vcpus[i], vm, i, error))
            return -1;
        vm->vcpu_count++;
    }
    memory_control_hold(vm_devices_memory(vm->devices), vm_hypervisor_runs, vm);
    return board_finish(vm->board, error);
}

int vm_load(struct vm *vm, struct error *error)
{
    return vm_boot(vm->host->images, vm->options, vm->board, vm->engine, vm->vcpus[0].handle, error);
}

struct vm *vm_create(const struct run_options *options, const struct engine *engine, struct host *host,
                     struct error *error)
{
    struct vm *vm = calloc(1, sizeof *vm);
    if (!vm) {
        error_set(error, "out of memory");
        return NULL;
    }
    vm->options = options;
    vm->engine = engine;
    vm->host = host;
    vm->wake = -1;
    pthread_mutex_init(&vm->lock, NULL);
    pthread_cond_init(&vm->meeting.changed, NULL);
    if (!vm_create_parts(vm, error))
        return vm;
    vm_destroy(vm);
    return NULL;
}

int vm_start(struct vm *vm, struct error *error)
{
    if (vm_devices_start(vm->devices, error) ||
        memory_control_set(vm_devices_memory(vm->devices), &vm->host->memory, error))
        return -1;
    host_connect(vm->host, vm);
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        if (vcpu_start(&vm->vcpus[i], error))
            return -1;
    return 0;
}

// Every processor thread waits in vcpu_park; false if the VM ended instead.
static bool vm_park_processors(struct vm *vm)
{
    atomic_store(&vm->pausing, true);
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        vcpu_kick(&vm->vcpus[i]);
    pthread_mutex_lock(&vm->lock);
    while (!atomic_load(&vm->over) && vm->meeting.settled < vm->meeting.threads)
        pthread_cond_wait(&vm->meeting.changed, &vm->lock);
    bool ended = atomic_load(&vm->over);
    pthread_mutex_unlock(&vm->lock);
    return !ended;
}

static void vm_release(struct vm *vm)
{
    vm_devices_resume(vm->devices);
    pthread_mutex_lock(&vm->lock);
    atomic_store(&vm->pausing, false);
    pthread_cond_broadcast(&vm->meeting.changed);
    pthread_mutex_unlock(&vm->lock);
}

static int vm_stop_clocks(struct vm *vm, struct error *error)
{
    u64 host_tsc = vcpu_clock_host_tsc();
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        struct vcpu *vcpu = &vm->vcpus[i];
        int result = vcpu_clock_stop(&vcpu->clock, vm->engine, vcpu->handle, host_tsc);
        if (result < 0)
            return error_set(error, "cannot pause '%s': the %s engine does not say what time it is on processor %u: %s",
                             vm->options->name, vm->engine->name, i, strerror(-result));
    }
    return 0;
}

static int vm_start_clocks(struct vm *vm, struct error *error)
{
    u64 host_tsc = vcpu_clock_host_tsc();
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        struct vcpu *vcpu = &vm->vcpus[i];
        int result = vcpu_clock_start(&vcpu->clock, vm->engine, vcpu->handle, host_tsc);
        if (result < 0)
            return error_set(error, "cannot resume '%s': the %s engine refuses the time of processor %u: %s",
                             vm->options->name, vm->engine->name, i, strerror(-result));
    }
    return 0;
}

// Devices first: whoever could send a processor something is quiet before the processors' state is looked at.
int vm_pause(struct vm *vm, struct error *error)
{
    if (vm->paused)
        return 0;
    vm_devices_pause(vm->devices);
    if (!vm_park_processors(vm)) {
        vm_release(vm);
        return error_set(error, "cannot pause '%s': it has just ended", vm->options->name);
    }
    board_pause(vm->board);
    if (vm_stop_clocks(vm, error)) {
        board_resume(vm->board);
        vm_release(vm);
        return -1;
    }
    vm->paused = true;
    return 0;
}

int vm_resume(struct vm *vm, struct error *error)
{
    if (!vm->paused)
        return 0;
    if (vm_start_clocks(vm, error))
        return -1;
    board_resume(vm->board);
    vm->paused = false;
    vm_release(vm);
    if (vm->host->agent)
        agent_set_time(vm->host->agent); // its clock stood still, too
    return 0;
}

int vm_set_memory(struct vm *vm, const struct memory_policy *policy, struct error *error)
{
    if (memory_control_set(vm_devices_memory(vm->devices), policy, error))
        return error_prefix(error, "'%s'", vm->options->name);
    pthread_mutex_lock(&vm->host->lock);
    vm->host->memory = *policy;
    pthread_mutex_unlock(&vm->host->lock);
    return 0;
}

int vm_plug(struct vm *vm, unsigned place, struct error *error)
{
    return vm_devices_plug(vm->devices, place, vm->host, vm->board, vm->paused, error);
}

void vm_unplug(struct vm *vm, unsigned place, bool ask) { board_unplug(vm->board, place, ask && !vm->paused); }

void vm_collect(struct vm *vm)
{
    pthread_mutex_lock(&vm->lock);
    u32 left = vm->unplugged, let_go = vm->let_go;
    vm->unplugged = 0;
    pthread_mutex_unlock(&vm->lock);
    for (unsigned place = 0; place < RUN_ADAPTERS; place++) {
        if (!(left >> place & 1))
            continue;
        vm_devices_unplugged(vm->devices, place);
        if (vm->host->adapter_left)
            vm->host->adapter_left(vm->host->adapter_context, place, let_go >> place & 1);
    }
}

enum vm_shutdown vm_shutdown(struct vm *vm)
{
    if (vm->host->agent && agent_shutdown(vm->host->agent, AGENT_POWER_DOWN))
        return VM_SHUTDOWN_AGENT;
    board_power_button(vm->board);
    return VM_SHUTDOWN_POWER_BUTTON;
}

void vm_stop(struct vm *vm)
{
    pthread_mutex_lock(&vm->lock);
    atomic_store(&vm->over, true);
    pthread_cond_broadcast(&vm->meeting.changed);
    pthread_mutex_unlock(&vm->lock);
    host_connect(vm->host, NULL);
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        vcpu_kick(&vm->vcpus[i]);
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        vcpu_join(&vm->vcpus[i]);
    vm_devices_stop(vm->devices);
}

void vm_destroy(struct vm *vm)
{
    if (vm->devices)
        vm_devices_stop(vm->devices);
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        vcpu_destroy(&vm->vcpus[i]);
    vm->vcpu_count = 0;
    if (vm->board)
        board_destroy(vm->board);
    if (vm->devices)
        vm_devices_destroy(vm->devices);
    if (vm->engine_vm)
        vm->engine->close(vm->engine_vm);
    if (vm->wake >= 0)
        close(vm->wake);
    pthread_cond_destroy(&vm->meeting.changed);
    pthread_mutex_destroy(&vm->lock);
    free(vm);
}
