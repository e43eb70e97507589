// See switchboard.h. One lock over all of it, held while a switch or a worker is asked, so that what is made true is
// made true by one at a time, from the records as they are then. It is taken after a VM's change lock, and never the
// other way around; a peer's own thread takes it only when its process has ended, for it is what we wait for while we
// hold it.
#include "service/switchboard.h"

#include <assert.h>
#include <dirent.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/place.h"
#include "cmdlet/value.h"
#include "net/wire.h"
#include "service/event.h"
#include "service/log.h"
#include "service/network.h"
#include "service/peer.h"
#include "service/port_config.h"
#include "service/power.h"
#include "service/uplink.h"
#include "service/user.h"
#include "service/vm_room.h"

enum {
    ASK_MS = 5000,
    FRESH_MS = 500,       // counters so old are still shown
    HASTY_NS = 1000000000, // a process that lives no longer than this is not started anew at once
    HASTY_MS = 2000,
    MEND_SECONDS_MOST = 32,
    COUNTERS_MOST = 1024, // of one switch; it has no more ports
};

// A port with a wire: what the switch and the worker were told.
struct plug {
    char *adapter, *vm;
    struct peer *worker; // a reference: the one that has the other end
};

// A switch's process.
struct station {
    unsigned references; // atomic
    struct switchboard *board;
    char *id, *name;
    struct peer *peer; // NULL: it does not run
    u64 started;
    bool keeps;        // it runs without plugs, too
    bool network;      // the host's network is in its reach
    json_t *uplink;    // what it has: struct control_uplink, or NULL
    bool lost;         // atomic: it said that it has that no more
    struct plug *plugs;
    size_t plug_count;
    u64 counted; // when, ns
    struct control_counters *counters;
    size_t counter_count;
};

struct switchboard {
    struct service *service;
    pthread_mutex_t lock;
    struct station **stations;
    size_t count;
    bool closed;

    pthread_mutex_t mend_lock; // what follows; nothing is waited for under it
    pthread_cond_t mend;
    bool broken; // something is not as the records say
};

// --- The process -----------------------------------------------------------------------------------------------------

static void *station_hold(void *context)
{
    struct station *station = context;
    __atomic_add_fetch(&station->references, 1, __ATOMIC_RELAXED);
    return station;
}

static void station_release(void *context)
{
    struct station *station = context;
    if (__atomic_sub_fetch(&station->references, 1, __ATOMIC_ACQ_REL))
        return;
    free(station->id);
    free(station->name);
    json_decref(station->uplink);
    free(station->plugs);
    free(station->counters);
    free(station);
}

static void station_greeted(void *context, const json_t *status) { (void)context, (void)status; }

static void station_deaf(void *context) { (void)context; }

// We hold the lock and keep what peer_start returns.
static void station_set(void *context, struct peer *peer)
{
    (void)context;
    peer_unref(peer);
}

// Which VM's adapter a port is. Without the board's lock.
static bool adapter_find(struct service *service, const char *id, struct vm_view *view, size_t *index)
{
    struct vm **vms;
    bool found = false;
    const size_t count = service_vms(service, &vms);
    for (size_t i = 0; i < count; i++) {
        if (!found) {
            vm_glance(vms[i], view);
            for (*index = 0; *index < view->record.adapter_count && !found; ++*index)
                found = !strcmp(view->record.adapters[*index].id, id);
            --*index; // the loop has gone one further
            if (!found)
                vm_view_free(view);
        }
        vm_unref(vms[i]);
    }
    free(vms);
    return found;
}

// The line that whoever asks why a nested VM has no network finds.
static void station_spoofed(const struct station *station, const char *port, const char *address)
{
    struct vm_view view;
    size_t index;
    if (!adapter_find(station->board->service, port, &view, &index))
        return;
    const struct vm_record *record = &view.record;
    char *allow = value_text("Get-VMNetworkAdapter -VMName '%s' -Name '%s' | "
                             "Set-VMNetworkAdapter -MacAddressSpoofing On",
                             record->name, record->adapters[index].name);
    log_write(LOG_WARNING, "foreign-address", "vm", record->name, "adapter", record->adapters[index].name, "switch",
              station->name, "address", address, "dropped", "yes: MAC address spoofing is off", "allow", allow, NULL);
    event_publish(station->board->service, "foreign-address", "VMId", record->id, "VMName", record->name, "Address",
                  address, NULL);
    free(allow);
    vm_view_free(&view);
}

