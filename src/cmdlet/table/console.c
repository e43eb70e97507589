// A VM's console: what its serial port and its virtio console say, in this terminal.
#include "cmdlet/table/selector.h"
#include "cmdlet/table/table.h"

static const struct parameter parameters[] = {
    {.name = "VMName", .aliases = "Name", .type = PARAMETER_STRING, .sets = PARAMETER_SET_1, .position = 1,
     .object = "VirtualMachine", .flags = PARAMETER_MANDATORY | PARAMETER_PIPED | PARAMETER_NAMED,
     .help = "The name of the virtual machine."},
    {.name = "VM", .type = PARAMETER_OBJECT, .sets = PARAMETER_SET_2, .position = 1, .object = "VirtualMachine",
     .flags = PARAMETER_MANDATORY | PARAMETER_PIPED, .help = "The virtual machine, as Get-VM gives it."},
    {0},
};

static const struct parameter window_parameters[] = {
    {.name = "ServerName", .type = PARAMETER_STRING, .position = 1, .flags = PARAMETER_MANDATORY,
     .help = "The virtual machine's host: localhost. Alone, it is the virtual machine's name."},
    {.name = "VMName", .type = PARAMETER_STRING, .position = 2, .object = "VirtualMachine",
     .help = "The name of the virtual machine."},
    {0},
};

static const struct cmdlet cmdlets[] = {
    {
        .name = "Connect-VM",
        .module = "Hyper-V",
        .synopsis = "Connects this terminal to the console of a running virtual machine.",
        .description = "What the console said last is shown first. Several terminals may be connected to one console: "
                       "all see it, and each can type. Ctrl-] and then q leaves, and the virtual machine runs on; "
                       "Ctrl-] and then h lists the keys. A virtual machine on another host (nidus --server) shows "
                       "it through that host's service. With --json nothing is connected: the object says where the "
                       "console's socket is and where its log.",
        .parameters = parameters,
        .sets = {"VMName", "VMObject"},
        .output = "VMConsole",
        .examples = {{"Connect-VM lab", "Shows the console of lab."},
                     {"Start-VM lab -Passthru | Connect-VM", "Starts lab and shows its console."}},
    },
    {.name = "vmconnect",
     .aliases = "vmconnect.exe",
     .module = "Hyper-V",
     .flags = CMDLET_LOCAL,
     .synopsis = "Connects this terminal to the console of a running virtual machine, as Connect-VM does.",
     .parameters = window_parameters,
     .examples = {{"vmconnect localhost lab", "Shows the console of lab."}}},
    {0},
};

static const struct property properties[] = {
    {"VMName", PROPERTY_STRING, NULL, "the VM's name"},
    {"VMId", PROPERTY_STRING, NULL, "the VM's id"},
    {"Path", PROPERTY_STRING, NULL, "the Unix socket on which its worker serves the console"},
    {"LogPath", PROPERTY_STRING, NULL, "the file that keeps what the console said"},
    {0},
};

static const struct class classes[] = {
    {.name = "VMConsole", .full_name = "Nidus.VMConsole", .key = "VMId", .display = "VMName", .properties = properties},
    {0},
};

const struct noun table_console = {cmdlets, classes};
