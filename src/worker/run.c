// See run.h. The main thread sleeps until something ends the VM; it also lends itself to the board's timers, so that no
// processor is late because of them.
#include "worker/run.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/version.h"
#include "engine/select.h"
#include "worker/host.h"
#include "worker/jail.h"
#include "worker/status.h"
#include "worker/vm.h"

static void run_complain(const struct run_options *options, const char *text)
{
    fprintf(stderr, "nidus: %s%s%s\n", options ? options->name : "", options ? ": " : "", text);
}

static int run_block_signals(struct error *error)
{
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGHUP);
    sigaddset(&mask, SIGQUIT);
    sigaddset(&mask, SIGWINCH);
    sigaddset(&mask, SIGUSR2);
    signal(SIGPIPE, SIG_IGN);
    pthread_sigmask(SIG_BLOCK, &mask, NULL);
    int fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        error_set(error, "cannot receive signals: %s", strerror(errno));
    return fd;
}

static void run_signals(struct vm *vm, int signals)
{
    struct signalfd_siginfo info;
    while (read(signals, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGWINCH)
            console_resized(vm->host->console);
        else if (info.ssi_signo == SIGUSR2)
            vm_want_save(vm);
        else
            vm_end(vm, VM_ENDED, 0, "ended by signal %u (%s)", info.ssi_signo, strsignal((int)info.ssi_signo));
    }
}

// Saved, the VM has ended here. What prevents that is told, and it runs on.
static void run_save(struct vm *vm)
{
    const struct run_options *options = vm->options;
    struct error error;
    if (!options->state) {
        run_complain(options, "cannot be saved: no --state FILE was given");
        return;
    }
    if (vm_pause(vm, &error))
        return; // it has ended, and says so itself
    if (!vm_save_file(vm, options->state, &error)) {
        vm_end(vm, VM_SAVED, 0, "%s", "");
        return;
    }
    run_complain(options, error.text);
    if (vm_resume(vm, &error))
        vm_end(vm, VM_ENGINE_FAILURE, 0, "%s", error.text);
}

static void run_woken(struct vm *vm)
{
    u64 count;
    ssize_t ignored = read(vm->wake, &count, sizeof count);
    (void)ignored;
    if (atomic_exchange(&vm->save_wanted, false) && !atomic_load(&vm->over))
        run_save(vm);
}

static void run_wait(struct vm *vm, int signals)
{
    struct pollfd fds[] = {
        {.fd = vm->wake, .events = POLLIN},
        {.fd = board_timer_fd(vm->board), .events = POLLIN},
        {.fd = signals, .events = POLLIN},
    };
    while (!atomic_load(&vm->over)) {
        if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR) {
            vm_end(vm, VM_ENGINE_FAILURE, 0, "cannot wait for the VM: %s", strerror(errno));
            return;
        }
        if (fds[0].revents)
            run_woken(vm);
        if (fds[1].revents)
            board_timers(vm->board);
        if (fds[2].revents)
            run_signals(vm, signals);
    }
}

static int run_status(const struct vm_ending *ending)
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

// One life of the VM, up to its next ending. `restore`: it goes on from that file.
static int run_once(const struct run_options *options, const char *restore, const struct engine *engine,
                    struct host *host, int signals, struct vm_ending *ending, struct error *error)
{
    struct vm *vm = vm_create(options, engine, host, error);
    if (!vm)
        return -1;
    int result = restore ? vm_restore_file(vm, restore, error) : vm_load(vm, error);
    // The terminal becomes the guest's only now that there is one: errors before are for an ordinary one.
    if (!result)
        result = host_start(host, error);
    if (!result)
        result = vm_start(vm, error);
    if (!result)
        result = vm_resume(vm, error);
    if (!result)
        run_wait(vm, signals);
    vm_stop(vm);
    *ending = vm->ending;
    vm_destroy(vm);
    return result;
}

static int run_vm(const struct run_options *options, const struct engine *engine, struct host *host, int signals)
{
    struct vm_ending ending = {.kind = VM_RUNS};
    struct error error;
    const char *restore = options->restore;
    bool reboots = !options->no_reboot && options->kernel; // a VM that was restored may have nothing to boot from
    int result = 0;
    do {
        result = run_once(options, restore, engine, host, signals, &ending, &error);
        restore = NULL;
    } while (!result && ending.kind == VM_RESET && reboots && !host_ended(host));
    if (!result && host_ended(host))
        ending.kind = VM_ENDED;
    host_close(host);
    if (result) {
        run_complain(options, error.text);
        return STATUS_START;
    }
    if (ending.text.text[0])
        run_complain(options, ending.text.text);
    return run_status(&ending);
}

static int run_start(const struct run_options *options, struct error *error)
{
    const struct engine_config config = {.vendor = options->vendor, .nested = options->nested,
                                         .vcpus = options->cpus, .trace = options->trace, .trace_fd = -1};
    const struct engine *engine = engine_select(options->engine, &config, error);
    struct host host;
    if (!engine)
        return -1;
    int signals = run_block_signals(error);
    if (signals < 0 || host_open(&host, options, error))
        return -1;
    if (jail_enter(error)) {
        host_close(&host);
        return -1;
    }
    int status = run_vm(options, engine, &host, signals);
    close(signals);
    return status;
}

int run_main(int argc, char **argv)
{
    struct run_options options;
    struct error error;
    int status = 0;
    if (run_options_parse(&options, argc, argv, &error)) {
        run_complain(NULL, error.text);
        status = STATUS_USAGE;
    } else if (options.help) {
        run_options_help(stdout);
    } else if (options.version) {
        puts("nidus " NIDUS_VERSION);
    } else {
        status = run_start(&options, &error);
        if (status < 0) {
            run_complain(&options, error.text);
            status = STATUS_START;
        }
    }
    run_options_free(&options);
    return status;
}
