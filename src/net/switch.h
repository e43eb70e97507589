// A virtual switch: frames come in at a port, the port's rules decide whether they pass, addresses are learnt, and
// frames go out at the ports they are for. Pure: no descriptors, no clock; the caller says what time it is.
//
// The rule nested virtualization lives by: a port passes only frames from its adapter's own address and receives only
// frames for it (and for groups), until MAC address spoofing is on. Then the port learns any number of addresses,
// bounded.
//
// One thread uses a switch.
#pragma once

#include "base/types.h"
#include "net/frame.h"
#include "net/offload.h"

enum {
    SWITCH_PORTS = 256,
    SWITCH_ADDRESSES = 8192,      // a power of two: the whole table
    SWITCH_PORT_ADDRESSES = 1024, // of one port with spoofing on
    SWITCH_ACLS = 64,             // a port
    SWITCH_AGE_SECONDS = 300,     // an address that was not heard for so long is forgotten
    SWITCH_FLAPS = 5,             // moves of an address a second before it is held where it is
};

enum switch_vlan { SWITCH_UNTAGGED, SWITCH_ACCESS, SWITCH_TRUNK };
enum switch_mirror { SWITCH_MIRROR_NONE, SWITCH_MIRROR_SOURCE, SWITCH_MIRROR_DESTINATION };
enum switch_action { SWITCH_ALLOW, SWITCH_DENY, SWITCH_METER };
enum switch_direction { SWITCH_INBOUND /* to the VM */, SWITCH_OUTBOUND, SWITCH_BOTH };

// One side of a rule: an IP prefix, a MAC address, or anything.
struct switch_match {
    enum { SWITCH_ANY, SWITCH_MAC, SWITCH_IPV4, SWITCH_IPV6 } kind;
    u8 address[FRAME_ADDRESS];
    u8 prefix; // bits
};

struct switch_acl {
    enum switch_action action;
    enum switch_direction direction;
    struct switch_match local, remote;
    u64 metered; // bytes that a SWITCH_METER rule counted
};

struct switch_rules {
    u8 mac[FRAME_MAC];
    bool uplink; // a physical adapter or the host's own: any address, no rules about them
    bool spoofing;
    bool dhcp_guard, router_guard;
    bool priority_tags;
    enum switch_mirror mirror;
    u32 storm_limit;       // group and unknown frames a second, 0: no limit
    u64 bits_per_second;   // 0: no limit
    enum switch_vlan vlan_mode;
    u16 vlan;              // SWITCH_ACCESS: the VLAN; SWITCH_TRUNK: that of untagged frames, 0: none
    u64 trunk[4096 / 64];  // SWITCH_TRUNK: bit n set: VLAN n passes
    unsigned acl_count;
    struct switch_acl acls[SWITCH_ACLS];
};

enum switch_drop {
    SWITCH_DROP_MALFORMED,
    SWITCH_DROP_SPOOFED,
    SWITCH_DROP_VLAN,
    SWITCH_DROP_DHCP_GUARD,
    SWITCH_DROP_ROUTER_GUARD,
    SWITCH_DROP_ACL,
    SWITCH_DROP_STORM,
    SWITCH_DROP_BANDWIDTH,
    SWITCH_DROP_FULL, // the port could not take it
    SWITCH_DROPS,
};

struct switch_counters {
    u64 frames_sent, bytes_sent;         // from the VM
    u64 frames_received, bytes_received; // to the VM
    u64 dropped[SWITCH_DROPS];
    u8 last_spoofed[FRAME_MAC];
};

// Where frames go out: in parts, so that VLAN tags come and go, and the rest is passed on from where it lies.
struct switch_output {
    void *context;
    // False if the port cannot take it now: the frame is dropped there.
    offload_give *send;
    // The first frame from a foreign address since the rules were set. `mac` is that address. May be NULL.
    void (*spoofed)(void *context, const u8 *mac);
};

struct switch_device;

struct switch_device *switch_create(void); // NULL: out of memory
void switch_destroy(struct switch_device *device);

// A port's number, or -1 if there are SWITCH_PORTS already.
int switch_add(struct switch_device *device, const struct switch_rules *rules, const struct switch_output *output);
void switch_remove(struct switch_device *device, int port); // what was learnt at it is forgotten
void switch_set_rules(struct switch_device *device, int port,
                      const struct switch_rules *rules); // counters stay, and those of access rules that stay
const struct switch_counters *switch_port_counters(const struct switch_device *device, int port);
const struct switch_rules *switch_port_rules(const struct switch_device *device, int port);

// A frame from the adapter at `port`, in at most OFFLOAD_PARTS parts; its header goes with it. The parts may be memory
// that its sender writes to: what is decided by is copied first, and that copy is passed on. `now` is in ns; an
// earlier one than was said before is taken for that. A `send` may call this, for another port than the frame came
// from: an answer at once.
void switch_receive(struct switch_device *device, int port, const struct network_header *header,
                    const struct iovec *parts, unsigned count, u64 now);

// Which port an address was learnt at, -1: none.
int switch_find(const struct switch_device *device, u16 vlan, const u8 *mac, u64 now);
unsigned switch_addresses(const struct switch_device *device); // how many are in the table
