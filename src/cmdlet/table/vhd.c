// Virtual hard disk files. Raw images need nothing; VHD, VHDX and qcow2 go through qemu's tools.
#include "cmdlet/table/selector.h"
#include "cmdlet/table/table.h"

#define PATHS                                                                              \
    {                                                                                      \
        .name = "Path", .aliases = "FullName", .type = PARAMETER_PATH, .position = 1,      \
        .flags = PARAMETER_MANDATORY | PARAMETER_LIST | PARAMETER_PIPED | PARAMETER_NAMED, \
        .help = "The files: .vhdx, .vhd, .qcow2, anything else is raw."                    \
    }
#define PATH                                                                          \
    {                                                                                 \
        .name = "Path", .aliases = "FullName", .type = PARAMETER_PATH, .position = 1, \
        .flags = PARAMETER_MANDATORY | PARAMETER_PIPED | PARAMETER_NAMED,             \
        .help = "The file: .vhdx, .vhd, .qcow2, anything else is raw."                \
    }
#define DISK_BYTES .type = PARAMETER_BYTES, .least = (s64)MIB(1), .most = (s64)(64ull << 40)

static const struct parameter new_parameters[] = {
    PATHS,
    {.name = "SizeBytes",
     DISK_BYTES,
     .position = 2,
     .flags = PARAMETER_MANDATORY,
     .sets = PARAMETER_SET_1 | PARAMETER_SET_2,
     .help = "How large the disk is: 20GB."},
    {.name = "Dynamic",
     .type = PARAMETER_SWITCH,
     .sets = PARAMETER_SET_1,
     .help = "The file grows as it is written to."},
    {.name = "Fixed",
     .type = PARAMETER_SWITCH,
     .sets = PARAMETER_SET_2,
     .flags = PARAMETER_MANDATORY,
     .help = "The file has its full size from the start."},
    {.name = "ParentPath",
     .type = PARAMETER_PATH,
     .sets = PARAMETER_SET_3,
     .position = 2,
     .flags = PARAMETER_MANDATORY,
     .help = "The disk that the new one holds the differences to."},
    {.name = "Differencing",
     .type = PARAMETER_SWITCH,
     .sets = PARAMETER_SET_3,
     .help = "Holds differences to -ParentPath."},
    {.name = "BlockSizeBytes",
     .type = PARAMETER_BYTES,
     .least = 4096,
     .most = (s64)MIB(256),
     .help = "The unit in which the file grows."},
    {.name = "LogicalSectorSizeBytes", .type = PARAMETER_INT, .least = 512, .most = 4096, .help = "512 or 4096."},
    {.name = "PhysicalSectorSizeBytes", .type = PARAMETER_INT, .least = 512, .most = 4096, .help = "512 or 4096."},
    PARAMETER_AS_JOB,
    {0},
};

static const struct parameter get_parameters[] = {
    {.name = "Path",
     .aliases = "FullName",
     .type = PARAMETER_PATH,
     .position = 1,
     .sets = PARAMETER_SET_1,
     .flags = PARAMETER_MANDATORY | PARAMETER_LIST | PARAMETER_PIPED | PARAMETER_NAMED,
     .help = "The files."},
    {.name = "VMId",
     .aliases = "Id",
     .type = PARAMETER_STRING,
     .sets = PARAMETER_SET_2,
     .flags = PARAMETER_MANDATORY | PARAMETER_LIST | PARAMETER_NAMED,
     .help = "The disks of the VMs with these ids."},
    {0},
};

static const struct parameter set_parameters[] = {
    PATH,
    {.name = "ParentPath",
     .type = PARAMETER_PATH,
     .position = 2,
     .sets = PARAMETER_SET_1,
     .flags = PARAMETER_MANDATORY,
     .help = "Where a differencing disk's parent is now."},
    {.name = "IgnoreIdMismatch",
     .type = PARAMETER_SWITCH,
     .sets = PARAMETER_SET_1,
     .help = "Takes a parent even if its size is another one."},
    PARAMETER_PASSTHRU,
    {0},
};

static const struct parameter resize_parameters[] = {
    PATHS,
    {.name = "SizeBytes",
     DISK_BYTES,
     .position = 2,
     .flags = PARAMETER_MANDATORY,
     .help = "How large the disk is from now on."},
    {.name = "AllowShrink",
     .type = PARAMETER_SWITCH,
     .flags = PARAMETER_NIDUS,
     .help = "Cuts off what lies behind the new size, even if a file system is there."},
    PARAMETER_PASSTHRU,
    PARAMETER_AS_JOB,
    {0},
};

static const struct parameter convert_parameters[] = {
    PATH,
    {.name = "DestinationPath",
     .type = PARAMETER_PATH,
     .position = 2,
     .flags = PARAMETER_MANDATORY,
     .help = "The new file; its ending says the format."},
    {.name = "VHDType", .type = PARAMETER_ENUM, .values = "Dynamic Fixed",
     .help = "Whether the new file grows; as the old one if not given."},
    {.name = "DeleteSource", .type = PARAMETER_SWITCH, .help = "Removes the old file afterwards."},
    {.name = "BlockSizeBytes",
     .type = PARAMETER_BYTES,
     .least = 4096,
     .most = (s64)MIB(256),
     .help = "The unit in which the file grows."},
    PARAMETER_PASSTHRU,
    PARAMETER_AS_JOB,
    {0},
};

