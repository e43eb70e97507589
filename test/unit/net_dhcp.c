// The DHCP server: who gets which address, who keeps it, and who is not answered.
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "net/dhcp.h"

enum { MESSAGE = FRAME_HEADER + 28, DISCOVER = 1, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE };
#define SECOND 1000000000ull
#define ROUTER 0xc0a86401u

static const struct dhcp_config config = {.mac = {0, 0x15, 0x5d, 0, 0, 1},
                                          .router = ROUTER,
                                          .bits = 24,
                                          .first = ROUTER, // is passed over
                                          .last = ROUTER + 2,
                                          .servers = {0x08080808}};

static void put32(u8 *at, u32 value)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (u8)(value >> (24 - 8 * i));
}

static u32 get32(const u8 *at)
{
    return (u32)at[0] << 24 | (u32)at[1] << 16 | (u32)at[2] << 8 | at[3];
}

struct answer {
    size_t bytes;
    u8 frame[DHCP_REPLY];
    u8 type;
    u32 address, mask, router, dns, seconds;
};

static void answer_read(struct answer *answer)
{
    const u8 *at = answer->frame + MESSAGE + 240;
    answer->address = get32(answer->frame + MESSAGE + 16);
    for (; at < answer->frame + answer->bytes && *at != 255; at += 2 + at[1]) {
        const u32 value = at[1] == 4 ? get32(at + 2) : 0;
        answer->type = *at == 53 ? at[2] : answer->type;
        answer->mask = *at == 1 ? value : answer->mask;
        answer->router = *at == 3 ? value : answer->router;
        answer->dns = *at == 6 ? value : answer->dns;
        answer->seconds = *at == 51 ? value : answer->seconds;
    }
}

static struct answer ask_as(struct dhcp *dhcp, u8 type, u8 mac, u8 chaddr, u32 wanted, u32 server, u64 now)
{
    u8 bytes[400] = {255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, mac, 8, 0, 0x45};
    u8 *ip = bytes + FRAME_HEADER, *message = bytes + MESSAGE, *option = message + 240;
    struct answer answer = {0};
    struct frame frame;
    ip[9] = 17;
    ip[21] = 68;
    ip[23] = 67;
    memcpy(message, (const u8[]){1, 1, 6}, 3);
    put32(message + 4, 0xabcd1234);
    memcpy(message + 28, (const u8[]){2, 0, 0, 0, 0, chaddr}, 6);
    memcpy(option, (const u8[]){99, 130, 83, 99}, 4);
    option = message + 236 + 4;
    memcpy(message + 236, (const u8[]){99, 130, 83, 99}, 4);
    memcpy(option, (const u8[]){53, 1, type, 50, 4}, 5);
    put32(option + 5, wanted);
    option += wanted ? 9 : 3;
    if (server) {
        option[0] = 54;
        option[1] = 4;
        put32(option + 2, server);
        option += 6;
    }
    *option = 255;
    assert_true(frame_read(&frame, bytes, sizeof bytes, sizeof bytes));
    answer.bytes = dhcp_answer(dhcp, &frame, now, answer.frame);
    if (answer.bytes)
        answer_read(&answer);
    return answer;
}

static struct answer ask(struct dhcp *dhcp, u8 type, u8 mac, u32 wanted, u64 now)
{
    return ask_as(dhcp, type, mac, mac, wanted, 0, now);
}

static void gives_and_renews(void **state)
{
    (void)state;
    struct dhcp *dhcp = dhcp_create(&config);
    struct answer offer = ask(dhcp, DISCOVER, 7, 0, SECOND);
    assert_int_equal(offer.type, OFFER);
    assert_true(offer.address == ROUTER + 1 || offer.address == ROUTER + 2);
    assert_int_equal(offer.mask, 0xffffff00);
    assert_int_equal(offer.router, ROUTER);
    assert_int_equal(offer.dns, 0x08080808);
    assert_int_equal(offer.seconds, DHCP_SECONDS);
    assert_int_equal(get32(offer.frame + MESSAGE + 4), 0xabcd1234);
    assert_memory_equal(offer.frame + FRAME_MAC, config.mac, FRAME_MAC);
    u32 sum = 0;
    for (unsigned i = 0; i < 20; i += 2)
        sum += (u32)(offer.frame[FRAME_HEADER + i] << 8 | offer.frame[FRAME_HEADER + i + 1]);
    assert_int_equal((sum & 0xffff) + (sum >> 16), 0xffff);
    struct answer ack = ask(dhcp, REQUEST, 7, offer.address, 2 * SECOND);
    assert_int_equal(ack.type, ACK);
    assert_int_equal(ack.address, offer.address);
    assert_int_equal(dhcp_find(dhcp, (const u8[]){2, 0, 0, 0, 0, 7}, 3 * SECOND), offer.address);
    // A server that knows nothing gives a guest what it has.
    struct dhcp *other = dhcp_create(&config);
    assert_int_equal(ask(other, REQUEST, 7, offer.address, SECOND).type, ACK);
    dhcp_destroy(other);
    dhcp_destroy(dhcp);
}

static void refuses_foreign_addresses(void **state)
{
    (void)state;
    struct dhcp *dhcp = dhcp_create(&config);
    const u32 first = ask(dhcp, DISCOVER, 7, 0, SECOND).address;
    assert_int_equal(ask(dhcp, REQUEST, 7, first, SECOND).type, ACK);
    assert_int_equal(ask(dhcp, REQUEST, 8, first, SECOND).type, NAK);       // somebody has it
    assert_int_equal(ask(dhcp, REQUEST, 8, ROUTER, SECOND).type, NAK);      // the router's
    assert_int_equal(ask(dhcp, REQUEST, 8, 0x0a000001, SECOND).type, NAK);  // elsewhere
    assert_int_equal(ask_as(dhcp, DISCOVER, 8, 9, 0, 0, SECOND).bytes, 0);  // in another's name
    assert_int_equal(ask_as(dhcp, REQUEST, 8, 8, first, 0x01010101, SECOND).bytes, 0); // another server's
    dhcp_destroy(dhcp);
}

static void runs_out_and_gets_back(void **state)
{
    (void)state;
    struct dhcp *dhcp = dhcp_create(&config);
    for (u8 i = 1; i <= 2; i++)
        assert_int_equal(ask(dhcp, REQUEST, i, ask(dhcp, DISCOVER, i, 0, SECOND).address, SECOND).type, ACK);
    assert_int_equal(ask(dhcp, DISCOVER, 3, 0, SECOND).bytes, 0);
    assert_int_equal(ask(dhcp, DISCOVER, 1, 0, SECOND).type, OFFER); // its own
    const u64 later = (DHCP_SECONDS + 2) * SECOND;
    assert_int_equal(ask(dhcp, DISCOVER, 3, 0, later).type, OFFER);
    // An offer nobody takes is free after a while, an address that a client found in use is not.
    const u32 offered = ask(dhcp, DISCOVER, 3, 0, later).address;
    assert_int_equal(ask(dhcp, DECLINE, 3, offered, later).bytes, 0);
    const u32 next = ask(dhcp, DISCOVER, 3, 0, later + SECOND).address;
    assert_true(next && next != offered);
    assert_int_equal(ask(dhcp, DISCOVER, 4, 0, later + SECOND).bytes, 0);
    assert_int_equal(ask(dhcp, DISCOVER, 4, 0, later + 100 * SECOND).address, next);
    dhcp_destroy(dhcp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_and_renews),
        cmocka_unit_test(refuses_foreign_addresses),
        cmocka_unit_test(runs_out_and_gets_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