static const char *text_of(const json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));
    return text ? text : "";
}

// The board's lock is not ours to take here; who mends has it.
static void station_lost(struct station *station, const char *why)
{
    log_write(LOG_WARNING, "uplink-lost", "switch", station->name, "reason", why, NULL);
    __atomic_store_n(&station->lost, true, __ATOMIC_RELEASE);
    switchboard_mend(station->board);
}

static void station_event(void *context, const json_t *message, const char *event)
{
    struct station *station = context;
    if (!strcmp(event, "spoofed"))
        station_spoofed(station, text_of(message, "port"), text_of(message, "address"));
    else if (!strcmp(event, "capture-ended"))
        log_write(LOG_WARNING, "capture-ended", "switch", station->name, "path", text_of(message, "path"), "reason",
                  text_of(message, "text"), NULL);
    else if (!strcmp(event, "uplink-lost"))
        station_lost(station, text_of(message, "text"));
}

static void station_ended(void *context, struct peer *peer, const struct peer_end *end);

static const struct peer_type station_type = {
    .what = "switch process",
    .word = "switch",
    .log = "switch.log",
    .greeted = station_greeted,
    .event = station_event,
    .deaf = station_deaf,
    .ended = station_ended,
    .set = station_set,
    .hold = station_hold,
    .release = station_release,
};

static char *station_directory(const struct station *station)
{
    return value_text("%s/switch/%s", service_runtime_directory(station->board->service), station->id);
}

// -1: it did not do it, and why. One that does not answer is of no use to anybody: it is ended, and started anew by
// station_ended.
static int station_ask(struct station *station, const char *command, json_t *arguments, const int *fds,
                       unsigned fd_count, struct error *error)
{
    json_t *result = station->peer ? peer_command_with(station->peer, command, arguments, fds, fd_count, ASK_MS, error)
                                   : NULL;
    if (!station->peer)
        error_set(error, "the switch '%s' does not run", station->name);
    json_decref(arguments);
    json_decref(result);
    return result ? 0 : -1;
}

// --- Plugs -----------------------------------------------------------------------------------------------------------

static void plug_drop(struct station *station, size_t index)
{
    struct plug *plug = &station->plugs[index];
    free(plug->adapter);
    free(plug->vm);
    peer_unref(plug->worker);
    memmove(plug, plug + 1, (--station->plug_count - index) * sizeof *plug);
}

static struct plug *plug_find(struct switchboard *board, const char *adapter, struct station **station)
{
    for (size_t i = 0; i < board->count; i++)
        for (size_t j = 0; j < board->stations[i]->plug_count; j++)
            if (!strcmp(board->stations[i]->plugs[j].adapter, adapter)) {
                *station = board->stations[i];
                return &board->stations[i]->plugs[j];
            }
    return NULL;
}

static int plug_tell_worker(struct peer *worker, const char *adapter, const int *fds, unsigned count,
                            struct error *error)
{
    json_t *arguments = json_pack("{s:s}", "adapter", adapter);
    json_t *result = peer_command_with(worker, "connect", arguments, fds, count, ASK_MS, error);
    json_decref(arguments);
    json_decref(result);
    return result ? 0 : -1;
}

// Takes a plug out: at the switch, and at the worker if that lives on and gets no other.
static void plug_pull(struct station *station, struct plug *plug, bool tell)
{
    struct error error;
    station_ask(station, "remove", json_pack("{s:s}", "port", plug->adapter), NULL, 0, &error);
    if (tell)
        plug_tell_worker(plug->worker, plug->adapter, NULL, 0, &error);
    plug_drop(station, (size_t)(plug - station->plugs));
}

