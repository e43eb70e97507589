// The console device (VIRTIO 1.2, section 5.3): one port, the size of the terminal, no multiport. Queue 0 is input to
// the guest, queue 1 its output.
#pragma once

#include "host/console.h"
#include "virtio/virtio_pci.h"

struct virtio_console_config {
    struct console *console; // open, closed after the device was destroyed
};

struct virtio_pci *virtio_console_create(struct memory *memory, const struct virtio_console_config *config,
                                         struct error *error);
