// Adapters, addresses and name servers of the machine that the cmdlets are typed at: its own adapters through the
// kernel, and "vEthernet (SWITCH)", the host's adapter on each switch, from the records.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "service/link.h"
#include "service/mac.h"
#include "service/network.h"
#include "service/object/object.h"
#include "service/uplink.h"

enum { IP_SWITCH_INDEX = 1 << 30 /* above every number the kernel gives */, IP_NAME = 300 };

// An adapter of either kind.
struct ip_adapter {
    u32 index;
    char name[IP_NAME];
    char switch_id[37]; // "": the machine's own
    struct link link;   // of the machine's own
    u8 mac[MAC_BYTES];
};

struct ip_adapters {
    struct service *service;
    struct ip_adapter *items;
    size_t count;
};

static struct ip_adapter *ip_append(struct ip_adapters *adapters)
{
    adapters->items = value_reallocate(adapters->items, (adapters->count + 1) * sizeof *adapters->items);
    adapters->items[adapters->count] = (struct ip_adapter){0};
    return &adapters->items[adapters->count++];
}

// The same for a switch as long as it lives, and for no two: ids are random.
static u32 ip_switch_index(const char *id)
{
    u32 hash = 2166136261u;
    for (; *id; id++)
        hash = (hash ^ (u8)*id) * 16777619u;
    return IP_SWITCH_INDEX | (hash & (IP_SWITCH_INDEX - 1));
}

// An interface that the kernel has for it gives its number; it is not listed twice.
static void ip_switch(void *context, const struct network_switch *network)
{
    struct ip_adapters *adapters = context;
    char interface[CONTROL_INTERFACE + 1];
    if (!uplink_has_host(adapters->service, network))
        return;
    struct ip_adapter *adapter = NULL;
    uplink_interface(adapters->service, network->id, interface);
    for (size_t i = 0; i < adapters->count && !adapter; i++)
        if (!strcmp(adapters->items[i].name, interface))
            adapter = &adapters->items[i];
    if (!adapter) {
        adapter = ip_append(adapters);
        adapter->index = ip_switch_index(network->id);
    }
    snprintf(adapter->name, sizeof adapter->name, "vEthernet (%s)", network->name);
    snprintf(adapter->switch_id, sizeof adapter->switch_id, "%s", network->id);
    mac_read(network->host_mac, adapter->mac);
}

static struct ip_adapters ip_adapters(struct call *call)
{
    struct ip_adapters adapters = {.service = call->service};
    struct error error;
    struct link *links;
    const int count = link_list(&links, &error);
    if (count < 0)
        call_warning(call, "%s", error.text);
    for (int i = 0; i < count; i++) {
        struct ip_adapter *adapter = ip_append(&adapters);
        adapter->index = links[i].index;
        adapter->link = links[i];
        memcpy(adapter->mac, links[i].mac, sizeof adapter->mac);
        snprintf(adapter->name, sizeof adapter->name, "%s", links[i].name);
    }
    free(links);
    if (network_switches(call->service, ip_switch, &adapters, &error) < 0)
        call_error(call, CATEGORY_READ_ERROR, "Database", NULL, "%s", error.text);
    return adapters;
}

static bool ip_is_called(const struct ip_adapter *adapter, const char *pattern)
{
    return value_name_like(adapter->name, pattern) ||
           (*adapter->link.alias && value_name_like(adapter->link.alias, pattern));
}

// --- Get-NetAdapter --------------------------------------------------------------------------------------------------

static const char *ip_description(const struct ip_adapter *adapter)
{
    if (*adapter->switch_id)
        return "Hyper-V Virtual Ethernet Adapter";
    return adapter->link.loopback   ? "Software Loopback Interface"
           : adapter->link.hardware ? "Ethernet Adapter"
                                    : "Virtual Adapter";
}

static struct value *ip_speed(const struct ip_adapter *adapter)
{
    const u64 megabits = *adapter->switch_id ? 10000 : adapter->link.megabits;
    if (!megabits)
        return value_string("0 bps");
    return megabits % 1000 ? value_format("%llu Mbps", (unsigned long long)megabits)
                           : value_format("%llu Gbps", (unsigned long long)(megabits / 1000));
}

