// See coalesce.h. The rules are those of Linux's tcp_gro_receive: what tells packets apart for the receiver's TCP must
// be the same, so that cutting the segment gives them back.
#include "net/coalesce.h"

#include <string.h>

#include "net/header.h"
#include "net/sum.h"
#include "net/word.h"

// A packet that may be part of a segment.
struct packet {
    const u8 *frame;
    unsigned tcp, payload; // offsets
    size_t bytes;          // of its payload; 0: an acknowledgement
    bool ipv6, push;
};

static bool packet_read_ip(struct packet *packet, size_t count)
{
    const u8 *ip = packet->frame + FRAME_HEADER;
    const u16 type = count < FRAME_HEADER ? 0 : read16(packet->frame + 12);
    packet->ipv6 = type == TYPE_IPV6;
    packet->tcp = FRAME_HEADER + (packet->ipv6 ? IPV6_BYTES : IPV4_BYTES);
    if ((type != TYPE_IPV4 && type != TYPE_IPV6) || count < packet->tcp + TCP_BYTES)
        return false;
    if (packet->ipv6)
        return ip[0] >> 4 == 6 && ip[6] == PROTOCOL_TCP && IPV6_BYTES + read16(ip + 4) == (int)(count - FRAME_HEADER);
    const bool whole = !(read16(ip + 6) & 0x3fff); // no fragment
    return ip[0] == 0x45 && whole && ip[9] == PROTOCOL_TCP && read16(ip + 2) == count - FRAME_HEADER;
}

static bool packet_read(struct packet *packet, const u8 *frame, size_t count)
{
    *packet = (struct packet){.frame = frame};
    if (!packet_read_ip(packet, count))
        return false;
    const u8 *tcp = frame + packet->tcp, flags = tcp[TCP_FLAGS];
    const unsigned tcp_bytes = 4u * (tcp[TCP_LENGTH] >> 4);
    packet->payload = packet->tcp + tcp_bytes;
    packet->push = flags & TCP_PUSH;
    if (tcp_bytes < TCP_BYTES || packet->payload > count || (flags & ~TCP_PUSH) != TCP_ACK)
        return false;
    packet->bytes = count - packet->payload;
    return packet->bytes ? packet->bytes >= OFFLOAD_LEAST : !packet->push;
}

static bool same(const u8 *left, const u8 *right, unsigned from, unsigned to)
{
    return !memcmp(left + from, right + from, to - from);
}

// Everything of IP's header but lengths, identification and checksum.
static bool same_ip(const u8 *left, const u8 *right, bool ipv6)
{
    const unsigned ip = FRAME_HEADER;
    if (ipv6)
        return same(left, right, ip, ip + 4) && same(left, right, ip + 6, ip + IPV6_BYTES);
    return same(left, right, ip, ip + 2) && same(left, right, ip + 6, ip + 10) &&
           same(left, right, ip + 12, ip + IPV4_BYTES);
}

// Of the same connection and direction, with the same options.
static bool same_connection(const struct coalesce *held, const struct packet *packet)
{
    const u8 *have = held->bytes, *more = packet->frame;
    return packet->ipv6 == held->ipv6 && packet->payload == held->payload && same(have, more, 0, FRAME_HEADER) &&
           same_ip(have, more, held->ipv6) && same(have, more, held->tcp, held->tcp + TCP_SEQUENCE) &&
           same(have, more, held->tcp + TCP_CHECKSUM + 2, held->payload);
}

static bool coalesce_follows(const struct coalesce *held, const struct packet *packet)
{
    const u8 *have = held->bytes + held->tcp, *more = packet->frame + held->tcp;
    const size_t so_far = held->count - held->payload;
    return !held->closed && packet->bytes && packet->bytes <= held->packet && same_connection(held, packet) &&
           held->count + packet->bytes <= FRAME_HEADER + (size_t)IP_MOST &&
           read32(more + TCP_SEQUENCE) == read32(have + TCP_SEQUENCE) + (u32)so_far &&
           same(have, more, TCP_ACKNOWLEDGED, TCP_FLAGS) && same(have, more, TCP_FLAGS + 1, TCP_CHECKSUM);
}

// One that acknowledges no more than the last is to be seen: three of them tell of a loss (RFC 5681, 3.2).
static bool coalesce_replaces(const struct coalesce *held, const struct packet *packet)
{
    const u8 *have = held->bytes + held->tcp, *more = packet->frame + held->tcp;
    const u32 before = read32(have + TCP_ACKNOWLEDGED), now = read32(more + TCP_ACKNOWLEDGED);
    return !packet->bytes && same_connection(held, packet) && same(have, more, TCP_SEQUENCE, TCP_ACKNOWLEDGED) &&
           now - before - 1 < COALESCE_ACKNOWLEDGED && now - held->acknowledged <= COALESCE_ACKNOWLEDGED;
}

static void coalesce_begin(struct coalesce *coalesce, const struct packet *packet)
{
    coalesce->tcp = packet->tcp;
    coalesce->payload = packet->payload;
    coalesce->ipv6 = packet->ipv6;
    coalesce->packet = packet->bytes;
    coalesce->packets = 0;
    coalesce->closed = false;
    coalesce->acknowledged = read32(packet->frame + packet->tcp + TCP_ACKNOWLEDGED);
    memcpy(coalesce->bytes, packet->frame, packet->payload);
    coalesce->count = packet->payload;
}

bool coalesce_add(struct coalesce *coalesce, const u8 *frame, size_t count)
{
    struct packet packet;
    if (count > sizeof coalesce->bytes || !packet_read(&packet, frame, count))
        return false;
    if (!coalesce->count)
        coalesce_begin(coalesce, &packet);
    else if (!coalesce->packets && coalesce_replaces(coalesce, &packet))
        memcpy(coalesce->bytes, frame, packet.payload);
    else if (!coalesce->packets || !coalesce_follows(coalesce, &packet))
        return false;
    if (!packet.bytes)
        return true;
    memcpy(coalesce->bytes + coalesce->count, frame + packet.payload, packet.bytes);
    coalesce->count += packet.bytes;
    coalesce->packets++;
    coalesce->closed = packet.push || packet.bytes < coalesce->packet;
    if (packet.push)
        coalesce->bytes[coalesce->tcp + TCP_FLAGS] |= TCP_PUSH;
    return true;
}

size_t coalesce_take(struct coalesce *coalesce, struct network_header *header)
{
    const size_t count = coalesce->count;
    u8 *ip = coalesce->bytes + FRAME_HEADER;
    coalesce->count = 0;
    *header = (struct network_header){.flags = NETWORK_DATA_VALID};
    if (!count || coalesce->packets <= 1)
        return count;
    if (coalesce->ipv6) {
        write16(ip + 4, (u32)(count - FRAME_HEADER - IPV6_BYTES));
    } else {
        write16(ip + 2, (u32)(count - FRAME_HEADER));
        write16(ip + 10, sum_ipv4(ip, IPV4_BYTES));
    }
    write16(coalesce->bytes + coalesce->tcp + TCP_CHECKSUM,
            sum_pseudo(ip, coalesce->ipv6, PROTOCOL_TCP, count - coalesce->tcp));
    *header = (struct network_header){
        .flags = NETWORK_NEEDS_CHECKSUM,
        .gso_type = coalesce->ipv6 ? NETWORK_GSO_TCP6 : NETWORK_GSO_TCP4,
        .header_bytes = (u16)coalesce->payload,
        .gso_bytes = (u16)coalesce->packet,
        .checksum_start = (u16)coalesce->tcp,
        .checksum_offset = TCP_CHECKSUM,
    };
    return count;
}
