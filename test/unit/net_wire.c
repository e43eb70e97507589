// The cable between an adapter and its switch: what goes in comes out, whoever sleeps is woken, and a side that lies in
// the shared memory breaks its own cable and nothing else.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "net/wire.h"

// The layout, as the other side of another build would see it.
enum { RING = 128, HEAD = 0, TAIL = 64, PATIENCE_MS = 20000 };

struct fixture {
    struct wire *adapter, *device;
    u8 *memory; // what a hostile side can write
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct wire_descriptors descriptors;
    struct error error;
    if (wire_create(&descriptors, &error))
        return -1;
    const int memory = dup(descriptors.memory);
    fixture->memory = mmap(NULL, WIRE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    fixture->adapter = wire_open(memory, descriptors.bell[WIRE_ADAPTER], WIRE_ADAPTER, &error);
    fixture->device = wire_open(descriptors.memory, descriptors.bell[WIRE_SWITCH], WIRE_SWITCH, &error);
    *state = fixture;
    return fixture->adapter && fixture->device && fixture->memory != MAP_FAILED ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    wire_close(fixture->adapter);
    wire_close(fixture->device);
    munmap(fixture->memory, WIRE_BYTES);
    free(fixture);
    return 0;
}

static u32 *shared(struct fixture *fixture, enum wire_side receiver, int member)
{
    return (u32 *)(void *)(fixture->memory + receiver * RING + member);
}

static u8 *ring(struct fixture *fixture, enum wire_side receiver)
{
    return fixture->memory + WIRE_PAGE + (size_t)receiver * WIRE_RING;
}

static bool rung(struct wire *wire)
{
    struct pollfd bell = {.fd = wire_bell(wire), .events = POLLIN};
    return poll(&bell, 1, 0) == 1;
}

static bool put(struct wire *wire, size_t bytes, u8 fill)
{
    u8 header[WIRE_HEADER], frame[WIRE_MOST];
    memset(header, 0xEE, sizeof header);
    memset(frame, fill, sizeof frame);
    const struct iovec parts[] = {{frame, (bytes - sizeof header) / 2},
                                  {frame, bytes - sizeof header - (bytes - sizeof header) / 2}};
    return wire_send(wire, header, parts, 2);
}

static size_t get(struct wire *wire, u8 *fill)
{
    const u8 *record;
    const size_t bytes = wire_receive(wire, &record);
    if (bytes) {
        *fill = record[bytes - 1];
        for (size_t i = 0; i < bytes; i++)
            assert_int_equal(record[i], i < WIRE_HEADER ? 0xEE : *fill);
        wire_done(wire);
    }
    return bytes;
}

static void test_records_go_both_ways(void **state)
{
    struct fixture *fixture = *state;
    u8 fill;
    assert_true(put(fixture->adapter, WIRE_LEAST, 1));
    assert_int_equal(get(fixture->device, &fill), 0); // not before the flush
    assert_true(put(fixture->device, WIRE_MOST, 2));
    wire_flush(fixture->adapter);
    wire_flush(fixture->device);
    assert_int_equal(get(fixture->device, &fill), WIRE_LEAST);
    assert_int_equal(fill, 1);
    assert_int_equal(get(fixture->adapter, &fill), WIRE_MOST);
    assert_int_equal(fill, 2);
    assert_int_equal(get(fixture->adapter, &fill), 0);
    assert_false(put(fixture->adapter, WIRE_LEAST - 1, 1));
    assert_false(put(fixture->adapter, WIRE_MOST + 1, 1));
}

// Sizes by chance, until each ring was gone around many times.
static void test_many_records_around_the_ring(void **state)
{
    struct fixture *fixture = *state;
    size_t sizes[1 << 14];
    unsigned sent = 0, received = 0;
    srandom(1);
    while (received < ARRAY_SIZE(sizes)) {
        while (sent < ARRAY_SIZE(sizes)) {
            sizes[sent] = random() % 8 ? WIRE_LEAST + (size_t)random() % 1500
                                       : WIRE_LEAST + (size_t)random() % (WIRE_MOST - WIRE_LEAST + 1);
            if (!put(fixture->adapter, sizes[sent], (u8)sent))
                break;
            sent++;
        }
        wire_flush(fixture->adapter);
        for (long few = random() % 64; few >= 0 && received < sent; few--, received++) {
            u8 fill;
            assert_int_equal(get(fixture->device, &fill), sizes[received]);
            assert_int_equal(fill, (u8)received);
        }
        wire_flush(fixture->device);
    }
    assert_false(wire_is_broken(fixture->adapter));
    assert_false(wire_is_broken(fixture->device));
}

static void test_only_sleepers_are_rung(void **state)
{
    struct fixture *fixture = *state;
    u8 fill;
    put(fixture->adapter, 100, 1);
    wire_flush(fixture->adapter);
    assert_false(rung(fixture->device)); // it is awake
    assert_false(wire_sleep(fixture->device));
    get(fixture->device, &fill);
    assert_true(wire_sleep(fixture->device));
    put(fixture->adapter, 100, 1);
    assert_false(rung(fixture->device));
    wire_flush(fixture->adapter);
    assert_true(rung(fixture->device));
    wire_wake(fixture->device);
    assert_false(rung(fixture->device));
    put(fixture->adapter, 100, 1);
    wire_flush(fixture->adapter);
    assert_false(rung(fixture->device));
}

static void test_a_full_ring_rings_when_there_is_room(void **state)
{
    struct fixture *fixture = *state;
    u8 fill;
    while (put(fixture->adapter, 60000, 7))
        ;
    assert_true(wire_sleep(fixture->adapter));
    assert_false(rung(fixture->adapter));
    assert_int_equal(get(fixture->device, &fill), 60000); // refusing has flushed
    assert_false(rung(fixture->adapter));
    wire_flush(fixture->device);
    assert_true(rung(fixture->adapter));
    assert_true(put(fixture->adapter, 50000, 7));
}

static void *echo(void *context)
{
    struct wire *wire = context;
    const u8 *record;
    for (unsigned count = 0; count < 20000;) {
        size_t bytes;
        while ((bytes = wire_receive(wire, &record))) {
            const struct iovec part = {(void *)(uintptr_t)(record + WIRE_HEADER), bytes - WIRE_HEADER};
            if (!wire_send(wire, record, &part, 1))
                break;
            wire_done(wire);
            count++;
        }
        if (count < 20000 && wire_sleep(wire)) {
            struct pollfd bell = {.fd = wire_bell(wire), .events = POLLIN};
            if (poll(&bell, 1, PATIENCE_MS) != 1)
                return "nobody rang";
        }
        wire_wake(wire);
    }
    wire_flush(wire);
    return NULL;
}

// Two threads that sleep whenever there is nothing to do: no ring of the bell is lost.
static void test_no_bell_is_lost(void **state)
{
    struct fixture *fixture = *state;
    pthread_t thread;
    unsigned sent = 0, received = 0;
    void *complaint;
    assert_int_equal(pthread_create(&thread, NULL, echo, fixture->device), 0);
    while (received < 20000) {
        u8 fill;
        while (sent < 20000 && sent - received < 300 && put(fixture->adapter, 64 + sent % 5000, (u8)sent))
            sent++;
        for (; get(fixture->adapter, &fill); received++)
            assert_int_equal(fill, (u8)received);
        if (sent > received && wire_sleep(fixture->adapter)) {
            struct pollfd bell = {.fd = wire_bell(fixture->adapter), .events = POLLIN};
            assert_int_equal(poll(&bell, 1, PATIENCE_MS), 1);
        }
        wire_wake(fixture->adapter);
    }
    pthread_join(thread, &complaint);
    assert_null(complaint);
}

static void test_indices_that_cannot_be(void **state)
{
    static const u32 heads[] = {1, 4, WIRE_RING + 8, 0x80000000, UINT32_MAX - 7};
    for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
        struct fixture *fixture = *state;
        u8 fill;
        *shared(fixture, WIRE_SWITCH, HEAD) = heads[i];
        assert_int_equal(get(fixture->device, &fill), 0);
        assert_true(wire_is_broken(fixture->device));
        assert_false(put(fixture->device, 100, 1));
        assert_true(wire_sleep(fixture->device)); // a dead cable keeps nobody awake
        teardown(state);
        assert_int_equal(setup(state), 0);
    }
    struct fixture *fixture = *state;
    *shared(fixture, WIRE_ADAPTER, TAIL) = 2 * WIRE_RING; // beyond what was ever sent
    unsigned sent = 0;
    while (sent < 1000 && put(fixture->device, 60000, 1))
        sent++;
    assert_true(sent < 10);
    assert_true(wire_is_broken(fixture->device));
}

