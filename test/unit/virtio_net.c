// The network adapter between a driver of our own and a cable of our own, and then with the real user-mode network
// stack.
#include "virtio_cable.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/slirp.h"

static void test_configuration(void **state)
{
    (void)state;
    struct cable cable;
    struct driver driver;
    cable_init(&cable);
    begin(&driver, &cable.port, UINT64_MAX);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(driver_read(&driver, VIRTIO_PCI_CONFIG + i, 1), mac[i]);
    assert_int_equal(driver_read(&driver, VIRTIO_PCI_CONFIG + 6, 2), 1);
    driver_destroy(&driver);
    assert_int_equal(cable.closed, 0);
}

static void test_send(void **state)
{
    (void)state;
    struct cable cable;
    struct driver driver;
    u8 frame[100];
    memset(frame, 0x5A, sizeof frame);
    cable_init(&cable);
    begin(&driver, &cable.port, UINT64_MAX);
    send_frame(&driver, plain, frame, sizeof frame);
    assert_int_equal(cable.sent_bytes, sizeof frame);
    assert_memory_equal(cable.sent, frame, sizeof frame);
    driver_destroy(&driver);
}

// One's complement sum over a range, as RFC 1071 has it: a sum that includes a right checksum is all ones.
static u16 sum(const u8 *bytes, size_t count)
{
    u32 total = 0;
    for (size_t i = 0; i < count; i++)
        total += i % 2 ? bytes[i] : (u32)bytes[i] << 8;
    while (total >> 16)
        total = (total & 0xFFFF) + (total >> 16);
    return (u16)total;
}

static void test_checksum(void **state)
{
    (void)state;
    struct cable cable;
    struct driver driver;
    cable_init(&cable);
    begin(&driver, &cable.port, UINT64_MAX);
    for (u32 bytes = 60; bytes < 64; bytes++) {
        u8 frame[64], header[HEADER] = {[0] = 1, [6] = 34, [8] = 6};
        for (u32 i = 0; i < bytes; i++)
            frame[i] = (u8)(i * 37);
        send_frame(&driver, header, frame, bytes);
        assert_int_equal(cable.sent_bytes, bytes);
        // The field held the pseudo header's sum. With that added to the data, the sum over all is that of a right
        // checksum: all ones.
        u8 both[66];
        memcpy(both, frame + 40, 2);
        memcpy(both + 2, cable.sent + 34, bytes - 34);
        assert_int_equal(sum(both, bytes - 32), 0xFFFF);
    }
    driver_destroy(&driver);
}

static void test_checksum_outside_the_frame(void **state)
{
    (void)state;
    struct cable cable;
    struct driver driver;
    u8 frame[64] = {0};
    u8 starts[][4] = {{63, 0, 0, 0}, {0xFF, 0xFF, 0, 0}, {0, 0, 63, 0}, {0xFF, 0xFF, 0xFF, 0xFF}, {62, 0, 1, 0}};
    cable_init(&cable);
    begin(&driver, &cable.port, UINT64_MAX);
    for (unsigned i = 0; i < ARRAY_SIZE(starts); i++) {
        u8 header[HEADER] = {[0] = 1, [6] = starts[i][0], starts[i][1], starts[i][2], starts[i][3]};
        send_frame(&driver, header, frame, sizeof frame);
        assert_int_equal(cable.sent_count, 0);
    }
    send_frame(&driver, plain, frame, sizeof frame);
    assert_int_equal(cable.sent_count, 1);
    driver_destroy(&driver);
}

static void test_bad_frames_are_lost(void **state)
{
    (void)state;
    struct cable cable;
    struct driver driver;
    static u8 frame[70000];
    u8 segmented[HEADER] = {[1] = 1};
    cable_init(&cable);
    begin(&driver, &cable.port, UINT64_MAX);
    send_frame(&driver, plain, frame, 13);
    send_frame(&driver, plain, frame, sizeof frame);
    send_frame(&driver, segmented, frame, 1500);
    assert_int_equal(cable.sent_count, 0);
    assert_int_equal(driver_status(&driver), 15);
    driver_destroy(&driver);
}

static void test_frame_without_header_needs_reset(void **state)
{
    (void)state;
    struct cable cable;
    struct driver driver;
    cable_init(&cable);
    begin(&driver, &cable.port, UINT64_MAX);
    struct driver_buffer buffer = {SEND, HEADER - 1, false};
    driver_add(&driver, QUEUE_OUT, &buffer, 1);
    driver_kick(&driver, QUEUE_OUT);
    driver_wait_needs_reset(&driver);
    driver_destroy(&driver);
}

