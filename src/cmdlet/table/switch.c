// Virtual switches: what network adapters are plugged into.
#include "cmdlet/table/selector.h"
#include "cmdlet/table/table.h"

#define SWITCH(set)                                                                                       \
    {                                                                                                     \
        .name = "VMSwitch", .type = PARAMETER_OBJECT, .sets = (set), .position = 1, .object = "VMSwitch", \
        .flags = PARAMETER_MANDATORY | PARAMETER_LIST | PARAMETER_PIPED,                                  \
        .help = "The switches, as Get-VMSwitch gives them."                                               \
    }
#define NAME(set)                                                                                                   \
    {                                                                                                               \
        .name = "Name", .aliases = "SwitchName", .type = PARAMETER_STRING, .sets = (set), .position = 1,            \
        .object = "VMSwitch", .flags = PARAMETER_MANDATORY | PARAMETER_LIST | PARAMETER_PIPED | PARAMETER_WILDCARD, \
        .help = "The names of the switches."                                                                        \
    }

static const struct parameter new_parameters[] = {
    {.name = "Name",
     .aliases = "SwitchName",
     .type = PARAMETER_STRING,
     .flags = PARAMETER_MANDATORY,
     .position = 1,
     .help = "The new switch's name."},
    {.name = "SwitchType",
     .type = PARAMETER_ENUM,
     .values = "Internal Private",
     .sets = PARAMETER_SET_1,
     .flags = PARAMETER_MANDATORY,
     .help = "Internal: virtual machines and the host. Private: virtual machines alone."},
    {.name = "NetAdapterName",
     .aliases = "InterfaceAlias",
     .type = PARAMETER_STRING,
     .sets = PARAMETER_SET_2,
     .flags = PARAMETER_MANDATORY | PARAMETER_LIST | PARAMETER_NAMED,
     .object = "NetAdapter",
     .help = "The host's adapter through which an external switch reaches the outside."},
    {.name = "NetAdapterInterfaceDescription",
     .aliases = "InterfaceDescription",
     .type = PARAMETER_STRING,
     .sets = PARAMETER_SET_3,
     .flags = PARAMETER_MANDATORY | PARAMETER_LIST,
     .help = "The same by its description."},
    {.name = "AllowManagementOS",
     .type = PARAMETER_BOOL,
     .sets = PARAMETER_SET_2 | PARAMETER_SET_3,
     .help = "Whether the host shares that adapter. $true: it keeps it as it is, and gets an adapter of its own on the "
             "switch, 'vEthernet (NAME)', where its kernel can make one. $false is refused while the host has an "
             "address there: it may be connected by it."},
    {.name = "Dhcp",
     .type = PARAMETER_ENUM,
     .values = "On Off",
     .sets = PARAMETER_SET_1,
     .flags = PARAMETER_NIDUS,
     .help = "Whether addresses of an Internal switch's network are given by DHCP. Off by default, so that addresses "
             "given by hand are never disturbed."},
    {.name = "Notes", .type = PARAMETER_STRING, .help = "The owner's words."},
    {.name = "MinimumBandwidthMode",
     .type = PARAMETER_ENUM,
     .values = "Default Weight Absolute None",
     .help = "How kept bandwidth is given: by weight or in bits a second. For the record only: nidus's switches serve "
             "all ports in turn."},
    {.name = "EnableIov", .type = PARAMETER_BOOL, .help = "SR-IOV. nidus has none: only $false is taken."},
    {.name = "EnablePacketDirect",
     .type = PARAMETER_BOOL,
     .help = "Packet Direct. nidus has none: only $false is taken."},
    {.name = "EnableEmbeddedTeaming", .type = PARAMETER_BOOL, .help = "Teaming. nidus has none: only $false is taken."},
    {0},
};

static const struct parameter get_parameters[] = {
    {.name = "Name",
     .aliases = "SwitchName",
     .type = PARAMETER_STRING,
     .sets = PARAMETER_SET_1,
     .position = 1,
     .object = "VMSwitch",
     .flags = PARAMETER_LIST | PARAMETER_PIPED | PARAMETER_WILDCARD,
     .help = "The names of the switches; all if none is given."},
    {.name = "Id",
     .aliases = "SwitchId",
     .type = PARAMETER_STRING,
     .sets = PARAMETER_SET_2,
     .position = 1,
     .flags = PARAMETER_LIST | PARAMETER_NAMED,
     .help = "The ids of the switches."},
    {.name = "SwitchType",
     .type = PARAMETER_ENUM,
     .values = "Internal Private External",
     .flags = PARAMETER_LIST,
     .help = "Only switches of these types."},
    {0},
};

static const struct parameter set_parameters[] = {
    NAME(PARAMETER_SET_1),
    SWITCH(PARAMETER_SET_2),
    {.name = "SwitchType",
     .type = PARAMETER_ENUM,
     .values = "Internal Private",
     .help = "Makes it a switch of this type."},
    {.name = "NetAdapterName",
     .type = PARAMETER_STRING,
     .object = "NetAdapter",
     .help = "Makes it an external switch through this adapter of the host."},
    {.name = "AllowManagementOS",
     .type = PARAMETER_BOOL,
     .help = "Whether the host shares that adapter, as of New-VMSwitch."},
    {.name = "Dhcp",
     .type = PARAMETER_ENUM,
     .values = "On Off",
     .flags = PARAMETER_NIDUS,
     .help = "Whether addresses of an Internal switch's network are given by DHCP. Off by default, so that addresses "
             "given by hand are never disturbed."},
    {.name = "Notes", .type = PARAMETER_STRING, .help = "The owner's words."},
    {.name = "DefaultFlowMinimumBandwidthAbsolute",
     .type = PARAMETER_INT,
     .least = 0,
     .most = INT64_MAX,
     .help = "Bits a second kept for adapters without a value of their own. For the record only."},
    {.name = "DefaultFlowMinimumBandwidthWeight",
     .type = PARAMETER_INT,
     .least = 0,
     .most = 100,
     .help = "The share of adapters without a value of their own. For the record only."},
    PARAMETER_PASSTHRU,
    {0},
};

