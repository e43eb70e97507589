// See vm_devices.h. The order of attachment is the order of slots, and so of names in the guest: disks first (vda is
// the first --disk), then the rest.
#include "worker/vm_devices.h"

#include <stdlib.h>
#include <string.h>

#include "host/slirp.h"
#include "machine/virtio_state.h"
#include "virtio/virtio_balloon.h"
#include "virtio/virtio_blk.h"
#include "virtio/virtio_console.h"
#include "virtio/virtio_mem.h"
#include "virtio/virtio_net.h"
#include "virtio/virtio_rng.h"
#include "virtio/virtio_serial.h"

enum { VM_DEVICES = RUN_DISKS + RUN_ADAPTERS + 5 };

struct vm_devices {
    const struct run_options *options;
    struct network_port *nets[RUN_ADAPTERS];
    unsigned net_count;
    struct memory_control *memory;
    struct virtio_pci *functions[VM_DEVICES];
    unsigned count;
};

// Takes over `function`, whose creation may have failed.
static int vm_devices_add(struct vm_devices *devices, struct board *board, struct virtio_pci *function,
                          struct error *error)
{
    if (!function)
        return -1;
    devices->functions[devices->count++] = function;
    return board_attach(board, &function->function, error);
}

// `wire` is the host's; other ports are made anew with each board.
static int vm_devices_add_net(struct vm_devices *devices, const struct run_adapter *adapter, struct network_port *wire,
                              struct board *board, struct error *error)
{
    const unsigned cpus = devices->options->cpus;
    struct virtio_net_config config = {
        .port = wire,
        .queue_pairs = cpus < VIRTIO_NET_PAIRS ? cpus : VIRTIO_NET_PAIRS,
    };
    if (wire)
        wire_port_begin(wire);
    else
        config.port = adapter->net == RUN_NET_USER ? slirp_open(NULL, error) : network_nowhere(error);
    if (!config.port)
        return error_prefix(error, "network adapter");
    if (!wire)
        devices->nets[devices->net_count++] = config.port;
    memcpy(config.mac, adapter->mac, sizeof config.mac);
    return vm_devices_add(devices, board, virtio_net_create(board_memory(board), &config, error), error);
}

static int vm_devices_add_memory(struct vm_devices *devices, struct board *board, struct error *error)
{
    struct memory *memory = board_memory(board);
    struct virtio_pci *balloon = virtio_balloon_create(memory, error), *hotplug = NULL;
    u64 region, more = memory_reserved(memory, &region);
    if (vm_devices_add(devices, board, balloon, error))
        return -1;
    if (more && vm_devices_add(devices, board, hotplug = virtio_mem_create(memory, error), error))
        return -1;
    u64 startup = memory_bytes(memory);
    devices->memory = memory_control_create(startup, startup + more, balloon, hotplug, error);
    return devices->memory ? 0 : -1;
}

static int vm_devices_add_all(struct vm_devices *devices, struct host *host, struct board *board, struct error *error)
{
    struct memory *memory = board_memory(board);
    for (unsigned i = 0; i < host->disk_count; i++) {
        const struct virtio_blk_config config = {.disk = &host->disks[i]};
        if (vm_devices_add(devices, board, virtio_blk_create(memory, &config, error), error))
            return -1;
    }
    const struct virtio_console_config console = {.console = host->console};
    if (vm_devices_add(devices, board, virtio_console_create(memory, &console, error), error))
        return -1;
    for (unsigned i = 0; i < devices->options->adapter_count; i++)
        if (vm_devices_add_net(devices, &devices->options->adapters[i], host->wires[i], board, error))
            return -1;
    const struct virtio_rng_config rng = {.bytes_per_second = 0};
    if (vm_devices_add(devices, board, virtio_rng_create(memory, &rng, error), error))
        return -1;
    const struct virtio_serial_config agent = {.name = AGENT_PORT, .channel = host->channel};
    if (vm_devices_add(devices, board, virtio_serial_create(memory, &agent, error), error))
        return -1;
    return vm_devices_add_memory(devices, board, error);
}

struct vm_devices *vm_devices_create(const struct run_options *options, struct host *host, struct board *board,
                                     struct error *error)
{
    struct vm_devices *devices = calloc(1, sizeof *devices);
    if (!devices) {
        error_set(error, "out of memory");
        return NULL;
    }
    devices->options = options;
    if (!vm_devices_add_all(devices, host, board, error))
        return devices;
    vm_devices_destroy(devices);
    return NULL;
}

int vm_devices_start(struct vm_devices *devices, struct error *error)
{
    for (unsigned i = 0; i < devices->count; i++)
        if (virtio_start(devices->functions[i]->virtio, error))
            return -1;
    return 0;
}

void vm_devices_pause(struct vm_devices *devices)
{
    for (unsigned i = 0; i < devices->count; i++)
        virtio_pause(devices->functions[i]->virtio);
}

void vm_devices_resume(struct vm_devices *devices)
{
    for (unsigned i = 0; i < devices->count; i++)
        virtio_resume(devices->functions[i]->virtio);
}

struct memory_control *vm_devices_memory(struct vm_devices *devices) { return devices->memory; }

unsigned vm_devices_count(const struct vm_devices *devices) { return devices->count; }

int vm_devices_save(struct vm_devices *devices, struct state_writer *writer, struct error *error)
{
    for (unsigned i = 0; i < devices->count; i++)
        if (virtio_state_save(devices->functions[i], writer, error))
            return -1;
    return 0;
}

int vm_devices_restore(struct vm_devices *devices, struct board *board, struct state_reader *reader,
                       struct error *error)
{
    for (unsigned i = 0; i < devices->count; i++)
        if (virtio_state_restore(devices->functions[i], board, reader, error))
            return -1;
    return 0;
}

void vm_devices_stop(struct vm_devices *devices)
{
    for (unsigned i = 0; i < devices->count; i++)
        virtio_stop(devices->functions[i]->virtio);
}

void vm_devices_destroy(struct vm_devices *devices)
{
    while (devices->count)
        virtio_pci_destroy(devices->functions[--devices->count]);
    memory_control_destroy(devices->memory);
    while (devices->net_count)
        network_close(devices->nets[--devices->net_count]);
    free(devices);
}
