// What is done with virtual machines besides making and powering them: waiting for them, measuring them, throwing a
// saved state away; and the host's NUMA nodes they run on.
#include "cmdlet/table/selector.h"
#include "cmdlet/table/table.h"

static const struct parameter discard_parameters[] = {
    SELECTOR_VMS,
    {0},
};

static const struct parameter wait_parameters[] = {
    SELECTOR_NAME(PARAMETER_SET_1, PARAMETER_MANDATORY),
    SELECTOR_VM(PARAMETER_SET_2),
    {.name = "For",
     .type = PARAMETER_ENUM,
     .values = "Heartbeat IPAddress MemoryOperations Reboot Off",
     .help = "What to wait for: the guest's agent answers, it has told its addresses, its memory may be changed, it "
             "was started anew, or (nidus's own) it is off. Heartbeat if not given."},
    {.name = "Timeout",
     .type = PARAMETER_INT,
     .least = 1,
     .most = 1 << 20,
     .help = "Seconds after which waiting fails; no end if not given."},
    {.name = "Delay",
     .type = PARAMETER_INT,
     .least = 1,
     .most = 3600,
     .help = "Seconds between two looks; a fifth of one if not given."},
    PARAMETER_AS_JOB,
    PARAMETER_PASSTHRU,
    {0},
};

static const struct parameter measure_parameters[] = {
    SELECTOR_NAME(PARAMETER_SET_1, PARAMETER_MANDATORY),
    SELECTOR_VM(PARAMETER_SET_2),
    {0},
};

static const struct parameter node_parameters[] = {
    {.name = "Id", .type = PARAMETER_INT, .least = 0, .most = 1023, .help = "Only the node of this number."},
    {0},
};

static const struct cmdlet cmdlets[] = {
    {.name = "Remove-VMSavedState",
     .module = "Hyper-V",
     .parameters = discard_parameters,
     .sets = {"VMName", "VMObject"},
     .flags = CMDLET_SHOULD_PROCESS | CMDLET_CHANGES,
     .synopsis = "Throws the saved state of a virtual machine away; it is off afterwards.",
     .examples = {{"Remove-VMSavedState lab", "Turns a saved lab off."}}},
    {.name = "Wait-VM",
     .module = "Hyper-V",
     .parameters = wait_parameters,
     .output = "VirtualMachine",
     .sets = {"Name", "VMObject"},
     .synopsis = "Waits until something happens in a virtual machine.",
     .examples = {{"Wait-VM lab -For Off -Timeout 60", "Waits at most a minute until lab is off."}}},
    {.name = "Measure-VM",
     .module = "Hyper-V",
     .parameters = measure_parameters,
     .output = "VMMeteringReport",
     .sets = {"Name", "VMObject"},
     .synopsis = "Says what a virtual machine uses of the host.",
     .description = "Of the time since its power-on: nidus counts always, and nothing has to be turned on for it.",
     .examples = {{"Get-VM | Measure-VM", "Shows what each virtual machine uses."}}},
    {.name = "Get-VMHostNumaNode",
     .module = "Hyper-V",
     .parameters = node_parameters,
     .output = "VMHostNumaNode",
     .synopsis = "Gets the NUMA nodes of the host.",
     .examples = {{"Get-VMHostNumaNode", "Shows the host's nodes, their processors and memory."}}},
    {0},
};

static const struct property report_properties[] = {
    {"VMId", PROPERTY_STRING, NULL, "the VM's id"},
    {"VMName", PROPERTY_STRING, NULL, "the VM's name"},
    {"ComputerName", PROPERTY_STRING, NULL, "the host"},
    {"MeteringDuration", PROPERTY_TIMESPAN, NULL, "since power-on"},
    {"AverageProcessorUsage", PROPERTY_INT, NULL, "percent of its virtual processors since power-on"},
    {"ProcessorTime", PROPERTY_TIMESPAN, NULL, "that its virtual processors used"},
    {"AverageMemoryUsage", PROPERTY_INT, NULL, "MiB it has now"},
    {"MaximumMemoryUsage", PROPERTY_INT, NULL, "MiB it may have"},
    {"TotalDiskAllocation", PROPERTY_INT, NULL, "MiB its disks take on the host"},
    {"NetworkInbound", PROPERTY_INT, NULL, "MiB that went to its adapters since they were connected"},
    {"NetworkOutbound", PROPERTY_INT, NULL, "MiB that its adapters sent since they were connected"},
    {0},
};

static const struct property node_properties[] = {
    {"NodeId", PROPERTY_INT, NULL, "its number"},
    {"ProcessorsAvailability", PROPERTY_STRING, NULL, "its processors: 0-3"},
    {"MemoryAvailable", PROPERTY_INT, NULL, "MiB that are free"},
    {"MemoryTotal", PROPERTY_INT, NULL, "MiB it has"},
    {"ComputerName", PROPERTY_STRING, NULL, "the host"},
    {0},
};

static const struct class classes[] = {
    {.name = "VMMeteringReport",
     .full_name = "Microsoft.HyperV.PowerShell.VMMeteringReportForVirtualMachine",
     .key = "VMId",
     .display = "VMName",
     .properties = report_properties,
     .columns = {{"VMName", NULL, 0, false},
                 {"AverageProcessorUsage", "AvgCPU(%)", 0, true},
                 {"AverageMemoryUsage", "AvgRAM(M)", 0, true},
                 {"MaximumMemoryUsage", "MaxRAM(M)", 0, true},
                 {"TotalDiskAllocation", "TotalDisk(M)", 0, true},
                 {"NetworkInbound", "NetworkInbound(M)", 0, true},
                 {"NetworkOutbound", "NetworkOutbound(M)", 0, true},
                 {"MeteringDuration", NULL, 0, false}}},
    {.name = "VMHostNumaNode",
     .full_name = "Microsoft.HyperV.PowerShell.VMHostNumaNode",
     .key = "NodeId",
     .display = "NodeId",
     .properties = node_properties},
    {0},
};

const struct noun table_vm_work = {cmdlets, classes};
