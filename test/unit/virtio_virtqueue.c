// The reader of rings, against drivers that keep the rules and drivers that do not.
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "virtio/virtqueue.h"

enum { SIZE = 8, TABLE = 0x1000, AVAILABLE = 0x2000, USED = 0x3000, INDIRECT = 0x4000, DATA = 0x10000 };
#define MEMORY MIB(64)

struct ring {
    struct memory *memory;
    struct virtqueue queue;
    struct virtqueue_chain chain;
    u16 available;
};

static int ring_create(void **state)
{
    static struct ring ring;
    struct error error;
    ring = (struct ring){.memory = memory_create(MEMORY, &error)};
    assert_non_null(ring.memory);
    virtqueue_reset(&ring.queue, SIZE);
    ring.queue.state.descriptors = TABLE;
    ring.queue.state.driver = AVAILABLE;
    ring.queue.state.device = USED;
    ring.queue.indirect = true;
    assert_true(virtqueue_start(&ring.queue, ring.memory));
    *state = &ring;
    return 0;
}

static int ring_destroy(void **state)
{
    struct ring *ring = *state;
    memory_destroy(ring->memory);
    return 0;
}

static void put16(struct ring *ring, u64 gpa, u16 value) { assert_true(memory_write(ring->memory, gpa, &value, 2)); }

static u16 get16(struct ring *ring, u64 gpa)
{
    u16 value;
    assert_true(memory_read(ring->memory, gpa, &value, 2));
    return value;
}

static void describe(struct ring *ring, u64 table, u16 index, u64 address, u32 bytes, u16 flags, u16 next)
{
    struct virtqueue_descriptor descriptor = {.address = address, .bytes = bytes, .flags = flags, .next = next};
    assert_true(memory_write(ring->memory, table + index * 16u, &descriptor, sizeof descriptor));
}

static void offer(struct ring *ring, u16 head)
{
    put16(ring, AVAILABLE + 4 + ring->available % SIZE * 2u, head);
    put16(ring, AVAILABLE + 2, ++ring->available);
}

static void expect_chain(struct ring *ring)
{
    enum virtqueue_result result = virtqueue_take(&ring->queue, &ring->chain);
    assert_null(ring->queue.broken);
    assert_int_equal(result, VIRTQUEUE_CHAIN);
}

static void expect_broken(struct ring *ring, const char *section)
{
    assert_int_equal(virtqueue_take(&ring->queue, &ring->chain), VIRTQUEUE_BROKEN);
    assert_non_null(ring->queue.broken);
    assert_non_null(strstr(ring->queue.broken, section));
    // For good.
    assert_int_equal(virtqueue_take(&ring->queue, &ring->chain), VIRTQUEUE_BROKEN);
    assert_false(virtqueue_listen(&ring->queue, 0));
}

enum { NEXT = VIRTQUEUE_DESCRIPTOR_NEXT, WRITE = VIRTQUEUE_DESCRIPTOR_WRITE, TABLES = VIRTQUEUE_DESCRIPTOR_INDIRECT };

static void test_empty(void **state)
{
    struct ring *ring = *state;
    assert_int_equal(virtqueue_take(&ring->queue, &ring->chain), VIRTQUEUE_EMPTY);
}

static void test_chain(void **state)
{
    struct ring *ring = *state;
    describe(ring, TABLE, 5, DATA, 16, NEXT, 2);
    describe(ring, TABLE, 2, DATA + 0x1000, 32, NEXT | WRITE, 7);
    describe(ring, TABLE, 7, DATA + 0x2000, 1, WRITE, 0);
    offer(ring, 5);
    expect_chain(ring);
    assert_int_equal(ring->chain.head, 5);
    assert_int_equal(ring->chain.readable, 1);
    assert_int_equal(ring->chain.writable, 2);
    assert_int_equal(ring->chain.readable_bytes, 16);
    assert_int_equal(ring->chain.writable_bytes, 33);
    assert_ptr_equal(ring->chain.segments[1].iov_base, memory_pointer(ring->memory, DATA + 0x1000, 32));
    virtqueue_return(&ring->queue, &ring->chain, 33);
    assert_int_equal(get16(ring, USED + 2), 0); // not before it is published
    assert_true(virtqueue_publish(&ring->queue));
    assert_int_equal(get16(ring, USED + 2), 1);
    assert_int_equal(get16(ring, USED + 4), 5);
    assert_int_equal(get16(ring, USED + 8), 33);
    assert_int_equal(virtqueue_take(&ring->queue, &ring->chain), VIRTQUEUE_EMPTY);
}

