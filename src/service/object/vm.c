// Virtual machines: looking at them, making, configuring, renaming, removing them. What moves them from state to state
// is in vm_power.c.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/place.h"
#include "service/export.h"
#include "service/object/object.h"
#include "service/power.h"
#include "service/version.h"
#include "service/vhd.h"

enum { NAME_BYTES = 100 };

// --- A VM as an object -----------------------------------------------------------------------------------------------
static const char *vm_extension(const struct control_status *status)
{
    const char *extension = status->nested_extension;
    return !strcmp(extension, "vmx") ? "VT-x" : !strcmp(extension, "svm") ? "AMD-V" : "None";
}

static struct value *vm_status_words(const struct vm_view *view)
{
    switch (view->state) {
    case VM_STATE_STARTING:
        return value_string("Starting");
    case VM_STATE_SAVING:
        return value_string("Saving");
    case VM_STATE_STOPPING:
        return value_string("Stopping");
    case VM_STATE_RUNNING_CRITICAL:
    case VM_STATE_PAUSED_CRITICAL:
        return value_string("Its worker process does not answer");
    default:
        if (view->record.last_words)
            return value_format("It ended: %s", view->record.last_words);
        return value_string("Operating normally");
    }
}

static struct value *vm_operational(const struct vm_view *view)
{
    const bool good = view->state != VM_STATE_RUNNING_CRITICAL && view->state != VM_STATE_PAUSED_CRITICAL;
    struct value *list = value_array();
    value_add(list, value_string(good ? "Ok" : "Degraded"));
    return list;
}

static const char *vm_heartbeat(const struct vm_view *view)
{
    if (!view->has_status || !view->record.service_heartbeat)
        return "";
    switch (view->status.heartbeat) {
    case CONTROL_HEARTBEAT_OK:
        return "OkApplicationsUnknown";
    case CONTROL_HEARTBEAT_LOST:
        return "LostCommunication";
    default:
        return "NoContact";
    }
}

static void vm_put_settings(struct value *object, const struct vm_record *record)
{
    value_put(object, "ProcessorCount", value_int(record->processor_count));
    value_put(object, "MemoryStartup", value_int(record->memory_startup));
    value_put(object, "MemoryMinimum", value_int(record->memory_minimum));
    value_put(object, "MemoryMaximum", value_int(record->memory_maximum));
    value_put(object, "DynamicMemoryEnabled", value_bool(record->memory_dynamic));
    value_put(object, "AutomaticStartAction", object_text(record->start_action));
    value_put(object, "AutomaticStartDelay", value_int(record->start_delay));
    value_put(object, "AutomaticStopAction", object_text(record->stop_action));
    value_put(object, "AutomaticCriticalErrorAction", value_string("None"));
    value_put(object, "AutomaticCriticalErrorActionTimeout", value_int(record->critical_error_timeout));
    value_put(object, "CheckpointType", object_text(record->checkpoint_type));
    value_put(object, "AutomaticCheckpointsEnabled", value_bool(record->automatic_checkpoints));
    value_put(object, "ParentCheckpointId", value_null());
    value_put(object, "Notes", object_text(record->notes));
    value_put(object, "Path", object_text(record->path));
    value_put(object, "CreationTime", value_datetime(record->created));
}

struct value *object_of_vm(struct service *service, const struct vm_view *view)
{
    const struct vm_record *record = &view->record;
    const struct control_status none = {0}, *status = view->has_status ? &view->status : &none;
    const bool low = status->memory_demand > status->memory_assigned;
    struct value *object = value_object("VirtualMachine");
    value_put(object, "Name", object_text(record->name));
    value_put(object, "State", value_string(vm_state_name(view->state)));
    value_put(object, "CPUUsage", value_int(view->cpu_usage));
    value_put(object, "MemoryAssigned", value_int((s64)status->memory_assigned));
    value_put(object, "MemoryDemand", value_int((s64)status->memory_demand));
    value_put(object, "MemoryStatus", value_string(!status->memory_demand ? "" : low ? "Low" : "OK"));
    value_put(object, "Uptime", value_timespan((s64)(status->uptime_ns / 100)));
    value_put(object, "Status", vm_status_words(view));
    value_put(object, "ReplicationState", value_string("Disabled"));
    value_put(object, "Generation", value_int(record->generation));
    value_put(object, "Version", object_text(record->version));
    value_put(object, "Heartbeat", value_string(vm_heartbeat(view)));
    value_put(object, "VMName", object_text(record->name));
    value_put(object, "VMId", object_text(record->id));
    value_put(object, "Id", object_text(record->id));
    value_put(object, "ComputerName", value_string(service_host_name(service)));
    value_put(object, "OperationalStatus", vm_operational(view));
    value_put(object, "ConfigurationLocation", object_text(record->path));
    vm_put_settings(object, record);
    value_put(object, "HypervisorRunning", value_bool(status->nested_running));
    value_put(object, "VirtualizationExtension", value_string(vm_extension(status)));
    value_put(object, "NestedGuestsLaunched", value_int((s64)status->nested_launched));
    value_put(object, "IsDeleted", value_bool(view->deleted));
    return object;
}

