// See agent.h. All that happens is on the agent's thread; others leave their wishes in `wanted` and wake it.
#include "host/agent.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "host/agent_reply.h"
#include "host/channel.h"

// Guests under translation in a guest under translation are slow, and a guest that has lost contact for this long is
// not well, whichever engine it is on.
enum { ANSWER_MS = 10000, HEARTBEAT_MS = 5000, SHUTDOWN_MS = 60000, ADDRESSES_EVERY = 3 /* heartbeats */ };

enum { WANT_STOP = 1 << 0, WANT_FORGET = 1 << 1, WANT_SHUTDOWN = 1 << 2, WANT_TIME = 1 << 3 };

struct agent {
    struct channel *channel;
    struct agent_events events;
    pthread_t thread;
    int wake; // eventfd

    pthread_mutex_t lock; // wanted, mode, status
    unsigned wanted;
    enum agent_shutdown mode;
    struct agent_status status;

    // The thread's.
    bool synced;     // the other side answers in turn
    bool asking;     // `question` is under way
    enum agent_question question;
    u64 number;      // of the question
    u64 late;        // when it counts as unanswered
    u64 next;        // when the next heartbeat is due
    unsigned asked;  // questions since contact was made
    u64 syncs;       // numbers used
    u64 shutdown_by; // when a shutdown that was asked for has failed; 0: none was
    struct agent_lines lines;
};

static u64 agent_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (u64)now.tv_sec * 1000 + (u64)now.tv_nsec / 1000000;
}

static void agent_wake(struct agent *agent)
{
    u64 one = 1;
    ssize_t result = write(agent->wake, &one, sizeof one);
    (void)result;
}

static void agent_changed(struct agent *agent)
{
    if (agent->events.changed)
        agent->events.changed(agent->events.context);
}

static void agent_set_heartbeat(struct agent *agent, enum agent_heartbeat heartbeat)
{
    pthread_mutex_lock(&agent->lock);
    bool changed = agent->status.heartbeat != heartbeat;
    agent->status.heartbeat = heartbeat;
    pthread_mutex_unlock(&agent->lock);
    if (changed)
        agent_changed(agent);
}

// --- Contact ---

static void agent_ask(struct agent *agent, enum agent_question question, u64 number)
{
    char line[AGENT_REQUEST];
    size_t bytes = agent_request(line, question, number);
    agent->question = question;
    agent->number = number;
    agent->asking = true;
    agent->late = agent_now() + ANSWER_MS;
    // Short only when the guest reads nothing: then there will be no answer, either.
    size_t written = channel_write(agent->channel, line, bytes);
    (void)written;
}

static void agent_sync(struct agent *agent)
{
    struct timespec now;
    agent->synced = false;
    agent->asked = 0;
    // A number that no earlier life of ours can have used: the guest may have kept its question.
    clock_gettime(CLOCK_REALTIME, &now);
    agent_ask(agent, AGENT_ASK_SYNC, ((u64)now.tv_sec << 20 | ++agent->syncs % (1 << 20)) & INT64_MAX);
}

static void agent_lose(struct agent *agent)
{
    agent->asking = agent->synced = false;
    pthread_mutex_lock(&agent->lock);
    bool known = agent->status.heartbeat != AGENT_NO_CONTACT;
    pthread_mutex_unlock(&agent->lock);
    if (known)
        agent_set_heartbeat(agent, AGENT_LOST);
}

static void agent_shutdown_failed(struct agent *agent)
{
    agent->shutdown_by = 0;
    pthread_mutex_lock(&agent->lock);
    agent->wanted &= ~(unsigned)WANT_SHUTDOWN;
    pthread_mutex_unlock(&agent->lock);
    if (agent->events.shutdown_failed)
        agent->events.shutdown_failed(agent->events.context);
}