static struct value *ip_adapter_object(const struct ip_adapter *adapter)
{
    char mac[18];
    const bool up = *adapter->switch_id || (adapter->link.up && adapter->link.running);
    struct value *object = value_object("NetAdapter");
    mac_write_dashes(adapter->mac, mac);
    value_put(object, "Name", value_string(adapter->name));
    value_put(object, "InterfaceDescription", value_string(ip_description(adapter)));
    value_put(object, "ifIndex", value_int(adapter->index));
    value_put(object, "InterfaceIndex", value_int(adapter->index));
    value_put(object, "InterfaceAlias", value_string(adapter->name));
    value_put(object, "Status", value_string(up ? "Up" : adapter->link.up ? "Disconnected" : "Disabled"));
    value_put(object, "MacAddress", value_string(mac));
    value_put(object, "LinkSpeed", ip_speed(adapter));
    value_put(object, "MtuSize", value_int(*adapter->switch_id ? 1500 : adapter->link.mtu));
    value_put(object, "Virtual", value_bool(*adapter->switch_id || !adapter->link.hardware));
    return object;
}

static bool ip_adapter_is_meant(const struct call *call, const struct ip_adapter *adapter)
{
    const struct value *indices = call_value(call, "InterfaceIndex");
    const size_t names = call_count(call, "Name"), texts = call_count(call, "InterfaceDescription");
    bool meant = !names && !texts && !indices;
    for (size_t i = 0; i < names; i++)
        meant = meant || ip_is_called(adapter, call_item(call, "Name", i));
    for (size_t i = 0; i < texts; i++)
        meant = meant || value_name_like(ip_description(adapter), call_item(call, "InterfaceDescription", i));
    for (size_t i = 0; i < value_count(indices); i++)
        meant = meant || value_as_int(value_item(indices, i), 0) == adapter->index;
    if (adapter->link.loopback && !names && !indices && !call_switch(call, "IncludeHidden"))
        return false;
    return meant && !(call_switch(call, "Physical") && (*adapter->switch_id || !adapter->link.hardware));
}

static void ip_adapter_missing(struct call *call, const struct ip_adapters *adapters)
{
    for (size_t i = 0; i < call_count(call, "Name"); i++) {
        const char *name = call_item(call, "Name", i);
        bool found = value_has_wildcard(name);
        for (size_t j = 0; !found && j < adapters->count; j++)
            found = ip_is_called(&adapters->items[j], name);
        if (!found)
            call_error(
                call, CATEGORY_OBJECT_NOT_FOUND, "CmdletizationQuery_NotFound_Name", name,
                "No MSFT_NetAdapter objects found with property 'Name' equal to '%s'. Verify the value of the property "
                "and retry.",
                name);
    }
}

static void ip_adapter_get(struct call *call)
{
    struct ip_adapters adapters = ip_adapters(call);
    for (size_t i = 0; i < adapters.count; i++)
        if (ip_adapter_is_meant(call, &adapters.items[i]))
            call_put(call, ip_adapter_object(&adapters.items[i]));
    ip_adapter_missing(call, &adapters);
    free(adapters.items);
}

// --- Which adapter an address is for ---------------------------------------------------------------------------------

static bool ip_choose(struct call *call, struct ip_adapter *chosen)
{
    struct ip_adapters adapters = ip_adapters(call);
    const char *name = call_string(call, "InterfaceAlias", NULL);
    const s64 index = call_int(call, "InterfaceIndex", 0);
    bool found = false;
    for (size_t i = 0; i < adapters.count && !found; i++)
        if (index ? adapters.items[i].index == index : name && ip_is_called(&adapters.items[i], name)) {
            *chosen = adapters.items[i];
            found = true;
        }
    free(adapters.items);
    if (!found)
        call_error(call, CATEGORY_OBJECT_NOT_FOUND, "Windows System Error 1168", name,
                   "Element not found.\nThere is no network adapter %s; Get-NetAdapter lists them.",
                   name ? name : "of that number");
    return found;
}

// --- Addresses -------------------------------------------------------------------------------------------------------

