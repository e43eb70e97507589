// See frame.h.
#include "net/frame.h"

#include <string.h>

#include "net/header.h"
#include "net/word.h"

enum {
    IPV6_HEADERS = 8,
    DHCP_SERVER = 67,
    DHCPV6_SERVER = 547,
    ICMP_REDIRECT = 5,
    ICMP_ROUTER = 9,
    ICMPV6_ROUTER = 134,
    ICMPV6_REDIRECT = 137,
    ICMP_NONE = 255,
};

static void frame_transport(struct frame *frame, const u8 *at, size_t left)
{
    if ((frame->protocol == PROTOCOL_TCP || frame->protocol == PROTOCOL_UDP) && left >= 4) {
        frame->source_port = read16(at);
        frame->destination_port = read16(at + 2);
    } else if ((frame->protocol == PROTOCOL_ICMP || frame->protocol == PROTOCOL_ICMPV6) && left >= 1) {
        frame->icmp_type = at[0];
    }
}

static void frame_ipv4(struct frame *frame, const u8 *at, size_t left)
{
    if (left < 20 || at[0] >> 4 != 4)
        return;
    const size_t header = 4u * (at[0] & 15);
    frame->network = FRAME_IPV4;
    memcpy(frame->from, at + 12, 4);
    memcpy(frame->to, at + 16, 4);
    if (header < 20 || header > left || read16(at + 6) & 0x1fff) // a later fragment has no ports
        return;
    frame->protocol = at[9];
    frame_transport(frame, at + header, left - header);
}

static void frame_ipv6(struct frame *frame, const u8 *at, size_t left)
{
    if (left < 40 || at[0] >> 4 != 6)
        return;
    frame->network = FRAME_IPV6;
    memcpy(frame->from, at + 8, FRAME_ADDRESS);
    memcpy(frame->to, at + 24, FRAME_ADDRESS);
    u8 next = at[6];
    size_t offset = 40;
    // A rule that could be evaded by one more extension header would be none: what hides behind more than these has no
    // protocol, and the guards drop that (frame_is_router).
    for (unsigned i = 0; i < IPV6_HEADERS; i++) {
        if (next != IPV6_HOP && next != IPV6_ROUTING && next != IPV6_OPTIONS && next != IPV6_FRAGMENT) {
            frame->protocol = next;
            frame_transport(frame, at + offset, left - offset);
            return;
        }
        if (left - offset < 8 || (next == IPV6_FRAGMENT && read16(at + offset + 2) & 0xfff8))
            return;
        const size_t header = next == IPV6_FRAGMENT ? 8 : 8 + 8u * at[offset + 1];
        next = at[offset];
        if (header > left - offset)
            return;
        offset += header;
    }
}

static void frame_arp(struct frame *frame, const u8 *at, size_t left)
{
    if (left < 28 || read16(at + 2) != TYPE_IPV4 || at[4] != FRAME_MAC || at[5] != 4)
        return;
    frame->network = FRAME_ARP;
    memcpy(frame->from, at + 14, 4);
    memcpy(frame->to, at + 24, 4);
}

bool frame_read(struct frame *frame, const u8 *bytes, size_t there, size_t count)
{
    *frame = (struct frame){.bytes = bytes, .count = count, .icmp_type = ICMP_NONE, .payload = FRAME_HEADER};
    if (there < FRAME_HEADER)
        return false;
    frame->destination = bytes;
    frame->source = bytes + FRAME_MAC;
    frame->type = read16(bytes + 12);
    if (frame_is_group(frame->source))
        return false;
    if (frame->type == TYPE_VLAN || frame->type == TYPE_QINQ) {
        if (there < FRAME_HEADER + FRAME_TAG)
            return false;
        frame->tagged = true;
        frame->vlan = read16(bytes + FRAME_HEADER) & 0xfff;
        frame->priority = bytes[FRAME_HEADER] >> 5;
        frame->type = read16(bytes + FRAME_HEADER + 2);
        frame->payload += FRAME_TAG;
        frame->stacked = frame->type == TYPE_VLAN || frame->type == TYPE_QINQ;
    }
    if (count > FRAME_MOST - (frame->tagged ? 0 : FRAME_TAG)) // a tag may come to it
        return false;
    const u8 *at = bytes + frame->payload;
    const size_t left = there - frame->payload;
    if (frame->type == TYPE_IPV4)
        frame_ipv4(frame, at, left);
    else if (frame->type == TYPE_IPV6)
        frame_ipv6(frame, at, left);
    else if (frame->type == TYPE_ARP)
        frame_arp(frame, at, left);
    return true;
}

bool frame_is_dhcp_server(const struct frame *frame)
{
    if (frame->protocol != PROTOCOL_UDP)
        return false;
    return frame->source_port == (frame->network == FRAME_IPV6 ? DHCPV6_SERVER : DHCP_SERVER);
}

bool frame_is_router(const struct frame *frame)
{
    if (frame->network == FRAME_IPV4)
        return frame->protocol == PROTOCOL_ICMP &&
               (frame->icmp_type == ICMP_REDIRECT || frame->icmp_type == ICMP_ROUTER);
    if (frame->network != FRAME_IPV6)
        return false;
    // RFC 6980: neighbour discovery is never fragmented, so a chain we could not follow is not trusted to a group.
    if (!frame->protocol)
        return frame_is_group(frame->destination);
    return frame->protocol == PROTOCOL_ICMPV6 &&
           (frame->icmp_type == ICMPV6_ROUTER || frame->icmp_type == ICMPV6_REDIRECT);
}
