// The cable between an adapter's process and its switch's: two rings in shared memory, one in each direction, of
// records of variable length, and a bell on each side. A record is a virtio-net header (VIRTIO 1.2, 5.1.6; nothing
// here looks into it) and a frame; so what one guest leaves undone (checksums, segmentation) can stay undone until
// somebody needs it done, and a frame is copied once on its way into the ring and once out of it.
//
// Either side takes the other for hostile. An index that the other side writes is read once, held to what is possible,
// and used as it was read; a side's own index lives in its own memory, what stands in the ring is a copy for the other.
// A ring that cannot be is broken for good: the cable is dead, its process goes on. What lies in the ring may change
// while it is looked at, so whoever decides by it takes it out first.
//
// The bell is a socket pair, not eventfds: the flags of an eventfd are shared with the other side, which could make it
// block; a send that must not block says so itself here. And it hangs up when the other side is gone. Whoever sleeps
// says so in the ring, and only then is it rung.
//
// One thread uses a side.
#pragma once

#include <sys/uio.h>

#include "base/error.h"
#include "base/types.h"

enum {
    WIRE_HEADER = 12,
    WIRE_LEAST = WIRE_HEADER + 14,    // bytes of a record: header and frame
    WIRE_MOST = WIRE_HEADER + 65554,  // a segment of 64 KiB with its Ethernet header and a tag
    WIRE_RING = 512 << 10,            // bytes of a ring, a power of two: eight of the longest
    WIRE_PAGE = 4096,                 // the indices of both rings
    WIRE_BYTES = WIRE_PAGE + 2 * WIRE_RING,
};

enum wire_side { WIRE_ADAPTER, WIRE_SWITCH };

// What there is to give away of a new cable: the memory, and the bell's two ends.
struct wire_descriptors {
    int memory;
    int bell[2]; // by enum wire_side
};

int wire_create(struct wire_descriptors *descriptors, struct error *error);
void wire_descriptors_close(struct wire_descriptors *descriptors);

struct wire;

// Takes over both descriptors if it succeeds. They may come from anybody: the memory must have its size, and be sealed
// against shrinking, or reading it could kill us.
struct wire *wire_open(int memory, int bell, enum wire_side side, struct error *error);
void wire_close(struct wire *wire); // NULL is allowed

int wire_bell(const struct wire *wire);        // to be polled for reading; -1 once the other side has hung up
bool wire_is_broken(const struct wire *wire);  // the other side does not keep the rules
bool wire_is_hung_up(const struct wire *wire); // it is gone, or has closed its end

// A record: WIRE_HEADER bytes of header and a frame, in parts. False: there is no room now (the bell rings when there
// is), or never again. The other side sees it after wire_flush.
bool wire_send(struct wire *wire, const void *header, const struct iovec *parts, unsigned count);
void wire_flush(struct wire *wire);

// The next record, in shared memory, until wire_done; 0: there is none. The room of records that are done is given back
// by wire_flush.
size_t wire_receive(struct wire *wire, const u8 **record);
void wire_done(struct wire *wire);

// Before a sleep on the bell: false if there is something to do already. After it: makes the bell unreadable again.
bool wire_sleep(struct wire *wire);
void wire_wake(struct wire *wire);
