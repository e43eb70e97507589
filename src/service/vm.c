// See vm.h.
#include "service/vm_room.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmdlet/value.h"
#include "service/event.h"
#include "service/log.h"
#include "service/power.h"
#include "service/service.h"
#include "service/store.h"
#include "service/switchboard.h"

enum { STATUS_FRESH_MS = 500, STATUS_WAIT_MS = 500, USAGE_SAMPLE_MS = 2000 };

u64 vm_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (u64)now.tv_sec * 1000000000 + (u64)now.tv_nsec;
}

struct vm *vm_make(struct service *service, struct vm_record *record)
{
    struct vm *vm = value_allocate(sizeof *vm);
    vm->references = 1;
    vm->service = service;
    snprintf(vm->id, sizeof vm->id, "%s", record->id);
    pthread_mutex_init(&vm->change, NULL);
    pthread_mutex_init(&vm->data, NULL);
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&vm->moved, &clock);
    pthread_condattr_destroy(&clock);
    vm->record = *record;
    *record = (struct vm_record){0};
    vm->state = VM_STATE_OFF;
    vm_state_find(vm->record.state, &vm->state);
    return vm;
}

struct vm *vm_ref(struct vm *vm)
{
    __atomic_add_fetch(&vm->references, 1, __ATOMIC_RELAXED);
    return vm;
}

void vm_unref(struct vm *vm)
{
    if (!vm || __atomic_sub_fetch(&vm->references, 1, __ATOMIC_ACQ_REL))
        return;
    record_vm_free(&vm->record);
    pthread_cond_destroy(&vm->moved);
    pthread_mutex_destroy(&vm->data);
    pthread_mutex_destroy(&vm->change);
    free(vm);
}

const char *vm_id(const struct vm *vm) { return vm->id; }

bool vm_once(struct vm *vm)
{
    pthread_mutex_lock(&vm->data);
    const bool first = !vm->asked;
    vm->asked = true;
    pthread_mutex_unlock(&vm->data);
    return first;
}

// --- Looking ---------------------------------------------------------------------------------------------------------
// Asks the worker, unless it has told lately. A worker that does not answer leaves what was known.
static void vm_refresh(struct vm *vm)
{
    pthread_mutex_lock(&vm->data);
    const bool stale = vm->worker && vm->state != VM_STATE_STARTING &&
                       vm_clock() - vm->status_at > STATUS_FRESH_MS * 1000000ull;
    struct peer *worker = stale ? peer_ref(vm->worker) : NULL;
    if (stale)
        vm->status_at = vm_clock(); // one asks, others take what is there
    pthread_mutex_unlock(&vm->data);
    if (!worker)
        return;
    struct control_status status;
    if (worker_status(worker, &status, STATUS_WAIT_MS, NULL) == 0)
        vm_worker_told(vm, &status);
    peer_unref(worker);
}

void vm_look(struct vm *vm, struct vm_view *view)
{
    vm_refresh(vm);
    vm_glance(vm, view);
}

void vm_glance(struct vm *vm, struct vm_view *view)
{
    pthread_mutex_lock(&vm->data);
    *view = (struct vm_view){.state = vm->state, .deleted = vm->deleted, .has_status = vm->worker && vm->has_status,
                             .cpu_usage = vm->worker ? vm->cpu_usage : 0};
    if (view->has_status)
        view->status = vm->status;
    record_vm_copy(&view->record, &vm->record);
    pthread_mutex_unlock(&vm->data);
}

void vm_view_free(struct vm_view *view) { record_vm_free(&view->record); }

enum vm_state vm_state(struct vm *vm)
{
    pthread_mutex_lock(&vm->data);
    const enum vm_state state = vm->state;
    pthread_mutex_unlock(&vm->data);
    return state;
}

// --- Changing --------------------------------------------------------------------------------------------------------
struct vm_record *vm_change_begin(struct vm *vm)
{
    pthread_mutex_lock(&vm->change);
    pthread_mutex_lock(&vm->data);
    struct vm_record *draft = NULL;
    if (!vm->deleted) {
        draft = value_allocate(sizeof *draft);
        record_vm_copy(draft, &vm->record);
    }
    pthread_mutex_unlock(&vm->data);
    if (!draft)
        pthread_mutex_unlock(&vm->change);
    return draft;
}

void vm_change_cancel(struct vm *vm, struct vm_record *draft)
{
    record_vm_free(draft);
    free(draft);
    pthread_mutex_unlock(&vm->change);
}

static void vm_record_take(struct vm *vm, const struct vm_record *draft)
{
    pthread_mutex_lock(&vm->data);
    record_vm_free(&vm->record);
    record_vm_copy(&vm->record, draft);
    pthread_mutex_unlock(&vm->data);
}

