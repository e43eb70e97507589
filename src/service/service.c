// See service.h.
#include "service/service.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/place.h"
#include "cmdlet/value.h"
#include "service/event.h"
#include "service/log.h"
#include "service/network.h"
#include "service/power.h"
#include "service/store.h"
#include "service/switchboard.h"
#include "service/uplink.h"
#include "service/user.h"
#include "service/vm_room.h"

struct service {
    char *state, *runtime, *worker;
    char host_name[256];
    int lock; // of the state folder: one service at a time
    struct store *store;
    struct event_bus *events;
    struct switchboard *switchboard;
    struct uplinks *uplinks;
    bool host_started; // the host was switched on since the service last ran

    pthread_mutex_t mutex; // what follows
    struct host_record host;
    struct vm **vms;
    size_t count;
    u32 users; // given out so far
};

struct event_bus *service_events(struct service *service) { return service->events; }
struct store *service_store(struct service *service) { return service->store; }
struct switchboard *service_switchboard(struct service *service) { return service->switchboard; }
struct uplinks *service_uplinks(struct service *service) { return service->uplinks; }
const char *service_host_name(const struct service *service) { return service->host_name; }
const char *service_state_directory(const struct service *service) { return service->state; }
const char *service_runtime_directory(const struct service *service) { return service->runtime; }
const char *service_worker_program(const struct service *service) { return service->worker; }

char *service_vm_runtime(const struct service *service, const char *id)
{
    return value_text("%s/vm/%s", service->runtime, id);
}

// --- Finding things as they were left --------------------------------------------------------------------------------
// Something that changes whenever the host, or the container the service lives in, is started anew.
static void host_session(char text[static 128])
{
    char boot[64] = "", stat[512] = "";
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (file && fgets(boot, sizeof boot, file))
        boot[strcspn(boot, "\n")] = 0;
    if (file)
        fclose(file);
    file = fopen("/proc/1/stat", "re"); // readable for everybody; the 22nd word is when it was started
    if (file && !fgets(stat, sizeof stat, file))
        stat[0] = 0;
    if (file)
        fclose(file);
    const char *at = strrchr(stat, ')'); // the second word, which may contain anything, ends here
    for (int word = 2; at && word < 22; word++)
        at = strchr(at + 1, ' ');
    snprintf(text, 128, "%.60s %llu", boot, at ? strtoull(at, NULL, 10) : 0ull);
}

static int host_load(struct service *service, struct error *error)
{
    struct host_record *host = &service->host;
    char session[128];
    *host = (struct host_record){.numa_spanning = true, .maximum_storage_migrations = 2, .maximum_vm_migrations = 2};
    if (store_host_load(service->store, host, error) < 0)
        return -1;
    if (!host->mac_minimum) {
        // Hyper-V's own range: Microsoft's 00-15-5D, then two bytes of the host. They come by chance, so that the
        // guests of two hosts on one network do not meet.
        char guid[RECORD_GUID], text[16];
        record_guid(guid);
        snprintf(text, sizeof text, "00155d%.4s00", guid);
        record_text_set(&host->mac_minimum, text);
        snprintf(text, sizeof text, "00155d%.4sff", guid);
        record_text_set(&host->mac_maximum, text);
        record_text_set(&host->machine_path, service->state);
        char *disks = value_text("%s/disks", service->state);
        record_text_set(&host->disk_path, disks);
        free(disks);
        record_text_set(&host->migration_authentication, "CredSSP");
        record_text_set(&host->migration_performance, "Compression");
    }
    host_session(session);
    service->host_started = !host->session || strcmp(host->session, session);
    return 0;
}

// The host was started: that is known once it is stored which virtual machines are to be, and when.
static int host_begin(struct service *service, struct error *error)
{
    char session[128];
    if (!service->host_started)
        return 0;
    for (size_t i = 0; i < service->count; i++)
        if (power_automatic_plan(service->vms[i], error) < 0)
            return -1;
    host_session(session);
    record_text_set(&service->host.session, session);
    return store_host_save(service->store, &service->host, error);
}

