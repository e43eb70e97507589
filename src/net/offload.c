// See offload.h. A frame that has to be changed is given as a copy of its headers, changed, and the rest of its parts
// as they are: the payload is read for the checksum and never copied.
#include "net/offload.h"

#include <string.h>

#include "net/frame.h"
#include "net/header.h"
#include "net/sum.h"
#include "net/word.h"

enum {
    HEAD = 256, // the most headers: Ethernet, two tags, IP, TCP with options, and some of IPv6's extensions
    TAGS = 2,
    EXTENSIONS = 8,
};

struct offload {
    struct network_header header; // what is true of the frame
    u8 head[HEAD];
    size_t head_bytes; // in `head`
    size_t bytes;      // of the frame
    const struct iovec *parts;
    unsigned count;
    u32 takes;
    offload_give *give;
    void *context;
    // GSO only.
    unsigned ip, tcp, payload; // offsets
    bool ipv6;
};

size_t offload_bytes(const struct iovec *parts, unsigned count)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < count; i++)
        bytes += parts[i].iov_len;
    return bytes;
}

size_t offload_copy(const struct iovec *parts, unsigned count, size_t from, void *to, size_t bytes)
{
    size_t done = 0;
    for (unsigned i = 0; i < count && done < bytes; i++) {
        if (from >= parts[i].iov_len) {
            from -= parts[i].iov_len;
            continue;
        }
        size_t part = parts[i].iov_len - from;
        if (part > bytes - done)
            part = bytes - done;
        memcpy((u8 *)to + done, (const u8 *)parts[i].iov_base + from, part);
        done += part;
        from = 0;
    }
    return done;
}

// The frame's bytes from `from` on, at most `bytes`, as parts. Returns how many.
static unsigned offload_slice(const struct offload *offload, size_t from, size_t bytes, struct iovec *slice)
{
    unsigned count = 0;
    for (unsigned i = 0; i < offload->count && bytes; i++) {
        const struct iovec *part = &offload->parts[i];
        if (from >= part->iov_len) {
            from -= part->iov_len;
            continue;
        }
        const size_t length = part->iov_len - from < bytes ? part->iov_len - from : bytes;
        slice[count++] = (struct iovec){.iov_base = (u8 *)part->iov_base + from, .iov_len = length};
        bytes -= length;
        from = 0;
    }
    return count;
}

// Where the IP header begins, and its EtherType; 0 if there is none.
static unsigned offload_find_ip(const struct offload *offload, u16 *type)
{
    unsigned at = FRAME_HEADER;
    *type = read16(offload->head + 12);
    for (unsigned i = 0; i < TAGS && (*type == TYPE_VLAN || *type == TYPE_QINQ); i++) {
        if (at + FRAME_TAG > offload->head_bytes)
            return 0;
        *type = read16(offload->head + at + 2);
        at += FRAME_TAG;
    }
    return at;
}

// Where the TCP header behind an IPv4 or IPv6 header begins; 0 if there is none that can be cut. Fragments cannot.
static unsigned offload_find_tcp(const struct offload *offload)
{
    const u8 *ip = offload->head + offload->ip;
    const size_t left = offload->head_bytes - offload->ip;
    if (!offload->ipv6) {
        const unsigned header = 4u * (ip[0] & 15);
        const bool whole = left >= 20 && ip[0] >> 4 == 4 && header >= 20 && !(read16(ip + 6) & 0x3fff);
        return whole && ip[9] == PROTOCOL_TCP ? offload->ip + header : 0;
    }
    if (left < 40 || ip[0] >> 4 != 6)
        return 0;
    u8 next = ip[6];
    size_t at = 40;
    for (unsigned i = 0; i < EXTENSIONS && next != PROTOCOL_TCP; i++) {
        if ((next != IPV6_HOP && next != IPV6_ROUTING && next != IPV6_OPTIONS) || left - at < 8)
            return 0;
        next = ip[at];
        at += 8 + 8u * ip[at + 1];
        if (at > left)
            return 0;
    }
    return next == PROTOCOL_TCP ? offload->ip + (unsigned)at : 0;
}

