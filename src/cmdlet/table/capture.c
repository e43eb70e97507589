// What goes over a network adapter's port, written to a file for Wireshark and its like. Hyper-V has no cmdlet for it
// (netsh and pktmon do it there, on the host); these are nidus's own.
#include "cmdlet/table/selector.h"
#include "cmdlet/table/table.h"

#define CAPTURE_SELECTORS                                                                                             \
    SELECTOR_VMS,                                                  \
    SELECTOR_PART("VMNetworkAdapter", PARAMETER_SET_3),                                                               \
    {.name = "Name", .aliases = "VMNetworkAdapterName", .type = PARAMETER_STRING,                                     \
     .sets = PARAMETER_SET_1 | PARAMETER_SET_2, .flags = PARAMETER_WILDCARD,                                          \
     .help = "Only adapters of this name; * and ? stand for any characters."}

static const struct parameter start_parameters[] = {
    CAPTURE_SELECTORS,
    {.name = "Path",
     .type = PARAMETER_PATH,
     .flags = PARAMETER_MANDATORY,
     .help = "The file, in the format pcapng. The service makes it."},
    {.name = "MaximumSize",
     .type = PARAMETER_BYTES,
     .least = 64 << 10,
     .most = 1ll << 40,
     .help = "Where the file ends, and the capture with it; 256MB if nothing is said."},
    {.name = "Force", .type = PARAMETER_SWITCH, .help = "Replaces a file that is there."},
    PARAMETER_PASSTHRU,
    {0},
};

static const struct parameter stop_parameters[] = {CAPTURE_SELECTORS, {0}};

static const struct parameter get_parameters[] = {
    {.name = "VMName",
     .type = PARAMETER_STRING,
     .position = 1,
     .object = "VirtualMachine",
     .flags = PARAMETER_LIST | PARAMETER_PIPED | PARAMETER_NAMED | PARAMETER_WILDCARD,
     .help = "Only adapters of these virtual machines."},
    {0},
};

static const struct cmdlet cmdlets[] = {
    {.name = "Start-VMNetworkAdapterCapture",
     .module = "Nidus",
     .flags = CMDLET_SHOULD_PROCESS | CMDLET_CHANGES,
     .parameters = start_parameters,
     .output = "VMNetworkAdapterCapture",
     .sets = {"VMName", "VMObject", "VMNetworkAdapter"},
     .synopsis = "Writes what goes over a network adapter's port to a file, while it goes.",
     .description = "Each frame the virtual machine sends is written, what its port's rules forbid included, and each "
                    "that it gets. Checksums and segmentation that a guest leaves to its adapter are not done yet in "
                    "them. The capture ends by Stop-VMNetworkAdapterCapture, when the file has its size, when the "
                    "adapter is unplugged, or when its virtual machine ends.",
     .examples = {{"Start-VMNetworkAdapterCapture lab -Path /tmp/lab.pcapng",
                   "Writes what lab's adapter carries; wireshark and tshark read it."},
                  {"Get-VMNetworkAdapter -VMName lab | Start-VMNetworkAdapterCapture -Path lab.pcapng -MaximumSize 1GB",
                   "The same, up to another size."}}},
    {.name = "Stop-VMNetworkAdapterCapture",
     .module = "Nidus",
     .flags = CMDLET_SHOULD_PROCESS | CMDLET_CHANGES,
     .parameters = stop_parameters,
     .output = "VMNetworkAdapterCapture",
     .sets = {"VMName", "VMObject", "VMNetworkAdapter"},
     .synopsis = "Ends a capture, and says what it has.",
     .examples = {{"Stop-VMNetworkAdapterCapture lab", "Ends the capture at lab's adapter."}}},
    {.name = "Get-VMNetworkAdapterCapture",
     .module = "Nidus",
     .parameters = get_parameters,
     .output = "VMNetworkAdapterCapture",
     .synopsis = "Gets the captures that are under way.",
     .examples = {{"Get-VMNetworkAdapterCapture", "Shows all of them."}}},
    {0},
};

static const struct property properties[] = {
    {"VMName", PROPERTY_STRING, NULL, "the VM's name"},
    {"VMId", PROPERTY_STRING, NULL, "the VM's id"},
    {"VMNetworkAdapterName", PROPERTY_STRING, NULL, "the adapter's name"},
    {"Path", PROPERTY_STRING, NULL, "the file"},
    {"Packets", PROPERTY_INT, NULL, "frames in it"},
    {"Size", PROPERTY_INT, NULL, "its bytes"},
    {0},
};

static const struct class classes[] = {
    {.name = "VMNetworkAdapterCapture",
     .full_name = "Nidus.VMNetworkAdapterCapture",
     .key = "Path",
     .display = "Path",
     .properties = properties,
     .columns = {{"VMName", NULL, 0, false},
                 {"VMNetworkAdapterName", NULL, 0, false},
                 {"Packets", NULL, 0, true},
                 {"Size", NULL, 0, true},
                 {"Path", NULL, 0, false}}},
    {0},
};

const struct noun table_capture = {cmdlets, classes};
