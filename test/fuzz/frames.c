// Frames from hostile guests: runts, giants, stacks of VLAN tags, segments that are none, through a switch with rules
// of every kind and through the offloads at its ports. Besides what the sanitizers see it is checked that nothing comes
// out that its taker was not to get: an offload it does not have, a checksum field outside the frame, a segment that
// would be cut into too many packets; and that tables stay within their bounds. What comes out is also put together
// again (net/coalesce.h), and has to be something that can be cut.
//
// The input is a program: each step sends a frame, made of the input or a well-formed one with bytes changed, in parts
// of a length of the input's, into one port of the switch.
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/coalesce.h"
#include "net/switch.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t bytes);

// BUDGET: what a port takes in one run. A segment can be cut into thousands of packets, which are all alike.
enum { PORTS = 6, STEPS = 64, FRAME = 70000, TEMPLATES = 6, BUDGET = 500 };

struct input {
    const u8 *data;
    size_t bytes;
};

struct fuzz_port {
    u32 takes;
    unsigned budget; // frames until it has no room
    int number;
};

static u8 frame[FRAME], copy[FRAME];
static struct coalesce held;

static u64 input_take(struct input *input, unsigned bytes)
{
    u64 value = 0;
    for (; bytes && input->bytes; bytes--, input->bytes--)
        value = value << 8 | *input->data++;
    return value;
}

static void check(bool right, const char *what)
{
    if (right)
        return;
    fprintf(stderr, "frames: %s\n", what);
    abort();
}

static bool packet_take(void *context, const struct network_header *header, const struct iovec *parts, unsigned count)
{
    (void)context;
    check(header->gso_type == NETWORK_GSO_NONE && offload_bytes(parts, count) <= FRAME_MOST, "a segment was not cut");
    return true;
}

static void put_together(const u8 *bytes, size_t count)
{
    struct network_header header;
    if (coalesce_add(&held, bytes, count))
        return;
    const struct iovec part = {held.bytes, coalesce_take(&held, &header)};
    check(!part.iov_len || offload_pass(&header, &part, 1, 0, packet_take, NULL) == OFFLOAD_PASSED,
          "a segment that is none");
    coalesce_add(&held, bytes, count);
}

// What a taker of frames gets, at the end of everything.
static bool port_take(void *context, const struct network_header *header, const struct iovec *parts, unsigned count)
{
    struct fuzz_port *port = context;
    const size_t total = offload_bytes(parts, count);
    const u8 kind = header->gso_type & (u8)~NETWORK_GSO_ECN;
    check(count && count <= OFFLOAD_PARTS, "a frame of too many parts");
    check(total >= FRAME_HEADER && total <= FRAME_MOST, "a frame that no Ethernet has");
    check(offload_copy(parts, count, 0, copy, sizeof copy) == total, "parts that cannot be read");
    if (header->flags & NETWORK_NEEDS_CHECKSUM) {
        check(port->takes & OFFLOAD_CHECKSUM, "a checksum was left undone");
        check((size_t)header->checksum_start + header->checksum_offset + 2 <= total, "a checksum outside its frame");
    }
    check(kind != NETWORK_GSO_TCP4 || port->takes & OFFLOAD_TSO4, "a segment of IPv4 was not cut");
    check(kind != NETWORK_GSO_TCP6 || port->takes & OFFLOAD_TSO6, "a segment of IPv6 was not cut");
    check(kind == NETWORK_GSO_NONE || kind == NETWORK_GSO_TCP4 || kind == NETWORK_GSO_TCP6, "an unknown segment");
    check(!(header->gso_type & NETWORK_GSO_ECN) || port->takes & OFFLOAD_ECN, "a segment with CWR was not cut");
    check(kind == NETWORK_GSO_NONE || header->gso_bytes >= OFFLOAD_LEAST, "a segment in too many packets");
    if (header->gso_type == NETWORK_GSO_NONE)
        put_together(copy, total);
    if (!port->budget)
        return false;
    port->budget--;
    return true;
}

// A port of the switch: what it carries goes through the offloads to its taker.
static bool port_send(void *context, const struct network_header *header, const struct iovec *parts, unsigned count)
{
    struct fuzz_port *port = context;
    return offload_pass(header, parts, count, port->takes, port_take, port) != OFFLOAD_REFUSED;
}

static void read_rules(struct input *input, struct switch_rules *rules, unsigned number)
{
    const u16 bits = (u16)input_take(input, 2);
    *rules = (struct switch_rules){
        .mac = {2, 0, 0, 0, 0, (u8)number},
        .uplink = bits & 1,
        .spoofing = bits >> 1 & 1,
        .dhcp_guard = bits >> 2 & 1,
        .router_guard = bits >> 3 & 1,
        .priority_tags = bits >> 4 & 1,
        .mirror = (enum switch_mirror)(bits >> 5 & 3) % 3,
        .vlan_mode = (enum switch_vlan)(bits >> 7 & 3) % 3,
        .vlan = bits >> 9 & 3,
        .storm_limit = bits >> 11 & 1 ? 5 : 0,
        .bits_per_second = bits >> 12 & 1 ? 100000 : 0,
        .acl_count = bits >> 13,
        .trunk = {bits * (u64)0x9E3779B97F4A7C15},
    };
    for (unsigned i = 0; i < rules->acl_count; i++) {
        struct switch_acl *acl = &rules->acls[i];
        const u8 shape = (u8)input_take(input, 1);
        acl->action = (enum switch_action)(shape % 3);
        acl->direction = (enum switch_direction)(shape / 3 % 3);
        acl->local.kind = shape / 9 % 4;
        acl->remote.kind = shape / 36 % 4;
        const unsigned most = acl->remote.kind == SWITCH_IPV4 ? 33 : 129;
        acl->local.prefix = 8;
        acl->remote.prefix = (u8)(input_take(input, 1) % most);
        acl->remote.address[0] = (u8)input_take(input, 1);
    }
}