static int plug_put(struct station *station, const char *vm, const char *adapter, struct peer *worker, json_t *port,
                    struct error *error)
{
    struct wire_descriptors wire;
    if (wire_create(&wire, error)) {
        json_decref(port);
        return -1;
    }
    const int at_switch[] = {wire.memory, wire.bell[WIRE_SWITCH]}, at_worker[] = {wire.memory, wire.bell[WIRE_ADAPTER]};
    static_assert(CONTROL_WIRE_MEMORY == 0 && CONTROL_WIRE_BELL == 1, "the order of a wire's descriptors");
    struct error ignored;
    int result = station_ask(station, "port", port, at_switch, CONTROL_WIRE_DESCRIPTORS, error);
    if (result == 0)
        result = plug_tell_worker(worker, adapter, at_worker, CONTROL_WIRE_DESCRIPTORS, error);
    if (result < 0)
        station_ask(station, "remove", json_pack("{s:s}", "port", adapter), NULL, 0, &ignored);
    wire_descriptors_close(&wire);
    if (result < 0)
        return -1;
    station->plugs = value_reallocate(station->plugs, (station->plug_count + 1) * sizeof *station->plugs);
    station->plugs[station->plug_count++] = (struct plug){
        .adapter = value_text_copy(adapter), .vm = value_text_copy(vm), .worker = peer_ref(worker)};
    return 0;
}

// --- Stations --------------------------------------------------------------------------------------------------------

static struct station *station_find(struct switchboard *board, const char *id)
{
    for (size_t i = 0; i < board->count; i++)
        if (!strcasecmp(board->stations[i]->id, id))
            return board->stations[i];
    return NULL;
}

static struct station *station_add(struct switchboard *board, const struct network_switch *network)
{
    struct station *station = value_allocate(sizeof *station);
    *station = (struct station){.references = 1, .board = board, .id = value_text_copy(network->id),
                                .name = value_text_copy(network->name)};
    board->stations = value_reallocate(board->stations, (board->count + 1) * sizeof *board->stations);
    board->stations[board->count++] = station;
    return station;
}

static void station_forget(struct switchboard *board, struct station *station)
{
    for (size_t i = 0; i < board->count; i++)
        if (board->stations[i] == station) {
            memmove(&board->stations[i], &board->stations[i + 1], (--board->count - i) * sizeof *board->stations);
            break;
        }
    while (station->plug_count)
        plug_drop(station, station->plug_count - 1);
    peer_unref(station->peer);
    station->peer = NULL;
    station_release(station);
}

// Ends a switch that nobody needs.
static void station_end(struct switchboard *board, struct station *station)
{
    struct error error;
    char *directory = station_directory(station);
    const bool ran = station->peer;
    if (ran && station_ask(station, "end", NULL, NULL, 0, &error) < 0)
        peer_kill(station->peer);
    if (ran)
        log_write(LOG_INFO, "switch-ended", "switch", station->name, "id", station->id, NULL);
    station_forget(board, station);
    if (ran) // otherwise its log may tell why not
        power_runtime_remove(directory);
    free(directory);
}

// Gives the process the uplink of the plan, unless it has that: a NAT's connections are not cut for nothing.
static int station_uplink(struct station *station, const struct network_switch *network,
                          const struct uplink_plan *plan, struct error *error)
{
    int fds[UPLINK_DESCRIPTORS];
    station->keeps = plan->keeps;
    if (json_equal(plan->config, station->uplink))
        return 0;
    json_decref(station->uplink);
    station->uplink = NULL;
    if (plan->network && !station->network) {
        peer_kill(station->peer); // its jail is too narrow: station_ended starts another one
        return 0;
    }
    const int count = uplink_open(station->board->service, network, plan, fds, error);
    if (count < 0)
        return -1;
    const int result =
        station_ask(station, "uplink", json_pack("{s:O}", "config", plan->config), fds, (unsigned)count, error);
    for (int i = 0; i < count; i++)
        close(fds[i]);
    if (result == 0)
        station->uplink = json_incref(plan->config);
    return result;
}