static void test_copy(void **state)
{
    struct ring *ring = *state;
    char text[16] = "";
    memory_write(ring->memory, DATA, "abc", 3);
    memory_write(ring->memory, DATA + 0x100, "defg", 4);
    describe(ring, TABLE, 0, DATA, 3, NEXT, 1);
    describe(ring, TABLE, 1, DATA + 0x100, 4, NEXT, 2);
    describe(ring, TABLE, 2, DATA + 0x200, 2, NEXT | WRITE, 3);
    describe(ring, TABLE, 3, DATA + 0x300, 3, WRITE, 0);
    offer(ring, 0);
    expect_chain(ring);
    assert_int_equal(virtqueue_chain_read(&ring->chain, 2, text, sizeof text), 5);
    assert_memory_equal(text, "cdefg", 5);
    assert_int_equal(virtqueue_chain_read(&ring->chain, 7, text, sizeof text), 0);
    assert_int_equal(virtqueue_chain_write(&ring->chain, 1, "wxyz!", 5), 4);
    memory_read(ring->memory, DATA + 0x201, text, 1);
    memory_read(ring->memory, DATA + 0x300, text + 1, 3);
    assert_memory_equal(text, "wxyz", 4);
}

static void test_wraps_around(void **state)
{
    struct ring *ring = *state;
    // Past 65536, so that each index wraps too.
    for (unsigned i = 0; i < 70000; i++) {
        describe(ring, TABLE, i % SIZE, DATA, 1, 0, 0);
        offer(ring, i % SIZE);
        expect_chain(ring);
        assert_int_equal(ring->chain.head, i % SIZE);
        virtqueue_return(&ring->queue, &ring->chain, 0);
        assert_true(virtqueue_publish(&ring->queue));
    }
    assert_int_equal(get16(ring, USED + 2), (u16)70000);
}

static void test_loop(void **state)
{
    struct ring *ring = *state;
    describe(ring, TABLE, 0, DATA, 16, NEXT, 1);
    describe(ring, TABLE, 1, DATA, 16, NEXT, 0);
    offer(ring, 0);
    expect_broken(ring, "loops");
}

static void test_head_out_of_range(void **state)
{
    struct ring *ring = *state;
    offer(ring, SIZE);
    expect_broken(ring, "beyond the table");
}

static void test_next_out_of_range(void **state)
{
    struct ring *ring = *state;
    describe(ring, TABLE, 0, DATA, 16, NEXT, 0xFFFF);
    offer(ring, 0);
    expect_broken(ring, "beyond the table");
}

static void test_buffer_not_in_memory(void **state)
{
    struct ring *ring = *state;
    describe(ring, TABLE, 0, MEMORY - 8, 16, 0, 0);
    offer(ring, 0);
    expect_broken(ring, "not in memory");
}

static void test_buffer_wraps_address_space(void **state)
{
    struct ring *ring = *state;
    describe(ring, TABLE, 0, -(u64)16, 0xFFFFFFFF, 0, 0);
    offer(ring, 0);
    expect_broken(ring, "not in memory");
}

static void test_huge_lengths(void **state)
{
    struct ring *ring = *state;
    describe(ring, TABLE, 0, 0, 0xFFFFFFFF, 0, 0);
    offer(ring, 0);
    expect_broken(ring, "not in memory");
}

