// Nested virtualization as a whole: whether this host can, which VMs can, which do. The two cmdlets print what the
// scripts of the same name print, and what nidus knows besides.
#include "cmdlet/table/selector.h"
#include "cmdlet/table/table.h"

static const struct parameter status_parameters[] = {{0}};

static const struct parameter enable_parameters[] = {
    SELECTOR_VMS,
    PARAMETER_FORCE,
    {0},
};

static const struct cmdlet cmdlets[] = {
    {.name = "Get-NestedVirtStatus",
     .aliases = "Get-NestedVirtStatus.ps1",
     .module = "Nested",
     .parameters = status_parameters,
     .output = "NestedVirtStatus",
     .synopsis = "Says whether this host and its virtual machines can nest, and which do.",
     .description = "One object for the host, one for each virtual machine. A hypervisor counts as running from the "
                    "moment a guest "
                    "turns the extension on (VMXON, EFER.SVME).",
     .examples = {{"Get-NestedVirtStatus", "Shows the host and all virtual machines."}}},
    {.name = "Enable-NestedVm",
     .aliases = "Enable-NestedVm.ps1",
     .module = "Nested",
     .parameters = enable_parameters,
     .output = "VirtualMachine",
     .sets = {"VMName", "VMObject"},
     .flags = CMDLET_SHOULD_PROCESS | CMDLET_CHANGES | CMDLET_CONFIRM,
     .synopsis =
         "Makes a virtual machine ready for nesting: removes what stands in the way, then exposes the extensions.",
     .description = "A saved state is removed, a running virtual machine is stopped, dynamic memory is turned off, the "
                    "virtualization extensions are exposed, and MAC address spoofing is turned on.",
     .examples = {{"Enable-NestedVm -VMName lab -Force", "Makes lab ready without a question."}}},
    {0},
};

static const struct property properties[] = {
    {"Name", PROPERTY_STRING, NULL, "the host's or the VM's name"},
    {"Kind", PROPERTY_STRING, NULL, "Host, VirtualMachine"},
    {"SupportsNesting", PROPERTY_BOOL, NULL, "whether a hypervisor can run in it"},
    {"ExposeVirtualizationExtensions", PROPERTY_BOOL, NULL, "as set"},
    {"DynamicMemoryEnabled", PROPERTY_BOOL, NULL, "as set"},
    {"SnapshotEnabled", PROPERTY_BOOL, NULL, "whether it goes on from a checkpoint"},
    {"State", PROPERTY_STRING, NULL, "the VM's state"},
    {"HypervisorRunning", PROPERTY_BOOL, NULL, "whether a hypervisor runs in it right now"},
    {"VirtualizationExtension", PROPERTY_STRING, NULL, "which one it uses: VT-x, AMD-V, None"},
    {"NestedGuestsLaunched", PROPERTY_INT, NULL, "guests it has launched since power-on"},
    {"Engine", PROPERTY_STRING, NULL, "what runs it, or could"},
    {"ProcessorManufacturer", PROPERTY_STRING, NULL, "the host's processor vendor"},
    {"Errors", PROPERTY_STRINGS, NULL, "what stands in the way"},
    {0},
};

static const struct class classes[] = {
    {.name = "NestedVirtStatus",
     .full_name = "Nidus.NestedVirtStatus",
     .key = "Name",
     .display = "Name",
     .properties = properties,
     .columns = {{"Name", NULL, 0, false},
                 {"Kind", NULL, 0, false},
                 {"SupportsNesting", NULL, 0, false},
                 {"HypervisorRunning", NULL, 0, false},
                 {"VirtualizationExtension", NULL, 0, false},
                 {"NestedGuestsLaunched", NULL, 0, true},
                 {"Errors", NULL, 0, false}}},
    {0},
};

const struct noun table_nested = {cmdlets, classes};
