// Packets put together: cutting the segment again gives them back byte for byte, and what may not be together is not.
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "net/coalesce.h"
#include "net/sum.h"
#include "net/word.h"

enum { PACKETS = 64, MOST = 20000, TCP_FIN = 1, TCP_PUSH = 8, TCP_ACK = 16, TCP_CWR = 128 };

struct shape {
    bool ipv6;
    unsigned options; // bytes of TCP options
    size_t payload;
    u32 sequence, acknowledged;
    u16 identification, window;
    u8 flags, port, ttl;
};

struct packet {
    u8 bytes[MOST];
    size_t count;
};

static struct packet packets[PACKETS];
static struct coalesce held;

static unsigned tcp_of(const struct shape *shape) { return FRAME_HEADER + (shape->ipv6 ? 40 : 20); }

static const struct packet *build(struct packet *packet, const struct shape *shape)
{
    u8 *frame = memset(packet->bytes, 0, sizeof packet->bytes);
    u8 *ip = frame + FRAME_HEADER, *tcp = frame + tcp_of(shape);
    const unsigned head = 20 + shape->options;
    packet->count = tcp_of(shape) + head + shape->payload;
    memcpy(frame, "\x02\x11\x22\x33\x44\x55\x52\x55\x0a\x00\x02\x02", 12);
    write16(frame + 12, shape->ipv6 ? 0x86dd : 0x0800);
    if (shape->ipv6) {
        ip[0] = 0x60;
        write16(ip + 4, (u32)(head + shape->payload));
        ip[6] = 6;
        ip[7] = shape->ttl;
        for (unsigned i = 8; i < 40; i++)
            ip[i] = (u8)(i * 5);
    } else {
        ip[0] = 0x45;
        write16(ip + 2, (u32)(20 + head + shape->payload));
        write16(ip + 4, shape->identification);
        ip[8] = shape->ttl;
        ip[9] = 6;
        write32(ip + 12, 0xc0a80001);
        write32(ip + 16, 0xc0a80002);
        write16(ip + 10, sum_ipv4(ip, 20));
    }
    write16(tcp, 0x1200u + shape->port);
    write16(tcp + 2, 80);
    write32(tcp + 4, shape->sequence);
    write32(tcp + 8, shape->acknowledged);
    tcp[12] = (u8)(head / 4 << 4);
    tcp[13] = shape->flags;
    write16(tcp + 14, shape->window);
    memset(tcp + 20, 1, shape->options);
    for (size_t i = 0; i < shape->payload; i++)
        tcp[head + i] = (u8)((shape->sequence + i) * 7 + i / 251);
    struct sum sum = {.total = sum_pseudo(ip, shape->ipv6, 6, head + shape->payload)};
    sum_add(&sum, tcp, head + shape->payload);
    write16(tcp + 16, (u16)~sum_fold(sum.total));
    return packet;
}

static bool add(const struct packet *packet) { return coalesce_add(&held, packet->bytes, packet->count); }

static unsigned cut; // packets that came back

static bool take_back(void *context, const struct network_header *header, const struct iovec *parts, unsigned count)
{
    static u8 bytes[MOST];
    (void)context;
    assert_int_equal(header->flags, NETWORK_DATA_VALID);
    assert_true(cut < PACKETS);
    assert_int_equal(offload_copy(parts, count, 0, bytes, sizeof bytes), packets[cut].count);
    assert_memory_equal(bytes, packets[cut].bytes, packets[cut].count);
    cut++;
    return true;
}

// What is held is the first `count` packets.
static void check_held(unsigned count)
{
    struct network_header header;
    const size_t bytes = coalesce_take(&held, &header);
    const struct iovec part = {held.bytes, bytes};
    cut = 0;
    assert_int_equal(header.gso_type != NETWORK_GSO_NONE, count > 1);
    assert_int_equal(offload_pass(&header, &part, 1, 0, take_back, NULL), OFFLOAD_PASSED);
    assert_int_equal(cut, count);
    assert_int_equal(coalesce_take(&held, &header), 0);
}

static const struct shape plain = {.payload = 1460, .sequence = 0xFFFFF000, .acknowledged = 5, .identification = 0xFFFE,
                                   .window = 500, .flags = TCP_ACK, .port = 1, .ttl = 64};

static void test_cut_again(void **state)
{
    (void)state;
    static const struct { bool ipv6; unsigned options, count; size_t payload, last; u8 end; } runs[] = {
        {false, 0, 44, 1460, 1460, 0}, {false, 12, 45, 1448, 77, TCP_PUSH}, {true, 0, 40, 1440, 1440, TCP_PUSH},
        {true, 20, 3, 15000, 8, 0},    {false, 0, 4, 16344, 16344, 0},      {false, 0, 1, 1460, 1460, TCP_PUSH},
        {false, 40, 2, 8, 8, 0},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(runs); i++) {
        struct shape shape = plain;
        shape.ipv6 = runs[i].ipv6;
        shape.options = runs[i].options;
        for (unsigned k = 0; k < runs[i].count; k++) {
            const bool last = k + 1 == runs[i].count;
            shape.payload = last ? runs[i].last : runs[i].payload;
            shape.flags = TCP_ACK | (last ? runs[i].end : 0);
            assert_true(add(build(&packets[k], &shape)));
            shape.sequence += (u32)shape.payload;
            shape.identification++;
        }
        const bool closed = runs[i].end || runs[i].last < runs[i].payload;
        shape.payload = runs[i].payload;
        shape.flags = TCP_ACK;
        if (closed)
            assert_false(add(build(&packets[PACKETS - 1], &shape)));
        check_held(runs[i].count);
    }
}

