// Virtual machines on their way to other hosts: Export-VM and Import-VM.
#include "cmdlet/table/selector.h"
#include "cmdlet/table/table.h"

static const struct parameter export_parameters[] = {
    SELECTOR_NAME(PARAMETER_SET_1, PARAMETER_MANDATORY),
    SELECTOR_VM(PARAMETER_SET_2),
    {.name = "Path", .type = PARAMETER_PATH, .position = 2, .flags = PARAMETER_MANDATORY,
     .help = "The folder that gets a folder of the virtual machine's name."},
    PARAMETER_AS_JOB,
    PARAMETER_PASSTHRU,
    {0},
};

static const struct parameter import_parameters[] = {
    {.name = "Path", .type = PARAMETER_PATH, .position = 1, .flags = PARAMETER_MANDATORY,
     .help = "The exported virtual machine: its .vmcx file, or the folder that Export-VM made."},
    {.name = "Register", .type = PARAMETER_SWITCH, .sets = PARAMETER_SET_1,
     .help = "Uses the files where they are, which is usual."},
    {.name = "Copy", .type = PARAMETER_SWITCH, .sets = PARAMETER_SET_2, .flags = PARAMETER_MANDATORY,
     .help = "Copies the files first, so that it can be imported again."},
    {.name = "VhdDestinationPath", .type = PARAMETER_PATH, .sets = PARAMETER_SET_2, .position = 2,
     .help = "The folder its disks are copied to; the host's default folder if not given."},
    {.name = "VirtualMachinePath", .type = PARAMETER_PATH, .sets = PARAMETER_SET_2,
     .help = "The folder its other files are copied to; the host's default folder if not given."},
    {.name = "GenerateNewId", .type = PARAMETER_SWITCH, .sets = PARAMETER_SET_2,
     .help = "Gives it a new id, so that it can be beside the one it was exported from."},
    PARAMETER_AS_JOB,
    {0},
};

static const struct cmdlet cmdlets[] = {
    {.name = "Export-VM",
     .module = "Hyper-V",
     .flags = CMDLET_SHOULD_PROCESS | CMDLET_CHANGES,
     .synopsis = "Copies a virtual machine, its settings, disks and saved state, to a folder.",
     .description = "It must be off or saved. The folder has Hyper-V's layout, and Boot, nidus's own, with its kernel.",
     .parameters = export_parameters,
     .sets = {"Name", "VMObject"},
     .output = "VirtualMachine",
     .examples = {{"Export-VM lab -Path /srv/export", "Makes /srv/export/lab."},
                  {"Get-VM | Where-Object State -eq Off | Export-VM -Path /srv/export",
                   "Exports all that are off."}}},
    {.name = "Import-VM",
     .module = "Hyper-V",
     .flags = CMDLET_SHOULD_PROCESS | CMDLET_CHANGES,
     .synopsis = "Makes a virtual machine of an exported one.",
     .description = "What this host does not have, a switch or a serial port's socket, is left out, and a warning says "
                    "so.",
     .parameters = import_parameters,
     .sets = {"Register", "Copy"},
     .output = "VirtualMachine",
     .examples = {{"Import-VM -Path /srv/export/lab", "Uses it where it is."},
                  {"Import-VM -Path /srv/export/lab -Copy -GenerateNewId -VhdDestinationPath /srv/disks",
                   "Makes another one like it."}}},
    {0},
};

const struct noun table_transfer = {cmdlets, NULL};
