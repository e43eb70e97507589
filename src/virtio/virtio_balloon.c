// See virtio_balloon.h. Section numbers are those of VIRTIO 1.2.
//
// What the guest gives is released at once and touched no more than any other page: it stays RAM, so a guest that
// uses it without taking it back gets zeroes and its page, and harms nobody. That is why MUST_TELL_HOST is not
// offered.
#include "virtio/virtio_balloon.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>

#define BALLOON_F_STATS ((u64)1 << 1)
#define BALLOON_F_DEFLATE_ON_OOM ((u64)1 << 2)
#define BALLOON_F_REPORTING ((u64)1 << 5)

// 5.5.2 numbers the queues as if all features were there; Linux leaves no gap for the queue of free page hints, which
// is not offered here, so reports may come on the fourth queue or on the fifth.
enum { QUEUE_INFLATE, QUEUE_DEFLATE, QUEUE_STATISTICS, QUEUE_REPORT, QUEUE_REPORT_AS_NUMBERED, BALLOON_QUEUES };
enum { BALLOON_QUEUE_SIZE = 128, BALLOON_NUMBERS = 16384 /* in one chain, at most */, BALLOON_STATISTICS = 64 };
enum { STATISTIC_FREE = 4, STATISTIC_TOTAL = 5, STATISTIC_AVAILABLE = 6 };

// 5.5.4, without what FREE_PAGE_HINT and PAGE_POISON add.
struct balloon_configuration {
    u32 target, held; // in pages of 4 KiB
};
static_assert(sizeof(struct balloon_configuration) == 8, "VIRTIO 1.2, 5.5.4");

// 5.5.6.3
struct balloon_statistic {
    u16 tag;
    u64 value;
} __attribute__((packed));
static_assert(sizeof(struct balloon_statistic) == 10, "VIRTIO 1.2, 5.5.6.3");

struct virtio_balloon {
    struct virtio virtio;
    struct virtio_pci pci;
    struct balloon_configuration configuration;
    bool asked;   // the target changed: the driver is to be told
    bool refresh;  // somebody wants new statistics
    bool expected; // the driver has its buffer for statistics: the next that comes is news
    u64 reports;
    u64 total, free, available;
    unsigned every; // milliseconds, 0: only on request
    u64 due;        // when the next statistics are to be had, on the host's clock in milliseconds
    void (*reported)(void *context);
    void *context;
    struct virtqueue_chain chain;
};

static struct virtio_balloon *balloon_of(struct virtio *virtio)
{
    return CONTAINER_OF(virtio, struct virtio_balloon, virtio);
}

static u64 balloon_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (u64)now.tv_sec * 1000 + (u64)now.tv_nsec / 1000000;
}

// --- Pages ---

// A run of pages that goes back to the host in one call.
struct balloon_run {
    u64 gpa, bytes;
};

// What is no RAM cannot be given; a run that ends where RAM does goes up to there.
static void balloon_release(struct virtio_balloon *balloon, u64 gpa, u64 bytes)
{
    struct memory *memory = balloon->virtio.memory;
    for (u64 part; bytes && (part = memory_run(memory, gpa, bytes)); gpa += part, bytes -= part)
        memory_release(memory, gpa, part);
}

static void balloon_run_add(struct virtio_balloon *balloon, struct balloon_run *run, u64 gpa)
{
    if (run->bytes && gpa == run->gpa + run->bytes) {
        run->bytes += PAGE_BYTES;
    } else if (run->bytes && gpa + PAGE_BYTES == run->gpa) { // Linux takes them from the top
        run->gpa = gpa;
        run->bytes += PAGE_BYTES;
    } else {
        balloon_release(balloon, run->gpa, run->bytes);
        *run = (struct balloon_run){gpa, PAGE_BYTES};
    }
}

// 5.5.6: an array of page numbers.
static void balloon_inflate(struct virtio_balloon *balloon)
{
    enum { AT_ONCE = 256 };
    u32 numbers[AT_ONCE];
    struct balloon_run run = {0};
    size_t bytes;
    for (u64 at = 0; (bytes = virtqueue_chain_read(&balloon->chain, at, numbers, sizeof numbers)); at += bytes)
        for (size_t i = 0; i < bytes / sizeof *numbers; i++)
            balloon_run_add(balloon, &run, (u64)numbers[i] * PAGE_BYTES);
    balloon_release(balloon, run.gpa, run.bytes);
}

// 5.5.6.7: the free pages themselves are the chain. Only whole pages: the rest of one may be in use.
static void balloon_report(struct virtio_balloon *balloon)
{
    const struct virtqueue_chain *chain = &balloon->chain;
    for (unsigned i = chain->readable; i < (unsigned)chain->readable + chain->writable; i++) {
        u64 start = align_up(chain->addresses[i], PAGE_BYTES);
        u64 end = align_down(chain->addresses[i] + chain->segments[i].iov_len, PAGE_BYTES);
        if (start < end)
            balloon_release(balloon, start, end - start);
    }
}

