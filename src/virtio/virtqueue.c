// See virtqueue.h. Section numbers are those of VIRTIO 1.2. The byte order is the host's: both sides are x86-64.
#include "virtio/virtqueue.h"

#include <string.h>

#define VIRTQUEUE_LOAD(place) __atomic_load_n(&(place), __ATOMIC_ACQUIRE)
#define VIRTQUEUE_STORE(place, value) __atomic_store_n(&(place), value, __ATOMIC_RELEASE)

enum { AVAILABLE_NO_INTERRUPT = 1, USED_NO_NOTIFY = 1 };

static const struct state_field virtqueue_fields[] = {
    STATE_FIELD(struct virtqueue_state, descriptors),
    STATE_FIELD(struct virtqueue_state, driver),
    STATE_FIELD(struct virtqueue_state, device),
    STATE_RANGE(struct virtqueue_state, size, 1, VIRTQUEUE_MAX_SIZE),
    STATE_FIELD(struct virtqueue_state, vector),
    STATE_BOOL(struct virtqueue_state, enabled),
    STATE_FIELD(struct virtqueue_state, next_available),
    STATE_FIELD(struct virtqueue_state, next_used),
    STATE_FIELD(struct virtqueue_state, signalled),
};

const struct state_section virtqueue_section = STATE_SECTION("virtqueue", 1, virtqueue_fields);

static bool virtqueue_break(struct virtqueue *queue, const char *rule)
{
    if (!queue->broken)
        queue->broken = rule;
    return false;
}

static u64 virtqueue_available_bytes(const struct virtqueue *queue)
{
    return sizeof(struct virtqueue_available) + sizeof(u16) * (queue->state.size + (u64)queue->event_index);
}

static u64 virtqueue_used_bytes(const struct virtqueue *queue)
{
    return sizeof(struct virtqueue_used) + sizeof(struct virtqueue_used_element) * queue->state.size +
           (queue->event_index ? sizeof(u16) : 0);
}

// 2.7.7.1 and 2.7.8.1: each side puts the index it wants to hear about behind the other's ring.
static const u16 *virtqueue_used_event(const struct virtqueue *queue)
{
    return &queue->available->ring[queue->state.size];
}

static u16 *virtqueue_available_event(struct virtqueue *queue)
{
    return (u16 *)&queue->used->ring[queue->state.size];
}

void virtqueue_reset(struct virtqueue *queue, u16 size)
{
    *queue = (struct virtqueue){.state = {.size = size, .vector = 0xFFFF}};
}

bool virtqueue_start(struct virtqueue *queue, struct memory *memory)
{
    const struct virtqueue_state *state = &queue->state;
    queue->memory = memory;
    if (!state->size || state->size > VIRTQUEUE_MAX_SIZE || (state->size & (state->size - 1)))
        return virtqueue_break(queue, "2.7: the queue size is not a power of two within the limit");
    if (state->descriptors % 16 || state->driver % 2 || state->device % 4)
        return virtqueue_break(queue, "2.7: a part of the queue is not aligned");
    queue->descriptors = memory_pointer(memory, state->descriptors, sizeof(struct virtqueue_descriptor) * state->size);
    queue->available = memory_pointer(memory, state->driver, virtqueue_available_bytes(queue));
    queue->used = memory_pointer(memory, state->device, virtqueue_used_bytes(queue));
    if (!queue->descriptors || !queue->available || !queue->used)
        return virtqueue_break(queue, "2.7: a part of the queue is not in memory");
    return true;
}

// Adds one buffer to the chain, cut where RAM is not contiguous for the host.
static bool virtqueue_add_buffer(struct virtqueue *queue, struct virtqueue_chain *chain, u64 address, u32 bytes,
                                 bool write)
{
    if (!write && chain->writable)
        return virtqueue_break(queue, "2.7.4.2: a readable buffer after a writable one");
    u64 *total = write ? &chain->writable_bytes : &chain->readable_bytes;
    *total += bytes;
    if (chain->readable_bytes + chain->writable_bytes > GIB(4))
        return virtqueue_break(queue, "2.7.5: a chain of more than 4 GiB");
    while (bytes) {
        unsigned position = (unsigned)chain->readable + chain->writable;
        u64 run = memory_run(queue->memory, address, bytes);
        void *host = run ? memory_pointer(queue->memory, address, run) : NULL;
        if (!host)
            return virtqueue_break(queue, "2.7.5: a buffer is not in memory");
        if (position == VIRTQUEUE_MAX_SEGMENTS)
            return virtqueue_break(queue, "2.7.5.3.1: a chain of too many buffers");
        chain->segments[position] = (struct iovec){.iov_base = host, .iov_len = run};
        chain->addresses[position] = address;
        if (write)
            chain->writable++;
        else
            chain->readable++;
        address += run;
        bytes -= (u32)run;
    }
    return true;
}