static unsigned station_user(const char *id)
{
    u32 hash = 2166136261; // FNV-1a
    for (; *id; id++)
        hash = (hash ^ (u8)*id) * 16777619;
    return user_possible() ? RECORD_USER_SWITCH_FIRST + hash % RECORD_USER_SWITCHES : 0;
}

static int station_launch(struct station *station, const struct network_switch *network,
                          const struct uplink_plan *plan, struct error *error)
{
    struct service *service = station->board->service;
    char *directory = station_directory(station), *root = value_text("%s/switch", service_runtime_directory(service));
    const struct control_switch config = {.id = network->id, .name = network->name, .directory = directory,
                                          .network = plan->network, .user = station_user(network->id)};
    char *text = control_switch_write(&config);
    if (text && place_make(root, error) == 0)
        station->peer = peer_start(&station_type, station, directory, text, "/proc/self/exe", error);
    free(text);
    free(root);
    free(directory);
    if (!station->peer)
        return error_prefix(error, "the switch '%s'", network->name);
    station->started = vm_clock();
    station->network = plan->network;
    record_text_set(&station->name, network->name);
    json_decref(station->uplink);
    station->uplink = NULL;
    log_write(LOG_INFO, "switch-started", "switch", station->name, "id", station->id, NULL);
    return 0;
}

// The switch's process, started if it does not run. NULL with the reason.
static struct station *station_get(struct switchboard *board, const struct network_switch *network,
                                   struct error *error)
{
    struct station *station = station_find(board, network->id);
    struct uplink_plan plan;
    if (station && station->peer)
        return station;
    if (uplink_plan(board->service, network, &plan, error) < 0)
        return NULL;
    if (!station)
        station = station_add(board, network);
    int result = station_launch(station, network, &plan, error);
    if (result == 0)
        result = station_uplink(station, network, &plan, error);
    uplink_plan_free(&plan);
    if (result == 0)
        return station;
    station_end(board, station);
    return NULL;
}

static void station_rest(struct switchboard *board, struct station *station)
{
    if (!station->plug_count && !station->keeps)
        station_end(board, station);
}

// --- VMs -------------------------------------------------------------------------------------------------------------

static int adapter_update(struct switchboard *board, const struct vm_record *record, const struct vm_adapter *adapter,
                          struct peer *worker, struct error *error)
{
    struct network_switch network;
    struct station *is, *shall = NULL;
    struct plug *plug = plug_find(board, adapter->id, &is);
    const bool named = worker && adapter->switch_name && adapter->mac;
    int result = 0;
    if (named && network_switch_find(board->service, adapter->switch_name, &network)) {
        shall = station_get(board, &network, error);
        result = shall ? 0 : -1;
        network_switch_free(&network);
        plug = plug_find(board, adapter->id, &is); // a switch that had to be started has none any more
    }
    if (plug && (is != shall || plug->worker != worker)) {
        plug_pull(is, plug, worker && !shall);
        if (is != shall)
            station_rest(board, is);
        plug = NULL;
    } else if (!shall && worker && adapter->mac && result == 0) {
        plug_tell_worker(worker, adapter->id, NULL, 0, error); // it may wait for one that was to come
    }
    if (!shall)
        return result;
    json_t *port = port_config_write(adapter, error);
    if (!port)
        return -1;
    return plug ? station_ask(shall, "port", port, NULL, 0, error)
                : plug_put(shall, record->id, adapter->id, worker, port, error);
}

// The plugs of adapters that the VM has no more.
static void vm_pull_rest(struct switchboard *board, const struct vm_record *record, bool worker)
{
    for (size_t i = board->count; i--;) {
        struct station *station = board->stations[i];
        for (size_t j = station->plug_count; j--;) {
            const struct plug *plug = &station->plugs[j];
            bool there = strcmp(plug->vm, record->id);
            for (size_t k = 0; k < record->adapter_count && !there; k++)
                there = !strcmp(record->adapters[k].id, plug->adapter);
            if (!there)
                plug_pull(station, &station->plugs[j], worker);
        }
        station_rest(board, station);
    }
}

