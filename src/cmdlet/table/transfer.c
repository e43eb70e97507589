// Virtual machines on their way to other hosts: Export-VM, Compare-VM and Import-VM.
#include "cmdlet/table/selector.h"
#include "cmdlet/table/table.h"

static const struct parameter export_parameters[] = {
    SELECTOR_NAME(PARAMETER_SET_1, PARAMETER_MANDATORY),
    SELECTOR_VM(PARAMETER_SET_2),
    {.name = "Path", .type = PARAMETER_PATH, .position = 2, .flags = PARAMETER_MANDATORY,
     .help = "The folder that gets a folder of the virtual machine's name."},
    {.name = "CaptureLiveState", .type = PARAMETER_ENUM, .values = "CaptureSavedState CaptureCrashConsistentState",
     .help = "What is kept of one that runs: its memory, too, so that the copy goes on where it was, which is usual; "
             "or only its disks, as if its plug had been pulled."},
    PARAMETER_AS_JOB,
    PARAMETER_PASSTHRU,
    {0},
};

static const struct parameter import_parameters[] = {
    {.name = "Path", .type = PARAMETER_PATH, .position = 1, .flags = PARAMETER_MANDATORY | PARAMETER_PIPED,
     .sets = PARAMETER_SET_1 | PARAMETER_SET_2,
     .help = "The exported virtual machine: its .vmcx file, or the folder that Export-VM made."},
    {.name = "Register", .type = PARAMETER_SWITCH, .sets = PARAMETER_SET_1,
     .help = "Uses the files where they are, which is usual."},
    {.name = "Copy", .type = PARAMETER_SWITCH, .sets = PARAMETER_SET_2, .flags = PARAMETER_MANDATORY,
     .help = "Copies the files first, so that it can be imported again."},
    {.name = "VhdDestinationPath", .type = PARAMETER_PATH, .sets = PARAMETER_SET_2, .position = 2,
     .help = "The folder its disks are copied to; the host's default folder if not given."},
    {.name = "VirtualMachinePath", .type = PARAMETER_PATH, .sets = PARAMETER_SET_2,
     .help = "The folder its other files are copied to; the host's default folder if not given."},
    {.name = "CompatibilityReport", .type = PARAMETER_OBJECT, .object = "VMCompatibilityReport",
     .sets = PARAMETER_SET_3, .position = 1, .flags = PARAMETER_MANDATORY | PARAMETER_PIPED,
     .help = "What Compare-VM put out: the same is done that it was asked about."},
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
     .description = "One that runs stands still while it is copied, and then goes on. The folder has Hyper-V's layout, "
                    "and Boot, nidus's own, with its kernel.",
     .parameters = export_parameters,
     .sets = {"Name", "VMObject"},
     .output = "VirtualMachine",
     .examples = {{"Export-VM lab -Path /srv/export", "Makes /srv/export/lab."},
                  {"Get-VM | Where-Object State -eq Off | Export-VM -Path /srv/export",
                   "Exports all that are off."}}},
    {.name = "Compare-VM",
     .module = "Hyper-V",
     .synopsis = "Says what an exported virtual machine has that this host does not go with.",
     .description = "Imports nothing. Takes what Import-VM takes, and tells what that would leave out or refuse.",
     .parameters = import_parameters,
     .sets = {"Register", "Copy", "CompatibilityReport"},
     .output = "VMCompatibilityReport",
     .examples = {{"(Compare-VM -Path /srv/export/lab).Incompatibilities", "Lists what Import-VM would warn of."},
                  {"Compare-VM /srv/export/lab -Copy -GenerateNewId | Where-Object { -not $_.Incompatibilities } | "
                   "Import-VM", "Imports it if nothing would be left out."}}},
    {.name = "Import-VM",
     .module = "Hyper-V",
     .flags = CMDLET_SHOULD_PROCESS | CMDLET_CHANGES,
     .synopsis = "Makes a virtual machine of an exported one.",
     .description = "What this host does not have, a switch or a serial port's socket, is left out, and a warning says "
                    "so.",
     .parameters = import_parameters,
     .sets = {"Register", "Copy", "CompatibilityReport"},
     .output = "VirtualMachine",
     .examples = {{"Import-VM -Path /srv/export/lab", "Uses it where it is."},
                  {"Import-VM -Path /srv/export/lab -Copy -GenerateNewId -VhdDestinationPath /srv/disks",
                   "Makes another one like it."}}},
    {0},
};

static const struct property report_properties[] = {
    {"VM", PROPERTY_OBJECT, "VirtualMachine", "as it would be imported"},
    {"OperationType", PROPERTY_STRING, NULL, "ImportVirtualMachine"},
    {"Destination", PROPERTY_STRING, NULL, "the host"},
    {"Path", PROPERTY_STRING, NULL, "the folder of the virtual machine's files"},
    {"VhdDestinationPath", PROPERTY_STRING, NULL, "the folder its disks would be copied to"},
    {"ExportPath", PROPERTY_STRING, NULL, "what was looked at"},
    {"Copy", PROPERTY_BOOL, NULL, "whether its files would be copied"},
    {"GenerateNewId", PROPERTY_BOOL, NULL, "whether it would get a new id"},
    {"Incompatibilities", PROPERTY_OBJECTS, "VMIncompatibility", "what does not go together; none, if all does"},
    {0},
};

static const struct property incompatibility_properties[] = {
    {"Message", PROPERTY_STRING, NULL, "what it is"},
    {"MessageId", PROPERTY_INT, NULL, "Hyper-V's number of it; null: it has none"},
    {"Source", PROPERTY_STRING, NULL, "the name of the device, or of the virtual machine"},
    {"Prevents", PROPERTY_BOOL, NULL, "whether Import-VM fails for it, rather than leaving something out"},
    {0},
};

static const struct class classes[] = {
    {.name = "VMCompatibilityReport", .full_name = "Microsoft.HyperV.PowerShell.VMCompatibilityReport",
     .display = "Path", .properties = report_properties},
    {.name = "VMIncompatibility", .full_name = "Microsoft.HyperV.PowerShell.VMIncompatibility", .display = "Message",
     .properties = incompatibility_properties,
     .columns = {{"MessageId", NULL, 0, true}, {"Source", NULL, 0, false}, {"Prevents", NULL, 0, false},
                 {"Message", NULL, 0, false}}},
    {0},
};

const struct noun table_transfer = {cmdlets, classes};
