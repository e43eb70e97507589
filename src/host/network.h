// One end of an Ethernet cable. A virtual network adapter holds a port and does not know what is behind it: a user-mode
// network stack (slirp.c), the shared memory that leads to a switch, a host's interface.
//
// A port is used by one thread, the adapter's: it waits and works inside that thread's poll loop, so frames need no
// queue between threads and no lock. Everything below happens on that thread, and what goes from port to adapter only
// inside `send`, `room` and `dispatch`.
//
// A frame begins with its destination address and has no checksum of its own. It comes with a header that says what
// was left undone in it (net/offload.h), and in parts, which are the guest's or the host's memory itself: they are only
// there during the call, and another process may write to them meanwhile.
//
// Neither side queues for the other: who has no room for a frame refuses it, and says when there is room. The other
// side keeps the frame until then or drops it, whichever its network would do.
#pragma once

#include "base/error.h"
#include "base/types.h"
#include "host/pollset.h"
#include "net/frame.h"
#include "net/offload.h"

struct network_port;

struct network_port_type {
    // A frame from the adapter, in up to OFFLOAD_PARTS parts, that leaves undone only what the port's `offloads` name.
    // False: no room; the port calls the adapter's `room` later. Called by network_send.
    bool (*send)(struct network_port *port, const struct network_header *header, const struct iovec *parts,
                 unsigned count);
    // The adapter has room again, after it refused a frame. NULL for a port that never keeps one.
    void (*room)(struct network_port *port);
    // Around each sleep of the thread; in either the port may give frames. While the adapter has no room a port leaves
    // unread what it would have to drop: the flow control of the protocols does the rest.
    void (*prepare)(struct network_port *port, struct pollset *set);
    void (*dispatch)(struct network_port *port, const struct pollset *set);
    void (*close)(struct network_port *port);
};

// What the port sees of its adapter. All functions may be NULL.
struct network_adapter {
    void *context;
    offload_give *receive;                // a frame; false: no room. Called by network_receive.
    void (*room)(void *context);          // the port has room again, after it refused a frame
    void (*link)(void *context, bool up); // the cable was plugged in, or pulled
    u32 offloads; // what received frames may leave undone; changes with what the guest's driver takes
};

struct network_port {
    const struct network_port_type *type;
    u16 mtu;      // the largest packet inside a frame that makes sense here; 0: Ethernet's 1500
    u32 offloads; // what sent frames may leave undone; stays the same
    bool up;      // whether the cable is plugged in, for adapters that come later than `link`
    struct network_adapter adapter; // set by the adapter
};

// For the adapter: a frame into the port, with whatever the port cannot take done first.
enum offload_result network_send(struct network_port *port, const struct network_header *header,
                                 const struct iovec *parts, unsigned count);
// For the port: a frame to the adapter, likewise. OFFLOAD_PASSED if there is no adapter.
enum offload_result network_receive(struct network_port *port, const struct network_header *header,
                                    const struct iovec *parts, unsigned count);
void network_room(struct network_port *port);          // for the port: there is room again
void network_link(struct network_port *port, bool up); // for the port: only changes are told

struct network_port *network_nowhere(struct error *error); // the other end lies on the floor: no frame comes or arrives
void network_close(struct network_port *port); // NULL is allowed
