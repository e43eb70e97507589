// See dhcp.h. The fields of a message are RFC 2131's, section 2; the codes of options RFC 2132's.
#include "net/dhcp.h"

#include <stdlib.h>
#include <string.h>

#include "net/header.h"
#include "net/sum.h"
#include "net/word.h"

enum {
    UDP_BYTES = 8,
    PORT_SERVER = 67,
    PORT_CLIENT = 68,
    // Offsets in a message
    MESSAGE_OP = 0,
    MESSAGE_HARDWARE = 1,
    MESSAGE_LENGTH = 2,
    MESSAGE_ID = 4,
    MESSAGE_FLAGS = 10,
    MESSAGE_CLIENT = 12, // the address the client has
    MESSAGE_YOURS = 16,  // the address it gets
    MESSAGE_RELAY = 24,
    MESSAGE_MAC = 28,
    MESSAGE_COOKIE = 236,
    MESSAGE_OPTIONS = 240,
    MESSAGE_LEAST = 300, // bytes: BOOTP's size, which old clients insist on
    OP_REQUEST = 1,
    OP_REPLY = 2,
    FLAG_BROADCAST = 0x8000,
    // Options
    OPTION_PAD = 0,
    OPTION_MASK = 1,
    OPTION_ROUTER = 3,
    OPTION_DNS = 6,
    OPTION_ADDRESS = 50,
    OPTION_LEASE = 51,
    OPTION_TYPE = 53,
    OPTION_SERVER = 54,
    OPTION_END = 255,
    // Message types
    DISCOVER = 1,
    OFFER = 2,
    REQUEST = 3,
    DECLINE = 4,
    ACK = 5,
    NAK = 6,
    RELEASE = 7,
    INFORM = 8,
};

enum { OFFER_SECONDS = 60, DECLINED_SECONDS = 600 };
#define SECOND 1000000000ull

static const u8 cookie[4] = {99, 130, 83, 99};

struct lease {
    u64 until; // 0: free
    u8 mac[FRAME_MAC]; // zeros: somebody else has the address, as a client told
};

struct dhcp {
    struct dhcp_config config;
    u32 count; // addresses from config.first on
    struct lease leases[];
};

// What of a request is looked at.
struct request {
    u8 type;
    const u8 *message;
    u32 client, wanted, server; // 0: not said
    bool broadcast;
};

struct dhcp *dhcp_create(const struct dhcp_config *config)
{
    const u64 range = config->last >= config->first ? (u64)config->last - config->first + 1 : 0;
    const u32 count = (u32)(range < DHCP_LEASES ? range : DHCP_LEASES);
    struct dhcp *dhcp = calloc(1, sizeof *dhcp + count * sizeof dhcp->leases[0]);
    if (!dhcp)
        return NULL;
    dhcp->config = *config;
    dhcp->count = count;
    return dhcp;
}

void dhcp_destroy(struct dhcp *dhcp)
{
    free(dhcp);
}

bool dhcp_is_request(const struct frame *frame)
{
    return frame->network == FRAME_IPV4 && frame->protocol == PROTOCOL_UDP && !frame->tagged &&
           frame->destination_port == PORT_SERVER && frame->source_port == PORT_CLIENT;
}

// --- Reading ---------------------------------------------------------------------------------------------------------

static void request_option(struct request *request, u8 code, const u8 *value, u8 length)
{
    if (code == OPTION_TYPE && length == 1)
        request->type = *value;
    else if (code == OPTION_ADDRESS && length == 4)
        request->wanted = read32(value);
    else if (code == OPTION_SERVER && length == 4)
        request->server = read32(value);
}

// False: nothing that is to be answered.
static bool request_read(struct request *request, const struct frame *frame)
{
    const u8 *ip = frame->bytes + frame->payload;
    const size_t header = 4u * (ip[0] & 15), left = frame->count - frame->payload - header;
    if (left < UDP_BYTES + MESSAGE_OPTIONS)
        return false;
    const u8 *message = ip + header + UDP_BYTES;
    const size_t bytes = left - UDP_BYTES;
    *request = (struct request){.message = message, .client = read32(message + MESSAGE_CLIENT)};
    if (message[MESSAGE_OP] != OP_REQUEST || message[MESSAGE_HARDWARE] != 1 || message[MESSAGE_LENGTH] != FRAME_MAC ||
        memcmp(message + MESSAGE_MAC, frame->source, FRAME_MAC) || memcmp(message + MESSAGE_COOKIE, cookie, 4) ||
        read32(message + MESSAGE_RELAY))
        return false;
    request->broadcast = message[MESSAGE_FLAGS] & FLAG_BROADCAST >> 8;
    for (size_t at = MESSAGE_OPTIONS; at < bytes && message[at] != OPTION_END;) {
        if (message[at] == OPTION_PAD) {
            at++;
            continue;
        }
        if (bytes - at < 2 || bytes - at - 2 < message[at + 1])
            return false;
        request_option(request, message[at], message + at + 2, message[at + 1]);
        at += 2u + message[at + 1];
    }
    return true;
}

