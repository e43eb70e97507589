// Get-NestedVirtStatus: what the script of that name says of a host and its virtual machines, and what nidus knows
// besides: which of them run a hypervisor at this moment. Inside a guest it tells the same of that level.
#include <stdlib.h>

#include "service/nesting.h"
#include "service/object/object.h"
#include "service/power.h"

// What keeps a VM from nesting, in the script's words.
static struct value *nested_errors(const struct vm_view *view)
{
    const struct vm_record *record = &view->record;
    struct value *errors = value_array();
    struct error reason;
    if (!record->expose_virtualization_extensions)
        value_add(errors, value_string("This VM is not configured to expose virtualization extensions."));
    if (record->memory_dynamic)
        value_add(errors, value_string("The VM has Dynamic Memory enabled."));
    if (view->state == VM_STATE_SAVED || view->state == VM_STATE_SAVED_CRITICAL)
        value_add(errors, value_string("This VM has been saved."));
    if (nesting_refuses_start(record, false, &reason))
        value_add(errors, value_string(reason.text));
    return errors;
}

static struct value *nested_object(const char *name, const char *kind, struct value *errors)
{
    struct value *object = value_object("NestedVirtStatus");
    value_put(object, "Name", value_string(name));
    value_put(object, "Kind", value_string(kind));
    value_put(object, "SupportsNesting", value_bool(!value_count(errors)));
    value_put(object, "Errors", errors);
    return object;
}

static void nested_say(struct call *call, const char *kind, const struct value *object, const char *introduction)
{
    const struct value *errors = value_get(object, "Errors");
    call_say(call, "The %s %s supports nested virtualization: %s", kind, value_as_string(value_get(object, "Name"), ""),
             value_count(errors) ? "NO" : "YES");
    if (value_count(errors))
        call_say(call, "%s", introduction);
    for (size_t i = 0; i < value_count(errors); i++)
        call_say(call, "  %s", value_as_string(value_item(errors, i), ""));
}

static struct value *nested_host(struct call *call)
{
    const bool amd = nesting_host_is_amd();
    struct host_record host;
    struct value *errors = value_array();
    service_host(call->service, &host);
    if (host.device_guard_lock)
        value_add(errors,
                  value_string("Virtual machines may not have virtualization extensions on this host (Device Guard)."));
    record_host_free(&host);
    struct value *object = nested_object(service_host_name(call->service), "Host", errors);
    value_put(object, "ProcessorManufacturer", value_string(amd ? "AuthenticAMD" : "GenuineIntel"));
    value_put(object, "Engine", value_string(nesting_host_engines()));
    return object;
}

static struct value *nested_vm(const struct vm_view *view)
{
    const enum nesting_extension running = nesting_running(view);
    struct value *object = nested_object(view->record.name, "VirtualMachine", nested_errors(view));
    value_put(object, "ExposeVirtualizationExtensions", value_bool(view->record.expose_virtualization_extensions));
    value_put(object, "DynamicMemoryEnabled", value_bool(view->record.memory_dynamic));
    value_put(object, "SnapshotEnabled", value_bool(false));
    value_put(object, "State", value_string(vm_state_name(view->state)));
    value_put(object, "HypervisorRunning", value_bool(running != NESTING_NONE));
    value_put(object, "VirtualizationExtension", value_string(nesting_extension_name(running)));
    value_put(object, "NestedGuestsLaunched", value_int(nesting_launched(view)));
    value_put(object, "Engine", value_string(view->has_status ? view->status.engine : view->record.engine));
    return object;
}

static void nested_status(struct call *call)
{
    struct vm **vms;
    call_say(call, "Getting system information...done.");
    call_say(call, "Getting build information...done.");
    call_say(call, "Validating host information...done.");
    struct value *host = nested_host(call);
    nested_say(call, "virtualization host", host, "The following host configuration errors have been detected:");
    call_put(call, host);
    const size_t count = service_vms(call->service, &vms);
    call_say(call, "Looking for VMs...found %zu VMs.", count);
    call_say(call, "Validating virtual machines...done.");
    for (size_t i = 0; i < count; i++) {
        struct vm_view view;
        vm_look(vms[i], &view);
        struct value *object = nested_vm(&view);
        nested_say(call, "virtual machine", object, "The following configuration errors have been detected:");
        call_put(call, object);
        vm_view_free(&view);
        vm_unref(vms[i]);
    }
    free(vms);
}

// --- Enable-NestedVm -------------------------------------------------------------------------------------------------
enum { ENABLE_MEMORY_MIB = 4096 };

// Off, whatever it takes: a saved state goes, a running guest is turned off. False: told.
static bool enable_off(struct call *call, struct vm *vm, struct vm_record *draft)
{
    struct error error;
    const enum vm_state state = vm_state(vm);
    if (vm_state_is_off(state))
        return true;
    call_say(call, "%s is %s: %s.", draft->name, vm_state_name(state),
             vm_state_allows(state, VM_ACTION_DISCARD) ? "its saved state is removed" : "it is turned off");
    if (power_turn_off(vm, draft, &error) == 0)
        return true;
    call_failed(call, draft, "turn off", CATEGORY_NOT_SPECIFIED, "OperationFailed", "%s.", error.text);
    return false;
}

static void enable_one(struct call *call, struct vm *vm)
{
    struct error reason;
    struct vm_record *draft = call_change(call, vm, "Enable-NestedVm");
    if (!draft)
        return;
    if (nesting_refuses_exposing(draft, &reason)) {
        call_refuse(call, draft, "Processor", REFUSE_UNSUPPORTED, "%s", reason.text);
        call_cancel(call, vm, draft);
        return;
    }
    if (!enable_off(call, vm, draft)) {
        call_cancel(call, vm, draft);
        return;
    }
    draft->expose_virtualization_extensions = true;
    draft->memory_dynamic = false;
    for (size_t i = 0; i < draft->adapter_count; i++)
        draft->adapters[i].mac_spoofing = true;
    if (draft->memory_startup < (s64)MIB(ENABLE_MEMORY_MIB))
        call_warning(call, "'%s' has %lld MB of memory; without 4 GB or more, you may not be able to start VMs in it.",
                     draft->name, (long long)(draft->memory_startup >> 20));
    if (!call_commit(call, vm, draft))
        return;
    struct vm_view view;
    vm_look(vm, &view);
    call_put(call, object_of_vm(call->service, &view));
    vm_view_free(&view);
}

static void nested_enable(struct call *call)
{
    struct vm_list list;
    call_vms(call, &list);
    for (size_t i = 0; i < list.count; i++)
        enable_one(call, list.items[i]);
    vm_list_free(&list);
}

const struct handler object_nested[] = {
    {"Get-NestedVirtStatus", nested_status},
    {"Enable-NestedVm", nested_enable},
    {0},
};
