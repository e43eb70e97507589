// New-NetNat and its companions.
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "service/network.h"
#include "service/object/object.h"
#include "service/prefix.h"
#include "service/uplink.h"

enum { NAT_BITS_LEAST = 8, NAT_BITS_MOST = 30 }; // of a network behind a NAT

// Windows tells all of these as one error; the reason behind it is ours.
static void nat_failed(struct call *call, const char *class, const char *reason)
{
    call_error(call, CATEGORY_INVALID_ARGUMENT, "Windows System Error 87", class, "The parameter is incorrect.\n%s",
               reason);
}

static void nat_database(struct call *call, const struct error *error)
{
    call_error(call, CATEGORY_WRITE_ERROR, "Database", NULL, "%s", error->text);
}

// Kept, or taken back, and not to be had on this host as it is.
static void nat_not_in_force(struct call *call, const char *name, const struct error *error)
{
    call_error(call, CATEGORY_RESOURCE_UNAVAILABLE, "Windows System Error 31", name,
               "A device attached to the system is not functioning.\n'%s': %s", name, error->text);
}

static bool nat_is_active(struct call *call, const struct network_nat *nat);

static struct value *nat_object(struct call *call, const struct network_nat *nat)
{
    struct value *object = value_object("NetNat");
    value_put(object, "Name", value_string(nat->name));
    value_put(object, "ExternalIPInterfaceAddressPrefix", object_text(nat->external_prefix));
    value_put(object, "InternalIPInterfaceAddressPrefix", object_text(nat->internal_prefix));
    value_put(object, "IcmpQueryTimeout", value_int(nat->icmp_timeout));
    value_put(object, "TcpEstablishedConnectionTimeout", value_int(nat->tcp_established_timeout));
    value_put(object, "TcpTransientConnectionTimeout", value_int(nat->tcp_transient_timeout));
    value_put(object, "TcpFilteringBehavior", value_string(nat->tcp_filtering));
    value_put(object, "UdpFilteringBehavior", value_string(nat->udp_filtering));
    value_put(object, "UdpIdleSessionTimeout", value_int(nat->udp_timeout));
    value_put(object, "UdpInboundRefresh", value_bool(nat->udp_refresh));
    value_put(object, "Store", value_string("Local"));
    value_put(object, "Active", value_bool(nat_is_active(call, nat)));
    value_put(object, "NetworkBackend", value_string(uplink_is_kernel(call->service) ? "Kernel" : "User"));
    return object;
}

// --- A NAT works once one of the host's adapters on a switch has an address in its network ---------------------------

struct nat_address_search {
    const struct prefix *prefix;
    bool found;
};

static void nat_address_search(void *context, const struct network_address *address)
{
    struct nat_address_search *search = context;
    struct prefix one;
    if (prefix_read(&one, address->address, NULL) == 0 && prefix_contains(search->prefix, &one))
        search->found = true;
}

static bool nat_is_active(struct call *call, const struct network_nat *nat)
{
    struct prefix prefix;
    struct nat_address_search search = {&prefix, false};
    if (!nat->internal_prefix || prefix_read(&prefix, nat->internal_prefix, NULL) < 0)
        return false;
    network_addresses(call->service, nat_address_search, &search, NULL);
    return search.found;
}

// --- Which NATs are meant --------------------------------------------------------------------------------------------

static bool named(const struct call *call, const char *parameter, const char *text)
{
    const size_t count = call_count(call, parameter);
    for (size_t i = 0; i < count; i++)
        if (value_name_like(text, call_item(call, parameter, i)))
            return true;
    return !count;
}

static bool nat_is_meant(const struct call *call, const char *name)
{
    const struct value *objects = call_value(call, "InputObject");
    for (size_t i = 0; i < value_count(objects); i++)
        if (!value_name_compare(value_as_string(value_get(value_item(objects, i), "Name"), ""), name))
            return true;
    return !objects && named(call, "Name", name);
}

struct nat_list {
    struct call *call;
    struct network_nat *items;
    size_t count;
};

static void nat_collect(void *context, const struct network_nat *nat)
{
    struct nat_list *list = context;
    if (!nat_is_meant(list->call, nat->name))
        return;
    list->items = value_reallocate(list->items, (list->count + 1) * sizeof *list->items);
    network_nat_copy(&list->items[list->count++], nat);
}

