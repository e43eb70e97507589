// Get-Job, Wait-Job, Receive-Job, Stop-Job, Remove-Job: looking after what goes on in the background (job.h).
#include "cmdlet/job.h"

#include <stdlib.h>
#include <time.h>

#include "cmdlet/local/local.h"
#include "cmdlet/session_room.h"

enum { JOBS = 4096, STOP_MS = 10000 };

// The job of an object, an id or a name; NULL: none.
static bool job_is(struct job *job, const struct value *wanted)
{
    const struct value *id = value_is_map(wanted) ? value_get(wanted, "Id") : wanted;
    if (id && id->kind == VALUE_STRING)
        return value_name_like(value_as_string(value_get(job_object(job), "Name"), ""), id->string);
    return id && value_as_int(id, -1) == job_id(job);
}

static unsigned jobs_named(struct stage *stage, struct value *list, const char *what, struct job **found,
                           unsigned count)
{
    for (size_t i = 0; i < value_count(list); i++) {
        const unsigned before = count;
        struct job *job;
        for (unsigned at = 0; (job = job_at(stage_session(stage), at)); at++)
            if (job_is(job, value_item(list, i)) && count < JOBS)
                found[count++] = job;
        if (before == count) {
            char *text = value_to_text(value_item(list, i));
            stage_fail(stage, CATEGORY_OBJECT_NOT_FOUND, "JobNotFound",
                       "The command cannot find a job with the %s %s. Get-Job shows which there are.", what, text);
            free(text);
        }
    }
    return count;
}

// -Job, -Id, -Name; none of them: all, if `all`.
static unsigned jobs_meant(struct stage *stage, bool all, struct job **found)
{
    struct value *jobs = stage_parameter(stage, "Job"), *ids = stage_parameter(stage, "Id");
    struct value *names = stage_parameter(stage, "Name");
    unsigned count = jobs_named(stage, jobs, "id", found, 0);
    count = jobs_named(stage, ids, "id", found, count);
    count = jobs_named(stage, names, "name", found, count);
    struct job *job;
    for (unsigned at = 0; all && !jobs && !ids && !names && count < JOBS && (job = job_at(stage_session(stage), at));
         at++)
        found[count++] = job;
    return count;
}

static void get_process(struct stage *stage, struct value *input)
{
    (void)input;
    struct job **found = value_allocate(JOBS * sizeof *found);
    const unsigned count = jobs_meant(stage, true, found);
    for (unsigned i = 0; i < count && !stage_stopped(stage); i++)
        stage_put(stage, value_ref(job_object(found[i])));
    free(found);
}

static s64 clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void wait_process(struct stage *stage, struct value *input)
{
    (void)input;
    struct job **found = value_allocate(JOBS * sizeof *found);
    const unsigned count = jobs_meant(stage, false, found);
    const s64 seconds = stage_int(stage, "Timeout", INT32_MAX / 1000);
    const s64 start = clock_ms();
    for (unsigned i = 0; i < count && session_step(stage_session(stage)); i++) {
        const s64 left = start + seconds * 1000 - clock_ms();
        if (job_wait(stage_session(stage), found[i], left > 0 ? (unsigned)left : 0))
            stage_put(stage, value_ref(job_object(found[i])));
    }
    free(found);
}

static void receive_output(void *context, struct value *object) { stage_put(context, value_ref(object)); }
static void receive_warning(void *context, const char *text) { stage_warning(context, text); }
static void receive_error(void *context, const struct cmdlet_error *error) { stage_error(context, error); }

static void receive_process(struct stage *stage, struct value *input)
{
    (void)input;
    struct session *session = stage_session(stage);
    struct job **found = value_allocate(JOBS * sizeof *found);
    const unsigned count = jobs_meant(stage, false, found);
    const bool removes = stage_switch(stage, "AutoRemoveJob");
    const struct job_sink sink = {.context = stage, .output = receive_output, .warning = receive_warning,
                                  .error = receive_error};
    for (unsigned i = 0; i < count && session_step(session); i++) {
        if (stage_switch(stage, "Wait"))
            job_wait(session, found[i], INT32_MAX);
        job_receive(found[i], stage_switch(stage, "Keep"), &sink);
        if (removes && job_state(found[i]) != JOB_RUNNING)
            job_remove(session, found[i]);
    }
    free(found);
}

static void stop_process(struct stage *stage, struct value *input)
{
    (void)input;
    struct job **found = value_allocate(JOBS * sizeof *found);
    const unsigned count = jobs_meant(stage, false, found);
    for (unsigned i = 0; i < count; i++)
        job_stop(found[i]);
    for (unsigned i = 0; i < count && session_step(stage_session(stage)); i++) {
        job_wait(stage_session(stage), found[i], STOP_MS);
        if (stage_switch(stage, "PassThru"))
            stage_put(stage, value_ref(job_object(found[i])));
    }
    free(found);
}

static void remove_process(struct stage *stage, struct value *input)
{
    (void)input;
    struct job **found = value_allocate(JOBS * sizeof *found);
    const unsigned count = jobs_meant(stage, false, found);
    for (unsigned i = 0; i < count && !stage_stopped(stage); i++)
        if (job_state(found[i]) == JOB_RUNNING && !stage_switch(stage, "Force"))
            stage_fail(stage, CATEGORY_INVALID_OPERATION, "CannotRemoveRunningJob",
                       "Job %lld is not finished. Wait-Job waits for it; -Force lets it go on unheard.",
                       (long long)job_id(found[i]));
        else
            job_remove(stage_session(stage), found[i]);
    free(found);
}

const struct local_cmdlet local_job[] = {
    {.name = "Get-Job", .process = get_process},
    {.name = "Wait-Job", .process = wait_process},
    {.name = "Receive-Job", .process = receive_process},
    {.name = "Stop-Job", .process = stop_process},
    {.name = "Remove-Job", .process = remove_process},
    {0},
};
