// An Ethernet frame as a switch sees it: addresses, one VLAN tag, and as much of what is inside as the port rules ask
// for. Everything is foreign; a frame that ends early simply has fewer layers.
#pragma once

#include "base/types.h"

enum {
    FRAME_MAC = 6,
    FRAME_HEADER = 14,
    FRAME_TAG = 4,
    FRAME_MOST = FRAME_HEADER + FRAME_TAG + 65536, // a segment as large as VIRTIO 1.2, 5.1.6.3.1, has them, with a tag
    FRAME_HEAD = 2048,
    FRAME_ADDRESS = 16,
};

enum frame_network { FRAME_OTHER, FRAME_ARP, FRAME_IPV4, FRAME_IPV6 };

struct frame {
    const u8 *bytes; // from the destination address on, without preamble and checksum: its first FRAME_HEAD, or all
    size_t count;    // of the whole frame
    const u8 *destination, *source; // FRAME_MAC bytes
    bool tagged;
    u16 vlan;       // of the tag, 0..4095; 0 without one
    u8 priority;    // of the tag
    bool stacked;   // another tag is behind it
    u16 type;       // EtherType behind the tag
    size_t payload; // where that begins
    enum frame_network network;
    u8 from[FRAME_ADDRESS], to[FRAME_ADDRESS]; // IP or ARP addresses; IPv4 in the first four bytes
    u8 protocol;                               // IP's, behind IPv6 extension headers; 0 if not known (fragments)
    u16 source_port, destination_port;         // TCP, UDP; 0 if there are none
    u8 icmp_type;                              // ICMP, ICMPv6; 255 if there is none
};

// `bytes` are the first `there` of a frame of `count` bytes; what lies behind them is not looked at. False if it is no
// frame at all: shorter than a header, longer than FRAME_MOST (less by FRAME_TAG without a tag: a port may add one), or
// sent from a group address.
bool frame_read(struct frame *frame, const u8 *bytes, size_t there, size_t count);

static inline bool frame_is_group(const u8 *address)
{
    return address[0] & 1;
}

bool frame_is_dhcp_server(const struct frame *frame); // DHCP and DHCPv6 offers, replies
bool frame_is_router(const struct frame *frame);      // router advertisements and redirects