static struct nat_list nats_meant(struct call *call)
{
    struct nat_list list = {.call = call};
    struct error error;
    if (network_nats(call->service, nat_collect, &list, &error) < 0)
        nat_database(call, &error);
    const char *name = call_item(call, "Name", 0);
    if (!list.count && name && !value_has_wildcard(name))
        call_error(
            call, CATEGORY_OBJECT_NOT_FOUND, "CmdletizationQuery_NotFound_Name", name,
            "No MSFT_NetNat objects found with property 'Name' equal to '%s'. Verify the value of the property and "
            "retry.",
            name);
    return list;
}

static void nats_free(struct nat_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        network_nat_free(&list->items[i]);
    free(list->items);
}

// --- The cmdlets -----------------------------------------------------------------------------------------------------

struct nat_conflict {
    struct service *service;
    const char *name;
    const struct prefix *prefix;
    char reason[512];
};

static void nat_conflict(void *context, const struct network_nat *nat)
{
    struct nat_conflict *conflict = context;
    struct prefix other;
    if (!value_name_compare(nat->name, conflict->name))
        snprintf(conflict->reason, sizeof conflict->reason, "There is a NAT '%s' already; Get-NetNat shows it.",
                 nat->name);
    else if (conflict->prefix && nat->internal_prefix && prefix_read(&other, nat->internal_prefix, NULL) == 0 &&
             prefix_overlaps(conflict->prefix, &other))
        snprintf(conflict->reason, sizeof conflict->reason,
                 "The network overlaps %s, which belongs to NAT '%s'. Remove that with Remove-NetNat, or take another "
                 "network.",
                 nat->internal_prefix, nat->name);
}

// What no network behind a NAT can be, whoever else there is; empty: it can be one.
static void nat_impossible(struct nat_conflict *conflict)
{
    char text[PREFIX_TEXT], owner[64];
    const struct prefix *prefix = conflict->prefix;
    prefix_write(prefix, text);
    if (prefix->ipv6)
        snprintf(conflict->reason, sizeof conflict->reason, "%s: a NAT is for IPv4 networks.", text);
    else if (prefix->bits < NAT_BITS_LEAST || prefix->bits > NAT_BITS_MOST)
        snprintf(conflict->reason, sizeof conflict->reason,
                 "%s: a network behind a NAT has a prefix of %d to %d bits; an example is 192.168.100.0/24.", text,
                 NAT_BITS_LEAST, NAT_BITS_MOST);
    else if (prefix->bytes[0] == 0 || prefix->bytes[0] == 127 || prefix->bytes[0] >= 224)
        snprintf(conflict->reason, sizeof conflict->reason, "%s: no host can have addresses in this network.", text);
    else if (uplink_is_taken(conflict->service, prefix, owner, sizeof owner))
        snprintf(conflict->reason, sizeof conflict->reason,
                 "The network overlaps the one that this host's adapter '%s' is in; take another network.", owner);
}

static void nat_against_default(void *context, const struct network_address *address)
{
    struct nat_conflict *conflict = context;
    struct prefix network;
    if (strcmp(address->switch_id, UPLINK_DEFAULT_SWITCH) || prefix_read(&network, address->address, NULL) < 0)
        return;
    prefix_cut(&network, (u8)address->prefix);
    if (prefix_overlaps(&network, conflict->prefix))
        snprintf(conflict->reason, sizeof conflict->reason,
                 "The network overlaps the Default Switch's, which is that of %s; take another network.",
                 address->address);
}

// The prefix in its one spelling; false: told.
static bool nat_prefix(struct call *call, const char *parameter, struct prefix *prefix, char text[PREFIX_TEXT])
{
    struct error error;
    if (prefix_read(prefix, call_string(call, parameter, ""), &error) == 0) {
        prefix_write(prefix, text);
        return true;
    }
    error_prefix(&error, "-%s", parameter);
    nat_failed(call, "MSFT_NetNat:root/StandardCimv2/MSFT_NetNat", error.text);
    return false;
}

