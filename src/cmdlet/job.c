// See job.h. A job has two owners, its session and its thread; the last one frees it.
#include "cmdlet/job.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmdlet/session_room.h"

enum { JOB_PIECES = 1 << 16, JOB_LOOK_MS = 100 };

// What came back, a piece each.
struct piece {
    enum { PIECE_OUTPUT, PIECE_WARNING, PIECE_ERROR } kind;
    struct value *object;
    char *text; // of a warning, or an error's message
    enum error_category category;
    char *id, *exception, *target;
};

struct job {
    struct job *next;
    s64 id;
    struct request request; // its own, but for the row of the table
    struct value *object;   // the session's; others hold it, too

    pthread_mutex_t lock; // all below
    pthread_cond_t ended;
    unsigned owners;
    bool running, failed, stopped;
    struct piece *pieces;
    size_t count;
};

// --- Pieces ----------------------------------------------------------------------------------------------------------
static char *copied(const char *text) { return text ? value_text_copy(text) : NULL; }

static void piece_free(struct piece *piece)
{
    value_unref(piece->object);
    free(piece->text);
    free(piece->id);
    free(piece->exception);
    free(piece->target);
}

static void job_add(struct job *job, const struct piece *piece)
{
    pthread_mutex_lock(&job->lock);
    const bool room = job->count < JOB_PIECES && !job->stopped; // that it was stopped is no news
    if (room) {
        job->pieces = value_reallocate(job->pieces, (job->count + 1) * sizeof *piece);
        job->pieces[job->count++] = *piece;
    }
    job->failed |= piece->kind == PIECE_ERROR;
    pthread_mutex_unlock(&job->lock);
    if (!room)
        piece_free(&(struct piece){.object = piece->object, .text = piece->text, .id = piece->id,
                                   .exception = piece->exception, .target = piece->target});
}

static void job_output(void *context, struct value *object)
{
    job_add(context, &(struct piece){.kind = PIECE_OUTPUT, .object = value_copy(object)});
}

static void job_warning(void *context, const char *text)
{
    job_add(context, &(struct piece){.kind = PIECE_WARNING, .text = copied(text)});
}

static void job_error(void *context, const struct cmdlet_error *error)
{
    job_add(context, &(struct piece){.kind = PIECE_ERROR, .text = copied(error->message), .category = error->category,
                                     .id = copied(error->id), .exception = copied(error->exception),
                                     .target = copied(error->target)});
}

static void job_text(void *context, const char *text) { (void)context, (void)text; }

static void job_progress(void *context, const char *activity, const char *status, int percent)
{
    (void)context, (void)activity, (void)status, (void)percent;
}

// --- Life ------------------------------------------------------------------------------------------------------------
static void job_unref(struct job *job)
{
    pthread_mutex_lock(&job->lock);
    const bool last = !--job->owners;
    pthread_mutex_unlock(&job->lock);
    if (!last)
        return;
    for (size_t i = 0; i < job->count; i++)
        piece_free(&job->pieces[i]);
    free(job->pieces);
    value_unref(job->request.parameters);
    free((char *)job->request.directory);
    pthread_cond_destroy(&job->ended);
    pthread_mutex_destroy(&job->lock);
    free(job);
}

const struct request *job_request(const struct job *job) { return &job->request; }

void job_reply(struct job *job, struct reply *reply)
{
    *reply = (struct reply){.context = job, .output = job_output, .host = job_text, .warning = job_warning,
                            .verbose = job_text, .progress = job_progress, .what_if = job_text, .error = job_error};
}

void job_done(struct job *job)
{
    pthread_mutex_lock(&job->lock);
    job->running = false;
    pthread_cond_broadcast(&job->ended);
    pthread_mutex_unlock(&job->lock);
    job_unref(job);
}

static void job_show(struct job *job)
{
    static const char *const names[] = {[JOB_RUNNING] = "Running", [JOB_COMPLETED] = "Completed",
                                        [JOB_FAILED] = "Failed", [JOB_STOPPED] = "Stopped"};
    pthread_mutex_lock(&job->lock);
    const bool more = job->count;
    pthread_mutex_unlock(&job->lock);
    value_put(job->object, "State", value_string(names[job_state(job)]));
    value_put(job->object, "HasMoreData", value_bool(more || job_state(job) == JOB_RUNNING));
}