// --- Leases ----------------------------------------------------------------------------------------------------------

static u32 lease_address(const struct dhcp *dhcp, u32 index)
{
    return dhcp->config.first + index;
}

static bool lease_is_free(const struct dhcp *dhcp, u32 index, const u8 *mac, u64 now)
{
    const struct lease *lease = &dhcp->leases[index];
    return lease_address(dhcp, index) != dhcp->config.router &&
           (lease->until <= now || !memcmp(lease->mac, mac, FRAME_MAC));
}

static bool lease_index(const struct dhcp *dhcp, u32 address, u32 *index)
{
    *index = address - dhcp->config.first;
    return address >= dhcp->config.first && *index < dhcp->count;
}

static u32 lease_hash(const u8 *mac)
{
    u32 hash = 2166136261u;
    for (unsigned i = 0; i < FRAME_MAC; i++)
        hash = (hash ^ mac[i]) * 16777619u;
    return hash;
}

// The address a guest has, else the one it wants, else the one its own follows from, else the next that is free.
static bool lease_choose(const struct dhcp *dhcp, const u8 *mac, u32 wanted, u64 now, u32 *index)
{
    for (u32 i = 0; i < dhcp->count; i++)
        if (dhcp->leases[i].until > now && !memcmp(dhcp->leases[i].mac, mac, FRAME_MAC)) {
            *index = i;
            return true;
        }
    if (lease_index(dhcp, wanted, index) && lease_is_free(dhcp, *index, mac, now))
        return true;
    const u32 start = dhcp->count ? lease_hash(mac) % dhcp->count : 0;
    for (u32 i = 0; i < dhcp->count; i++) {
        *index = (start + i) % dhcp->count;
        if (lease_is_free(dhcp, *index, mac, now))
            return true;
    }
    return false;
}

static void lease_take(struct dhcp *dhcp, u32 index, const u8 *mac, u64 until)
{
    dhcp->leases[index].until = until;
    memcpy(dhcp->leases[index].mac, mac, FRAME_MAC);
}

u32 dhcp_find(const struct dhcp *dhcp, const u8 *mac, u64 now)
{
    for (u32 i = 0; i < dhcp->count; i++)
        if (dhcp->leases[i].until > now && !memcmp(dhcp->leases[i].mac, mac, FRAME_MAC))
            return lease_address(dhcp, i);
    return 0;
}

// --- Answering -------------------------------------------------------------------------------------------------------

static u8 *put_option(u8 *at, u8 code, u32 value)
{
    at[0] = code;
    at[1] = 4;
    write32(at + 2, value);
    return at + 6;
}

static u8 *put_options(u8 *at, const struct dhcp *dhcp, u8 type, bool leased)
{
    const struct dhcp_config *config = &dhcp->config;
    *at++ = OPTION_TYPE;
    *at++ = 1;
    *at++ = type;
    at = put_option(at, OPTION_SERVER, config->router);
    if (type != NAK) {
        if (leased)
            at = put_option(at, OPTION_LEASE, DHCP_SECONDS);
        at = put_option(at, OPTION_MASK, config->bits ? UINT32_MAX << (32 - config->bits) : 0);
        at = put_option(at, OPTION_ROUTER, config->router);
        u8 *length = at + 1;
        at[0] = OPTION_DNS;
        at += 2;
        for (unsigned i = 0; i < DHCP_SERVERS && config->servers[i]; i++, at += 4)
            write32(at, config->servers[i]);
        *length = (u8)(at - length - 1);
        at = *length ? at : length - 1; // an empty option is none
    }
    *at++ = OPTION_END;
    return at;
}

// UDP without a checksum, as RFC 768 allows.
static void put_headers(const struct dhcp *dhcp, u8 *reply, const u8 *mac, u32 to, size_t message)
{
    u8 *ip = reply + FRAME_HEADER, *udp = ip + IPV4_BYTES;
    memcpy(reply, mac, FRAME_MAC);
    memcpy(reply + FRAME_MAC, dhcp->config.mac, FRAME_MAC);
    write16(reply + 12, 0x0800);
    ip[0] = 0x45;
    write16(ip + 2, (u32)(IPV4_BYTES + UDP_BYTES + message));
    ip[8] = 64;
    ip[9] = PROTOCOL_UDP;
    write32(ip + 12, dhcp->config.router);
    write32(ip + 16, to);
    write16(ip + 10, sum_ipv4(ip, IPV4_BYTES));
    write16(udp, PORT_SERVER);
    write16(udp + 2, PORT_CLIENT);
    write16(udp + 4, (u32)(UDP_BYTES + message));
}