static void nat_new(struct call *call)
{
    struct prefix internal, external;
    char internal_text[PREFIX_TEXT] = "", external_text[PREFIX_TEXT] = "", address[CONTROL_ADDRESS + 1];
    const bool has_internal = call_has(call, "InternalIPInterfaceAddressPrefix");
    const bool has_external = call_has(call, "ExternalIPInterfaceAddressPrefix");
    struct error error;
    struct network_nat nat = {.name = (char *)call_string(call, "Name", ""),
                              .icmp_timeout = 30,
                              .tcp_established_timeout = 1800,
                              .tcp_transient_timeout = 120,
                              .udp_timeout = 120,
                              .tcp_filtering = (char *)"AddressDependentFiltering",
                              .udp_filtering = (char *)"AddressDependentFiltering"};
    struct nat_conflict conflict = {
        .service = call->service, .name = nat.name, .prefix = has_internal ? &internal : NULL};
    if ((has_internal && !nat_prefix(call, "InternalIPInterfaceAddressPrefix", &internal, internal_text)) ||
        (has_external && !nat_prefix(call, "ExternalIPInterfaceAddressPrefix", &external, external_text)))
        return;
    network_nats(call->service, nat_conflict, &conflict, NULL);
    if (has_internal && !*conflict.reason)
        nat_impossible(&conflict);
    if (has_internal && !*conflict.reason)
        network_addresses(call->service, nat_against_default, &conflict, NULL);
    if (has_external && !*conflict.reason && !uplink_external(&external, address))
        snprintf(conflict.reason, sizeof conflict.reason,
                 "-ExternalIPInterfaceAddressPrefix: none of this host's adapters has an address in %s.",
                 external_text);
    if (!has_internal && !has_external)
        snprintf(conflict.reason, sizeof conflict.reason,
                 "Name the network: -InternalIPInterfaceAddressPrefix 192.168.100.0/24");
    if (*conflict.reason) {
        nat_failed(call, "MSFT_NetNat:root/StandardCimv2/MSFT_NetNat", conflict.reason);
        return;
    }
    if (!call_should(call, "New-NetNat", nat.name))
        return;
    nat.internal_prefix = has_internal ? internal_text : NULL;
    nat.external_prefix = has_external ? external_text : NULL;
    if (network_nat_save(call->service, &nat, &error) < 0) {
        nat_database(call, &error);
    } else if (call_network_apply(call, &error) < 0) {
        network_nat_remove(call->service, nat.name, NULL);
        nat_not_in_force(call, nat.name, &error);
    } else {
        call_put(call, nat_object(call, &nat));
    }
}

static void nat_get(struct call *call)
{
    struct nat_list list = nats_meant(call);
    for (size_t i = 0; i < list.count; i++)
        call_put(call, nat_object(call, &list.items[i]));
    nats_free(&list);
}

static void nat_set(struct call *call)
{
    struct nat_list list = nats_meant(call);
    struct error error;
    for (size_t i = 0; i < list.count; i++) {
        struct network_nat *nat = &list.items[i];
        if (!call_should(call, "Set-NetNat", nat->name))
            continue;
        call_take_int(call, "IcmpQueryTimeout", &nat->icmp_timeout);
        call_take_int(call, "TcpEstablishedConnectionTimeout", &nat->tcp_established_timeout);
        call_take_int(call, "TcpTransientConnectionTimeout", &nat->tcp_transient_timeout);
        call_take_int(call, "UdpIdleSessionTimeout", &nat->udp_timeout);
        call_take_text(call, "TcpFilteringBehavior", &nat->tcp_filtering);
        call_take_text(call, "UdpFilteringBehavior", &nat->udp_filtering);
        call_take_bool(call, "UdpInboundRefresh", &nat->udp_refresh);
        if (network_nat_save(call->service, nat, &error) < 0)
            nat_database(call, &error);
        else if (call_switch(call, "Passthru"))
            call_put(call, nat_object(call, nat));
    }
    nats_free(&list);
}