// What is asked once contact is made, in this order; then heartbeats, and now and then the addresses, which come late
// and change.
static void agent_ask_next(struct agent *agent)
{
    static const enum agent_question first[] = {AGENT_ASK_INFO, AGENT_ASK_SYSTEM, AGENT_ASK_HOST_NAME,
                                                AGENT_ASK_INTERFACES};
    unsigned asked = agent->asked++;
    if (asked < ARRAY_SIZE(first))
        agent_ask(agent, first[asked], 0);
    else
        agent_ask(agent, asked % ADDRESSES_EVERY ? AGENT_ASK_PING : AGENT_ASK_INTERFACES, 0);
    agent->next = agent->asked < ARRAY_SIZE(first) ? 0 : agent_now() + HEARTBEAT_MS;
}

// Wishes of others come before heartbeats. True if one is a question.
static bool agent_ask_wanted(struct agent *agent)
{
    pthread_mutex_lock(&agent->lock);
    unsigned wanted = agent->wanted & (WANT_SHUTDOWN | WANT_TIME);
    wanted &= -wanted; // one at a time
    agent->wanted &= ~wanted;
    enum agent_shutdown mode = agent->mode;
    pthread_mutex_unlock(&agent->lock);
    if (wanted == WANT_SHUTDOWN) {
        agent_ask(agent, AGENT_ASK_SHUTDOWN, (u64)mode);
        agent->late = agent->shutdown_by; // success is silent
    } else if (wanted == WANT_TIME) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        agent_ask(agent, AGENT_ASK_SET_TIME, (u64)now.tv_sec * 1000000000 + (u64)now.tv_nsec);
    }
    return wanted;
}

// --- Answers ---

static void agent_hear(struct agent *agent)
{
    if (!agent->asking)
        return;
    pthread_mutex_lock(&agent->lock);
    struct agent_status status = agent->status, before = status;
    pthread_mutex_unlock(&agent->lock);
    enum agent_answer answer =
        agent_reply(agent->lines.text, agent->lines.used, agent->question, agent->number, &status);
    if (answer == AGENT_ANSWER_NONE)
        return;
    agent->asking = false;
    agent->synced = true;
    status.heartbeat = AGENT_OK;
    pthread_mutex_lock(&agent->lock);
    agent->status = status;
    pthread_mutex_unlock(&agent->lock);
    if (memcmp(&status, &before, sizeof status))
        agent_changed(agent);
    if (agent->question == AGENT_ASK_SHUTDOWN && answer == AGENT_ANSWER_ERROR)
        agent_shutdown_failed(agent);
}

static void agent_read_channel(struct agent *agent)
{
    u8 bytes[1024];
    // Bounded a round, so that a guest that talks without end does not keep the thread from its wishes.
    for (unsigned round = 0; round < 64; round++) {
        size_t count = channel_read(agent->channel, bytes, sizeof bytes);
        for (size_t i = 0; i < count; i++)
            if (agent_lines_add(&agent->lines, bytes[i]))
                agent_hear(agent);
        if (count < sizeof bytes)
            return;
    }
}

// --- The thread ---

static void agent_take_wishes(struct agent *agent, bool *stop)
{
    pthread_mutex_lock(&agent->lock);
    *stop = agent->wanted & WANT_STOP;
    bool forget = agent->wanted & WANT_FORGET;
    agent->wanted &= ~(unsigned)WANT_FORGET;
    bool known = agent->status.heartbeat != AGENT_NO_CONTACT;
    if (agent->wanted & WANT_SHUTDOWN && !agent->shutdown_by)
        agent->shutdown_by = agent_now() + SHUTDOWN_MS;
    if (forget) {
        agent->wanted &= ~(unsigned)(WANT_SHUTDOWN | WANT_TIME);
        memset(&agent->status, 0, sizeof agent->status);
    }
    pthread_mutex_unlock(&agent->lock);
    if (!forget)
        return;
    agent->asking = agent->synced = false;
    agent->shutdown_by = 0;
    agent->lines.used = 0;
    agent->lines.dropping = false;
    if (known)
        agent_changed(agent);
}

