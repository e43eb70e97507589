// Which address was heard at which port of a switch, and when. A fixed hash table: a guest that sends from a million
// addresses wears out its own share of it and nothing else.
#pragma once

#include "base/types.h"
#include "net/switch.h"

enum { TABLE_PROBES = 16 };

struct table_entry {
    u8 mac[FRAME_MAC];
    u16 vlan;
    s16 port; // -1: free
    u16 flaps; // moves since `second`
    u64 heard, second; // ns
};

struct table {
    u64 secret; // so that nobody outside can aim at one bucket
    unsigned count;
    unsigned port_counts[SWITCH_PORTS];
    struct table_entry entries[SWITCH_ADDRESSES];
};

void table_init(struct table *table, u64 secret);

// `limit`: how many addresses this port may have.
void table_learn(struct table *table, u16 vlan, const u8 *mac, int port, unsigned limit, u64 now);
int table_find(const struct table *table, u16 vlan, const u8 *mac, u64 now); // -1: not known
void table_forget(struct table *table, int port);
