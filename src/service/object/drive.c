// Hard disk and DVD drives of VMs. A drive is named by its place: controller type, controller number, location.
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "service/object/object.h"
#include "service/vhd.h"

enum { DRIVE_NUMBERS = 4, DRIVE_LOCATIONS = 64, DRIVE_IDE_LOCATIONS = 2, DRIVE_IDE_NUMBERS = 2 };

struct drive_place {
    const char *type;     // NULL: any
    s64 number, location; // -1: any
};

static const char *drive_kind(bool dvd)
{
    return dvd ? "DvdDrive" : "HardDiskDrive";
}
static const char *drive_device(bool dvd)
{
    return dvd ? "DVD Drive" : "Hard Disk Drive";
}

// Generation 1 boots from IDE, generation 2 has SCSI only.
static const char *drive_default_type(const struct vm_record *record)
{
    return record->generation == 1 ? "IDE" : "SCSI";
}

static void drive_id(const struct vm_drive *drive, char *text, size_t bytes)
{
    snprintf(text, bytes, "%s\\%lld\\%lld", drive->controller_type, (long long)drive->controller_number,
             (long long)drive->controller_location);
}

static struct value *drive_object(struct call *call, const struct vm_record *record, const struct vm_drive *drive)
{
    char id[64];
    drive_id(drive, id, sizeof id);
    struct value *object = call_part(call, drive_kind(drive->dvd), record, id);
    value_put(object, "Name",
              value_format("%s on %s controller number %lld at location %lld", drive->dvd ? "DVD Drive" : "Hard Drive",
                           drive->controller_type, (long long)drive->controller_number,
                           (long long)drive->controller_location));
    value_put(object, "ControllerType", value_string(drive->controller_type));
    value_put(object, "ControllerNumber", value_int(drive->controller_number));
    value_put(object, "ControllerLocation", value_int(drive->controller_location));
    value_put(object, "Path", object_text(drive->path));
    value_put(object, "PoolName", value_string("Primordial"));
    if (drive->dvd) {
        value_put(object, "DvdMediaType", value_string(drive->path ? "ISO" : "None"));
    } else {
        value_put(object, "DiskNumber", value_null());
        value_put(object, "ReadOnly", value_bool(drive->read_only));
        value_put(object, "Format", value_string(vhd_format_name(vhd_format(drive->path ? drive->path : ""))));
    }
    return object;
}

static bool drive_is_at(const struct vm_drive *drive, const struct drive_place *place)
{
    return (!place->type || !strcasecmp(place->type, drive->controller_type)) &&
           (place->number < 0 || place->number == drive->controller_number) &&
           (place->location < 0 || place->location == drive->controller_location);
}

static struct drive_place drive_place(const struct call *call, bool to)
{
    return (struct drive_place){.type = call_string(call, to ? "ToControllerType" : "ControllerType", NULL),
                                .number = call_int(call, to ? "ToControllerNumber" : "ControllerNumber", -1),
                                .location = call_int(call, to ? "ToControllerLocation" : "ControllerLocation", -1)};
}

// The place of a drive object that came through -VMHardDiskDrive or -VMDvdDrive.
static struct drive_place drive_object_place(const struct value *object)
{
    return (struct drive_place){.type = value_as_string(value_get(object, "ControllerType"), NULL),
                                .number = value_as_int(value_get(object, "ControllerNumber"), -1),
                                .location = value_as_int(value_get(object, "ControllerLocation"), -1)};
}

// --- What is asked of one VM's drives --------------------------------------------------------------------------------

struct drive_selection {
    const struct value *objects; // of the drive parameter, NULL: by place
    const char *vm_id;
    struct drive_place place;
    bool dvd;
};

static struct drive_selection drive_selection(const struct call *call, bool dvd, struct vm *vm)
{
    return (struct drive_selection){.objects = call_value(call, dvd ? "VMDvdDrive" : "VMHardDiskDrive"),
                                    .vm_id = vm_id(vm),
                                    .place = drive_place(call, false),
                                    .dvd = dvd};
}

static bool drive_is_selected(const struct drive_selection *selection, const struct vm_drive *drive)
{
    if (drive->dvd != selection->dvd)
        return false;
    if (!selection->objects)
        return drive_is_at(drive, &selection->place);
    for (size_t i = 0; i < value_count(selection->objects); i++) {
        const struct value *object = value_item(selection->objects, i);
        const struct drive_place place = drive_object_place(object);
        if (!strcasecmp(value_as_string(value_get(object, "VMId"), ""), selection->vm_id) && drive_is_at(drive, &place))
            return true;
    }
    return false;
}

