// Export-VM, Compare-VM and Import-VM. The VM's change lock is held while its files are copied: it is not started
// meanwhile.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "service/export.h"
#include "service/network.h"
#include "service/object/object.h"
#include "service/power.h"
#include "service/version.h"

enum { COMPARE_NO_SWITCH = 33012 }; // Hyper-V's number

struct watch {
    struct call *call;
    const char *activity, *name;
};

static bool watch_percent(void *context, int percent)
{
    const struct watch *watch = context;
    call_progress(watch->call, watch->activity, watch->name, percent);
    return !(watch->call->gone && watch->call->gone(watch->call->gone_context));
}

// --- Export-VM -------------------------------------------------------------------------------------------------------
static int export_files(struct call *call, const struct vm_record *record, const char *path, struct error *error)
{
    struct watch watch = {.call = call, .activity = "Exporting the virtual machine", .name = record->name};
    return export_write(record, path, &(struct export_watch){watch_percent, &watch}, error);
}

// Without what is in memory: as if its plug had been pulled.
static int export_crashed(struct call *call, const struct vm_record *record, const char *path, struct error *error)
{
    struct vm_record own;
    record_vm_copy(&own, record);
    record_text_set(&own.saved_path, NULL);
    record_text_set(&own.state, vm_state_name(VM_STATE_OFF));
    const int result = export_files(call, &own, path, error);
    record_vm_free(&own);
    return result;
}

// One that runs is saved, copied while its disks hold still, and goes on.
static int export_live(struct call *call, struct vm *vm, struct vm_record *draft, const char *path, struct error *error)
{
    const char *capture = call_string(call, "CaptureLiveState", "CaptureSavedState");
    struct error start;
    if (power_save(vm, draft, error) < 0)
        return -1;
    const int result = !strcasecmp(capture, "CaptureSavedState") ? export_files(call, draft, path, error)
                                                                 : export_crashed(call, draft, path, error);
    if (power_start(vm, draft, &start) == 0)
        return result;
    return result == 0 ? error_set(error, "It was exported, but does not go on: %s", start.text)
                       : error_set(error, "%.250s; and it does not go on: %.250s", error->text, start.text);
}

static void export_one(struct call *call, struct vm *vm, const char *path)
{
    struct vm_record *draft = call_change(call, vm, "Export-VM");
    if (!draft)
        return;
    const enum vm_state state = vm_state(vm);
    const bool still = vm_state_is_off(state) || state == VM_STATE_SAVED, live = state == VM_STATE_RUNNING;
    struct error error;
    bool done = false;
    if (!still && !live)
        call_failed(call, draft, "be exported", CATEGORY_INVALID_OPERATION, "InvalidState",
                    "It is %s: let it run (Resume-VM), or Save-VM or Stop-VM it first.", vm_state_name(state));
    else if ((live ? export_live(call, vm, draft, path, &error) : export_files(call, draft, path, &error)) < 0)
        call_failed(call, draft, "be exported", CATEGORY_WRITE_ERROR, "OperationFailed", "%s.", error.text);
    else
        done = true;
    call_cancel(call, vm, draft);
    if (done && call_switch(call, "Passthru")) {
        struct vm_view view;
        vm_look(vm, &view);
        call_put(call, object_of_vm(call->service, &view));
        vm_view_free(&view);
    }
}

static void export_vm(struct call *call)
{
    struct vm_list list;
    call_vms(call, &list);
    for (size_t i = 0; i < list.count; i++)
        export_one(call, list.items[i], call_string(call, "Path", "/"));
    vm_list_free(&list);
}

// --- What this host does not go with ---------------------------------------------------------------------------------
struct misfit {
    const char *source; // the device's name, or the VM's
    int number;         // Hyper-V's of it; 0: none
    char **lacking;     // of the record: what is left out; NULL: it cannot be imported
    const char *left;   // what it is then
    enum error_category category;
};

struct misfits {
    struct call *call;
    struct vm_record *record;
    void (*found)(void *context, const struct misfit *misfit, const char *text);
    void *context;
};

__attribute__((format(printf, 3, 4))) static void misfit(const struct misfits *misfits, struct misfit one,
                                                         const char *format, ...)
{
    va_list arguments;
    char *text = NULL;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = value_text_copy(format);
    va_end(arguments);
    misfits->found(misfits->context, &one, text);
    free(text);
}

struct switches {
    const char *wanted;
    bool found;
};

static void switch_match(void *context, const struct network_switch *network)
{
    struct switches *switches = context;
    switches->found |= !value_name_compare(network->name, switches->wanted);
}