// Which adapters there are, before what they are plugged into.
static int vm_tell_adapters(struct switchboard *board, struct peer *worker, const struct vm_record *record,
                            struct error *error)
{
    struct control_adapter adapters[CONTROL_ADAPTERS];
    unsigned count;
    int result = power_adapters(board->service, adapters, &count, record, error);
    if (result == 0) {
        json_t *arguments = json_pack("{s:o}", "adapters", control_adapters_write(adapters, count));
        json_t *answer = peer_command_with(worker, "adapters", arguments, NULL, 0, ASK_MS, error);
        result = answer ? 0 : -1;
        json_decref(arguments);
        json_decref(answer);
    }
    for (unsigned i = 0; i < count; i++)
        control_adapter_free(&adapters[i]);
    return result;
}

static int vm_update(struct switchboard *board, struct vm *vm, struct error *error)
{
    struct vm_view view;
    struct peer *worker = vm_worker(vm);
    int result = 0;
    vm_glance(vm, &view);
    if (worker)
        result = vm_tell_adapters(board, worker, &view.record, error);
    for (size_t i = 0; i < view.record.adapter_count; i++) {
        struct error why;
        if (adapter_update(board, &view.record, &view.record.adapters[i], worker, &why) < 0 && result == 0)
            result = error_set(error, "network adapter '%s': %s", view.record.adapters[i].name, why.text);
    }
    vm_pull_rest(board, &view.record, worker != NULL); // last: a switch that was just found again has no plugs before
    vm_view_free(&view);
    peer_unref(worker);
    return result;
}

int switchboard_vm(struct switchboard *board, struct vm *vm, struct error *error)
{
    pthread_mutex_lock(&board->lock);
    const int result = board->closed ? 0 : vm_update(board, vm, error);
    pthread_mutex_unlock(&board->lock);
    if (result < 0)
        switchboard_mend(board);
    return result;
}

int switchboard_ready(struct switchboard *board, const struct vm_record *record, struct error *error)
{
    int result = 0;
    pthread_mutex_lock(&board->lock);
    for (size_t i = 0; i < record->adapter_count && result == 0; i++) {
        struct network_switch network;
        const char *name = record->adapters[i].switch_name;
        if (!name || !network_switch_find(board->service, name, &network))
            continue;
        result = station_get(board, &network, error) ? 0 : -1;
        network_switch_free(&network);
    }
    pthread_mutex_unlock(&board->lock);
    return result;
}

// True if all of them are as their records say.
static bool vms_update(struct switchboard *board)
{
    struct vm **vms;
    bool good = true;
    const size_t count = service_vms(board->service, &vms);
    for (size_t i = 0; i < count; i++) {
        struct error error;
        if (vm_update(board, vms[i], &error) < 0)
            log_write(LOG_ERROR, "not-connected", "id", vm_id(vms[i]), "reason", error.text, NULL), good = false;
        vm_unref(vms[i]);
    }
    free(vms);
    return good;
}

// --- Switches --------------------------------------------------------------------------------------------------------

struct switch_by_id {
    const char *id;
    struct network_switch found;
    bool any;
};

static void switch_look(void *context, const struct network_switch *network)
{
    struct switch_by_id *search = context;
    if (search->any || strcasecmp(network->id, search->id))
        return;
    search->any = true;
    network_switch_copy(&search->found, network);
}

static bool switch_find(struct switchboard *board, const char *id, struct network_switch *network)
{
    struct switch_by_id search = {.id = id};
    network_switches(board->service, switch_look, &search, NULL);
    *network = search.found;
    return search.any;
}

static int switch_update(struct switchboard *board, const char *id, struct error *error)
{
    struct station *station = station_find(board, id);
    struct network_switch network;
    struct uplink_plan plan;
    if (!switch_find(board, id, &network)) {
        if (station)
            station_end(board, station);
        return 0;
    }
    int result = uplink_plan(board->service, &network, &plan, error);
    if (result == 0 && station && station->peer)
        result = station_uplink(station, &network, &plan, error);
    else if (result == 0 && plan.keeps)
        result = station_get(board, &network, error) ? 0 : -1;
    if (station && station->peer)
        station_rest(board, station);
    uplink_plan_free(&plan);
    network_switch_free(&network);
    return result;
}