// --- Checks ----------------------------------------------------------------------------------------------------------

static bool refuse_state(struct call *call, struct vm *vm, const struct vm_record *draft, bool dvd)
{
    const enum vm_state state = vm_state(vm);
    if (vm_state_is_off(state))
        return false;
    call_refuse(call, draft, drive_device(dvd), REFUSE_STATE,
                "Drives can be changed only while '%s' is off, and it is %s: turn it off (Stop-VM) first.", draft->name,
                vm_state_name(state));
    return true;
}

static bool refuse_path(struct call *call, const struct vm_record *draft, bool dvd, const char *path)
{
    struct vhd_info info;
    struct error error;
    if (!path || call_switch(call, "AllowUnverifiedPaths") || vhd_read(&info, path, &error) == 0)
        return false;
    call_refuse(call, draft, drive_device(dvd), REFUSE_VALUE, "%s", error.text);
    return true;
}

static bool place_exists(const char *type, s64 number, s64 location)
{
    const bool ide = !strcasecmp(type, "IDE");
    return number < (ide ? DRIVE_IDE_NUMBERS : DRIVE_NUMBERS) &&
           location < (ide ? DRIVE_IDE_LOCATIONS : DRIVE_LOCATIONS);
}

static bool place_is_taken(const struct vm_record *record, const char *type, s64 number, s64 location,
                           const struct vm_drive *except)
{
    const struct drive_place place = {type, number, location};
    for (size_t i = 0; i < record->drive_count; i++)
        if (&record->drives[i] != except && drive_is_at(&record->drives[i], &place))
            return true;
    return false;
}

// Fills in what of a place was left open: the first free one. False: told.
static bool place_choose(struct call *call, const struct vm_record *draft, bool dvd, struct drive_place *place,
                         const struct vm_drive *except)
{
    const char *type = place->type ? place->type : drive_default_type(draft);
    for (s64 number = place->number < 0 ? 0 : place->number; number < DRIVE_NUMBERS; number++) {
        for (s64 location = place->location < 0 ? 0 : place->location; location < DRIVE_LOCATIONS; location++) {
            if (place_exists(type, number, location) && !place_is_taken(draft, type, number, location, except)) {
                *place = (struct drive_place){type, number, location};
                return true;
            }
            if (place->location >= 0)
                break;
        }
        if (place->number >= 0)
            break;
    }
    call_refuse(call, draft, drive_device(dvd), REFUSE_VALUE,
                place->location >= 0 ? "That place of the %s controller is taken or does not exist."
                                     : "The %s controllers have no free place.",
                type);
    return false;
}

static void drive_put_at(struct vm_drive *drive, const struct drive_place *place)
{
    record_text_set(&drive->controller_type, place->type);
    drive->controller_number = place->number;
    drive->controller_location = place->location;
}

// --- The cmdlets -----------------------------------------------------------------------------------------------------

static void drive_get(struct call *call, bool dvd)
{
    struct vm_list list;
    call_vms(call, &list);
    for (size_t i = 0; i < list.count; i++) {
        const struct drive_selection selection = drive_selection(call, dvd, list.items[i]);
        struct vm_view view;
        vm_look(list.items[i], &view);
        for (size_t j = 0; j < view.record.drive_count; j++)
            if (drive_is_selected(&selection, &view.record.drives[j]))
                call_put(call, drive_object(call, &view.record, &view.record.drives[j]));
        vm_view_free(&view);
    }
    vm_list_free(&list);
}

static void drive_add_one(struct call *call, struct vm *vm, bool dvd)
{
    const char *path = call_string(call, "Path", NULL);
    struct drive_place place = drive_place(call, false);
    struct vm_record *draft = call_change(call, vm, dvd ? "Add-VMDvdDrive" : "Add-VMHardDiskDrive");
    if (!draft)
        return;
    if (refuse_state(call, vm, draft, dvd) || refuse_path(call, draft, dvd, path) ||
        !place_choose(call, draft, dvd, &place, NULL)) {
        call_cancel(call, vm, draft);
        return;
    }
    struct vm_drive *drive = record_drive_add(draft);
    drive_put_at(drive, &place);
    record_text_set(&drive->path, path);
    drive->dvd = dvd;
    drive->read_only = dvd || value_as_bool(call_value(call, "ReadOnly"), false);
    struct value *object = drive_object(call, draft, drive);
    if (call_commit(call, vm, draft) && call_switch(call, "Passthru"))
        call_put(call, value_ref(object));
    value_unref(object);
}

