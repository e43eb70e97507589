// The drives of a VM: hard disks and DVDs, each at a place of a controller.
#include "cmdlet/table/selector.h"
#include "cmdlet/table/table.h"

#define DRIVE(part, of_class, set)                                                                        \
    {                                                                                                     \
        .name = part, .type = PARAMETER_OBJECT, .sets = (set), .position = 1, .object = of_class,         \
        .flags = PARAMETER_MANDATORY | PARAMETER_LIST | PARAMETER_PIPED, .help = "The drives themselves." \
    }
#define CONTROLLER_TYPE(at)                                                                                      \
    {                                                                                                            \
        .name = "ControllerType", .type = PARAMETER_ENUM, .values = "IDE SCSI PMEM", .position = (at),           \
        .help = "Which kind of controller. All of nidus's drives are virtio disks; the word is kept as a place." \
    }
#define CONTROLLER_NUMBER(at)                                                                       \
    {                                                                                               \
        .name = "ControllerNumber", .type = PARAMETER_INT, .least = 0, .most = 3, .position = (at), \
        .help = "Which controller of that kind."                                                    \
    }
#define CONTROLLER_LOCATION(at)                                                                        \
    {                                                                                                  \
        .name = "ControllerLocation", .type = PARAMETER_INT, .least = 0, .most = 63, .position = (at), \
        .help = "Which place on it; the first free one if none is given."                              \
    }
#define TO_PLACE                                                                       \
    {.name = "ToControllerNumber",                                                     \
     .type = PARAMETER_INT,                                                            \
     .least = 0,                                                                       \
     .most = 3,                                                                        \
     .help = "The controller to move it to."},                                         \
    {                                                                                  \
        .name = "ToControllerLocation", .type = PARAMETER_INT, .least = 0, .most = 63, \
        .help = "The place to move it to."                                             \
    }
#define POOL                                                                                                    \
    {.name = "ResourcePoolName",                                                                                \
     .type = PARAMETER_STRING,                                                                                  \
     .help = "The resource pool; nidus has the one named Primordial."},                                         \
    {                                                                                                           \
        .name = "AllowUnverifiedPaths", .type = PARAMETER_SWITCH, .help = "Takes a file that is not there yet." \
    }
#define READ_ONLY                                                             \
    {                                                                         \
        .name = "ReadOnly", .type = PARAMETER_BOOL, .flags = PARAMETER_NIDUS, \
        .help = "Whether the guest cannot write to it."                       \
    }

static const struct parameter add_disk_parameters[] = {
    SELECTOR_VMS,
    CONTROLLER_TYPE(2),
    CONTROLLER_NUMBER(3),
    CONTROLLER_LOCATION(4),
    {.name = "Path",
     .type = PARAMETER_PATH,
     .position = 5,
     .flags = PARAMETER_MANDATORY,
     .help = "The virtual hard disk."},
    READ_ONLY,
    POOL,
    PARAMETER_PASSTHRU,
    {0},
};

static const struct parameter get_disk_parameters[] = {
    SELECTOR_VMS,
    CONTROLLER_TYPE(0),
    CONTROLLER_NUMBER(0),
    CONTROLLER_LOCATION(0),
    {0},
};

static const struct parameter set_disk_parameters[] = {
    SELECTOR_VM_NAME(PARAMETER_SET_1),
    DRIVE("VMHardDiskDrive", "HardDiskDrive", PARAMETER_SET_2),
    CONTROLLER_TYPE(2),
    CONTROLLER_NUMBER(3),
    CONTROLLER_LOCATION(4),
    {.name = "Path", .type = PARAMETER_PATH, .position = 5, .help = "The virtual hard disk from now on."},
    {.name = "ToControllerType", .type = PARAMETER_ENUM, .values = "IDE SCSI PMEM", .help = "The kind to move it to."},
    TO_PLACE,
    READ_ONLY,
    POOL,
    PARAMETER_PASSTHRU,
    {0},
};

static const struct parameter remove_disk_parameters[] = {
    SELECTOR_VM_NAME(PARAMETER_SET_1),
    DRIVE("VMHardDiskDrive", "HardDiskDrive", PARAMETER_SET_2),
    {.name = "ControllerType",
     .type = PARAMETER_ENUM,
     .values = "IDE SCSI PMEM",
     .position = 2,
     .sets = PARAMETER_SET_1,
     .flags = PARAMETER_MANDATORY,
     .help = "Which kind of controller."},
    {.name = "ControllerNumber",
     .type = PARAMETER_INT,
     .least = 0,
     .most = 3,
     .position = 3,
     .sets = PARAMETER_SET_1,
     .flags = PARAMETER_MANDATORY,
     .help = "Which controller of that kind."},
    {.name = "ControllerLocation",
     .type = PARAMETER_INT,
     .least = 0,
     .most = 63,
     .position = 4,
     .sets = PARAMETER_SET_1,
     .flags = PARAMETER_MANDATORY,
     .help = "Which place on it."},
    PARAMETER_PASSTHRU,
    {0},
};

