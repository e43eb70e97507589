// How host and guest talk besides the network: serial ports, and the services that the guest's agent gives.
#include "cmdlet/table/selector.h"
#include "cmdlet/table/table.h"

static const struct parameter get_port_parameters[] = {
    SELECTOR_VM_NAME(PARAMETER_SET_1),
    SELECTOR_VM(PARAMETER_SET_2),
    {.name = "Number", .type = PARAMETER_INT, .least = 1, .most = 2, .position = 2, .help = "COM 1 or COM 2; both if not given."},
    {0},
};

static const struct parameter set_port_parameters[] = {
    SELECTOR_VM_NAME(PARAMETER_SET_1),
    SELECTOR_VM(PARAMETER_SET_2),
    SELECTOR_PART("VMComPort", PARAMETER_SET_3),
    {.name = "Number", .type = PARAMETER_INT, .least = 1, .most = 2, .sets = PARAMETER_SET_1 | PARAMETER_SET_2,
     .flags = PARAMETER_MANDATORY, .position = 2, .help = "COM 1 or COM 2."},
    {.name = "Path", .type = PARAMETER_ANY, .position = 3,
     .help = "The Unix socket on which the port can be reached, or $null for none. The VM must be off."},
    {.name = "DebuggerMode", .type = PARAMETER_ENUM, .values = "On Off", .help = "Kept; nidus makes no difference."},
    PARAMETER_PASSTHRU,
    {0},
};

static const struct parameter get_service_parameters[] = {
    SELECTOR_VM_NAME(PARAMETER_SET_1),
    SELECTOR_VM(PARAMETER_SET_2),
    {.name = "Name", .type = PARAMETER_STRING, .flags = PARAMETER_LIST | PARAMETER_WILDCARD, .position = 2,
     .help = "Shutdown, Heartbeat; both if not given."},
    {0},
};

static const struct parameter change_service_parameters[] = {
    {.name = "Name", .type = PARAMETER_STRING, .flags = PARAMETER_MANDATORY | PARAMETER_LIST | PARAMETER_WILDCARD,
     .position = 1, .sets = PARAMETER_SET_1 | PARAMETER_SET_2, .help = "Shutdown, Heartbeat."},
    {.name = "VMName", .type = PARAMETER_STRING, .sets = PARAMETER_SET_1, .position = 2, .object = "VirtualMachine",
     .flags = PARAMETER_MANDATORY | PARAMETER_LIST | PARAMETER_PIPED | PARAMETER_WILDCARD,
     .help = "The names of the virtual machines; * and ? stand for any characters."},
    {.name = "VM", .type = PARAMETER_OBJECT, .sets = PARAMETER_SET_2, .position = 2, .object = "VirtualMachine",
     .flags = PARAMETER_MANDATORY | PARAMETER_LIST | PARAMETER_PIPED, .help = "The virtual machines, as Get-VM gives them."},
    {.name = "VMIntegrationService", .type = PARAMETER_OBJECT, .sets = PARAMETER_SET_3, .position = 1,
     .object = "VMIntegrationService", .flags = PARAMETER_MANDATORY | PARAMETER_LIST | PARAMETER_PIPED,
     .help = "The services themselves."},
    PARAMETER_PASSTHRU,
    {0},
};

#define CHANGES (CMDLET_SHOULD_PROCESS | CMDLET_CHANGES)

