// How a VM boots. Hyper-V's firmware settings, and nidus's: a kernel that is started without firmware.
#include "cmdlet/table/selector.h"
#include "cmdlet/table/table.h"

static const struct parameter set_parameters[] = {
    SELECTOR_VMS,
    SELECTOR_PART("VMFirmware", PARAMETER_SET_3),
    {.name = "KernelPath", .type = PARAMETER_PATH, .flags = PARAMETER_NIDUS,
     .help = "The kernel to start: a Linux bzImage, an ELF file with a PVH note, or a Multiboot image. An empty name "
             "takes it away."},
    {.name = "InitrdPath", .type = PARAMETER_PATH, .flags = PARAMETER_NIDUS,
     .help = "The initial RAM disk for that kernel. An empty name takes it away."},
    {.name = "KernelCommandLine", .type = PARAMETER_STRING, .flags = PARAMETER_NIDUS,
     .help = "That kernel's command line."},
    PARAMETER_ON_OFF("EnableSecureBoot", "Only Off is taken: nidus checks no signatures."),
    PARAMETER_PASSTHRU,
    {0},
};

static const struct cmdlet cmdlets[] = {
    {.name = "Get-VMFirmware",
     .module = "Hyper-V",
     .synopsis = "Gets how virtual machines boot.",
     .parameters = selector_vms,
     .sets = {"VMName", "VMObject"},
     .output = "VMFirmware",
     .examples = {{"Get-VMFirmware lab", "Shows what lab boots."}}},
    {.name = "Set-VMFirmware",
     .module = "Hyper-V",
     .flags = CMDLET_SHOULD_PROCESS | CMDLET_CHANGES,
     .synopsis = "Configures how virtual machines boot.",
     .parameters = set_parameters,
     .sets = {"VMName", "VMObject", "VMFirmware"},
     .output = "VMFirmware",
     .examples = {{"Set-VMFirmware lab -KernelPath vmlinuz -InitrdPath initrd.img -KernelCommandLine 'console=ttyS0'",
                   "Lets lab start this kernel."}}},
    {0},
};

static const struct property properties[] = {
    {"VMName", PROPERTY_STRING, NULL, "the VM's name"},
    {"KernelPath", PROPERTY_STRING, NULL, "the kernel that is started, or empty"},
    {"InitrdPath", PROPERTY_STRING, NULL, "its initial RAM disk, or empty"},
    {"KernelCommandLine", PROPERTY_STRING, NULL, "its command line"},
    {"SecureBoot", PROPERTY_STRING, NULL, "Off: nidus checks no signatures"},
    {"BootOrder", PROPERTY_STRINGS, NULL, "what is tried, in this order"},
    {"VMId", PROPERTY_STRING, NULL, "the VM's id"},
    PROPERTIES_OF_PART,
    {0},
};

static const struct class classes[] = {
    {.name = "VMFirmware", .full_name = "Microsoft.HyperV.PowerShell.VMFirmware", .key = "VMId", .display = "VMName",
     .properties = properties,
     .columns = {{"VMName", NULL, 0, false}, {"SecureBoot", NULL, 0, false}, {"KernelPath", NULL, 0, false},
                 {"InitrdPath", NULL, 0, false}, {"KernelCommandLine", NULL, 0, false}}},
    {0},
};

const struct noun table_firmware = {cmdlets, classes};
