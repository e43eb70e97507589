// What the service may ask of a worker. `status` is answered on the thread that reads it; the rest waits for the thread
// that lives the VM, which does one after the other.
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/memory_control.h"
#include "worker/vm_devices.h"
#include "worker/worker_parts.h"

struct worker_command {
    const char *name;
    worker_act *act;
};

static int command_pause(struct worker *worker, struct vm *vm, struct worker_request *request,
                         json_t **result, struct error *error)
{
    (void)request, (void)result;
    if (vm_pause(vm, error))
        return -1;
    worker_set_state(worker, CONTROL_PAUSED);
    return 0;
}

static int command_resume(struct worker *worker, struct vm *vm, struct worker_request *request,
                          json_t **result, struct error *error)
{
    (void)request, (void)result;
    if (vm_resume(vm, error))
        return -1;
    worker_set_state(worker, CONTROL_RUNNING);
    return 0;
}

static int command_shutdown(struct worker *worker, struct vm *vm, struct worker_request *request,
                            json_t **result, struct error *error)
{
    (void)request;
    if (vm->paused)
        return error_set(error, "'%s' is paused: a guest that stands still cannot shut down; resume it first",
                         worker->config.name);
    *result = json_pack("{s:s}", "by", vm_shutdown(vm) == VM_SHUTDOWN_AGENT ? "agent" : "power-button");
    return 0;
}

// A policy that the VM is to follow from now on; beyond what it can be given while it runs, dynamic memory does not go.
static int command_memory(struct worker *worker, struct vm *vm, struct worker_request *request,
                          json_t **result, struct error *error)
{
    json_int_t startup, minimum, maximum, buffer;
    int dynamic;
    (void)worker, (void)result;
    if (json_unpack(request->message, "{s:I,s:I,s:I,s:b,s:I}", "startup", &startup, "minimum", &minimum, "maximum",
                    &maximum, "dynamic", &dynamic, "buffer", &buffer) ||
        startup < 0 || minimum < 0 || maximum < 0 || buffer < 0 || buffer > RUN_MEMORY_BUFFER_MOST)
        return error_set(error, "memory: expected bytes as \"startup\", \"minimum\" and \"maximum\", \"dynamic\", and "
                                "a percentage from 0 to %d as \"buffer\"", RUN_MEMORY_BUFFER_MOST);
    struct memory_status status;
    struct memory_policy policy = {.minimum = (u64)startup, .maximum = (u64)startup, .buffer = (unsigned)buffer};
    memory_control_status(vm_devices_memory(vm->devices), &status);
    if (dynamic) {
        policy.minimum = (u64)minimum;
        policy.maximum = (u64)maximum < status.most ? (u64)maximum : status.most;
    }
    return vm_set_memory(vm, &policy, error);
}

static int command_reset(struct worker *worker, struct vm *vm, struct worker_request *request,
                         json_t **result, struct error *error)
{
    (void)request, (void)result;
    if (!worker->host.images)
        return error_set(error, "'%s' has no kernel to boot anew", worker->config.name);
    vm_end(vm, VM_RESET, 0, "%s", "");
    return 0;
}

static int command_end(struct worker *worker, struct vm *vm, struct worker_request *request,
                       json_t **result, struct error *error)
{
    (void)worker, (void)request, (void)result, (void)error;
    vm_end(vm, VM_ENDED, 0, "%s", "");
    return 0;
}

static int command_save(struct worker *worker, struct vm *vm, struct worker_request *request,
                        json_t **result, struct error *error)
{
    const char *path = json_string_value(json_object_get(request->message, "path"));
    bool was_paused = vm->paused;
    (void)result;
    if (!path || path[0] != '/')
        return error_set(error, "\"path\": expected an absolute path");
    if (vm_pause(vm, error))
        return -1;
    worker_adapters_settle(worker, vm); // what it shall not have any more is not saved
    worker_set_state(worker, CONTROL_SAVING);
    if (!vm_save_file(vm, path, error)) {
        vm_end(vm, VM_SAVED, 0, "%s", "");
        return 0;
    }
    struct error worse;
    if (!was_paused && vm_resume(vm, &worse))
        vm_end(vm, VM_ENGINE_FAILURE, 0, "%s", worse.text);
    worker_set_state(worker, was_paused ? CONTROL_PAUSED : CONTROL_RUNNING);
    return -1;
}

