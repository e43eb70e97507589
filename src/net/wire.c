// See wire.h. Records begin at multiples of 8 bytes and do not wrap: one that does not fit before the ring's end
// begins at its start, and a mark says so. Indices count bytes, go on for ever, and are taken modulo the ring's size,
// so that a full ring is not an empty one.
#include "net/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WIRE_ALIGN = 8, WIRE_LENGTH = 4 /* bytes before a record */, WIRE_SEALS = F_SEAL_SHRINK | F_SEAL_GROW };
#define WIRE_SKIP UINT32_MAX // instead of a length: the next record is at the ring's start

// What both sides see of a ring. Each line is written by one side, apart from the two flags, which one side raises
// and the other takes down.
struct wire_index {
    _Alignas(64) _Atomic u32 head; // the sender's: where the next record will be
    _Atomic u32 sender_waits;      // for room
    _Alignas(64) _Atomic u32 tail; // the receiver's: the first record it has not done
    _Atomic u32 receiver_sleeps;
};

struct wire_page {
    struct wire_index rings[2]; // by who receives: enum wire_side
};
static_assert(sizeof(struct wire_index) == 128 && offsetof(struct wire_index, tail) == 64, "shared with other builds");
static_assert(sizeof(struct wire_page) <= WIRE_PAGE && (WIRE_RING & (WIRE_RING - 1)) == 0, "the layout of a wire");
static_assert(WIRE_RING >= 4 * (WIRE_MOST + WIRE_LENGTH + WIRE_ALIGN), "the longest record fits anywhere");

struct wire_ring {
    struct wire_index *index;
    u8 *bytes;
    u32 own;   // our index
    u32 told;  // what of it the other side has been told
    u32 other; // the other side's, as last read and found possible
    u32 taken; // the receiver's: bytes of the record that is looked at, with what is before it
};

struct wire {
    void *memory;
    int bell;
    bool broken, hung_up;
    struct wire_ring out, in;
};

int wire_create(struct wire_descriptors *descriptors, struct error *error)
{
    *descriptors = (struct wire_descriptors){-1, {-1, -1}};
    descriptors->memory = memfd_create("nidus-wire", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (descriptors->memory >= 0 && ftruncate(descriptors->memory, WIRE_BYTES) == 0 &&
        fcntl(descriptors->memory, F_ADD_SEALS, WIRE_SEALS | F_SEAL_SEAL) == 0 &&
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, descriptors->bell) == 0)
        return 0;
    error_set(error, "no wire to the switch: %s", strerror(errno));
    wire_descriptors_close(descriptors);
    return -1;
}

void wire_descriptors_close(struct wire_descriptors *descriptors)
{
    if (descriptors->memory >= 0)
        close(descriptors->memory);
    for (int side = 0; side < 2; side++)
        if (descriptors->bell[side] >= 0)
            close(descriptors->bell[side]);
    *descriptors = (struct wire_descriptors){-1, {-1, -1}};
}

static int wire_check_memory(int memory, struct error *error)
{
    struct stat status;
    const int seals = fcntl(memory, F_GET_SEALS);
    if (fstat(memory, &status) < 0 || status.st_size != WIRE_BYTES || seals < 0 || (seals & WIRE_SEALS) != WIRE_SEALS)
        return error_set(error, "what was given as a wire's memory is none");
    return 0;
}

// Both sides begin where the ring says, which for a new one is 0; what it says is no more trusted here than later.
static void wire_ring_open(struct wire_ring *ring, struct wire_page *page, enum wire_side receiver, bool ours)
{
    ring->index = &page->rings[receiver];
    ring->bytes = (u8 *)page + WIRE_PAGE + (size_t)receiver * WIRE_RING;
    const u32 own = atomic_load(ours ? &ring->index->tail : &ring->index->head);
    ring->own = ring->told = ring->other = own & ~(u32)(WIRE_ALIGN - 1);
}

struct wire *wire_open(int memory, int bell, enum wire_side side, struct error *error)
{
    if (wire_check_memory(memory, error))
        return NULL;
    struct wire *wire = calloc(1, sizeof *wire);
    void *at = wire ? mmap(NULL, WIRE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0) : MAP_FAILED;
    if (at == MAP_FAILED) {
        error_set(error, "a wire's memory: %s", strerror(errno));
        free(wire);
        return NULL;
    }
    wire->memory = at;
    wire->bell = bell;
    wire_ring_open(&wire->in, at, side, true);
    wire_ring_open(&wire->out, at, side == WIRE_ADAPTER ? WIRE_SWITCH : WIRE_ADAPTER, false);
    close(memory);
    return wire;
}

void wire_close(struct wire *wire)
{
    if (!wire)
        return;
    munmap(wire->memory, WIRE_BYTES);
    if (wire->bell >= 0)
        close(wire->bell);
    free(wire);
}

int wire_bell(const struct wire *wire) { return wire->hung_up ? -1 : wire->bell; }

bool wire_is_broken(const struct wire *wire) { return wire->broken; }

bool wire_is_hung_up(const struct wire *wire) { return wire->hung_up; }

