// See run.h.
#include "worker/run.h"

#include <errno.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/version.h"
#include "engine/select.h"
#include "jail/jail.h"
#include "worker/life.h"
#include "worker/status.h"

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

static void run_signals(void *context, struct vm *vm)
{
    const int *signals = context;
    struct signalfd_siginfo info;
    while (read(*signals, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGWINCH)
            console_resized(vm->host->console);
        else if (info.ssi_signo == SIGUSR2)
            vm_want_save(vm);
        else
            vm_end(vm, VM_ENDED, 0, "ended by signal %u (%s)", info.ssi_signo, strsignal((int)info.ssi_signo));
    }
}

// Saved, the VM has ended here. What prevents that is told, and it runs on.
static void run_save(void *context, struct vm *vm)
{
    (void)context;
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

static int run_vm(const struct run_options *options, const struct engine *engine, struct host *host, int signals)
{
    const struct life life = {
        .options = options, .engine = engine, .host = host, .reboots = !options->no_reboot,
        .context = &signals, .fds = {signals, -1}, .ready = run_signals, .save = run_save,
    };
    struct vm_ending ending;
    struct error error;
    int result = life_run(&life, &ending, &error);
    host_close(host);
    if (result) {
        run_complain(options, error.text);
        return STATUS_START;
    }
    if (ending.text.text[0])
        run_complain(options, ending.text.text);
    return life_status(&ending);
}

static int run_jail(const struct run_options *options, const struct engine *engine, struct host *host,
                    struct error *error)
{
    struct jail_config config;
    struct jail_report report;
    char *directory = options->state ? strdup(options->state) : NULL;
    host_jail(host, engine, directory ? dirname(directory) : NULL, &config);
    int result = jail_enter(&config, &report, error);
    free(directory);
    if (!result && report.lacking[0])
        fprintf(stderr, "nidus: %s: the host does not let it be jailed wholly: %s\n", options->name, report.lacking);
    return result;
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
    if (run_jail(options, engine, &host, error)) {
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