int switchboard_switch(struct switchboard *board, const char *id, struct error *error)
{
    pthread_mutex_lock(&board->lock);
    const int result = switch_update(board, id, error);
    pthread_mutex_unlock(&board->lock);
    return result;
}

// Of switches that lost theirs, or could not be given one. True if all have one.
static bool uplinks_update(struct switchboard *board)
{
    bool good = true;
    for (size_t i = board->count; i--;) {
        struct station *station = board->stations[i];
        struct error error;
        if (__atomic_exchange_n(&station->lost, false, __ATOMIC_ACQUIRE)) {
            json_decref(station->uplink);
            station->uplink = NULL;
        }
        if (!station->peer || station->uplink)
            continue;
        char *name = value_text_copy(station->name); // the station may end
        const bool done = switch_update(board, station->id, &error) == 0;
        if (!done)
            log_write(LOG_ERROR, "uplink", "switch", name, "reason", error.text, NULL);
        good = good && done;
        free(name);
    }
    return good;
}

// --- Mending ---------------------------------------------------------------------------------------------------------

void switchboard_mend(struct switchboard *board)
{
    pthread_mutex_lock(&board->mend_lock);
    board->broken = true;
    pthread_cond_signal(&board->mend);
    pthread_mutex_unlock(&board->mend_lock);
}

// False: the service goes down.
static bool mend_once(struct switchboard *board, bool *good)
{
    pthread_mutex_lock(&board->lock);
    const bool closed = board->closed;
    *good = true;
    if (!closed) {
        const bool uplinks = uplinks_update(board), vms = vms_update(board);
        *good = uplinks && vms;
    }
    pthread_mutex_unlock(&board->lock);
    return !closed;
}

// What fails is tried again, less and less often: most of it is a process that was about to begin or to end.
static void *mend_thread(void *context)
{
    struct switchboard *board = context;
    bool good = true;
    for (time_t wait = 0;; wait = good ? 0 : wait ? (wait < MEND_SECONDS_MOST ? wait * 2 : wait) : 1) {
        if (wait)
            nanosleep(&(struct timespec){.tv_sec = wait}, NULL);
        pthread_mutex_lock(&board->mend_lock);
        while (good && !board->broken)
            pthread_cond_wait(&board->mend, &board->mend_lock);
        board->broken = false;
        pthread_mutex_unlock(&board->mend_lock);
        if (!mend_once(board, &good))
            return NULL;
    }
}

// On its peer's thread. What was plugged is pulled at the workers' ends only by what is plugged next: a guest notices
// no more of a switch that died than lost frames.
static void station_ended(void *context, struct peer *peer, const struct peer_end *end)
{
    struct station *station = context;
    struct switchboard *board = station->board;
    pthread_mutex_lock(&board->lock);
    const bool current = station->peer == peer && !board->closed;
    const bool hasty = current && vm_clock() - station->started < HASTY_NS;
    if (current) {
        log_write(LOG_ERROR, "switch-died", "switch", station->name, "id", station->id, "reason", end->text, NULL);
        peer_unref(station->peer);
        station->peer = NULL;
        while (station->plug_count)
            plug_drop(station, station->plug_count - 1);
    }
    pthread_mutex_unlock(&board->lock);
    if (!current)
        return;
    if (hasty)
        nanosleep(&(struct timespec){.tv_sec = HASTY_MS / 1000}, NULL);
    pthread_mutex_lock(&board->lock);
    const bool keeps = station->keeps;
    struct error error;
    if (!board->closed) { // somebody may have started it meanwhile, for an adapter of one VM
        if (keeps)
            switch_update(board, station->id, &error);
        if (!vms_update(board))
            switchboard_mend(board);
    }
    pthread_mutex_unlock(&board->lock);
}

// --- Finding again ---------------------------------------------------------------------------------------------------

