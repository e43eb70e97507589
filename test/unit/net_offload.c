// Checksums and segmentation, against a checksum of our own, made a byte at a time.
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "net/frame.h"
#include "net/offload.h"

enum { MOST = 66000, PACKETS = 9000, TCP_FIN = 1, TCP_PUSH = 8, TCP_ACK = 16, TCP_CWR = 128 };

// What came out: whole packets, one behind the other.
struct sink {
    u8 bytes[400000];
    size_t used;
    struct network_header headers[PACKETS];
    size_t at[PACKETS], length[PACKETS];
    unsigned count, refuse_from; // refuses packets with this number and later ones
};

static struct sink sink;
static u8 frame[MOST];

static bool sink_give(void *context, const struct network_header *header, const struct iovec *parts, unsigned count)
{
    struct sink *to = context;
    assert_true(count <= OFFLOAD_PARTS);
    if (to->count >= to->refuse_from)
        return false;
    assert_true(to->count < PACKETS);
    const size_t bytes = offload_bytes(parts, count);
    to->headers[to->count] = *header;
    to->at[to->count] = to->used;
    to->length[to->count++] = bytes;
    assert_int_equal(offload_copy(parts, count, 0, to->bytes + to->used, sizeof to->bytes - to->used), bytes);
    to->used += bytes;
    return true;
}

static void put16(u8 *at, unsigned value)
{
    at[0] = (u8)(value >> 8);
    at[1] = (u8)value;
}

static unsigned get16(const u8 *at) { return (unsigned)at[0] << 8 | at[1]; }

static u32 get32(const u8 *at) { return (u32)get16(at) << 16 | get16(at + 2); }

// RFC 1071: a sum that includes a right checksum is all ones.
static u32 sum(u32 total, const u8 *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        total += i % 2 ? bytes[i] : (u32)bytes[i] << 8;
    while (total >> 16)
        total = (total & 0xFFFF) + (total >> 16);
    return total;
}

struct shape {
    bool ipv6, tagged;
    unsigned options;   // bytes of TCP options
    unsigned extension; // bytes of an IPv6 extension header
    size_t payload;
    unsigned gso;
    u8 flags;
};

struct place {
    unsigned ip, tcp, payload;
    size_t bytes;
};

static u32 pseudo(const struct shape *shape, const u8 *ip, size_t bytes)
{
    u32 total = (u32)bytes + 6;
    return shape->ipv6 ? sum(total, ip + 8, 32) : sum(total, ip + 12, 8);
}

static struct place build(const struct shape *shape, struct network_header *header)
{
    struct place place = {.ip = shape->tagged ? 18 : 14};
    memset(frame, 0, sizeof frame);
    memcpy(frame, "\x52\x55\x0a\x00\x02\x02\x02\x11\x22\x33\x44\x55", 12);
    if (shape->tagged)
        memcpy(frame + 12, "\x81\x00\x20\x07", 4);
    put16(frame + place.ip - 2, shape->ipv6 ? 0x86dd : 0x0800);
    u8 *ip = frame + place.ip;
    place.tcp = place.ip + (shape->ipv6 ? 40 + shape->extension : 20);
    place.payload = place.tcp + 20 + shape->options;
    place.bytes = place.payload + shape->payload;
    for (unsigned i = 0; i < (shape->ipv6 ? 40u : 20u); i++)
        ip[i] = (u8)(i * 11 + 3);
    if (shape->ipv6) {
        ip[0] = 0x60;
        put16(ip + 4, (unsigned)(place.bytes - place.ip - 40));
        ip[6] = shape->extension ? 0 : 6;
        if (shape->extension) {
            ip[40] = 6;
            ip[41] = (u8)(shape->extension / 8 - 1);
        }
    } else {
        ip[0] = 0x45;
        put16(ip + 2, (unsigned)(place.bytes - place.ip));
        put16(ip + 4, 0xFFFE); // so that the identification wraps
        put16(ip + 6, 0x4000);
        ip[9] = 6;
    }
    u8 *tcp = frame + place.tcp;
    memcpy(tcp, "\x12\x34\x56\x78\xFF\xFF\xF0\x00\x01\x02\x03\x04", 12);
    tcp[12] = (u8)((20 + shape->options) / 4 << 4);
    tcp[13] = shape->flags;
    for (size_t i = place.tcp + 20; i < place.bytes; i++)
        frame[i] = (u8)(i * 7 + i / 251);
    put16(tcp + 16, pseudo(shape, ip, place.bytes - place.tcp));
    *header = (struct network_header){
        .flags = NETWORK_NEEDS_CHECKSUM,
        .gso_type = (shape->gso ? shape->ipv6 ? NETWORK_GSO_TCP6 : NETWORK_GSO_TCP4 : 0) |
                    (shape->flags & TCP_CWR ? NETWORK_GSO_ECN : 0),
        .header_bytes = 1, // only a hint, and a wrong one
        .gso_bytes = (u16)shape->gso,
        .checksum_start = (u16)place.tcp,
        .checksum_offset = 16,
    };
    return place;
}