// The state that is true now of a VM whose record says what was true when it was written.
static enum vm_state vm_state_found(struct service *service, struct vm *vm, char *words, size_t bytes)
{
    char *directory = service_vm_runtime(service, vm->id);
    struct control_status status;
    struct peer_end end;
    enum vm_state state = vm->state;
    const bool kept = vm->record.saved_path; // and so it never ran on from there
    words[0] = 0;
    switch (supervise_adopt(vm, directory, &status, &end)) {
    case PEER_RUNNING:
        state = status.state == CONTROL_PAUSED   ? VM_STATE_PAUSED
                : status.state == CONTROL_SAVING ? VM_STATE_SAVING
                                                 : VM_STATE_RUNNING;
        break;
    case PEER_DEAF:
        state = VM_STATE_RUNNING_CRITICAL;
        break;
    case PEER_ENDED:
        if (!vm_state_has_worker(state)) // known and stored already
            break;
        state = vm_state_of_end(&end, words, bytes);
        if (end.known && end.ending == CONTROL_ENDED_START && kept)
            state = VM_STATE_SAVED;
        break;
    case PEER_NONE:
        if (!vm_state_has_worker(state))
            break;
        state = kept ? VM_STATE_SAVED : VM_STATE_OFF;
        if (!service->host_started)
            snprintf(words, bytes, "its worker process was gone when the service was started");
        break;
    }
    free(directory);
    return state;
}

static void vm_adopt(struct service *service, struct vm *vm)
{
    char words[600];
    const enum vm_state state = vm_state_found(service, vm, words, sizeof words);
    const bool passing = state == VM_STATE_RUNNING_CRITICAL || state == VM_STATE_SAVING;
    const char *name = vm_state_name(passing ? VM_STATE_RUNNING : state);
    struct vm_record *draft = vm_change_begin(vm);
    if (vm_state_is_off(state) || state == VM_STATE_SAVED)
        vm_worker_set(vm, NULL);
    if (vm_state_has_worker(state))
        power_started(vm, draft);
    else if (state == VM_STATE_SAVED && !draft->saved_path)
        power_saved_path(vm->service, draft);
    else if (vm_state_is_off(state) && !draft->saved_path)
        power_saved_sweep(service, draft);
    if (strcmp(draft->state, name) || words[0]) {
        struct error error;
        if (words[0])
            record_text_set(&draft->last_words, words);
        log_write(LOG_INFO, "vm-found", "vm", draft->name, "id", vm->id, "was", draft->state, "is", name, "reason",
                  words[0] ? words : NULL, NULL);
        vm_settle(vm, draft, state, &error);
    } else {
        vm_state_set(vm, state);
    }
    vm_change_cancel(vm, draft);
}

// Folders of VMs that no record knows, left by a service that was killed while it removed one.
static void orphans_end(struct service *service)
{
    char *root = value_text("%s/vm", service->runtime);
    DIR *directory = opendir(root);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        if (entry->d_name[0] == '.')
            continue;
        struct vm *vm = service_vm_by_id(service, entry->d_name);
        char *path = value_text("%s/%s", root, entry->d_name);
        if (!vm && peer_end_orphan(path))
            log_write(LOG_WARNING, "orphan-ended", "id", entry->d_name, NULL);
        if (!vm)
            power_runtime_remove(path);
        vm_unref(vm);
        free(path);
    }
    if (directory)
        closedir(directory);
    free(root);
}

static void vm_loaded(void *context, struct vm_record *record)
{
    struct service *service = context;
    service->vms = value_reallocate(service->vms, (service->count + 1) * sizeof *service->vms);
    service->vms[service->count++] = vm_make(service, record);
    free(record);
}

static int service_lock(struct service *service, struct error *error)
{
    char *path = value_text("%s/lock", service->state);
    service->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int result = 0;
    if (service->lock < 0)
        result = error_set(error, "'%s': %s", path, strerror(errno));
    else if (flock(service->lock, LOCK_EX | LOCK_NB) < 0)
        result = error_set(error, "another service uses '%s' already", service->state);
    free(path);
    return result;
}

struct service *service_open(const struct service_config *config, struct error *error)
{
    struct service *service = value_allocate(sizeof *service);
    service->state = value_text_copy(config->state);
    service->runtime = value_text_copy(config->runtime);
    service->worker = value_text_copy(config->worker ? config->worker : "/proc/self/exe");
    service->lock = -1;
    service->events = event_bus_create();
    service->switchboard = switchboard_create(service);
    service->uplinks = uplinks_create();
    pthread_mutex_init(&service->mutex, NULL);
    if (gethostname(service->host_name, sizeof service->host_name - 1) < 0 || !service->host_name[0])
        snprintf(service->host_name, sizeof service->host_name, "localhost");
    char *vms = value_text("%s/vm", service->runtime), *database = value_text("%s/nidus.db", service->state);
    const bool open = place_make(service->state, error) == 0 && place_make(service->runtime, error) == 0 &&
                      place_make(vms, error) == 0 && service_lock(service, error) == 0 &&
                      (service->store = store_open(database, error)) && host_load(service, error) == 0 &&
                      store_vm_load(service->store, vm_loaded, service, error) == 0 &&
                      host_begin(service, error) == 0 && uplink_default_switch(service, error) == 0;
    free(vms);
    free(database);
    if (!open) {
        service_close(service);
        return NULL;
    }
    for (size_t i = 0; i < service->count; i++)
        vm_adopt(service, service->vms[i]);
    orphans_end(service);
    struct error reason;
    if (uplink_apply(service, &reason) < 0) // what is not in force is told again by whoever asks for it
        log_write(LOG_ERROR, "network", "reason", reason.text, NULL);
    switchboard_adopt(service->switchboard);
    return service;
}

