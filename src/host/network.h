// One end of an Ethernet cable. A virtual network adapter holds a port and does not know what is behind it: here a
// user-mode network stack (slirp.c), later a switch.
//
// A port is used by one thread, the adapter's: it waits and works inside that thread's poll loop, so frames need no
// queue between threads and no lock.
#pragma once

#include "base/error.h"
#include "base/types.h"
#include "host/pollset.h"

enum { NETWORK_FRAME_LEAST = 14, NETWORK_FRAME_MOST = 65536 };

struct network_port;

struct network_port_type {
    // A frame from the adapter, without checksum or preamble, checksums inside complete.
    void (*send)(struct network_port *port, const void *frame, size_t bytes);
    // Around each sleep of the thread. Not called while the adapter has no room for frames: what the port then does
    // not read from its sockets stays there, and the flow control of the protocols does the rest.
    void (*prepare)(struct network_port *port, struct pollset *set);
    void (*dispatch)(struct network_port *port, const struct pollset *set);
    void (*close)(struct network_port *port);
};

struct network_port {
    const struct network_port_type *type;
    u16 mtu; // the largest packet inside a frame that makes sense here; 0: Ethernet's 1500
    // A frame for the adapter, called inside send and dispatch. Set by the adapter.
    void (*receive)(void *adapter, const void *frame, size_t bytes);
    void *adapter;
};

// A private network with NAT to the host's, without any privilege: the guest gets 10.0.2.15 by DHCP, the router is
// 10.0.2.2 (which also is the host's loopback), the name server 10.0.2.3. IPv6 where the host has a route for it.
struct network_port *slirp_open(struct error *error);
struct network_port *network_nowhere(struct error *error); // the other end lies on the floor: no frame comes or arrives
void network_close(struct network_port *port); // NULL is allowed