static struct value *ip_address_object(const struct ip_adapter *adapter, const struct prefix *address, u8 bits,
                                       bool by_hand, const char *gateway)
{
    char text[PREFIX_TEXT];
    struct value *object = value_object("NetIPAddress");
    prefix_write(address, text);
    value_put(object, "IPAddress", value_string(text));
    value_put(object, "InterfaceIndex", value_int(adapter->index));
    value_put(object, "InterfaceAlias", value_string(adapter->name));
    value_put(object, "AddressFamily", value_string(address->ipv6 ? "IPv6" : "IPv4"));
    value_put(object, "Type", value_string("Unicast"));
    value_put(object, "PrefixLength", value_int(bits));
    value_put(object, "PrefixOrigin", value_string(by_hand ? "Manual" : "Other"));
    value_put(object, "SuffixOrigin", value_string(by_hand ? "Manual" : "Other"));
    value_put(object, "AddressState", value_string("Preferred"));
    value_put(object, "DefaultGateway", object_text(gateway));
    value_put(object, "ValidLifetime", value_string("Infinite"));
    value_put(object, "PreferredLifetime", value_string("Infinite"));
    value_put(object, "SkipAsSource", value_bool(false));
    value_put(object, "PolicyStore", value_string("ActiveStore"));
    return object;
}

static void ip_incorrect(struct call *call, const char *address, const char *reason)
{
    call_error(call, CATEGORY_INVALID_ARGUMENT, "Windows System Error 87", address, "The parameter is incorrect.\n%s",
               reason);
}

struct ip_new {
    struct prefix address, gateway;
    bool has_gateway;
    u8 bits;
};

// The first and the last address of an IPv4 network of more than two are nobody's.
static bool ip_is_end_of_network(const struct prefix *address, u8 bits)
{
    bool all = true, none = true;
    if (address->ipv6 || bits > 30)
        return false;
    for (unsigned i = bits; i < 32; i++) {
        const bool bit = address->bytes[i / 8] >> (7 - i % 8) & 1;
        all = all && bit;
        none = none && !bit;
    }
    return all || none;
}

// What was asked for, checked; false: told.
static bool ip_new_read(struct call *call, struct ip_new *new)
{
    struct error error = {""};
    const char *text = call_string(call, "IPAddress", ""), *gateway = call_string(call, "DefaultGateway", NULL);
    const char *family = call_string(call, "AddressFamily", NULL);
    *new = (struct ip_new){.has_gateway = gateway != NULL};
    if (prefix_read(&new->address, text, &error) == 0) {
        const s64 all = new->address.ipv6 ? 128 : 32, bits = call_int(call, "PrefixLength", all);
        new->bits = (u8)bits;
        struct prefix network = new->address;
        if (strchr(text, '/'))
            error_set(&error, "'%s': give the length as -PrefixLength.", text);
        else if (bits > all)
            error_set(&error, "-PrefixLength is 0 to %lld for this address, not %lld.", (long long)all,
                      (long long)bits);
        else if (family && !strcasecmp(family, "IPv6") != new->address.ipv6)
            error_set(&error, "'%s' is no %s address.", text, family);
        else if (ip_is_end_of_network(&new->address, new->bits))
            error_set(&error, "%s/%d is the network's own or its broadcast address; an adapter cannot have it.", text,
                      new->bits);
        else if (gateway && prefix_read(&new->gateway, gateway, &error) == 0) {
            prefix_cut(&network, new->bits);
            if (!prefix_contains(&network, &new->gateway))
                error_set(&error, "The gateway %s does not lie in the address's network.", gateway);
            else if (!memcmp(new->gateway.bytes, new->address.bytes, sizeof new->gateway.bytes))
                error_set(&error, "The gateway %s is the address itself; it is another machine's.", gateway);
            else if (ip_is_end_of_network(&new->gateway, new->bits))
                error_set(&error, "The gateway %s is the network's own or its broadcast address.", gateway);
        }
    }
    if (*error.text)
        ip_incorrect(call, text, error.text);
    return !*error.text;
}

struct ip_record_search {
    const char *id;
    bool found;
};

static void ip_record_search(void *context, const struct network_address *address)
{
    struct ip_record_search *search = context;
    search->found = search->found || !strcmp(address->id, search->id);
}