static const struct worker_command worker_commands[] = {
    {"pause", command_pause}, {"resume", command_resume}, {"shutdown", command_shutdown},
    {"reset", command_reset}, {"end", command_end},       {"save", command_save},
    {"memory", command_memory}, {"adapters", worker_do_adapters},
    {"connect", worker_do_connect}, {"unplugged", worker_do_unplugged},
};

static const struct worker_command *worker_command_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(worker_commands); i++)
        if (!strcmp(worker_commands[i].name, name))
            return &worker_commands[i];
    return NULL;
}

// Takes over the descriptors if there is room.
static int worker_enqueue(struct worker *worker, struct control_ticket ticket, const struct worker_command *command,
                          const json_t *message, struct message_descriptors *descriptors)
{
    pthread_mutex_lock(&worker->lock);
    bool room = worker->request_count < WORKER_COMMANDS;
    if (room) {
        worker->requests[worker->request_count++] = (struct worker_request){
            .ticket = ticket, .command = command, .message = json_incref((json_t *)message),
            .descriptors = *descriptors};
        descriptors->count = 0;
    }
    pthread_mutex_unlock(&worker->lock);
    u64 one = 1;
    ssize_t ignored = write(worker->wake, &one, sizeof one); // fails only if the thread is about to wake
    (void)ignored;
    return room ? 0 : -1;
}

// A library may have words for everything a guest does wrong, and standard error is a file of the host's: it begins anew
// when it has grown long. It is appended to, so what comes next is at its start.
static void worker_bound_log(void)
{
    struct stat status;
    if (!fstat(STDERR_FILENO, &status) && S_ISREG(status.st_mode) && status.st_size > WORKER_LOG_MOST &&
        ftruncate(STDERR_FILENO, 0) == 0)
        fprintf(stderr, "nidus: (%lld bytes were here)\n", (long long)status.st_size);
}

// The server may be faster than worker->server is set.
void worker_on_command(void *context, struct control_server *server, struct control_ticket ticket, const char *name,
                       const json_t *message, struct message_descriptors *descriptors)
{
    struct worker *worker = context;
    struct error error;
    if (!strcmp(name, "status")) {
        struct control_status status;
        worker_bound_log();
        worker_get_status(worker, &status);
        control_server_answer(server, ticket, control_status_write(&status), NULL);
        worker_tell_nested(worker);
        return;
    }
    const struct worker_command *command = worker_command_find(name);
    if (!command)
        error_set(&error, "this worker knows no command '%.32s'", name);
    else if (worker_enqueue(worker, ticket, command, message, descriptors))
        error_set(&error, "'%s' does not come: %d commands wait already", name, WORKER_COMMANDS);
    else
        return;
    control_server_answer(server, ticket, NULL, &error);
}

static bool worker_dequeue(struct worker *worker, struct worker_request *request)
{
    pthread_mutex_lock(&worker->lock);
    bool found = worker->request_count != 0;
    if (found) {
        *request = worker->requests[0];
        worker->request_count--;
        memmove(worker->requests, worker->requests + 1, worker->request_count * sizeof worker->requests[0]);
    }
    pthread_mutex_unlock(&worker->lock);
    return found;
}

// What comes after the VM's end is answered, too: that it has ended.
void worker_do_commands(struct worker *worker, struct vm *vm)
{
    struct worker_request request;
    while (worker_dequeue(worker, &request)) {
        struct error error;
        json_t *result = NULL;
        bool over = !vm || atomic_load(&vm->over);
        int failed = over ? error_set(&error, "'%s' has just ended", worker->config.name)
                          : request.command->act(worker, vm, &request, &result, &error);
        if (failed != WORKER_LATER)
            control_server_answer(worker->server, request.ticket, result, failed ? &error : NULL);
        json_decref(request.message);
        message_close_descriptors(&request.descriptors);
    }
}
