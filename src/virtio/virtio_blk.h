// The block device (VIRTIO 1.2, section 5.2) over a host disk. One queue.
#pragma once

#include "host/disk.h"
#include "virtio/virtio_pci.h"

struct virtio_blk_config {
    struct disk *disk; // open, outlives the device
};

struct virtio_pci *virtio_blk_create(struct memory *memory, const struct virtio_blk_config *config,
                                     struct error *error);