// True if the frame is the large segment that its header says it is. Corrects in the header what is only a hint.
static bool offload_read_gso(struct offload *offload)
{
    struct network_header *header = &offload->header;
    const u8 kind = header->gso_type & (u8)~NETWORK_GSO_ECN;
    u16 type;
    offload->ip = offload_find_ip(offload, &type);
    offload->ipv6 = kind == NETWORK_GSO_TCP6;
    if (!offload->ip || type != (offload->ipv6 ? TYPE_IPV6 : TYPE_IPV4))
        return false;
    offload->tcp = offload_find_tcp(offload);
    if (!offload->tcp || offload->tcp + 20 > offload->head_bytes)
        return false;
    const unsigned tcp_bytes = 4u * (offload->head[offload->tcp + 12] >> 4);
    offload->payload = offload->tcp + tcp_bytes;
    if (tcp_bytes < 20 || offload->payload > offload->head_bytes || header->gso_bytes < OFFLOAD_LEAST)
        return false;
    header->header_bytes = (u16)offload->payload;
    return (header->flags & NETWORK_NEEDS_CHECKSUM) && header->checksum_start == offload->tcp &&
           header->checksum_offset == 16;
}

// What of the header is true and is a sender's to say.
static bool offload_read(struct offload *offload, const struct network_header *said)
{
    struct network_header *header = &offload->header;
    *header = (struct network_header){.flags = said->flags & (NETWORK_NEEDS_CHECKSUM | NETWORK_DATA_VALID)};
    if (header->flags & NETWORK_NEEDS_CHECKSUM) {
        header->checksum_start = said->checksum_start;
        header->checksum_offset = said->checksum_offset;
        if ((size_t)said->checksum_start + said->checksum_offset + 2 > offload->bytes)
            return false;
    }
    const u8 kind = said->gso_type & (u8)~NETWORK_GSO_ECN;
    if (kind == NETWORK_GSO_NONE)
        return true;
    header->gso_type = said->gso_type;
    header->gso_bytes = said->gso_bytes;
    return (kind == NETWORK_GSO_TCP4 || kind == NETWORK_GSO_TCP6) && offload_read_gso(offload);
}

static u32 offload_needs(const struct network_header *header)
{
    const u8 kind = header->gso_type & (u8)~NETWORK_GSO_ECN;
    return (header->flags & NETWORK_NEEDS_CHECKSUM ? OFFLOAD_CHECKSUM : 0) |
           (kind == NETWORK_GSO_TCP4 ? OFFLOAD_TSO4 : 0) | (kind == NETWORK_GSO_TCP6 ? OFFLOAD_TSO6 : 0) |
           (header->gso_type & NETWORK_GSO_ECN ? OFFLOAD_ECN : 0);
}

static enum offload_result offload_give_one(const struct offload *offload, const struct network_header *header,
                                            const struct iovec *parts, unsigned count)
{
    return offload->give(offload->context, header, parts, count) ? OFFLOAD_PASSED : OFFLOAD_REFUSED;
}

static u16 offload_checksum(const struct sum *sum)
{
    const u16 checksum = (u16)~sum_fold(sum->total);
    return checksum ? checksum : 0xFFFF; // for UDP 0 means "none", for the others the two are the same
}

// The sum of TCP's pseudo header for a segment of `bytes`.
static u16 offload_pseudo(const struct offload *offload, size_t bytes)
{
    return sum_pseudo(offload->head + offload->ip, offload->ipv6, PROTOCOL_TCP, bytes);
}

// IP's headers for the packet with number `index` and `bytes` from the IP header on.
static void offload_write_ip(const struct offload *offload, u8 *head, unsigned index, size_t bytes)
{
    u8 *ip = head + offload->ip;
    if (offload->ipv6) {
        write16(ip + 4, (u16)(bytes - 40));
        return;
    }
    write16(ip + 2, (u32)bytes);
    write16(ip + 4, read16(ip + 4) + index);
    write16(ip + 10, sum_ipv4(ip, offload->tcp - offload->ip));
}

// VIRTIO 1.2, 5.1.6.2: the sender put the pseudo header's sum into the field; the rest of the one's complement sum is
// ours. No protocol has its field behind the longest head.
static enum offload_result offload_finish(struct offload *offload)
{
    const struct network_header *header = &offload->header;
    const size_t field = (size_t)header->checksum_start + header->checksum_offset;
    struct iovec parts[OFFLOAD_PARTS];
    if (field + 2 > offload->head_bytes)
        return OFFLOAD_MALFORMED;
    if (header->gso_type != NETWORK_GSO_NONE) { // a large segment for who takes it as one packet: as long as it says
        offload_write_ip(offload, offload->head, 0, offload->bytes - offload->ip);
        write16(offload->head + field, offload_pseudo(offload, offload->bytes - offload->tcp));
    }
    parts[0] = (struct iovec){.iov_base = offload->head, .iov_len = offload->head_bytes};
    const unsigned count = 1 + offload_slice(offload, offload->head_bytes, offload->bytes, parts + 1);
    struct sum sum = {0};
    sum_add(&sum, offload->head + header->checksum_start, offload->head_bytes - header->checksum_start);
    sum_add_parts(&sum, parts + 1, count - 1);
    write16(offload->head + field, offload_checksum(&sum));
    struct network_header finished = *header;
    finished.flags = (finished.flags & (u8)~NETWORK_NEEDS_CHECKSUM) | NETWORK_DATA_VALID;
    finished.checksum_start = finished.checksum_offset = 0;
    return offload_give_one(offload, &finished, parts, count);
}