struct job *job_start(struct session *session, const struct request *request)
{
    if (!session->config.beside)
        return NULL;
    struct job *job = value_allocate(sizeof *job);
    *job = (struct job){.id = ++session->last_job, .owners = 2, .running = true, .request = *request};
    job->request.parameters = value_copy(request->parameters);
    job->request.directory = copied(request->directory);
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_mutex_init(&job->lock, NULL);
    pthread_cond_init(&job->ended, &clock);
    pthread_condattr_destroy(&clock);
    job->object = value_object("Job");
    value_put(job->object, "Id", value_int(job->id));
    value_put(job->object, "Name", value_format("Job%lld", (long long)job->id));
    value_put(job->object, "PSJobTypeName", value_string("VMJob"));
    value_put(job->object, "State", value_string("Running"));
    value_put(job->object, "HasMoreData", value_bool(true));
    value_put(job->object, "Location", value_string("localhost"));
    value_put(job->object, "Command", value_string(request->cmdlet->name));
    struct job **end = &session->jobs;
    while (*end)
        end = &(*end)->next;
    *end = job;
    if (session->config.beside(session->config.context, job))
        return job;
    job_unref(job);
    job_remove(session, job);
    return NULL;
}

struct job *job_at(struct session *session, unsigned index)
{
    struct job *job = session->jobs;
    while (job && index--)
        job = job->next;
    return job;
}

struct value *job_object(struct job *job)
{
    job_show(job);
    return job->object;
}

void jobs_show(struct session *session)
{
    for (struct job *job = session->jobs; job; job = job->next)
        job_show(job);
}

s64 job_id(const struct job *job) { return job->id; }

enum job_state job_state(struct job *job)
{
    pthread_mutex_lock(&job->lock);
    const enum job_state state = job->running   ? JOB_RUNNING
                                 : job->stopped ? JOB_STOPPED
                                 : job->failed  ? JOB_FAILED
                                                : JOB_COMPLETED;
    pthread_mutex_unlock(&job->lock);
    return state;
}

void job_stop(struct job *job)
{
    pthread_mutex_lock(&job->lock);
    job->stopped |= job->running;
    pthread_mutex_unlock(&job->lock);
}

bool job_stopped(struct job *job)
{
    pthread_mutex_lock(&job->lock);
    const bool stopped = job->stopped;
    pthread_mutex_unlock(&job->lock);
    return stopped;
}

void job_remove(struct session *session, struct job *job)
{
    struct job **at = &session->jobs;
    while (*at != job)
        at = &(*at)->next;
    *at = job->next;
    job_show(job);
    value_unref(job->object);
    job->object = NULL;
    job_unref(job);
}

// --- Waiting and receiving -------------------------------------------------------------------------------------------
static s64 now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool job_wait(struct session *session, struct job *job, unsigned milliseconds)
{
    const s64 deadline = now_ms() + milliseconds;
    pthread_mutex_lock(&job->lock);
    for (s64 now; job->running && !atomic_load(&session->cancelled) && (now = now_ms()) < deadline;) {
        const s64 until = now + JOB_LOOK_MS < deadline ? now + JOB_LOOK_MS : deadline; // Ctrl-C wakes nobody
        const struct timespec at = {.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000};
        pthread_cond_timedwait(&job->ended, &job->lock, &at);
    }
    const bool ended = !job->running;
    pthread_mutex_unlock(&job->lock);
    return ended;
}

static void piece_tell(const struct piece *piece, const struct job_sink *sink)
{
    const struct cmdlet_error error = {.category = piece->category, .id = piece->id, .exception = piece->exception,
                                       .target = piece->target, .message = piece->text};
    if (piece->kind == PIECE_OUTPUT)
        sink->output(sink->context, piece->object);
    else if (piece->kind == PIECE_WARNING)
        sink->warning(sink->context, piece->text);
    else
        sink->error(sink->context, &error);
}

void job_receive(struct job *job, bool keep, const struct job_sink *sink)
{
    pthread_mutex_lock(&job->lock);
    struct piece *pieces = job->pieces;
    const size_t count = job->count;
    job->pieces = NULL;
    job->count = 0;
    pthread_mutex_unlock(&job->lock);
    for (size_t i = 0; i < count; i++)
        piece_tell(&pieces[i], sink);
    if (keep) { // what came meanwhile stands behind it
        pthread_mutex_lock(&job->lock);
        pieces = value_reallocate(pieces, (count + job->count + 1) * sizeof *pieces);
        if (job->count)
            memcpy(pieces + count, job->pieces, job->count * sizeof *pieces);
        free(job->pieces);
        job->pieces = pieces;
        job->count += count;
        pthread_mutex_unlock(&job->lock);
        return;
    }
    for (size_t i = 0; i < count; i++)
        piece_free(&pieces[i]);
    free(pieces);
}
