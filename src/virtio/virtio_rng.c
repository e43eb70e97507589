// See virtio_rng.h. The rate is bounded so that a guest that reads /dev/hwrng in a loop costs the host no processor:
// there is an allowance that grows with time up to one request, and the thread sleeps until it is worth using.
#include "virtio/virtio_rng.h"

#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

enum { RNG_QUEUE_SIZE = 16, RNG_REQUEST = 4096 /* the most one request is given */, RNG_DEFAULT_RATE = 1 << 20 };

struct virtio_rng {
    struct virtio virtio;
    struct virtio_pci pci;
    u64 rate;      // bytes a second
    u64 allowance; // bytes that may be given now
    u64 counted;   // host time in nanoseconds up to which the allowance has grown
    bool short_of; // a request waits for the allowance
    struct virtqueue_chain chain;
    u8 buffer[RNG_REQUEST];
};

static u64 rng_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (u64)now.tv_sec * 1000000000 + (u64)now.tv_nsec;
}

static void rng_grow(struct virtio_rng *rng)
{
    u64 now = rng_now(), elapsed = now - rng->counted;
    u64 grown = elapsed > 1000000000 ? rng->rate : elapsed * rng->rate / 1000000000;
    if (!grown)
        return;
    rng->counted = now;
    rng->allowance += grown;
    if (rng->allowance > RNG_REQUEST)
        rng->allowance = RNG_REQUEST;
}

// One request, which waits until the allowance covers all of it: 5.4.6.1 lets the device give less, but not nothing.
static bool rng_serve(struct virtio_rng *rng)
{
    struct virtqueue *queue = &rng->virtio.queues[0];
    u64 wanted = rng->chain.writable_bytes < RNG_REQUEST ? rng->chain.writable_bytes : RNG_REQUEST;
    if (wanted > rng->allowance) {
        virtqueue_untake(queue, 1);
        rng->short_of = true;
        return false;
    }
    ssize_t got = getrandom(rng->buffer, wanted, 0); // at most 4 KiB: interrupted only before the host's pool is seeded
    size_t bytes = got < 0 ? 0 : virtqueue_chain_write(&rng->chain, 0, rng->buffer, (size_t)got);
    rng->allowance -= bytes;
    virtqueue_return(queue, &rng->chain, (u32)bytes);
    virtio_publish(&rng->virtio, 0);
    return true;
}

static void rng_work(struct virtio *virtio)
{
    struct virtio_rng *rng = CONTAINER_OF(virtio, struct virtio_rng, virtio);
    struct virtqueue *queue = &virtio->queues[0];
    rng->short_of = false;
    rng_grow(rng);
    virtqueue_deafen(queue);
    do {
        while (virtio_take(virtio, 0, &rng->chain) == VIRTQUEUE_CHAIN)
            if (!rng_serve(rng))
                return; // deaf: the clock wakes us
    } while (virtio_listen(virtio, 0, 0));
}

static void rng_prepare(struct virtio *virtio, struct pollset *set)
{
    struct virtio_rng *rng = CONTAINER_OF(virtio, struct virtio_rng, virtio);
    if (rng->short_of)
        pollset_within(set, RNG_REQUEST * 1000 / rng->rate + 1);
}

static void rng_destroy(struct virtio *virtio)
{
    virtio_close(virtio);
    free(CONTAINER_OF(virtio, struct virtio_rng, virtio));
}

static const struct virtio_type rng_type = {
    .name = "rng",
    .id = VIRTIO_ID_ENTROPY,
    .queues = 1,
    .queue_size = RNG_QUEUE_SIZE,
    .class_code = 0x00FF00,
    .work = rng_work,
    .prepare = rng_prepare,
    .destroy = rng_destroy,
};

struct virtio_pci *virtio_rng_create(struct memory *memory, const struct virtio_rng_config *config,
                                     struct error *error)
{
    struct virtio_rng *rng = calloc(1, sizeof *rng);
    if (!rng) {
        error_set(error, "virtio rng: out of memory");
        return NULL;
    }
    rng->rate = config->bytes_per_second ? config->bytes_per_second : RNG_DEFAULT_RATE;
    rng->allowance = RNG_REQUEST;
    rng->counted = rng_now();
    rng->virtio.type = &rng_type;
    rng->virtio.memory = memory;
    if (virtio_open(&rng->virtio, error) < 0) {
        free(rng);
        return NULL;
    }
    if (virtio_pci_init(&rng->pci, &rng->virtio, error) < 0) {
        rng_destroy(&rng->virtio);
        return NULL;
    }
    return &rng->pci;
}