// On a switch: kept, and in force as long as the switch is.
static bool ip_new_on_switch(struct call *call, const struct ip_adapter *adapter, const struct ip_new *new)
{
    char id[128], address[PREFIX_TEXT], gateway[PREFIX_TEXT];
    struct error error;
    prefix_write(&new->address, address);
    prefix_write(&new->gateway, gateway);
    snprintf(id, sizeof id, "%s %s", adapter->switch_id, address);
    struct ip_record_search search = {id, false};
    network_addresses(call->service, ip_record_search, &search, NULL);
    if (search.found) {
        call_error(call, CATEGORY_RESOURCE_EXISTS, "Windows System Error 5010", address,
                   "Instance MSFT_NetIPAddress already exists");
        return false;
    }
    const struct network_address record = {.id = id,
                                           .switch_id = (char *)adapter->switch_id,
                                           .address = address,
                                           .gateway = new->has_gateway ? gateway : NULL,
                                           .prefix = new->bits,
                                           .skip_as_source = value_as_bool(call_value(call, "SkipAsSource"), false)};
    if (network_address_save(call->service, &record, &error) < 0) {
        call_error(call, CATEGORY_WRITE_ERROR, "Database", address, "%s", error.text);
        return false;
    }
    if (call_network_apply(call, &error) == 0)
        return true;
    network_address_remove(call->service, id, NULL);
    call_error(call, CATEGORY_RESOURCE_UNAVAILABLE, "Windows System Error 31", address, "'%s': %s", adapter->name,
               error.text);
    return false;
}

// The switch whose alone an adapter is, by its owner's word.
struct ip_owner {
    const char *adapter;
    char name[256];
};

static void ip_owner_search(void *context, const struct network_switch *network)
{
    struct ip_owner *owner = context;
    if (network->net_adapter && !network->host_mac && !strcmp(network->net_adapter, owner->adapter))
        snprintf(owner->name, sizeof owner->name, "%s", network->name);
}

static bool ip_new_on_link(struct call *call, const struct ip_adapter *adapter, const struct ip_new *new)
{
    struct ip_owner owner = {.adapter = adapter->link.name};
    struct error error;
    network_switches(call->service, ip_owner_search, &owner, NULL);
    if (*owner.name) {
        call_error(call, CATEGORY_INVALID_OPERATION, "Windows System Error 5", adapter->name,
                   "'%s' is the switch '%s's alone: Set-VMSwitch '%s' -AllowManagementOS $true shares it.",
                   adapter->name, owner.name, owner.name);
        return false;
    }
    int result = link_address_add(adapter->index, &new->address, new->bits, &error);
    if (result == 0 && new->has_gateway)
        result = link_gateway_add(adapter->index, &new->gateway, &error);
    if (result == 0)
        return true;
    call_error(call, strstr(error.text, "exists") ? CATEGORY_RESOURCE_EXISTS : CATEGORY_PERMISSION_DENIED,
               "Windows System Error 5", adapter->name, "'%s': %s", adapter->name, error.text);
    return false;
}

static void ip_address_new(struct call *call)
{
    struct ip_adapter adapter;
    struct ip_new new;
    const char *text = call_string(call, "IPAddress", "");
    if (!ip_choose(call, &adapter) || !ip_new_read(call, &new) || !call_should(call, "New-NetIPAddress", text))
        return;
    if (*adapter.switch_id ? !ip_new_on_switch(call, &adapter, &new) : !ip_new_on_link(call, &adapter, &new))
        return;
    call_put(call,
             ip_address_object(&adapter, &new.address, new.bits, true, call_string(call, "DefaultGateway", NULL)));
}

// --- Addresses that are there ----------------------------------------------------------------------------------------

struct ip_entry {
    struct ip_adapter adapter;
    struct prefix address;
    u8 bits;
    bool by_hand;
    char gateway[PREFIX_TEXT];
};

struct ip_entries {
    struct call *call;
    struct ip_adapters adapters;
    struct ip_entry *items;
    size_t count;
};

