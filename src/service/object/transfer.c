// Export-VM and Import-VM. The VM's change lock is held while its files are copied: it is not started meanwhile.
#include <stdlib.h>
#include <string.h>

#include "service/export.h"
#include "service/network.h"
#include "service/object/object.h"
#include "service/version.h"

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
static void export_one(struct call *call, struct vm *vm, const char *path)
{
    struct vm_record *draft = call_change(call, vm, "Export-VM");
    if (!draft)
        return;
    const enum vm_state state = vm_state(vm);
    struct watch watch = {.call = call, .activity = "Exporting the virtual machine", .name = draft->name};
    struct error error;
    bool done = false;
    if (!vm_state_is_off(state) && state != VM_STATE_SAVED)
        call_failed(call, draft, "be exported", CATEGORY_INVALID_OPERATION, "InvalidState",
                    "It is %s: Save-VM or Stop-VM first, and its disks hold still.", vm_state_name(state));
    else if (export_write(draft, path, &(struct export_watch){watch_percent, &watch}, &error) < 0)
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

// --- Import-VM -------------------------------------------------------------------------------------------------------
struct switches {
    const char *wanted;
    bool found;
};

static void switch_match(void *context, const struct network_switch *network)
{
    struct switches *switches = context;
    switches->found |= !value_name_compare(network->name, switches->wanted);
}

static void import_new_id(struct vm_record *record)
{
    free(record->id);
    record->id = value_allocate(RECORD_GUID);
    record_guid(record->id);
    for (size_t i = 0; i < record->adapter_count; i++)
        if (record->adapters[i].dynamic_mac)
            record_text_set(&record->adapters[i].mac, NULL); // the other one may run on this network
}

// What the exporting host had and this one lacks.
static void import_fit(struct call *call, struct vm_record *record)
{
    struct error error;
    for (size_t i = 0; i < record->adapter_count; i++) {
        struct vm_adapter *adapter = &record->adapters[i];
        struct switches switches = {.wanted = adapter->switch_name};
        record_guid(adapter->id);
        if (!adapter->switch_name)
            continue;
        network_switches(call->service, switch_match, &switches, &error);
        if (switches.found)
            continue;
        call_warning(call, "There is no switch '%s' here: the network adapter '%s' of '%s' is not connected.",
                     adapter->switch_name, adapter->name, record->name);
        record_text_set(&adapter->switch_name, NULL);
    }
    char **const ports[] = {&record->com1_path, &record->com2_path};
    for (size_t i = 0; i < ARRAY_SIZE(ports); i++)
        if (*ports[i]) {
            call_warning(call, "The serial port of '%s' is not connected to '%s': Set-VMComPort does that.",
                         record->name, *ports[i]);
            record_text_set(ports[i], NULL);
        }
}

static bool import_possible(struct call *call, const struct vm_record *record)
{
    struct vm *other = service_vm_by_id(call->service, record->id);
    const bool there = other;
    vm_unref(other);
    if (strlen(record->name) > 100 || strpbrk(record->name, "\n\r\t"))
        call_error(call, CATEGORY_INVALID_ARGUMENT, "InvalidParameter", record->name,
                   "Import failed. Its name is longer than 100 characters, or has one that ends a line.");
    else if (there)
        call_error(call, CATEGORY_RESOURCE_EXISTS, "OperationFailed", record->name,
                   "Import failed. A virtual machine with the identifier %s already exists. Use -Copy and "
                   "-GenerateNewId.", record->id);
    else if (!version_supported(record->version))
        call_error(call, CATEGORY_INVALID_ARGUMENT, "OperationFailed", record->name,
                   "Import failed. The configuration version '%s' is not one of this host's. "
                   "Get-VMHostSupportedVersion lists them.", record->version);
    else
        return true;
    return false;
}

static void import_add(struct call *call, struct vm_record *record)
{
    struct error error;
    import_fit(call, record);
    struct vm *vm = service_vm_add(call->service, record, &error);
    if (vm) {
        struct vm_view view;
        vm_look(vm, &view);
        call_put(call, object_of_vm(call->service, &view));
        vm_view_free(&view);
    } else {
        call_error(call, CATEGORY_WRITE_ERROR, "OperationFailed", record->name, "Import failed.\n%s.", error.text);
        if (call_switch(call, "Copy"))
            export_sweep(record, true);
    }
    vm_unref(vm);
}

static int import_copy(struct call *call, struct vm_record *record, struct error *error)
{
    struct host_record host;
    struct watch watch = {.call = call, .activity = "Importing the virtual machine", .name = record->name};
    service_host(call->service, &host);
    const int result = export_copy(record, call_string(call, "VhdDestinationPath", host.disk_path),
                                   call_string(call, "VirtualMachinePath", host.machine_path),
                                   &(struct export_watch){watch_percent, &watch}, error);
    record_host_free(&host);
    return result;
}

static void import_vm(struct call *call)
{
    const char *path = call_string(call, "Path", "");
    struct vm_record record;
    struct error error;
    if (!call_should(call, "Import-VM", path))
        return;
    if (export_read(&record, path, &error) < 0) {
        call_error(call, CATEGORY_READ_ERROR, "OperationFailed", path, "Import failed.\n%s.", error.text);
        return;
    }
    if (call_switch(call, "GenerateNewId"))
        import_new_id(&record);
    if (import_possible(call, &record)) {
        if (call_switch(call, "Copy") && import_copy(call, &record, &error) < 0)
            call_error(call, CATEGORY_WRITE_ERROR, "OperationFailed", record.name, "Import failed.\n%s.", error.text);
        else
            import_add(call, &record);
    }
    record_vm_free(&record);
}

const struct handler object_transfer[] = {
    {"Export-VM", export_vm},
    {"Import-VM", import_vm},
    {0},
};
