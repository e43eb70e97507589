// Get-VMHostSupportedVersion and Update-VMVersion.
#include "service/version.h"

#include "service/object/object.h"

static void version_get(struct call *call)
{
    const bool only_default = call_switch(call, "Default");
    for (const struct version_row *row = version_rows; row->version; row++) {
        const bool is_default = !version_compare(row->version, VERSION_DEFAULT);
        if (only_default && !is_default)
            continue;
        struct value *object = value_object("VMHostSupportedVersion");
        value_put(object, "Name", value_string(row->name));
        value_put(object, "Version", value_string(row->version));
        value_put(object, "IsDefault", value_bool(is_default));
        call_put(call, object);
    }
}

// There is no way back, and none past the newest.
static bool update_refuses(struct call *call, struct vm *vm, const struct vm_record *draft)
{
    const enum vm_state state = vm_state(vm);
    if (version_compare(draft->version, VERSION_DEFAULT) >= 0) {
        call_failed(call, draft, "update its version", CATEGORY_INVALID_OPERATION, "InvalidOperation",
                    "It has version %s already, and %s is the newest.", draft->version, VERSION_DEFAULT);
        return true;
    }
    if (vm_state_is_off(state))
        return false;
    call_failed(
        call, draft, "update its version", CATEGORY_INVALID_OPERATION, "InvalidState",
        "The version can be updated only while the virtual machine is off, and it is %s: turn it off (Stop-VM) first.",
        vm_state_name(state));
    return true;
}

static void version_update(struct call *call)
{
    struct vm_list list;
    call_vms(call, &list);
    for (size_t i = 0; i < list.count; i++) {
        struct vm *vm = list.items[i];
        struct vm_record *draft = call_change(call, vm, "Update-VMVersion");
        if (!draft)
            continue;
        if (update_refuses(call, vm, draft)) {
            call_cancel(call, vm, draft);
            continue;
        }
        record_text_set(&draft->version, VERSION_DEFAULT);
        if (!call_commit(call, vm, draft) || !call_switch(call, "Passthru"))
            continue;
        struct vm_view view;
        vm_look(vm, &view);
        call_put(call, object_of_vm(call->service, &view));
        vm_view_free(&view);
    }
    vm_list_free(&list);
}

const struct handler object_version[] = {
    {"Get-VMHostSupportedVersion", version_get},
    {"Update-VMVersion", version_update},
    {0},
};
