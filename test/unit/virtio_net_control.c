// What a driver tells the network adapter over its control queue, and what the adapter then does; offloads, queue
// pairs, the link.
#include "virtio_cable.h"

#include <stdio.h>

#include "net/offload.h"
#include "virtio/net_filter.h"

#define FEATURE(bit) ((u64)1 << (bit))
enum { COMMAND = SEND + 0x40000, CONTROL = 2 * PAIRS, CONTROL_ALONE = 2 };
enum { MQ = 22, GUEST_CSUM = 1, GUEST_TSO4 = 7, HOST_TSO4 = 11, CTRL_OFFLOADS = 2, ANNOUNCE = 21 };

// One command; its answer.
static u8 command(struct driver *driver, u16 queue, u8 class, u8 what, const void *data, u32 bytes)
{
    const u8 header[2] = {class, what}, none = 0xFF;
    driver_put(driver, COMMAND, header, 2);
    driver_put(driver, COMMAND + 2, data, bytes);
    driver_put(driver, COMMAND - 1, &none, 1);
    struct driver_buffer buffers[] = {{COMMAND, 2, false}, {COMMAND + 2, bytes, false}, {COMMAND - 1, 1, true}};
    driver_add(driver, queue, buffers, 3);
    driver_kick(driver, queue);
    assert_int_equal(driver_wait_used(driver, queue).bytes, 1);
    return *(u8 *)memory_pointer(driver->memory, COMMAND - 1, 1);
}

static u8 switch_on(struct driver *driver, u8 mode, u8 on) { return command(driver, CONTROL, 0, mode, &on, 1); }

// Whether a frame for `destination` comes to the guest. Behind it goes one that does for sure.
static bool comes(struct driver *driver, struct cable *cable, const u8 *destination, u16 tag)
{
    u8 own[6];
    for (unsigned i = 0; i < 6; i++)
        own[i] = (u8)driver_read(driver, VIRTIO_PCI_CONFIG + i, 1);
    add_receive_buffer(driver, 2048);
    add_receive_buffer(driver, 2048);
    for (unsigned i = 0; i < 2; i++) {
        pthread_mutex_lock(&cable->lock);
        memset(cable->frame, 0, 64);
        memcpy(cable->frame, i ? own : destination, 6);
        cable->frame[6] = 2;
        if (tag != 0xFFFF && !i)
            memcpy(cable->frame + 12, (const u8[]){0x81, 0, (u8)(tag >> 8), (u8)tag}, 4);
        cable->frame_bytes = i ? 61 : 60;
        cable->frames = 1;
        pthread_mutex_unlock(&cable->lock);
        driver_kick(driver, QUEUE_IN);
        wait_taken(cable);
    }
    if (driver_wait_used(driver, QUEUE_IN).bytes == HEADER + 61) {
        // The second buffer is still the device's: use it up.
        pthread_mutex_lock(&cable->lock);
        cable->frames = 1;
        pthread_mutex_unlock(&cable->lock);
        driver_kick(driver, QUEUE_IN);
        driver_wait_used(driver, QUEUE_IN);
        return false;
    }
    assert_int_equal(driver_wait_used(driver, QUEUE_IN).bytes, HEADER + 61);
    return true;
}

static const u8 broadcast[6] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
static const u8 group[6] = {0x01, 0, 0x5E, 0, 0, 5}, group2[6] = {0x33, 0x33, 0, 0, 0, 1};
static const u8 other[6] = {2, 2, 2, 2, 2, 2}, other2[6] = {2, 2, 2, 2, 2, 3};

