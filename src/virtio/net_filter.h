// Which received frames a guest wants to see, as its driver says over the control queue (VIRTIO 1.2, 5.1.6.5.1 to
// 5.1.6.5.3). It spares the guest work and protects nobody: that is the switch's business.
#pragma once

#include "base/state.h"
#include "base/types.h"

// 5.1.6.5, classes and their commands.
enum { NET_CONTROL_RX, NET_CONTROL_MAC, NET_CONTROL_VLAN };
enum { NET_RX_PROMISCUOUS, NET_RX_ALL_MULTI, NET_RX_ALL_UNI, NET_RX_NO_MULTI, NET_RX_NO_UNI, NET_RX_NO_BROADCAST,
       NET_RX_MODES };
enum { NET_MAC_TABLE_SET, NET_MAC_ADDRESS_SET };
enum { NET_VLAN_ADD, NET_VLAN_DELETE };

enum {
    NET_FILTER_ADDRESSES = 64, // of either kind; of more, all are let through
    NET_FILTER_HEAD = 18,      // bytes of a frame that decide
    NET_VLANS = 4096,
    // The longest command's data that is looked at: two tables, each with its count.
    NET_COMMAND_BYTES = 2 * (4 + 6 * NET_FILTER_ADDRESSES),
};

struct net_address {
    u8 bytes[6];
};

struct net_filter {
    u8 modes[NET_RX_MODES]; // on or off
    u8 unicast_count, multicast_count;
    u8 unicast_overflow, multicast_overflow; // the driver named more than there is room for
    struct net_address unicast[NET_FILTER_ADDRESSES], multicast[NET_FILTER_ADDRESSES];
    u64 vlans[NET_VLANS / 64];
};

extern const struct state_field net_filter_fields[];
enum { NET_FILTER_FIELDS = 8 };

// As a driver finds it: everything passes, until it says otherwise.
void net_filter_reset(struct net_filter *filter);

// Carries out a command of the classes above, but NET_MAC_ADDRESS_SET. `bytes` of `total` bytes of its data are at
// `data`, at most NET_COMMAND_BYTES. False, and nothing changed, if it is none.
bool net_filter_command(struct net_filter *filter, u8 class, u8 command, const u8 *data, size_t bytes, size_t total);

// `head` are the frame's first NET_FILTER_HEAD bytes, or all it has. `vlans`: the driver filters by VLAN.
bool net_filter_wants(const struct net_filter *filter, const u8 *own_mac, bool vlans, const u8 *head, size_t bytes);