// As long as IP can say, and no longer.
static void test_most(void **state)
{
    (void)state;
    struct shape shape = plain;
    unsigned count = 0;
    while (add(build(&packets[count], &shape))) {
        count++;
        shape.sequence += (u32)shape.payload;
        shape.identification++;
    }
    assert_int_equal(count, (65535 - 40) / 1460);
    check_held(count);
}

// Each of these differs from the packet that would follow in one thing.
static void test_what_does_not_follow(void **state)
{
    (void)state;
    struct shape next = plain;
    next.sequence += (u32)plain.payload;
    next.identification++;
    struct shape others[12];
    for (unsigned i = 0; i < ARRAY_SIZE(others); i++)
        others[i] = next;
    others[0].sequence++;
    others[1].sequence--;
    others[2].acknowledged++;
    others[3].window++;
    others[4].port++;
    others[5].ttl++;
    others[6].ipv6 = true;
    others[7].options = 4;
    others[8].payload++;
    others[9].flags |= TCP_FIN;
    others[10].flags |= TCP_CWR;
    others[11].payload = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(others); i++) {
        assert_true(add(build(&packets[0], &plain)));
        assert_false(add(build(&packets[1], &others[i])));
        check_held(1);
    }
    assert_true(add(build(&packets[0], &plain)));
    assert_true(add(build(&packets[1], &next))); // and it would have
    check_held(2);
}

// Not of the kind at all: nothing is held.
static void test_others(void **state)
{
    (void)state;
    static const struct { unsigned at; u8 value; } bytes[] = {
        {12, 0x86}, {12, 9}, {14, 0x46}, {14, 0x65}, {16, 0xFF}, {17, 0}, {20, 0x20}, {21, 1}, {23, 17},
        {46, 0x40}, {47, TCP_ACK | 4}, {47, TCP_ACK | 2}, {47, 0}, {47, TCP_ACK | 32},
    };
    struct network_header header;
    for (unsigned i = 0; i < ARRAY_SIZE(bytes); i++) {
        build(&packets[0], &plain);
        packets[0].bytes[bytes[i].at] = bytes[i].value;
        assert_false(add(&packets[0]));
        assert_int_equal(coalesce_take(&held, &header), 0);
    }
    build(&packets[0], &plain);
    for (size_t count = 0; count < packets[0].count; count++)
        assert_false(coalesce_add(&held, packets[0].bytes, count));
    struct shape small = plain;
    small.payload = OFFLOAD_LEAST - 1; // what cannot be cut is not put together
    assert_false(add(build(&packets[0], &small)));
}

static u32 acknowledged(void)
{
    struct network_header header;
    const size_t count = coalesce_take(&held, &header);
    assert_int_equal(count, FRAME_HEADER + 40);
    assert_int_equal(header.gso_type, NETWORK_GSO_NONE);
    return read32(held.bytes + FRAME_HEADER + 20 + 8);
}

static void test_acknowledgements(void **state)
{
    (void)state;
    struct shape shape = plain;
    shape.payload = 0;
    for (unsigned wrap = 0; wrap < 2; wrap++) {
        const u32 first = wrap ? 0xFFFFF000 : 1000;
        shape.acknowledged = first;
        assert_true(add(build(&packets[0], &shape)));
        assert_false(add(&packets[0])); // the same again tells of a loss
        shape.acknowledged = first - 1;
        assert_false(add(build(&packets[0], &shape)));
        shape.acknowledged = first + 16000;
        shape.window = 77;
        assert_true(add(build(&packets[0], &shape)));
        shape.acknowledged = first + COALESCE_ACKNOWLEDGED;
        assert_true(add(build(&packets[0], &shape)));
        shape.acknowledged++;
        assert_false(add(build(&packets[0], &shape))); // so much at once is enough
        assert_int_equal(acknowledged(), first + COALESCE_ACKNOWLEDGED);
        shape.acknowledged = first;
        assert_true(add(build(&packets[0], &shape)));
        shape.sequence++;
        shape.acknowledged = first + 1;
        assert_false(add(build(&packets[0], &shape)));
        shape.sequence--;
        shape.port++;
        assert_false(add(build(&packets[0], &shape)));
        shape.port--;
        shape.payload = 100; // data, which acknowledges, too
        assert_false(add(build(&packets[0], &shape)));
        shape.payload = 0;
        assert_int_equal(acknowledged(), first);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut_again), cmocka_unit_test(test_most),
        cmocka_unit_test(test_what_does_not_follow), cmocka_unit_test(test_others),
        cmocka_unit_test(test_acknowledgements),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
