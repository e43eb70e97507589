// The console device in its other shape (VIRTIO 1.2, section 5.3, with MULTIPORT): no console, but named ports, each
// a byte stream between a program in the guest (/dev/virtio-ports/NAME) and a channel of the host's.
//
// Consoles stay with virtio_console: with MULTIPORT a terminal's size travels in a message whose two numbers Linux
// reads in one order up to 6.15 and in the other one since, while without it all read the same configuration.
#pragma once

#include "host/channel.h"
#include "virtio/virtio_pci.h"

struct virtio_serial_config {
    const char *name; // of the port, lives as long as the device
    struct channel *channel; // outlives the device
};

struct virtio_pci *virtio_serial_create(struct memory *memory, const struct virtio_serial_config *config,
                                        struct error *error);