static void test_lengths_that_cannot_be(void **state)
{
    static const struct {
        u32 length, head;
    } lies[] = {
        {0, 64}, {WIRE_LEAST - 1, 64}, {WIRE_MOST + 1, WIRE_RING}, {UINT32_MAX - 1, WIRE_RING}, {INT32_MAX, WIRE_RING},
        {100, 8}, {100, 96},              // more than is there
        {UINT32_MAX, 64},                 // a mark that skips what is not there
        {UINT32_MAX, WIRE_RING},          // and one with nothing behind it
    };
    for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
        struct fixture *fixture = *state;
        u8 fill;
        *(u32 *)(void *)ring(fixture, WIRE_SWITCH) = lies[i].length;
        *shared(fixture, WIRE_SWITCH, HEAD) = lies[i].head;
        assert_int_equal(get(fixture->device, &fill), 0);
        assert_true(wire_is_broken(fixture->device));
        teardown(state);
        assert_int_equal(setup(state), 0);
    }
}

// A mark at the ring's last place, and behind it another mark, or a record that would reach over the end.
static void test_marks_that_lead_nowhere(void **state)
{
    for (int lie = 0; lie < 2; lie++) {
        struct fixture *fixture = *state;
        u8 fill;
        while (put(fixture->adapter, 1000, 1))
            ;
        wire_flush(fixture->adapter);
        for (int i = 0; i < 100; i++)
            get(fixture->device, &fill);
        const u32 tail = 100 * 1008;
        u8 *bytes = ring(fixture, WIRE_SWITCH);
        *(u32 *)(void *)(bytes + tail) = lie ? 60000 : UINT32_MAX;
        *(u32 *)(void *)bytes = UINT32_MAX;
        *shared(fixture, WIRE_SWITCH, HEAD) = lie ? tail + 59000 : tail + WIRE_RING;
        const u8 *record;
        for (int i = 0; i < 1000 && wire_receive(fixture->device, &record); i++)
            wire_done(fixture->device);
        assert_true(wire_is_broken(fixture->device));
        teardown(state);
        assert_int_equal(setup(state), 0);
    }
}

