// What a frame's sender may leave to whoever takes the frame: the transport checksum, and the cutting of one large TCP
// segment into packets that fit the wire. Between two guests of one host neither is ever done, for there is no wire;
// where one side gives what the other cannot take, offload_pass does it here, once for all ports. Pure.
//
// Frames and their headers are foreign: whatever they say is checked against the bytes of the frame, so that nobody
// further on is told a lie (a guest's driver believes its device).
#pragma once

#include <assert.h>
#include <sys/uio.h>

#include "base/types.h"

enum { NETWORK_NEEDS_CHECKSUM = 1, NETWORK_DATA_VALID = 2 }; // network_header.flags
enum { NETWORK_GSO_NONE = 0, NETWORK_GSO_TCP4 = 1, NETWORK_GSO_TCP6 = 4, NETWORK_GSO_ECN = 0x80 }; // .gso_type

// In front of every frame between a network port and its adapter. VIRTIO 1.2, 5.1.6.
struct network_header {
    u8 flags;
    u8 gso_type;
    u16 header_bytes;    // GSO: of all headers, Ethernet's to TCP's
    u16 gso_bytes;       // GSO: payload of each packet
    u16 checksum_start;  // NEEDS_CHECKSUM: the sum is over the frame from here on,
    u16 checksum_offset; // and goes so far behind that place, where the pseudo header's sum is already
    u16 buffers;         // the virtio device's own
};

static_assert(sizeof(struct network_header) == 12, "VIRTIO 1.2, 5.1.6");

// What a taker of frames can do with an unfinished one. TSO without CHECKSUM: it takes the segment for a packet,
// however large, and gets it with the lengths and the checksum of one.
enum {
    OFFLOAD_CHECKSUM = 1, // NETWORK_NEEDS_CHECKSUM
    OFFLOAD_TSO4 = 2,     // NETWORK_GSO_TCP4, and so on
    OFFLOAD_TSO6 = 4,
    OFFLOAD_ECN = 8, // TSO of segments with CWR set
    OFFLOAD_ALL = 15,
};

enum {
    OFFLOAD_PARTS = 520, // a frame comes in fewer parts, and is given in so many at most
    OFFLOAD_LEAST = 8,   // of network_header.gso_bytes: what is left of the least MSS behind the most options
};

// A frame, in parts, for somebody: false if there is no room for it now.
typedef bool offload_give(void *context, const struct network_header *header, const struct iovec *parts,
                          unsigned count);

enum offload_result {
    OFFLOAD_PASSED,
    OFFLOAD_REFUSED,   // `give` returned false, and nothing was given before
    OFFLOAD_MALFORMED, // no frame, or not what its header says: nothing was given
};

// Gives the frame to somebody who can do what `takes` (of OFFLOAD_ALL) says: as it is, or with its checksum finished,
// or in several frames. If `give` refuses a later one of those, the rest is lost, as on a wire. The parts may be memory
// that somebody writes meanwhile: what is decided upon is copied first and given from the copy.
enum offload_result offload_pass(const struct network_header *header, const struct iovec *parts, unsigned count,
                                 u32 takes, offload_give *give, void *context);

size_t offload_bytes(const struct iovec *parts, unsigned count); // of all parts
// Copies from byte `from` on at most `bytes`; returns how many there were.
size_t offload_copy(const struct iovec *parts, unsigned count, size_t from, void *to, size_t bytes);