static void wire_ring_bell(struct wire *wire)
{
    static const u8 one = 1;
    // A bell that is full is ringing already.
    if (!wire->hung_up && send(wire->bell, &one, 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN)
        wire->hung_up = true;
}

// --- Sending ---------------------------------------------------------------------------------------------------------

static u32 wire_padded(size_t bytes) { return (u32)(bytes + WIRE_LENGTH + WIRE_ALIGN - 1) & ~(u32)(WIRE_ALIGN - 1); }

static u32 wire_to_end(u32 index) { return WIRE_RING - (index & (WIRE_RING - 1)); }

// How far the receiver has come, if that can be.
static void wire_look_at_tail(struct wire *wire)
{
    const u32 tail = atomic_load(&wire->out.index->tail);
    if (tail % WIRE_ALIGN || wire->out.own - tail > WIRE_RING)
        wire->broken = true;
    else
        wire->out.other = tail;
}

static u32 wire_need(const struct wire *wire, size_t bytes)
{
    const u32 need = wire_padded(bytes), end = wire_to_end(wire->out.own);
    return need <= end ? need : end + need;
}

static bool wire_fits(const struct wire *wire, u32 need)
{
    return !wire->broken && WIRE_RING - (wire->out.own - wire->out.other) >= need;
}

// Asks again, and then with the flag up, so that a receiver that gives back room just now either is seen or rings.
static bool wire_wait_for_room(struct wire *wire, u32 need)
{
    wire_look_at_tail(wire);
    if (wire_fits(wire, need))
        return true;
    atomic_store(&wire->out.index->sender_waits, 1);
    wire_look_at_tail(wire);
    return wire_fits(wire, need);
}

bool wire_send(struct wire *wire, const void *header, const struct iovec *parts, unsigned count)
{
    struct wire_ring *out = &wire->out;
    size_t bytes = WIRE_HEADER;
    for (unsigned i = 0; i < count; i++)
        bytes += parts[i].iov_len;
    if (bytes < WIRE_LEAST || bytes > WIRE_MOST || wire->broken || wire->hung_up)
        return false;
    const u32 need = wire_need(wire, bytes), padded = wire_padded(bytes);
    if (!wire_fits(wire, need) && !wire_wait_for_room(wire, need)) {
        wire_flush(wire); // what is there already shall not wait for a room that its reading makes
        return false;
    }
    u8 *at = out->bytes + (out->own & (WIRE_RING - 1));
    if (need != padded) {
        memcpy(at, &(u32){WIRE_SKIP}, WIRE_LENGTH);
        at = out->bytes;
    }
    memcpy(at, &(u32){(u32)bytes}, WIRE_LENGTH);
    memcpy(at + WIRE_LENGTH, header, WIRE_HEADER);
    at += WIRE_LENGTH + WIRE_HEADER;
    for (unsigned i = 0; i < count; i++) {
        memcpy(at, parts[i].iov_base, parts[i].iov_len);
        at += parts[i].iov_len;
    }
    out->own += need;
    return true;
}

void wire_flush(struct wire *wire)
{
    bool ring = false;
    if (wire->out.told != wire->out.own) {
        atomic_store(&wire->out.index->head, wire->out.own);
        wire->out.told = wire->out.own;
        ring |= atomic_load(&wire->out.index->receiver_sleeps) && atomic_exchange(&wire->out.index->receiver_sleeps, 0);
    }
    if (wire->in.told != wire->in.own) {
        atomic_store(&wire->in.index->tail, wire->in.own);
        wire->in.told = wire->in.own;
        ring |= atomic_load(&wire->in.index->sender_waits) && atomic_exchange(&wire->in.index->sender_waits, 0);
    }
    if (ring)
        wire_ring_bell(wire);
}

// --- Receiving -------------------------------------------------------------------------------------------------------

static size_t wire_break(struct wire *wire)
{
    wire->broken = true;
    return 0;
}

// How far the sender has come, if that can be.
static bool wire_look_at_head(struct wire *wire)
{
    const u32 head = atomic_load(&wire->in.index->head);
    if (head % WIRE_ALIGN || head - wire->in.own > WIRE_RING)
        wire->broken = true;
    else
        wire->in.other = head;
    return !wire->broken && head != wire->in.own;
}

size_t wire_receive(struct wire *wire, const u8 **record)
{
    struct wire_ring *in = &wire->in;
    if (wire->broken || (in->other == in->own && !wire_look_at_head(wire)))
        return 0;
    const u8 *at = in->bytes + (in->own & (WIRE_RING - 1));
    u32 there = in->other - in->own, skipped = 0;
    u32 bytes = __atomic_load_n((const u32 *)(const void *)at, __ATOMIC_RELAXED);
    if (bytes == WIRE_SKIP) {
        skipped = wire_to_end(in->own);
        if (skipped + WIRE_ALIGN > there)
            return wire_break(wire);
        at = in->bytes;
        there -= skipped;
        bytes = __atomic_load_n((const u32 *)(const void *)at, __ATOMIC_RELAXED);
    }
    if (bytes < WIRE_LEAST || bytes > WIRE_MOST || wire_padded(bytes) > there ||
        wire_padded(bytes) > wire_to_end(in->own + skipped))
        return wire_break(wire);
    in->taken = skipped + wire_padded(bytes);
    *record = at + WIRE_LENGTH;
    return bytes;
}

void wire_done(struct wire *wire)
{
    wire->in.own += wire->in.taken;
    wire->in.taken = 0;
}

bool wire_sleep(struct wire *wire)
{
    wire_flush(wire);
    if (wire->broken || wire->hung_up)
        return true; // nothing will come
    atomic_store(&wire->in.index->receiver_sleeps, 1);
    if (!wire_look_at_head(wire))
        return true;
    atomic_store(&wire->in.index->receiver_sleeps, 0);
    return false;
}

void wire_wake(struct wire *wire)
{
    u8 rung[64];
    if (wire->hung_up)
        return;
    const ssize_t got = recv(wire->bell, rung, sizeof rung, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        wire->hung_up = true;
    atomic_store(&wire->in.index->receiver_sleeps, 0);
}