static const struct parameter add_dvd_parameters[] = {
    SELECTOR_VMS,
    CONTROLLER_NUMBER(2),
    CONTROLLER_LOCATION(3),
    {.name = "Path",
     .type = PARAMETER_PATH,
     .position = 4,
     .help = "The image of the disc; an empty drive if none is given."},
    POOL,
    PARAMETER_PASSTHRU,
    {0},
};

static const struct parameter get_dvd_parameters[] = {
    SELECTOR_VMS, CONTROLLER_NUMBER(0), CONTROLLER_LOCATION(0), {0},
};

static const struct parameter set_dvd_parameters[] = {
    SELECTOR_VM_NAME(PARAMETER_SET_1),
    DRIVE("VMDvdDrive", "DvdDrive", PARAMETER_SET_2),
    CONTROLLER_NUMBER(2),
    CONTROLLER_LOCATION(3),
    {.name = "Path", .type = PARAMETER_ANY, .position = 4, .help = "The image of the disc, or $null to take it out."},
    TO_PLACE,
    POOL,
    PARAMETER_PASSTHRU,
    {0},
};

static const struct parameter remove_dvd_parameters[] = {
    SELECTOR_VM_NAME(PARAMETER_SET_1),
    DRIVE("VMDvdDrive", "DvdDrive", PARAMETER_SET_2),
    {.name = "ControllerNumber",
     .type = PARAMETER_INT,
     .least = 0,
     .most = 3,
     .position = 2,
     .sets = PARAMETER_SET_1,
     .flags = PARAMETER_MANDATORY,
     .help = "Which controller."},
    {.name = "ControllerLocation",
     .type = PARAMETER_INT,
     .least = 0,
     .most = 63,
     .position = 3,
     .sets = PARAMETER_SET_1,
     .flags = PARAMETER_MANDATORY,
     .help = "Which place on it."},
    PARAMETER_PASSTHRU,
    {0},
};

#define CHANGES (CMDLET_SHOULD_PROCESS | CMDLET_CHANGES)

static const struct cmdlet cmdlets[] = {
    {.name = "Add-VMHardDiskDrive",
     .module = "Hyper-V",
     .parameters = add_disk_parameters,
     .output = "HardDiskDrive",
     .sets = {"VMName", "VMObject"},
     .flags = CHANGES,
     .synopsis = "Gives a virtual machine a hard disk.",
     .examples = {{"Add-VMHardDiskDrive -VMName lab -Path disk.img", "Adds the disk at the first free place."}}},
    {.name = "Get-VMHardDiskDrive",
     .module = "Hyper-V",
     .parameters = get_disk_parameters,
     .output = "HardDiskDrive",
     .sets = {"VMName", "VMObject"},
     .synopsis = "Gets the hard disks of virtual machines.",
     .examples = {{"Get-VMHardDiskDrive -VMName lab", "Shows the disks of lab."}}},
    {.name = "Set-VMHardDiskDrive",
     .module = "Hyper-V",
     .parameters = set_disk_parameters,
     .output = "HardDiskDrive",
     .sets = {"VMName", "Object"},
     .flags = CHANGES,
     .synopsis = "Changes a hard disk's file or place.",
     .examples = {{"Get-VMHardDiskDrive lab | Set-VMHardDiskDrive -ReadOnly $true",
                   "Keeps lab from writing to its disks."}}},
    {.name = "Remove-VMHardDiskDrive",
     .module = "Hyper-V",
     .parameters = remove_disk_parameters,
     .output = "HardDiskDrive",
     .sets = {"VMName", "Object"},
     .flags = CHANGES,
     .synopsis = "Takes a hard disk out of a virtual machine; its file stays.",
     .examples = {{"Get-VMHardDiskDrive lab | Remove-VMHardDiskDrive", "Takes all disks out of lab."}}},
    {.name = "Add-VMDvdDrive",
     .module = "Hyper-V",
     .parameters = add_dvd_parameters,
     .output = "DvdDrive",
     .sets = {"VMName", "VMObject"},
     .flags = CHANGES,
     .synopsis = "Gives a virtual machine a DVD drive.",
     .examples = {{"Add-VMDvdDrive -VMName lab", "Adds an empty drive."}}},
    {.name = "Get-VMDvdDrive",
     .module = "Hyper-V",
     .parameters = get_dvd_parameters,
     .output = "DvdDrive",
     .sets = {"VMName", "VMObject"},
     .synopsis = "Gets the DVD drives of virtual machines.",
     .examples = {{"Get-VMDvdDrive -VMName lab", "Shows the drives of lab."}}},
    {.name = "Set-VMDvdDrive",
     .module = "Hyper-V",
     .parameters = set_dvd_parameters,
     .output = "DvdDrive",
     .sets = {"VMName", "Object"},
     .flags = CHANGES,
     .synopsis = "Changes the disc in a DVD drive, or the drive's place.",
     .examples = {{"Get-VMDvdDrive lab | Set-VMDvdDrive -Path $null", "Takes the disc out."}}},
    {.name = "Remove-VMDvdDrive",
     .module = "Hyper-V",
     .parameters = remove_dvd_parameters,
     .output = "DvdDrive",
     .sets = {"VMName", "Object"},
     .flags = CHANGES,
     .synopsis = "Takes a DVD drive out of a virtual machine.",
     .examples = {{"Get-VMDvdDrive lab | Remove-VMDvdDrive", "Takes all drives out of lab."}}},
    {0},
};