static void misfits_identity(const struct misfits *misfits)
{
    const struct vm_record *record = misfits->record;
    struct vm *other = service_vm_by_id(misfits->call->service, record->id);
    if (strlen(record->name) > 100 || strpbrk(record->name, "\n\r\t"))
        misfit(misfits, (struct misfit){.source = record->name, .category = CATEGORY_INVALID_ARGUMENT},
               "Its name is longer than 100 characters, or has one that ends a line.");
    if (other)
        misfit(misfits, (struct misfit){.source = record->name, .category = CATEGORY_RESOURCE_EXISTS},
               "A virtual machine with the identifier %s already exists. Use -Copy and -GenerateNewId.", record->id);
    if (!version_supported(record->version))
        misfit(misfits, (struct misfit){.source = record->name, .category = CATEGORY_INVALID_ARGUMENT},
               "The configuration version '%s' is not one of this host's. Get-VMHostSupportedVersion lists them.",
               record->version);
    vm_unref(other);
}

static void misfits_devices(const struct misfits *misfits)
{
    struct vm_record *record = misfits->record;
    struct error error;
    for (size_t i = 0; i < record->adapter_count; i++) {
        struct vm_adapter *adapter = &record->adapters[i];
        struct switches switches = {.wanted = adapter->switch_name};
        if (!adapter->switch_name)
            continue;
        network_switches(misfits->call->service, switch_match, &switches, &error);
        if (!switches.found)
            misfit(misfits, (struct misfit){.source = adapter->name, .number = COMPARE_NO_SWITCH,
                                            .lacking = &adapter->switch_name,
                                            .left = "The network adapter is not connected."},
                   "Could not find Ethernet switch '%s'.", adapter->switch_name);
    }
    char **const ports[] = {&record->com1_path, &record->com2_path};
    for (size_t i = 0; i < ARRAY_SIZE(ports); i++)
        if (*ports[i])
            misfit(misfits, (struct misfit){.source = i ? "COM 2" : "COM 1", .lacking = ports[i],
                                            .left = "Set-VMComPort connects it again."},
                   "The serial port's socket '%s' is of the host it was exported from.", *ports[i]);
}

static void misfits_look(const struct misfits *misfits)
{
    misfits_identity(misfits);
    misfits_devices(misfits);
}

// What is asked for: by the parameters, or by a report that Compare-VM made of the same parameters.
struct wish {
    const char *path, *machines, *disks; // folders for the copies; NULL: the host's
    bool copy, new_id;
};

static struct wish wish_of(const struct call *call)
{
    const struct value *reports = call_value(call, "CompatibilityReport");
    const struct value *report = reports && reports->kind == VALUE_ARRAY ? value_item(reports, 0) : reports;
    if (!report)
        return (struct wish){.path = call_string(call, "Path", ""),
                             .machines = call_string(call, "VirtualMachinePath", NULL),
                             .disks = call_string(call, "VhdDestinationPath", NULL),
                             .copy = call_switch(call, "Copy"), .new_id = call_switch(call, "GenerateNewId")};
    const bool copy = value_as_bool(value_get(report, "Copy"), false);
    return (struct wish){.path = value_as_string(value_get(report, "ExportPath"), ""),
                         .machines = copy ? value_as_string(value_get(report, "Path"), NULL) : NULL,
                         .disks = value_as_string(value_get(report, "VhdDestinationPath"), NULL),
                         .copy = copy, .new_id = value_as_bool(value_get(report, "GenerateNewId"), false)};
}

// The record of what is to be imported, under the id it will have. False: the reason is told.
static bool import_read(struct call *call, const struct wish *wish, struct vm_record *record)
{
    const char *path = wish->path;
    struct error error;
    if (export_read(record, path, &error) < 0) {
        call_error(call, CATEGORY_READ_ERROR, "OperationFailed", path, "%s failed.\n%s.",
                   !strcmp(call->request->cmdlet->name, "Import-VM") ? "Import" : "The comparison", error.text);
        return false;
    }
    if (!wish->new_id)
        return true;
    free(record->id);
    record->id = value_allocate(RECORD_GUID);
    record_guid(record->id);
    for (size_t i = 0; i < record->adapter_count; i++)
        if (record->adapters[i].dynamic_mac)
            record_text_set(&record->adapters[i].mac, NULL); // the other one may run on this network
    return true;
}

// --- Compare-VM ------------------------------------------------------------------------------------------------------
static void compare_found(void *list, const struct misfit *misfit, const char *text)
{
    struct value *object = value_object("VMIncompatibility");
    value_put(object, "Message", value_string(text));
    value_put(object, "MessageId", misfit->number ? value_int(misfit->number) : value_null());
    value_put(object, "Source", value_string(misfit->source));
    value_put(object, "Prevents", value_bool(!misfit->lacking));
    value_add(list, object);
}

