// User-mode NAT on a switch: which address its router has, what of a flooded switch it takes, and that ports lead in.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <arpa/inet.h>

#include "host/slirp.h"

enum { ROUNDS = 50, ARP = FRAME_HEADER + 28 };

static const u8 router_mac[6] = {0, 0x15, 0x5d, 1, 2, 3}, guest_mac[6] = {0, 0x15, 0x5d, 9, 9, 9};

struct guest {
    struct network_port *port;
    unsigned got;
    u8 frame[2048];
    size_t bytes;
};

static bool guest_receive(void *context, const struct network_header *header, const struct iovec *parts, unsigned count)
{
    struct guest *guest = context;
    (void)header;
    guest->got++;
    guest->bytes = offload_copy(parts, count, 0, guest->frame, sizeof guest->frame);
    return true;
}

static struct guest guest_begin(bool host_only)
{
    struct error error = {""};
    struct slirp_config config = {.bits = 24, .host_only = host_only};
    inet_pton(AF_INET, "192.168.100.1", &config.router);
    memcpy(config.mac, router_mac, 6);
    struct guest guest = {.port = slirp_open(&config, &error)};
    assert_non_null(guest.port);
    return guest;
}

static void guest_plug(struct guest *guest)
{
    guest->port->adapter =
        (struct network_adapter){.context = guest, .receive = guest_receive, .offloads = OFFLOAD_ALL};
}

static void guest_round(struct guest *guest)
{
    struct pollset set = {0};
    pollset_begin(&set);
    guest->port->type->prepare(guest->port, &set);
    pollset_within(&set, 20);
    pollset_wait(&set);
    guest->port->type->dispatch(guest->port, &set);
    pollset_free(&set);
}

static void guest_send(struct guest *guest, const u8 *bytes, size_t count)
{
    const struct network_header header = {0};
    const struct iovec part = {(void *)(uintptr_t)bytes, count};
    network_send(guest->port, &header, &part, 1);
}

static void guest_arp(struct guest *guest, const u8 *destination, u8 last)
{
    u8 frame[ARP] = {[12] = 8, 6, 0, 1, 8, 0, 6, 4, 0, 1};
    memcpy(frame, destination, 6);
    memcpy(frame + 6, guest_mac, 6);
    memcpy(frame + 22, guest_mac, 6);
    memcpy(frame + 28, (const u8[]){192, 168, 100, 2}, 4);
    memcpy(frame + 38, (const u8[]){192, 168, 100, last}, 4);
    guest_send(guest, frame, sizeof frame);
}

static u16 checksum(const u8 *bytes, size_t count)
{
    u32 sum = 0;
    for (size_t i = 0; i < count; i += 2)
        sum += (u32)(bytes[i] << 8 | bytes[i + 1]);
    sum = (sum & 0xffff) + (sum >> 16);
    return (u16)~(sum + (sum >> 16));
}

// An echo request, which the router answers itself.
static void guest_ping(struct guest *guest, const u8 *destination, const u8 *address)
{
    u8 frame[FRAME_HEADER + 28] = {[12] = 8, 0, 0x45, 0, 0, 28, 0, 1, 0, 0, 64, 1};
    memcpy(frame, destination, 6);
    memcpy(frame + 6, guest_mac, 6);
    memcpy(frame + 26, (const u8[]){192, 168, 100, 2}, 4);
    memcpy(frame + 30, address, 4);
    frame[34] = 8;
    u16 sum = checksum(frame + 34, 8);
    frame[36] = (u8)(sum >> 8), frame[37] = (u8)sum;
    sum = checksum(frame + 14, 20);
    frame[24] = (u8)(sum >> 8), frame[25] = (u8)sum;
    guest_send(guest, frame, sizeof frame);
}

static void router_has_its_address(void **state)
{
    (void)state;
    static const u8 everybody[6] = {255, 255, 255, 255, 255, 255}, other[6] = {0, 0x15, 0x5d, 7, 7, 7};
    struct guest guest = guest_begin(true);
    guest_plug(&guest);
    guest_arp(&guest, everybody, 1);
    assert_int_equal(guest.got, 1);
    assert_memory_equal(guest.frame + 6, router_mac, 6);
    assert_memory_equal(guest.frame + 22, router_mac, 6);
    guest_arp(&guest, everybody, 3); // another guest's
    guest_arp(&guest, other, 1);     // flooded
    guest_ping(&guest, other, (const u8[]){192, 168, 100, 1});
    assert_int_equal(guest.got, 1);
    guest_ping(&guest, router_mac, (const u8[]){192, 168, 100, 1});
    guest_round(&guest);
    assert_int_equal(guest.got, 2);
    assert_int_equal(guest.frame[34], 0); // an echo reply
    network_close(guest.port);
}