// Ports of adapters that were unplugged while no service was there.
static void station_sweep(struct station *station)
{
    struct error error;
    json_t *arguments = json_pack("{s:i}", "first", 0);
    json_t *result = station->peer ? peer_command(station->peer, "counters", arguments, ASK_MS, &error) : NULL;
    const json_t *ports = json_object_get(result, "ports");
    for (size_t i = 0; i < json_array_size(ports); i++) {
        const char *id = text_of(json_array_get(ports, i), "port");
        bool plugged = false;
        for (size_t j = 0; j < station->plug_count && !plugged; j++)
            plugged = !strcmp(station->plugs[j].adapter, id);
        if (!plugged)
            station_ask(station, "remove", json_pack("{s:s}", "port", id), NULL, 0, &error);
    }
    json_decref(arguments);
    json_decref(result);
}

static void station_adopt(struct switchboard *board, const char *directory, const char *id)
{
    struct network_switch network;
    struct peer_end end;
    struct error error;
    if (!switch_find(board, id, &network)) {
        if (peer_end_orphan(directory))
            log_write(LOG_WARNING, "orphan-ended", "id", id, NULL);
        power_runtime_remove(directory);
        return;
    }
    struct station *station = station_add(board, &network);
    const enum peer_found found = peer_adopt(&station_type, station, directory, &station->peer, &end);
    struct uplink_plan plan;
    if (found == PEER_RUNNING && uplink_plan(board->service, &network, &plan, &error) == 0) {
        json_t *status = peer_greeting(station->peer);
        station->uplink = json_incref(json_object_get(status, "uplink"));
        station->network = json_is_true(json_object_get(status, "network"));
        json_decref(status);
        if (station_uplink(station, &network, &plan, &error) < 0)
            switchboard_mend(board); // which says why, if it cannot either
        uplink_plan_free(&plan);
    } else if (station->peer) {
        peer_kill(station->peer); // it does not answer: the next one will
        station_forget(board, station);
    } else {
        station_forget(board, station);
    }
    network_switch_free(&network);
}

struct switch_ids {
    char (*ids)[RECORD_GUID];
    size_t count;
};

static void switch_id(void *context, const struct network_switch *network)
{
    struct switch_ids *list = context;
    list->ids = value_reallocate(list->ids, (list->count + 1) * sizeof *list->ids);
    snprintf(list->ids[list->count++], RECORD_GUID, "%s", network->id);
}

// Those whose processes run without a VM, too.
static void switches_update(struct switchboard *board)
{
    struct switch_ids list = {0};
    network_switches(board->service, switch_id, &list, NULL);
    for (size_t i = 0; i < list.count; i++) {
        struct error error;
        if (switch_update(board, list.ids[i], &error) < 0)
            log_write(LOG_ERROR, "switch-not-started", "id", list.ids[i], "reason", error.text, NULL);
    }
    free(list.ids);
}

void switchboard_adopt(struct switchboard *board)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, mend_thread, board) == 0)
        pthread_detach(thread);
    pthread_mutex_lock(&board->lock);
    char *root = value_text("%s/switch", service_runtime_directory(board->service));
    DIR *directory = opendir(root);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        if (entry->d_name[0] == '.')
            continue;
        char *path = value_text("%s/%s", root, entry->d_name);
        station_adopt(board, path, entry->d_name);
        free(path);
    }
    if (directory)
        closedir(directory);
    free(root);
    if (!vms_update(board))
        switchboard_mend(board);
    switches_update(board);
    for (size_t i = board->count; i--;) {
        station_sweep(board->stations[i]);
        station_rest(board, board->stations[i]);
    }
    pthread_mutex_unlock(&board->lock);
}

// --- Asking ----------------------------------------------------------------------------------------------------------

struct json_t *switchboard_ask(struct switchboard *board, const char *adapter, const char *command,
                               const struct json_t *arguments, const int *fds, unsigned fd_count, struct error *error)
{
    struct station *station;
    pthread_mutex_lock(&board->lock);
    const bool plugged = plug_find(board, adapter, &station) && station->peer;
    json_t *result = NULL;
    if (plugged)
        result = peer_command_with(station->peer, command, arguments, fds, fd_count, ASK_MS, error);
    else
        error_set(error, "it is not connected to a switch, or its virtual machine does not run");
    pthread_mutex_unlock(&board->lock);
    return result;
}

