// See worker.h. From the descriptors it was given to the line that says how it ended. What can fail for reasons of the
// host (files, locks, the engine) is done first and in the open; then the process is jailed, and only then has it
// threads and a guest.
#include "worker/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/select.h"
#include "host/unix_socket.h"
#include "jail/jail.h"
#include "worker/life.h"
#include "worker/status.h"
#include "worker/worker_parts.h"

static_assert(CONTROL_CPUS == (int)ENGINE_MAX_VCPUS, "the configuration allows what the engines can");

// --- What it is given ---

static int worker_take_descriptors(struct error *error)
{
    static const int descriptors[] = {CONTROL_FD_CONFIG, CONTROL_FD_LOCK, CONTROL_FD_SERVICE};
    for (size_t i = 0; i < ARRAY_SIZE(descriptors); i++)
        if (fcntl(descriptors[i], F_SETFD, FD_CLOEXEC) < 0)
            return error_set(error, "descriptor %d: %s: a worker is started by the service, not by hand",
                             descriptors[i], strerror(errno));
    return 0;
}

static int worker_read_config(struct worker *worker, struct error *error)
{
    char *text = malloc(CONTROL_CONFIG_BYTES + 1);
    size_t bytes = 0;
    ssize_t got = 0;
    if (!text)
        return error_set(error, "out of memory");
    while (bytes <= CONTROL_CONFIG_BYTES &&
           (got = pread(CONTROL_FD_CONFIG, text + bytes, CONTROL_CONFIG_BYTES + 1 - bytes, (off_t)bytes)) > 0)
        bytes += (size_t)got;
    int result = got < 0 ? error_set(error, "configuration: %s", strerror(errno))
                         : control_config_read(&worker->config, text, bytes, error);
    free(text);
    close(CONTROL_FD_CONFIG);
    return result;
}

// The lock's description is the service's as well, which has locked it: that it can be locked shows that nobody else
// has.
static int worker_lock(const struct worker *worker, struct error *error)
{
    if (flock(CONTROL_FD_LOCK, LOCK_EX | LOCK_NB) == 0)
        return 0;
    return error_set(error, "'%s' is locked by another worker", worker->config.directory);
}

// --- The configuration in the words of vm.h ---

static int worker_disks(struct worker *worker, struct error *error)
{
    struct run_options *options = &worker->options;
    if (worker->config.disk_count > RUN_DISKS)
        return error_set(error, "'%s' has %u disks: %d at most", worker->config.name, worker->config.disk_count,
                         RUN_DISKS);
    for (unsigned i = 0; i < worker->config.disk_count; i++) {
        const struct control_disk *disk = &worker->config.disks[i];
        options->disks[options->disk_count++] =
            (struct run_disk){.path = disk->path, .readonly = disk->readonly || disk->dvd, .format = disk->format};
    }
    return 0;
}

static int worker_adapters(struct worker *worker, struct error *error)
{
    for (unsigned i = 0; i < worker->config.adapter_count; i++)
        if (worker_adapter(&worker->options, &worker->config.adapters[i], error))
            return -1;
    return 0;
}
static_assert(CONTROL_ADAPTERS == (int)RUN_ADAPTERS, "all are taken");

// What the VM can be given while it runs: its maximum, also while its memory is fixed. The maximum of VMs for which nobody
// has said one is 1 TiB, and what can be added is as finely divided as it is small, so there is a bound.
static u64 worker_memory_most(const struct control_config *config)
{
    u64 bound = config->memory_startup > GIB(1) ? config->memory_startup * 16 : GIB(16);
    u64 most = config->memory_maximum < bound ? config->memory_maximum : bound;
    most = align_down(most < MEMORY_MOST ? most : MEMORY_MOST, PAGE_BYTES);
    return most > config->memory_startup ? most : config->memory_startup;
}

