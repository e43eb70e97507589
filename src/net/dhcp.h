// A DHCP server for the guests of a switch (RFC 2131, 2132): a frame in, an answer out. Pure: no descriptors, no clock.
//
// It keeps what it gave away in memory only, and needs no more: an address follows from the guest's own MAC address as
// far as it is free, and a guest that asks for the one it has gets it again, so a server that begins anew disturbs
// nobody. One guest has one address: who asks in the name of another MAC address than its frame's is not answered, so a
// guest that may not change its address cannot take all of them.
//
// One thread uses a server.
#pragma once

#include "net/frame.h"

enum {
    DHCP_LEASES = 4096, // at most, however large the range is
    DHCP_SERVERS = 4,   // name servers it tells
    DHCP_REPLY = 590,   // bytes of an answer, at most: the frame of a packet of 576 bytes, which every client takes
    DHCP_SECONDS = 86400,
};

struct dhcp_config {
    u8 mac[FRAME_MAC]; // the server's, which is the router's too
    u32 router;        // addresses are numbers here: 0xc0a86401 is 192.168.100.1
    u8 bits;           // of the network
    u32 first, last;   // that are given away; the router's is not, though it may lie between
    u32 servers[DHCP_SERVERS]; // 0: no more
};

struct dhcp;

struct dhcp *dhcp_create(const struct dhcp_config *config); // NULL: out of memory
void dhcp_destroy(struct dhcp *dhcp); // NULL is allowed

// Whether the frame is for a DHCP server: nobody else is to get it then.
bool dhcp_is_request(const struct frame *frame);
// The answer, a whole frame in `reply`; 0: none. `now` is in ns and never goes back.
size_t dhcp_answer(struct dhcp *dhcp, const struct frame *frame, u64 now, u8 reply[DHCP_REPLY]);

// Which address a MAC address has; 0: none.
u32 dhcp_find(const struct dhcp *dhcp, const u8 *mac, u64 now);
