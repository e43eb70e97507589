// Network address translation behind an Internal switch: New-NetNat and its companions, as Windows has them.
#include "cmdlet/table/selector.h"
#include "cmdlet/table/table.h"

#define NAT_NAME(mandatory)                                                                                            \
    {                                                                                                                  \
        .name = "Name", .type = PARAMETER_STRING, .position = 1, .object = "NetNat", .sets = PARAMETER_SET_1,          \
        .flags = (mandatory) | PARAMETER_LIST | PARAMETER_NAMED | PARAMETER_WILDCARD, .help = "The names of the NATs." \
    }
#define INPUT_OBJECT(class)                                                                                \
    {                                                                                                      \
        .name = "InputObject", .type = PARAMETER_OBJECT, .object = class, .sets = PARAMETER_SET_2,         \
        .flags = PARAMETER_MANDATORY | PARAMETER_LIST | PARAMETER_PIPED, .help = "The objects themselves." \
    }
#define SECONDS .type = PARAMETER_INT, .least = 0, .most = UINT32_MAX

static const struct parameter new_parameters[] = {
    {.name = "Name",
     .type = PARAMETER_STRING,
     .position = 1,
     .flags = PARAMETER_MANDATORY,
     .help = "The new NAT's name."},
    {.name = "InternalIPInterfaceAddressPrefix",
     .type = PARAMETER_STRING,
     .help = "The network behind the NAT: 192.168.100.0/24."},
    {.name = "ExternalIPInterfaceAddressPrefix",
     .type = PARAMETER_STRING,
     .help = "The outside addresses it uses; the host's if none are given."},
    {.name = "InternalRoutingDomainId", .type = PARAMETER_STRING, .help = "Routing domain; nidus has one, of zeros."},
    {0},
};

static const struct parameter get_parameters[] = {NAT_NAME(0), {0}};

static const struct parameter set_parameters[] = {
    NAT_NAME(PARAMETER_MANDATORY),
    INPUT_OBJECT("NetNat"),
    {.name = "IcmpQueryTimeout", SECONDS, .help = "Seconds an ICMP session lives."},
    {.name = "TcpEstablishedConnectionTimeout", SECONDS, .help = "Seconds an idle TCP connection lives."},
    {.name = "TcpTransientConnectionTimeout", SECONDS, .help = "Seconds a TCP connection may take to come up or go."},
    {.name = "UdpIdleSessionTimeout", SECONDS, .help = "Seconds an idle UDP session lives."},
    {.name = "TcpFilteringBehavior",
     .type = PARAMETER_ENUM,
     .values = "EndpointIndependentFiltering AddressDependentFiltering",
     .help = "Who may answer."},
    {.name = "UdpFilteringBehavior",
     .type = PARAMETER_ENUM,
     .values = "EndpointIndependentFiltering AddressDependentFiltering",
     .help = "Who may answer."},
    {.name = "UdpInboundRefresh", .type = PARAMETER_BOOL, .help = "Whether incoming datagrams keep a session alive."},
    PARAMETER_PASSTHRU,
    {0},
};

static const struct parameter remove_parameters[] = {NAT_NAME(0), INPUT_OBJECT("NetNat"), PARAMETER_PASSTHRU, {0}};

#define PORT .type = PARAMETER_INT, .least = 0, .most = UINT16_MAX

static const struct parameter add_mapping_parameters[] = {
    {.name = "NatName",
     .aliases = "Name",
     .type = PARAMETER_STRING,
     .position = 1,
     .object = "NetNat",
     .flags = PARAMETER_MANDATORY | PARAMETER_NAMED,
     .help = "The NAT."},
    {.name = "Protocol",
     .type = PARAMETER_ENUM,
     .values = "TCP UDP",
     .flags = PARAMETER_MANDATORY,
     .help = "TCP or UDP."},
    {.name = "ExternalIPAddress",
     .type = PARAMETER_STRING,
     .flags = PARAMETER_MANDATORY,
     .help = "The address outside; 0.0.0.0 for all of the host's."},
    {.name = "ExternalPort", PORT, .flags = PARAMETER_MANDATORY, .help = "The port outside."},
    {.name = "InternalIPAddress",
     .type = PARAMETER_STRING,
     .flags = PARAMETER_MANDATORY,
     .help = "The virtual machine's address behind the NAT."},
    {.name = "InternalPort", PORT, .help = "Its port there; the outside's if none is given."},
    {.name = "RemoteExternalIPAddressPrefix", .type = PARAMETER_STRING, .help = "Who outside may use it."},
    {0},
};

