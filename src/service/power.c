// See power.h. The order of what is written is what makes it safe to be killed at any point:
//   start  the record says Running before there is a worker; a service that comes back finds the worker's lock taken,
//          or not, and knows. A saved state is named in the record until the guest runs, and removed after that.
//   save   the worker's last words say that the file is whole; the record follows, or the next service reads them.
#include "service/power.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/place.h"
#include "cmdlet/value.h"
#include "service/log.h"
#include "service/nesting.h"
#include "service/network.h"
#include "service/service.h"
#include "service/supervise.h"
#include "service/switchboard.h"
#include "service/vhd.h"
#include "service/vm_room.h"

enum { COMMAND_MS = 10000, PLUG_MS = 2000, SAVE_MS = 10 * 60 * 1000, END_MS = 10000, PRESS_MS = 2000,
       STOP_GRACE_MS = 60 * 1000 };

static int power_allowed(struct vm *vm, enum vm_action action, const char *verb, struct error *error)
{
    const enum vm_state state = vm_state(vm);
    if (vm_state_allows(state, action))
        return 0;
    return error_set(error, "it cannot %s while it is in the state %s", verb, vm_state_name(state));
}

static int power_command(struct vm *vm, const char *command, const json_t *arguments, unsigned milliseconds,
                         struct error *error)
{
    struct peer *worker = vm_worker(vm);
    json_t *result = worker ? peer_command(worker, command, arguments, milliseconds, error) : NULL;
    if (!worker)
        error_set(error, "its worker process has ended");
    peer_unref(worker);
    json_decref(result);
    return result ? 0 : -1;
}

// --- Files -----------------------------------------------------------------------------------------------------------
// A folder of the VM's own, because its worker may write to it, and to no other.
static char *saved_folder(struct service *service, const struct vm_record *record)
{
    return value_text("%s/machines/%s", record->path ? record->path : service_state_directory(service), record->id);
}

// It becomes the worker's user's once there was one (jail.c); what is above it is the service's alone.
static int saved_folder_make(const char *folder, const struct vm_record *record, struct error *error)
{
    struct stat status;
    char *above = value_text("%.*s", (int)(strrchr(folder, '/') - folder), folder);
    const int made = place_make(above, error);
    free(above);
    if (made < 0)
        return -1;
    if (mkdir(folder, 0700) < 0 && errno != EEXIST)
        return error_set(error, "folder '%s': %s", folder, strerror(errno));
    if (lstat(folder, &status) < 0 || !S_ISDIR(status.st_mode))
        return error_set(error, "'%s' is no folder", folder);
    if (status.st_uid == geteuid() || (record->user && status.st_uid == (uid_t)record->user) ||
        chown(folder, geteuid(), (gid_t)-1) == 0)
        return 0;
    return error_set(error, "folder '%s' belongs to another user (%u)", folder, (unsigned)status.st_uid);
}

static char *saved_path(struct service *service, const struct vm_record *record)
{
    char *folder = saved_folder(service, record);
    char *path = value_text("%s/state.vmrs", folder);
    free(folder);
    return path;
}

void power_saved_path(struct service *service, struct vm_record *draft)
{
    char *path = saved_path(service, draft);
    record_text_set(&draft->saved_path, path);
    free(path);
}

void power_saved_sweep(struct service *service, const struct vm_record *record)
{
    char *path = saved_path(service, record), *folder = saved_folder(service, record);
    char *unfinished = value_text("%s" CONTROL_UNFINISHED, path);
    unlink(path);
    unlink(unfinished);
    rmdir(folder);
    free(unfinished);
    free(path);
    free(folder);
}

void power_started(struct vm *vm, struct vm_record *draft)
{
    if (!draft->saved_path)
        return;
    char *path = value_text_copy(draft->saved_path);
    struct error error;
    record_text_set(&draft->saved_path, NULL);
    if (vm_change_store(vm, draft, &error) < 0)
        log_write(LOG_ERROR, "not-stored", "vm", draft->name, "reason", error.text, NULL);
    else if (unlink(path) < 0 && errno != ENOENT)
        log_write(LOG_WARNING, "saved-state-left", "path", path, "reason", strerror(errno), NULL);
    free(path);
}

void power_runtime_remove(const char *path)
{
    DIR *directory = opendir(path);
    if (!directory)
        return;
    for (struct dirent *entry; (entry = readdir(directory));)
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(directory), entry->d_name, 0);
    closedir(directory);
    rmdir(path);
}