static struct virtqueue_descriptor virtqueue_load_descriptor(const void *place)
{
    // One copy (an indirect table need not be aligned), and the barrier keeps the compiler from going back to the
    // guest's memory for a field that was checked already.
    struct virtqueue_descriptor copy;
    memcpy(&copy, place, sizeof copy);
    __asm__ volatile("" : "+m"(copy));
    return copy;
}

// Follows one table from `index`: the queue's own, or an indirect one, in which no further table may be named.
static bool virtqueue_walk(struct virtqueue *queue, struct virtqueue_chain *chain,
                           const u8 *table, u32 entries, u32 index, bool inside);

static bool virtqueue_walk_indirect(struct virtqueue *queue, struct virtqueue_chain *chain,
                                    const struct virtqueue_descriptor *descriptor)
{
    u32 entries = descriptor->bytes / sizeof *descriptor;
    if (!queue->indirect)
        return virtqueue_break(queue, "2.7.5.3.1: an indirect table, though the feature was not negotiated");
    if (descriptor->flags & VIRTQUEUE_DESCRIPTOR_NEXT)
        return virtqueue_break(queue, "2.7.5.3.1: INDIRECT and NEXT in one descriptor");
    if (!entries || descriptor->bytes % sizeof *descriptor)
        return virtqueue_break(queue, "2.7.5.3: the length of an indirect table is not a multiple of 16");
    const u8 *table = memory_pointer(queue->memory, descriptor->address, descriptor->bytes);
    if (!table)
        return virtqueue_break(queue, "2.7.5.3: an indirect table is not in memory");
    return virtqueue_walk(queue, chain, table, entries, 0, true);
}

static bool virtqueue_walk(struct virtqueue *queue, struct virtqueue_chain *chain,
                           const u8 *table, u32 entries, u32 index, bool inside)
{
    // A chain visits no descriptor twice, so one that is longer than its table is a loop.
    u32 most = entries < VIRTQUEUE_MAX_SEGMENTS ? entries : VIRTQUEUE_MAX_SEGMENTS;
    for (u32 visited = 0; visited < most; visited++) {
        if (index >= entries)
            return virtqueue_break(queue, "2.7.5: a descriptor's number is beyond the table");
        struct virtqueue_descriptor descriptor = virtqueue_load_descriptor(table + (size_t)index * sizeof descriptor);
        if (descriptor.flags & VIRTQUEUE_DESCRIPTOR_INDIRECT) {
            if (inside)
                return virtqueue_break(queue, "2.7.5.3.1: an indirect table in an indirect table");
            return virtqueue_walk_indirect(queue, chain, &descriptor);
        }
        if (!virtqueue_add_buffer(queue, chain, descriptor.address, descriptor.bytes,
                                  descriptor.flags & VIRTQUEUE_DESCRIPTOR_WRITE))
            return false;
        if (!(descriptor.flags & VIRTQUEUE_DESCRIPTOR_NEXT))
            return true;
        index = descriptor.next;
    }
    return virtqueue_break(queue, "2.7.5: a chain that loops");
}

enum virtqueue_result virtqueue_take(struct virtqueue *queue, struct virtqueue_chain *chain)
{
    struct virtqueue_state *state = &queue->state;
    if (queue->broken)
        return VIRTQUEUE_BROKEN;
    if (!queue->available)
        return VIRTQUEUE_EMPTY;
    u16 waiting = (u16)(VIRTQUEUE_LOAD(queue->available->index) - state->next_available);
    if (!waiting)
        return VIRTQUEUE_EMPTY;
    if (waiting > state->size) {
        virtqueue_break(queue, "2.7.6: the available index jumped by more than the queue size");
        return VIRTQUEUE_BROKEN;
    }
    u16 head = VIRTQUEUE_LOAD(queue->available->ring[state->next_available & (state->size - 1)]);
    chain->head = head;
    chain->readable = chain->writable = 0;
    chain->readable_bytes = chain->writable_bytes = 0;
    if (!virtqueue_walk(queue, chain, queue->descriptors, state->size, head, false))
        return VIRTQUEUE_BROKEN;
    state->next_available++;
    return VIRTQUEUE_CHAIN;
}