static void balloon_pages(struct virtio_balloon *balloon, unsigned number)
{
    struct virtio *virtio = &balloon->virtio;
    struct virtqueue *queue = &virtio->queues[number];
    if (!queue->state.enabled)
        return;
    virtqueue_deafen(queue);
    do {
        while (virtio_take(virtio, number, &balloon->chain) == VIRTQUEUE_CHAIN) {
            if (balloon->chain.readable_bytes > BALLOON_NUMBERS * sizeof(u32)) {
                virtio_break(virtio, "5.5.6: more page numbers in a buffer than a driver sends");
                return;
            }
            if (number == QUEUE_INFLATE)
                balloon_inflate(balloon);
            else if (number != QUEUE_DEFLATE) // a page that is taken back comes with the first access
                balloon_report(balloon);
            virtqueue_return(queue, &balloon->chain, 0);
        }
        virtio_publish(virtio, number);
    } while (virtio_listen(virtio, number, 0));
}

// --- Statistics ---

// They come in a buffer that the driver fills when it gets it back (5.5.6.3). So one always waits in the queue: it is
// read when it comes, left there, and returned when there is use for fresh ones.

static void balloon_read_statistics(struct virtio_balloon *balloon)
{
    balloon->total = balloon->free = balloon->available = 0;
    for (unsigned i = 0; i < BALLOON_STATISTICS; i++) {
        struct balloon_statistic statistic;
        size_t bytes = virtqueue_chain_read(&balloon->chain, i * sizeof statistic, &statistic, sizeof statistic);
        if (bytes < sizeof statistic)
            break;
        switch (statistic.tag) {
        case STATISTIC_FREE: balloon->free = statistic.value; break;
        case STATISTIC_TOTAL: balloon->total = statistic.value; break;
        case STATISTIC_AVAILABLE: balloon->available = statistic.value; break;
        default: break;
        }
    }
    balloon->reports++;
}

// True if there is news.
static bool balloon_statistics(struct virtio_balloon *balloon)
{
    struct virtio *virtio = &balloon->virtio;
    struct virtqueue *queue = &virtio->queues[QUEUE_STATISTICS];
    if (!queue->state.enabled || !virtio_has(virtio, BALLOON_F_STATS))
        return false;
    bool want = balloon->refresh || (balloon->every && balloon_now() >= balloon->due);
    virtqueue_deafen(queue);
    do {
        while (virtio_take(virtio, QUEUE_STATISTICS, &balloon->chain) == VIRTQUEUE_CHAIN) {
            if (balloon->expected) {
                balloon_read_statistics(balloon);
                balloon->expected = false;
                virtqueue_untake(queue, 1);
                if (balloon->refresh)
                    virtio_ring(virtio);
                return true;
            }
            if (!want) {
                virtqueue_untake(queue, 1);
                return false;
            }
            want = balloon->refresh = false;
            balloon->due = balloon_now() + balloon->every;
            balloon->expected = true;
            virtqueue_return(queue, &balloon->chain, 0);
            virtio_publish(virtio, QUEUE_STATISTICS);
        }
    } while (virtio_listen(virtio, QUEUE_STATISTICS, 0));
    return false;
}

static void balloon_tell(struct virtio_balloon *balloon)
{
    struct virtio *virtio = &balloon->virtio;
    u32 epoch = virtio->epoch;
    if (!balloon->reported)
        return;
    virtio_host_begin(virtio);
    balloon->reported(balloon->context);
    virtio_host_end(virtio, epoch);
}

static void balloon_work(struct virtio *virtio)
{
    static const u8 queues[] = {QUEUE_INFLATE, QUEUE_DEFLATE, QUEUE_REPORT, QUEUE_REPORT_AS_NUMBERED};
    struct virtio_balloon *balloon = balloon_of(virtio);
    if (balloon->asked) {
        balloon->asked = false;
        virtio_config_changed(virtio);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(queues) && virtio_live(virtio); i++)
        balloon_pages(balloon, queues[i]);
    if (virtio_live(virtio) && balloon_statistics(balloon))
        balloon_tell(balloon);
}

static void balloon_prepare(struct virtio *virtio, struct pollset *set)
{
    struct virtio_balloon *balloon = balloon_of(virtio);
    if (!balloon->every || balloon->expected)
        return;
    u64 now = balloon_now();
    pollset_within(set, balloon->due > now ? balloon->due - now : 0);
}

static void balloon_reset(struct virtio *virtio)
{
    struct virtio_balloon *balloon = balloon_of(virtio);
    balloon->configuration.held = 0;
    balloon->expected = true; // the first buffer of a driver is filled
    balloon->total = balloon->free = balloon->available = 0;
}