static void compare_vm(struct call *call)
{
    struct vm_view view = {0};
    struct host_record host;
    const struct wish wish = wish_of(call);
    if (!import_read(call, &wish, &view.record))
        return;
    view.state = view.record.saved_path ? VM_STATE_SAVED : VM_STATE_OFF;
    struct value *list = value_array();
    misfits_look(&(struct misfits){call, &view.record, compare_found, list});
    service_host(call->service, &host);
    struct value *report = value_object("VMCompatibilityReport");
    value_put(report, "VM", object_of_vm(call->service, &view));
    value_put(report, "OperationType", value_string("ImportVirtualMachine"));
    value_put(report, "Destination", value_string(service_host_name(call->service)));
    value_put(report, "Path", wish.copy ? value_string(wish.machines ? wish.machines : host.machine_path)
                                        : object_text(view.record.path));
    value_put(report, "VhdDestinationPath",
              wish.copy ? value_string(wish.disks ? wish.disks : host.disk_path) : value_null());
    value_put(report, "ExportPath", value_string(wish.path));
    value_put(report, "Copy", value_bool(wish.copy));
    value_put(report, "GenerateNewId", value_bool(wish.new_id));
    value_put(report, "Incompatibilities", list);
    call_put(call, report);
    record_host_free(&host);
    vm_view_free(&view);
}

// --- Import-VM -------------------------------------------------------------------------------------------------------
struct import {
    struct call *call;
    struct vm_record *record;
    bool impossible;
};

// One reason is enough, and then nothing is left out.
static void import_prevents(void *context, const struct misfit *misfit, const char *text)
{
    struct import *import = context;
    if (!misfit->lacking && !import->impossible)
        call_error(import->call, misfit->category,
                   misfit->category == CATEGORY_RESOURCE_EXISTS ? "OperationFailed" : "InvalidParameter",
                   import->record->name, "Import failed. %s", text);
    import->impossible |= !misfit->lacking;
}

static void import_leaves_out(void *context, const struct misfit *misfit, const char *text)
{
    struct import *import = context;
    call_warning(import->call, "'%s', %s: %s %s", import->record->name, misfit->source, text, misfit->left);
    record_text_set(misfit->lacking, NULL);
}

static void import_add(struct call *call, const struct wish *wish, struct vm_record *record)
{
    struct error error;
    struct import import = {.call = call, .record = record};
    misfits_devices(&(struct misfits){call, record, import_leaves_out, &import});
    for (size_t i = 0; i < record->adapter_count; i++)
        record_guid(record->adapters[i].id);
    struct vm *vm = service_vm_add(call->service, record, &error);
    if (vm) {
        struct vm_view view;
        vm_look(vm, &view);
        call_put(call, object_of_vm(call->service, &view));
        vm_view_free(&view);
    } else {
        call_error(call, CATEGORY_WRITE_ERROR, "OperationFailed", record->name, "Import failed.\n%s.", error.text);
        if (wish->copy)
            export_sweep(record, true);
    }
    vm_unref(vm);
}

static int import_copy(struct call *call, const struct wish *wish, struct vm_record *record, struct error *error)
{
    struct host_record host;
    struct watch watch = {.call = call, .activity = "Importing the virtual machine", .name = record->name};
    service_host(call->service, &host);
    const int result = export_copy(record, wish->disks ? wish->disks : host.disk_path,
                                   wish->machines ? wish->machines : host.machine_path,
                                   &(struct export_watch){watch_percent, &watch}, error);
    record_host_free(&host);
    return result;
}

static void import_vm(struct call *call)
{
    struct vm_record record;
    struct error error;
    const struct wish wish = wish_of(call);
    if (!call_should(call, "Import-VM", wish.path) || !import_read(call, &wish, &record))
        return;
    struct import import = {.call = call, .record = &record};
    misfits_identity(&(struct misfits){call, &record, import_prevents, &import});
    if (!import.impossible && wish.copy && import_copy(call, &wish, &record, &error) < 0)
        call_error(call, CATEGORY_WRITE_ERROR, "OperationFailed", record.name, "Import failed.\n%s.", error.text);
    else if (!import.impossible)
        import_add(call, &wish, &record);
    record_vm_free(&record);
}

const struct handler object_transfer[] = {
    {"Export-VM", export_vm},
    {"Compare-VM", compare_vm},
    {"Import-VM", import_vm},
    {0},
};
