// A worker process of a VM, seen from the service: starting it, talking to it, learning that it is gone. Each has a
// thread of the service that sleeps in a read of its control connection and tells the VM what it hears; everything the
// worker says is foreign.
//
// A worker is no part of the service's life: it has its own session, keeps running when the service ends in whatever
// way, and is found again by the lock on its VM's runtime directory (control.h).
#pragma once

#include "base/error.h"
#include "control/control.h"

struct json_t;
struct vm;
struct worker;

struct worker_end {
    bool known; // it said how; otherwise it was killed, or died
    enum control_ending ending;
    char text[512];
};

// A new worker for the VM, whose change lock the caller holds. Returns when the guest runs. -1: there is no worker, and
// `error` says why, in the worker's own words where it had any.
int supervise_start(struct vm *vm, const struct control_config *config, const char *program, struct error *error);

// What became of the VM's worker while nobody looked: ADOPT_RUNNING (it lives; the VM has it now, `status` tells of
// it), ADOPT_DEAF (a process lives, and does not answer), ADOPT_ENDED (`end`), ADOPT_NONE (there was none, or the host
// went down).
enum adopt { ADOPT_NONE, ADOPT_RUNNING, ADOPT_DEAF, ADOPT_ENDED };
enum adopt supervise_adopt(struct vm *vm, const char *directory, struct control_status *status, struct worker_end *end);
// A process holds the lock of this runtime directory and belongs to no VM: it is ended. False: there was none.
bool supervise_end_orphan(const char *directory);
// Forgets how the last worker ended.
void supervise_forget(const char *directory);

struct worker *worker_ref(struct worker *worker);
void worker_unref(struct worker *worker); // NULL is allowed
// The answer's "result", the caller's; NULL with the reason.
struct json_t *worker_command(struct worker *worker, const char *command, const struct json_t *arguments,
                              unsigned milliseconds, struct error *error);
int worker_status(struct worker *worker, struct control_status *status, unsigned milliseconds, struct error *error);
void worker_kill(struct worker *worker); // SIGKILL: the plug of a worker that does not listen
