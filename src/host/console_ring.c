// See console_ring.h.
#include "host/console_ring.h"

#include <string.h>

void console_ring_put(struct console_ring *ring, const u8 *bytes, size_t count)
{
    while (count) {
        size_t at = ring->head % CONSOLE_RING, part = CONSOLE_RING - at;
        if (part > count)
            part = count;
        memcpy(ring->bytes + at, bytes, part);
        ring->head += part;
        bytes += part;
        count -= part;
    }
}

u64 console_ring_oldest(const struct console_ring *ring)
{
    return ring->head > CONSOLE_RING ? ring->head - CONSOLE_RING : 0;
}

size_t console_ring_copy(const struct console_ring *ring, u64 at, u8 *to, size_t most)
{
    size_t count = ring->head - at < most ? (size_t)(ring->head - at) : most;
    for (size_t done = 0; done < count;) {
        size_t from = (at + done) % CONSOLE_RING, part = CONSOLE_RING - from;
        if (part > count - done)
            part = count - done;
        memcpy(to + done, ring->bytes + from, part);
        done += part;
    }
    return count;
}