static void vm_put(struct call *call, struct vm *vm)
{
    struct vm_view view;
    vm_look(vm, &view);
    call_put(call, object_of_vm(call->service, &view));
    vm_view_free(&view);
}

static void get_vm(struct call *call)
{
    struct vm_list list;
    call_vms(call, &list);
    for (size_t i = 0; i < list.count; i++)
        vm_put(call, list.items[i]);
    vm_list_free(&list);
}

// --- New-VM ----------------------------------------------------------------------------------------------------------
static bool name_good(struct call *call, const char *name)
{
    if (name[0] && strlen(name) <= NAME_BYTES && !strpbrk(name, "\n\r\t"))
        return true;
    call_error(call, CATEGORY_INVALID_ARGUMENT, "InvalidParameter", name,
               "A virtual machine's name has 1 to %d characters and none that ends a line.", NAME_BYTES);
    return false;
}

static const char *new_version(struct call *call)
{
    const char *version = call_switch(call, "Experimental") ? VERSION_EXPERIMENTAL
                        : call_switch(call, "Prerelease")   ? VERSION_PRERELEASE
                                                            : call_string(call, "Version", VERSION_DEFAULT);
    if (version_supported(version) || !strcmp(version, VERSION_PRERELEASE) || !strcmp(version, VERSION_EXPERIMENTAL))
        return version;
    call_error(call, CATEGORY_INVALID_ARGUMENT, "InvalidParameter", version,
               "The configuration version '%s' is not one of this host's. Get-VMHostSupportedVersion lists them.",
               version);
    return NULL;
}

static bool new_boot_device_good(struct call *call, s64 generation)
{
    static const char *const old[] = {"Floppy", "IDE", "LegacyNetworkAdapter"};
    const char *device = call_string(call, "BootDevice", "VHD");
    for (size_t i = 0; i < ARRAY_SIZE(old) && generation == 2; i++)
        if (!strcmp(device, old[i])) {
            call_error(call, CATEGORY_INVALID_ARGUMENT, "InvalidParameter", device,
                       "A virtual machine of generation 2 cannot boot from %s. Use -Generation 1, or another "
                       "-BootDevice.", device);
            return false;
        }
    return true;
}

// A disk's name without a folder goes to the host's folder of disks: the shell made it absolute against its own.
static char *new_disk_path(struct call *call, const char *path)
{
    const char *directory = call->request->directory;
    const size_t length = directory ? strlen(directory) : 0;
    struct host_record host;
    struct error error;
    char *result = NULL;
    const bool bare = length && !strncmp(path, directory, length) && path[length] == '/' &&
                      !strchr(path + length + 1, '/') && access(path, F_OK) < 0;
    service_host(call->service, &host);
    if (bare && place_make(host.disk_path, &error) == 0)
        result = value_text("%s/%s", host.disk_path, path + length + 1);
    record_host_free(&host);
    return result ? result : value_text_copy(path);
}

// The path of the disk the VM gets, made if it is to be; `made` says so. False: told.
static bool new_disk(struct call *call, char **path, bool *made)
{
    struct error error;
    struct vhd_info info;
    if (call_has(call, "NewVHDPath")) {
        *path = new_disk_path(call, call_string(call, "NewVHDPath", ""));
        const bool raw = vhd_format(*path) == VHD_RAW;
        const struct vhd_new new = {.size = (u64)call_int(call, "NewVHDSizeBytes", 0),
                                    .type = raw ? VHD_FIXED : VHD_DYNAMIC};
        *made = vhd_create(*path, &new, &error) == 0;
        if (!*made)
            call_error(call, CATEGORY_WRITE_ERROR, "OperationFailed", *path,
                       "Failed to create the virtual hard disk.\n%s.", error.text);
        return *made;
    }
    if (!call_has(call, "VHDPath"))
        return true;
    *path = value_text_copy(call_string(call, "VHDPath", ""));
    if (vhd_read(&info, *path, &error) == 0)
        return true;
    call_error(call, CATEGORY_OBJECT_NOT_FOUND, "InvalidParameter", *path, "The virtual hard disk cannot be used.\n%s.",
               error.text);
    return false;
}

