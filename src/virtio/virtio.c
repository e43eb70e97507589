// See virtio.h.
#include "virtio/virtio.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/batch.h"

int virtio_open(struct virtio *virtio, struct error *error)
{
    virtio->doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (virtio->doorbell < 0)
        return error_set(error, "virtio %s: cannot create a doorbell: %s", virtio->type->name, strerror(errno));
    virtio->features |= VIRTIO_FEATURES_COMMON;
    virtio->config_vector = VIRTIO_NO_VECTOR;
    for (unsigned i = 0; i < virtio->type->queues; i++)
        virtqueue_reset(&virtio->queues[i], virtio->type->queue_size);
    pthread_mutex_init(&virtio->lock, NULL);
    pthread_cond_init(&virtio->idle, NULL);
    return 0;
}

void virtio_close(struct virtio *virtio)
{
    virtio_stop(virtio);
    close(virtio->doorbell);
    pthread_cond_destroy(&virtio->idle);
    pthread_mutex_destroy(&virtio->lock);
}

void virtio_ring(struct virtio *virtio)
{
    // Fails only when the counter is full: then the thread is about to wake anyway.
    u64 one = 1;
    ssize_t result = write(virtio->doorbell, &one, sizeof one);
    (void)result;
}

void virtio_notify(struct virtio *virtio)
{
    virtio_ring(virtio);
}

bool virtio_live(const struct virtio *virtio)
{
    return (virtio->status & (VIRTIO_STATUS_DRIVER_OK | VIRTIO_STATUS_NEEDS_RESET)) == VIRTIO_STATUS_DRIVER_OK;
}

bool virtio_active(const struct virtio *virtio)
{
    return virtio_live(virtio) && virtio->running && !virtio->stop && !virtio->paused;
}

void virtio_break(struct virtio *virtio, const char *rule)
{
    if (virtio->status & VIRTIO_STATUS_NEEDS_RESET)
        return;
    virtio->broken = rule;
    virtio->status |= VIRTIO_STATUS_NEEDS_RESET;
    if (virtio->status & VIRTIO_STATUS_DRIVER_OK)
        virtio_config_changed(virtio);
}

void virtio_config_changed(struct virtio *virtio)
{
    virtio->config_generation++;
    virtio->interrupt.raise(virtio->interrupt.context, virtio->config_vector, true);
}

enum virtqueue_result virtio_take(struct virtio *virtio, unsigned queue, struct virtqueue_chain *chain)
{
    if (!virtio->budget)
        return VIRTQUEUE_EMPTY;
    enum virtqueue_result result = virtqueue_take(&virtio->queues[queue], chain);
    if (result == VIRTQUEUE_BROKEN)
        virtio_break(virtio, virtio->queues[queue].broken);
    if (result == VIRTQUEUE_CHAIN && --virtio->budget == 0)
        virtio_ring(virtio);
    return result;
}

bool virtio_listen(struct virtio *virtio, unsigned queue, u16 known)
{
    return virtqueue_listen(&virtio->queues[queue], known) && virtio->budget;
}

void virtio_publish(struct virtio *virtio, unsigned queue)
{
    if (virtqueue_publish(&virtio->queues[queue]))
        virtio->interrupt.raise(virtio->interrupt.context, virtio->queues[queue].state.vector, false);
}

void virtio_host_begin(struct virtio *virtio)
{
    virtio->host_calls++;
    pthread_mutex_unlock(&virtio->lock);
}

bool virtio_host_end(struct virtio *virtio, u32 epoch)
{
    pthread_mutex_lock(&virtio->lock);
    if (--virtio->host_calls == 0)
        pthread_cond_broadcast(&virtio->idle);
    return virtio->epoch == epoch;
}

// No call to the host is under way any more, so none of the guest's buffers is in use.
static void virtio_wait_idle(struct virtio *virtio)
{
    while (virtio->host_calls)
        pthread_cond_wait(&virtio->idle, &virtio->lock);
}

