// See switch.h. The order of the checks is the order in which they get more expensive, and each drop has its counter:
// who asks why a nested VM has no network finds the answer there.
#include "net/switch.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "net/rule.h"
#include "net/table.h"

enum { SWITCH_HEAD_PARTS = 3 };

struct switch_port {
    bool used, told; // told: `spoofed` was called since the rules were set
    struct switch_rules rules;
    struct switch_output output;
    struct switch_counters counters;
    struct bucket storm, bandwidth;
};

struct switch_device {
    int ports; // beyond the highest one in use
    u64 now;   // the latest that was said
    struct table table;
    struct switch_port port[SWITCH_PORTS];
};

struct switch_device *switch_create(void)
{
    struct switch_device *device = calloc(1, sizeof *device);
    u64 secret = 0;
    if (!device)
        return NULL;
    if (getrandom(&secret, sizeof secret, GRND_NONBLOCK) < 0)
        secret = (u64)(uintptr_t)device; // early in a guest's start: a weaker secret, not a switch less
    table_init(&device->table, secret);
    return device;
}

void switch_destroy(struct switch_device *device)
{
    free(device);
}

int switch_add(struct switch_device *device, const struct switch_rules *rules, const struct switch_output *output)
{
    for (int i = 0; i < SWITCH_PORTS; i++) {
        if (device->port[i].used)
            continue;
        device->port[i] = (struct switch_port){.used = true, .rules = *rules, .output = *output};
        if (i >= device->ports)
            device->ports = i + 1;
        return i;
    }
    return -1;
}

void switch_remove(struct switch_device *device, int port)
{
    table_forget(&device->table, port);
    device->port[port].used = false;
    while (device->ports && !device->port[device->ports - 1].used)
        device->ports--;
}

static bool match_is(const struct switch_match *left, const struct switch_match *right)
{
    return left->kind == right->kind && left->prefix == right->prefix &&
           !memcmp(left->address, right->address, FRAME_ADDRESS);
}

static bool acl_is(const struct switch_acl *left, const struct switch_acl *right)
{
    return left->action == right->action && left->direction == right->direction &&
           match_is(&left->local, &right->local) && match_is(&left->remote, &right->remote);
}

// A meter counts on, whatever else of the port is changed.
static void port_keep_meters(struct switch_port *port, const struct switch_rules *before)
{
    for (unsigned i = 0; i < port->rules.acl_count; i++)
        for (unsigned j = 0; j < before->acl_count; j++)
            if (acl_is(&port->rules.acls[i], &before->acls[j]))
                port->rules.acls[i].metered = before->acls[j].metered;
}

void switch_set_rules(struct switch_device *device, int port, const struct switch_rules *rules)
{
    const struct switch_rules before = device->port[port].rules;
    // Addresses that were learnt while spoofing was on must not draw frames to the port any longer.
    if (!rules->spoofing || rules->vlan != before.vlan)
        table_forget(&device->table, port);
    device->port[port].rules = *rules;
    device->port[port].told = false;
    port_keep_meters(&device->port[port], &before);
}

const struct switch_counters *switch_port_counters(const struct switch_device *device, int port)
{
    return &device->port[port].counters;
}

const struct switch_rules *switch_port_rules(const struct switch_device *device, int port)
{
    return &device->port[port].rules;
}

int switch_find(const struct switch_device *device, u16 vlan, const u8 *mac, u64 now)
{
    return table_find(&device->table, vlan, mac, now);
}

unsigned switch_addresses(const struct switch_device *device)
{
    return device->table.count;
}

static bool drop(struct switch_port *port, enum switch_drop why)
{
    port->counters.dropped[why]++;
    return false;
}

static bool port_own_address(struct switch_port *port, const struct frame *frame)
{
    if (port->rules.uplink || port->rules.spoofing || !memcmp(frame->source, port->rules.mac, FRAME_MAC))
        return true;
    memcpy(port->counters.last_spoofed, frame->source, FRAME_MAC);
    if (!port->told && port->output.spoofed)
        port->output.spoofed(port->output.context, frame->source);
    port->told = true;
    return drop(port, SWITCH_DROP_SPOOFED);
}