static void test_receive_modes(void **state)
{
    (void)state;
    struct cable cable;
    struct driver driver;
    cable_init(&cable);
    begin(&driver, &cable.port, UINT64_MAX);
    assert_true(comes(&driver, &cable, other, 0xFFFF)); // until the driver says otherwise
    assert_int_equal(switch_on(&driver, NET_RX_PROMISCUOUS, 0), 0);
    assert_false(comes(&driver, &cable, other, 0xFFFF));
    assert_false(comes(&driver, &cable, group, 0xFFFF));
    assert_true(comes(&driver, &cable, broadcast, 0xFFFF));
    assert_true(comes(&driver, &cable, mac, 0xFFFF));
    switch_on(&driver, NET_RX_ALL_MULTI, 1);
    assert_true(comes(&driver, &cable, group, 0xFFFF));
    switch_on(&driver, NET_RX_NO_MULTI, 1);
    assert_false(comes(&driver, &cable, group, 0xFFFF));
    assert_true(comes(&driver, &cable, broadcast, 0xFFFF));
    switch_on(&driver, NET_RX_NO_BROADCAST, 1);
    assert_false(comes(&driver, &cable, broadcast, 0xFFFF));
    switch_on(&driver, NET_RX_ALL_UNI, 1);
    assert_true(comes(&driver, &cable, other, 0xFFFF));
    assert_int_equal(switch_on(&driver, NET_RX_MODES, 1), 1);
    driver_destroy(&driver);
}

static void test_address_table(void **state)
{
    (void)state;
    struct cable cable;
    struct driver driver;
    u8 table[8 + 12] = {[0] = 1, [4] = 2, 2, 2, 2, 2, 2, [10] = 1, [14] = 0x01, 0, 0x5E, 0, 0, 5};
    cable_init(&cable);
    begin(&driver, &cable.port, UINT64_MAX);
    switch_on(&driver, NET_RX_PROMISCUOUS, 0);
    assert_int_equal(command(&driver, CONTROL, 1, 0, table, sizeof table), 0);
    assert_true(comes(&driver, &cable, other, 0xFFFF));
    assert_false(comes(&driver, &cable, other2, 0xFFFF));
    assert_true(comes(&driver, &cable, group, 0xFFFF));
    assert_false(comes(&driver, &cable, group2, 0xFFFF));
    assert_int_equal(command(&driver, CONTROL, 1, 0, table, sizeof table - 1), 1);
    assert_true(comes(&driver, &cable, other, 0xFFFF)); // nothing changed
    // The adapter's own address, another one.
    assert_int_equal(command(&driver, CONTROL, 1, 1, other2, 6), 0);
    assert_true(comes(&driver, &cable, other2, 0xFFFF));
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(driver_read(&driver, VIRTIO_PCI_CONFIG + i, 1), other2[i]);
    driver_set_status(&driver, 0);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(driver_read(&driver, VIRTIO_PCI_CONFIG + i, 1), mac[i]);
    driver_destroy(&driver);
}

static void test_vlans(void **state)
{
    (void)state;
    struct cable cable;
    struct driver driver;
    const u16 vlan = 77, none = 4096;
    cable_init(&cable);
    begin(&driver, &cable.port, UINT64_MAX);
    switch_on(&driver, NET_RX_PROMISCUOUS, 0);
    assert_false(comes(&driver, &cable, mac, vlan));
    assert_int_equal(command(&driver, CONTROL, 2, 0, &vlan, 2), 0);
    assert_true(comes(&driver, &cable, mac, vlan));
    assert_false(comes(&driver, &cable, mac, 78));
    assert_int_equal(command(&driver, CONTROL, 2, 1, &vlan, 2), 0);
    assert_false(comes(&driver, &cable, mac, vlan));
    assert_int_equal(command(&driver, CONTROL, 2, 0, &none, 2), 1);
    assert_int_equal(command(&driver, CONTROL, 2, 0, &vlan, 1), 1);
    driver_destroy(&driver);
}

