// The adapters, addresses and name servers of the machine one types at. On the host that is vEthernet (...) of nidus's
// switches beside the host's own; inside a guest, the guest's adapters.
#include "cmdlet/table/selector.h"
#include "cmdlet/table/table.h"

#define INTERFACE_INDEX(set, mandatory)                                                                       \
    {                                                                                                         \
        .name = "InterfaceIndex", .aliases = "ifIndex", .type = PARAMETER_INT, .least = 1, .most = INT32_MAX, \
        .sets = (set), .flags = (mandatory) | PARAMETER_NAMED, .help = "The adapter's number."                \
    }
#define INTERFACE_ALIAS(set, mandatory)                                                               \
    {                                                                                                 \
        .name = "InterfaceAlias", .aliases = "ifAlias", .type = PARAMETER_STRING, .sets = (set),      \
        .object = "NetAdapter", .flags = (mandatory) | PARAMETER_NAMED, .help = "The adapter's name." \
    }
#define ADDRESS_FAMILY \
    { .name = "AddressFamily", .type = PARAMETER_ENUM, .values = "IPv4 IPv6", .help = "IPv4 or IPv6." }
#define POLICY_STORE                                                                            \
    {                                                                                           \
        .name = "PolicyStore", .type = PARAMETER_ENUM, .values = "ActiveStore PersistentStore", \
        .help = "Until the next start, or for good."                                            \
    }

static const struct parameter get_adapter_parameters[] = {
    {.name = "Name",
     .aliases = "ifAlias InterfaceAlias",
     .type = PARAMETER_STRING,
     .position = 1,
     .object = "NetAdapter",
     .sets = PARAMETER_SET_1,
     .flags = PARAMETER_LIST | PARAMETER_WILDCARD | PARAMETER_NAMED,
     .help = "The adapters' names; all if none is given."},
    {.name = "InterfaceDescription",
     .aliases = "ifDesc",
     .type = PARAMETER_STRING,
     .sets = PARAMETER_SET_2,
     .flags = PARAMETER_MANDATORY | PARAMETER_LIST | PARAMETER_WILDCARD,
     .help = "Their descriptions."},
    {.name = "InterfaceIndex",
     .aliases = "ifIndex",
     .type = PARAMETER_INT,
     .least = 1,
     .most = INT32_MAX,
     .sets = PARAMETER_SET_3,
     .flags = PARAMETER_MANDATORY | PARAMETER_LIST,
     .help = "Their numbers."},
    {.name = "Physical", .type = PARAMETER_SWITCH, .help = "Only hardware."},
    {.name = "IncludeHidden", .type = PARAMETER_SWITCH, .help = "The loopback adapter as well."},
    {0},
};

static const struct parameter new_address_parameters[] = {
    {.name = "IPAddress",
     .aliases = "LocalAddress",
     .type = PARAMETER_STRING,
     .position = 1,
     .flags = PARAMETER_MANDATORY,
     .help = "The address."},
    INTERFACE_INDEX(PARAMETER_SET_1, PARAMETER_MANDATORY),
    INTERFACE_ALIAS(PARAMETER_SET_2, PARAMETER_MANDATORY),
    {.name = "PrefixLength",
     .type = PARAMETER_INT,
     .least = 0,
     .most = 128,
     .help = "How many bits of it name the network; all if not given."},
    {.name = "DefaultGateway", .type = PARAMETER_STRING, .help = "The router, in the same network."},
    ADDRESS_FAMILY,
    {.name = "Type", .type = PARAMETER_ENUM, .values = "Unicast Anycast", .help = "Unicast or anycast."},
    {.name = "SkipAsSource", .type = PARAMETER_BOOL, .help = "Whether it is not to be used as a source."},
    {.name = "ValidLifetime", .type = PARAMETER_TIMESPAN, .help = "How long it may be used."},
    {.name = "PreferredLifetime", .type = PARAMETER_TIMESPAN, .help = "How long it is preferred."},
    POLICY_STORE,
    {0},
};

static const struct parameter get_address_parameters[] = {
    {.name = "IPAddress",
     .aliases = "LocalAddress",
     .type = PARAMETER_STRING,
     .position = 1,
     .flags = PARAMETER_LIST | PARAMETER_WILDCARD,
     .help = "Only these addresses."},
    INTERFACE_INDEX(0, 0),
    INTERFACE_ALIAS(0, PARAMETER_WILDCARD),
    ADDRESS_FAMILY,
    {0},
};

static const struct parameter set_address_parameters[] = {
    {.name = "IPAddress",
     .aliases = "LocalAddress",
     .type = PARAMETER_STRING,
     .position = 1,
     .flags = PARAMETER_MANDATORY | PARAMETER_NAMED,
     .help = "The address."},
    INTERFACE_INDEX(0, 0),
    INTERFACE_ALIAS(0, 0),
    ADDRESS_FAMILY,
    {.name = "PrefixLength",
     .type = PARAMETER_INT,
     .least = 0,
     .most = 128,
     .help = "How many bits of it name the network."},
    PARAMETER_PASSTHRU,
    {0},
};

