// The network adapter (VIRTIO 1.2, section 5.1) at one end of a network port. Queue 0 receives, queue 1 transmits;
// there is no control queue.
#pragma once

#include "host/network.h"
#include "virtio/virtio_pci.h"

struct virtio_net_config {
    struct network_port *port; // open, closed after the device was destroyed
    u8 mac[6];                 // all zero: a random one, locally administered
};

struct virtio_pci *virtio_net_create(struct memory *memory, const struct virtio_net_config *config,
                                     struct error *error);