// Through offload_pass, the frame cut into parts of uneven lengths.
static enum offload_result pass(const struct network_header *header, size_t bytes, u32 takes, size_t stride)
{
    struct iovec parts[OFFLOAD_PARTS];
    unsigned count = 0;
    for (size_t at = 0; at < bytes; count++) {
        size_t length = count + 2 == OFFLOAD_PARTS ? bytes - at : stride + count % 3;
        length = length < bytes - at ? length : bytes - at;
        parts[count] = (struct iovec){frame + at, length};
        at += length;
    }
    sink.used = sink.count = 0;
    sink.refuse_from = sink.refuse_from ? sink.refuse_from : PACKETS;
    return offload_pass(header, parts, count, takes, sink_give, &sink);
}

static void check_packet(const struct shape *shape, const struct place *place, unsigned index, u32 takes)
{
    const u8 *packet = sink.bytes + sink.at[index], *ip = packet + place->ip, *tcp = packet + place->tcp;
    const struct network_header *header = &sink.headers[index];
    const size_t from = (size_t)index * shape->gso;
    const size_t bytes = shape->payload - from < shape->gso ? shape->payload - from : shape->gso;
    const bool last = index + 1 == sink.count;
    assert_int_equal(sink.length[index], place->payload + bytes);
    assert_memory_equal(packet, frame, place->ip);
    assert_memory_equal(packet + place->payload, frame + place->payload + from, bytes);
    if (shape->ipv6) {
        assert_int_equal(get16(ip + 4), sink.length[index] - place->ip - 40);
    } else {
        assert_int_equal(get16(ip + 2), sink.length[index] - place->ip);
        assert_int_equal(get16(ip + 4), (0xFFFE + index) & 0xFFFF);
        assert_int_equal(sum(0, ip, 20), 0xFFFF);
    }
    assert_int_equal(get32(tcp + 4), (u32)(0xFFFFF000 + from));
    const unsigned first_only = index ? TCP_CWR : 0, last_only = last ? 0 : TCP_FIN | TCP_PUSH;
    assert_int_equal(tcp[13], shape->flags & ~(first_only | last_only));
    assert_int_equal(header->gso_type, 0);
    const size_t tcp_bytes = sink.length[index] - place->tcp;
    if (takes & OFFLOAD_CHECKSUM) {
        assert_int_equal(header->flags, NETWORK_NEEDS_CHECKSUM);
        assert_int_equal(header->checksum_start, place->tcp);
        assert_int_equal(header->checksum_offset, 16);
        assert_int_equal(get16(tcp + 16), pseudo(shape, ip, tcp_bytes));
    } else {
        assert_int_equal(header->flags, NETWORK_DATA_VALID);
        assert_int_equal(sum(pseudo(shape, ip, tcp_bytes), tcp, tcp_bytes), 0xFFFF);
    }
}

static const struct shape shapes[] = {
    {.payload = 64000, .gso = 1448, .options = 12, .flags = TCP_ACK | TCP_PUSH | TCP_FIN},
    {.payload = 65000, .gso = 1460, .flags = TCP_ACK},
    {.payload = 2920, .gso = 1460, .flags = TCP_ACK | TCP_PUSH},
    {.payload = 2921, .gso = 1460, .flags = TCP_ACK | TCP_CWR},
    {.payload = 100, .gso = 1460, .flags = TCP_ACK | TCP_FIN},
    {.payload = 0, .gso = 1460, .flags = TCP_ACK},
    {.payload = 4001, .gso = 8, .options = 40, .flags = TCP_ACK},
    {.payload = 9999, .gso = 777, .tagged = true, .flags = TCP_ACK | TCP_PUSH},
    {.ipv6 = true, .payload = 64000, .gso = 1440, .flags = TCP_ACK | TCP_PUSH},
    {.ipv6 = true, .tagged = true, .payload = 30001, .gso = 1333, .extension = 16, .options = 20, .flags = TCP_ACK},
};

