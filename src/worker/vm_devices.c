// See vm_devices.h. The order of attachment is the order of slots, and so of names in the guest: disks first (vda is the
// first --disk), then the rest.
#include "worker/vm_devices.h"

#include <stdlib.h>

#include "virtio/virtio_blk.h"
#include "virtio/virtio_rng.h"

enum { VM_DEVICES = RUN_DISKS + 3 };

struct vm_devices {
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

static int vm_devices_add_all(struct vm_devices *devices, struct host *host, struct board *board, struct error *error)
{
    struct memory *memory = board_memory(board);
    for (unsigned i = 0; i < host->disk_count; i++) {
        const struct virtio_blk_config config = {.disk = &host->disks[i]};
        if (vm_devices_add(devices, board, virtio_blk_create(memory, &config, error), error))
            return -1;
    }
    const struct virtio_rng_config rng = {.bytes_per_second = 0};
    return vm_devices_add(devices, board, virtio_rng_create(memory, &rng, error), error);
}

struct vm_devices *vm_devices_create(const struct run_options *options, struct host *host, struct board *board,
                                     struct error *error)
{
    (void)options;
    struct vm_devices *devices = calloc(1, sizeof *devices);
    if (!devices) {
        error_set(error, "out of memory");
        return NULL;
    }
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

void vm_devices_stop(struct vm_devices *devices)
{
    for (unsigned i = 0; i < devices->count; i++)
        virtio_stop(devices->functions[i]->virtio);
}

void vm_devices_destroy(struct vm_devices *devices)
{
    while (devices->count)
        virtio_pci_destroy(devices->functions[--devices->count]);
    free(devices);
}