static const struct parameter remove_parameters[] = {
    NAME(PARAMETER_SET_1),
    SWITCH(PARAMETER_SET_2),
    PARAMETER_FORCE,
    {0},
};

static const struct parameter rename_parameters[] = {
    {.name = "Name",
     .aliases = "SwitchName",
     .type = PARAMETER_STRING,
     .sets = PARAMETER_SET_1,
     .position = 1,
     .object = "VMSwitch",
     .flags = PARAMETER_MANDATORY | PARAMETER_PIPED,
     .help = "The switch's name until now."},
    SWITCH(PARAMETER_SET_2),
    PARAMETER_NEW_NAME,
    PARAMETER_PASSTHRU,
    {0},
};

static const struct cmdlet cmdlets[] = {
    {.name = "New-VMSwitch",
     .module = "Hyper-V",
     .parameters = new_parameters,
     .output = "VMSwitch",
     .sets = {"SwitchType", "NetAdapterName", "NetAdapterInterfaceDescription"},
     .flags = CMDLET_SHOULD_PROCESS | CMDLET_CHANGES,
     .synopsis = "Makes a virtual switch.",
     .examples = {{"New-VMSwitch -Name VmNAT -SwitchType Internal",
                   "Makes a switch for virtual machines and the host, the first step to a NAT."},
                  {"New-VMSwitch lab-only -SwitchType Private", "Makes a switch for virtual machines alone."}}},
    {.name = "Get-VMSwitch",
     .module = "Hyper-V",
     .parameters = get_parameters,
     .output = "VMSwitch",
     .sets = {"Name", "Id"},
     .synopsis = "Gets virtual switches.",
     .examples = {{"Get-VMSwitch", "Shows all switches."}}},
    {.name = "Set-VMSwitch",
     .module = "Hyper-V",
     .parameters = set_parameters,
     .output = "VMSwitch",
     .sets = {"SwitchName", "SwitchObject"},
     .flags = CMDLET_SHOULD_PROCESS | CMDLET_CHANGES,
     .synopsis = "Configures a virtual switch.",
     .examples = {{"Set-VMSwitch VmNAT -Notes 'for nested VMs'", "Writes a note to the switch."}}},
    {.name = "Remove-VMSwitch",
     .module = "Hyper-V",
     .parameters = remove_parameters,
     .sets = {"SwitchName", "SwitchObject"},
     .flags = CMDLET_SHOULD_PROCESS | CMDLET_CHANGES | CMDLET_CONFIRM,
     .synopsis = "Removes a virtual switch; adapters on it are unplugged.",
     .examples = {{"Remove-VMSwitch VmNAT -Force", "Removes the switch without a question."}}},
    {.name = "Rename-VMSwitch",
     .module = "Hyper-V",
     .parameters = rename_parameters,
     .output = "VMSwitch",
     .sets = {"SwitchName", "SwitchObject"},
     .flags = CMDLET_SHOULD_PROCESS | CMDLET_CHANGES,
     .synopsis = "Renames a virtual switch.",
     .examples = {{"Rename-VMSwitch VmNAT -NewName Outside", "Gives the switch another name."}}},
    {0},
};

static const struct property properties[] = {
    {"Name", PROPERTY_STRING, NULL, "its name"},
    {"Id", PROPERTY_STRING, NULL, "its id"},
    {"Notes", PROPERTY_STRING, NULL, "the owner's words"},
    {"SwitchType", PROPERTY_STRING, NULL, "Private, Internal, External"},
    {"AllowManagementOS", PROPERTY_BOOL, NULL, "whether the host has an adapter on it"},
    {"NetAdapterInterfaceDescription", PROPERTY_STRING, NULL, "the host's adapter of an external switch"},
    {"NetAdapterName", PROPERTY_STRING, NULL, "that adapter's name"},
    {"BandwidthReservationMode", PROPERTY_STRING, NULL, "Absolute, Weight, None, Default"},
    {"DefaultFlowMinimumBandwidthAbsolute", PROPERTY_INT, NULL, "bits a second"},
    {"DefaultFlowMinimumBandwidthWeight", PROPERTY_INT, NULL, "share"},
    {"EmbeddedTeamingEnabled", PROPERTY_BOOL, NULL, "teaming"},
    {"IovEnabled", PROPERTY_BOOL, NULL, "SR-IOV"},
    {"PacketDirectEnabled", PROPERTY_BOOL, NULL, "Packet Direct"},
    {"DhcpEnabled", PROPERTY_BOOL, NULL, "whether its network's addresses are given by DHCP"},
    {"NetworkBackend", PROPERTY_STRING, NULL, "Kernel: the host's interfaces; User: the switch's own sockets; None"},
    {"ComputerName", PROPERTY_STRING, NULL, "the host"},
    {"IsDeleted", PROPERTY_BOOL, NULL, "whether it was removed since"},
    {0},
};

static const struct class classes[] = {
    {.name = "VMSwitch",
     .full_name = "Microsoft.HyperV.PowerShell.VMSwitch",
     .key = "Id",
     .display = "Name",
     .properties = properties,
     .columns = {{"Name", NULL, 0, false},
                 {"SwitchType", NULL, 0, false},
                 {"NetAdapterInterfaceDescription", NULL, 0, false}}},
    {0},
};

const struct noun table_switch = {cmdlets, classes};