// What is due now; returns how long nothing else will be, in milliseconds, or -1.
static int agent_step(struct agent *agent)
{
    u64 now = agent_now();
    bool open = channel_is_open(agent->channel);
    if (agent->shutdown_by && now >= agent->shutdown_by)
        agent_shutdown_failed(agent);
    if (!open) {
        agent->lines.used = 0;
        agent->lines.dropping = false;
        agent_lose(agent);
    } else if (agent->asking && now >= agent->late) {
        agent_lose(agent);
        agent_sync(agent);
    } else if (!agent->asking && !agent->synced) {
        agent_sync(agent);
    } else if (!agent->asking && !agent_ask_wanted(agent) && now >= agent->next) {
        agent_ask_next(agent);
    }
    u64 due = !open ? UINT64_MAX : agent->asking ? agent->late : agent->next;
    if (agent->shutdown_by && agent->shutdown_by < due)
        due = agent->shutdown_by;
    now = agent_now();
    return due == UINT64_MAX ? -1 : due > now ? (int)(due - now) : 0;
}

static void *agent_run(void *context)
{
    struct agent *agent = context;
    struct pollfd fds[] = {{.fd = agent->wake, .events = POLLIN},
                           {.fd = channel_descriptor(agent->channel), .events = POLLIN}};
    pthread_setname_np(pthread_self(), "agent");
    for (bool stop = false; !stop;) {
        agent_read_channel(agent);
        agent_take_wishes(agent, &stop);
        int wait = stop ? 0 : agent_step(agent);
        u64 wakes;
        if (!stop && poll(fds, ARRAY_SIZE(fds), wait) > 0 && fds[0].revents) {
            ssize_t result = read(agent->wake, &wakes, sizeof wakes);
            (void)result;
        }
    }
    return NULL;
}

struct agent *agent_create(struct channel *channel, const struct agent_events *events, struct error *error)
{
    struct agent *agent = calloc(1, sizeof *agent);
    if (!agent) {
        error_set(error, "guest agent: out of memory");
        return NULL;
    }
    agent->channel = channel;
    agent->events = *events;
    agent->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&agent->lock, NULL);
    int result = agent->wake < 0 ? errno : pthread_create(&agent->thread, NULL, agent_run, agent);
    if (!result)
        return agent;
    error_set(error, "guest agent: %s", strerror(result));
    if (agent->wake >= 0)
        close(agent->wake);
    pthread_mutex_destroy(&agent->lock);
    free(agent);
    return NULL;
}

static void agent_want(struct agent *agent, unsigned wish)
{
    pthread_mutex_lock(&agent->lock);
    agent->wanted |= wish;
    pthread_mutex_unlock(&agent->lock);
    agent_wake(agent);
}

void agent_destroy(struct agent *agent)
{
    if (!agent)
        return;
    agent_want(agent, WANT_STOP);
    pthread_join(agent->thread, NULL);
    close(agent->wake);
    pthread_mutex_destroy(&agent->lock);
    free(agent);
}

void agent_get(struct agent *agent, struct agent_status *status)
{
    pthread_mutex_lock(&agent->lock);
    *status = agent->status;
    pthread_mutex_unlock(&agent->lock);
}

const char *agent_heartbeat_name(enum agent_heartbeat heartbeat)
{
    static const char *const names[] = {"No Contact", "OK", "Lost Communication"};
    return names[heartbeat];
}

bool agent_shutdown(struct agent *agent, enum agent_shutdown mode)
{
    pthread_mutex_lock(&agent->lock);
    bool answers = agent->status.heartbeat == AGENT_OK;
    if (answers) {
        agent->mode = mode;
        agent->wanted |= WANT_SHUTDOWN;
    }
    pthread_mutex_unlock(&agent->lock);
    agent_wake(agent);
    return answers;
}

void agent_set_time(struct agent *agent) { agent_want(agent, WANT_TIME); }
void agent_forget(struct agent *agent) { agent_want(agent, WANT_FORGET); }