static void nat_remove(struct call *call)
{
    struct nat_list list = nats_meant(call);
    struct error error;
    for (size_t i = 0; i < list.count; i++) {
        if (!call_should(call, "Remove-NetNat", list.items[i].name))
            continue;
        if (network_nat_remove(call->service, list.items[i].name, &error) < 0)
            nat_database(call, &error);
        else if (call_network_apply(call, &error) < 0)
            nat_not_in_force(call, list.items[i].name, &error);
        else if (call_switch(call, "Passthru"))
            call_put(call, nat_object(call, &list.items[i]));
    }
    nats_free(&list);
}

// --- Port mappings ---------------------------------------------------------------------------------------------------

static struct value *mapping_object(const struct network_mapping *mapping)
{
    struct value *object = value_object("NetNatStaticMapping");
    value_put(object, "StaticMappingID", value_int(mapping->number));
    value_put(object, "NatName", value_string(mapping->nat));
    value_put(object, "Protocol", value_string(mapping->protocol));
    value_put(object, "RemoteExternalIPAddressPrefix",
              value_string(mapping->remote_prefix ? mapping->remote_prefix : "0.0.0.0/0"));
    value_put(object, "ExternalIPAddress", value_string(mapping->external_address));
    value_put(object, "ExternalPort", value_int(mapping->external_port));
    value_put(object, "InternalIPAddress", value_string(mapping->internal_address));
    value_put(object, "InternalPort", value_int(mapping->internal_port));
    value_put(object, "InternalRoutingDomainId", value_string("{00000000-0000-0000-0000-000000000000}"));
    value_put(object, "Active", value_bool(true));
    return object;
}

struct mapping_scan {
    const struct network_mapping *wanted;
    s64 next;
    bool taken;
};

static void mapping_scan(void *context, const struct network_mapping *mapping)
{
    struct mapping_scan *scan = context;
    if (mapping->number >= scan->next)
        scan->next = mapping->number + 1;
    scan->taken = scan->taken || (!strcasecmp(mapping->protocol, scan->wanted->protocol) &&
                                  mapping->external_port == scan->wanted->external_port &&
                                  !strcmp(mapping->external_address, scan->wanted->external_address));
}

struct nat_search {
    const char *name;
    struct network_nat found;
    bool any;
};

static void nat_search(void *context, const struct network_nat *nat)
{
    struct nat_search *search = context;
    if (search->any || value_name_compare(nat->name, search->name))
        return;
    search->any = true;
    network_nat_copy(&search->found, nat);
}

// What keeps a mapping from being made; empty: nothing.
static void mapping_check(struct call *call, const struct network_mapping *mapping, struct network_nat *nat,
                          struct error *reason)
{
    struct prefix internal, one;
    struct nat_search search = {.name = mapping->nat};
    *reason = (struct error){""};
    network_nats(call->service, nat_search, &search, NULL);
    *nat = search.found;
    if (!search.any)
        error_set(reason, "There is no NAT '%s'; Get-NetNat lists them.", mapping->nat);
    else if (prefix_read(&one, mapping->external_address, reason) < 0 ||
             prefix_read(&one, mapping->internal_address, reason) < 0)
        return;
    else if (nat->internal_prefix && prefix_read(&internal, nat->internal_prefix, NULL) == 0 &&
             !prefix_contains(&internal, &one))
        error_set(reason, "%s does not lie in %s, the network behind NAT '%s'.", mapping->internal_address,
                  nat->internal_prefix, nat->name);
    else if (one.ipv6)
        error_set(reason, "'%s': a NAT is for IPv4 networks.", mapping->internal_address);
    else if (mapping->external_port < 1 || mapping->internal_port < 1)
        error_set(reason, "Ports are 1 to 65535.");
    else if (mapping->remote_prefix && prefix_read(&one, mapping->remote_prefix, reason) == 0 && one.bits &&
             !uplink_is_kernel(call->service))
        error_set(reason, "-RemoteExternalIPAddressPrefix: only the kernel's NAT can hold others off, and this host's "
                          "network backend is User (Get-VMHost).");
}