static void new_fill(struct call *call, struct vm_record *record, const char *version, const char *disk)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    record_vm_defaults(record);
    record->id = value_allocate(RECORD_GUID);
    record_guid(record->id);
    record_text_set(&record->name, call_string(call, "Name", "New virtual machine"));
    record_text_set(&record->version, version);
    record->created = (s64)now.tv_sec * VALUE_TICKS_SECOND + now.tv_nsec / 100;
    record->generation = call_int(call, "Generation", 2);
    call_take_int(call, "MemoryStartupBytes", &record->memory_startup);
    if (record->memory_minimum > record->memory_startup)
        record->memory_minimum = record->memory_startup;
    if (record->memory_maximum < record->memory_startup)
        record->memory_maximum = record->memory_startup;
    record_text_set(&record->boot_order, call_string(call, "BootDevice", NULL));
    struct host_record host;
    service_host(call->service, &host);
    record_text_set(&record->path, call_string(call, "Path", host.machine_path));
    record_host_free(&host);
    if (disk) {
        struct vm_drive *drive = record_drive_add(record);
        record_text_set(&drive->controller_type, record->generation == 1 ? "IDE" : "SCSI");
        record_text_set(&drive->path, disk);
    }
    struct vm_adapter *adapter = record_adapter_add(record);
    record_text_set(&adapter->name, "Network Adapter");
    record_text_set(&adapter->switch_name, call_string(call, "SwitchName", NULL));
}

static void new_vm(struct call *call)
{
    const char *name = call_string(call, "Name", "New virtual machine");
    const char *version = new_version(call);
    if (!version || !name_good(call, name) || !new_boot_device_good(call, call_int(call, "Generation", 2)) ||
        !call_should(call, "New-VM", name))
        return;
    if (call_int(call, "MemoryStartupBytes", 0) % (s64)MIB(2)) {
        call_error(call, CATEGORY_INVALID_ARGUMENT, "InvalidParameter", name,
                   "Failed to modify device 'Memory'.\nThe amount of memory must be a multiple of 2 MB.");
        return;
    }
    char *disk = NULL;
    bool made = false;
    if (new_disk(call, &disk, &made)) {
        struct vm_record record = {0};
        struct error error;
        new_fill(call, &record, version, disk);
        struct vm *vm = service_vm_add(call->service, &record, &error);
        if (vm) {
            vm_put(call, vm);
        } else {
            call_error(call, CATEGORY_WRITE_ERROR, "OperationFailed", name, "The virtual machine was not made.\n%s.",
                       error.text);
            if (made)
                unlink(disk);
        }
        vm_unref(vm);
        record_vm_free(&record);
    }
    free(disk);
}