int vm_change_store(struct vm *vm, struct vm_record *draft, struct error *error)
{
    if (store_vm_save(service_store(vm->service), draft, error) < 0)
        return -1;
    vm_record_take(vm, draft);
    return 0;
}

int vm_change_commit(struct vm *vm, struct vm_record *draft, struct error *error)
{
    const int result = vm_change_store(vm, draft, error);
    vm_change_cancel(vm, draft);
    return result;
}

// `from` 0: whatever it is.
static void vm_state_move(struct vm *vm, enum vm_state from, enum vm_state state)
{
    pthread_mutex_lock(&vm->data);
    const enum vm_state before = vm->state;
    const bool moves = before != state && (!from || from == before);
    if (moves) {
        vm->state = state;
        pthread_cond_broadcast(&vm->moved);
    }
    char *name = value_text_copy(vm->record.name);
    pthread_mutex_unlock(&vm->data);
    if (moves) {
        log_write(LOG_INFO, "vm-state", "vm", name, "id", vm->id, "from", vm_state_name(before), "to",
                  vm_state_name(state), NULL);
        event_publish(vm->service, "state", "VMId", vm->id, "VMName", name, "State", vm_state_name(state), NULL);
    }
    free(name);
}

void vm_state_set(struct vm *vm, enum vm_state state) { vm_state_move(vm, 0, state); }

int vm_settle(struct vm *vm, struct vm_record *draft, enum vm_state state, struct error *error)
{
    record_text_set(&draft->state, vm_state_name(state));
    const int result = store_vm_save(service_store(vm->service), draft, error);
    if (result < 0 && error)
        log_write(LOG_ERROR, "not-stored", "vm", draft->name, "id", vm->id, "reason", error->text, NULL);
    vm_record_take(vm, draft);
    vm_state_set(vm, state);
    return result;
}

// --- The worker ------------------------------------------------------------------------------------------------------
struct peer *vm_worker(struct vm *vm)
{
    pthread_mutex_lock(&vm->data);
    struct peer *worker = vm->worker ? peer_ref(vm->worker) : NULL;
    pthread_mutex_unlock(&vm->data);
    return worker;
}

void vm_worker_set(struct vm *vm, struct peer *worker)
{
    pthread_mutex_lock(&vm->data);
    peer_unref(vm->worker);
    vm->worker = worker;
    vm->has_status = false;
    vm->status_at = 0;
    vm->cpu_usage = 0;
    vm->before = vm->now = (struct vm_sample){0};
    vm->end = (struct peer_end){0};
    pthread_mutex_unlock(&vm->data);
}

void vm_worker_told(struct vm *vm, const struct control_status *status)
{
    pthread_mutex_lock(&vm->data);
    const u64 at = vm_clock();
    vm->status = *status;
    vm->has_status = true;
    vm->status_at = at;
    if (!vm->now.at || at - vm->now.at > USAGE_SAMPLE_MS * 1000000ull) {
        vm->before = vm->now;
        vm->now = (struct vm_sample){.at = at, .cpu = status->cpu_ns};
        const u64 processors = vm->record.processor_count > 0 ? (u64)vm->record.processor_count : 1;
        const u64 time = vm->before.at ? at - vm->before.at : status->uptime_ns;
        const u64 used = status->cpu_ns > vm->before.cpu ? status->cpu_ns - vm->before.cpu : 0;
        const u64 percent = time / 100 ? used / (time / 100) / processors : 0;
        vm->cpu_usage = percent > 100 ? 100 : (unsigned)percent;
    }
    pthread_mutex_unlock(&vm->data);
}

// What it could not be told before.
void vm_worker_greeted(struct vm *vm) { switchboard_mend(service_switchboard(vm->service)); }

void vm_worker_deaf(struct vm *vm)
{
    vm_state_move(vm, VM_STATE_RUNNING, VM_STATE_RUNNING_CRITICAL);
    vm_state_move(vm, VM_STATE_PAUSED, VM_STATE_PAUSED_CRITICAL);
}

// It answers again, or paused of its own accord. What a cmdlet asked for is under way in a state of its own, and is
// settled by that cmdlet.
void vm_worker_state(struct vm *vm, enum control_state state)
{
    if (state == CONTROL_PAUSED) {
        vm_state_move(vm, VM_STATE_RUNNING_CRITICAL, VM_STATE_PAUSED);
        vm_state_move(vm, VM_STATE_PAUSED_CRITICAL, VM_STATE_PAUSED);
        vm_state_move(vm, VM_STATE_RUNNING, VM_STATE_PAUSED_CRITICAL);
    } else if (state == CONTROL_RUNNING) {
        vm_state_move(vm, VM_STATE_RUNNING_CRITICAL, VM_STATE_RUNNING);
        vm_state_move(vm, VM_STATE_PAUSED_CRITICAL, VM_STATE_RUNNING);
    }
}