static void test_buffers_add_up_beyond_4g(void **state)
{
    struct ring *ring = *state;
    // Each is in memory, all together are more than a chain may have.
    for (u16 i = 0; i < 128; i++)
        describe(ring, INDIRECT, i, 0, MEMORY, i < 127 ? NEXT : 0, (u16)(i + 1));
    describe(ring, TABLE, 0, INDIRECT, 128 * 16, TABLES, 0);
    offer(ring, 0);
    expect_broken(ring, "4 GiB");
}

static void test_too_many_buffers(void **state)
{
    struct ring *ring = *state;
    u32 entries = 4096;
    for (u32 i = 0; i < entries; i++)
        describe(ring, 0x20000, (u16)i, DATA, 1, i + 1 < entries ? NEXT : 0, (u16)(i + 1));
    describe(ring, TABLE, 0, 0x20000, entries * 16, TABLES, 0);
    offer(ring, 0);
    expect_broken(ring, "2.7.5");
}

static void test_writable_before_readable(void **state)
{
    struct ring *ring = *state;
    describe(ring, TABLE, 0, DATA, 16, NEXT | WRITE, 1);
    describe(ring, TABLE, 1, DATA, 16, 0, 0);
    offer(ring, 0);
    expect_broken(ring, "2.7.4.2");
}

static void test_available_jumps(void **state)
{
    struct ring *ring = *state;
    put16(ring, AVAILABLE + 2, SIZE + 1);
    expect_broken(ring, "jumped");
}

static void test_available_goes_back(void **state)
{
    struct ring *ring = *state;
    describe(ring, TABLE, 0, DATA, 16, 0, 0);
    offer(ring, 0);
    expect_chain(ring);
    put16(ring, AVAILABLE + 2, 0);
    expect_broken(ring, "jumped");
}

static void test_indirect(void **state)
{
    struct ring *ring = *state;
    describe(ring, INDIRECT + 8, 0, DATA, 16, NEXT, 2); // the table need not be aligned
    describe(ring, INDIRECT + 8, 2, DATA + 0x100, 16, WRITE, 0);
    describe(ring, TABLE, 3, INDIRECT + 8, 3 * 16, TABLES, 0);
    offer(ring, 3);
    expect_chain(ring);
    assert_int_equal(ring->chain.head, 3);
    assert_int_equal(ring->chain.readable, 1);
    assert_int_equal(ring->chain.writable, 1);
}

static void test_indirect_after_direct(void **state)
{
    struct ring *ring = *state;
    describe(ring, INDIRECT, 0, DATA + 0x100, 16, WRITE, 0);
    describe(ring, TABLE, 0, DATA, 16, NEXT, 1);
    describe(ring, TABLE, 1, INDIRECT, 16, TABLES, 0);
    offer(ring, 0);
    expect_chain(ring);
    assert_int_equal(ring->chain.readable_bytes, 16);
    assert_int_equal(ring->chain.writable_bytes, 16);
}

static void test_indirect_in_indirect(void **state)
{
    struct ring *ring = *state;
    describe(ring, INDIRECT, 0, INDIRECT, 16, TABLES, 0);
    describe(ring, TABLE, 0, INDIRECT, 16, TABLES, 0);
    offer(ring, 0);
    expect_broken(ring, "indirect table in an indirect table");
}

static void test_indirect_not_negotiated(void **state)
{
    struct ring *ring = *state;
    ring->queue.indirect = false;
    describe(ring, INDIRECT, 0, DATA, 16, 0, 0);
    describe(ring, TABLE, 0, INDIRECT, 16, TABLES, 0);
    offer(ring, 0);
    expect_broken(ring, "not negotiated");
}

static void test_indirect_and_next(void **state)
{
    struct ring *ring = *state;
    describe(ring, TABLE, 0, INDIRECT, 16, TABLES | NEXT, 1);
    offer(ring, 0);
    expect_broken(ring, "INDIRECT and NEXT");
}