static void mapping_add(struct call *call)
{
    struct network_mapping mapping = {.nat = (char *)call_string(call, "NatName", ""),
                                      .protocol = (char *)call_string(call, "Protocol", "TCP"),
                                      .external_address = (char *)call_string(call, "ExternalIPAddress", "0.0.0.0"),
                                      .internal_address = (char *)call_string(call, "InternalIPAddress", ""),
                                      .remote_prefix = (char *)call_string(call, "RemoteExternalIPAddressPrefix", NULL),
                                      .external_port = call_int(call, "ExternalPort", 0)};
    struct mapping_scan scan = {.wanted = &mapping};
    struct network_nat nat = {0};
    struct error error;
    mapping.internal_port = call_int(call, "InternalPort", mapping.external_port);
    mapping_check(call, &mapping, &nat, &error);
    network_mappings(call->service, mapping_scan, &scan, NULL);
    if (!*error.text && scan.taken)
        error_set(&error, "Port %lld/%s of %s is mapped already; Get-NetNatStaticMapping lists the mappings.",
                  (long long)mapping.external_port, mapping.protocol, mapping.external_address);
    if (*error.text) {
        nat_failed(call, "MSFT_NetNatStaticMapping:root/StandardCimv2/MSFT_NetNatStaticMapping", error.text);
    } else if (call_should(call, "Add-NetNatStaticMapping", mapping.nat)) {
        mapping.nat = nat.name; // in its own spelling: the table refers to it
        mapping.number = scan.next;
        if (network_mapping_save(call->service, &mapping, &error) < 0) {
            nat_database(call, &error);
        } else if (call_network_apply(call, &error) < 0) {
            network_mapping_remove(call->service, mapping.number, NULL);
            call_network_apply(call, NULL);
            nat_not_in_force(call, mapping.nat, &error);
        } else {
            call_put(call, mapping_object(&mapping));
        }
    }
    network_nat_free(&nat);
}

static bool mapping_is_meant(const struct call *call, const struct network_mapping *mapping)
{
    const struct value *objects = call_value(call, "InputObject"), *numbers = call_value(call, "StaticMappingID");
    for (size_t i = 0; i < value_count(objects); i++)
        if (value_as_int(value_get(value_item(objects, i), "StaticMappingID"), -1) == mapping->number)
            return true;
    bool numbered = !numbers;
    for (size_t i = 0; i < value_count(numbers); i++)
        numbered = numbered || value_as_int(value_item(numbers, i), -1) == mapping->number;
    return !objects && numbered && named(call, "NatName", mapping->nat);
}

static void mapping_get_one(void *context, const struct network_mapping *mapping)
{
    if (mapping_is_meant(context, mapping))
        call_put(context, mapping_object(mapping));
}

static void mapping_get(struct call *call)
{
    struct error error;
    if (network_mappings(call->service, mapping_get_one, call, &error) < 0)
        nat_database(call, &error);
}

struct mapping_numbers {
    struct call *call;
    s64 *items;
    size_t count;
};

static void mapping_collect(void *context, const struct network_mapping *mapping)
{
    struct mapping_numbers *numbers = context;
    if (!mapping_is_meant(numbers->call, mapping))
        return;
    numbers->items = value_reallocate(numbers->items, (numbers->count + 1) * sizeof *numbers->items);
    numbers->items[numbers->count++] = mapping->number;
}

static void mapping_remove(struct call *call)
{
    struct mapping_numbers numbers = {.call = call};
    struct error error;
    if (network_mappings(call->service, mapping_collect, &numbers, &error) < 0)
        nat_database(call, &error);
    for (size_t i = 0; i < numbers.count; i++) {
        char target[32];
        snprintf(target, sizeof target, "%lld", (long long)numbers.items[i]);
        if (call_should(call, "Remove-NetNatStaticMapping", target) &&
            network_mapping_remove(call->service, numbers.items[i], &error) < 0)
            nat_database(call, &error);
    }
    if (numbers.count && call_network_apply(call, &error) < 0)
        nat_not_in_force(call, "static mapping", &error);
    free(numbers.items);
}

const struct handler object_nat[] = {
    {"New-NetNat", nat_new},
    {"Get-NetNat", nat_get},
    {"Set-NetNat", nat_set},
    {"Remove-NetNat", nat_remove},
    {"Add-NetNatStaticMapping", mapping_add},
    {"Get-NetNatStaticMapping", mapping_get},
    {"Remove-NetNatStaticMapping", mapping_remove},
    {0},
};
