// See channel.h.
#include "host/channel.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct channel_ring {
    u8 bytes[CHANNEL_BYTES];
    size_t start, used;
};

struct channel {
    pthread_mutex_t lock;
    int event; // eventfd
    bool open;
    void (*wake)(void *context);
    void *context;
    struct channel_ring to_guest, from_guest;
};

static size_t channel_least(size_t a, size_t b) { return a < b ? a : b; }

static size_t channel_ring_put(struct channel_ring *ring, const u8 *from, size_t count)
{
    size_t taken = channel_least(count, CHANNEL_BYTES - ring->used);
    size_t end = (ring->start + ring->used) % CHANNEL_BYTES, first = channel_least(taken, CHANNEL_BYTES - end);
    memcpy(ring->bytes + end, from, first);
    memcpy(ring->bytes, from + first, taken - first);
    ring->used += taken;
    return taken;
}

static size_t channel_ring_get(struct channel_ring *ring, u8 *to, size_t most)
{
    size_t given = channel_least(most, ring->used), first = channel_least(given, CHANNEL_BYTES - ring->start);
    memcpy(to, ring->bytes + ring->start, first);
    memcpy(to + first, ring->bytes, given - first);
    ring->start = (ring->start + given) % CHANNEL_BYTES;
    ring->used -= given;
    return given;
}

struct channel *channel_create(struct error *error)
{
    struct channel *channel = calloc(1, sizeof *channel);
    if (!channel) {
        error_set(error, "channel to the guest: out of memory");
        return NULL;
    }
    channel->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (channel->event < 0) {
        error_set(error, "channel to the guest: %s", strerror(errno));
        free(channel);
        return NULL;
    }
    pthread_mutex_init(&channel->lock, NULL);
    return channel;
}

void channel_destroy(struct channel *channel)
{
    if (!channel)
        return;
    close(channel->event);
    pthread_mutex_destroy(&channel->lock);
    free(channel);
}

// Under the lock: something is new for the host's side, or for the device.
static void channel_tell_host(struct channel *channel)
{
    u64 one = 1;
    ssize_t result = write(channel->event, &one, sizeof one); // fails only when it is readable anyway
    (void)result;
}

static void channel_tell_device(struct channel *channel)
{
    if (channel->wake)
        channel->wake(channel->context);
}

static void channel_set_open(struct channel *channel, bool open)
{
    if (channel->open == open)
        return;
    channel->open = open;
    if (!open)
        channel->to_guest.used = channel->from_guest.used = 0;
    channel_tell_host(channel);
}

void channel_attach(struct channel *channel, void (*wake)(void *context), void *context)
{
    pthread_mutex_lock(&channel->lock);
    channel->wake = wake;
    channel->context = context;
    channel_set_open(channel, false);
    pthread_mutex_unlock(&channel->lock);
}

void channel_guest_open(struct channel *channel, bool open)
{
    pthread_mutex_lock(&channel->lock);
    channel_set_open(channel, open);
    pthread_mutex_unlock(&channel->lock);
}

size_t channel_from_guest(struct channel *channel, const void *bytes, size_t count)
{
    pthread_mutex_lock(&channel->lock);
    size_t taken = channel_ring_put(&channel->from_guest, bytes, count);
    if (taken)
        channel_tell_host(channel);
    pthread_mutex_unlock(&channel->lock);
    return taken;
}

size_t channel_to_guest(struct channel *channel, void *to, size_t most)
{
    pthread_mutex_lock(&channel->lock);
    size_t given = channel_ring_get(&channel->to_guest, to, most);
    if (given)
        channel_tell_host(channel);
    pthread_mutex_unlock(&channel->lock);
    return given;
}

int channel_descriptor(const struct channel *channel) { return channel->event; }

bool channel_is_open(struct channel *channel)
{
    pthread_mutex_lock(&channel->lock);
    bool open = channel->open;
    pthread_mutex_unlock(&channel->lock);
    return open;
}

size_t channel_read(struct channel *channel, void *to, size_t most)
{
    u64 events;
    pthread_mutex_lock(&channel->lock);
    ssize_t result = read(channel->event, &events, sizeof events);
    (void)result;
    bool full = channel->from_guest.used == CHANNEL_BYTES;
    size_t given = channel_ring_get(&channel->from_guest, to, most);
    if (channel->from_guest.used)
        channel_tell_host(channel);
    if (given && full)
        channel_tell_device(channel);
    pthread_mutex_unlock(&channel->lock);
    return given;
}

size_t channel_write(struct channel *channel, const void *bytes, size_t count)
{
    pthread_mutex_lock(&channel->lock);
    size_t taken = channel->open ? channel_ring_put(&channel->to_guest, bytes, count) : 0;
    if (taken)
        channel_tell_device(channel);
    pthread_mutex_unlock(&channel->lock);
    return taken;
}