void virtqueue_untake(struct virtqueue *queue, u16 count)
{
    queue->state.next_available = (u16)(queue->state.next_available - count);
}

void virtqueue_unreturn(struct virtqueue *queue, u16 count)
{
    queue->state.next_used = (u16)(queue->state.next_used - count);
}

void virtqueue_return(struct virtqueue *queue, const struct virtqueue_chain *chain, u32 written)
{
    struct virtqueue_state *state = &queue->state;
    u64 left = written < chain->writable_bytes ? written : chain->writable_bytes;
    for (unsigned i = chain->readable; left; i++) {
        u64 part = left < chain->segments[i].iov_len ? left : chain->segments[i].iov_len;
        memory_written(queue->memory, chain->addresses[i], part);
        left -= part;
    }
    u16 position = state->next_used++ & (state->size - 1);
    queue->used->ring[position] = (struct virtqueue_used_element){.id = chain->head, .bytes = written};
    memory_written(queue->memory, state->device + offsetof(struct virtqueue_used, ring[position]),
                   sizeof(struct virtqueue_used_element));
}

// A store of ours into the used ring's head or tail, seen by all before we read anything further.
static void virtqueue_store_used(struct virtqueue *queue, u16 *place, u16 value)
{
    VIRTQUEUE_STORE(*place, value);
    memory_written(queue->memory, queue->state.device + (u64)((u8 *)place - (u8 *)queue->used), sizeof *place);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

bool virtqueue_publish(struct virtqueue *queue)
{
    struct virtqueue_state *state = &queue->state;
    u16 before = state->signalled;
    if (!queue->used || state->next_used == before)
        return false;
    virtqueue_store_used(queue, &queue->used->index, state->next_used);
    state->signalled = state->next_used;
    if (!queue->event_index)
        return !(VIRTQUEUE_LOAD(queue->available->flags) & AVAILABLE_NO_INTERRUPT);
    // 2.7.7.2: an interrupt when the index the driver named was passed since the last time.
    u16 event = VIRTQUEUE_LOAD(*virtqueue_used_event(queue));
    return (u16)(state->next_used - event - 1) < (u16)(state->next_used - before);
}

void virtqueue_deafen(struct virtqueue *queue)
{
    // With the event index the driver is silent anyway until the index passes the one we named last.
    if (queue->used && !queue->event_index)
        virtqueue_store_used(queue, &queue->used->flags, USED_NO_NOTIFY);
}

bool virtqueue_listen(struct virtqueue *queue, u16 known)
{
    u16 next = (u16)(queue->state.next_available + known);
    if (!queue->used || queue->broken)
        return false;
    if (queue->event_index)
        virtqueue_store_used(queue, virtqueue_available_event(queue), next);
    else
        virtqueue_store_used(queue, &queue->used->flags, 0);
    return VIRTQUEUE_LOAD(queue->available->index) != next;
}

// Copies to or from consecutive segments; `buffer` is only written if `out`.
static size_t virtqueue_copy(const struct iovec *segments, unsigned count, u64 offset, u8 *buffer, size_t bytes,
                             bool out)
{
    size_t done = 0;
    for (unsigned i = 0; i < count && done < bytes; i++) {
        if (offset >= segments[i].iov_len) {
            offset -= segments[i].iov_len;
            continue;
        }
        size_t part = segments[i].iov_len - offset;
        u8 *guest = (u8 *)segments[i].iov_base + offset;
        if (part > bytes - done)
            part = bytes - done;
        if (out)
            memcpy(buffer + done, guest, part);
        else
            memcpy(guest, buffer + done, part);
        done += part;
        offset = 0;
    }
    return done;
}

size_t virtqueue_chain_read(const struct virtqueue_chain *chain, u64 offset, void *to, size_t bytes)
{
    return virtqueue_copy(chain->segments, chain->readable, offset, to, bytes, true);
}

size_t virtqueue_chain_write(const struct virtqueue_chain *chain, u64 offset, const void *from, size_t bytes)
{
    return virtqueue_copy(chain->segments + chain->readable, chain->writable, offset, (u8 *)from, bytes, false);
}