static void test_receive(void **state)
{
    (void)state;
    struct cable cable;
    struct driver driver;
    cable_init(&cable);
    begin(&driver, &cable.port, UINT64_MAX);
    add_receive_buffer(&driver, 2048);
    arrive(&driver, &cable, 1000, 1);
    assert_int_equal(driver_wait_used(&driver, QUEUE_IN).bytes, HEADER + 1000);
    u8 header[HEADER] = {[0] = 2, [10] = 1};
    assert_memory_equal(received(&driver, 0), header, HEADER);
    assert_memory_equal(received(&driver, 0) + HEADER, cable.frame, 1000);
    driver_destroy(&driver);
}

static void test_receive_into_several_buffers(void **state)
{
    (void)state;
    struct cable cable;
    struct driver driver;
    cable_init(&cable);
    begin(&driver, &cable.port, UINT64_MAX);
    for (unsigned i = 0; i < 3; i++)
        add_receive_buffer(&driver, 512);
    arrive(&driver, &cable, 1400, 1);
    assert_int_equal(driver_wait_used(&driver, QUEUE_IN).bytes, 512);
    assert_int_equal(driver_wait_used(&driver, QUEUE_IN).bytes, 512);
    assert_int_equal(driver_wait_used(&driver, QUEUE_IN).bytes, 1412 - 1024);
    assert_int_equal(received(&driver, 0)[10], 3);
    assert_memory_equal(received(&driver, 0) + HEADER, cable.frame, 500);
    assert_memory_equal(received(&driver, 1), cable.frame + 500, 512);
    assert_memory_equal(received(&driver, 2), cable.frame + 1012, 388);
    driver_destroy(&driver);
}

// Frames wait for buffers, and none of a frame is shown before there is room for all of it.
static void test_receive_without_buffers(void **state)
{
    (void)state;
    struct cable cable;
    struct driver driver;
    cable_init(&cable);
    begin(&driver, &cable.port, UINT64_MAX);
    add_receive_buffer(&driver, 512);
    arrive(&driver, &cable, 600, 2);
    send_frame(&driver, plain, cable.frame, 64); // the thread was there
    assert_int_equal(driver_get16(&driver, driver.queues[QUEUE_IN].used + 2), 0);
    for (unsigned i = 0; i < 2; i++) {
        add_receive_buffer(&driver, 512);
        add_receive_buffer(&driver, 512);
        driver_kick(&driver, QUEUE_IN);
        assert_int_equal(driver_wait_used(&driver, QUEUE_IN).bytes, 512);
        assert_int_equal(driver_wait_used(&driver, QUEUE_IN).bytes, 100);
        assert_memory_equal(received(&driver, 2 * i + 1), cable.frame + 500, 100);
    }
    driver_destroy(&driver);
}

static void test_receive_more_than_there_are_buffers(void **state)
{
    (void)state;
    struct cable cable;
    struct driver driver;
    cable_init(&cable);
    begin(&driver, &cable.port, ~FEATURE_MRG_RXBUF);
    arrive(&driver, &cable, 100, 5000);
    send_frame(&driver, plain, cable.frame, 64);
    for (unsigned i = 0; i < 16; i++)
        add_receive_buffer(&driver, 2048);
    driver_kick(&driver, QUEUE_IN);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(driver_wait_used(&driver, QUEUE_IN).bytes, 112);
    driver_set_status(&driver, 0); // with frames still waiting
    driver_destroy(&driver);
}

static void test_frame_larger_than_a_buffer(void **state)
{
    (void)state;
    struct cable cable;
    struct driver driver;
    cable_init(&cable);
    begin(&driver, &cable.port, ~FEATURE_MRG_RXBUF);
    add_receive_buffer(&driver, 512);
    arrive(&driver, &cable, 600, 1); // lost: the one buffer stays for the next
    send_frame(&driver, plain, cable.frame, 64);
    arrive(&driver, &cable, 200, 1);
    assert_int_equal(driver_wait_used(&driver, QUEUE_IN).bytes, 212);
    driver_destroy(&driver);
}

static void test_receive_buffer_without_room_needs_reset(void **state)
{
    (void)state;
    struct cable cable;
    struct driver driver;
    cable_init(&cable);
    begin(&driver, &cable.port, UINT64_MAX);
    add_receive_buffer(&driver, 11);
    arrive(&driver, &cable, 60, 1);
    driver_wait_needs_reset(&driver);
    driver_destroy(&driver);
}

