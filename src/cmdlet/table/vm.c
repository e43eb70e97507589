// Virtual machines themselves: making, starting, stopping, looking at them.
#include "cmdlet/table/selector.h"
#include "cmdlet/table/table.h"

// VM cmdlets call the VM's name -Name.
#define SELECTOR_NAME(set, more)                                                                                      \
    {.name = "Name", .aliases = "VMName", .type = PARAMETER_STRING, .sets = (set), .position = 1,                     \
     .object = "VirtualMachine", .flags = PARAMETER_LIST | PARAMETER_PIPED | PARAMETER_WILDCARD | (more),             \
     .help = "The names of the virtual machines; * and ? stand for any characters."}

static const struct parameter get_parameters[] = {
    SELECTOR_NAME(PARAMETER_SET_1, 0),
    {.name = "Id", .type = PARAMETER_STRING, .sets = PARAMETER_SET_2, .flags = PARAMETER_MANDATORY | PARAMETER_NAMED,
     .object = "VirtualMachine", .help = "The id of the virtual machine."},
    {0},
};

static const struct parameter new_parameters[] = {
    {.name = "Name", .aliases = "VMName", .type = PARAMETER_STRING, .position = 1,
     .help = "The name of the new virtual machine. \"New virtual machine\" if none is given."},
    {.name = "MemoryStartupBytes", .type = PARAMETER_BYTES, .position = 2, .least = (s64)MIB(32),
     .most = (s64)MIB(12 << 20), .help = "Its memory; 512MB if not given."},
    {.name = "Generation", .type = PARAMETER_INT, .least = 1, .most = 2,
     .help = "1 or 2. Both are kept and shown; the machine is the same."},
    {.name = "BootDevice", .type = PARAMETER_ENUM, .values = "CD Floppy LegacyNetworkAdapter IDE NetworkAdapter VHD",
     .help = "What it boots from first. Floppy, IDE and LegacyNetworkAdapter are for generation 1 only."},
    {.name = "NoVHD", .type = PARAMETER_SWITCH, .sets = PARAMETER_SET_1, .help = "Makes it without a disk."},
    {.name = "NewVHDPath", .type = PARAMETER_PATH, .sets = PARAMETER_SET_2, .flags = PARAMETER_MANDATORY,
     .help = "A disk to make for it. A name without a folder goes to the host's default folder."},
    {.name = "NewVHDSizeBytes", .type = PARAMETER_BYTES, .sets = PARAMETER_SET_2, .flags = PARAMETER_MANDATORY,
     .least = (s64)MIB(1), .most = (s64)GIB(64 << 10), .help = "The size of that disk."},
    {.name = "VHDPath", .type = PARAMETER_PATH, .sets = PARAMETER_SET_3, .flags = PARAMETER_MANDATORY,
     .help = "A disk that is there."},
    {.name = "SwitchName", .type = PARAMETER_STRING, .object = "VMSwitch",
     .help = "The switch its network adapter is plugged into. None: the adapter is not connected."},
    {.name = "Path", .type = PARAMETER_PATH, .help = "The folder its files go to."},
    {.name = "Version", .type = PARAMETER_VERSION, .object = "VMHostSupportedVersion",
     .help = "The configuration version, which says what it can have."},
    {.name = "Prerelease", .type = PARAMETER_SWITCH, .help = "Version 254.0: for what is not released yet."},
    {.name = "Experimental", .type = PARAMETER_SWITCH, .help = "Version 255.0: for trials."},
    PARAMETER_FORCE,
    PARAMETER_AS_JOB,
    {0},
};

