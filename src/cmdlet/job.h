// A cmdlet of the service that goes on while its session does something else: -AsJob. The session's thread owns the job
// and shows it as an object; another thread, which the front end starts, carries its request out and hands in what
// comes back. The two meet under the job's lock; no value is in both hands at once.
#pragma once

#include "cmdlet/request.h"

struct job;
struct session;

// --- The other thread's side: carries job_request out with job_reply's reply, then calls job_done, which lets go of
// it.
const struct request *job_request(const struct job *job);
void job_reply(struct job *job, struct reply *reply);
void job_done(struct job *job);
bool job_stopped(struct job *job); // nobody wants its end any more: let it go

// --- The session's side
enum job_state { JOB_RUNNING, JOB_COMPLETED, JOB_FAILED, JOB_STOPPED };

// Copies the request and starts it. NULL: nobody carries jobs out here, or no thread could be had.
struct job *job_start(struct session *session, const struct request *request);
struct job *job_at(struct session *session, unsigned index); // in the order they were started; NULL past the last
struct value *job_object(struct job *job);                   // a Job, as it is now; borrowed
s64 job_id(const struct job *job);
enum job_state job_state(struct job *job);
// Waits so long at most, and not after Ctrl-C. Whether the job has ended.
bool job_wait(struct session *session, struct job *job, unsigned milliseconds);
// What came back, in order, once; `keep`: it is still there afterwards. The callees borrow.
struct job_sink {
    void *context;
    void (*output)(void *context, struct value *object);
    void (*warning)(void *context, const char *text);
    void (*error)(void *context, const struct cmdlet_error *error);
};
void job_receive(struct job *job, bool keep, const struct job_sink *sink);
// Asks the other thread to let go; job_wait waits until it has. The service gives up what only waits, such as a
// guest's shutdown; what it has begun it ends. Nothing that ended already is changed.
void job_stop(struct job *job);
void job_remove(struct session *session, struct job *job); // one that runs goes on, and nobody hears of it
void jobs_show(struct session *session);                   // objects that scripts hold say how things are now