// 5.5.5: the driver says how many pages it holds. One that holds fewer than it did, and than it was asked for, is short
// of memory (DEFLATE_ON_OOM): what it needs is asked for now, as the next statistics may come too late.
static void balloon_config_write(struct virtio *virtio, u32 offset, const void *from, u32 bytes)
{
    struct balloon_configuration *configuration = &balloon_of(virtio)->configuration;
    if (offset != offsetof(struct balloon_configuration, held) || bytes != sizeof configuration->held)
        return;
    u32 held = *(const u32 *)from;
    bool short_of_memory = held < configuration->held && held < configuration->target;
    configuration->held = held;
    if (short_of_memory) {
        balloon_of(virtio)->refresh = true;
        virtio_ring(virtio);
    }
}

static void balloon_destroy(struct virtio *virtio)
{
    virtio_close(virtio);
    free(balloon_of(virtio));
}

static const struct state_field balloon_fields[] = {
    STATE_FIELD(struct virtio_balloon, configuration.target),
    STATE_FIELD(struct virtio_balloon, configuration.held),
};

static const struct state_section balloon_state = STATE_SECTION("virtio-balloon", 1, balloon_fields);
static_assert(offsetof(struct virtio_balloon, virtio) == 0, "virtio_type.state");

static const struct virtio_type balloon_type = {
    .name = "balloon",
    .id = VIRTIO_ID_BALLOON,
    .queues = BALLOON_QUEUES,
    .queue_size = BALLOON_QUEUE_SIZE,
    .class_code = 0x00FF00,
    .config_bytes = sizeof(struct balloon_configuration),
    .work = balloon_work,
    .state = &balloon_state,
    .prepare = balloon_prepare,
    .reset = balloon_reset,
    .config_write = balloon_config_write,
    .destroy = balloon_destroy,
};

struct virtio_pci *virtio_balloon_create(struct memory *memory, struct error *error)
{
    struct virtio_balloon *balloon = calloc(1, sizeof *balloon);
    if (!balloon) {
        error_set(error, "virtio balloon: out of memory");
        return NULL;
    }
    balloon->expected = true;
    balloon->virtio.type = &balloon_type;
    balloon->virtio.memory = memory;
    balloon->virtio.config = &balloon->configuration;
    balloon->virtio.features = BALLOON_F_STATS | BALLOON_F_DEFLATE_ON_OOM | BALLOON_F_REPORTING;
    if (virtio_open(&balloon->virtio, error) < 0) {
        free(balloon);
        return NULL;
    }
    if (virtio_pci_init(&balloon->pci, &balloon->virtio, error) < 0) {
        balloon_destroy(&balloon->virtio);
        return NULL;
    }
    return &balloon->pci;
}

// --- For the host ---

void virtio_balloon_ask(struct virtio_pci *pci, u64 bytes)
{
    struct virtio_balloon *balloon = balloon_of(pci->virtio);
    u64 pages = bytes / PAGE_BYTES;
    pthread_mutex_lock(&pci->virtio->lock);
    u32 target = pages < UINT32_MAX ? (u32)pages : UINT32_MAX;
    balloon->asked |= target != balloon->configuration.target;
    balloon->configuration.target = target;
    pthread_mutex_unlock(&pci->virtio->lock);
    virtio_ring(pci->virtio);
}

void virtio_balloon_get(struct virtio_pci *pci, struct virtio_balloon_status *status)
{
    struct virtio_balloon *balloon = balloon_of(pci->virtio);
    pthread_mutex_lock(&pci->virtio->lock);
    *status = (struct virtio_balloon_status){
        .live = virtio_live(pci->virtio),
        .target = (u64)balloon->configuration.target * PAGE_BYTES,
        .held = (u64)balloon->configuration.held * PAGE_BYTES,
        .reports = balloon->reports,
        .total = balloon->total,
        .free = balloon->free,
        .available = balloon->available,
    };
    pthread_mutex_unlock(&pci->virtio->lock);
}

void virtio_balloon_refresh(struct virtio_pci *pci)
{
    struct virtio_balloon *balloon = balloon_of(pci->virtio);
    pthread_mutex_lock(&pci->virtio->lock);
    balloon->refresh = true;
    pthread_mutex_unlock(&pci->virtio->lock);
    virtio_ring(pci->virtio);
}

void virtio_balloon_every(struct virtio_pci *pci, unsigned milliseconds)
{
    struct virtio_balloon *balloon = balloon_of(pci->virtio);
    pthread_mutex_lock(&pci->virtio->lock);
    balloon->every = milliseconds;
    balloon->due = balloon_now() + milliseconds;
    pthread_mutex_unlock(&pci->virtio->lock);
    virtio_ring(pci->virtio);
}

void virtio_balloon_listen(struct virtio_pci *pci, void (*reported)(void *context), void *context)
{
    struct virtio_balloon *balloon = balloon_of(pci->virtio);
    balloon->reported = reported;
    balloon->context = context;
}