// The tables of addresses alone, at their edges.
static void test_filter_tables(void **state)
{
    (void)state;
    static u8 data[NET_COMMAND_BYTES];
    struct net_filter filter;
    const u8 own[6] = {2};
    net_filter_reset(&filter);
    filter.modes[NET_RX_PROMISCUOUS] = 0;
    const u32 full = NET_FILTER_ADDRESSES, more = NET_FILTER_ADDRESSES + 1, huge = UINT32_MAX;
    for (unsigned i = 0; i < sizeof data; i++)
        data[i] = 4;
    memcpy(data, &full, 4);
    memcpy(data + 4 + 6 * NET_FILTER_ADDRESSES, &full, 4);
    assert_true(net_filter_command(&filter, 1, 0, data, sizeof data, sizeof data));
    assert_int_equal(filter.unicast_count, NET_FILTER_ADDRESSES);
    assert_int_equal(filter.multicast_count, NET_FILTER_ADDRESSES);
    assert_false(net_filter_wants(&filter, own, false, other, 14));
    // One more: all pass.
    memcpy(data, &more, 4);
    assert_true(net_filter_command(&filter, 1, 0, data, sizeof data, sizeof data + 6));
    assert_true(net_filter_wants(&filter, own, false, other, 14));
    assert_true(net_filter_wants(&filter, own, false, group, 14));
    memcpy(data, &huge, 4);
    assert_false(net_filter_command(&filter, 1, 0, data, sizeof data, sizeof data));
    for (size_t bytes = 0; bytes < 8; bytes++) {
        const u8 zeros[8] = {0};
        assert_false(net_filter_command(&filter, 1, 0, zeros, bytes, bytes));
    }
    const u8 zeros[8] = {0};
    assert_true(net_filter_command(&filter, 1, 0, zeros, 8, 8));
    assert_false(net_filter_wants(&filter, own, false, other, 14));
    assert_true(net_filter_wants(&filter, own, false, own, 14));
    assert_false(net_filter_command(&filter, 9, 0, zeros, 8, 8));
}

static void test_command_without_room_needs_reset(void **state)
{
    (void)state;
    struct cable cable;
    struct driver driver;
    cable_init(&cable);
    begin(&driver, &cable.port, UINT64_MAX);
    struct driver_buffer buffer = {COMMAND, 3, false};
    driver_add(&driver, CONTROL, &buffer, 1);
    driver_kick(&driver, CONTROL);
    driver_wait_needs_reset(&driver);
    driver_destroy(&driver);
}

// A driver that knows of one pair only finds the control queue behind that.
static void test_one_pair(void **state)
{
    (void)state;
    struct cable cable;
    struct driver driver;
    const u8 off = 0;
    const u16 pairs = 1;
    cable_init(&cable);
    begin(&driver, &cable.port, ~FEATURE(MQ));
    assert_int_equal(command(&driver, CONTROL_ALONE, 0, NET_RX_PROMISCUOUS, &off, 1), 0);
    assert_int_equal(command(&driver, CONTROL_ALONE, 4, 0, &pairs, 2), 1);
    driver_destroy(&driver);
}

static void put_tcp(u8 *frame, size_t bytes, u16 port)
{
    memset(frame, 0, bytes);
    memcpy(frame, mac, 6);
    frame[6] = 2;
    frame[12] = 8, frame[14] = 0x45, frame[23] = 6;
    frame[16] = (u8)((bytes - 14) >> 8), frame[17] = (u8)(bytes - 14);
    memcpy(frame + 26, "\x0a\x00\x02\x0f\x0a\x00\x02\x02", 8);
    frame[34] = (u8)(port >> 8), frame[35] = (u8)port, frame[37] = 80;
    frame[46] = 0x50, frame[47] = 0x10;
    for (size_t i = 54; i < bytes; i++)
        frame[i] = (u8)(i * 3);
}

// What belongs to a flow comes where the guest sends it.
static void test_pairs(void **state)
{
    (void)state;
    struct cable cable;
    struct driver driver;
    u8 frame[100];
    const u16 pairs = PAIRS, none = 0, more = PAIRS + 1;
    cable_init(&cable);
    begin(&driver, &cable.port, UINT64_MAX);
    assert_int_equal(driver_read(&driver, VIRTIO_PCI_CONFIG + 8, 2), PAIRS);
    assert_int_equal(command(&driver, CONTROL, 4, 0, &none, 2), 1);
    assert_int_equal(command(&driver, CONTROL, 4, 0, &more, 2), 1);
    assert_int_equal(command(&driver, CONTROL, 4, 0, &pairs, 2), 0);
    for (u16 pair = 0; pair < PAIRS; pair++) {
        const u16 in = (u16)(2 * pair), out = (u16)(2 * pair + 1);
        put_tcp(frame, sizeof frame, (u16)(1000 + pair));
        driver_put(&driver, SEND, plain, HEADER);
        driver_put(&driver, SEND + HEADER, frame, sizeof frame);
        struct driver_buffer buffer = {SEND, HEADER + sizeof frame, false};
        driver_add(&driver, out, &buffer, 1);
        driver_kick(&driver, out);
        driver_wait_used(&driver, out);
        // The same flow, the other way.
        struct driver_buffer room = {BUFFER + pair * (u64)BUFFER_STRIDE, 2048, true};
        driver_add(&driver, in, &room, 1);
        pthread_mutex_lock(&cable.lock);
        put_tcp(cable.frame, 60, 80);
        memcpy(cable.frame + 26, "\x0a\x00\x02\x02\x0a\x00\x02\x0f", 8);
        cable.frame[36] = (u8)((1000 + pair) >> 8), cable.frame[37] = (u8)(1000 + pair);
        cable.frame_bytes = 60;
        cable.frames = 1;
        pthread_mutex_unlock(&cable.lock);
        driver_kick(&driver, in);
        assert_int_equal(driver_wait_used(&driver, in).bytes, HEADER + 60);
    }
    driver_destroy(&driver);
}

