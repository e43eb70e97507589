// See supervise.h.
#include "service/supervise.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "service/vm_room.h"

enum { END_MS = 120000 /* until a process that was killed is gone, and its VM knows */ };

static void worker_greeted(void *vm, const json_t *json)
{
    struct control_status status;
    if (control_status_read(&status, json, NULL) < 0)
        return;
    vm_worker_told(vm, &status);
    if (status.state != CONTROL_STARTING)
        vm_worker_state(vm, status.state);
    vm_worker_greeted(vm);
}

static void worker_event(void *vm, const json_t *message, const char *event)
{
    enum control_state state;
    const char *word = json_string_value(json_object_get(message, event));
    if (!strcmp(event, "state") && word && control_state_find(word, &state)) {
        vm_worker_state(vm, state);
    } else if (!strcmp(event, "nested")) {
        const char *extension = json_string_value(json_object_get(message, "extension"));
        vm_worker_nested(vm, extension ? extension : "", json_is_true(json_object_get(message, "running")),
                         (u64)json_integer_value(json_object_get(message, "launched")));
    } else if (!strcmp(event, "heartbeat")) {
        vm_worker_heartbeat(vm, word ? word : "");
    }
}

static void worker_deaf(void *vm) { vm_worker_deaf(vm); }

static void worker_ended(void *vm, struct peer *worker, const struct peer_end *end)
{
    vm_worker_ended(vm, worker, end);
}

static void worker_set(void *vm, struct peer *worker) { vm_worker_set(vm, worker); }

static void *worker_hold(void *vm) { return vm_ref(vm); }

static void worker_release(void *vm) { vm_unref(vm); }

static const struct peer_type worker_type = {
    .what = "worker process",
    .word = "worker",
    .log = "worker.log",
    .greeted = worker_greeted,
    .event = worker_event,
    .deaf = worker_deaf,
    .ended = worker_ended,
    .set = worker_set,
    .hold = worker_hold,
    .release = worker_release,
};

int supervise_start(struct vm *vm, const struct control_config *config, const char *program, struct error *error)
{
    char *text = control_config_write(config);
    if (!text)
        return error_set(error, "out of memory");
    struct peer *worker = peer_start(&worker_type, vm, config->directory, text, program, error);
    free(text);
    if (!worker)
        vm_wait_end(vm, END_MS, NULL, NULL, NULL);
    peer_unref(worker);
    return worker ? 0 : -1;
}

enum peer_found supervise_adopt(struct vm *vm, const char *directory, struct control_status *status,
                                struct peer_end *end)
{
    struct peer *worker;
    const enum peer_found found = peer_adopt(&worker_type, vm, directory, &worker, end);
    *status = (struct control_status){.state = CONTROL_STARTING};
    if (worker) {
        json_t *greeting = peer_greeting(worker);
        control_status_read(status, greeting, NULL);
        json_decref(greeting);
    }
    peer_unref(worker);
    return found;
}

int worker_status(struct peer *worker, struct control_status *status, unsigned milliseconds, struct error *error)
{
    struct json_t *json = peer_command(worker, "status", NULL, milliseconds, error);
    if (!json)
        return -1;
    const int result = control_status_read(status, json, error);
    json_decref(json);
    return result;
}