// The packet with number `index`: payload from `from` on.
static enum offload_result offload_cut_one(const struct offload *offload, unsigned index, size_t from, size_t bytes)
{
    struct iovec parts[OFFLOAD_PARTS];
    u8 head[HEAD];
    memcpy(head, offload->head, offload->payload);
    u8 *tcp = head + offload->tcp;
    const bool last = from + bytes == offload->bytes;
    const size_t tcp_bytes = offload->payload - offload->tcp + bytes;
    offload_write_ip(offload, head, index, offload->payload - offload->ip + bytes);
    write32(tcp + 4, read32(tcp + 4) + (u32)(from - offload->payload));
    if (!last)
        tcp[TCP_FLAGS] &= (u8)~(TCP_FIN | TCP_PUSH);
    if (index)
        tcp[TCP_FLAGS] &= (u8)~TCP_CWR;
    write16(tcp + 16, offload_pseudo(offload, tcp_bytes));
    parts[0] = (struct iovec){.iov_base = head, .iov_len = offload->payload};
    const unsigned count = 1 + offload_slice(offload, from, bytes, parts + 1);
    struct network_header header = {.flags = NETWORK_NEEDS_CHECKSUM, .checksum_start = (u16)offload->tcp,
                                    .checksum_offset = 16};
    if (!(offload->takes & OFFLOAD_CHECKSUM)) {
        struct sum sum = {0};
        sum_add(&sum, tcp, offload->payload - offload->tcp);
        sum_add_parts(&sum, parts + 1, count - 1);
        write16(tcp + 16, offload_checksum(&sum));
        header = (struct network_header){.flags = NETWORK_DATA_VALID};
    }
    return offload_give_one(offload, &header, parts, count);
}

static enum offload_result offload_cut(const struct offload *offload)
{
    const unsigned step = offload->header.gso_bytes;
    size_t from = offload->payload;
    for (unsigned index = 0; !index || from < offload->bytes; index++, from += step) {
        const size_t left = offload->bytes - from;
        const enum offload_result result = offload_cut_one(offload, index, from, left < step ? left : step);
        if (result != OFFLOAD_PASSED)
            return index ? OFFLOAD_PASSED : result;
    }
    return OFFLOAD_PASSED;
}

enum offload_result offload_pass(const struct network_header *header, const struct iovec *parts, unsigned count,
                                 u32 takes, offload_give *give, void *context)
{
    struct offload offload = {.parts = parts, .count = count, .takes = takes, .give = give, .context = context};
    struct iovec all[OFFLOAD_PARTS];
    if (count >= OFFLOAD_PARTS) // one more may come to it
        return OFFLOAD_MALFORMED;
    offload.bytes = offload_bytes(parts, count);
    if (offload.bytes < FRAME_HEADER || offload.bytes > FRAME_MOST)
        return OFFLOAD_MALFORMED;
    if (!(header->flags & NETWORK_NEEDS_CHECKSUM) && header->gso_type == NETWORK_GSO_NONE) {
        const struct network_header plain = {.flags = header->flags & NETWORK_DATA_VALID};
        return offload_give_one(&offload, &plain, parts, count);
    }
    offload.head_bytes = offload_copy(parts, count, 0, offload.head, HEAD);
    if (!offload_read(&offload, header))
        return OFFLOAD_MALFORMED;
    const u32 missing = offload_needs(&offload.header) & ~takes;
    const bool gso = offload.header.gso_type != NETWORK_GSO_NONE;
    if (missing & ~(u32)OFFLOAD_CHECKSUM || (missing && gso && offload.bytes - offload.ip > IP_MOST))
        return offload_cut(&offload);
    if (missing)
        return offload_finish(&offload);
    // The head that was looked at is the head that is given.
    all[0] = (struct iovec){.iov_base = offload.head, .iov_len = offload.head_bytes};
    return offload_give_one(&offload, &offload.header, all,
                            1 + offload_slice(&offload, offload.head_bytes, offload.bytes, all + 1));
}
