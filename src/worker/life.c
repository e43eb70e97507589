// See life.h.
#include "worker/life.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "worker/status.h"

static void life_woken(const struct life *life, struct vm *vm)
{
    u64 count;
    ssize_t ignored = read(vm->wake, &count, sizeof count);
    (void)ignored;
    vm_collect(vm);
    if (atomic_exchange(&vm->save_wanted, false) && !atomic_load(&vm->over))
        life->save(life->context, vm);
}

static void life_wait(const struct life *life, struct vm *vm)
{
    struct pollfd fds[] = {
        {.fd = vm->wake, .events = POLLIN},
        {.fd = board_timer_fd(vm->board), .events = POLLIN},
        {.fd = life->fds[0], .events = POLLIN},
        {.fd = life->fds[1], .events = POLLIN},
    };
    while (!atomic_load(&vm->over)) {
        if (poll(fds, ARRAY_SIZE(fds), -1) < 0) {
            if (errno == EINTR)
                continue;
            vm_end(vm, VM_ENGINE_FAILURE, 0, "cannot wait for the VM: %s", strerror(errno));
            return;
        }
        if (fds[0].revents)
            life_woken(life, vm);
        if (fds[1].revents)
            board_timers(vm->board);
        if (fds[2].revents || fds[3].revents)
            life->ready(life->context, vm);
    }
}

static int life_restore(struct vm *vm, struct host *host, struct error *error)
{
    int result = vm_restore(vm, host->restore, error);
    close(host->restore);
    host->restore = -1; // it resets as any other
    return result ? error_prefix(error, "state file '%s'", host->options->restore) : 0;
}

// Up to the next ending.
static int life_round(const struct life *life, struct vm_ending *ending, struct error *error)
{
    struct host *host = life->host;
    struct vm *vm = vm_create(life->options, life->engine, host, error);
    if (!vm)
        return -1;
    int result = host->restore >= 0 ? life_restore(vm, host, error) : vm_load(vm, error);
    // The terminal becomes the guest's only now that there is one: errors before are for an ordinary one.
    if (!result)
        result = host_start(host, error);
    if (!result)
        result = vm_start(vm, error);
    if (!result)
        result = vm_resume(vm, error);
    if (!result) {
        if (life->begins)
            life->begins(life->context, vm);
        life_wait(life, vm);
        if (life->ends)
            life->ends(life->context, vm);
    }
    vm_stop(vm);
    *ending = vm->ending;
    vm_destroy(vm);
    return result;
}

int life_run(const struct life *life, struct vm_ending *ending, struct error *error)
{
    bool reboots = life->reboots && life->host->images; // a VM that was restored may have nothing to boot from
    int result;
    *ending = (struct vm_ending){.kind = VM_RUNS};
    do
        result = life_round(life, ending, error);
    while (!result && ending->kind == VM_RESET && reboots && !host_ended(life->host));
    if (!result && host_ended(life->host))
        ending->kind = VM_ENDED;
    return result;
}

int life_status(const struct vm_ending *ending)
{
    switch (ending->kind) {
    case VM_POWER_OFF:
        return STATUS_POWER_OFF;
    case VM_RESET:
        return STATUS_RESET;
    case VM_TRIPLE_FAULT:
        return STATUS_TRIPLE_FAULT;
    case VM_DEBUG_EXIT:
        return (int)((ending->debug_status | 1) & 0xff);
    case VM_ENDED:
        return STATUS_ENDED;
    case VM_SAVED:
        return STATUS_SAVED;
    default:
        return STATUS_ENGINE;
    }
}
