// What the files of `nidus worker` share: the process (worker.c), its commands (worker_command.c), and what it tells
// (worker_tell.c).
#pragma once

#include <pthread.h>

#include "control/channel.h"
#include "control/control.h"
#include "control/message.h"
#include "worker/host.h"
#include "worker/vm.h"

struct json_t;

enum { WORKER_COMMANDS = 16 /* that wait */, WORKER_LOG_MOST = 1 << 20 /* bytes, when next asked */ };

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

// worker_tell.c. The status is complete at any time; the server's and the VM's threads.
void worker_get_status(struct worker *worker, struct control_status *status);
void worker_set_state(struct worker *worker, enum control_state state); // and says so
void worker_tell_nested(struct worker *worker);                         // if it has changed
void worker_tell_heartbeat(void *worker);                               // the agent's thread
void worker_tell_end(struct worker *worker, enum control_ending ending, const char *text);