void vm_worker_nested(struct vm *vm, const char *extension, bool running, u64 launched)
{
    char number[24];
    snprintf(number, sizeof number, "%llu", (unsigned long long)launched);
    pthread_mutex_lock(&vm->data);
    snprintf(vm->status.nested_extension, sizeof vm->status.nested_extension, "%s", extension);
    vm->status.nested_running = running;
    vm->status.nested_launched = launched;
    char *name = value_text_copy(vm->record.name);
    pthread_mutex_unlock(&vm->data);
    log_write(LOG_INFO, "vm-nested", "vm", name, "id", vm->id, "extension", extension, "running",
              running ? "true" : "false", "launched", number, NULL);
    event_publish(vm->service, "nested", "VMId", vm->id, "VMName", name, "HypervisorRunning",
                  running ? "true" : "false", "VirtualizationExtension", extension, "NestedGuestsLaunched", number,
                  NULL);
    free(name);
}

void vm_worker_heartbeat(struct vm *vm, const char *heartbeat)
{
    pthread_mutex_lock(&vm->data);
    vm->status_at = 0; // ask when somebody looks
    char *name = value_text_copy(vm->record.name);
    pthread_mutex_unlock(&vm->data);
    event_publish(vm->service, "heartbeat", "VMId", vm->id, "VMName", name, "Heartbeat", heartbeat, NULL);
    free(name);
}

enum vm_state vm_state_of_end(const struct peer_end *end, char *words, size_t bytes)
{
    snprintf(words, bytes, "%s", end->text);
    if (!end->known) {
        snprintf(words, bytes, "its worker process ended without a word%s%s", end->text[0] ? ": " : "", end->text);
        return VM_STATE_OFF_CRITICAL;
    }
    switch (end->ending) {
    case CONTROL_ENDED_SAVED:
        return VM_STATE_SAVED;
    case CONTROL_ENDED_ENGINE:
        return VM_STATE_OFF_CRITICAL;
    case CONTROL_ENDED_POWER_OFF:
    case CONTROL_ENDED_BY_COMMAND:
        words[0] = 0; // as it should be: nothing to say
        return VM_STATE_OFF;
    default:
        return VM_STATE_OFF;
    }
}

void vm_settle_ended(struct vm *vm, struct vm_record *draft, const struct peer_end *end)
{
    pthread_mutex_lock(&vm->data);
    const bool settled = vm->worker || !vm_state_has_worker(vm->state);
    pthread_mutex_unlock(&vm->data);
    if (settled)
        return;
    char words[sizeof end->text + 64];
    struct error error;
    const enum vm_state state = vm_state_of_end(end, words, sizeof words);
    record_text_set(&draft->last_words, words[0] ? words : NULL);
    if (state == VM_STATE_SAVED) // by a save that an earlier service had asked for
        power_saved_path(vm->service, draft);
    if (words[0])
        log_write(LOG_WARNING, "vm-ended", "vm", draft->name, "id", vm->id, "reason", words, NULL);
    vm_settle(vm, draft, state, &error);
}

// Whoever waits for the end holds the change lock and settles what comes of it; otherwise nobody does, and it is done
// here.
void vm_worker_ended(struct vm *vm, struct peer *worker, const struct peer_end *end)
{
    pthread_mutex_lock(&vm->data);
    const bool current = vm->worker == worker;
    if (current) {
        vm->worker = NULL;
        vm->end = *end;
        vm->has_status = false;
        vm->cpu_usage = 0;
        pthread_cond_broadcast(&vm->moved);
    }
    pthread_mutex_unlock(&vm->data);
    if (!current)
        return;
    peer_unref(worker);
    switchboard_vm(service_switchboard(vm->service), vm, NULL); // nothing is left to fail
    struct vm_record *draft = vm_change_begin(vm);
    if (!draft)
        return;
    vm_settle_ended(vm, draft, end);
    vm_change_cancel(vm, draft);
}

bool vm_wait_end(struct vm *vm, unsigned milliseconds, bool (*gone)(void *context), void *context,
                 struct peer_end *end)
{
    const u64 deadline = vm_clock() + milliseconds * 1000000ull;
    pthread_mutex_lock(&vm->data);
    while (vm->worker && vm_clock() < deadline && !(gone && gone(context))) {
        u64 until = vm_clock() + 250000000; // often enough to notice that nobody waits any more
        if (until > deadline)
            until = deadline;
        const struct timespec at = {.tv_sec = (time_t)(until / 1000000000), .tv_nsec = (long)(until % 1000000000)};
        pthread_cond_timedwait(&vm->moved, &vm->data, &at);
    }
    const bool ended = !vm->worker;
    if (ended && end)
        *end = vm->end;
    pthread_mutex_unlock(&vm->data);
    return ended;
}
