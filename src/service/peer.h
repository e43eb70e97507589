// A process of the service's own kind, a VM's worker or a switch, seen from the service: starting it, talking to it,
// learning that it is gone. Each has a thread of the service that sleeps in a read of its control connection and tells
// its owner what it hears; everything such a process says is foreign.
//
// It is no part of the service's life: it has its own session, keeps running when the service ends in whatever way, and
// is found again by the lock on its runtime directory (control/control.h).
#pragma once

#include "base/error.h"
#include "control/control.h"

struct json_t;
struct peer;

struct peer_end {
    bool known; // it said how; otherwise it was killed, or died
    enum control_ending ending;
    char text[512];
};

struct peer_type {
    const char *what; // "worker process"
    const char *word; // of the command line: "worker"
    const char *log;  // the file in its directory that it writes to
    // On the peer's thread, which holds a reference to the owner meanwhile.
    void (*greeted)(void *owner, const struct json_t *status); // the answer to `status`, after each connection
    void (*event)(void *owner, const struct json_t *message, const char *event);
    void (*deaf)(void *owner); // it lives, and hung up on us
    void (*ended)(void *owner, struct peer *peer, const struct peer_end *end);
    // Before its thread runs, and when no thread will (NULL): the owner's own reference to the peer.
    void (*set)(void *owner, struct peer *peer);
    void *(*hold)(void *owner); // a reference to the owner, which `release` gives back
    void (*release)(void *owner);
};

// Starts a process; `config` is its configuration's text, `program` what is executed. Returns when it says that it
// runs: a reference. NULL: there is no process, and `error` says why, in its own words where it had any.
struct peer *peer_start(const struct peer_type *type, void *owner, const char *directory, const char *config,
                        const char *program, struct error *error);

// What became of a directory's process while nobody looked: PEER_RUNNING (it lives, and *peer is a reference),
// PEER_DEAF (a process lives, and does not answer; likewise), PEER_ENDED (`end`), PEER_NONE (there was none, or the
// host went down).
enum peer_found { PEER_NONE, PEER_RUNNING, PEER_DEAF, PEER_ENDED };
enum peer_found peer_adopt(const struct peer_type *type, void *owner, const char *directory, struct peer **peer,
                           struct peer_end *end);
// A process holds the lock of this runtime directory and belongs to nobody: it is ended. False: there was none.
bool peer_end_orphan(const char *directory);
void peer_forget(const char *directory); // how the last one ended

struct peer *peer_ref(struct peer *peer);
void peer_unref(struct peer *peer); // NULL is allowed
// The answer's "result", the caller's; NULL with the reason. `fds` go along, and stay the caller's.
struct json_t *peer_command(struct peer *peer, const char *command, const struct json_t *arguments,
                            unsigned milliseconds, struct error *error);
struct json_t *peer_command_with(struct peer *peer, const char *command, const struct json_t *arguments,
                                 const int *fds, unsigned fd_count, unsigned milliseconds, struct error *error);
struct json_t *peer_greeting(struct peer *peer); // what it answered to `status` last; the caller's, or NULL
void peer_kill(struct peer *peer);               // SIGKILL: the plug of one that does not listen
