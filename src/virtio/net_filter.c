// See net_filter.h. Section numbers are those of VIRTIO 1.2.
#include "virtio/net_filter.h"

#include <assert.h>
#include <string.h>

enum { MAC = 6, HEADER = 14, TYPE_VLAN = 0x8100 };

static const struct state_field net_address_fields[] = {STATE_ARRAY(struct net_address, bytes)};

const struct state_field net_filter_fields[] = {
    STATE_ARRAY(struct net_filter, modes),
    STATE_RANGE(struct net_filter, unicast_count, 0, NET_FILTER_ADDRESSES),
    STATE_RANGE(struct net_filter, multicast_count, 0, NET_FILTER_ADDRESSES),
    STATE_BOOL(struct net_filter, unicast_overflow),
    STATE_BOOL(struct net_filter, multicast_overflow),
    STATE_STRUCTS(struct net_filter, unicast, net_address_fields),
    STATE_STRUCTS(struct net_filter, multicast, net_address_fields),
    STATE_ARRAY(struct net_filter, vlans),
};
static_assert(ARRAY_SIZE(net_filter_fields) == NET_FILTER_FIELDS, "net_filter.h");

void net_filter_reset(struct net_filter *filter)
{
    *filter = (struct net_filter){.modes[NET_RX_PROMISCUOUS] = true};
}

// One table of NET_MAC_TABLE_SET at `*at`. False if the data ends before it does.
static bool net_filter_read_table(const u8 *data, size_t bytes, size_t total, size_t *at, struct net_address *table,
                                  u8 *kept, u8 *overflow)
{
    u32 count;
    if (*at > bytes || bytes - *at < sizeof count)
        return false;
    memcpy(&count, data + *at, sizeof count);
    *at += sizeof count;
    if (count > (total - *at) / MAC)
        return false;
    *overflow = count > NET_FILTER_ADDRESSES;
    *kept = *overflow ? 0 : (u8)count;
    if (!*overflow)
        memcpy(table, data + *at, (size_t)count * MAC);
    *at += (size_t)count * MAC;
    return true;
}

// 5.1.6.5.2. Of a table that is too long nothing is kept. If that is the first, the second may be beyond what was
// read: then it counts as too long as well.
static bool net_filter_set_table(struct net_filter *filter, const u8 *data, size_t bytes, size_t total)
{
    struct net_filter new = *filter;
    size_t at = 0;
    if (!net_filter_read_table(data, bytes, total, &at, new.unicast, &new.unicast_count, &new.unicast_overflow))
        return false;
    if (new.unicast_overflow && at <= total && total - at >= sizeof(u32)) {
        new.multicast_count = 0;
        new.multicast_overflow = true;
    } else if (!net_filter_read_table(data, bytes, total, &at, new.multicast, &new.multicast_count,
                                      &new.multicast_overflow)) {
        return false;
    }
    *filter = new;
    return true;
}

static bool net_filter_set_vlan(struct net_filter *filter, u8 command, const u8 *data, size_t bytes)
{
    u16 vlan;
    if (command > NET_VLAN_DELETE || bytes < sizeof vlan)
        return false;
    memcpy(&vlan, data, sizeof vlan);
    if (vlan >= NET_VLANS)
        return false;
    if (command == NET_VLAN_ADD)
        filter->vlans[vlan / 64] |= (u64)1 << vlan % 64;
    else
        filter->vlans[vlan / 64] &= ~((u64)1 << vlan % 64);
    return true;
}

bool net_filter_command(struct net_filter *filter, u8 class, u8 command, const u8 *data, size_t bytes, size_t total)
{
    switch (class) {
    case NET_CONTROL_RX:
        if (command >= NET_RX_MODES || bytes < 1)
            return false;
        filter->modes[command] = data[0] != 0;
        return true;
    case NET_CONTROL_MAC:
        return command == NET_MAC_TABLE_SET && net_filter_set_table(filter, data, bytes, total);
    case NET_CONTROL_VLAN:
        return net_filter_set_vlan(filter, command, data, bytes);
    }
    return false;
}

static bool net_filter_has(const struct net_address *table, unsigned count, const u8 *mac)
{
    for (unsigned i = 0; i < count; i++)
        if (!memcmp(table[i].bytes, mac, MAC))
            return true;
    return false;
}

bool net_filter_wants(const struct net_filter *filter, const u8 *own_mac, bool vlans, const u8 *head, size_t bytes)
{
    static const u8 broadcast[MAC] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
    const u8 *modes = filter->modes;
    if (modes[NET_RX_PROMISCUOUS] || bytes < HEADER)
        return true;
    if (vlans && bytes >= NET_FILTER_HEAD && head[12] == TYPE_VLAN >> 8 && head[13] == (TYPE_VLAN & 0xFF)) {
        const unsigned vlan = (head[14] & 0x0Fu) << 8 | head[15];
        if (!(filter->vlans[vlan / 64] >> vlan % 64 & 1))
            return false;
    }
    if (!memcmp(head, broadcast, MAC))
        return !modes[NET_RX_NO_BROADCAST];
    if (head[0] & 1) {
        if (modes[NET_RX_NO_MULTI])
            return false;
        return modes[NET_RX_ALL_MULTI] || filter->multicast_overflow ||
               net_filter_has(filter->multicast, filter->multicast_count, head);
    }
    if (modes[NET_RX_NO_UNI])
        return false;
    return modes[NET_RX_ALL_UNI] || filter->unicast_overflow || !memcmp(head, own_mac, MAC) ||
           net_filter_has(filter->unicast, filter->unicast_count, head);
}
