// The host of the VMs, and its settings.
#include "cmdlet/table/selector.h"
#include "cmdlet/table/table.h"

static const struct parameter get_parameters[] = {{0}};

static const struct parameter set_parameters[] = {
    {.name = "VirtualHardDiskPath", .type = PARAMETER_PATH, .help = "The folder of disks that are named without one."},
    {.name = "VirtualMachinePath", .type = PARAMETER_PATH, .help = "The folder of the virtual machines' files."},
    {.name = "MacAddressMinimum", .type = PARAMETER_STRING, .help = "The first address given to network adapters."},
    {.name = "MacAddressMaximum", .type = PARAMETER_STRING, .help = "The last one."},
    {.name = "EnableEnhancedSessionMode", .type = PARAMETER_BOOL, .help = "Kept and shown."},
    {.name = "NumaSpanningEnabled", .type = PARAMETER_BOOL, .help = "Kept and shown."},
    {.name = "MaximumStorageMigrations", .type = PARAMETER_INT, .least = 0, .most = 1000, .help = "Kept and shown."},
    {.name = "MaximumVirtualMachineMigrations", .type = PARAMETER_INT, .least = 0, .most = 1000,
     .help = "Kept and shown."},
    {.name = "UseAnyNetworkForMigration", .type = PARAMETER_BOOL, .help = "Kept and shown."},
    {.name = "VirtualMachineMigrationAuthenticationType", .type = PARAMETER_ENUM, .values = "CredSSP Kerberos",
     .help = "Kept and shown."},
    {.name = "VirtualMachineMigrationPerformanceOption", .type = PARAMETER_ENUM, .values = "TCPIP Compression SMB",
     .help = "Kept and shown."},
    {.name = "DeviceGuardLock", .type = PARAMETER_BOOL, .flags = PARAMETER_NIDUS,
     .help = "Whether this host, like one with Device Guard, refuses to start virtual machines that expose "
             "virtualization extensions."},
    {.name = "NetworkBackend", .type = PARAMETER_ENUM, .values = "Auto User", .flags = PARAMETER_NIDUS,
     .help = "What Internal switches and their NAT are made of: Auto is the kernel's interfaces and forwarding where "
             "that is allowed, User is sockets without any privilege."},
    PARAMETER_PASSTHRU,
    {0},
};

static const struct cmdlet cmdlets[] = {
    {.name = "Get-VMHost",
     .module = "Hyper-V",
     .synopsis = "Gets the host of the virtual machines.",
     .parameters = get_parameters,
     .output = "VMHost",
     .examples = {{"Get-VMHost", "Shows the host."}}},
    {.name = "Set-VMHost",
     .module = "Hyper-V",
     .flags = CMDLET_SHOULD_PROCESS | CMDLET_CHANGES,
     .synopsis = "Configures the host of the virtual machines.",
     .parameters = set_parameters,
     .output = "VMHost",
     .examples = {{"Set-VMHost -MacAddressMinimum 00155D020600 -MacAddressMaximum 00155D0206FF",
                   "Sets the range of addresses for network adapters."}}},
    {0},
};

static const struct property properties[] = {
    {"Name", PROPERTY_STRING, NULL, "the host's name"},
    {"LogicalProcessorCount", PROPERTY_INT, NULL, "processors it has"},
    {"MemoryCapacity", PROPERTY_INT, NULL, "bytes it has"},
    {"VirtualMachinePath", PROPERTY_STRING, NULL, "folder of the VMs' files"},
    {"VirtualHardDiskPath", PROPERTY_STRING, NULL, "folder of disks named without one"},
    {"MacAddressMinimum", PROPERTY_STRING, NULL, "first address for adapters"},
    {"MacAddressMaximum", PROPERTY_STRING, NULL, "last address for adapters"},
    {"MaximumStorageMigrations", PROPERTY_INT, NULL, "as set"},
    {"MaximumVirtualMachineMigrations", PROPERTY_INT, NULL, "as set"},
    {"UseAnyNetworkForMigration", PROPERTY_BOOL, NULL, "as set"},
    {"VirtualMachineMigrationAuthenticationType", PROPERTY_STRING, NULL, "as set"},
    {"VirtualMachineMigrationPerformanceOption", PROPERTY_STRING, NULL, "as set"},
    {"EnableEnhancedSessionMode", PROPERTY_BOOL, NULL, "as set"},
    {"NumaSpanningEnabled", PROPERTY_BOOL, NULL, "as set"},
    {"DeviceGuardLock", PROPERTY_BOOL, NULL, "refuses VMs that expose virtualization extensions"},
    {"NetworkBackend", PROPERTY_STRING, NULL, "Auto: the kernel's where allowed; User: sockets"},
    {"SupportedVmVersions", PROPERTY_STRINGS, NULL, "configuration versions"},
    {"Version", PROPERTY_STRING, NULL, "nidus's"},
    {"ComputerName", PROPERTY_STRING, NULL, "the host"},
    {0},
};

static const struct class classes[] = {
    {.name = "VMHost", .full_name = "Microsoft.HyperV.PowerShell.VMHost", .key = "Name", .display = "Name",
     .properties = properties,
     .columns = {{"Name", NULL, 0, false}, {"LogicalProcessorCount", NULL, 0, false},
                 {"MemoryCapacity", "MemoryCapacity(M)", MIB(1), false}, {"VirtualMachinePath", NULL, 0, false},
                 {"VirtualHardDiskPath", NULL, 0, false}}},
    {0},
};

const struct noun table_host = {cmdlets, classes};
