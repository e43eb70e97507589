// How VMs boot: Get-VMFirmware, Set-VMFirmware.
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "service/object/object.h"

static void firmware_put(struct call *call, struct vm *vm)
{
    struct vm_view view;
    vm_look(vm, &view);
    struct value *object = call_part(call, "VMFirmware", &view.record, view.record.id), *order = value_array();
    if (view.record.kernel_path)
        value_add(order, value_string("Kernel"));
    if (view.record.boot_order)
        value_add(order, value_string(view.record.boot_order));
    value_put(object, "KernelPath", object_text(view.record.kernel_path));
    value_put(object, "InitrdPath", object_text(view.record.initrd_path));
    value_put(object, "KernelCommandLine", object_text(view.record.kernel_command_line));
    value_put(object, "SecureBoot", value_string("Off"));
    value_put(object, "BootOrder", order);
    call_put(call, object);
    vm_view_free(&view);
}

static void get_firmware(struct call *call)
{
    struct vm_list list;
    call_vms(call, &list);
    for (size_t i = 0; i < list.count; i++)
        firmware_put(call, list.items[i]);
    vm_list_free(&list);
}

static bool file_good(struct call *call, const struct vm_record *record, const char *path)
{
    if (!path || access(path, R_OK) == 0)
        return true;
    call_refuse(call, record, "Firmware", REFUSE_VALUE, "The file '%s' cannot be read: %s.", path, strerror(errno));
    return false;
}

static void set_one(struct call *call, struct vm *vm)
{
    struct vm_record *draft = call_change(call, vm, "Set-VMFirmware");
    if (!draft)
        return;
    const enum vm_state state = vm_state(vm);
    bool good = false;
    call_take_text(call, "KernelPath", &draft->kernel_path);
    call_take_text(call, "InitrdPath", &draft->initrd_path);
    call_take_text(call, "KernelCommandLine", &draft->kernel_command_line);
    if (!vm_state_allows(state, VM_ACTION_CONFIGURE))
        call_refuse(call, draft, "Firmware", REFUSE_STATE,
                    "The operation cannot be performed while the virtual machine is in its current state (%s). Turn it "
                    "off first: Stop-VM.", vm_state_name(state));
    else if (!strcmp(call_string(call, "EnableSecureBoot", "Off"), "On"))
        call_refuse(call, draft, "Firmware", REFUSE_UNSUPPORTED,
                    "nidus checks no signatures: secure boot cannot be turned on.");
    else
        good = file_good(call, draft, draft->kernel_path) && file_good(call, draft, draft->initrd_path);
    if (!good)
        call_cancel(call, vm, draft);
    else if (call_commit(call, vm, draft) && call_switch(call, "Passthru"))
        firmware_put(call, vm);
}

static void set_firmware(struct call *call)
{
    struct vm_list list;
    call_vms(call, &list);
    for (size_t i = 0; i < list.count; i++)
        set_one(call, list.items[i]);
    vm_list_free(&list);
}

const struct handler object_firmware[] = {{"Get-VMFirmware", get_firmware}, {"Set-VMFirmware", set_firmware}, {0}};