static void virtio_reset_locked(struct virtio *virtio)
{
    virtio->epoch++;
    virtio->status = 0; // before the wait, so that the thread takes nothing new meanwhile
    virtio_wait_idle(virtio);
    virtio->driver_features = 0;
    virtio->config_vector = VIRTIO_NO_VECTOR;
    virtio->broken = NULL;
    for (unsigned i = 0; i < virtio->type->queues; i++)
        virtqueue_reset(&virtio->queues[i], virtio->type->queue_size);
    if (virtio->type->reset)
        virtio->type->reset(virtio);
}

void virtio_reset(struct virtio *virtio)
{
    pthread_mutex_lock(&virtio->lock);
    virtio_reset_locked(virtio);
    pthread_mutex_unlock(&virtio->lock);
}

// 3.1.1, step 8: from here on the queues are used.
static void virtio_start_queues(struct virtio *virtio)
{
    for (unsigned i = 0; i < virtio->type->queues; i++) {
        struct virtqueue *queue = &virtio->queues[i];
        queue->event_index = virtio_has(virtio, VIRTIO_F_EVENT_IDX);
        queue->indirect = virtio_has(virtio, VIRTIO_F_INDIRECT_DESC);
        if (queue->state.enabled && !virtqueue_start(queue, virtio->memory))
            virtio_break(virtio, queue->broken);
    }
}

void virtio_set_status(struct virtio *virtio, u8 status)
{
    pthread_mutex_lock(&virtio->lock);
    u8 before = virtio->status;
    if (!status) {
        virtio_reset_locked(virtio);
    } else {
        // 3.1.1, step 5: a driver that wants what was not offered, or does without version 1, reads back its
        // FEATURES_OK as clear.
        bool acceptable = !(virtio->driver_features & ~virtio->features) && virtio_has(virtio, VIRTIO_F_VERSION_1);
        if (!(before & VIRTIO_STATUS_FEATURES_OK) && !acceptable)
            status &= (u8)~VIRTIO_STATUS_FEATURES_OK;
        // 2.1.1: bits are set one after the other and not cleared but by a reset; NEEDS_RESET is ours.
        virtio->status = before | (status & ~VIRTIO_STATUS_NEEDS_RESET);
        if (virtio->status & ~before & VIRTIO_STATUS_DRIVER_OK) {
            if (virtio->status & VIRTIO_STATUS_FEATURES_OK)
                virtio_start_queues(virtio);
            else
                virtio_break(virtio, "3.1.1: DRIVER_OK before FEATURES_OK");
        }
    }
    pthread_mutex_unlock(&virtio->lock);
    virtio_ring(virtio);
}

void virtio_pause(struct virtio *virtio)
{
    pthread_mutex_lock(&virtio->lock);
    virtio->paused = true;
    virtio_wait_idle(virtio);
    pthread_mutex_unlock(&virtio->lock);
}

void virtio_resume(struct virtio *virtio)
{
    pthread_mutex_lock(&virtio->lock);
    virtio->paused = false;
    pthread_mutex_unlock(&virtio->lock);
    virtio_ring(virtio);
}

void virtio_save(struct virtio *virtio, struct virtio_state *state)
{
    pthread_mutex_lock(&virtio->lock);
    *state = (struct virtio_state){
        .status = virtio->status,
        .config_generation = virtio->config_generation,
        .config_vector = virtio->config_vector,
        .driver_features = virtio->driver_features,
    };
    for (unsigned i = 0; i < virtio->type->queues; i++)
        state->queues[i] = virtio->queues[i].state;
    pthread_mutex_unlock(&virtio->lock);
}

