// The *-VHD cmdlets: from the parameters to service/vhd.h and from what that says to objects and errors.
#include "service/vhd.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "service/object/object.h"

// "Failed to create the virtual hard disk." and then why. `verb` is "create", "resize".
static void vhd_failed(struct call *call, const char *verb, const char *path, const struct error *error)
{
    call_error(call, CATEGORY_INVALID_OPERATION, "VirtualHardDisk", path, "Failed to %s the virtual hard disk.\n%s",
               verb, error->text);
}

static void vhd_put(struct call *call, const char *path)
{
    struct vhd_info info;
    struct error error;
    char owner[160];
    if (vhd_read(&info, path, &error) < 0) {
        vhd_failed(call, "get", path, &error);
        return;
    }
    struct value *object = value_object("VHD");
    value_put(object, "ComputerName", value_string(service_host_name(call->service)));
    value_put(object, "Path", value_string(path));
    value_put(object, "VhdFormat", value_string(vhd_format_name(info.format)));
    value_put(object, "VhdType", value_string(vhd_type_name(info.type)));
    value_put(object, "FileSize", value_int((s64)info.file_bytes));
    value_put(object, "Size", value_int((s64)info.size));
    value_put(object, "MinimumSize", value_null());
    value_put(object, "LogicalSectorSize", value_int(512));
    value_put(object, "PhysicalSectorSize", value_int(4096));
    value_put(object, "BlockSize", value_int((s64)info.block));
    value_put(object, "ParentPath", value_string(info.parent));
    value_put(object, "DiskIdentifier", value_string(""));
    value_put(object, "FragmentationPercentage", value_null());
    value_put(object, "Alignment", value_int(1));
    value_put(object, "Attached", value_bool(vhd_in_use(path, owner, sizeof owner)));
    value_put(object, "DiskNumber", value_null());
    value_put(object, "Number", value_null());
    call_put(call, object);
}

static void vhd_passthru(struct call *call, const char *path)
{
    if (call_switch(call, "Passthru"))
        vhd_put(call, path);
}

static enum vhd_type vhd_wanted(const struct call *call)
{
    if (call_has(call, "ParentPath"))
        return VHD_DIFFERENCING;
    return call_switch(call, "Fixed") ? VHD_FIXED : VHD_DYNAMIC;
}

static void vhd_run_new(struct call *call)
{
    const struct vhd_new new = {.size = (u64)call_int(call, "SizeBytes", 0),
                                .type = vhd_wanted(call),
                                .block = (u64)call_int(call, "BlockSizeBytes", 0),
                                .parent = call_string(call, "ParentPath", NULL)};
    const s64 logical = call_int(call, "LogicalSectorSizeBytes", 512);
    struct error error;
    const char *path;
    for (size_t i = 0; (path = call_item(call, "Path", i)); i++) {
        if (logical != 512) {
            error_set(&error, "Logical sectors are 512 bytes here, not %lld: leave -LogicalSectorSizeBytes out.",
                      (long long)logical);
            vhd_failed(call, "create", path, &error);
            continue;
        }
        if (!call_should(call, "New-VHD", path))
            continue;
        if (vhd_create(path, &new, &error) < 0)
            vhd_failed(call, "create", path, &error);
        else
            vhd_put(call, path);
    }
}

static void vhd_get_of_vm(struct call *call)
{
    struct vm_list list;
    call_vms(call, &list);
    for (size_t i = 0; i < list.count; i++) {
        struct vm_view view;
        vm_look(list.items[i], &view);
        for (size_t j = 0; j < view.record.drive_count; j++)
            if (!view.record.drives[j].dvd && view.record.drives[j].path)
                vhd_put(call, view.record.drives[j].path);
        vm_view_free(&view);
    }
    vm_list_free(&list);
}

static void vhd_run_get(struct call *call)
{
    const char *path;
    if (call_has(call, "VMId"))
        vhd_get_of_vm(call);
    for (size_t i = 0; (path = call_item(call, "Path", i)); i++)
        vhd_put(call, path);
}

static void vhd_run_set(struct call *call)
{
    const char *path = call_string(call, "Path", "");
    struct error error;
    if (!call_should(call, "Set-VHD", path))
        return;
    if (vhd_set_parent(path, call_string(call, "ParentPath", ""), call_switch(call, "IgnoreIdMismatch"), &error) < 0)
        vhd_failed(call, "change", path, &error);
    else
        vhd_passthru(call, path);
}

static void vhd_run_resize(struct call *call)
{
    struct error error;
    const char *path;
    for (size_t i = 0; (path = call_item(call, "Path", i)); i++) {
        if (!call_should(call, "Resize-VHD", path))
            continue;
        if (vhd_resize(path, (u64)call_int(call, "SizeBytes", 0), call_switch(call, "AllowShrink"), &error) < 0)
            vhd_failed(call, "resize", path, &error);
        else
            vhd_passthru(call, path);
    }
}

static void vhd_progress(void *context, int percent)
{
    call_progress(context, "Converting the virtual hard disk", "copying", percent);
}

static void vhd_run_convert(struct call *call)
{
    const char *path = call_string(call, "Path", ""), *to = call_string(call, "DestinationPath", "");
    const char *wanted = call_string(call, "VHDType", NULL);
    struct vhd_info info;
    struct error error;
    if (!call_should(call, "Convert-VHD", path))
        return;
    const bool known = vhd_read(&info, path, &error) == 0; // if not, vhd_convert says why
    const bool fixed = wanted ? !strcasecmp(wanted, "Fixed") : known && info.type == VHD_FIXED;
    const enum vhd_type type = fixed ? VHD_FIXED : VHD_DYNAMIC;
    if (vhd_convert(path, to, type, (u64)call_int(call, "BlockSizeBytes", 0), vhd_progress, call, &error) < 0) {
        vhd_failed(call, "convert", path, &error);
        return;
    }
    if (call_switch(call, "DeleteSource") && vhd_remove(path, &error) < 0)
        vhd_failed(call, "remove the source of", path, &error);
    vhd_passthru(call, to);
}

static void vhd_run_merge(struct call *call)
{
    const char *path = call_string(call, "Path", ""), *into = call_string(call, "DestinationPath", NULL);
    struct vhd_info info;
    struct error error;
    if (!call_should(call, "Merge-VHD", path))
        return;
    if (vhd_read(&info, path, &error) < 0 || vhd_merge(path, into, &error) < 0)
        vhd_failed(call, "merge", path, &error);
    else
        vhd_passthru(call, into ? into : info.parent);
}

static void vhd_run_test(struct call *call)
{
    struct error error;
    const char *path;
    for (size_t i = 0; (path = call_item(call, "Path", i)); i++) {
        const bool good = vhd_check(path, &error) == 0;
        call_put(call, value_bool(good));
        if (!good)
            vhd_failed(call, "use", path, &error);
    }
}

const struct handler object_vhd[] = {
    {"New-VHD", vhd_run_new},         {"Get-VHD", vhd_run_get},
    {"Set-VHD", vhd_run_set},         {"Resize-VHD", vhd_run_resize},
    {"Convert-VHD", vhd_run_convert}, {"Merge-VHD", vhd_run_merge},
    {"Test-VHD", vhd_run_test},       {0},
};
