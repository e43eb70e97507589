// A VM in a folder of its own, as Export-VM lays it out and Import-VM finds it:
//
//   NAME/Virtual Machines/ID.vmcx   its settings, as JSON (record_json.h); paths in it start from NAME
//   NAME/Virtual Machines/ID.vmrs   its saved state, if it has one
//   NAME/Virtual Hard Disks/        its disks
//   NAME/Boot/                      the kernel and the initial RAM disk (nidus's own)
//   NAME/Snapshots/                 empty
//
// The folder is whole or not there. One that is read is foreign: no path in it leads out of it, by dots or by links.
#pragma once

#include "base/error.h"
#include "service/record.h"

struct export_watch {
    bool (*percent)(void *context, int percent); // false: nobody waits any more; may be NULL
    void *context;
};

// Makes PATH/NAME of a VM that is off or saved and stays so meanwhile. 0, or -1 with the reason and nothing left there.
int export_write(const struct vm_record *record, const char *path, const struct export_watch *watch,
                 struct error *error);

// An exported VM as it lies there: its paths are made absolute. `file` is the .vmcx file, or a folder that has one.
int export_read(struct vm_record *record, const char *file, struct error *error);

// Copies the files of what was read: disks to the folder `disks`, the others below `machine`, under the record's id.
// Its paths are the copies' then. -1: no copy is left.
int export_copy(struct vm_record *record, const char *disks, const char *machine, const struct export_watch *watch,
                struct error *error);
// Removes what export_copy made besides disks and the saved state; with `all`, these, too.
void export_sweep(const struct vm_record *record, bool all);