static const struct parameter merge_parameters[] = {
    PATH,
    {.name = "DestinationPath",
     .type = PARAMETER_PATH,
     .position = 2,
     .help = "The parent to merge into; the nearest one if none is given."},
    PARAMETER_FORCE,
    PARAMETER_PASSTHRU,
    PARAMETER_AS_JOB,
    {0},
};

static const struct parameter test_parameters[] = {PATHS, {0}};

#define CHANGES (CMDLET_SHOULD_PROCESS | CMDLET_CHANGES)

static const struct cmdlet cmdlets[] = {
    {.name = "New-VHD",
     .module = "Hyper-V",
     .parameters = new_parameters,
     .output = "VHD",
     .flags = CHANGES,
     .sets = {"DynamicWithoutSource", "FixedWithoutSource", "DifferencingWithoutSource"},
     .synopsis = "Makes a virtual hard disk.",
     .examples = {{"New-VHD -Path disk.img -SizeBytes 1GB",
                   "Makes a raw disk of 1 GiB that takes space as it is written."},
                  {"New-VHD -Path disk.img -SizeBytes 64MB -Fixed", "Makes a raw disk whose space is taken at once."}}},
    {.name = "Get-VHD",
     .module = "Hyper-V",
     .parameters = get_parameters,
     .output = "VHD",
     .sets = {"Path", "VMId"},
     .synopsis = "Gets what virtual hard disks are.",
     .examples = {{"Get-VM lab | Get-VHD", "Shows the disks of lab."}}},
    {.name = "Set-VHD",
     .module = "Hyper-V",
     .parameters = set_parameters,
     .output = "VHD",
     .sets = {"Parent"},
     .flags = CHANGES,
     .synopsis = "Tells a differencing disk where its parent is.",
     .examples = {{"Set-VHD -Path child.qcow2 -ParentPath base.qcow2", "The parent was moved to base.qcow2."}}},
    {.name = "Resize-VHD",
     .module = "Hyper-V",
     .parameters = resize_parameters,
     .output = "VHD",
     .flags = CHANGES,
     .synopsis = "Makes a virtual hard disk larger or smaller.",
     .examples = {{"Resize-VHD -Path disk.img -SizeBytes 2GB", "Makes it 2 GiB large."}}},
    {.name = "Convert-VHD",
     .module = "Hyper-V",
     .parameters = convert_parameters,
     .output = "VHD",
     .flags = CHANGES,
     .synopsis = "Copies a virtual hard disk into another format.",
     .examples = {{"Convert-VHD -Path disk.img -DestinationPath disk.qcow2", "Makes a qcow2 file of a raw one."}}},
    {.name = "Merge-VHD",
     .module = "Hyper-V",
     .parameters = merge_parameters,
     .output = "VHD",
     .flags = CHANGES | CMDLET_CONFIRM,
     .synopsis = "Writes a differencing disk's changes into its parent.",
     .examples = {{"Merge-VHD -Path child.qcow2 -Force", "The parent has the changes, child.qcow2 is gone."}}},
    {.name = "Test-VHD",
     .module = "Hyper-V",
     .parameters = test_parameters,
     .synopsis = "Says whether a virtual hard disk and its parents can be used.",
     .examples = {{"Test-VHD -Path disk.img", "True, or an error that says what is wrong."}}},
    {0},
};

static const struct property properties[] = {
    {"ComputerName", PROPERTY_STRING, NULL, "the host"},
    {"Path", PROPERTY_STRING, NULL, "the file"},
    {"VhdFormat", PROPERTY_STRING, NULL, "RAW, VHD, VHDX, QCOW2"},
    {"VhdType", PROPERTY_STRING, NULL, "Fixed, Dynamic, Differencing"},
    {"FileSize", PROPERTY_INT, NULL, "bytes it takes on the host's disk"},
    {"Size", PROPERTY_INT, NULL, "bytes the guest sees"},
    {"MinimumSize", PROPERTY_INT, NULL, "bytes it can be shrunk to, or nothing if not known"},
    {"LogicalSectorSize", PROPERTY_INT, NULL, "bytes"},
    {"PhysicalSectorSize", PROPERTY_INT, NULL, "bytes"},
    {"BlockSize", PROPERTY_INT, NULL, "bytes it grows by, 0: does not grow"},
    {"ParentPath", PROPERTY_STRING, NULL, "the disk it holds differences to"},
    {"DiskIdentifier", PROPERTY_STRING, NULL, "its id, if its format has one"},
    {"FragmentationPercentage", PROPERTY_INT, NULL, "nothing: not known"},
    {"Alignment", PROPERTY_INT, NULL, "1: aligned"},
    {"Attached", PROPERTY_BOOL, NULL, "whether a VM that runs uses it"},
    {"DiskNumber", PROPERTY_INT, NULL, "nothing: not mounted on the host"},
    {"Number", PROPERTY_INT, NULL, "nothing"},
    {0},
};

static const struct class classes[] = {
    {.name = "VHD",
     .full_name = "Microsoft.Vhd.PowerShell.VirtualHardDisk",
     .key = "Path",
     .display = "Path",
     .properties = properties},
    {0},
};

const struct noun table_vhd = {cmdlets, classes};