static void test_memory_that_is_no_wire(void **state)
{
    struct error error;
    int pair[2];
    (void)state;
    assert_int_equal(pipe(pair), 0);
    assert_null(wire_open(pair[0], pair[1], WIRE_SWITCH, &error));
    const int loose = memfd_create("loose", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(ftruncate(loose, WIRE_BYTES), 0); // it can be cut short under our feet
    assert_null(wire_open(loose, pair[1], WIRE_SWITCH, &error));
    assert_int_equal(ftruncate(loose, WIRE_BYTES - 1), 0);
    assert_int_equal(fcntl(loose, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
    assert_null(wire_open(loose, pair[1], WIRE_SWITCH, &error));
    close(loose);
    close(pair[0]);
    close(pair[1]);
}

static void test_the_other_side_goes(void **state)
{
    struct fixture *fixture = *state;
    assert_true(wire_sleep(fixture->device));
    wire_close(fixture->adapter);
    assert_true(rung(fixture->device));
    wire_wake(fixture->device);
    assert_true(wire_is_hung_up(fixture->device));
    assert_int_equal(wire_bell(fixture->device), -1);
    assert_false(put(fixture->device, 100, 1));
    fixture->adapter = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_records_go_both_ways, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_records_around_the_ring, setup, teardown),
        cmocka_unit_test_setup_teardown(test_only_sleepers_are_rung, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_full_ring_rings_when_there_is_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_bell_is_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_indices_that_cannot_be, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lengths_that_cannot_be, setup, teardown),
        cmocka_unit_test_setup_teardown(test_marks_that_lead_nowhere, setup, teardown),
        cmocka_unit_test(test_memory_that_is_no_wire),
        cmocka_unit_test_setup_teardown(test_the_other_side_goes, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