static int virtio_restore_check(const struct virtio *virtio, const struct virtio_state *state, struct error *error)
{
    if (state->driver_features & ~virtio->features)
        return error_set(error, "virtio %s: its driver uses features (0x%lx) that this device does not have: is its "
                                "back end another?", virtio->type->name,
                         (unsigned long)(state->driver_features & ~virtio->features));
    for (unsigned i = 0; i < virtio->type->queues; i++) {
        u16 size = state->queues[i].size;
        if (!size || size > virtio->type->queue_size || size & (size - 1))
            return error_set(error, "virtio %s: queue %u cannot have %u entries", virtio->type->name, i, size);
    }
    return 0;
}

int virtio_restore(struct virtio *virtio, const struct virtio_state *state, struct error *error)
{
    if (virtio_restore_check(virtio, state, error))
        return -1;
    pthread_mutex_lock(&virtio->lock);
    virtio_reset_locked(virtio);
    virtio->status = state->status;
    virtio->config_generation = state->config_generation;
    virtio->config_vector = state->config_vector;
    virtio->driver_features = state->driver_features;
    for (unsigned i = 0; i < virtio->type->queues; i++)
        virtio->queues[i].state = state->queues[i];
    if (virtio_live(virtio))
        virtio_start_queues(virtio);
    pthread_mutex_unlock(&virtio->lock);
    return 0;
}

// One round of the thread: what to wait for, the sleep (without the lock), and what came of it.
static void virtio_round(struct virtio *virtio, struct pollset *set)
{
    bool ready = virtio_live(virtio) && !virtio->paused;
    u32 epoch = virtio->epoch;
    pollset_begin(set);
    const int bell = pollset_add(set, virtio->doorbell, POLLIN);
    if (ready && virtio->type->prepare)
        virtio->type->prepare(virtio, set);
    pthread_mutex_unlock(&virtio->lock);
    pollset_wait(set);
    u64 rings;
    // What it says does not matter. Where nothing rang there is nothing to take away: a system call less.
    ssize_t result = pollset_events(set, bell) ? read(virtio->doorbell, &rings, sizeof rings) : 0;
    (void)result;
    pthread_mutex_lock(&virtio->lock);
    virtio->budget = VIRTIO_ROUND_CHAINS;
    if (!virtio_active(virtio))
        return;
    if (ready && virtio->epoch == epoch && virtio->type->dispatch)
        virtio->type->dispatch(virtio, set);
    if (virtio_live(virtio))
        virtio->type->work(virtio);
}

static void *virtio_thread(void *context)
{
    struct virtio *virtio = context;
    struct pollset set = {0};
    char name[16];
    snprintf(name, sizeof name, "virtio-%.8s", virtio->type->name);
    pthread_setname_np(pthread_self(), name);
    if (virtio->type->batch)
        batch_thread();
    pthread_mutex_lock(&virtio->lock);
    while (!virtio->stop)
        virtio_round(virtio, &set);
    pthread_mutex_unlock(&virtio->lock);
    pollset_free(&set);
    return NULL;
}

int virtio_start(struct virtio *virtio, struct error *error)
{
    // Signals are for the threads that know what to do with them.
    sigset_t all, before;
    sigfillset(&all);
    pthread_mutex_lock(&virtio->lock); // the thread's first step waits for what it finds in `running`
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(&virtio->thread, NULL, virtio_thread, virtio);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    virtio->running = result == 0;
    pthread_mutex_unlock(&virtio->lock);
    if (result)
        return error_set(error, "virtio %s: cannot start its thread: %s", virtio->type->name, strerror(result));
    return 0;
}

void virtio_stop(struct virtio *virtio)
{
    if (!virtio->running)
        return;
    pthread_mutex_lock(&virtio->lock);
    virtio->stop = true;
    pthread_mutex_unlock(&virtio->lock);
    virtio_ring(virtio);
    pthread_join(virtio->thread, NULL);
    pthread_mutex_lock(&virtio->lock);
    virtio->running = virtio->stop = false;
    pthread_mutex_unlock(&virtio->lock);
}