// --- Set-VM, Rename-VM -----------------------------------------------------------------------------------------------
// What may only be changed while there is no guest that has seen it.
static bool set_needs_off(const struct call *call)
{
    static const char *const names[] = {"ProcessorCount", "DynamicMemory", "StaticMemory", "MemoryStartupBytes",
                                        "MemoryMinimumBytes", "MemoryMaximumBytes"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (call_has(call, names[i]))
            return true;
    return false;
}

static bool set_wants_pause(const struct call *call)
{
    return call_has(call, "AutomaticCriticalErrorActionTimeout") ||
           strcasecmp(call_string(call, "AutomaticCriticalErrorAction", "None"), "None");
}

static const char *set_device(const struct call *call)
{
    return call_has(call, "ProcessorCount") ? "Processor" : "Memory";
}

// NULL: the memory settings go together.
static const char *memory_wrong(const struct vm_record *draft)
{
    if (draft->memory_startup % (s64)MIB(2) || draft->memory_minimum % (s64)MIB(2) ||
        draft->memory_maximum % (s64)MIB(2))
        return "The amount of memory must be a multiple of 2 MB.";
    if (draft->memory_dynamic && draft->memory_minimum > draft->memory_startup)
        return "The minimum amount of memory must not be above the startup amount.";
    if (draft->memory_dynamic && draft->memory_maximum < draft->memory_startup)
        return "The maximum amount of memory must not be below the startup amount.";
    return NULL;
}

static void set_take(struct call *call, struct vm_record *draft)
{
    call_take_int(call, "ProcessorCount", &draft->processor_count);
    call_take_int(call, "MemoryStartupBytes", &draft->memory_startup);
    call_take_int(call, "MemoryMinimumBytes", &draft->memory_minimum);
    call_take_int(call, "MemoryMaximumBytes", &draft->memory_maximum);
    draft->memory_dynamic = (draft->memory_dynamic || call_switch(call, "DynamicMemory")) &&
                            !call_switch(call, "StaticMemory");
    call_take_text(call, "AutomaticStartAction", &draft->start_action);
    call_take_int(call, "AutomaticStartDelay", &draft->start_delay);
    call_take_text(call, "AutomaticStopAction", &draft->stop_action);
    call_take_text(call, "CheckpointType", &draft->checkpoint_type);
    call_take_bool(call, "AutomaticCheckpointsEnabled", &draft->automatic_checkpoints);
    call_take_text(call, "Notes", &draft->notes);
    call_take_text(call, "NewVMName", &draft->name);
}

static void set_one(struct call *call, struct vm *vm)
{
    struct vm_record *draft = call_change(call, vm, call->request->cmdlet->name);
    if (!draft)
        return;
    const enum vm_state state = vm_state(vm);
    if (set_needs_off(call) && !vm_state_allows(state, VM_ACTION_CONFIGURE)) {
        call_refuse(call, draft, set_device(call), REFUSE_STATE,
                    "The operation cannot be performed while the virtual machine is in its current state (%s). Turn it "
                    "off first: Stop-VM.", vm_state_name(state));
        call_cancel(call, vm, draft);
        return;
    }
    if (set_wants_pause(call)) {
        call_refuse(call, draft, NULL, REFUSE_UNSUPPORTED,
                    "A virtual machine whose disk cannot be written is not paused here: its guest gets the error. "
                    "-AutomaticCriticalErrorAction None says so.");
        call_cancel(call, vm, draft);
        return;
    }
    set_take(call, draft);
    const char *wrong = set_needs_off(call) ? memory_wrong(draft) : NULL;
    if (wrong) {
        call_refuse(call, draft, "Memory", REFUSE_VALUE, "%s", wrong);
        call_cancel(call, vm, draft);
        return;
    }
    if (call_commit(call, vm, draft) && call_switch(call, "Passthru"))
        vm_put(call, vm);
}

static void set_vm(struct call *call)
{
    struct vm_list list;
    if (call_has(call, "NewVMName") && !name_good(call, call_string(call, "NewVMName", "")))
        return;
    call_vms(call, &list);
    for (size_t i = 0; i < list.count; i++)
        set_one(call, list.items[i]);
    vm_list_free(&list);
}

static void rename_vm(struct call *call)
{
    struct vm_list list;
    const char *name = call_string(call, "NewName", "");
    if (!name_good(call, name))
        return;
    call_vms(call, &list);
    for (size_t i = 0; i < list.count; i++) {
        struct vm_record *draft = call_change(call, list.items[i], "Rename-VM");
        if (!draft)
            continue;
        record_text_set(&draft->name, name);
        if (call_commit(call, list.items[i], draft) && call_switch(call, "Passthru"))
            vm_put(call, list.items[i]);
    }
    vm_list_free(&list);
}

// --- Remove-VM -------------------------------------------------------------------------------------------------------
static void remove_one(struct call *call, struct vm *vm)
{
    struct vm_record *draft = call_change(call, vm, "Remove-VM");
    if (!draft)
        return;
    if (!vm_state_allows(vm_state(vm), VM_ACTION_REMOVE)) {
        vm_change_cancel(vm, draft);
        struct vm_view view;
        vm_look(vm, &view);
        call_wrong_state(call, &view, "be removed");
        vm_view_free(&view);
        return;
    }
    // A saved state goes first: killed in between, the VM is off, and not without the state it claims to have.
    struct error error;
    if (vm_state_allows(vm_state(vm), VM_ACTION_DISCARD) && power_turn_off(vm, draft, &error) < 0) {
        call_failed(call, draft, "be removed", CATEGORY_WRITE_ERROR, "OperationFailed", "%s.", error.text);
        vm_change_cancel(vm, draft);
        return;
    }
    power_saved_sweep(call->service, draft); // what a service that was killed had no time to remove
    char *log = value_text("%s/machines/%s.console.log", service_state_directory(call->service), draft->id);
    char *name = value_text_copy(draft->name);
    unlink(log);
    export_sweep(draft, false);
    if (service_vm_remove(call->service, vm, draft, &error) < 0)
        call_error(call, CATEGORY_WRITE_ERROR, "OperationFailed", name, "'%s' failed to be removed.\n%s.", name,
                   error.text);
    free(name);
    free(log);
}

static void remove_vm(struct call *call)
{
    struct vm_list list;
    call_vms(call, &list);
    for (size_t i = 0; i < list.count; i++)
        remove_one(call, list.items[i]);
    vm_list_free(&list);
}

const struct handler object_vm[] = {
    {"Get-VM", get_vm},       {"New-VM", new_vm},       {"Set-VM", set_vm},
    {"Rename-VM", rename_vm}, {"Remove-VM", remove_vm}, {0},
};