static void test_cut(void **state)
{
    (void)state;
    static const u32 kinds[] = {0, OFFLOAD_CHECKSUM};
    static const size_t strides[] = {MOST, 1, 53, 4096};
    for (unsigned i = 0; i < ARRAY_SIZE(shapes); i++)
        for (unsigned j = 0; j < ARRAY_SIZE(kinds) * ARRAY_SIZE(strides); j++) {
            const struct shape *shape = &shapes[i];
            const u32 takes = kinds[j % 2];
            struct network_header header;
            const struct place place = build(shape, &header);
            assert_int_equal(pass(&header, place.bytes, takes, strides[j / 2]), OFFLOAD_PASSED);
            const size_t packets = (shape->payload + shape->gso - 1) / shape->gso;
            assert_int_equal(sink.count, packets ? packets : 1);
            for (unsigned k = 0; k < sink.count; k++)
                check_packet(shape, &place, k, takes);
        }
}

// Whoever takes all gets the frame as it is, and a header in which the hints are right.
static void test_as_it_is(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(shapes); i++) {
        struct network_header header;
        const struct place place = build(&shapes[i], &header);
        header.buffers = 7;
        assert_int_equal(pass(&header, place.bytes, OFFLOAD_ALL, 100), OFFLOAD_PASSED);
        header.header_bytes = (u16)place.payload;
        header.buffers = 0;
        assert_int_equal(sink.count, 1);
        assert_int_equal(sink.used, place.bytes);
        assert_memory_equal(sink.bytes, frame, place.bytes);
        assert_memory_equal(&sink.headers[0], &header, sizeof header);
    }
}

// A large segment for somebody who wants it in one piece, but with its checksum.
static void test_checksum_of_a_large_segment(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(shapes); i++) {
        struct network_header header;
        const struct place place = build(&shapes[i], &header);
        const u32 takes = OFFLOAD_ALL & ~OFFLOAD_CHECKSUM;
        put16(frame + place.ip + (shapes[i].ipv6 ? 4 : 2), 0); // senders differ in what lengths they give a segment
        put16(frame + place.tcp + 16, pseudo(&shapes[i], frame + place.ip, 0));
        assert_int_equal(pass(&header, place.bytes, takes, 61), OFFLOAD_PASSED);
        assert_int_equal(sink.count, 1);
        assert_int_equal(sink.headers[0].gso_type, header.gso_type);
        assert_int_equal(sink.headers[0].flags, NETWORK_DATA_VALID);
        const size_t bytes = place.bytes - place.tcp, packet = place.bytes - place.ip;
        const u8 *ip = sink.bytes + place.ip;
        assert_int_equal(get16(ip + (shapes[i].ipv6 ? 4 : 2)), shapes[i].ipv6 ? packet - 40 : packet);
        if (!shapes[i].ipv6)
            assert_int_equal(sum(0, ip, 20), 0xFFFF);
        assert_int_equal(sum(pseudo(&shapes[i], sink.bytes + place.ip, bytes), sink.bytes + place.tcp, bytes), 0xFFFF);
    }
}

// Segments with CWR are cut for those who cannot tell the first packet from the rest.
static void test_ecn(void **state)
{
    (void)state;
    struct network_header header;
    const struct place place = build(&shapes[3], &header);
    assert_int_equal(pass(&header, place.bytes, OFFLOAD_CHECKSUM | OFFLOAD_TSO4, MOST), OFFLOAD_PASSED);
    assert_int_equal(sink.count, 3);
    for (unsigned i = 0; i < 3; i++)
        check_packet(&shapes[3], &place, i, OFFLOAD_CHECKSUM);
}

static void test_plain(void **state)
{
    (void)state;
    const struct network_header header = {.header_bytes = 1, .gso_bytes = 2, .checksum_start = 3, .buffers = 4};
    const struct network_header none = {0};
    memset(frame, 0x5A, 2000);
    assert_int_equal(pass(&header, 2000, 0, 700), OFFLOAD_PASSED);
    assert_int_equal(sink.used, 2000);
    assert_memory_equal(sink.bytes, frame, 2000);
    assert_memory_equal(&sink.headers[0], &none, sizeof none);
    assert_int_equal(pass(&header, FRAME_HEADER, 0, 700), OFFLOAD_PASSED);
    assert_int_equal(pass(&header, FRAME_HEADER - 1, 0, 700), OFFLOAD_MALFORMED);
    assert_int_equal(pass(&header, FRAME_MOST, 0, 700), OFFLOAD_PASSED);
    assert_int_equal(pass(&header, FRAME_MOST + 1, 0, 700), OFFLOAD_MALFORMED);
}

