// Those who look at a console through its sockets: each gets all of its output, from the oldest that is remembered on,
// and each may type. One that reads too slowly misses bytes and is told; nobody waits for it, least of all the guest.
//
// The console's thread calls these with the console's lock held; nothing blocks.
#pragma once

#include "base/error.h"
#include "base/types.h"
#include "host/console_ring.h"
#include "host/pollset.h"

enum { CONSOLE_VIEWERS = 16, CONSOLE_LISTENERS = 2 };

struct console_viewer {
    int fd;
    int index;          // in the set of this sleep
    u64 at;             // the next byte of the ring it gets
    char note[80];      // what is said to it before, or empty
    size_t note_at;
};

struct console_viewers {
    char *paths[CONSOLE_LISTENERS]; // owned
    int listeners[CONSOLE_LISTENERS], indices[CONSOLE_LISTENERS];
    unsigned listener_count;
    struct console_viewer viewers[CONSOLE_VIEWERS];
    unsigned count;
};

int console_viewers_listen(struct console_viewers *viewers, const char *path, struct error *error);
void console_viewers_close(struct console_viewers *viewers);

// Around each sleep. `input`: there is room for what they type.
void console_viewers_prepare(struct console_viewers *viewers, const struct console_ring *ring, struct pollset *set,
                             bool input);
void console_viewers_accept(struct console_viewers *viewers, const struct console_ring *ring,
                            const struct pollset *set);
// What one of them typed; 0: nothing.
size_t console_viewers_read(struct console_viewers *viewers, const struct pollset *set, u8 *to, size_t most);
void console_viewers_write(struct console_viewers *viewers, const struct console_ring *ring);

// Somebody has not seen all yet.
bool console_viewers_behind(const struct console_viewers *viewers, const struct console_ring *ring);
