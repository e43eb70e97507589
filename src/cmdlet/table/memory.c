// The memory of a VM: how much it starts with, and between which bounds it may change while it runs.
#include "cmdlet/table/selector.h"
#include "cmdlet/table/table.h"

// Hyper-V's bounds; what a VM really can have is the host's to say when it starts.
enum { MEMORY_LEAST_MIB = 32, MEMORY_MOST_MIB = 12 << 20 };

#define MEMORY_BYTES .type = PARAMETER_BYTES, .least = (s64)MIB(MEMORY_LEAST_MIB), .most = (s64)MIB(MEMORY_MOST_MIB)

static const struct parameter set_parameters[] = {
    SELECTOR_VMS,
    SELECTOR_PART("VMMemory", PARAMETER_SET_3),
    {.name = "DynamicMemoryEnabled",
     .type = PARAMETER_BOOL,
     .help = "Whether memory goes to the VM and comes back as its guest needs it. The VM must be off."},
    {.name = "StartupBytes",
     MEMORY_BYTES,
     .help = "Memory at power-on; without dynamic memory all it has, which can be changed while it runs, too, unless a "
             "hypervisor runs in it."},
    {.name = "MinimumBytes", MEMORY_BYTES, .help = "The least dynamic memory leaves the VM."},
    {.name = "MaximumBytes", MEMORY_BYTES, .help = "The most dynamic memory gives the VM."},
    {.name = "Buffer",
     .type = PARAMETER_INT,
     .least = 5,
     .most = 2000,
     .help = "How much more than it needs the VM gets, in percent of that."},
    {.name = "Priority",
     .type = PARAMETER_INT,
     .least = 0,
     .most = 100,
     .help = "Which VMs get memory first when the host is short of it."},
    {.name = "MaximumAmountPerNumaNodeBytes", MEMORY_BYTES, .help = "The most memory in one virtual NUMA node."},
    PARAMETER_RESOURCE_POOL,
    PARAMETER_PASSTHRU,
    {0},
};

static const struct cmdlet cmdlets[] = {
    {
        .name = "Get-VMMemory",
        .module = "Hyper-V",
        .synopsis = "Gets the memory of a virtual machine.",
        .parameters = selector_vms,
        .sets = {"VMName", "VMObject"},
        .output = "VMMemory",
        .examples = {{"Get-VMMemory lab", "Shows the memory settings of lab."}},
    },
    {
        .name = "Set-VMMemory",
        .module = "Hyper-V",
        .flags = CMDLET_SHOULD_PROCESS | CMDLET_CHANGES,
        .synopsis = "Configures the memory of a virtual machine.",
        .description =
            "While a hypervisor runs in a virtual machine, its memory stays as it is: dynamic memory does not "
            "change it, and a resize fails.",
        .parameters = set_parameters,
        .sets = {"VMName", "VMObject", "VMMemory"},
        .output = "VMMemory",
        .examples = {{"Set-VMMemory -VMName lab -DynamicMemoryEnabled $false", "Gives lab a fixed amount of memory."},
                     {"Set-VMMemory lab -StartupBytes 2GB", "Gives lab 2 GiB."},
                     {"Set-VMMemory lab -DynamicMemoryEnabled $true -MinimumBytes 256MB -StartupBytes 512MB "
                      "-MaximumBytes 2GB -Buffer 25",
                      "Lets the memory of lab follow what its guest needs."}},
    },
    {0},
};

static const struct property properties[] = {
    {"ResourcePoolName", PROPERTY_STRING, NULL, "the resource pool"},
    {"Buffer", PROPERTY_INT, NULL, "percent above what the guest needs"},
    {"DynamicMemoryEnabled", PROPERTY_BOOL, NULL, "whether it follows what the guest needs"},
    {"Maximum", PROPERTY_INT, NULL, "bytes, the most"},
    {"MaximumPerNumaNode", PROPERTY_INT, NULL, "MiB in one virtual NUMA node, the most"},
    {"Minimum", PROPERTY_INT, NULL, "bytes, the least"},
    {"Priority", PROPERTY_INT, NULL, "who gets memory first"},
    {"Startup", PROPERTY_INT, NULL, "bytes at power-on"},
    {"Name", PROPERTY_STRING, NULL, "Memory"},
    PROPERTIES_OF_VM,
    PROPERTIES_OF_NO_CHECKPOINT,
    PROPERTIES_OF_PART,
    {0},
};

static const struct class classes[] = {
    {
        .name = "VMMemory",
        .full_name = "Microsoft.HyperV.PowerShell.VMMemory",
        .key = "VMId",
        .display = "Name",
        .properties = properties,
        .columns = {{"VMName", NULL, 0, false},
                    {"DynamicMemoryEnabled", NULL, 0, false},
                    {"Minimum", "Minimum(M)", MIB(1), false},
                    {"Startup", "Startup(M)", MIB(1), false},
                    {"Maximum", "Maximum(M)", MIB(1), false}},
    },
    {0},
};

const struct noun table_memory = {cmdlets, classes};