static bool ip_entry_is_meant(const struct call *call, const struct ip_entry *entry)
{
    char text[PREFIX_TEXT];
    const size_t count = call_count(call, "IPAddress");
    const char *single = count ? NULL : call_string(call, "IPAddress", NULL),
               *name = call_string(call, "InterfaceAlias", NULL);
    const char *family = call_string(call, "AddressFamily", NULL);
    const s64 index = call_int(call, "InterfaceIndex", 0);
    bool meant = !count && (!single || (prefix_write(&entry->address, text), value_name_like(text, single)));
    prefix_write(&entry->address, text);
    for (size_t i = 0; i < count; i++)
        meant = meant || value_name_like(text, call_item(call, "IPAddress", i));
    return meant && (!index || index == entry->adapter.index) && (!name || ip_is_called(&entry->adapter, name)) &&
           (!family || !strcasecmp(family, "IPv6") == entry->address.ipv6);
}

static void ip_entry_add(struct ip_entries *entries, const struct ip_entry *entry)
{
    if (!ip_entry_is_meant(entries->call, entry))
        return;
    entries->items = value_reallocate(entries->items, (entries->count + 1) * sizeof *entries->items);
    entries->items[entries->count++] = *entry;
}

static void ip_entry_of_switch(void *context, const struct network_address *address)
{
    struct ip_entries *entries = context;
    struct ip_entry entry = {.bits = (u8)address->prefix, .by_hand = true};
    for (size_t i = 0; i < entries->adapters.count; i++) {
        if (strcmp(entries->adapters.items[i].switch_id, address->switch_id) ||
            prefix_read(&entry.address, address->address, NULL) < 0)
            continue;
        entry.adapter = entries->adapters.items[i];
        snprintf(entry.gateway, sizeof entry.gateway, "%s", address->gateway ? address->gateway : "");
        ip_entry_add(entries, &entry);
    }
}

static void ip_entries_of_links(struct ip_entries *entries)
{
    struct link_address *addresses;
    const int count = link_addresses(&addresses, NULL);
    for (int i = 0; i < count; i++)
        for (size_t j = 0; j < entries->adapters.count; j++)
            if (!*entries->adapters.items[j].switch_id && entries->adapters.items[j].index == addresses[i].index) {
                const struct ip_entry entry = {.adapter = entries->adapters.items[j],
                                               .address = addresses[i].address,
                                               .bits = addresses[i].bits,
                                               .by_hand = addresses[i].by_hand};
                ip_entry_add(entries, &entry);
            }
    free(addresses);
}

static struct ip_entries ip_entries(struct call *call)
{
    struct ip_entries entries = {.call = call, .adapters = ip_adapters(call)};
    struct error error;
    ip_entries_of_links(&entries);
    if (network_addresses(call->service, ip_entry_of_switch, &entries, &error) < 0)
        call_error(call, CATEGORY_READ_ERROR, "Database", NULL, "%s", error.text);
    if (!entries.count && call_has(call, "IPAddress"))
        call_error(
            call, CATEGORY_OBJECT_NOT_FOUND, "CmdletizationQuery_NotFound_IPAddress", NULL,
            "No MSFT_NetIPAddress objects found with property 'IPAddress' equal to '%s'. Verify the value of the "
            "property and retry.",
            call_string(call, "IPAddress", ""));
    return entries;
}

static void ip_entries_free(struct ip_entries *entries)
{
    free(entries->adapters.items);
    free(entries->items);
}

static void ip_entry_put(struct call *call, const struct ip_entry *entry)
{
    call_put(call, ip_address_object(&entry->adapter, &entry->address, entry->bits, entry->by_hand,
                                     *entry->gateway ? entry->gateway : NULL));
}

static void ip_address_get(struct call *call)
{
    struct ip_entries entries = ip_entries(call);
    for (size_t i = 0; i < entries.count; i++)
        ip_entry_put(call, &entries.items[i]);
    ip_entries_free(&entries);
}

static int ip_entry_remove(struct call *call, const struct ip_entry *entry, struct error *error)
{
    char id[128], text[PREFIX_TEXT];
    if (!*entry->adapter.switch_id)
        return link_address_remove(entry->adapter.index, &entry->address, entry->bits, error);
    prefix_write(&entry->address, text);
    snprintf(id, sizeof id, "%s %s", entry->adapter.switch_id, text);
    if (network_address_remove(call->service, id, error) < 0)
        return -1;
    if (entry->adapter.index < IP_SWITCH_INDEX) // the kernel has it, too
        link_address_remove(entry->adapter.index, &entry->address, entry->bits, NULL);
    return call_network_apply(call, error);
}