static const struct cmdlet cmdlets[] = {
    {.name = "Get-VMComPort", .module = "Hyper-V", .parameters = get_port_parameters, .output = "VMComPort",
     .sets = {"VMName", "VMObject"}, .synopsis = "Gets the serial ports of virtual machines.",
     .examples = {{"Get-VMComPort -VMName lab", "Shows where lab's ports can be reached."}}},
    {.name = "Set-VMComPort", .module = "Hyper-V", .parameters = set_port_parameters, .output = "VMComPort",
     .sets = {"VMName", "VMObject", "VMComPort"}, .flags = CHANGES, .synopsis = "Sets where a serial port can be reached.",
     .examples = {{"Set-VMComPort -VMName lab -Number 2 -Path /run/lab.com2", "Makes COM 2 a Unix socket."}}},
    {.name = "Get-VMIntegrationService", .module = "Hyper-V", .parameters = get_service_parameters,
     .output = "VMIntegrationService", .sets = {"VMName", "VMObject"},
     .synopsis = "Gets what the agent in a guest does for its host.",
     .description = "Shutdown lets Stop-VM ask the guest to go down; Heartbeat tells whether the guest answers. Both speak to the "
                    "agent in the guest (qemu-guest-agent, or nidus guest-agent).",
     .examples = {{"Get-VMIntegrationService -VMName lab", "Shows whether the guest in lab answers."}}},
    {.name = "Enable-VMIntegrationService", .module = "Hyper-V", .parameters = change_service_parameters,
     .output = "VMIntegrationService", .sets = {"VMName", "VMObject", "VMIntegrationService"}, .flags = CHANGES,
     .synopsis = "Turns a service of the guest's agent on.",
     .examples = {{"Enable-VMIntegrationService -VMName lab -Name Heartbeat", "Watches whether the guest answers."}}},
    {.name = "Disable-VMIntegrationService", .module = "Hyper-V", .parameters = change_service_parameters,
     .output = "VMIntegrationService", .sets = {"VMName", "VMObject", "VMIntegrationService"}, .flags = CHANGES,
     .synopsis = "Turns a service of the guest's agent off.",
     .examples = {{"Disable-VMIntegrationService -VMName lab -Name Heartbeat", "Leaves the guest alone."}}},
    {0},
};

static const struct property port_properties[] = {
    {"Path", PROPERTY_STRING, NULL, "the Unix socket, or empty"},
    {"DebuggerMode", PROPERTY_STRING, NULL, "On, Off"},
    {"Name", PROPERTY_STRING, NULL, "COM 1, COM 2"},
    {"Id", PROPERTY_STRING, NULL, "names this part of this VM"},
    {"Number", PROPERTY_INT, NULL, "1, 2"},
    {"VMId", PROPERTY_STRING, NULL, "the VM's id"},
    {"VMName", PROPERTY_STRING, NULL, "the VM's name"},
    {"ComputerName", PROPERTY_STRING, NULL, "the host"},
    {"IsDeleted", PROPERTY_BOOL, NULL, "whether the VM was removed since"},
    {0},
};

static const struct property service_properties[] = {
    {"VMName", PROPERTY_STRING, NULL, "the VM's name"},
    {"Name", PROPERTY_STRING, NULL, "Shutdown, Heartbeat"},
    {"Enabled", PROPERTY_BOOL, NULL, "whether it is on"},
    {"PrimaryOperationalStatus", PROPERTY_STRING, NULL, "Ok, NoContact, LostCommunication, or empty"},
    {"PrimaryStatusDescription", PROPERTY_STRING, NULL, "the same in words"},
    {"SecondaryOperationalStatus", PROPERTY_STRING, NULL, "empty"},
    {"SecondaryStatusDescription", PROPERTY_STRING, NULL, "empty"},
    {"Id", PROPERTY_STRING, NULL, "names this part of this VM"},
    {"VMId", PROPERTY_STRING, NULL, "the VM's id"},
    {"ComputerName", PROPERTY_STRING, NULL, "the host"},
    {0},
};

static const struct class classes[] = {
    {.name = "VMComPort", .full_name = "Microsoft.HyperV.PowerShell.VMComPort", .key = "Id", .display = "Name",
     .properties = port_properties,
     .columns = {{"VMName", NULL, 0, false}, {"Name", NULL, 0, false}, {"Path", NULL, 0, false}}},
    {.name = "VMIntegrationService", .full_name = "Microsoft.HyperV.PowerShell.VMIntegrationComponent", .key = "Id",
     .display = "Name", .properties = service_properties,
     .columns = {{"VMName", NULL, 0, false}, {"Name", NULL, 0, false}, {"Enabled", NULL, 0, false},
                 {"PrimaryStatusDescription", NULL, 0, false}, {"SecondaryStatusDescription", NULL, 0, false}}},
    {0},
};

const struct noun table_port = {cmdlets, classes};