// --- Starting --------------------------------------------------------------------------------------------------------
static char *lower(const char *text)
{
    char *copy = value_text_copy(text ? text : "");
    for (char *c = copy; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    return copy;
}

static char *copied(const char *text) { return text ? value_text_copy(text) : NULL; }

int power_addresses(struct service *service, struct vm_record *draft, struct error *error)
{
    for (size_t i = 0; i < draft->adapter_count; i++) {
        char mac[13];
        if (draft->adapters[i].mac)
            continue;
        if (service_mac(service, mac, error) < 0)
            return -1;
        record_text_set(&draft->adapters[i].mac, mac);
    }
    return 0;
}

static int config_disks(struct control_config *config, const struct vm_record *record, struct error *error)
{
    for (size_t i = 0; i < record->drive_count; i++) {
        const struct vm_drive *drive = &record->drives[i];
        if (!drive->path)
            continue; // an empty DVD drive
        if (config->disk_count == CONTROL_DISKS)
            return error_set(error, "it has more than %d disks", CONTROL_DISKS);
        config->disks[config->disk_count++] =
            (struct control_disk){.path = copied(drive->path),
                                  .format = copied(vhd_format_driver(vhd_format(drive->path))),
                                  .readonly = drive->read_only || drive->dvd, .dvd = drive->dvd};
    }
    return 0;
}

// Whether there is a switch that it will be plugged into.
static bool adapter_is_plugged(struct service *service, const struct vm_adapter *adapter)
{
    struct network_switch network;
    if (!adapter->switch_name || !network_switch_find(service, adapter->switch_name, &network))
        return false;
    network_switch_free(&network);
    return true;
}

int power_adapters(struct service *service, struct control_adapter adapters[CONTROL_ADAPTERS], unsigned *count,
                   const struct vm_record *record, struct error *error)
{
    *count = 0;
    for (size_t i = 0; i < record->adapter_count; i++) {
        const struct vm_adapter *adapter = &record->adapters[i];
        if (*count == CONTROL_ADAPTERS)
            return error_set(error, "it has more than %d network adapters", CONTROL_ADAPTERS);
        if (!adapter->mac)
            continue; // not started yet
        struct control_adapter *to = &adapters[(*count)++];
        *to = (struct control_adapter){
            .id = copied(adapter->id), .place = (unsigned)adapter->place, .network = copied("wire"),
            .plugged = adapter_is_plugged(service, adapter)};
        for (int byte = 0; byte < 6; byte++) {
            const char digits[3] = {adapter->mac[2 * byte], adapter->mac[2 * byte + 1], 0};
            to->mac[byte] = (u8)strtoul(digits, NULL, 16);
        }
    }
    return 0;
}

static int power_config(struct service *service, const struct vm_record *record, struct control_config *config,
                        struct error *error)
{
    char *folder = value_text("%s/machines", service_state_directory(service));
    char *state = saved_folder(service, record);
    const int made = place_make(folder, error) < 0 || saved_folder_make(state, record, error) < 0 ? -1 : 0;
    *config = (struct control_config){
        .id = copied(record->id),
        .name = copied(record->name),
        .directory = service_vm_runtime(service, record->id),
        .console_log = value_text("%s/%s.console.log", folder, record->id),
        .state_directory = state,
        .restore = copied(record->saved_path),
        .cpus = (unsigned)record->processor_count,
        .memory_startup = (u64)record->memory_startup,
        .memory_minimum = (u64)record->memory_minimum,
        .memory_maximum = (u64)record->memory_maximum,
        .memory_buffer = (unsigned)record->memory_buffer,
        .memory_dynamic = record->memory_dynamic,
        .engine = lower(record->engine),
        .vendor = lower(record->vendor),
        .nested = record->expose_virtualization_extensions,
        .kernel = copied(record->kernel_path),
        .initrd = copied(record->initrd_path),
        .append = copied(record->kernel_command_line),
        .user = (u32)record->user,
        .com_ports = {copied(record->com1_path), copied(record->com2_path)},
    };
    free(folder);
    if (made < 0 || config_disks(config, record, error) < 0 ||
        power_adapters(service, config->adapters, &config->adapter_count, record, error) < 0)
        return -1;
    return 0;
}

// What excludes nested virtualization is said at the start, because each alone is a setting that may be had.
static int power_exclusions(struct service *service, const struct vm_record *draft, struct error *error)
{
    struct host_record host;
    service_host(service, &host);
    const bool locked = host.device_guard_lock;
    record_host_free(&host);
    return nesting_refuses_start(draft, locked, error) ? -1 : 0;
}

// The guest has only begun: it finds its adapters plugged in when it first looks.
static void power_connect(struct vm *vm, const struct vm_record *draft)
{
    struct error error;
    if (switchboard_vm(service_switchboard(vm->service), vm, &error) < 0)
        log_write(LOG_ERROR, "not-connected", "vm", draft->name, "id", vm->id, "reason", error.text, NULL);
}

int power_start(struct vm *vm, struct vm_record *draft, struct error *error)
{
    if (power_allowed(vm, VM_ACTION_START, "be started", error) < 0 ||
        power_exclusions(vm->service, draft, error) < 0 || power_addresses(vm->service, draft, error) < 0 ||
        switchboard_ready(service_switchboard(vm->service), draft, error) < 0)
        return -1;
    draft->user = service_user(vm->service, draft->user);
    const enum vm_state before = vm_state(vm);
    struct control_config config = {0};
    int result = power_config(vm->service, draft, &config, error);
    if (result == 0) {
        record_text_set(&draft->state, vm_state_name(VM_STATE_RUNNING));
        record_text_set(&draft->last_words, NULL);
        draft->was_running = false;
        draft->start_due = 0;
        result = vm_change_store(vm, draft, error);
    }
    if (result == 0) {
        struct error why;
        vm_state_set(vm, VM_STATE_STARTING);
        result = supervise_start(vm, &config, service_worker_program(vm->service), &why);
        if (result < 0) {
            struct error store;
            error_set(error, "%s", why.text);
            record_text_set(&draft->last_words, why.text);
            vm_settle(vm, draft, before == VM_STATE_OFF_CRITICAL ? VM_STATE_OFF : before, &store);
        } else {
            power_started(vm, draft);
            vm_state_set(vm, VM_STATE_RUNNING);
            power_connect(vm, draft);
        }
    }
    control_config_free(&config);
    return result;
}

// --- Ending ----------------------------------------------------------------------------------------------------------
// After the worker was told to end: it does, or it is ended.
static int power_end(struct vm *vm, unsigned milliseconds)
{
    if (vm_wait_end(vm, milliseconds, NULL, NULL, NULL))
        return 0;
    struct peer *worker = vm_worker(vm);
    if (worker)
        peer_kill(worker);
    peer_unref(worker);
    return vm_wait_end(vm, END_MS, NULL, NULL, NULL) ? 0 : -1;
}

int power_turn_off(struct vm *vm, struct vm_record *draft, struct error *error)
{
    const enum vm_state before = vm_state(vm);
    struct error store;
    if (vm_state_allows(before, VM_ACTION_DISCARD)) {
        char *path = copied(draft->saved_path);
        record_text_set(&draft->saved_path, NULL);
        record_text_set(&draft->state, vm_state_name(VM_STATE_OFF));
        const int result = vm_change_store(vm, draft, error);
        if (result == 0) {
            if (path)
                unlink(path);
            vm_state_set(vm, VM_STATE_OFF);
        }
        free(path);
        return result;
    }
    if (power_allowed(vm, VM_ACTION_TURN_OFF, "be turned off", error) < 0)
        return -1;
    vm_state_set(vm, vm_state_during(before, VM_ACTION_TURN_OFF));
    power_command(vm, "end", NULL, PLUG_MS, NULL); // one that does not listen is killed below
    if (power_end(vm, PLUG_MS) < 0) {
        vm_state_set(vm, VM_STATE_RUNNING_CRITICAL);
        return error_set(error, "its worker process cannot be ended: it is stuck in the kernel");
    }
    record_text_set(&draft->last_words, NULL);
    vm_settle(vm, draft, VM_STATE_OFF, &store);
    return 0;
}

int power_save(struct vm *vm, struct vm_record *draft, struct error *error)
{
    const enum vm_state before = vm_state(vm);
    if (power_allowed(vm, VM_ACTION_SAVE, "be saved", error) < 0)
        return -1;
    power_saved_path(vm->service, draft);
    char *folder = value_text_copy(draft->saved_path);
    *strrchr(folder, '/') = 0;
    int result = saved_folder_make(folder, draft, error);
    free(folder);
    if (result == 0) {
        vm_state_set(vm, VM_STATE_SAVING);
        json_t *arguments = json_pack("{s:s}", "path", draft->saved_path);
        result = power_command(vm, "save", arguments, SAVE_MS, error);
        json_decref(arguments);
    }
    struct peer_end end = {0};
    const bool ended = vm_wait_end(vm, result == 0 ? END_MS : 0, NULL, NULL, &end);
    if (ended && end.known && end.ending == CONTROL_ENDED_SAVED) {
        struct error store;
        record_text_set(&draft->last_words, NULL);
        vm_settle(vm, draft, VM_STATE_SAVED, &store);
        return 0;
    }
    record_text_set(&draft->saved_path, NULL);
    if (ended) { // in some other way
        char words[600];
        struct error store;
        const enum vm_state state = vm_state_of_end(&end, words, sizeof words);
        record_text_set(&draft->last_words, words[0] ? words : NULL);
        vm_settle(vm, draft, state, &store);
        return error_set(error, "it ended while it was being saved%s%s", words[0] ? ": " : "", words);
    }
    vm_state_set(vm, before);
    return result < 0 ? -1 : error_set(error, "its worker process did not end after it was saved");
}

// --- Pausing ---------------------------------------------------------------------------------------------------------
static int power_change(struct vm *vm, struct vm_record *draft, enum vm_action action, const char *command,
                        const char *verb, struct error *error)
{
    const enum vm_state before = vm_state(vm);
    if (power_allowed(vm, action, verb, error) < 0)
        return -1;
    vm_state_set(vm, vm_state_during(before, action));
    if (power_command(vm, command, NULL, COMMAND_MS, error) < 0) {
        vm_state_set(vm, before); // if it is gone, its thread says so next
        return -1;
    }
    struct error store; // that it is not stored is in the log: the VM does what was asked
    vm_settle(vm, draft, vm_state_after(before, action), &store);
    return 0;
}

int power_pause(struct vm *vm, struct vm_record *draft, struct error *error)
{
    return power_change(vm, draft, VM_ACTION_PAUSE, "pause", "be paused", error);
}

int power_resume(struct vm *vm, struct vm_record *draft, struct error *error)
{
    return power_change(vm, draft, VM_ACTION_RESUME, "resume", "be resumed", error);
}

int power_reset(struct vm *vm, struct vm_record *draft, struct error *error)
{
    return power_change(vm, draft, VM_ACTION_RESET, "reset", "be restarted", error);
}

// --- Shutting down ---------------------------------------------------------------------------------------------------
// `button`: no agent was there to be asked, so the power button was pressed.
static int shut_down_command(struct vm *vm, unsigned milliseconds, bool *button, struct error *error)
{
    struct peer *worker = vm_worker(vm);
    json_t *arguments = json_pack("{s:I}", "wait_ms", (json_int_t)milliseconds);
    json_t *result = worker ? peer_command(worker, "shutdown", arguments, COMMAND_MS, error) : NULL;
    const char *by = result ? json_string_value(json_object_get(result, "by")) : NULL;
    if (!worker)
        error_set(error, "its worker process has ended");
    *button = by && !strcmp(by, "power-button");
    const int done = result ? 0 : -1;
    peer_unref(worker);
    json_decref(arguments);
    json_decref(result);
    return done;
}

static int shut_down_ask(struct vm *vm, unsigned milliseconds, bool *button, struct error *error)
{
    struct vm_record *draft = vm_change_begin(vm);
    if (!draft)
        return error_set(error, "it was removed");
    int result = power_allowed(vm, VM_ACTION_SHUT_DOWN, "be shut down", error);
    if (result == 0) {
        result = shut_down_command(vm, milliseconds, button, error);
        if (result == 0 && !vm_wait_end(vm, 0, NULL, NULL, NULL))
            vm_state_set(vm, VM_STATE_STOPPING);
    }
    vm_change_cancel(vm, draft);
    return result;
}

// A guest that has just been started does not see its power button yet, nor keep what it missed: it is pressed again.
static bool shut_down_wait(struct vm *vm, unsigned milliseconds, bool button, bool (*gone)(void *context),
                           void *context, struct peer_end *end)
{
    const u64 deadline = vm_clock() + milliseconds * 1000000ull;
    struct error ignored;
    for (u64 now = vm_clock(); now < deadline && !(gone && gone(context)); now = vm_clock()) {
        const u64 left = (deadline - now) / 1000000 + 1;
        if (vm_wait_end(vm, button && left > PRESS_MS ? PRESS_MS : (unsigned)left, gone, context, end))
            return true;
        if (button)
            shut_down_command(vm, milliseconds, &button, &ignored);
    }
    return vm_wait_end(vm, 0, NULL, NULL, end);
}

int power_shut_down(struct vm *vm, bool force, unsigned milliseconds, bool (*gone)(void *context), void *context,
                    struct error *error)
{
    bool button = false;
    if (shut_down_ask(vm, milliseconds, &button, error) == 0) {
        struct peer_end end;
        if (shut_down_wait(vm, milliseconds, button, gone, context, &end)) {
            struct vm_record *draft = vm_change_begin(vm);
            if (draft) {
                vm_settle_ended(vm, draft, &end); // its thread may not have come to it
                vm_change_cancel(vm, draft);
            }
            return 0;
        }
        error_set(error, "its guest did not end within %u seconds; -TurnOff pulls the plug", milliseconds / 1000);
    } else if (!force) {
        return -1;
    }
    struct vm_record *draft = vm_change_begin(vm);
    if (!draft)
        return 0;
    int result = -1;
    if (force && !vm_state_is_off(vm_state(vm)))
        result = power_turn_off(vm, draft, error);
    else if (vm_state(vm) == VM_STATE_STOPPING)
        vm_state_set(vm, VM_STATE_RUNNING);
    vm_change_cancel(vm, draft);
    return result;
}

// --- Automatic actions -----------------------------------------------------------------------------------------------
static s64 boot_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return now.tv_sec;
}