// Everything about the port a frame comes in at. True if it may pass; its VLAN is in `vlan`.
static bool port_admits(struct switch_port *port, const struct frame *frame, u64 now, u16 *vlan)
{
    if (!port_own_address(port, frame))
        return false;
    const int in = rule_vlan_in(&port->rules, frame);
    if (in < 0)
        return drop(port, SWITCH_DROP_VLAN);
    *vlan = (u16)in;
    if (port->rules.dhcp_guard && frame_is_dhcp_server(frame))
        return drop(port, SWITCH_DROP_DHCP_GUARD);
    if (port->rules.router_guard && frame_is_router(frame))
        return drop(port, SWITCH_DROP_ROUTER_GUARD);
    if (!rule_acl(&port->rules, frame, SWITCH_OUTBOUND))
        return drop(port, SWITCH_DROP_ACL);
    if (!bucket_take(&port->bandwidth, port->rules.bits_per_second / 8, frame->count, now))
        return drop(port, SWITCH_DROP_BANDWIDTH);
    return true;
}

// A frame as it came in: its first bytes in our memory, the rest where its sender has it. Each has memory of its own:
// who answers a frame at once (a name server, NAT) makes the next one begin while the first is still on its way.
struct switch_frame {
    struct frame frame;
    struct network_header header;
    unsigned rest_count;
    struct iovec rest[OFFLOAD_PARTS];
    u8 head[FRAME_HEAD];
};

// 5.1.6: what the header says of places in the frame moves with a tag.
static struct network_header header_moved(const struct network_header *from, int by)
{
    struct network_header header = *from;
    if (header.flags & NETWORK_NEEDS_CHECKSUM)
        header.checksum_start = (u16)(header.checksum_start + by);
    if (header.gso_type != NETWORK_GSO_NONE)
        header.header_bytes = (u16)(header.header_bytes + by);
    return header;
}

static struct iovec part(const void *bytes, size_t count)
{
    return (struct iovec){(void *)(uintptr_t)bytes, count};
}

// The frame's first bytes in parts, with a tag of `vlan` or without any. By how much it is longer goes to `by`.
static unsigned frame_head(const struct frame *frame, size_t there, enum rule_out out, u16 vlan, u8 tag[FRAME_TAG],
                           struct iovec parts[SWITCH_HEAD_PARTS], int *by)
{
    enum { ADDRESSES = 2 * FRAME_MAC };
    const bool as_it_is = out == RULE_TAGGED ? frame->tagged && frame->vlan == vlan : !frame->tagged;
    *by = 0;
    if (as_it_is) {
        parts[0] = part(frame->bytes, there);
        return 1;
    }
    const size_t type = frame->payload - 2; // the EtherType behind an old tag
    unsigned count = 0;
    parts[count++] = part(frame->bytes, ADDRESSES);
    if (out == RULE_TAGGED) {
        const u16 word = (u16)(frame->priority << 13 | vlan);
        memcpy(tag, (const u8[]){0x81, 0x00, (u8)(word >> 8), (u8)word}, FRAME_TAG);
        parts[count++] = part(tag, FRAME_TAG);
        *by = frame->tagged ? 0 : FRAME_TAG;
    } else {
        *by = -FRAME_TAG;
    }
    parts[count++] = part(frame->bytes + type, there - type);
    return count;
}

static bool port_send(struct switch_port *port, const struct switch_frame *in, enum rule_out out, u16 vlan)
{
    struct iovec parts[SWITCH_HEAD_PARTS + OFFLOAD_PARTS];
    u8 tag[FRAME_TAG];
    int by;
    const size_t there = in->frame.count < FRAME_HEAD ? in->frame.count : FRAME_HEAD;
    unsigned count = frame_head(&in->frame, there, out, vlan, tag, parts, &by);
    memcpy(parts + count, in->rest, in->rest_count * sizeof *parts);
    const struct network_header header = header_moved(&in->header, by);
    return port->output.send(port->output.context, &header, parts, count + in->rest_count);
}

static void port_output(struct switch_port *port, const struct switch_frame *in, u16 vlan, enum rule_out out)
{
    if (!rule_acl(&port->rules, &in->frame, SWITCH_INBOUND)) {
        drop(port, SWITCH_DROP_ACL);
        return;
    }
    if (!port_send(port, in, out, vlan)) {
        drop(port, SWITCH_DROP_FULL);
        return;
    }
    port->counters.frames_received++;
    port->counters.bytes_received += in->frame.count;
}

// Whether a frame that nobody in particular has asked for concerns the port.
static bool port_wants(const struct switch_port *port, const struct frame *frame)
{
    return port->rules.uplink || port->rules.spoofing || frame_is_group(frame->destination) ||
           !memcmp(port->rules.mac, frame->destination, FRAME_MAC);
}