static const struct parameter remove_address_parameters[] = {
    {.name = "IPAddress",
     .aliases = "LocalAddress",
     .type = PARAMETER_STRING,
     .position = 1,
     .flags = PARAMETER_LIST | PARAMETER_NAMED | PARAMETER_WILDCARD,
     .help = "Only these addresses."},
    INTERFACE_INDEX(0, 0),
    INTERFACE_ALIAS(0, 0),
    ADDRESS_FAMILY,
    {.name = "DefaultGateway", .type = PARAMETER_STRING, .help = "The router to take away with it."},
    PARAMETER_PASSTHRU,
    {0},
};

static const struct parameter get_dns_parameters[] = {
    {.name = "InterfaceAlias",
     .aliases = "ifAlias",
     .type = PARAMETER_STRING,
     .position = 1,
     .object = "NetAdapter",
     .flags = PARAMETER_WILDCARD | PARAMETER_NAMED,
     .help = "Only this adapter's."},
    INTERFACE_INDEX(0, 0),
    ADDRESS_FAMILY,
    {0},
};

static const struct parameter set_dns_parameters[] = {
    {.name = "InterfaceAlias",
     .aliases = "ifAlias",
     .type = PARAMETER_STRING,
     .position = 1,
     .object = "NetAdapter",
     .sets = PARAMETER_SET_1,
     .flags = PARAMETER_MANDATORY | PARAMETER_NAMED,
     .help = "The adapter's name."},
    INTERFACE_INDEX(PARAMETER_SET_2, PARAMETER_MANDATORY),
    {.name = "ServerAddresses",
     .aliases = "Addresses",
     .type = PARAMETER_STRING,
     .flags = PARAMETER_LIST,
     .help = "The name servers, the first one asked first."},
    {.name = "ResetServerAddresses",
     .aliases = "ResetAddresses",
     .type = PARAMETER_SWITCH,
     .help = "Takes what DHCP gives again."},
    PARAMETER_PASSTHRU,
    {0},
};

static const struct parameter netsh_parameters[] = {
    {.name = "InterfaceAlias",
     .type = PARAMETER_STRING,
     .flags = PARAMETER_MANDATORY,
     .position = 1,
     .object = "NetAdapter",
     .help = "The adapter's name."},
    {.name = "Address",
     .type = PARAMETER_STRING,
     .flags = PARAMETER_MANDATORY,
     .position = 2,
     .help = "The name server, which is asked after those that are there."},
    {.name = "Index", .type = PARAMETER_INT, .least = 1, .most = 99, .help = "Its place among them instead, from 1."},
    {0},
};

#define CHANGES (CMDLET_SHOULD_PROCESS | CMDLET_CHANGES | CMDLET_GUEST)

static const struct cmdlet cmdlets[] = {
    {.name = "Get-NetAdapter",
     .module = "NetAdapter",
     .parameters = get_adapter_parameters,
     .output = "NetAdapter",
     .sets = {"ByName", "ByInstanceID", "ByIfIndex"},
     .flags = CMDLET_GUEST,
     .synopsis = "Gets the network adapters of this machine.",
     .examples = {{"Get-NetAdapter", "Shows all adapters."}}},
    {.name = "New-NetIPAddress",
     .module = "NetTCPIP",
     .parameters = new_address_parameters,
     .output = "NetIPAddress",
     .sets = {"ByInterfaceIndex", "ByInterfaceAlias"},
     .flags = CHANGES,
     .synopsis = "Gives an adapter an IP address.",
     .examples = {{"Get-NetAdapter 'vEthernet (VmNat)' | New-NetIPAddress -IPAddress 192.168.100.1 -AddressFamily IPv4 "
                   "-PrefixLength 24",
                   "Makes the host the router of the network behind VmNAT."}}},
    {.name = "Get-NetIPAddress",
     .module = "NetTCPIP",
     .parameters = get_address_parameters,
     .output = "NetIPAddress",
     .flags = CMDLET_GUEST,
     .synopsis = "Gets the IP addresses of this machine.",
     .examples = {{"Get-NetIPAddress -AddressFamily IPv4", "Shows all IPv4 addresses."}}},
    {.name = "Set-NetIPAddress",
     .module = "NetTCPIP",
     .parameters = set_address_parameters,
     .output = "NetIPAddress",
     .flags = CHANGES,
     .synopsis = "Changes the prefix length of an IP address.",
     .examples = {{"Set-NetIPAddress 192.168.100.1 -PrefixLength 25", "Makes the network half as large."}}},
    {.name = "Remove-NetIPAddress",
     .module = "NetTCPIP",
     .parameters = remove_address_parameters,
     .output = "NetIPAddress",
     .flags = CHANGES | CMDLET_CONFIRM,
     .synopsis = "Takes an IP address from an adapter.",
     .examples = {{"Remove-NetIPAddress 192.168.100.1 -Confirm:$false", "Takes it away without a question."}}},
    {.name = "Get-DnsClientServerAddress",
     .module = "DnsClient",
     .parameters = get_dns_parameters,
     .output = "DnsClientServerAddress",
     .flags = CMDLET_GUEST,
     .synopsis = "Gets the name servers of adapters.",
     .examples = {{"Get-DnsClientServerAddress", "Shows them all."}}},
    {.name = "Set-DnsClientServerAddress",
     .module = "DnsClient",
     .parameters = set_dns_parameters,
     .output = "DnsClientServerAddress",
     .sets = {"ByAlias", "ByIndex"},
     .flags = CHANGES,
     .synopsis = "Sets the name servers of an adapter.",
     .examples = {{"Set-DnsClientServerAddress 'vEthernet (VmNat)' -ServerAddresses 192.168.100.1",
                   "Asks the router for names."}}},
    {.name = "Add-NetshDnsServer",
     .module = "DnsClient",
     .parameters = netsh_parameters,
     .flags = CHANGES,
     .synopsis = "Adds a name server to an adapter: what netsh interface ip add dnsserver becomes.",
     .examples = {{"netsh interface ip add dnsserver \"vEthernet (VmNat)\" address=192.168.100.1",
                   "Adds a name server to the switch's adapter."}}},
    {0},
};

