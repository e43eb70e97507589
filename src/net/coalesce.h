// Packets of one TCP connection that follow each other become one large segment, as a network card's receive offload
// makes them (LRO; Linux: GRO): whoever makes packets of Ethernet's size, as libslirp does, need not cost the guest a
// packet's way through its stack for each. The segment is an unfinished frame (offload.h), which a guest that does not
// take such gets cut into the same packets again.
//
// Of acknowledgements that follow each other only the last is left, up to COALESCE_ACKNOWLEDGED bytes of them: to each
// its receiver answers with as many bytes as it was about, so what was once sent in small pieces would be for ever.
// Pure.
#pragma once

#include "net/frame.h"
#include "net/offload.h"

enum { COALESCE_ACKNOWLEDGED = 32768 }; // beyond the first: half of a window without scaling

struct coalesce {
    u8 bytes[FRAME_MOST]; // the segment so far
    size_t count;         // 0: nothing is held
    unsigned tcp, payload; // offsets
    bool ipv6;
    bool closed;           // nothing may follow: its last packet is short, or is to be seen at once (PSH)
    size_t packet;         // payload of each packet but the last
    unsigned packets;      // 0: an acknowledgement
    u32 acknowledged;      // by the first of those
};

// Holds a packet, in a copy. False: it is not one of those, or does not follow what is held; then what is held has to
// be taken first, and the packet may be offered again.
bool coalesce_add(struct coalesce *coalesce, const u8 *frame, size_t count);

// What is held, to be read from `bytes` before the next packet is added: its size, 0 if it is nothing.
size_t coalesce_take(struct coalesce *coalesce, struct network_header *header);
