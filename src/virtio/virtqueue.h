// The one reader of split virtqueues (VIRTIO 1.2, section 2.7), for all devices. Rings and chains are written by a
// guest that may be hostile, from other processors, while we read: every field is read once, checked, and used from
// the copy; every loop is bounded by a constant; every address goes through memory.h. A rule broken makes the queue
// `broken`, for good until the device is reset, and says which rule. Nothing the guest writes can do more.
//
// Not thread-safe: a device's lock covers its queues.
#pragma once

#include <assert.h>
#include <sys/uio.h>

#include "base/state.h"
#include "base/types.h"
#include "memory/memory.h"

enum {
    VIRTQUEUE_MAX_SIZE = 256,
    VIRTQUEUE_MAX_SEGMENTS = 512, // a chain's buffers, those split that cross from one block of RAM to the next
};

enum { VIRTQUEUE_DESCRIPTOR_NEXT = 1, VIRTQUEUE_DESCRIPTOR_WRITE = 2, VIRTQUEUE_DESCRIPTOR_INDIRECT = 4 };

struct virtqueue_descriptor {
    u64 address;
    u32 bytes;
    u16 flags;
    u16 next;
};

struct virtqueue_available {
    u16 flags;
    u16 index;
    u16 ring[]; // [size], then used_event
};

struct virtqueue_used_element {
    u32 id;
    u32 bytes;
};

struct virtqueue_used {
    u16 flags;
    u16 index;
    struct virtqueue_used_element ring[]; // [size], then avail_event
};

static_assert(sizeof(struct virtqueue_descriptor) == 16, "VIRTIO 1.2, 2.7.5");
static_assert(sizeof(struct virtqueue_used_element) == 8, "VIRTIO 1.2, 2.7.8");

// What the guest configured and how far the queue has come: all that a saved state needs.
struct virtqueue_state {
    u64 descriptors, driver, device; // guest addresses of table, available ring and used ring
    u16 size;
    u16 vector; // opaque here: the transport's interrupt vector
    u8 enabled; // not bool: it may come from a file
    u16 next_available; // the next entry of the available ring to take
    u16 next_used;      // the next entry of the used ring to fill
    u16 signalled;      // next_used when the guest was last asked whether it wants an interrupt
};

extern const struct state_section virtqueue_section; // of a struct virtqueue_state

struct virtqueue {
    struct virtqueue_state state;
    bool event_index, indirect; // negotiated features
    const char *broken;         // the rule the guest broke, or NULL

    // Derived by virtqueue_start.
    struct memory *memory;
    const u8 *descriptors;
    const struct virtqueue_available *available;
    struct virtqueue_used *used;
};

// One request: the buffers the device reads first, then those it writes.
struct virtqueue_chain {
    u16 head;
    u16 readable, writable;
    u64 readable_bytes, writable_bytes;
    struct iovec segments[VIRTQUEUE_MAX_SEGMENTS];
    u64 addresses[VIRTQUEUE_MAX_SEGMENTS]; // guest addresses of the same
};

enum virtqueue_result { VIRTQUEUE_EMPTY, VIRTQUEUE_CHAIN, VIRTQUEUE_BROKEN };

// Back to the state before the guest configured it. `size` is the largest the device offers.
void virtqueue_reset(struct virtqueue *queue, u16 size);

// Looks up the rings of an enabled queue. False, and broken, if they are not aligned or not RAM.
bool virtqueue_start(struct virtqueue *queue, struct memory *memory);

// Takes the next chain.
enum virtqueue_result virtqueue_take(struct virtqueue *queue, struct virtqueue_chain *chain);

// The last `count` chains taken go back to the guest's side, as if they had not been taken.
void virtqueue_untake(struct virtqueue *queue, u16 count);

// The last `count` chains returned, and not published yet, are with the device again: for a frame that began to fill
// buffers of which there are not enough.
void virtqueue_unreturn(struct virtqueue *queue, u16 count);

// Returns a chain of which the device wrote the first `written` bytes. The guest sees it at the next virtqueue_publish.
// Reports what was written to the memory module.
void virtqueue_return(struct virtqueue *queue, const struct virtqueue_chain *chain, u32 written);

// Shows the guest what was returned; true if the guest wants an interrupt for it.
bool virtqueue_publish(struct virtqueue *queue);

// Before and after a run of takes: whether the guest shall ring the doorbell. virtqueue_listen returns true if
// something came in before the guest could know, and the caller has to look again. `known`: that many chains the
// caller has seen and left, because it needs more; only further ones count.
void virtqueue_deafen(struct virtqueue *queue);
bool virtqueue_listen(struct virtqueue *queue, u16 known);

// Copies between a chain and a buffer, from byte `offset` of the chain's readable (writable) part; returns how many
// bytes there were, at most `bytes`.
size_t virtqueue_chain_read(const struct virtqueue_chain *chain, u64 offset, void *to, size_t bytes);
size_t virtqueue_chain_write(const struct virtqueue_chain *chain, u64 offset, const void *from, size_t bytes);