static void ip_address_remove(struct call *call)
{
    struct ip_entries entries = ip_entries(call);
    struct error error;
    for (size_t i = 0; i < entries.count; i++) {
        char text[PREFIX_TEXT];
        prefix_write(&entries.items[i].address, text);
        if (!call_should(call, "Remove-NetIPAddress", text))
            continue;
        if (ip_entry_remove(call, &entries.items[i], &error) < 0)
            call_error(call, CATEGORY_PERMISSION_DENIED, "Windows System Error 5", text, "%s", error.text);
        else if (call_switch(call, "Passthru"))
            ip_entry_put(call, &entries.items[i]);
    }
    ip_entries_free(&entries);
}

// The kernel has no way to change a prefix: the address goes and comes back.
static int ip_entry_set(struct call *call, struct ip_entry *entry, u8 bits, struct error *error)
{
    struct ip_new new = {.address = entry->address, .bits = bits, .has_gateway = *entry->gateway != 0};
    if (new.has_gateway && prefix_read(&new.gateway, entry->gateway, error) < 0)
        return -1;
    if (ip_entry_remove(call, entry, error) < 0)
        return -1;
    entry->bits = bits;
    const bool added = *entry->adapter.switch_id ? ip_new_on_switch(call, &entry->adapter, &new)
                                                 : ip_new_on_link(call, &entry->adapter, &new);
    return added ? 0 : error_set(error, "the address was removed and could not be added again");
}

static void ip_address_set(struct call *call)
{
    struct ip_entries entries = ip_entries(call);
    struct error error;
    for (size_t i = 0; i < entries.count; i++) {
        struct ip_entry *entry = &entries.items[i];
        const s64 bits = call_int(call, "PrefixLength", entry->bits);
        if (bits > (entry->address.ipv6 ? 128 : 32)) {
            ip_incorrect(call, entry->adapter.name, "The prefix is longer than the address.");
            continue;
        }
        if (!call_should(call, "Set-NetIPAddress", entry->adapter.name))
            continue;
        if (bits != entry->bits && ip_entry_set(call, entry, (u8)bits, &error) < 0)
            call_error(call, CATEGORY_PERMISSION_DENIED, "Windows System Error 5", entry->adapter.name, "%s",
                       error.text);
        else if (call_switch(call, "Passthru"))
            ip_entry_put(call, entry);
    }
    ip_entries_free(&entries);
}

// --- Name servers ----------------------------------------------------------------------------------------------------

struct dns_search {
    const char *switch_id;
    char *servers; // allocated
};

static void dns_search(void *context, const struct network_dns *dns)
{
    struct dns_search *search = context;
    if (strcmp(dns->switch_id, search->switch_id))
        return;
    free(search->servers);
    search->servers = value_text_copy(dns->servers ? dns->servers : "");
}

static char *dns_of(struct call *call, const struct ip_adapter *adapter)
{
    struct dns_search search = {adapter->switch_id, NULL};
    if (!*adapter->switch_id)
        return link_dns_list();
    network_dns_servers(call->service, dns_search, &search, NULL);
    return search.servers;
}

static void dns_put(struct call *call, const struct ip_adapter *adapter)
{
    char *servers = dns_of(call, adapter), *save = NULL;
    struct value *object = value_object("DnsClientServerAddress"), *list = value_array();
    for (char *word = servers ? strtok_r(servers, " ", &save) : NULL; word; word = strtok_r(NULL, " ", &save))
        value_add(list, value_string(word));
    value_put(object, "InterfaceAlias", value_string(adapter->name));
    value_put(object, "InterfaceIndex", value_int(adapter->index));
    value_put(object, "AddressFamily", value_string("IPv4"));
    value_put(object, "ServerAddresses", list);
    call_put(call, object);
    free(servers);
}

