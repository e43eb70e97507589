// Virtual machines themselves: making, starting, stopping, looking at them.
#include "cmdlet/table/selector.h"
#include "cmdlet/table/table.h"

static const struct property vm_properties[] = {
    {"Name", PROPERTY_STRING, NULL, "the name; several VMs may have the same"},
    {"State", PROPERTY_STRING, NULL, "Off, Running, Saved, Paused, or on the way there"},
    {"CPUUsage", PROPERTY_INT, NULL, "percent of its virtual processors"},
    {"MemoryAssigned", PROPERTY_INT, NULL, "bytes it has now"},
    {"MemoryDemand", PROPERTY_INT, NULL, "bytes its guest needs, 0 if it does not tell"},
    {"MemoryStatus", PROPERTY_STRING, NULL, "OK, Low, Warning, or empty"},
    {"Uptime", PROPERTY_TIMESPAN, NULL, "since power-on, pauses not counted"},
    {"Status", PROPERTY_STRING, NULL, "in words"},
    {"ReplicationState", PROPERTY_STRING, NULL, "Disabled: nidus does not replicate"},
    {"Generation", PROPERTY_INT, NULL, "1 or 2"},
    {"Version", PROPERTY_STRING, NULL, "configuration version, which says what the VM can have"},
    {"Heartbeat", PROPERTY_STRING, NULL, "what the guest's agent says"},
    {"VMId", PROPERTY_STRING, NULL, "its id"},
    {"Id", PROPERTY_STRING, NULL, "its id"},
    {"ComputerName", PROPERTY_STRING, NULL, "the host"},
    {"ProcessorCount", PROPERTY_INT, NULL, "virtual processors"},
    {"MemoryStartup", PROPERTY_INT, NULL, "bytes at power-on"},
    {"MemoryMinimum", PROPERTY_INT, NULL, "bytes, the least"},
    {"MemoryMaximum", PROPERTY_INT, NULL, "bytes, the most"},
    {"DynamicMemoryEnabled", PROPERTY_BOOL, NULL, "whether memory follows what its guest needs"},
    {"AutomaticStartAction", PROPERTY_STRING, NULL, "what happens when the service starts"},
    {"AutomaticStartDelay", PROPERTY_INT, NULL, "seconds before that"},
    {"AutomaticStopAction", PROPERTY_STRING, NULL, "what happens when the host goes down"},
    {"AutomaticCriticalErrorAction", PROPERTY_STRING, NULL, "what happens when its disks are out of reach"},
    {"AutomaticCriticalErrorActionTimeout", PROPERTY_INT, NULL, "minutes before that"},
    {"CheckpointType", PROPERTY_STRING, NULL, "which checkpoints it takes"},
    {"AutomaticCheckpointsEnabled", PROPERTY_BOOL, NULL, "whether one is taken at each start"},
    {"ParentCheckpointId", PROPERTY_STRING, NULL, "the checkpoint it goes on from, or empty"},
    {"Notes", PROPERTY_STRING, NULL, "the owner's words"},
    {"Path", PROPERTY_STRING, NULL, "the folder its files go to"},
    {"CreationTime", PROPERTY_DATETIME, NULL, "when it was made"},
    {"HypervisorRunning", PROPERTY_BOOL, NULL, "whether a hypervisor runs in it right now"},
    {"VirtualizationExtension", PROPERTY_STRING, NULL, "which one that uses: VT-x, AMD-V, None"},
    {"NestedGuestsLaunched", PROPERTY_INT, NULL, "guests it has launched since power-on"},
    {"IsDeleted", PROPERTY_BOOL, NULL, "whether it was removed since"},
    {0},
};

static const struct class classes[] = {
    {
        .name = "VirtualMachine",
        .full_name = "Microsoft.HyperV.PowerShell.VirtualMachine",
        .key = "Id",
        .display = "Name",
        .properties = vm_properties,
        .columns = {{"Name", NULL, 0, false}, {"State", NULL, 0, false}, {"CPUUsage", "CPUUsage(%)", 0, false},
                    {"MemoryAssigned", "MemoryAssigned(M)", MIB(1), false}, {"Uptime", NULL, 0, false},
                    {"Status", NULL, 0, false}, {"Version", NULL, 0, false}},
    },
    {0},
};

const struct noun table_vm = {NULL, classes};