static int worker_options(struct worker *worker, struct error *error)
{
    static const enum engine_vendor vendors[] = {['h'] = ENGINE_VENDOR_HOST, ['i'] = ENGINE_VENDOR_INTEL,
                                                 ['a'] = ENGINE_VENDOR_AMD};
    const struct control_config *config = &worker->config;
    if (config->memory_startup < MEMORY_LEAST || config->memory_startup > MEMORY_MOST)
        return error_set(error, "'%s' has %llu MiB of memory: from %llu to %llu are possible", config->name,
                         (unsigned long long)config->memory_startup >> 20, (unsigned long long)MEMORY_LEAST >> 20,
                         (unsigned long long)MEMORY_MOST >> 20);
    if (config->com_ports[1])
        return error_set(error, "'%s': there is no second serial port: clear the path of COM2", config->name);
    snprintf(worker->console, sizeof worker->console, "%s/console", config->directory);
    worker->options = (struct run_options){
        .cpus = config->cpus,
        .memory_bytes = config->memory_startup,
        .memory_minimum = config->memory_dynamic ? config->memory_minimum : config->memory_startup,
        .memory_maximum = worker_memory_most(config),
        .memory_buffer = config->memory_buffer,
        .engine = config->engine,
        .nested = config->nested,
        .vendor = vendors[(unsigned char)config->vendor[0]],
        .kernel = config->kernel,
        .initrd = config->initrd,
        .append = config->append ? config->append : "",
        .console = RUN_CONSOLE_SOCKET,
        .console_path = worker->console,
        .console_path_too = config->com_ports[0], // the console is the first serial port
        .console_log = config->console_log,
        .name = config->name,
        .restore = config->restore,
        .user = config->user,
        .debug_exit = config->debug_exit,
    };
    return worker_disks(worker, error) || worker_adapters(worker, error) ? -1 : 0;
}

// --- What it opens ---

static int worker_open_directory(struct worker *worker, struct error *error)
{
    char path[CONTROL_PATH + 16];
    snprintf(path, sizeof path, "%s/ended", worker->config.directory);
    worker->ended = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (worker->ended < 0)
        return error_set(error, "'%s': %s", path, strerror(errno));
    snprintf(path, sizeof path, "%s/control", worker->config.directory);
    worker->listener = unix_socket_listen(path, "control channel", error);
    return worker->listener < 0 ? -1 : 0;
}