static void dns_get(struct call *call)
{
    struct ip_adapters adapters = ip_adapters(call);
    const char *name = call_string(call, "InterfaceAlias", NULL);
    const s64 index = call_int(call, "InterfaceIndex", 0);
    for (size_t i = 0; i < adapters.count; i++)
        if (!adapters.items[i].link.loopback && (!index || index == adapters.items[i].index) &&
            (!name || ip_is_called(&adapters.items[i], name)))
            dns_put(call, &adapters.items[i]);
    free(adapters.items);
}

// Servers of a switch's adapter as they are to be, or the machine's with one more.
static int dns_save(struct call *call, const struct ip_adapter *adapter, char *servers, struct error *error)
{
    const struct network_dns dns = {.switch_id = (char *)adapter->switch_id, .servers = servers};
    return network_dns_save(call->service, &dns, error) < 0 ? -1 : call_network_apply(call, error);
}

static bool dns_good(struct call *call, const char *server)
{
    struct prefix prefix;
    struct error error;
    if (!strchr(server, '/') && prefix_read(&prefix, server, &error) == 0)
        return true;
    ip_incorrect(call, server, "A name server is named by its IP address.");
    return false;
}

static void dns_set(struct call *call)
{
    struct ip_adapter adapter;
    struct error error;
    char *servers = value_text_copy("");
    int result = 0;
    bool good = ip_choose(call, &adapter) && call_should(call, "Set-DnsClientServerAddress", adapter.name);
    for (size_t i = 0; good && i < call_count(call, "ServerAddresses"); i++) {
        const char *server = call_item(call, "ServerAddresses", i);
        good = dns_good(call, server);
        if (good && !*adapter.switch_id)
            result = link_dns_add(adapter.name, server, &error);
        char *longer = value_text("%s%s%s", servers, *servers ? " " : "", server);
        free(servers);
        servers = longer;
    }
    if (good && *adapter.switch_id)
        result = dns_save(call, &adapter, servers, &error);
    if (good && result < 0)
        call_error(call, CATEGORY_WRITE_ERROR, "Windows System Error 5", adapter.name, "%s", error.text);
    else if (good && call_switch(call, "Passthru"))
        dns_put(call, &adapter);
    free(servers);
}

// netsh adds: at the place of -Index, behind the others if none is given.
static char *dns_with(const char *servers, const char *server, s64 index)
{
    char *old = value_text_copy(servers), *text = value_text_copy(""), *save = NULL;
    s64 at = 1;
    bool put = false;
    for (char *word = strtok_r(old, " ", &save);; word = strtok_r(NULL, " ", &save), at++) {
        const bool now = !put && (!word || at == index);
        char *longer = value_text("%s%s%s%s%s", text, now && *text ? " " : "", now ? server : "",
                                  word && (*text || now) ? " " : "", word ? word : "");
        put = put || now;
        free(text);
        text = longer;
        if (!word)
            break;
    }
    free(old);
    return text;
}

static void dns_add(struct call *call)
{
    struct ip_adapter adapter;
    struct error error;
    const char *server = call_string(call, "Address", "");
    if (!ip_choose(call, &adapter) || !dns_good(call, server) || !call_should(call, "netsh", adapter.name))
        return;
    int result;
    if (*adapter.switch_id) {
        char *old = dns_of(call, &adapter), *servers = dns_with(old ? old : "", server, call_int(call, "Index", 0));
        result = dns_save(call, &adapter, servers, &error);
        free(old);
        free(servers);
    } else {
        result = link_dns_add(adapter.name, server, &error);
    }
    if (result < 0)
        call_error(call, CATEGORY_WRITE_ERROR, "Windows System Error 5", adapter.name, "%s", error.text);
}

const struct handler object_ip[] = {
    {"Get-NetAdapter", ip_adapter_get},
    {"New-NetIPAddress", ip_address_new},
    {"Get-NetIPAddress", ip_address_get},
    {"Set-NetIPAddress", ip_address_set},
    {"Remove-NetIPAddress", ip_address_remove},
    {"Get-DnsClientServerAddress", dns_get},
    {"Set-DnsClientServerAddress", dns_set},
    {"Add-NetshDnsServer", dns_add},
    {0},
};
