// One side of a wire whose other side is hostile: it writes what it likes, where it likes, into the shared memory,
// between any two steps of ours. Nothing of that may reach outside of the rings, and no loop may be without end.
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "net/wire.h"

enum { STEP = 8 /* bytes of input */ };

struct hostile {
    struct wire *wire;
    u8 *memory;
    int bell;
};

static void hostile_open(struct hostile *hostile, enum wire_side side)
{
    struct wire_descriptors wire;
    struct error error;
    if (wire_create(&wire, &error))
        abort();
    hostile->memory = mmap(NULL, WIRE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, wire.memory, 0);
    hostile->bell = wire.bell[!side];
    hostile->wire = wire_open(wire.memory, wire.bell[side], side, &error);
    if (!hostile->wire || hostile->memory == MAP_FAILED)
        abort();
}

static void hostile_close(struct hostile *hostile)
{
    wire_close(hostile->wire);
    munmap(hostile->memory, WIRE_BYTES);
    close(hostile->bell);
}

static void receive(struct wire *wire, unsigned most)
{
    const u8 *record;
    size_t bytes;
    u8 sum = 0;
    for (unsigned i = 0; i < most && (bytes = wire_receive(wire, &record)); i++) {
        if (bytes < WIRE_LEAST || bytes > WIRE_MOST)
            abort();
        for (size_t at = 0; at < bytes; at++)
            sum ^= record[at];
        wire_done(wire);
    }
    static volatile u8 seen;
    seen = sum;
    (void)seen;
}

static void send_one(struct wire *wire, size_t bytes)
{
    static u8 frame[WIRE_MOST];
    static const u8 header[WIRE_HEADER];
    const struct iovec parts[] = {{frame, bytes / 2}, {frame, bytes - bytes / 2}};
    wire_send(wire, header, parts, 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hostile hostile;
    if (size < 1 || size > 4096)
        return 0;
    hostile_open(&hostile, data[0] & 1 ? WIRE_ADAPTER : WIRE_SWITCH);
    for (size_t at = 1; at + STEP <= size; at += STEP) {
        const u8 *step = data + at;
        u32 where, value;
        memcpy(&where, step, sizeof where);
        memcpy(&value, step + 4, sizeof value);
        const unsigned what = where % 8;
        where /= 8;
        if (what < 2) // an index or a flag
            memcpy(hostile.memory + where % 64 * 4, &value, sizeof value);
        else if (what == 2) // anywhere: a length, if it is a multiple of 8
            memcpy(hostile.memory + WIRE_PAGE + where % (2 * WIRE_RING / 8) * 8, &value, sizeof value);
        else if (what == 3)
            receive(hostile.wire, value % 64);
        else if (what == 4)
            send_one(hostile.wire, value % (WIRE_MOST + 16));
        else if (what == 5)
            wire_flush(hostile.wire);
        else if (what == 6)
            wire_sleep(hostile.wire);
        else
            wire_wake(hostile.wire);
    }
    hostile_close(&hostile);
    return 0;
}