static const struct parameter get_mapping_parameters[] = {
    {.name = "NatName",
     .aliases = "Name",
     .type = PARAMETER_STRING,
     .position = 1,
     .object = "NetNat",
     .flags = PARAMETER_LIST | PARAMETER_NAMED | PARAMETER_WILDCARD,
     .help = "Only mappings of these NATs."},
    {0},
};

static const struct parameter remove_mapping_parameters[] = {
    {.name = "NatName",
     .aliases = "Name",
     .type = PARAMETER_STRING,
     .position = 1,
     .object = "NetNat",
     .sets = PARAMETER_SET_1,
     .flags = PARAMETER_LIST | PARAMETER_WILDCARD,
     .help = "Only mappings of these NATs."},
    {.name = "StaticMappingID",
     .type = PARAMETER_INT,
     .least = 0,
     .most = UINT32_MAX,
     .sets = PARAMETER_SET_1,
     .flags = PARAMETER_LIST,
     .help = "The mappings' numbers."},
    INPUT_OBJECT("NetNatStaticMapping"),
    PARAMETER_PASSTHRU,
    {0},
};

static const struct parameter get_session_parameters[] = {
    {.name = "NatName",
     .aliases = "Name",
     .type = PARAMETER_STRING,
     .position = 1,
     .object = "NetNat",
     .flags = PARAMETER_LIST | PARAMETER_NAMED | PARAMETER_WILDCARD,
     .help = "Only sessions of these NATs."},
    {0},
};

#define CHANGES (CMDLET_SHOULD_PROCESS | CMDLET_CHANGES)

static const struct cmdlet cmdlets[] = {
    {.name = "New-NetNat",
     .module = "NetNat",
     .parameters = new_parameters,
     .output = "NetNat",
     .flags = CHANGES,
     .synopsis = "Makes a NAT for the network of an Internal switch.",
     .examples = {{"New-NetNat -Name LocalNAT -InternalIPInterfaceAddressPrefix 192.168.100.0/24",
                   "Translates the addresses of that network."}}},
    {.name = "Get-NetNat",
     .module = "NetNat",
     .parameters = get_parameters,
     .output = "NetNat",
     .synopsis = "Gets NATs.",
     .sets = {"ByName"},
     .examples = {{"Get-NetNat", "Shows all NATs."}}},
    {.name = "Set-NetNat",
     .module = "NetNat",
     .parameters = set_parameters,
     .output = "NetNat",
     .flags = CHANGES,
     .sets = {"ByName", "InputObject"},
     .synopsis = "Configures a NAT.",
     .examples = {{"Set-NetNat LocalNAT -UdpIdleSessionTimeout 60", "Forgets idle UDP sessions after a minute."}}},
    {.name = "Remove-NetNat",
     .module = "NetNat",
     .parameters = remove_parameters,
     .output = "NetNat",
     .sets = {"ByName", "InputObject"},
     .flags = CHANGES | CMDLET_CONFIRM,
     .synopsis = "Removes NATs.",
     .examples = {{"Remove-NetNat LocalNAT -Confirm:$false", "Removes it without a question."}}},
    {.name = "Add-NetNatStaticMapping",
     .module = "NetNat",
     .parameters = add_mapping_parameters,
     .output = "NetNatStaticMapping",
     .flags = CHANGES,
     .synopsis = "Leads a port outside to a virtual machine behind a NAT.",
     .examples =
         {{"Add-NetNatStaticMapping -NatName LocalNAT -Protocol TCP -ExternalIPAddress 0.0.0.0 -ExternalPort 8080 "
           "-InternalIPAddress 192.168.100.2 -InternalPort 80",
           "Makes a web server behind the NAT reachable."}}},
    {.name = "Get-NetNatStaticMapping",
     .module = "NetNat",
     .parameters = get_mapping_parameters,
     .output = "NetNatStaticMapping",
     .synopsis = "Gets port mappings.",
     .examples = {{"Get-NetNatStaticMapping", "Shows all of them."}}},
    {.name = "Get-NetNatSession",
     .module = "NetNat",
     .parameters = get_session_parameters,
     .output = "NetNatSession",
     .synopsis = "Gets the connections that NATs translate now, 400 of a NAT at most.",
     .examples = {{"Get-NetNatSession | Format-Table Protocol, InternalSourceAddress, ExternalDestinationAddress",
                   "Shows who talks to whom."}}},
    {.name = "Remove-NetNatStaticMapping",
     .module = "NetNat",
     .parameters = remove_mapping_parameters,
     .output = "NetNatStaticMapping",
     .sets = {"ByName", "InputObject"},
     .flags = CHANGES | CMDLET_CONFIRM,
     .synopsis = "Removes port mappings.",
     .examples = {{"Remove-NetNatStaticMapping -StaticMappingID 0 -Confirm:$false", "Removes the first one."}}},
    {0},
};