static const struct parameter set_parameters[] = {
    SELECTOR_NAME(PARAMETER_SET_1, PARAMETER_MANDATORY),
    SELECTOR_VM(PARAMETER_SET_2),
    {.name = "ProcessorCount", .type = PARAMETER_INT, .least = 1, .most = 64, .help = "How many processors it has."},
    {.name = "DynamicMemory", .type = PARAMETER_SWITCH, .help = "Its memory follows what its guest needs."},
    {.name = "StaticMemory", .type = PARAMETER_SWITCH, .help = "Its memory stays as it is."},
    {.name = "MemoryStartupBytes", .type = PARAMETER_BYTES, .least = (s64)MIB(32), .most = (s64)MIB(12 << 20),
     .help = "Its memory at power-on."},
    {.name = "MemoryMinimumBytes", .type = PARAMETER_BYTES, .least = (s64)MIB(32), .most = (s64)MIB(12 << 20),
     .help = "The least dynamic memory leaves it."},
    {.name = "MemoryMaximumBytes", .type = PARAMETER_BYTES, .least = (s64)MIB(32), .most = (s64)MIB(12 << 20),
     .help = "The most dynamic memory gives it."},
    {.name = "AutomaticStartAction", .type = PARAMETER_ENUM, .values = "Nothing StartIfRunning Start",
     .help = "What happens when the host starts."},
    {.name = "AutomaticStartDelay", .type = PARAMETER_INT, .least = 0, .most = 86400,
     .help = "Seconds before that."},
    {.name = "AutomaticStopAction", .type = PARAMETER_ENUM, .values = "TurnOff Save ShutDown",
     .help = "What happens when the host goes down."},
    {.name = "AutomaticCriticalErrorAction", .type = PARAMETER_ENUM, .values = "None Pause",
     .help = "What happens when its disks cannot be written. None is what nidus does: the guest learns of the error."},
    {.name = "AutomaticCriticalErrorActionTimeout", .type = PARAMETER_INT, .least = 0, .most = 86400,
     .help = "Minutes before it is turned off after a pause. Refused, for nidus does not pause it."},
    {.name = "CheckpointType", .type = PARAMETER_ENUM, .values = "Disabled Standard Production ProductionOnly",
     .help = "Which checkpoints it takes."},
    {.name = "AutomaticCheckpointsEnabled", .type = PARAMETER_BOOL, .help = "Whether one is taken at each start."},
    {.name = "Notes", .type = PARAMETER_STRING, .help = "Words about it."},
    {.name = "NewVMName", .type = PARAMETER_STRING, .help = "Its name from now on."},
    PARAMETER_PASSTHRU,
    {0},
};

static const struct parameter remove_parameters[] = {
    SELECTOR_NAME(PARAMETER_SET_1, PARAMETER_MANDATORY), SELECTOR_VM(PARAMETER_SET_2), PARAMETER_FORCE,
    PARAMETER_AS_JOB,
    {0}};

static const struct parameter rename_parameters[] = {
    {.name = "Name", .aliases = "VMName", .type = PARAMETER_STRING, .sets = PARAMETER_SET_1, .position = 1,
     .object = "VirtualMachine", .flags = PARAMETER_MANDATORY | PARAMETER_LIST | PARAMETER_WILDCARD,
     .help = "The name it has."},
    SELECTOR_VM(PARAMETER_SET_2),
    {.name = "NewName", .type = PARAMETER_STRING, .position = 2, .flags = PARAMETER_MANDATORY,
     .help = "The name it gets."},
    PARAMETER_PASSTHRU,
    {0},
};

// Start-VM, Suspend-VM, Resume-VM, Save-VM
static const struct parameter power_parameters[] = {
    SELECTOR_NAME(PARAMETER_SET_1, PARAMETER_MANDATORY), SELECTOR_VM(PARAMETER_SET_2), PARAMETER_AS_JOB,
    PARAMETER_PASSTHRU,
    {0}};

static const struct parameter stop_parameters[] = {
    SELECTOR_NAME(PARAMETER_SET_1, PARAMETER_MANDATORY),
    SELECTOR_VM(PARAMETER_SET_2),
    {.name = "TurnOff", .type = PARAMETER_SWITCH,
     .help = "Pulls the plug; of a saved virtual machine, throws the saved state away."},
    {.name = "Save", .type = PARAMETER_SWITCH, .help = "Saves its state instead."},
    {.name = "Force", .type = PARAMETER_SWITCH,
     .help = "Turns it off if its guest has not shut down within five minutes."},
    PARAMETER_AS_JOB,
    PARAMETER_PASSTHRU,
    {0},
};

static const struct parameter restart_parameters[] = {
    SELECTOR_NAME(PARAMETER_SET_1, PARAMETER_MANDATORY),
    SELECTOR_VM(PARAMETER_SET_2),
    PARAMETER_FORCE,
    {.name = "Type", .type = PARAMETER_ENUM, .values = "Reset Reboot",
     .help = "Reset presses its reset button, which is usual; Reboot shuts its guest down and starts it again."},
    PARAMETER_AS_JOB,
    PARAMETER_PASSTHRU,
    {0},
};