// Stored before it is known that the host was started, so that a service that is killed meanwhile leaves it to the next.
int power_automatic_plan(struct vm *vm, struct error *error)
{
    struct vm_record *draft = vm_change_begin(vm);
    const bool ran = draft->was_running || vm_state_has_worker(vm_state(vm));
    const bool wanted = !strcmp(draft->start_action, "Start") || (!strcmp(draft->start_action, "StartIfRunning") && ran);
    draft->was_running = ran;
    draft->start_due = wanted ? boot_seconds() + draft->start_delay : 0;
    return vm_change_commit(vm, draft, error);
}

void power_automatic_start(struct vm *vm)
{
    struct vm_view view;
    vm_glance(vm, &view);
    const s64 due = view.record.start_due;
    vm_view_free(&view);
    for (s64 now = boot_seconds(); due && now < due; now = boot_seconds())
        sleep((unsigned)(due - now));
    struct vm_record *draft = due ? vm_change_begin(vm) : NULL;
    if (!draft)
        return;
    struct error error;
    const bool wanted = draft->start_due && strcmp(draft->start_action, "Nothing"); // nobody was faster, or against it
    int result = 0;
    if (wanted && vm_state_allows(vm_state(vm), VM_ACTION_START))
        result = power_start(vm, draft, &error);
    if (draft->start_due) {
        struct error store;
        draft->was_running = false;
        draft->start_due = 0;
        vm_change_store(vm, draft, &store);
    }
    if (result < 0)
        log_write(LOG_ERROR, "automatic-start", "vm", draft->name, "id", vm->id, "reason", error.text, NULL);
    vm_change_cancel(vm, draft);
}

void power_automatic_stop(struct vm *vm)
{
    struct error error = {0};
    struct vm_record *draft = vm_change_begin(vm);
    if (!draft)
        return;
    const bool runs = vm_state_has_worker(vm_state(vm));
    char *action = value_text_copy(draft->stop_action ? draft->stop_action : "Save");
    draft->was_running = runs || draft->start_due; // for the next start of the host
    draft->start_due = 0;
    int result = vm_change_store(vm, draft, &error);
    if (runs && !strcmp(action, "TurnOff"))
        result = power_turn_off(vm, draft, &error);
    else if (runs && !strcmp(action, "Save") && vm_state_allows(vm_state(vm), VM_ACTION_SAVE))
        result = power_save(vm, draft, &error);
    vm_change_cancel(vm, draft);
    if (runs && !strcmp(action, "ShutDown"))
        result = power_shut_down(vm, true, STOP_GRACE_MS, NULL, NULL, &error);
    if (result < 0)
        log_write(LOG_ERROR, "automatic-stop", "id", vm->id, "action", action, "reason", error.text, NULL);
    free(action);
}
