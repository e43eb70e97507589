// The last bytes a console said. Readers keep their own place in it: one that falls behind finds that its place is no
// more, and how much it missed. Whoever calls holds the console's lock.
#pragma once

#include "base/types.h"

enum { CONSOLE_RING = 256 << 10 /* a power of two */ };

struct console_ring {
    u64 head; // bytes ever put in
    u8 bytes[CONSOLE_RING];
};

void console_ring_put(struct console_ring *ring, const u8 *bytes, size_t count);

// The oldest byte that is still there has this number.
u64 console_ring_oldest(const struct console_ring *ring);

// Copies up to `most` bytes from number `at` on, which is still there; returns how many.
size_t console_ring_copy(const struct console_ring *ring, u64 at, u8 *to, size_t most);
