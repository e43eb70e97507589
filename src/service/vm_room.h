// What vm.c and the files that move a VM from state to state share. Others go through vm.h.
#pragma once

#include <pthread.h>

#include "service/supervise.h"
#include "service/vm.h"

struct vm_sample {
    u64 at, cpu; // ns: when, and what the processors had used by then
};

struct vm {
    unsigned references; // atomic
    struct service *service;
    char id[RECORD_GUID];
    pthread_mutex_t change;

    pthread_mutex_t data; // all below
    pthread_cond_t moved; // the state changed, or the worker came or went
    struct vm_record record;
    enum vm_state state;
    bool deleted;
    struct peer *worker; // NULL: none
    struct peer_end end; // of the last one, once `worker` is NULL
    bool asked; // vm_once
    bool has_status;
    u64 status_at; // ns
    struct control_status status;
    struct vm_sample before, now;
    unsigned cpu_usage;
};

struct vm *vm_make(struct service *service, struct vm_record *record); // takes the record over
void vm_state_set(struct vm *vm, enum vm_state state); // and tells whoever listens

// With the change lock held: the draft's state becomes `state`, stored if that can be done, and the VM's in any case,
// because what happened has happened. -1: it was not stored.
int vm_settle(struct vm *vm, struct vm_record *draft, enum vm_state state, struct error *error);

// The same with what comes of its worker's end, unless somebody has settled that, or it runs again.
void vm_settle_ended(struct vm *vm, struct vm_record *draft, const struct peer_end *end);

struct peer *vm_worker(struct vm *vm); // a reference, or NULL
void vm_worker_set(struct vm *vm, struct peer *worker); // takes the reference over
// On the worker's own thread: it told something, or it is gone.
void vm_worker_greeted(struct vm *vm); // it can be talked to, again
void vm_worker_told(struct vm *vm, const struct control_status *status);
void vm_worker_state(struct vm *vm, enum control_state state);
void vm_worker_deaf(struct vm *vm);
void vm_worker_nested(struct vm *vm, const char *extension, bool running, u64 launched);
void vm_worker_heartbeat(struct vm *vm, const char *heartbeat);
void vm_worker_ended(struct vm *vm, struct peer *worker, const struct peer_end *end);
// Waits until the VM has no worker; false: it still has after so long.
bool vm_wait_end(struct vm *vm, unsigned milliseconds, bool (*gone)(void *context), void *context,
                 struct peer_end *end);
// What a worker's end makes of its VM; `words` gets what there is to say about it, or "".
enum vm_state vm_state_of_end(const struct peer_end *end, char *words, size_t bytes);

u64 vm_clock(void); // ns, monotonic