static void send_segment(struct driver *driver, u32 bytes)
{
    static u8 frame[66000];
    const u8 header[HEADER] = {[0] = 1, [1] = 1, [2] = 54, [4] = 0xB4, 5, [6] = 34, [8] = 16}; // 1460 each
    put_tcp(frame, bytes, 1000);
    send_frame(driver, header, frame, bytes);
}

// To a cable that takes large segments they go as they are, to another one as packets.
static void test_send_segments(void **state)
{
    (void)state;
    struct cable cable;
    struct driver driver;
    cable_init(&cable);
    cable.port.offloads = OFFLOAD_ALL;
    begin(&driver, &cable.port, UINT64_MAX);
    send_segment(&driver, 60054);
    assert_int_equal(cable.sent_count, 1);
    assert_int_equal(cable.sent_bytes, 60054);
    assert_int_equal(cable.sent_header.gso_type, NETWORK_GSO_TCP4);
    assert_int_equal(cable.sent_header.gso_bytes, 1460);
    cable.port.offloads = 0;
    send_segment(&driver, 60054);
    assert_int_equal(cable.sent_count, 1 + 42);
    assert_int_equal(cable.sent_header.flags, NETWORK_DATA_VALID);
    driver_destroy(&driver);
    // A driver that did not take the offload does not have it.
    cable_init(&cable);
    begin(&driver, &cable.port, ~FEATURE(HOST_TSO4));
    send_segment(&driver, 60054);
    assert_int_equal(cable.sent_count, 0);
    driver_destroy(&driver);
}

static void arrive_segment(struct driver *driver, struct cable *cable, size_t bytes)
{
    pthread_mutex_lock(&cable->lock);
    put_tcp(cable->frame, bytes, 1000);
    cable->header = (struct network_header){.flags = NETWORK_NEEDS_CHECKSUM, .gso_type = NETWORK_GSO_TCP4,
                                            .gso_bytes = 1000, .checksum_start = 34, .checksum_offset = 16};
    cable->frame_bytes = bytes;
    cable->frames = 1;
    pthread_mutex_unlock(&cable->lock);
    driver_kick(driver, QUEUE_IN);
}

static void test_receive_segments(void **state)
{
    (void)state;
    struct cable cable;
    struct driver driver;
    cable_init(&cable);
    begin(&driver, &cable.port, UINT64_MAX);
    add_receive_buffer(&driver, 4096);
    arrive_segment(&driver, &cable, 3054);
    assert_int_equal(driver_wait_used(&driver, QUEUE_IN).bytes, HEADER + 3054);
    assert_int_equal(received(&driver, 0)[0], NETWORK_NEEDS_CHECKSUM);
    assert_int_equal(received(&driver, 0)[1], NETWORK_GSO_TCP4);
    // The driver takes its offload back, and gets packets.
    const u64 checksum_only = FEATURE(GUEST_CSUM), never = FEATURE(40);
    assert_int_equal(command(&driver, CONTROL, 5, 0, &never, 8), 1);
    assert_int_equal(command(&driver, CONTROL, 5, 0, &checksum_only, 8), 0);
    for (unsigned i = 0; i < 3; i++)
        add_receive_buffer(&driver, 4096);
    arrive_segment(&driver, &cable, 3054);
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(driver_wait_used(&driver, QUEUE_IN).bytes, HEADER + 1054);
        assert_int_equal(received(&driver, i)[0], NETWORK_NEEDS_CHECKSUM);
        assert_int_equal(received(&driver, i)[1], NETWORK_GSO_NONE);
    }
    driver_destroy(&driver);
}