void switchboard_ask_all(struct switchboard *board, const char *command,
                         void (*each)(void *context, const struct json_t *answer), void *context)
{
    pthread_mutex_lock(&board->lock);
    for (size_t i = 0; i < board->count; i++) {
        struct error error;
        struct peer *peer = board->stations[i]->peer;
        json_t *answer = peer ? peer_command(peer, command, NULL, ASK_MS, &error) : NULL;
        if (answer)
            each(context, answer);
        json_decref(answer);
    }
    pthread_mutex_unlock(&board->lock);
}

// --- Counters --------------------------------------------------------------------------------------------------------

static_assert(CONTROL_DROPS == 9, "all have a name");

const char *switchboard_drop_reason(unsigned index)
{
    static const char *const reasons[CONTROL_DROPS] = {"Malformed", "Spoofed", "Vlan", "DhcpGuard", "RouterGuard",
                                                       "Acl", "StormLimit", "Bandwidth", "NoRoom"};
    return reasons[index];
}

// With the lock held.
static void station_count(struct station *station)
{
    bool more = true;
    station->counted = vm_clock();
    station->counter_count = 0;
    while (more && station->peer && station->counter_count <= COUNTERS_MOST) {
        struct error error;
        json_t *arguments = json_pack("{s:I}", "first", (json_int_t)station->counter_count);
        json_t *result = peer_command(station->peer, "counters", arguments, ASK_MS, &error);
        const json_t *ports = json_object_get(result, "ports");
        const size_t count = json_array_size(ports);
        station->counters = value_reallocate(station->counters, (station->counter_count + count + 1) *
                                                                    sizeof *station->counters);
        for (size_t i = 0; i < count; i++)
            if (control_counters_read(&station->counters[station->counter_count], json_array_get(ports, i), NULL) == 0)
                station->counter_count++;
        more = count && json_is_true(json_object_get(result, "more"));
        json_decref(arguments);
        json_decref(result);
    }
}

bool switchboard_counters(struct switchboard *board, const char *adapter, struct control_counters *counters)
{
    struct station *station;
    bool found = false;
    pthread_mutex_lock(&board->lock);
    if (plug_find(board, adapter, &station)) {
        if (vm_clock() - station->counted > FRESH_MS * 1000000ull)
            station_count(station);
        for (size_t i = 0; i < station->counter_count && !found; i++)
            if (!strcmp(station->counters[i].id, adapter)) {
                *counters = station->counters[i];
                found = true;
            }
    }
    pthread_mutex_unlock(&board->lock);
    return found;
}

json_t *switchboard_question(struct switchboard *board, const char *id, const char *question)
{
    struct error error;
    pthread_mutex_lock(&board->lock);
    const struct station *station = station_find(board, id);
    json_t *answer = station && station->peer ? peer_command(station->peer, question, NULL, ASK_MS, &error) : NULL;
    pthread_mutex_unlock(&board->lock);
    return answer;
}

// --- The board -------------------------------------------------------------------------------------------------------

struct switchboard *switchboard_create(struct service *service)
{
    struct switchboard *board = value_allocate(sizeof *board);
    *board = (struct switchboard){.service = service};
    pthread_mutex_init(&board->lock, NULL);
    pthread_mutex_init(&board->mend_lock, NULL);
    pthread_cond_init(&board->mend, NULL);
    return board;
}

// Peers' threads may come by later, as long as the process lives: the board stays for them.
void switchboard_destroy(struct switchboard *board)
{
    if (!board)
        return;
    pthread_mutex_lock(&board->lock);
    board->closed = true;
    while (board->count)
        station_forget(board, board->stations[0]);
    free(board->stations);
    board->stations = NULL;
    pthread_mutex_unlock(&board->lock);
    switchboard_mend(board); // its thread finds that it is over
}
