// Get-VMSecurity and Set-VMSecurity: the settings that exclude nested virtualization, and which do nothing else here.
#include "service/object/object.h"

static void security_put(struct call *call, struct vm *vm)
{
    static const char *const never[] = {"TpmEnabled", "KsdEnabled", "Shielded", "BindToHostTpm"};
    struct vm_view view;
    vm_look(vm, &view);
    const struct vm_record *record = &view.record;
    struct value *object = call_part(call, "VMSecurity", record, record->id);
    for (size_t i = 0; i < ARRAY_SIZE(never); i++)
        value_put(object, never[i], value_bool(false));
    value_put(object, "EncryptStateAndVmMigrationTraffic", value_bool(record->encrypt_state));
    value_put(object, "VirtualizationBasedSecurityOptOut", value_bool(record->vbs_opt_out));
    value_put(object, "VirtualizationBasedSecurityEnabled", value_bool(record->vbs_enabled));
    call_put(call, object);
    vm_view_free(&view);
}

static void security_get(struct call *call)
{
    struct vm_list list;
    call_vms(call, &list);
    for (size_t i = 0; i < list.count; i++)
        security_put(call, list.items[i]);
    vm_list_free(&list);
}

static bool security_refuses(struct call *call, struct vm *vm, const struct vm_record *draft)
{
    const enum vm_state state = vm_state(vm);
    if (value_as_bool(call_value(call, "EncryptStateAndVmMigrationTraffic"), false)) {
        call_refuse(call, draft, NULL, REFUSE_UNSUPPORTED,
                    "Saved states are not encrypted here. Keep the state folder on "
                    "an encrypted file system instead.");
        return true;
    }
    if (vm_state_is_off(state))
        return false;
    call_refuse(call, draft, NULL, REFUSE_STATE,
                "Security settings can be changed only while '%s' is off, and it is %s: turn it off (Stop-VM) first.",
                draft->name, vm_state_name(state));
    return true;
}

static void security_set(struct call *call)
{
    struct vm_list list;
    call_vms(call, &list);
    for (size_t i = 0; i < list.count; i++) {
        struct vm *vm = list.items[i];
        struct vm_record *draft = call_change(call, vm, "Set-VMSecurity");
        if (!draft)
            continue;
        if (security_refuses(call, vm, draft)) {
            call_cancel(call, vm, draft);
            continue;
        }
        call_take_bool(call, "VirtualizationBasedSecurityOptOut", &draft->vbs_opt_out);
        call_take_bool(call, "VirtualizationBasedSecurityEnabled", &draft->vbs_enabled);
        if (call_commit(call, vm, draft) && call_switch(call, "Passthru"))
            security_put(call, vm);
    }
    vm_list_free(&list);
}

const struct handler object_security[] = {
    {"Get-VMSecurity", security_get},
    {"Set-VMSecurity", security_set},
    {0},
};