// A cable without room gets the same frames again, in their order, when it has some.
static void test_cable_without_room(void **state)
{
    (void)state;
    struct cable cable;
    struct driver driver;
    u8 frame[60] = {0};
    cable_init(&cable);
    begin(&driver, &cable.port, UINT64_MAX);
    cable.busy = 3;
    send_frame(&driver, plain, frame, 60);
    assert_int_equal(cable.busy, 0);
    assert_int_equal(cable.sent_count, 1);
    driver_destroy(&driver);
}

static void plug(struct driver *driver, struct cable *cable, bool up)
{
    pthread_mutex_lock(&cable->lock);
    cable->plugged = up;
    cable->plug = true;
    pthread_mutex_unlock(&cable->lock);
    driver_kick(driver, QUEUE_IN);
}

static void test_link(void **state)
{
    (void)state;
    struct cable cable;
    struct driver driver;
    cable_init(&cable);
    begin(&driver, &cable.port, UINT64_MAX);
    const u16 vector = 2 * PAIRS + 1;
    assert_int_equal(driver_read(&driver, VIRTIO_PCI_CONFIG + 6, 2), 1);
    plug(&driver, &cable, false);
    DRIVER_WAIT(&driver, driver.messages[vector] == 1);
    assert_int_equal(driver_read(&driver, VIRTIO_PCI_CONFIG + 6, 2), 0);
    // Another network: the guest announces itself there.
    plug(&driver, &cable, true);
    DRIVER_WAIT(&driver, driver.messages[vector] == 3);
    assert_int_equal(driver_read(&driver, VIRTIO_PCI_CONFIG + 6, 2), 3);
    assert_int_equal(command(&driver, CONTROL, 3, 0, NULL, 0), 0);
    assert_int_equal(driver_read(&driver, VIRTIO_PCI_CONFIG + 6, 2), 1);
    driver_destroy(&driver);
}

// After being restored: what the driver said is still so, and it is told to announce itself.
static void test_restore(void **state)
{
    (void)state;
    struct cable cable;
    struct driver driver;
    struct error error;
    cable_init(&cable);
    begin(&driver, &cable.port, UINT64_MAX);
    const u16 pairs = 2;
    struct virtio *virtio = driver.pci->virtio;
    const struct state_section *section = virtio->type->state;
    u8 *saved = malloc(state_bytes(section, section->version));
    assert_non_null(saved);
    assert_int_equal(switch_on(&driver, NET_RX_PROMISCUOUS, 0), 0);
    assert_int_equal(command(&driver, CONTROL, 1, 1, other, 6), 0);
    assert_int_equal(command(&driver, CONTROL, 4, 0, &pairs, 2), 0);
    pthread_mutex_lock(&virtio->lock);
    state_save(section, virtio, saved);
    pthread_mutex_unlock(&virtio->lock);
    driver_begin(&driver, UINT64_MAX);
    virtio_pause(virtio);
    pthread_mutex_lock(&virtio->lock);
    assert_int_equal(state_load(section, section->version, virtio, saved, state_bytes(section, section->version),
                                &error), 0);
    pthread_mutex_unlock(&virtio->lock);
    virtio_resume(virtio);
    DRIVER_WAIT(&driver, driver.messages[2 * PAIRS + 1] == 1);
    assert_int_equal(driver_read(&driver, VIRTIO_PCI_CONFIG + 6, 2), 3);
    assert_int_equal(driver_read(&driver, VIRTIO_PCI_CONFIG, 1), other[0]);
    assert_false(comes(&driver, &cable, other2, 0xFFFF));
    free(saved);
    driver_destroy(&driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_receive_modes),
        cmocka_unit_test(test_address_table),
        cmocka_unit_test(test_vlans),
        cmocka_unit_test(test_filter_tables),
        cmocka_unit_test(test_command_without_room_needs_reset),
        cmocka_unit_test(test_one_pair),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_send_segments),
        cmocka_unit_test(test_receive_segments),
        cmocka_unit_test(test_cable_without_room),
        cmocka_unit_test(test_link),
        cmocka_unit_test(test_restore),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