void service_close(struct service *service)
{
    switchboard_destroy(service->switchboard);
    for (size_t i = 0; i < service->count; i++)
        vm_unref(service->vms[i]);
    free(service->vms);
    record_host_free(&service->host);
    store_close(service->store);
    event_bus_destroy(service->events);
    uplinks_destroy(service->uplinks);
    pthread_mutex_destroy(&service->mutex);
    if (service->lock >= 0)
        close(service->lock);
    free(service->state);
    free(service->runtime);
    free(service->worker);
    free(service);
}

// --- VMs -------------------------------------------------------------------------------------------------------------
static char *vm_name(struct vm *vm)
{
    pthread_mutex_lock(&vm->data);
    char *name = value_text_copy(vm->record.name);
    pthread_mutex_unlock(&vm->data);
    return name;
}

struct named {
    char *name;
    struct vm *vm;
};

static int named_compare(const void *left, const void *right)
{
    const struct named *l = left, *r = right;
    const int order = value_name_compare(l->name, r->name);
    return order ? order : strcmp(l->vm->id, r->vm->id);
}

size_t service_vms(struct service *service, struct vm ***vms)
{
    pthread_mutex_lock(&service->mutex);
    const size_t count = service->count;
    struct named *named = value_allocate((count + 1) * sizeof *named);
    for (size_t i = 0; i < count; i++)
        named[i].vm = vm_ref(service->vms[i]);
    pthread_mutex_unlock(&service->mutex);
    for (size_t i = 0; i < count; i++)
        named[i].name = vm_name(named[i].vm);
    qsort(named, count, sizeof *named, named_compare);
    *vms = value_allocate((count + 1) * sizeof **vms);
    for (size_t i = 0; i < count; i++) {
        (*vms)[i] = named[i].vm;
        free(named[i].name);
    }
    free(named);
    return count;
}

struct vm *service_vm_by_id(struct service *service, const char *id)
{
    struct vm *found = NULL;
    pthread_mutex_lock(&service->mutex);
    for (size_t i = 0; i < service->count && !found; i++)
        if (!value_name_compare(service->vms[i]->id, id))
            found = vm_ref(service->vms[i]);
    pthread_mutex_unlock(&service->mutex);
    return found;
}

struct vm *service_vm_add(struct service *service, struct vm_record *record, struct error *error)
{
    if (store_vm_save(service->store, record, error) < 0)
        return NULL;
    struct vm *vm = vm_make(service, record);
    pthread_mutex_lock(&service->mutex);
    service->vms = value_reallocate(service->vms, (service->count + 1) * sizeof *service->vms);
    service->vms[service->count++] = vm_ref(vm);
    pthread_mutex_unlock(&service->mutex);
    event_publish(service, "created", "VMId", vm->id, "VMName", vm->record.name, NULL);
    return vm;
}

int service_vm_remove(struct service *service, struct vm *vm, struct vm_record *draft, struct error *error)
{
    if (store_vm_remove(service->store, vm->id, error) < 0) {
        vm_change_cancel(vm, draft);
        return -1;
    }
    pthread_mutex_lock(&vm->data);
    vm->deleted = true;
    pthread_cond_broadcast(&vm->moved);
    pthread_mutex_unlock(&vm->data);
    pthread_mutex_lock(&service->mutex);
    for (size_t i = 0; i < service->count; i++)
        if (service->vms[i] == vm) {
            memmove(&service->vms[i], &service->vms[i + 1], (--service->count - i) * sizeof *service->vms);
            vm_unref(vm); // the caller has another one
            break;
        }
    pthread_mutex_unlock(&service->mutex);
    event_publish(service, "removed", "VMId", vm->id, "VMName", draft->name, NULL);
    char *runtime = service_vm_runtime(service, vm->id);
    power_runtime_remove(runtime);
    free(runtime);
    vm_change_cancel(vm, draft);
    return 0;
}

