// The entropy device (VIRTIO 1.2, section 5.4): the host's getrandom(2), at a bounded rate. One queue.
#pragma once

#include "virtio/virtio_pci.h"

struct virtio_rng_config {
    u32 bytes_per_second; // 0: 1 MiB
};

struct virtio_pci *virtio_rng_create(struct memory *memory, const struct virtio_rng_config *config,
                                     struct error *error);
