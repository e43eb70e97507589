// The network adapter (VIRTIO 1.2, section 5.1) at one end of a network port. Queues 2N receive, queues 2N + 1 transmit,
// and the last, or the third for a driver that knows of one pair only, is the control queue.
#pragma once

#include "host/network.h"
#include "virtio/virtio_pci.h"

enum { VIRTIO_NET_PAIRS = 8 };

struct virtio_net_config {
    struct network_port *port; // open, closed after the device was destroyed
    u8 mac[6];                 // all zero: a random one, locally administered
    unsigned queue_pairs;      // offered: 1 to VIRTIO_NET_PAIRS; 0 is 1
};

struct virtio_pci *virtio_net_create(struct memory *memory, const struct virtio_net_config *config,
                                     struct error *error);