// --- The host --------------------------------------------------------------------------------------------------------
void service_host(struct service *service, struct host_record *host)
{
    pthread_mutex_lock(&service->mutex);
    record_host_copy(host, &service->host);
    pthread_mutex_unlock(&service->mutex);
}

int service_host_set(struct service *service, const struct host_record *host, struct error *error)
{
    pthread_mutex_lock(&service->mutex);
    const int result = store_host_save(service->store, host, error);
    if (result == 0) {
        record_host_free(&service->host);
        record_host_copy(&service->host, host);
    }
    pthread_mutex_unlock(&service->mutex);
    return result;
}

s64 service_user(struct service *service, s64 has)
{
    if (has || !user_possible())
        return user_possible() ? has : 0;
    u8 *taken = value_allocate(RECORD_USER_LAST - RECORD_USER_FIRST + 1);
    s64 user = 0;
    pthread_mutex_lock(&service->mutex);
    for (size_t i = 0; i < service->count; i++) {
        struct vm *vm = service->vms[i];
        pthread_mutex_lock(&vm->data);
        if (vm->record.user)
            taken[vm->record.user - RECORD_USER_FIRST] = 1;
        pthread_mutex_unlock(&vm->data);
    }
    // Counting on from the last one: two starts at the same time find no number twice.
    for (u32 i = 0; i <= RECORD_USER_LAST - RECORD_USER_FIRST && !user; i++) {
        const u32 at = (service->users++) % (RECORD_USER_LAST - RECORD_USER_FIRST + 1);
        user = taken[at] ? 0 : RECORD_USER_FIRST + (s64)at;
    }
    pthread_mutex_unlock(&service->mutex);
    free(taken);
    return user;
}

enum { MAC_TRIES = 1 << 16 }; // more adapters than that are not of this host

static bool mac_taken(struct service *service, const char *mac)
{
    bool taken = network_host_has_mac(service, mac);
    for (size_t i = 0; i < service->count && !taken; i++) {
        struct vm *vm = service->vms[i];
        pthread_mutex_lock(&vm->data);
        for (size_t j = 0; j < vm->record.adapter_count && !taken; j++)
            taken = vm->record.adapters[j].mac && !value_name_compare(vm->record.adapters[j].mac, mac);
        pthread_mutex_unlock(&vm->data);
    }
    return taken;
}

int service_mac(struct service *service, char mac[static 13], struct error *error)
{
    pthread_mutex_lock(&service->mutex);
    struct host_record *host = &service->host;
    const u64 least = strtoull(host->mac_minimum, NULL, 16), most = strtoull(host->mac_maximum, NULL, 16);
    const u64 room = most >= least ? most - least + 1 : 1;
    int result = -1;
    error->text[0] = 0;
    for (u64 tries = 0; tries < room && tries < MAC_TRIES; tries++) {
        snprintf(mac, 13, "%012llX", (unsigned long long)(least + (u64)host->mac_next % room) & 0xffffffffffff);
        host->mac_next = (host->mac_next + 1) % (s64)room;
        if (mac_taken(service, mac))
            continue;
        result = store_host_save(service->store, host, error);
        break;
    }
    if (result < 0 && !error->text[0])
        error_set(error, "the host's range of addresses, %s to %s, is used up: Set-VMHost -MacAddressMaximum widens it",
                  host->mac_minimum, host->mac_maximum);
    pthread_mutex_unlock(&service->mutex);
    return result;
}

// --- Automatic actions -----------------------------------------------------------------------------------------------
static void *start_thread(void *context)
{
    power_automatic_start(context);
    vm_unref(context);
    return NULL;
}

void service_start_vms(struct service *service)
{
    struct vm **vms;
    const size_t count = service_vms(service, &vms);
    for (size_t i = 0; i < count; i++) {
        struct vm_view view;
        pthread_t thread; // each has a delay of its own
        vm_glance(vms[i], &view);
        if (view.record.start_due && pthread_create(&thread, NULL, start_thread, vms[i]) == 0)
            pthread_detach(thread);
        else
            vm_unref(vms[i]);
        vm_view_free(&view);
    }
    free(vms);
}

static void *stop_thread(void *context)
{
    power_automatic_stop(context);
    vm_unref(context);
    return NULL;
}

void service_stop_vms(struct service *service)
{
    struct vm **vms;
    const size_t count = service_vms(service, &vms);
    pthread_t *threads = value_allocate((count + 1) * sizeof *threads);
    size_t started = 0;
    for (size_t i = 0; i < count; i++) // all at once: the host does not wait for long
        if (pthread_create(&threads[started], NULL, stop_thread, vms[i]) == 0)
            started++;
        else
            stop_thread(vms[i]);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    free(threads);
    free(vms);
}
