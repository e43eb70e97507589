// See table.h.
#include "net/table.h"

#include <string.h>

enum { TABLE_SECOND = 1000000000 };

static const u64 table_age = (u64)SWITCH_AGE_SECONDS * TABLE_SECOND;

void table_init(struct table *table, u64 secret)
{
    *table = (struct table){.secret = secret};
    for (unsigned i = 0; i < SWITCH_ADDRESSES; i++)
        table->entries[i].port = -1;
}

static unsigned table_bucket(const struct table *table, u16 vlan, const u8 *mac)
{
    u64 key = vlan;
    for (unsigned i = 0; i < FRAME_MAC; i++)
        key = key << 8 | mac[i];
    key = (key ^ table->secret) * 0x9e3779b97f4a7c15ull;
    key ^= key >> 29;
    key *= 0xbf58476d1ce4e5b9ull;
    return (unsigned)(key >> 40) & (SWITCH_ADDRESSES - 1);
}

static bool table_is(const struct table_entry *entry, u16 vlan, const u8 *mac)
{
    return entry->port >= 0 && entry->vlan == vlan && !memcmp(entry->mac, mac, FRAME_MAC);
}

static bool table_is_old(const struct table_entry *entry, u64 now)
{
    return now - entry->heard > table_age;
}

static void table_free(struct table *table, struct table_entry *entry)
{
    table->port_counts[entry->port]--;
    table->count--;
    entry->port = -1;
}

// The address's own entry, or the best one to take for it: free, or forgotten, or NULL.
static struct table_entry *table_place(struct table *table, u16 vlan, const u8 *mac, u64 now)
{
    const unsigned bucket = table_bucket(table, vlan, mac);
    struct table_entry *place = NULL;
    for (unsigned i = 0; i < TABLE_PROBES; i++) {
        struct table_entry *entry = &table->entries[(bucket + i) & (SWITCH_ADDRESSES - 1)];
        if (table_is(entry, vlan, mac))
            return entry;
        if (!place && (entry->port < 0 || table_is_old(entry, now)))
            place = entry;
    }
    return place;
}

// An address that is heard here and there in turn is a loop, or somebody who takes another's place: it stays where it
// is until it has been quiet elsewhere for a second.
static bool table_may_move(struct table_entry *entry, u64 now)
{
    if (now - entry->second > TABLE_SECOND) {
        entry->second = now;
        entry->flaps = 0;
    }
    if (entry->flaps >= SWITCH_FLAPS)
        return false;
    entry->flaps++;
    return true;
}

void table_learn(struct table *table, u16 vlan, const u8 *mac, int port, unsigned limit, u64 now)
{
    struct table_entry *entry = table_place(table, vlan, mac, now);
    if (!entry)
        return;
    if (table_is(entry, vlan, mac) && entry->port == port) {
        entry->heard = now;
        return;
    }
    if (table->port_counts[port] >= limit)
        return;
    const bool known = table_is(entry, vlan, mac);
    if (known && !table_is_old(entry, now) && !table_may_move(entry, now))
        return;
    if (entry->port >= 0)
        table_free(table, entry);
    if (!known)
        *entry = (struct table_entry){.vlan = vlan, .second = now};
    memcpy(entry->mac, mac, FRAME_MAC);
    entry->port = (s16)port;
    entry->heard = now;
    table->port_counts[port]++;
    table->count++;
}

int table_find(const struct table *table, u16 vlan, const u8 *mac, u64 now)
{
    const unsigned bucket = table_bucket(table, vlan, mac);
    for (unsigned i = 0; i < TABLE_PROBES; i++) {
        const struct table_entry *entry = &table->entries[(bucket + i) & (SWITCH_ADDRESSES - 1)];
        if (table_is(entry, vlan, mac))
            return table_is_old(entry, now) ? -1 : entry->port;
    }
    return -1;
}

void table_forget(struct table *table, int port)
{
    for (unsigned i = 0; i < SWITCH_ADDRESSES && table->port_counts[port]; i++)
        if (table->entries[i].port == port)
            table_free(table, &table->entries[i]);
}