// A frame that is right, so that what the input changes in it gets far.
static size_t put_template(unsigned kind, size_t payload, unsigned from, unsigned to, struct network_header *header)
{
    static const u8 tags[] = {0x81, 0x00, 0x20, 0x01, 0x88, 0xa8, 0x00, 0x02};
    const bool ipv6 = kind & 1, tcp = kind < 4;
    const size_t tagged = kind / 2 % 3 * 4;
    memset(frame, 0, 256);
    memcpy(frame, (const u8[]){2, 0, 0, 0, 0, (u8)to, 2, 0, 0, 0, 0, (u8)from}, 12);
    memcpy(frame + 12, tags, tagged);
    u8 *ip = frame + 14 + tagged;
    memcpy(ip - 2, ipv6 ? (const u8[]){0x86, 0xdd} : (const u8[]){0x08, 0x00}, 2);
    const size_t headers = ipv6 ? 40 : 20, total = headers + 20 + payload;
    u8 *transport = ip + headers;
    if (ipv6)
        memcpy(ip, (const u8[]){0x60, 0, 0, 0, (u8)((total - 40) >> 8), (u8)(total - 40), tcp ? 6 : 17, 64}, 8);
    else
        memcpy(ip, (const u8[]){0x45, 0, (u8)(total >> 8), (u8)total, 0, 1, 0x40, 0, 64, tcp ? 6 : 17}, 10);
    transport[3] = tcp ? 80 : 68;
    transport[1] = tcp ? 1 : 67;
    transport[12] = 0x50;
    transport[13] = 0x99;
    *header = (struct network_header){
        .flags = NETWORK_NEEDS_CHECKSUM,
        .gso_type = tcp ? ipv6 ? NETWORK_GSO_TCP6 : NETWORK_GSO_TCP4 : NETWORK_GSO_NONE,
        .gso_bytes = 1000,
        .checksum_start = (u16)(transport - frame),
        .checksum_offset = tcp ? 16 : 6,
    };
    return 14 + tagged + total;
}

static size_t read_frame(struct input *input, unsigned from, struct network_header *header)
{
    const u8 how = (u8)input_take(input, 1);
    if (how % 4 == 0) { // as the input has it
        memset(header, 0, sizeof *header);
        for (unsigned i = 0; how & 4 && i < sizeof *header; i++)
            ((u8 *)header)[i] = (u8)input_take(input, 1);
        size_t bytes = input_take(input, 2);
        const size_t there = bytes < input->bytes ? bytes : input->bytes;
        memcpy(frame, input->data, there);
        memset(frame + there, 0, bytes - there);
        input->data += there;
        input->bytes -= there;
        return how & 8 ? bytes : 60;
    }
    size_t bytes = put_template(how / 4 % TEMPLATES, input_take(input, 2), from, (unsigned)input_take(input, 1) % 8,
                                header);
    for (unsigned i = how % 4; i > 1; i--) { // bytes changed, in the frame's head and in its header
        const u16 at = (u16)input_take(input, 2);
        frame[at % 128] ^= (u8)(at >> 8);
        ((u8 *)header)[input_take(input, 1) % sizeof *header] ^= (u8)input_take(input, 1);
    }
    if (how & 128)
        bytes = input_take(input, 2) + (how & 64 ? 60000 : 0); // cut short, or with something behind it
    return bytes < FRAME ? bytes : FRAME;
}

static void send_frame(struct switch_device *device, struct input *input, const struct fuzz_port *port, u64 now)
{
    struct network_header header;
    struct iovec parts[OFFLOAD_PARTS];
    unsigned count = 0;
    const size_t bytes = read_frame(input, (unsigned)port->number, &header);
    const size_t stride = 1 + input_take(input, 1) * (input_take(input, 1) + 1);
    for (size_t at = 0; at < bytes && count < OFFLOAD_PARTS; count++) {
        const size_t length = bytes - at < stride ? bytes - at : stride;
        parts[count] = (struct iovec){frame + at, length};
        at += length;
    }
    switch_receive(device, port->number, &header, parts, count, now);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t bytes)
{
    // One for all runs: fresh memory for its table is nine tenths of a run's time. A switch all of whose ports are
    // removed is as new, but for the time, which never goes back.
    static struct switch_device *device;
    static u64 now = 1;
    struct input input = {.data = data, .bytes = bytes};
    struct fuzz_port ports[PORTS];
    if (!device && !(device = switch_create()))
        return 0;
    for (unsigned i = 0; i < PORTS; i++) {
        struct switch_rules rules;
        read_rules(&input, &rules, i);
        ports[i] = (struct fuzz_port){.takes = (u32)input_take(&input, 1) & OFFLOAD_ALL, .budget = BUDGET};
        const struct switch_output output = {.context = &ports[i], .send = port_send};
        ports[i].number = switch_add(device, &rules, &output);
    }
    for (unsigned i = 0; i < STEPS && input.bytes; i++) {
        const u8 step = (u8)input_take(&input, 1);
        struct fuzz_port *port = &ports[step % PORTS];
        if (step >= 250) {
            struct switch_rules rules;
            read_rules(&input, &rules, step % PORTS);
            switch_set_rules(device, port->number, &rules);
            port->budget = step % 2;
        }
        now += input_take(&input, 1) << 24;
        send_frame(device, &input, port, now);
        check(switch_addresses(device) <= SWITCH_ADDRESSES, "more addresses than there is room for");
    }
    for (unsigned i = 0; i < PORTS; i++)
        switch_remove(device, ports[i].number);
    check(!switch_addresses(device), "an address of a port that is gone");
    return 0;
}