static size_t answer(const struct dhcp *dhcp, const struct frame *frame, const struct request *request, u8 type,
                     u32 address, u8 reply[DHCP_REPLY])
{
    static const u8 everybody[FRAME_MAC] = {255, 255, 255, 255, 255, 255};
    u8 *message = reply + FRAME_HEADER + IPV4_BYTES + UDP_BYTES;
    memset(reply, 0, DHCP_REPLY);
    message[MESSAGE_OP] = OP_REPLY;
    message[MESSAGE_HARDWARE] = 1;
    message[MESSAGE_LENGTH] = FRAME_MAC;
    memcpy(message + MESSAGE_ID, request->message + MESSAGE_ID, 4);
    memcpy(message + MESSAGE_FLAGS, request->message + MESSAGE_FLAGS, 2);
    if (type != NAK)
        write32(message + MESSAGE_CLIENT, request->client);
    write32(message + MESSAGE_YOURS, address);
    memcpy(message + MESSAGE_MAC, frame->source, FRAME_MAC);
    memcpy(message + MESSAGE_COOKIE, cookie, 4);
    const u8 *end = put_options(message + MESSAGE_OPTIONS, dhcp, type, address != 0);
    // To whom, section 4.1: where the client is, where it will be, or everywhere.
    const bool everywhere = type == NAK || (!request->client && request->broadcast);
    const u32 to = everywhere ? UINT32_MAX : request->client ? request->client : address;
    const size_t written = (size_t)(end - message), bytes = written < MESSAGE_LEAST ? MESSAGE_LEAST : written;
    put_headers(dhcp, reply, everywhere ? everybody : frame->source, to, bytes);
    return (size_t)(message - reply) + bytes;
}

static size_t answer_request(struct dhcp *dhcp, const struct frame *frame, const struct request *request, u64 now,
                             u8 reply[DHCP_REPLY])
{
    const u32 address = request->wanted ? request->wanted : request->client;
    u32 index, own;
    if (request->server && request->server != dhcp->config.router) {
        // It takes another server's offer: ours is free again.
        if (lease_index(dhcp, dhcp_find(dhcp, frame->source, now), &own))
            dhcp->leases[own].until = 0;
        return 0;
    }
    if (!lease_index(dhcp, address, &index) || !lease_is_free(dhcp, index, frame->source, now))
        return answer(dhcp, frame, request, NAK, 0, reply);
    if (lease_index(dhcp, dhcp_find(dhcp, frame->source, now), &own) && own != index)
        dhcp->leases[own].until = 0;
    lease_take(dhcp, index, frame->source, now + DHCP_SECONDS * SECOND);
    return answer(dhcp, frame, request, ACK, address, reply);
}

size_t dhcp_answer(struct dhcp *dhcp, const struct frame *frame, u64 now, u8 reply[DHCP_REPLY])
{
    struct request request;
    u32 index;
    if (!dhcp_is_request(frame) || !request_read(&request, frame))
        return 0;
    switch (request.type) {
    case DISCOVER:
        if (!lease_choose(dhcp, frame->source, request.wanted, now, &index))
            return 0;
        if (dhcp->leases[index].until < now + OFFER_SECONDS * SECOND)
            lease_take(dhcp, index, frame->source, now + OFFER_SECONDS * SECOND);
        return answer(dhcp, frame, &request, OFFER, lease_address(dhcp, index), reply);
    case REQUEST:
        return answer_request(dhcp, frame, &request, now, reply);
    case DECLINE: // somebody else has the address: nobody gets it for a while
        if (lease_index(dhcp, request.wanted, &index) && dhcp->leases[index].until > now &&
            !memcmp(dhcp->leases[index].mac, frame->source, FRAME_MAC))
            lease_take(dhcp, index, (const u8[FRAME_MAC]){0}, now + DECLINED_SECONDS * SECOND);
        return 0;
    case RELEASE:
        if (lease_index(dhcp, request.client, &index) && !memcmp(dhcp->leases[index].mac, frame->source, FRAME_MAC))
            dhcp->leases[index].until = 0;
        return 0;
    case INFORM:
        return answer(dhcp, frame, &request, ACK, 0, reply);
    default:
        return 0;
    }
}