static void test_indirect_odd_length(void **state)
{
    struct ring *ring = *state;
    describe(ring, TABLE, 0, INDIRECT, 17, TABLES, 0);
    offer(ring, 0);
    expect_broken(ring, "multiple of 16");
}

static void test_indirect_empty(void **state)
{
    struct ring *ring = *state;
    describe(ring, TABLE, 0, INDIRECT, 0, TABLES, 0);
    offer(ring, 0);
    expect_broken(ring, "multiple of 16");
}

static void test_indirect_not_in_memory(void **state)
{
    struct ring *ring = *state;
    describe(ring, TABLE, 0, MEMORY - 16, 32, TABLES, 0);
    offer(ring, 0);
    expect_broken(ring, "indirect table is not in memory");
}

static void test_indirect_loop(void **state)
{
    struct ring *ring = *state;
    for (u16 i = 0; i < 1024; i++)
        describe(ring, 0x20000, i, DATA, 1, NEXT, (u16)((i + 1) % 1024));
    describe(ring, TABLE, 0, 0x20000, 1024 * 16, TABLES, 0);
    offer(ring, 0);
    assert_int_equal(virtqueue_take(&ring->queue, &ring->chain), VIRTQUEUE_BROKEN);
}

static void test_empty_buffers(void **state)
{
    struct ring *ring = *state;
    describe(ring, TABLE, 0, 0xFFFFFFFFFFFFFFFF, 0, NEXT, 1); // no byte of it is touched
    describe(ring, TABLE, 1, DATA, 4, 0, 0);
    offer(ring, 0);
    expect_chain(ring);
    assert_int_equal(ring->chain.readable, 1);
}

static void test_rings_not_in_memory(void **state)
{
    struct ring *ring = *state;
    u64 bad[] = {MEMORY, MEMORY - 4, (u64)-4096, 0x8000000000000000};
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        virtqueue_reset(&ring->queue, SIZE);
        ring->queue.state.descriptors = TABLE;
        ring->queue.state.driver = AVAILABLE;
        ring->queue.state.device = bad[i];
        assert_false(virtqueue_start(&ring->queue, ring->memory));
        assert_non_null(ring->queue.broken);
        assert_int_equal(virtqueue_take(&ring->queue, &ring->chain), VIRTQUEUE_BROKEN);
    }
}

static void test_rings_not_aligned(void **state)
{
    struct ring *ring = *state;
    virtqueue_reset(&ring->queue, SIZE);
    ring->queue.state.descriptors = TABLE + 8;
    assert_false(virtqueue_start(&ring->queue, ring->memory));
    assert_non_null(strstr(ring->queue.broken, "aligned"));
}

static void test_never_started(void **state)
{
    struct ring *ring = *state;
    virtqueue_reset(&ring->queue, SIZE);
    assert_int_equal(virtqueue_take(&ring->queue, &ring->chain), VIRTQUEUE_EMPTY);
    virtqueue_deafen(&ring->queue);
    assert_false(virtqueue_listen(&ring->queue, 0));
    assert_false(virtqueue_publish(&ring->queue));
}

static void serve_one(struct ring *ring)
{
    describe(ring, TABLE, 0, DATA, 1, 0, 0);
    offer(ring, 0);
    expect_chain(ring);
    virtqueue_return(&ring->queue, &ring->chain, 0);
}

static void test_interrupt_flag(void **state)
{
    struct ring *ring = *state;
    put16(ring, AVAILABLE, 1);
    serve_one(ring);
    assert_false(virtqueue_publish(&ring->queue));
    put16(ring, AVAILABLE, 0);
    assert_false(virtqueue_publish(&ring->queue)); // nothing new
    serve_one(ring);
    assert_true(virtqueue_publish(&ring->queue));
}

