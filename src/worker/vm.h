// One VM from power-on to its end: engine, board, devices and processors, and the one place where an ending is noted.
// A reset is an ending too: the VM is taken down and another is built from the same options, so that nothing of the old
// one, nested state least of all, can survive into the new one.
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "engine/engine.h"
#include "machine/board.h"
#include "worker/run_options.h"
#include "worker/vcpu.h"

struct host; // what outlives a reset (host.h)
struct vm_devices;

enum vm_end { VM_RUNS, VM_POWER_OFF, VM_RESET, VM_TRIPLE_FAULT, VM_DEBUG_EXIT, VM_ENGINE_FAILURE, VM_ENDED, VM_SAVED };

struct vm_ending {
    enum vm_end kind;
    unsigned debug_status; // VM_DEBUG_EXIT
    struct error text;     // for those that need words, or empty
};

struct vm {
    const struct run_options *options;
    struct host *host;
    const struct engine *engine;
    struct engine_vm *engine_vm;
    struct board *board;
    struct vm_devices *devices;
    struct vcpu vcpus[ENGINE_MAX_VCPUS];
    unsigned vcpu_count;
    int wake; // eventfd: the VM ended, or wants to be saved
    atomic_bool over;
    atomic_bool save_wanted;
    pthread_mutex_t lock; // ending, meeting
    struct vcpu_meeting meeting;
    atomic_bool pausing; // vCPU threads meet
    u32 unplugged, let_go; // places whose cards have left, and those of which the guest let go; under `lock`
    bool paused;         // whoever calls vm_pause and vm_resume
    struct vm_ending ending;
};

// Builds all parts, as at power-on. NULL with the reason in `error`. Then one of vm_load, for a VM that starts, and
// vm_restore, for one that goes on.
struct vm *vm_create(const struct run_options *options, const struct engine *engine, struct host *host,
                     struct error *error);

// Loads what the VM boots: up to the moment before the first instruction.
int vm_load(struct vm *vm, struct error *error);

// Takes over the state of another VM's vm_save from `fd` (blocking, read to the state's end). The VM must have been
// created with the same parts; the error says which differ. It is paused afterwards, and goes on with vm_start and
// vm_resume, in any order. After -1 it is only good for vm_destroy.
int vm_restore(struct vm *vm, int fd, struct error *error);
int vm_restore_file(struct vm *vm, const char *path, struct error *error);

// The processors begin. They run until vm_stop, or until they meet an ending.
int vm_start(struct vm *vm, struct error *error);
void vm_stop(struct vm *vm);
void vm_destroy(struct vm *vm);

// Pausing. One thread calls these, and it is no vCPU's. A paused VM stands still: no processor is in the engine, no
// device touches memory or the board, guest time (TSC, timers) does not pass, and what comes from outside (input, the
// power button, ballooning) waits. -1 if the VM has ended meanwhile or the engine fails. Pausing what is paused does
// nothing, as does resuming what runs. A VM that is paused may be stopped.
int vm_pause(struct vm *vm, struct error *error);
int vm_resume(struct vm *vm, struct error *error);

// Writes all of a paused VM's state. vm_save_file makes a file of it, which is complete or, whatever happens to the
// process meanwhile, not there: what was at `path` stays until then. The VM is as it was and may be resumed, also after
// -1.
int vm_save(struct vm *vm, int fd, struct error *error);
int vm_save_file(struct vm *vm, const char *path, struct error *error);

// Any thread. How much memory the VM has from now on, and after a reset: see memory_control.h.
struct memory_policy;
int vm_set_memory(struct vm *vm, const struct memory_policy *policy, struct error *error);

// Any thread. Asks the guest to end in good order: by its agent where one answers, otherwise, or when that has no
// effect, by the power button. Says which was tried first.
enum vm_shutdown { VM_SHUTDOWN_AGENT, VM_SHUTDOWN_POWER_BUTTON };
enum vm_shutdown vm_shutdown(struct vm *vm);

// Network adapters, while it runs or is paused; on the thread that lives the VM. What `place` of the options says is
// plugged; or the card there is taken out: the guest is asked for it, and it is pulled when the guest does not let go
// or cannot, because it is paused or `ask` is false. When it has left, vm_collect frees it and says so (host.h); call it
// when `wake` is readable.
int vm_plug(struct vm *vm, unsigned place, struct error *error);
void vm_unplug(struct vm *vm, unsigned place, bool ask);
void vm_collect(struct vm *vm);

// Any thread: whoever waits for `wake` finds save_wanted.
void vm_want_save(struct vm *vm);

// Any thread, whatever locks of the board it holds: the first ending counts, but one from outside comes before a reset.
__attribute__((format(printf, 4, 5))) void vm_end(struct vm *vm, enum vm_end kind, unsigned debug_status,
                                                  const char *format, ...);
