// See pollset.h. poll(2), not epoll: the sets are small, change with every sleep, and need no clean-up.
#include "host/pollset.h"

#include <limits.h>
#include <stdlib.h>

void pollset_begin(struct pollset *set)
{
    set->count = 0;
    set->timeout_ms = -1;
}

int pollset_add(struct pollset *set, int fd, short events)
{
    if (set->count == set->capacity) {
        unsigned capacity = set->capacity ? set->capacity * 2 : 16;
        struct pollfd *entries = realloc(set->entries, capacity * sizeof *entries);
        if (!entries)
            return -1;
        set->entries = entries;
        set->capacity = capacity;
    }
    set->entries[set->count] = (struct pollfd){.fd = fd, .events = events};
    return (int)set->count++;
}

void pollset_within(struct pollset *set, u64 milliseconds)
{
    int timeout = milliseconds > INT_MAX ? INT_MAX : (int)milliseconds;
    if (set->timeout_ms < 0 || timeout < set->timeout_ms)
        set->timeout_ms = timeout;
}

void pollset_wait(struct pollset *set)
{
    if (poll(set->entries, set->count, set->timeout_ms) >= 0)
        return;
    for (unsigned i = 0; i < set->count; i++)
        set->entries[i].revents = 0;
}

short pollset_events(const struct pollset *set, int index)
{
    return index < 0 || (unsigned)index >= set->count ? 0 : set->entries[index].revents;
}

void pollset_free(struct pollset *set)
{
    free(set->entries);
    *set = (struct pollset){0};
}