static const struct property nat_properties[] = {
    {"Name", PROPERTY_STRING, NULL, "its name"},
    {"ExternalIPInterfaceAddressPrefix", PROPERTY_STRING, NULL, "outside addresses, empty: the host's"},
    {"InternalIPInterfaceAddressPrefix", PROPERTY_STRING, NULL, "the network behind it"},
    {"IcmpQueryTimeout", PROPERTY_INT, NULL, "seconds"},
    {"TcpEstablishedConnectionTimeout", PROPERTY_INT, NULL, "seconds"},
    {"TcpTransientConnectionTimeout", PROPERTY_INT, NULL, "seconds"},
    {"TcpFilteringBehavior", PROPERTY_STRING, NULL, "who may answer"},
    {"UdpFilteringBehavior", PROPERTY_STRING, NULL, "who may answer"},
    {"UdpIdleSessionTimeout", PROPERTY_INT, NULL, "seconds"},
    {"UdpInboundRefresh", PROPERTY_BOOL, NULL, "incoming datagrams keep a session alive"},
    {"Store", PROPERTY_STRING, NULL, "Local: kept over restarts"},
    {"Active", PROPERTY_BOOL, NULL, "whether a switch's address lies in its network"},
    {"NetworkBackend", PROPERTY_STRING, NULL, "who translates: Kernel; User: the switch's process, without privileges"},
    {0},
};

static const struct property mapping_properties[] = {
    {"StaticMappingID", PROPERTY_INT, NULL, "its number"},
    {"NatName", PROPERTY_STRING, NULL, "the NAT"},
    {"Protocol", PROPERTY_STRING, NULL, "TCP, UDP"},
    {"RemoteExternalIPAddressPrefix", PROPERTY_STRING, NULL, "who outside may use it"},
    {"ExternalIPAddress", PROPERTY_STRING, NULL, "address outside"},
    {"ExternalPort", PROPERTY_INT, NULL, "port outside"},
    {"InternalIPAddress", PROPERTY_STRING, NULL, "address behind the NAT"},
    {"InternalPort", PROPERTY_INT, NULL, "port there"},
    {"InternalRoutingDomainId", PROPERTY_STRING, NULL, "zeros"},
    {"Active", PROPERTY_BOOL, NULL, "whether it works"},
    {0},
};

static const struct property session_properties[] = {
    {"NatName", PROPERTY_STRING, NULL, "the NAT"},
    {"InternalRoutingDomainId", PROPERTY_STRING, NULL, "zeros"},
    {"Protocol", PROPERTY_STRING, NULL, "TCP, UDP, ICMP"},
    {"InternalSourceAddress", PROPERTY_STRING, NULL, "the address behind the NAT"},
    {"InternalSourcePort", PROPERTY_INT, NULL, "its port"},
    {"InternalDestinationAddress", PROPERTY_STRING, NULL, "the other side, as seen behind the NAT"},
    {"InternalDestinationPort", PROPERTY_INT, NULL, "its port"},
    {"ExternalSourceAddress", PROPERTY_STRING, NULL, "the address it has outside, empty: not known"},
    {"ExternalSourcePort", PROPERTY_INT, NULL, "its port there"},
    {"ExternalDestinationAddress", PROPERTY_STRING, NULL, "the other side"},
    {"ExternalDestinationPort", PROPERTY_INT, NULL, "its port"},
    {0},
};

static const struct class classes[] = {
    {.name = "NetNat", .full_name = "MSFT_NetNat", .key = "Name", .display = "Name", .properties = nat_properties},
    {.name = "NetNatStaticMapping",
     .full_name = "MSFT_NetNatStaticMapping",
     .key = "StaticMappingID",
     .display = "StaticMappingID",
     .properties = mapping_properties},
    {.name = "NetNatSession",
     .full_name = "MSFT_NetNatSession",
     .key = "InternalSourceAddress",
     .display = "InternalSourceAddress",
     .properties = session_properties},
    {0},
};

const struct noun table_nat = {cmdlets, classes};