static void test_checksum(void **state)
{
    (void)state;
    for (size_t bytes = 40; bytes < 600; bytes++)
        for (size_t stride = 1; stride < 40; stride += 7) {
            const struct network_header header = {.flags = NETWORK_NEEDS_CHECKSUM, .checksum_start = 17,
                                                  .checksum_offset = 6};
            u8 field[2];
            for (size_t i = 0; i < bytes; i++)
                frame[i] = (u8)(i * 37 + bytes);
            memcpy(field, frame + 23, 2);
            assert_int_equal(pass(&header, bytes, 0, stride), OFFLOAD_PASSED);
            assert_memory_equal(sink.bytes, frame, 23);
            assert_int_equal(sum(sum(0, field, 2), sink.bytes + 17, bytes - 17), 0xFFFF);
        }
    // 0 means "no checksum" to UDP: the other zero is sent.
    const struct network_header header = {.flags = NETWORK_NEEDS_CHECKSUM, .checksum_start = 34, .checksum_offset = 6};
    memset(frame, 0, 100);
    memset(frame + 40, 0xFF, 2);
    pass(&header, 100, 0, MOST);
    assert_int_equal(get16(sink.bytes + 40), 0xFFFF);
}

static void test_malformed(void **state)
{
    (void)state;
    const struct shape v4 = {.payload = 3000, .gso = 1000, .flags = TCP_ACK};
    const struct shape v6 = {.ipv6 = true, .payload = 3000, .gso = 1000, .extension = 8, .flags = TCP_ACK};
    const struct { const struct shape *shape; unsigned at; u8 value; } bytes[] = {
        {&v4, 12, 0x86},       // the other protocol
        {&v4, 14, 0x65}, {&v4, 14, 0x44}, // IP's version, a header too short
        {&v4, 20, 0x20}, {&v4, 21, 1},    // a fragment
        {&v4, 23, 17},         // UDP
        {&v4, 46, 0x40}, {&v4, 46, 0xF0}, // TCP's header too short; longer: then it is no error
        {&v6, 14, 0x40}, {&v6, 20, 44}, {&v6, 55, 255}, {&v6, 54, 17},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(bytes); i++) {
        struct network_header header;
        const struct place place = build(bytes[i].shape, &header);
        frame[bytes[i].at] = bytes[i].value;
        const bool longer = bytes[i].at == 46 && bytes[i].value == 0xF0;
        assert_int_equal(pass(&header, place.bytes, 0, 100), longer ? OFFLOAD_PASSED : OFFLOAD_MALFORMED);
        assert_int_equal(pass(&header, place.bytes, OFFLOAD_ALL, 100), longer ? OFFLOAD_PASSED : OFFLOAD_MALFORMED);
    }
    struct network_header good, bad[8];
    const struct place place = build(&v4, &good);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        bad[i] = good;
    bad[0].gso_bytes = 0;
    bad[1].gso_bytes = OFFLOAD_LEAST - 1;
    bad[2].flags = 0;
    bad[3].gso_type = 3; // UDP fragmentation
    bad[4].checksum_start++;
    bad[5].checksum_offset--;
    bad[6].gso_type = NETWORK_GSO_ECN;
    bad[6].checksum_start = 0xFFFF;
    bad[7].gso_type = 2;
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        for (u32 takes = 0; takes <= OFFLOAD_ALL; takes += OFFLOAD_ALL)
            assert_int_equal(pass(&bad[i], place.bytes, takes, 100), OFFLOAD_MALFORMED);
    for (size_t bytes_left = FRAME_HEADER; bytes_left < place.payload; bytes_left++)
        assert_int_equal(pass(&good, bytes_left, 0, 1), OFFLOAD_MALFORMED);
    assert_int_equal(sink.count, 0);
}

static void test_refused(void **state)
{
    (void)state;
    const struct shape shape = {.payload = 3000, .gso = 1000, .flags = TCP_ACK};
    struct network_header header;
    const struct place place = build(&shape, &header);
    sink.refuse_from = 2;
    assert_int_equal(pass(&header, place.bytes, 0, 100), OFFLOAD_PASSED); // the third is lost
    assert_int_equal(sink.count, 2);
    sink.count = 0;
    struct iovec part = {frame, place.bytes};
    sink.refuse_from = 0;
    assert_int_equal(offload_pass(&header, &part, 1, 0, sink_give, &sink), OFFLOAD_REFUSED);
    assert_int_equal(offload_pass(&header, &part, 1, OFFLOAD_ALL, sink_give, &sink), OFFLOAD_REFUSED);
    struct iovec many[OFFLOAD_PARTS];
    for (unsigned i = 0; i < OFFLOAD_PARTS; i++)
        many[i] = (struct iovec){frame + i, 1};
    sink.refuse_from = PACKETS;
    assert_int_equal(offload_pass(&(struct network_header){0}, many, OFFLOAD_PARTS, 0, sink_give, &sink),
                     OFFLOAD_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_as_it_is),
        cmocka_unit_test(test_checksum_of_a_large_segment),
        cmocka_unit_test(test_ecn),
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_checksum),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