static int worker_open_events(struct worker *worker, struct error *error)
{
    static const int ending[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    sigset_t mask;
    sigemptyset(&mask);
    for (size_t i = 0; i < ARRAY_SIZE(ending); i++)
        sigaddset(&mask, ending[i]);
    signal(SIGPIPE, SIG_IGN);
    pthread_sigmask(SIG_BLOCK, &mask, NULL);
    worker->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    worker->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return worker->signals < 0 || worker->wake < 0 ? error_set(error, "no event descriptor: %s", strerror(errno)) : 0;
}

static int worker_open(struct worker *worker, struct error *error)
{
    const struct run_options *options = &worker->options;
    const struct engine_config engine = {.vendor = options->vendor, .nested = options->nested,
                                         .vcpus = options->cpus, .trace_fd = -1};
    worker->engine = engine_select(options->engine, &engine, error);
    if (!worker->engine || worker_open_events(worker, error))
        return -1;
    if (host_open(&worker->host, options, error))
        return -1;
    if (worker->engine == &engine_kvm && (worker->host.device = open("/dev/kvm", O_RDWR | O_CLOEXEC)) < 0)
        return error_set(error, "/dev/kvm: %s", strerror(errno));
    if (!worker->config.memory_dynamic)
        worker->host.memory.minimum = worker->host.memory.maximum = options->memory_bytes;
    worker->host.agent_changed = worker_tell_heartbeat;
    worker->host.agent_context = worker;
    worker->host.adapter_left = worker_adapter_left;
    worker->host.adapter_context = worker;
    return 0;
}

static int worker_jail(struct worker *worker, struct error *error)
{
    const char *directory = worker->config.state_directory;
    struct jail_config config;
    struct jail_report report;
    host_jail(&worker->host, worker->engine, directory ? directory : "", &config);
    config.user = worker->config.user;
    // A user of its own cannot get there by name where the way leads through folders of the service. In a root of our
    // own the name is enough, and a descriptor from outside would be a way out.
    int folder = directory && config.user ? open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (jail_enter(&config, &report, error)) {
        if (folder >= 0)
            close(folder);
        return -1;
    }
    if (folder >= 0 && report.rooted)
        close(folder);
    else
        worker->host.state_folder = folder;
    snprintf(worker->jail, sizeof worker->jail, "%s%s%s%s", report.held, report.lacking[0] ? " (not: " : "",
             report.lacking, report.lacking[0] ? ")" : "");
    if (report.lacking[0])
        fprintf(stderr, "nidus: %s: the host does not let it be jailed wholly: %s\n", worker->config.name,
                report.lacking);
    return 0;
}

// --- Its life ---

static void worker_begins(void *context, struct vm *vm)
{
    struct worker *worker = context;
    pthread_mutex_lock(&worker->lock);
    worker->vm = vm;
    worker->began = worker->ran = 0; // it was reset: this life counts from here
    pthread_mutex_unlock(&worker->lock);
    worker_set_state(worker, CONTROL_RUNNING);
}

static void worker_ends(void *context, struct vm *vm)
{
    struct worker *worker = context;
    vm_collect(vm);
    worker_adapters_settle(worker, vm);
    pthread_mutex_lock(&worker->lock);
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        worker->cpu_ns += vcpu_cpu_ns(&vm->vcpus[i]);
    worker->vm = NULL;
    pthread_mutex_unlock(&worker->lock);
}

static void worker_ready(void *context, struct vm *vm)
{
    struct worker *worker = context;
    struct signalfd_siginfo info;
    u64 count;
    ssize_t ignored = read(worker->wake, &count, sizeof count);
    (void)ignored;
    worker_do_commands(worker, vm);
    while (read(worker->signals, &info, sizeof info) == sizeof info)
        vm_end(vm, VM_ENDED, 0, "ended by signal %u (%s)", info.ssi_signo, strsignal((int)info.ssi_signo));
}

// A console's escape keys are its viewers' business, so nobody asks for this.
static void worker_save(void *context, struct vm *vm) { (void)context, (void)vm; }

static enum control_ending worker_ending(const struct vm_ending *ending)
{
    switch (ending->kind) {
    case VM_POWER_OFF:
    case VM_RESET: // without anything to boot anew
    case VM_DEBUG_EXIT:
        return CONTROL_ENDED_POWER_OFF;
    case VM_ENDED:
        return CONTROL_ENDED_BY_COMMAND;
    case VM_SAVED:
        return CONTROL_ENDED_SAVED;
    case VM_TRIPLE_FAULT:
        return CONTROL_ENDED_TRIPLE_FAULT;
    default:
        return CONTROL_ENDED_ENGINE;
    }
}

static int worker_live(struct worker *worker)
{
    const struct life life = {
        .options = &worker->options, .engine = worker->engine, .host = &worker->host, .reboots = true,
        .context = worker, .fds = {worker->wake, worker->signals}, .ready = worker_ready, .save = worker_save,
        .begins = worker_begins, .ends = worker_ends,
    };
    struct vm_ending ending;
    struct error error;
    int result = life_run(&life, &ending, &error);
    worker_do_commands(worker, NULL);
    if (result)
        worker_tell_end(worker, CONTROL_ENDED_START, error.text);
    else
        worker_tell_end(worker, worker_ending(&ending), ending.text.text);
    return result ? STATUS_START : life_status(&ending);
}

static int worker_start(struct worker *worker, struct error *error)
{
    const struct control_server_commands commands = {.context = worker, .command = worker_on_command};
    if (worker_take_descriptors(error))
        return -1;
    worker->service = CONTROL_FD_SERVICE;
    if (worker_read_config(worker, error) || worker_lock(worker, error) || worker_open_directory(worker, error) ||
        worker_options(worker, error) || worker_open(worker, error) || worker_jail(worker, error))
        return -1;
    worker->server = control_server_open(worker->listener, worker->service, &commands, error);
    return worker->server ? 0 : -1;
}

int worker_main(int argc, char **argv)
{
    struct worker *worker = calloc(1, sizeof *worker);
    struct error error;
    int status = STATUS_START;
    (void)argv;
    if (argc != 1 || !worker) {
        fprintf(stderr, "nidus: %s\n", worker ? "worker: takes no arguments: the service starts it" : "out of memory");
        free(worker);
        return STATUS_USAGE;
    }
    worker->ended = worker->listener = worker->service = worker->wake = worker->signals = worker->host.restore = -1;
    pthread_mutex_init(&worker->lock, NULL);
    if (worker_start(worker, &error)) {
        fprintf(stderr, "nidus: worker: %s\n", error.text);
        worker_tell_end(worker, CONTROL_ENDED_START, error.text);
    } else {
        status = worker_live(worker);
    }
    host_close(&worker->host);
    control_server_close(worker->server);
    control_config_free(&worker->config);
    pthread_mutex_destroy(&worker->lock);
    free(worker);
    return status;
}
