// The descriptors one thread sleeps on. Each part of a device thread (doorbell, console, user-mode network stack) adds
// what it waits for just before the sleep and reads the answers just after: nothing is registered, so nothing can be
// left registered, and a part that has no room for input simply does not ask for it.
#pragma once

#include <poll.h>

#include "base/types.h"

struct pollset {
    struct pollfd *entries; // grown as needed, owned by the set
    unsigned count, capacity;
    int timeout_ms; // -1: none; parts lower it, never raise it
};

// Empties the set for the next sleep.
void pollset_begin(struct pollset *set);

// Adds `fd` and returns its index, or -1 when memory ran out (the caller then finds no events for it).
int pollset_add(struct pollset *set, int fd, short events);

// The thread shall wake after `milliseconds` at the latest.
void pollset_within(struct pollset *set, u64 milliseconds);

// Sleeps. An interrupted or failed sleep leaves all events empty.
void pollset_wait(struct pollset *set);

// What happened to the descriptor with this index; 0 for the index -1.
short pollset_events(const struct pollset *set, int index);

void pollset_free(struct pollset *set);