#define DRIVE_PROPERTIES                                                                                    \
    {"Name", PROPERTY_STRING, NULL, "its place in words"},                                                  \
        {"Id", PROPERTY_STRING, NULL, "names this part of this VM"},                                        \
        {"VMName", PROPERTY_STRING, NULL, "the VM's name"}, {"VMId", PROPERTY_STRING, NULL, "the VM's id"}, \
        {"ControllerType", PROPERTY_STRING, NULL, "the kind of controller"},                                \
        {"ControllerNumber", PROPERTY_INT, NULL, "the controller"},                                         \
        {"ControllerLocation", PROPERTY_INT, NULL, "the place on it"}, {                                    \
        "Path", PROPERTY_STRING, NULL, "the file"                                                           \
    }

static const struct property disk_properties[] = {
    DRIVE_PROPERTIES,
    {"DiskNumber", PROPERTY_INT, NULL, "a disk of the host, or nothing"},
    {"ReadOnly", PROPERTY_BOOL, NULL, "whether the guest cannot write to it"},
    {"Format", PROPERTY_STRING, NULL, "RAW, VHD, VHDX, QCOW2"},
    {"PoolName", PROPERTY_STRING, NULL, "the resource pool"},
    {"ComputerName", PROPERTY_STRING, NULL, "the host"},
    {"IsDeleted", PROPERTY_BOOL, NULL, "whether it was removed since"},
    {0},
};

static const struct property dvd_properties[] = {
    DRIVE_PROPERTIES,
    {"DvdMediaType", PROPERTY_STRING, NULL, "None, ISO"},
    {"PoolName", PROPERTY_STRING, NULL, "the resource pool"},
    {"ComputerName", PROPERTY_STRING, NULL, "the host"},
    {"IsDeleted", PROPERTY_BOOL, NULL, "whether it was removed since"},
    {0},
};

static const struct class classes[] = {
    {.name = "HardDiskDrive",
     .full_name = "Microsoft.HyperV.PowerShell.HardDiskDrive",
     .key = "Id",
     .display = "Name",
     .properties = disk_properties,
     .columns = {{"VMName", NULL, 0, false},
                 {"ControllerType", NULL, 0, false},
                 {"ControllerNumber", NULL, 0, false},
                 {"ControllerLocation", NULL, 0, false},
                 {"DiskNumber", NULL, 0, false},
                 {"Path", NULL, 0, false}}},
    {.name = "DvdDrive",
     .full_name = "Microsoft.HyperV.PowerShell.DvdDrive",
     .key = "Id",
     .display = "Name",
     .properties = dvd_properties,
     .columns = {{"VMName", NULL, 0, false},
                 {"ControllerType", NULL, 0, false},
                 {"ControllerNumber", NULL, 0, false},
                 {"ControllerLocation", NULL, 0, false},
                 {"DvdMediaType", NULL, 0, false},
                 {"Path", NULL, 0, false}}},
    {0},
};

const struct noun table_drive = {cmdlets, classes};
