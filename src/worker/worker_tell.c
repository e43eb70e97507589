// What a worker tells of its VM: its status, and events when that changes.
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "worker/memory_control.h"
#include "worker/vm_devices.h"
#include "worker/worker_parts.h"

static u64 worker_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (u64)now.tv_sec * 1000000000 + (u64)now.tv_nsec;
}

static const char *worker_extension(enum engine_extension extension)
{
    switch (extension) {
    case ENGINE_EXTENSION_VMX:
        return "vmx";
    case ENGINE_EXTENSION_SVM:
        return "svm";
    default:
        return "none";
    }
}

static u64 worker_cpu_ns(const struct vm *vm)
{
    u64 sum = 0;
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        sum += vcpu_cpu_ns(&vm->vcpus[i]);
    return sum;
}

// With the lock held.
static void worker_look_at_nested(struct worker *worker, struct engine_nested_status *nested)
{
    *nested = worker->nested;
    if (worker->vm)
        worker->engine->nested_status(worker->vm->engine_vm, nested);
}

static_assert(CONTROL_HEARTBEAT_NONE == (int)AGENT_NO_CONTACT && CONTROL_HEARTBEAT_OK == (int)AGENT_OK &&
              CONTROL_HEARTBEAT_LOST == (int)AGENT_LOST, "one meaning, two words");

static void worker_look_at_guest(struct worker *worker, struct control_status *status)
{
    struct agent_status agent = {.heartbeat = AGENT_NO_CONTACT};
    struct memory_status memory = {.assigned = worker->options.memory_bytes};
    if (worker->vm) {
        memory_control_status(vm_devices_memory(worker->vm->devices), &memory);
        agent_get(worker->host.agent, &agent);
    }
    status->memory_assigned = memory.assigned;
    status->memory_demand = memory.demand;
    status->heartbeat = (enum control_heartbeat)agent.heartbeat;
    snprintf(status->guest_system, sizeof status->guest_system, "%s", agent.system);
    snprintf(status->addresses, sizeof status->addresses, "%s", agent.addresses);
}

void worker_tell_heartbeat(void *context)
{
    struct worker *worker = context;
    struct agent_status agent;
    agent_get(worker->host.agent, &agent);
    control_server_event(worker->server,
                         json_pack("{s:s,s:s}", "event", "heartbeat", "heartbeat",
                                   control_heartbeat_name((enum control_heartbeat)agent.heartbeat)));
}

void worker_get_status(struct worker *worker, struct control_status *status)
{
    struct engine_nested_status nested;
    pthread_mutex_lock(&worker->lock);
    worker_look_at_nested(worker, &nested);
    *status = (struct control_status){
        .state = worker->state,
        .uptime_ns = worker->ran + (worker->began ? worker_now() - worker->began : 0),
        .cpu_ns = worker->cpu_ns + (worker->vm ? worker_cpu_ns(worker->vm) : 0),
        .nested_running = nested.on != 0,
        .nested_launched = nested.launched,
    };
    worker_look_at_guest(worker, status);
    pthread_mutex_unlock(&worker->lock);
    snprintf(status->engine, sizeof status->engine, "%s", worker->engine->name);
    snprintf(status->nested_extension, sizeof status->nested_extension, "%s",
             nested.on ? worker_extension(nested.extension) : "none");
    memcpy(status->jail, worker->jail, sizeof status->jail);
}

void worker_set_state(struct worker *worker, enum control_state state)
{
    pthread_mutex_lock(&worker->lock);
    u64 now = worker_now();
    if (worker->began)
        worker->ran += now - worker->began;
    worker->began = state == CONTROL_RUNNING ? now : 0;
    worker->state = state;
    pthread_mutex_unlock(&worker->lock);
    control_server_event(worker->server, json_pack("{s:s,s:s}", "event", "state", "state", control_state_name(state)));
}

void worker_tell_nested(struct worker *worker)
{
    struct engine_nested_status nested;
    pthread_mutex_lock(&worker->lock);
    worker_look_at_nested(worker, &nested);
    bool changed = !nested.on != !worker->nested.on || nested.extension != worker->nested.extension;
    worker->nested = nested;
    pthread_mutex_unlock(&worker->lock);
    if (changed)
        control_server_event(worker->server, json_pack("{s:s,s:s,s:b,s:I}", "event", "nested", "extension",
                                                       nested.on ? worker_extension(nested.extension) : "none",
                                                       "running", nested.on != 0, "launched",
                                                       (json_int_t)nested.launched));
}

// The file first: whoever sees the process gone finds it.
void worker_tell_end(struct worker *worker, enum control_ending ending, const char *text)
{
    json_t *words = json_string(text);
    json_t *event = json_pack("{s:s,s:s,s:o}", "event", "ended", "ending", control_ending_name(ending), "text",
                              words ? words : json_string("(words that are not UTF-8)"));
    char line[CONTROL_LINE];
    size_t bytes = event ? json_dumpb(event, line, sizeof line - 1, JSON_COMPACT) : 0;
    if (!bytes || bytes >= sizeof line) {
        json_decref(event);
        return;
    }
    line[bytes++] = '\n';
    if (worker->ended >= 0 && (pwrite(worker->ended, line, bytes, 0) < 0 || fsync(worker->ended)))
        perror("nidus: the file 'ended' cannot be written");
    if (worker->server) {
        control_server_event(worker->server, event);
        return;
    }
    ssize_t ignored = worker->service >= 0 ? write(worker->service, line, bytes) : 0;
    (void)ignored;
    json_decref(event);
}
