// See pool.h.
#include "service/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "cmdlet/value.h"

struct job {
    struct job *next;
    void (*work)(void *context);
    void *context;
};

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t wanted, done;
    struct job *first, **last;
    unsigned threads, most, idle, queued, room, busy;
};

struct pool *pool_create(unsigned threads, unsigned queue)
{
    struct pool *pool = value_allocate(sizeof *pool);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wanted, NULL);
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->done, &clock);
    pthread_condattr_destroy(&clock);
    pool->last = &pool->first;
    pool->most = threads;
    pool->room = queue;
    return pool;
}

static void *pool_thread(void *context)
{
    struct pool *pool = context;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (!pool->first) {
            pool->idle++;
            pthread_cond_wait(&pool->wanted, &pool->lock);
            pool->idle--;
        }
        struct job *job = pool->first;
        pool->first = job->next;
        if (!pool->first)
            pool->last = &pool->first;
        pool->queued--;
        pool->busy++;
        pthread_mutex_unlock(&pool->lock);
        job->work(job->context);
        free(job);
        pthread_mutex_lock(&pool->lock);
        pool->busy--;
        pthread_cond_broadcast(&pool->done);
    }
    return NULL;
}

bool pool_run(struct pool *pool, void (*work)(void *context), void *context)
{
    struct job *job = value_allocate(sizeof *job);
    *job = (struct job){.work = work, .context = context};
    pthread_mutex_lock(&pool->lock);
    if (pool->idle <= pool->queued && pool->threads < pool->most) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, pool_thread, pool) == 0) {
            pthread_detach(thread);
            pool->threads++;
        }
    }
    const bool taken = pool->queued < pool->room && pool->threads;
    if (taken) {
        *pool->last = job;
        pool->last = &job->next;
        pool->queued++;
        pthread_cond_signal(&pool->wanted);
    }
    pthread_mutex_unlock(&pool->lock);
    if (!taken)
        free(job);
    return taken;
}

bool pool_drain(struct pool *pool, unsigned milliseconds)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    const long nanoseconds = until.tv_nsec + milliseconds % 1000 * 1000000l;
    until.tv_sec += milliseconds / 1000 + nanoseconds / 1000000000;
    until.tv_nsec = nanoseconds % 1000000000;
    pthread_mutex_lock(&pool->lock);
    while ((pool->busy || pool->queued) && pthread_cond_timedwait(&pool->done, &pool->lock, &until) != ETIMEDOUT)
        ;
    const bool drained = !pool->busy && !pool->queued;
    pthread_mutex_unlock(&pool->lock);
    return drained;
}