static void port_forward(struct switch_device *device, int to, const struct switch_frame *in, u16 vlan)
{
    struct switch_port *port = &device->port[to];
    const enum rule_out out = rule_vlan_out(&port->rules, vlan);
    if (port->used && out != RULE_NOT_HERE)
        port_output(port, in, vlan, out);
}

static void switch_flood(struct switch_device *device, int from, const struct switch_frame *in, u16 vlan)
{
    for (int i = 0; i < device->ports; i++)
        if (i != from && device->port[i].used && port_wants(&device->port[i], &in->frame))
            port_forward(device, i, in, vlan);
}

// Mirroring shows what a source port carries, both ways, whatever the destination's own rules about addresses.
static void switch_mirror(struct switch_device *device, int from, int to, const struct switch_frame *in, u16 vlan)
{
    const bool source = device->port[from].rules.mirror == SWITCH_MIRROR_SOURCE ||
                        (to >= 0 && device->port[to].rules.mirror == SWITCH_MIRROR_SOURCE);
    if (!source)
        return;
    for (int i = 0; i < device->ports; i++)
        if (i != from && i != to && device->port[i].used && device->port[i].rules.mirror == SWITCH_MIRROR_DESTINATION)
            port_output(&device->port[i], in, vlan, RULE_PLAIN);
}

// An adapter's own address needs no learning to be found.
static int switch_owner(const struct switch_device *device, u16 vlan, const u8 *mac)
{
    for (int i = 0; i < device->ports; i++)
        if (device->port[i].used && !device->port[i].rules.uplink &&
            !memcmp(device->port[i].rules.mac, mac, FRAME_MAC) &&
            rule_vlan_out(&device->port[i].rules, vlan) != RULE_NOT_HERE)
            return i;
    return -1;
}

static unsigned port_limit(const struct switch_rules *rules)
{
    return rules->uplink ? SWITCH_ADDRESSES / 2 : rules->spoofing ? SWITCH_PORT_ADDRESSES : 1;
}

// Reads the frame's first bytes into our memory. False: it is none.
static bool frame_take(struct switch_frame *in, const struct network_header *header, const struct iovec *parts,
                       unsigned count)
{
    const size_t bytes = offload_bytes(parts, count), there = offload_copy(parts, count, 0, in->head, FRAME_HEAD);
    if (count > OFFLOAD_PARTS || !frame_read(&in->frame, in->head, there, bytes))
        return false;
    size_t skip = there;
    unsigned first = 0;
    while (first < count && skip >= parts[first].iov_len)
        skip -= parts[first++].iov_len;
    in->rest_count = count - first;
    memcpy(in->rest, parts + first, in->rest_count * sizeof *parts);
    if (in->rest_count)
        in->rest[0] = part((const u8 *)in->rest[0].iov_base + skip, in->rest[0].iov_len - skip);
    in->header = *header;
    return true;
}

void switch_receive(struct switch_device *device, int from, const struct network_header *header,
                    const struct iovec *parts, unsigned count, u64 now)
{
    struct switch_port *port = &device->port[from];
    struct switch_frame in;
    u16 vlan;
    // An answer at once knows a later time than the frames that were in hand when its question was asked.
    now = device->now = now > device->now ? now : device->now;
    if (!frame_take(&in, header, parts, count)) {
        drop(port, SWITCH_DROP_MALFORMED);
        return;
    }
    const struct frame *frame = &in.frame;
    if (!port_admits(port, frame, now, &vlan))
        return;
    table_learn(&device->table, vlan, frame->source, from, port_limit(&port->rules), now);
    int to = -1;
    if (!frame_is_group(frame->destination)) {
        to = table_find(&device->table, vlan, frame->destination, now);
        if (to < 0)
            to = switch_owner(device, vlan, frame->destination);
    }
    if (to < 0 && !bucket_take(&port->storm, port->rules.storm_limit, 1, now)) {
        drop(port, SWITCH_DROP_STORM);
        return;
    }
    port->counters.frames_sent++;
    port->counters.bytes_sent += frame->count;
    if (to < 0)
        switch_flood(device, from, &in, vlan);
    else if (to != from)
        port_forward(device, to, &in, vlan);
    switch_mirror(device, from, to, &in, vlan);
}