static void test_interrupt_event_index(void **state)
{
    struct ring *ring = *state;
    ring->queue.event_index = true;
    u64 used_event = AVAILABLE + 4 + SIZE * 2;
    put16(ring, used_event, 2); // when the third is used
    serve_one(ring);
    assert_false(virtqueue_publish(&ring->queue));
    serve_one(ring);
    assert_false(virtqueue_publish(&ring->queue));
    serve_one(ring);
    assert_true(virtqueue_publish(&ring->queue));
    serve_one(ring);
    assert_false(virtqueue_publish(&ring->queue));
    put16(ring, used_event, 5);
    serve_one(ring);
    serve_one(ring);
    serve_one(ring);
    assert_true(virtqueue_publish(&ring->queue)); // passed within the batch
}

static void test_doorbell_flag(void **state)
{
    struct ring *ring = *state;
    virtqueue_deafen(&ring->queue);
    assert_int_equal(get16(ring, USED), 1);
    assert_false(virtqueue_listen(&ring->queue, 0));
    assert_int_equal(get16(ring, USED), 0);
    offer(ring, 0);
    assert_true(virtqueue_listen(&ring->queue, 0));
}

static void test_doorbell_event_index(void **state)
{
    struct ring *ring = *state;
    ring->queue.event_index = true;
    serve_one(ring);
    assert_false(virtqueue_listen(&ring->queue, 0));
    assert_int_equal(get16(ring, USED + 4 + SIZE * 8), 1);
}

// A chain that was seen and left is no news.
static void test_doorbell_beyond_known(void **state)
{
    struct ring *ring = *state;
    ring->queue.event_index = true;
    offer(ring, 0);
    assert_true(virtqueue_listen(&ring->queue, 0));
    assert_false(virtqueue_listen(&ring->queue, 1));
    assert_int_equal(get16(ring, USED + 4 + SIZE * 8), 1);
    offer(ring, 0);
    assert_true(virtqueue_listen(&ring->queue, 1));
}

static void test_untake(void **state)
{
    struct ring *ring = *state;
    describe(ring, TABLE, 1, DATA, 4, WRITE, 0);
    describe(ring, TABLE, 2, DATA, 4, WRITE, 0);
    offer(ring, 1);
    offer(ring, 2);
    expect_chain(ring);
    virtqueue_return(&ring->queue, &ring->chain, 4);
    expect_chain(ring);
    virtqueue_return(&ring->queue, &ring->chain, 4);
    virtqueue_unreturn(&ring->queue, 2);
    virtqueue_untake(&ring->queue, 2);
    assert_false(virtqueue_publish(&ring->queue));
    expect_chain(ring);
    assert_int_equal(ring->chain.head, 1);
}

#define RING_TEST(name) cmocka_unit_test_setup_teardown(name, ring_create, ring_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RING_TEST(test_empty), RING_TEST(test_chain), RING_TEST(test_copy), RING_TEST(test_wraps_around),
        RING_TEST(test_loop), RING_TEST(test_head_out_of_range), RING_TEST(test_next_out_of_range),
        RING_TEST(test_buffer_not_in_memory), RING_TEST(test_buffer_wraps_address_space), RING_TEST(test_huge_lengths),
        RING_TEST(test_buffers_add_up_beyond_4g), RING_TEST(test_too_many_buffers),
        RING_TEST(test_writable_before_readable),
        RING_TEST(test_available_jumps), RING_TEST(test_available_goes_back), RING_TEST(test_indirect),
        RING_TEST(test_indirect_after_direct), RING_TEST(test_indirect_in_indirect),
        RING_TEST(test_indirect_not_negotiated), RING_TEST(test_indirect_and_next), RING_TEST(test_indirect_odd_length),
        RING_TEST(test_indirect_empty), RING_TEST(test_indirect_not_in_memory), RING_TEST(test_indirect_loop),
        RING_TEST(test_empty_buffers), RING_TEST(test_rings_not_in_memory), RING_TEST(test_rings_not_aligned),
        RING_TEST(test_never_started), RING_TEST(test_interrupt_flag), RING_TEST(test_interrupt_event_index),
        RING_TEST(test_doorbell_flag), RING_TEST(test_doorbell_event_index), RING_TEST(test_doorbell_beyond_known),
        RING_TEST(test_untake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
