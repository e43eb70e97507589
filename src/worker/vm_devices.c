// See vm_devices.h. The order of attachment is the order of slots, and so of names in the guest: disks first (vda is
// the first --disk), then the rest; network adapters have slots of their own after all others, each always the same, so
// that one which comes or goes moves nothing else.
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

enum { VM_FIXED = RUN_DISKS + 5, VM_DEVICES = VM_FIXED + RUN_ADAPTERS };
static_assert((int)RUN_ADAPTERS == BOARD_PLACES, "each has a place");

struct vm_devices {
    const struct run_options *options;
    struct network_port *nets[RUN_ADAPTERS]; // ours; the host's wires are not here
    struct memory_control *memory;
    struct virtio_pci *functions[VM_DEVICES]; // `count` fixed ones; from VM_FIXED on adapters by place; NULL: none
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
static struct virtio_pci *vm_devices_net(struct vm_devices *devices, unsigned place, struct network_port *wire,
                                         struct memory *memory, struct error *error)
{
    const unsigned cpus = devices->options->cpus;
    const struct run_adapter *adapter = &devices->options->adapters[place];
    struct virtio_net_config config = {
        .port = wire,
        .queue_pairs = cpus < VIRTIO_NET_PAIRS ? cpus : VIRTIO_NET_PAIRS,
    };
    if (wire)
        wire_port_begin(wire);
    else
        config.port = devices->nets[place] =
            adapter->net == RUN_NET_USER ? slirp_open(NULL, error) : network_nowhere(error);
    if (!config.port) {
        error_prefix(error, "network adapter");
        return NULL;
    }
    memcpy(config.mac, adapter->mac, sizeof config.mac);
    return virtio_net_create(memory, &config, error);
}

static int vm_devices_add_net(struct vm_devices *devices, unsigned place, struct host *host, struct board *board,
                              struct error *error)
{
    struct virtio_pci *function = vm_devices_net(devices, place, host->wires[place], board_memory(board), error);
    devices->functions[VM_FIXED + place] = function;
    return function ? board_plug(board, &function->function, place, error) : -1;
}

void vm_devices_unplugged(struct vm_devices *devices, unsigned place)
{
    struct virtio_pci *function = devices->functions[VM_FIXED + place];
    devices->functions[VM_FIXED + place] = NULL;
    if (function) {
        virtio_stop(function->virtio);
        pci_intx_set(&function->function, false); // its line is shared
        virtio_pci_destroy(function);
    }
    network_close(devices->nets[place]);
    devices->nets[place] = NULL;
}

// It lives before the guest can find it.
int vm_devices_plug(struct vm_devices *devices, unsigned place, struct host *host, struct board *board, bool paused,
                    struct error *error)
{
    struct virtio_pci *function = vm_devices_net(devices, place, host->wires[place], board_memory(board), error);
    devices->functions[VM_FIXED + place] = function;
    int result = function ? virtio_start(function->virtio, error) : -1;
    if (!result && paused)
        virtio_pause(function->virtio);
    if (!result)
        result = board_plug(board, &function->function, place, error);
    if (result)
        vm_devices_unplugged(devices, place);
    return result;
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
    for (unsigned i = 0; i < RUN_ADAPTERS; i++)
        if (devices->options->adapters[i].present && vm_devices_add_net(devices, i, host, board, error))
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
    for (unsigned i = 0; i < VM_DEVICES; i++)
        if (devices->functions[i] && virtio_start(devices->functions[i]->virtio, error))
            return -1;
    return 0;
}

void vm_devices_pause(struct vm_devices *devices)
{
    for (unsigned i = 0; i < VM_DEVICES; i++)
        if (devices->functions[i])
            virtio_pause(devices->functions[i]->virtio);
}

void vm_devices_resume(struct vm_devices *devices)
{
    for (unsigned i = 0; i < VM_DEVICES; i++)
        if (devices->functions[i])
            virtio_resume(devices->functions[i]->virtio);
}

struct memory_control *vm_devices_memory(struct vm_devices *devices) { return devices->memory; }

unsigned vm_devices_count(const struct vm_devices *devices)
{
    unsigned count = 0;
    for (unsigned i = 0; i < VM_DEVICES; i++)
        count += devices->functions[i] != NULL;
    return count;
}

int vm_devices_save(struct vm_devices *devices, struct state_writer *writer, struct error *error)
{
    for (unsigned i = 0; i < VM_DEVICES; i++)
        if (devices->functions[i] && virtio_state_save(devices->functions[i], writer, error))
            return -1;
    return 0;
}

int vm_devices_restore(struct vm_devices *devices, struct board *board, struct state_reader *reader,
                       struct error *error)
{
    for (unsigned i = 0; i < VM_DEVICES; i++)
        if (devices->functions[i] && virtio_state_restore(devices->functions[i], board, reader, error))
            return -1;
    return 0;
}

void vm_devices_stop(struct vm_devices *devices)
{
    for (unsigned i = 0; i < VM_DEVICES; i++)
        if (devices->functions[i])
            virtio_stop(devices->functions[i]->virtio);
}

void vm_devices_destroy(struct vm_devices *devices)
{
    for (unsigned i = 0; i < VM_DEVICES; i++)
        virtio_pci_destroy(devices->functions[i]);
    memory_control_destroy(devices->memory);
    for (unsigned i = 0; i < RUN_ADAPTERS; i++)
        network_close(devices->nets[i]);
    free(devices);
}