static const struct property adapter_properties[] = {
    {"Name", PROPERTY_STRING, NULL, "its name"},
    {"InterfaceDescription", PROPERTY_STRING, NULL, "what it is"},
    {"ifIndex", PROPERTY_INT, NULL, "its number"},
    {"InterfaceIndex", PROPERTY_INT, NULL, "its number"},
    {"InterfaceAlias", PROPERTY_STRING, NULL, "its name"},
    {"Status", PROPERTY_STRING, NULL, "Up, Disconnected, Disabled"},
    {"MacAddress", PROPERTY_STRING, NULL, "its address: 00-15-5D-01-23-45"},
    {"LinkSpeed", PROPERTY_STRING, NULL, "its speed: 10 Gbps"},
    {"MtuSize", PROPERTY_INT, NULL, "bytes of a packet, the most"},
    {"Virtual", PROPERTY_BOOL, NULL, "whether it is no hardware"},
    {0},
};

static const struct property address_properties[] = {
    {"IPAddress", PROPERTY_STRING, NULL, "the address"},
    {"InterfaceIndex", PROPERTY_INT, NULL, "the adapter's number"},
    {"InterfaceAlias", PROPERTY_STRING, NULL, "the adapter's name"},
    {"AddressFamily", PROPERTY_STRING, NULL, "IPv4, IPv6"},
    {"Type", PROPERTY_STRING, NULL, "Unicast, Anycast"},
    {"PrefixLength", PROPERTY_INT, NULL, "bits that name the network"},
    {"PrefixOrigin", PROPERTY_STRING, NULL, "Manual, Dhcp, WellKnown, RouterAdvertisement"},
    {"SuffixOrigin", PROPERTY_STRING, NULL, "Manual, Dhcp, WellKnown, Link"},
    {"AddressState", PROPERTY_STRING, NULL, "Preferred, Tentative, Duplicate, Deprecated"},
    {"DefaultGateway", PROPERTY_STRING, NULL, "the router that was set with it"},
    {"ValidLifetime", PROPERTY_STRING, NULL, "how long it may be used"},
    {"PreferredLifetime", PROPERTY_STRING, NULL, "how long it is preferred"},
    {"SkipAsSource", PROPERTY_BOOL, NULL, "not to be used as a source"},
    {"PolicyStore", PROPERTY_STRING, NULL, "ActiveStore, PersistentStore"},
    {0},
};

static const struct property dns_properties[] = {
    {"InterfaceAlias", PROPERTY_STRING, NULL, "the adapter's name"},
    {"InterfaceIndex", PROPERTY_INT, NULL, "the adapter's number"},
    {"AddressFamily", PROPERTY_STRING, NULL, "IPv4, IPv6"},
    {"ServerAddresses", PROPERTY_STRINGS, NULL, "the name servers"},
    {0},
};

static const struct class classes[] = {
    {.name = "NetAdapter",
     .full_name = "MSFT_NetAdapter",
     .key = "ifIndex",
     .display = "Name",
     .properties = adapter_properties,
     .columns = {{"Name", NULL, 0, false},
                 {"InterfaceDescription", NULL, 0, false},
                 {"ifIndex", NULL, 0, true},
                 {"Status", NULL, 0, false},
                 {"MacAddress", NULL, 0, false},
                 {"LinkSpeed", NULL, 0, true}}},
    {.name = "NetIPAddress",
     .full_name = "MSFT_NetIPAddress",
     .key = "IPAddress",
     .display = "IPAddress",
     .properties = address_properties},
    {.name = "DnsClientServerAddress",
     .full_name = "MSFT_DNSClientServerAddress",
     .key = "InterfaceIndex",
     .display = "InterfaceAlias",
     .properties = dns_properties,
     .columns = {{"InterfaceAlias", NULL, 0, false},
                 {"InterfaceIndex", NULL, 0, true},
                 {"AddressFamily", NULL, 0, false},
                 {"ServerAddresses", NULL, 0, false}}},
    {0},
};

const struct noun table_ip = {cmdlets, classes};
