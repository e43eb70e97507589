// See host.h.
#include "worker/host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "jail/jail.h"
#include "worker/vm.h"
#include "worker/vm_boot.h"

static size_t host_serial_receive(void *context, const u8 *bytes, size_t count)
{
    struct host *host = context;
    pthread_mutex_lock(&host->lock);
    size_t taken = host->vm ? board_console_receive(host->vm->board, bytes, count) : count;
    pthread_mutex_unlock(&host->lock);
    return taken;
}

static void host_serial_transmit(void *context, const u8 *bytes, size_t count)
{
    struct host *host = context;
    console_put(&host->serial, bytes, count);
}

static void host_serial_room(void *context)
{
    struct host *host = context;
    console_ready(&host->serial);
}

struct uart_backend host_serial(struct host *host)
{
    return (struct uart_backend){.context = host, .transmit = host_serial_transmit, .room = host_serial_room};
}

// The agent did not shut the guest down: on its thread.
static void host_shutdown_failed(void *context)
{
    struct host *host = context;
    pthread_mutex_lock(&host->lock);
    if (host->vm)
        board_power_button(host->vm->board);
    pthread_mutex_unlock(&host->lock);
}

static void host_agent_changed(void *context)
{
    struct host *host = context;
    if (host->agent_changed)
        host->agent_changed(host->agent_context);
}

// The second key of an escape sequence, on the console's thread.
static void host_command(void *context, u8 key)
{
    struct host *host = context;
    pthread_mutex_lock(&host->lock);
    switch (key) {
    case 'x':
        if (host->vm)
            vm_end(host->vm, VM_ENDED, 0, "ended by the escape key");
        else
            host->ended = true;
        break;
    case 'p':
        if (host->vm)
            board_power_button(host->vm->board);
        break;
    case 's':
        if (host->vm)
            vm_want_save(host->vm);
        break;
    case 'd':
        if (host->vm)
            vm_shutdown(host->vm);
        break;
    case 'r':
        if (host->vm)
            vm_end(host->vm, VM_RESET, 0, "%s", "");
        break;
    default:
        fputs("\r\nnidus: Ctrl-] then x: end the VM, d: shut its system down, p: press its power button, r: reset it, "
              "s: save it (--state), Ctrl-]: send that key\r\n", stderr);
        break;
    }
    pthread_mutex_unlock(&host->lock);
}

static int host_open_disks(struct host *host, struct error *error)
{
    for (unsigned i = 0; i < host->options->disk_count; i++) {
        const struct run_disk *disk = &host->options->disks[i];
        const struct disk_config config = {.path = disk->path, .readonly = disk->readonly, .format = disk->format,
                                           .user = host->options->user};
        if (disk_open(&host->disks[i], &config, error))
            return error_prefix(error, "--disk");
        host->disk_count++;
    }
    return 0;
}

static int host_open_console(struct host *host, struct error *error)
{
    const struct console_config config = {
        .socket = host->options->console == RUN_CONSOLE_SOCKET ? host->options->console_path : NULL,
        .socket_too = host->options->console_path_too,
        .log = host->options->console_log,
        .escape = CONSOLE_ESCAPE,
        .command = host_command,
        .context = host,
    };
    host->console = console_open(&config, error);
    if (!host->console)
        return error_prefix(error, "--console");
    host->serial = (struct console_port){.context = host, .receive = host_serial_receive};
    return console_attach(host->console, &host->serial, error);
}

// Whatever the VM reads of files: afterwards none need be opened.
static int host_open_images(struct host *host, struct error *error)
{
    const struct run_options *options = host->options;
    if (options->kernel) {
        host->images = vm_images_load(options, error);
        if (!host->images)
            return -1;
    }
    if (!options->restore)
        return 0;
    host->restore = open(options->restore, O_RDONLY | O_CLOEXEC);
    return host->restore >= 0 ? 0
                              : error_set(error, "state file '%s' cannot be opened: %s", options->restore,
                                          strerror(errno));
}

static int host_open_wires(struct host *host, struct error *error)
{
    for (unsigned i = 0; i < RUN_ADAPTERS; i++) {
        const struct run_adapter *adapter = &host->options->adapters[i];
        if (!adapter->present || adapter->net != RUN_NET_WIRE)
            continue;
        host->wires[i] = wire_port_create(adapter->plugged, error);
        if (!host->wires[i])
            return -1;
    }
    return 0;
}

int host_open(struct host *host, const struct run_options *options, struct error *error)
{
    *host = (struct host){.options = options, .restore = -1, .state_folder = -1};
    u64 minimum = options->memory_minimum ? options->memory_minimum : options->memory_bytes;
    u64 maximum = options->memory_maximum ? options->memory_maximum : options->memory_bytes;
    host->memory = (struct memory_policy){.minimum = minimum, .maximum = maximum, .buffer = options->memory_buffer};
    pthread_mutex_init(&host->lock, NULL);
    host->channel = channel_create(error);
    if (host->channel && !host_open_wires(host, error) && !host_open_images(host, error) && !host_open_disks(host, error) &&
        !host_open_console(host, error))
        return 0;
    host_close(host);
    return -1;
}

int host_start(struct host *host, struct error *error)
{
    if (host->started)
        return 0;
    const struct agent_events events = {
        .context = host, .changed = host_agent_changed, .shutdown_failed = host_shutdown_failed};
    host->agent = agent_create(host->channel, &events, error);
    if (!host->agent || console_start(host->console, error))
        return -1;
    host->started = true;
    return 0;
}

void host_jail(const struct host *host, const struct engine *engine, const char *state_directory,
               struct jail_config *jail)
{
    *jail = (struct jail_config){.anywhere = state_directory && !state_directory[0]};
    for (unsigned i = 0; i < RUN_ADAPTERS; i++)
        jail->network |= host->options->adapters[i].present && host->options->adapters[i].net == RUN_NET_USER;
    host_jail_calls(jail);
    jail->paths[0] = (struct jail_path){.path = state_directory, .writable = true};
    jail->paths[1] = (struct jail_path){.path = engine == &engine_kvm && !host->device ? "/dev/kvm" : NULL,
                                        .device = true};
    jail->paths[2] = (struct jail_path){.path = jail->network ? "/etc/resolv.conf" : NULL}; // libslirp's name server
}

bool host_ended(struct host *host)
{
    pthread_mutex_lock(&host->lock);
    bool ended = host->ended;
    pthread_mutex_unlock(&host->lock);
    return ended;
}

void host_connect(struct host *host, struct vm *vm)
{
    pthread_mutex_lock(&host->lock);
    host->vm = vm;
    pthread_mutex_unlock(&host->lock);
    if (vm)
        console_ready(&host->serial);
    else if (host->agent)
        agent_forget(host->agent);
}

void host_close(struct host *host)
{
    agent_destroy(host->agent);
    channel_destroy(host->channel);
    host->agent = NULL;
    host->channel = NULL;
    if (host->console)
        console_close(host->console);
    host->console = NULL;
    vm_images_free(host->images);
    host->images = NULL;
    if (host->state_folder >= 0)
        close(host->state_folder);
    if (host->restore >= 0)
        close(host->restore);
    if (host->device > 0)
        close(host->device);
    host->device = 0;
    for (unsigned i = 0; i < RUN_ADAPTERS; i++) {
        network_close(host->wires[i]);
        host->wires[i] = NULL;
    }
    while (host->disk_count)
        disk_close(&host->disks[--host->disk_count]);
    pthread_mutex_destroy(&host->lock);
}
