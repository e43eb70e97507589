// What the files of `nidus worker` share: the process (worker.c), its commands (worker_command.c), and what it tells
// (worker_tell.c), with those for its network adapters (worker_adapter.c).
#pragma once

#include <pthread.h>

#include "control/channel.h"
#include "control/control.h"
#include "control/message.h"
#include "worker/host.h"
#include "worker/vm.h"

struct json_t;

enum { WORKER_COMMANDS = 16 /* that wait */, WORKER_LOG_MOST = 1 << 20 /* bytes, when next asked */ };

struct worker;
struct worker_request;

// On the VM's thread. -1 with the reason; *result may be left alone. WORKER_LATER: the ticket is answered later.
enum { WORKER_LATER = 1 };
typedef int worker_act(struct worker *worker, struct vm *vm, struct worker_request *request, struct json_t **result,
                       struct error *error);

struct worker_request {
    struct control_ticket ticket;
    const struct worker_command *command;
    struct json_t *message;
    struct message_descriptors descriptors;
};

struct worker {
    struct control_config config;
    struct run_options options; // the same in the words of vm.h; its strings are the configuration's
    char console[CONTROL_PATH + 16]; // path of the socket
    const struct engine *engine;
    struct host host;
    int ended;    // DIRECTORY/ended
    int listener; // DIRECTORY/control, until the server has it
    int service;  // the first connection, likewise
    int wake;     // eventfd: a request waits
    int signals;
    struct control_server *server; // NULL: nobody can be told yet
    char jail[sizeof(((struct control_status *)0)->jail)];

    u32 leaving; // places whose adapters the guest is to let go of; the VM's thread's, as are the next two
    struct control_ticket waiting[WORKER_COMMANDS]; // for one of these
    unsigned waiting_place[WORKER_COMMANDS], waiting_count;

    pthread_mutex_t lock; // all below
    struct vm *vm;        // NULL: none runs
    enum control_state state;
    u64 began, ran;       // since when it runs, CLOCK_MONOTONIC ns, 0: it does not; how long it ran before
    u64 cpu_ns;           // of earlier rounds
    struct engine_nested_status nested; // what was told last
    struct worker_request requests[WORKER_COMMANDS];
    unsigned request_count;
};

// worker_command.c: on the server's thread, and on the VM's.
void worker_on_command(void *context, struct control_server *server, struct control_ticket ticket, const char *command,
                       const struct json_t *message, struct message_descriptors *descriptors);
void worker_do_commands(struct worker *worker, struct vm *vm);

// worker_adapter.c, on the VM's thread: the adapters in the words of vm.h, the commands that plug them, their leaving.
int worker_adapter(struct run_options *options, const struct control_adapter *adapter, struct error *error);
worker_act worker_do_adapters, worker_do_connect, worker_do_unplugged;
void worker_adapter_left(void *worker, unsigned place, bool let_go);
void worker_adapters_settle(struct worker *worker, struct vm *vm); // those that are to leave have left

// worker_tell.c. The status is complete at any time; the server's and the VM's threads.
void worker_get_status(struct worker *worker, struct control_status *status);
void worker_set_state(struct worker *worker, enum control_state state); // and says so
void worker_tell_nested(struct worker *worker);                         // if it has changed
void worker_tell_heartbeat(void *worker);                               // the agent's thread
void worker_tell_end(struct worker *worker, enum control_ending ending, const char *text);