#define CHANGES (CMDLET_SHOULD_PROCESS | CMDLET_CHANGES)
#define POWER(cmdlet, says, example)                                                                                  \
    {.name = cmdlet, .module = "Hyper-V", .flags = CHANGES, .synopsis = says, .parameters = power_parameters,         \
     .sets = {"Name", "VMObject"}, .output = "VirtualMachine", .examples = {{cmdlet " lab", example}}}

static const struct cmdlet cmdlets[] = {
    {.name = "Get-VM",
     .aliases = "gvm",
     .module = "Hyper-V",
     .synopsis = "Gets virtual machines.",
     .parameters = get_parameters,
     .sets = {"Name", "Id"},
     .output = "VirtualMachine",
     .examples = {{"Get-VM", "Shows them all."},
                  {"Get-VM lab | Format-List", "Shows what there is to say about lab, a hypervisor in it included."}}},
    {.name = "New-VM",
     .module = "Hyper-V",
     .flags = CHANGES,
     .synopsis = "Makes a virtual machine.",
     .description = "It is off, has one processor and a network adapter. Set-VMFirmware gives it a kernel to boot, "
                    "Set-VMProcessor -ExposeVirtualizationExtensions $true lets a hypervisor run in it.",
     .parameters = new_parameters,
     .sets = {"No VHD", "New VHD", "Existing VHD"},
     .output = "VirtualMachine",
     .examples = {{"New-VM -Name lab -MemoryStartupBytes 1GB", "Makes lab with 1 GiB of memory and no disk."},
                  {"New-VM lab2 512MB -NewVHDPath /tmp/lab2.img -NewVHDSizeBytes 8GB", "Makes lab2 with a new disk."}}},
    {.name = "Set-VM",
     .module = "Hyper-V",
     .flags = CHANGES,
     .synopsis = "Configures a virtual machine.",
     .parameters = set_parameters,
     .sets = {"Name", "VMObject"},
     .output = "VirtualMachine",
     .examples = {{"Set-VM lab -ProcessorCount 2 -MemoryStartupBytes 1GB", "Gives lab two processors and 1 GiB."},
                  {"Get-VM | Set-VM -AutomaticStopAction ShutDown", "Shuts guests down when the host goes down."}}},
    {.name = "Remove-VM",
     .module = "Hyper-V",
     .flags = CHANGES | CMDLET_CONFIRM,
     .synopsis = "Removes virtual machines that are off. Their disks stay.",
     .parameters = remove_parameters,
     .sets = {"Name", "VMObject"},
     .examples = {{"Remove-VM lab -Force", "Removes lab without a question."}}},
    {.name = "Rename-VM",
     .module = "Hyper-V",
     .flags = CHANGES,
     .synopsis = "Gives a virtual machine another name.",
     .parameters = rename_parameters,
     .sets = {"Name", "VMObject"},
     .output = "VirtualMachine",
     .examples = {{"Rename-VM lab -NewName bench", "Calls lab bench."}}},
    POWER("Start-VM", "Starts virtual machines, or goes on from where they were saved.", "Starts lab."),
    {.name = "Stop-VM",
     .module = "Hyper-V",
     .flags = CHANGES,
     .synopsis = "Shuts virtual machines down, turns them off, or saves them.",
     .description = "Without -TurnOff or -Save the guest is asked to shut down: by its agent, or by its power button.",
     .parameters = stop_parameters,
     .sets = {"Name", "VMObject"},
     .output = "VirtualMachine",
     .examples = {{"Stop-VM lab -TurnOff -Force", "Pulls the plug of lab."}}},
    {.name = "Restart-VM",
     .module = "Hyper-V",
     .flags = CHANGES | CMDLET_CONFIRM,
     .synopsis = "Restarts virtual machines that run.",
     .parameters = restart_parameters,
     .sets = {"Name", "VMObject"},
     .output = "VirtualMachine",
     .examples = {{"Restart-VM lab -Force", "Presses the reset button of lab."}}},
    POWER("Suspend-VM", "Pauses virtual machines that run.", "Pauses lab."),
    POWER("Resume-VM", "Lets paused virtual machines run on.", "Lets lab run on."),
    POWER("Save-VM", "Saves the state of virtual machines and ends them; Start-VM goes on from there.", "Saves lab."),
    {0},
};

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

const struct noun table_vm = {cmdlets, classes};