static bool drive_change(struct call *call, struct vm_record *draft, struct vm_drive *drive)
{
    struct drive_place to = drive_place(call, true);
    const bool moves = to.type || to.number >= 0 || to.location >= 0;
    // $null takes the disc out of a DVD drive, and is not the same as a path that was not given.
    const char *path = call_string(call, "Path", NULL);
    if (refuse_path(call, draft, drive->dvd, path))
        return false;
    if (moves) {
        to.type = to.type ? to.type : drive->controller_type;
        to.number = to.number >= 0 ? to.number : drive->controller_number;
        if (!place_choose(call, draft, drive->dvd, &to, drive))
            return false;
        char type[16]; // it may be the text that is about to be replaced
        snprintf(type, sizeof type, "%s", to.type);
        to.type = type;
        drive_put_at(drive, &to);
    }
    if (path || (drive->dvd && call_has(call, "Path")))
        record_text_set(&drive->path, path);
    call_take_bool(call, "ReadOnly", &drive->read_only);
    return true;
}

// All of a VM's drives that are meant, or none of them.
static void drive_each(struct call *call, struct vm *vm, bool dvd, bool remove, const char *operation)
{
    const struct drive_selection selection = drive_selection(call, dvd, vm);
    struct vm_record *draft = call_change(call, vm, operation);
    if (!draft)
        return;
    struct value *changed = value_array();
    bool good = !refuse_state(call, vm, draft, dvd);
    for (size_t i = 0; good && i < draft->drive_count; i++) {
        if (!drive_is_selected(&selection, &draft->drives[i]))
            continue;
        good = remove || drive_change(call, draft, &draft->drives[i]);
        if (good)
            value_add(changed, drive_object(call, draft, &draft->drives[i]));
        if (good && remove)
            record_drive_remove(draft, i--);
    }
    if (good && !value_count(changed)) {
        call_refuse(call, draft, drive_device(dvd), REFUSE_VALUE, "There is no such drive; Get-VM%s lists them.",
                    drive_kind(dvd));
        good = false;
    }
    if (!good)
        call_cancel(call, vm, draft);
    else if (call_commit(call, vm, draft) && call_switch(call, "Passthru"))
        for (size_t i = 0; i < value_count(changed); i++)
            call_put(call, value_ref(value_item(changed, i)));
    value_unref(changed);
}

static void drive_for_vms(struct call *call, bool dvd, const char *operation, bool remove)
{
    struct vm_list list;
    call_vms(call, &list);
    for (size_t i = 0; i < list.count; i++)
        drive_each(call, list.items[i], dvd, remove, operation);
    vm_list_free(&list);
}

static void drive_add(struct call *call, bool dvd)
{
    struct vm_list list;
    call_vms(call, &list);
    for (size_t i = 0; i < list.count; i++)
        drive_add_one(call, list.items[i], dvd);
    vm_list_free(&list);
}

static void disk_get(struct call *call)
{
    drive_get(call, false);
}
static void disk_add(struct call *call)
{
    drive_add(call, false);
}
static void disk_set(struct call *call)
{
    drive_for_vms(call, false, "Set-VMHardDiskDrive", false);
}
static void disk_remove(struct call *call)
{
    drive_for_vms(call, false, "Remove-VMHardDiskDrive", true);
}
static void dvd_get(struct call *call)
{
    drive_get(call, true);
}
static void dvd_add(struct call *call)
{
    drive_add(call, true);
}
static void dvd_set(struct call *call)
{
    drive_for_vms(call, true, "Set-VMDvdDrive", false);
}
static void dvd_remove(struct call *call)
{
    drive_for_vms(call, true, "Remove-VMDvdDrive", true);
}

const struct handler object_drive[] = {
    {"Get-VMHardDiskDrive", disk_get},
    {"Add-VMHardDiskDrive", disk_add},
    {"Set-VMHardDiskDrive", disk_set},
    {"Remove-VMHardDiskDrive", disk_remove},
    {"Get-VMDvdDrive", dvd_get},
    {"Add-VMDvdDrive", dvd_add},
    {"Set-VMDvdDrive", dvd_set},
    {"Remove-VMDvdDrive", dvd_remove},
    {0},
};