// --- The user-mode network ---

static const u8 router_mac[6] = {0x52, 0x55, 10, 0, 2, 2};

// ARP: I am 10.0.2.15, who is 10.0.2.2?
static void resolve_router(struct driver *driver)
{
    u8 frame[42] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, [12] = 8, 6, 0, 1, 8, 0, 6, 4, 0, 1,
                    [28] = 10, 0, 2, 15, [38] = 10, 0, 2, 2};
    memcpy(frame + 6, mac, 6);
    memcpy(frame + 22, mac, 6);
    add_receive_buffer(driver, 2048);
    send_frame(driver, plain, frame, sizeof frame);
    assert_true(driver_wait_used(driver, QUEUE_IN).bytes >= HEADER + 42);
    u8 *reply = received(driver, (u16)(driver->queues[QUEUE_IN].next_descriptor - 1) % 16u) + HEADER;
    assert_memory_equal(reply, mac, 6);
    assert_memory_equal(reply + 6, router_mac, 6);
    assert_int_equal(reply[21], 2);
    assert_memory_equal(reply + 22, router_mac, 6);
}

static void put_ip_header(u8 *ip, u16 bytes, u8 protocol)
{
    u8 header[20] = {0x45, 0, (u8)(bytes >> 8), (u8)bytes, 0, 1, 0, 0, 64, protocol, 0, 0, 10, 0, 2, 15, 10, 0, 2, 2};
    u16 checksum = (u16)~sum(header, 20);
    header[10] = (u8)(checksum >> 8);
    header[11] = (u8)checksum;
    memcpy(ip, header, 20);
}

// A datagram to a socket on the host's loopback, with the checksum left to the device, and one back.
static void test_user_network(void **state)
{
    (void)state;
    struct error error = {0};
    struct driver driver;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, peer;
    socklen_t length = sizeof address, peer_length = sizeof peer;
    int host = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(bind(host, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(host, (struct sockaddr *)&address, &length), 0);
    struct timeval patience = {.tv_sec = DRIVER_PATIENCE_S};
    setsockopt(host, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    struct network_port *port = slirp_open(NULL, &error);
    assert_non_null(port);
    begin(&driver, port, UINT64_MAX);
    resolve_router(&driver);

    u8 frame[14 + 20 + 8 + 5], header[HEADER] = {[0] = 1, [6] = 34, [8] = 6}, text[16];
    memcpy(frame, router_mac, 6);
    memcpy(frame + 6, mac, 6);
    frame[12] = 8, frame[13] = 0;
    put_ip_header(frame + 14, 33, 17);
    u8 udp[8] = {0x30, 0x39, 0, 0, 0, 13}, pseudo[12] = {10, 0, 2, 15, 10, 0, 2, 2, 0, 17, 0, 13};
    memcpy(udp + 2, &address.sin_port, 2);
    udp[6] = (u8)(sum(pseudo, 12) >> 8);
    udp[7] = (u8)sum(pseudo, 12);
    memcpy(frame + 34, udp, 8);
    memcpy(frame + 42, "hello", 5);
    send_frame(&driver, header, frame, sizeof frame);
    assert_int_equal(recvfrom(host, text, sizeof text, 0, (struct sockaddr *)&peer, &peer_length), 5);
    assert_memory_equal(text, "hello", 5);

    add_receive_buffer(&driver, 2048);
    assert_int_equal(sendto(host, "answer", 6, 0, (struct sockaddr *)&peer, peer_length), 6);
    assert_true(driver_wait_used(&driver, QUEUE_IN).bytes >= HEADER + 48);
    assert_memory_equal(received(&driver, 1) + HEADER + 42, "answer", 6);
    driver_destroy(&driver);
    network_close(port);
    close(host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_configuration),
        cmocka_unit_test(test_send),
        cmocka_unit_test(test_checksum),
        cmocka_unit_test(test_checksum_outside_the_frame),
        cmocka_unit_test(test_bad_frames_are_lost),
        cmocka_unit_test(test_frame_without_header_needs_reset),
        cmocka_unit_test(test_receive),
        cmocka_unit_test(test_receive_into_several_buffers),
        cmocka_unit_test(test_receive_without_buffers),
        cmocka_unit_test(test_receive_more_than_there_are_buffers),
        cmocka_unit_test(test_frame_larger_than_a_buffer),
        cmocka_unit_test(test_receive_buffer_without_room_needs_reset),
        cmocka_unit_test(test_user_network),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