// A connection to the host's port makes the router look for the guest.
static void ports_lead_in(void **state)
{
    (void)state;
    struct error error = {""};
    struct guest guest = guest_begin(false);
    guest_plug(&guest);
    int taken = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    assert_int_equal(bind(taken, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(taken, (struct sockaddr *)&address, &length), 0);
    assert_int_equal(listen(taken, 1), 0);
    struct slirp_forward forward = {
        .external = address.sin_addr, .external_port = ntohs(address.sin_port), .internal_port = 80};
    inet_pton(AF_INET, "192.168.100.2", &forward.internal);
    assert_int_equal(slirp_forward_add(guest.port, &forward, &error), -1);
    assert_non_null(strstr(error.text, "in use"));
    close(taken);
    assert_int_equal(slirp_forward_add(guest.port, &forward, &error), 0);
    assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof address) < 0 ? errno : EINPROGRESS,
                     EINPROGRESS);
    for (unsigned i = 0; i < ROUNDS && !guest.got; i++)
        guest_round(&guest);
    assert_int_equal(guest.got, 1);
    assert_int_equal(guest.frame[13], 6); // ARP: who is 192.168.100.2?
    assert_memory_equal(guest.frame + 38, &forward.internal, 4);
    struct slirp_session sessions[SLIRP_SESSIONS];
    assert_int_equal(slirp_sessions(guest.port, sessions), 1);
    assert_true(sessions[0].from_outside);
    assert_int_equal(sessions[0].internal.s_addr, forward.internal.s_addr);
    assert_int_equal(sessions[0].internal_port, 80);
    assert_int_equal(sessions[0].external_port, forward.external_port);
    slirp_forward_remove(guest.port, &forward);
    int second = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(second, (struct sockaddr *)&address, sizeof address), -1);
    close(second);
    close(client);
    network_close(guest.port);
}

// A datagram to the router from a port of its own; without a checksum, as RFC 768 allows.
static void guest_datagram(struct guest *guest, u16 from, const struct sockaddr_in *to)
{
    u8 frame[FRAME_HEADER + 28] = {[12] = 8, 0, 0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17};
    memcpy(frame, router_mac, 6);
    memcpy(frame + 6, guest_mac, 6);
    memcpy(frame + 26, (const u8[]){192, 168, 100, 2}, 4);
    memcpy(frame + 30, (const u8[]){192, 168, 100, 1}, 4);
    frame[34] = (u8)(from >> 8), frame[35] = (u8)from;
    memcpy(frame + 36, &to->sin_port, 2);
    frame[39] = 8;
    const u16 sum = checksum(frame + 14, 20);
    frame[24] = (u8)(sum >> 8), frame[25] = (u8)sum;
    guest_send(guest, frame, sizeof frame);
}

// A guest that begins connections without end leaves descriptors to others.
static void sockets_are_bounded(void **state)
{
    enum { BOUND = 8, TRIES = 4 * BOUND };
    (void)state;
    struct error error = {""};
    struct slirp_config config = {.bits = 24, .sockets = BOUND};
    struct slirp_session sessions[SLIRP_SESSIONS];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int server = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(bind(server, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(server, (struct sockaddr *)&address, &length), 0);
    inet_pton(AF_INET, "192.168.100.1", &config.router);
    memcpy(config.mac, router_mac, 6);
    struct guest guest = {.port = slirp_open(&config, &error)};
    assert_non_null(guest.port);
    guest_plug(&guest);
    for (u16 i = 0; i < TRIES; i++) {
        guest_datagram(&guest, (u16)(5000 + i), &address);
        if (i % 5 == 0)
            guest_round(&guest);
    }
    const unsigned count = slirp_sessions(guest.port, sessions);
    assert_true(count >= BOUND / 2 && count <= BOUND);
    close(server);
    network_close(guest.port);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(router_has_its_address),
        cmocka_unit_test(ports_lead_in),
        cmocka_unit_test(sockets_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
