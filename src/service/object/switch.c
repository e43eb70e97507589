// Virtual switches: New-VMSwitch and its companions.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "service/link.h"
#include "service/mac.h"
#include "service/network.h"
#include "service/object/object.h"
#include "service/switchboard.h"
#include "service/uplink.h"

static struct value *switch_object(struct call *call, const struct network_switch *network)
{
    static const char *const never[] = {"EmbeddedTeamingEnabled", "IovEnabled", "PacketDirectEnabled"};
    struct value *object = value_object("VMSwitch");
    value_put(object, "Name", value_string(network->name));
    value_put(object, "Id", value_string(network->id));
    value_put(object, "Notes", object_text(network->notes));
    value_put(object, "SwitchType", value_string(network->type));
    value_put(object, "AllowManagementOS", value_bool(network->host_mac != NULL));
    value_put(object, "NetAdapterInterfaceDescription", object_text(network->net_adapter));
    value_put(object, "NetAdapterName", object_text(network->net_adapter));
    value_put(object, "BandwidthReservationMode", value_string(network->bandwidth_mode));
    value_put(object, "DefaultFlowMinimumBandwidthAbsolute", value_int(network->flow_absolute));
    value_put(object, "DefaultFlowMinimumBandwidthWeight", value_int(network->flow_weight));
    for (size_t i = 0; i < ARRAY_SIZE(never); i++)
        value_put(object, never[i], value_bool(false));
    value_put(object, "DhcpEnabled", value_bool(network->dhcp));
    value_put(object, "NetworkBackend", value_string(uplink_backend(call->service, network)));
    value_put(object, "ComputerName", value_string(service_host_name(call->service)));
    value_put(object, "IsDeleted", value_bool(false));
    return object;
}

static void switch_failed(struct call *call, enum error_category category, const char *id, const char *what,
                          const char *name, const char *reason)
{
    call_error(call, category, id, name, "Failed to %s the virtual switch '%s'.\n%s", what, name, reason);
}

// --- Which switches are meant ----------------------------------------------------------------------------------------

struct switch_list {
    struct call *call;
    struct network_switch *items; // copies: a switch may be changed while the list is walked
    size_t count;
};

static bool listed(const struct call *call, const char *parameter, const char *text, bool wildcards)
{
    const size_t count = call_count(call, parameter);
    for (size_t i = 0; i < count; i++)
        if (wildcards ? value_name_like(text, call_item(call, parameter, i))
                      : !value_name_compare(text, call_item(call, parameter, i)))
            return true;
    const char *single = count ? NULL : call_string(call, parameter, NULL);
    return single ? value_name_like(text, single) : !count;
}

static bool switch_is_meant(const struct call *call, const struct network_switch *network)
{
    const struct value *objects = call_value(call, "VMSwitch");
    for (size_t i = 0; i < value_count(objects); i++)
        if (!strcasecmp(value_as_string(value_get(value_item(objects, i), "Id"), ""), network->id))
            return true;
    if (objects)
        return false;
    return listed(call, "Name", network->name, true) && listed(call, "Id", network->id, false);
}

static void switch_collect(void *context, const struct network_switch *network)
{
    struct switch_list *list = context;
    if (!switch_is_meant(list->call, network))
        return;
    list->items = value_reallocate(list->items, (list->count + 1) * sizeof *list->items);
    network_switch_copy(&list->items[list->count++], network);
}

// A name without wildcards that is not there is an error.
static void switch_missing(struct call *call, const struct switch_list *list)
{
    const size_t count = call_count(call, "Name");
    for (size_t i = 0; i < (count ? count : 1); i++) {
        const char *name = count ? call_item(call, "Name", i) : call_string(call, "Name", NULL);
        bool found = !name || value_has_wildcard(name);
        for (size_t j = 0; !found && j < list->count; j++)
            found = !value_name_compare(list->items[j].name, name);
        if (!found)
            call_error(call, CATEGORY_OBJECT_NOT_FOUND, "ObjectNotFound", name,
                       "Hyper-V was unable to find a virtual switch with name \"%s\".", name);
    }
}

static struct switch_list switches_meant(struct call *call)
{
    struct switch_list list = {.call = call};
    struct error error;
    if (network_switches(call->service, switch_collect, &list, &error) < 0)
        call_error(call, CATEGORY_READ_ERROR, "Database", NULL, "%s", error.text);
    else
        switch_missing(call, &list);
    return list;
}

static void switches_free(struct switch_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        network_switch_free(&list->items[i]);
    free(list->items);
}

// --- The cmdlets -----------------------------------------------------------------------------------------------------

// What nidus's switches do not have may be declined, not asked for. False: told.
static bool has_all(struct call *call, const char *name)
{
    static const char *const never[] = {"EnableIov", "EnablePacketDirect", "EnableEmbeddedTeaming"};
    for (size_t i = 0; i < ARRAY_SIZE(never); i++) {
        if (!value_as_bool(call_value(call, never[i]), false))
            continue;
        call_error(call, CATEGORY_INVALID_ARGUMENT, "NotSupported", name,
                   "Failed to create the virtual switch '%s'.\n-%s: nidus's switches do not have that; leave it out.",
                   name, never[i]);
        return false;
    }
    return true;
}

static const char *switch_net_adapter(const struct call *call)
{
    const char *name = call_item(call, "NetAdapterName", 0);
    if (!name)
        name = call_string(call, "NetAdapterName", NULL);
    return name ? name : call_item(call, "NetAdapterInterfaceDescription", 0);
}

struct adapter_search {
    const char *adapter, *except; // except: the id of the switch that may have it
    char owner[256];
};

static void adapter_search(void *context, const struct network_switch *network)
{
    struct adapter_search *search = context;
    if (network->net_adapter && !strcmp(network->net_adapter, search->adapter) &&
        !(search->except && !strcmp(search->except, network->id)))
        snprintf(search->owner, sizeof search->owner, "%s", network->name);
}

// The host's adapter of that name, which no other switch has. False: told.
static bool switch_link(struct call *call, const char *what, const char *name, const char *adapter, struct link *link)
{
    struct adapter_search search = {.adapter = link->name};
    char reason[512];
    if (!link_find(adapter, link) || link->loopback) {
        switch_failed(call, CATEGORY_OBJECT_NOT_FOUND, "ObjectNotFound", what, name,
                      "The host has no network adapter of that name; Get-NetAdapter lists them.");
        return false;
    }
    network_switches(call->service, adapter_search, &search, NULL);
    if (!*search.owner || !value_name_compare(search.owner, name))
        return true;
    snprintf(reason, sizeof reason,
             "External Ethernet adapter '%s' is already bound to the Microsoft Virtual Switch protocol: it is that of "
             "switch '%s'.",
             link->name, search.owner);
    switch_failed(call, CATEGORY_RESOURCE_EXISTS, "InvalidParameter", what, name, reason);
    return false;
}

// The host keeps its physical adapter in any case: nidus takes nobody's addresses away, because the host, or who types
// this, may be connected by them. So an adapter can be a switch's alone where the host has none there. False: told.
static bool switch_may_have_alone(struct call *call, const char *what, const char *name, const char *adapter)
{
    char address[PREFIX_TEXT], reason[512];
    if (!uplink_host_uses(adapter, address))
        return true;
    snprintf(reason, sizeof reason,
             "-AllowManagementOS $false: the host has the address %s on '%s', and may be connected by it. Remove the "
             "host's addresses there first (Remove-NetIPAddress -InterfaceAlias '%s'), or share the adapter "
             "(-AllowManagementOS $true).",
             address, adapter, adapter);
    switch_failed(call, CATEGORY_INVALID_OPERATION, "OperationFailed", what, name, reason);
    return false;
}

// Who asked for the host's adapter by name hears it if there can be none.
static void switch_tell_of_host(struct call *call, const struct network_switch *network)
{
    if (value_as_bool(call_value(call, "AllowManagementOS"), false) && !uplink_has_host(call->service, network))
        call_warning(call, "The host has no adapter 'vEthernet (%s)': that takes CAP_NET_ADMIN, tap interfaces and "
                     "nftables. It keeps '%s' as it is.", network->name,
                     network->net_adapter ? network->net_adapter : "its adapters");
}

static bool switch_fill(struct call *call, struct network_switch *network, const char *name)
{
    struct error error;
    char id[37], mac[MAC_TEXT];
    const char *adapter = switch_net_adapter(call), *dhcp = call_string(call, "Dhcp", NULL);
    struct link link;
    if (adapter && !switch_link(call, "create", name, adapter, &link))
        return false;
    const bool host = adapter ? value_as_bool(call_value(call, "AllowManagementOS"), true)
                              : !strcasecmp(call_string(call, "SwitchType", "Internal"), "Internal");
    if (adapter && !host && !switch_may_have_alone(call, "create", name, link.name))
        return false;
    if (host && service_mac(call->service, mac, &error) < 0) {
        switch_failed(call, CATEGORY_RESOURCE_UNAVAILABLE, "OutOfResources", "create", name, error.text);
        return false;
    }
    record_guid(id);
    record_text_set(&network->id, id);
    record_text_set(&network->name, name);
    record_text_set(&network->notes, call_string(call, "Notes", NULL));
    record_text_set(&network->type, adapter ? "External" : call_string(call, "SwitchType", "Internal"));
    record_text_set(&network->net_adapter, adapter ? link.name : NULL);
    record_text_set(&network->host_mac, host ? mac : NULL);
    network->dhcp = dhcp && !strcasecmp(dhcp, "On");
    const char *mode = call_string(call, "MinimumBandwidthMode", "Default");
    record_text_set(&network->bandwidth_mode, !strcasecmp(mode, "Default") ? "Absolute" : mode);
    network->allow_management_os = host;
    return true;
}

static void switch_undo(struct call *call, const struct network_switch *network, const struct error *error)
{
    network_switch_remove(call->service, network->id, NULL);
    uplink_remove(call->service, network->id);
    call_network_apply(call, NULL);
    switch_failed(call, CATEGORY_RESOURCE_UNAVAILABLE, "OperationFailed", "create", network->name, error->text);
}

static void switch_new(struct call *call)
{
    struct network_switch network = {0};
    struct error error;
    const char *name = call_string(call, "Name", "");
    if (!has_all(call, name))
        return;
    if (network_switch_find(call->service, name, &network)) {
        switch_failed(call, CATEGORY_RESOURCE_EXISTS, "InvalidParameter", "create", name,
                      "There is a switch of that name already; Get-VMSwitch shows it.");
        network_switch_free(&network);
        return;
    }
    if (!call_should(call, "New-VMSwitch", name))
        return;
    if (switch_fill(call, &network, name)) {
        if (network_switch_save(call->service, &network, &error) < 0)
            switch_failed(call, CATEGORY_WRITE_ERROR, "Database", "create", name, error.text);
        else if (call_network_apply(call, &error) < 0)
            switch_undo(call, &network, &error);
        else {
            switch_tell_of_host(call, &network);
            call_put(call, switch_object(call, &network));
        }
    }
    network_switch_free(&network);
}

static void switch_get(struct call *call)
{
    struct switch_list list = switches_meant(call);
    for (size_t i = 0; i < list.count; i++)
        if (listed(call, "SwitchType", list.items[i].type, false))
            call_put(call, switch_object(call, &list.items[i]));
    switches_free(&list);
}

static bool switch_take(struct call *call, struct network_switch *network)
{
    const char *adapter = call_string(call, "NetAdapterName", NULL), *type = call_string(call, "SwitchType", NULL);
    const char *dhcp = call_string(call, "Dhcp", NULL);
    struct error error;
    struct link link;
    char mac[MAC_TEXT];
    if (uplink_is_default(network) && (adapter || type || call_has(call, "AllowManagementOS"))) {
        switch_failed(call, CATEGORY_INVALID_OPERATION, "OperationFailed", "change", network->name,
                      "The automatic Internet Connection Sharing switch cannot be modified.");
        return false;
    }
    if (adapter && !switch_link(call, "change", network->name, adapter, &link))
        return false;
    if (dhcp)
        network->dhcp = !strcasecmp(dhcp, "On");
    if (adapter || type) {
        record_text_set(&network->type, adapter ? "External" : type);
        record_text_set(&network->net_adapter, adapter ? link.name : NULL);
        network->allow_management_os = adapter || !strcasecmp(type, "Internal");
    }
    call_take_bool(call, "AllowManagementOS", &network->allow_management_os);
    if (network->net_adapter && !network->allow_management_os &&
        !switch_may_have_alone(call, "change", network->name, network->net_adapter))
        return false;
    if (!network->allow_management_os) {
        record_text_set(&network->host_mac, NULL);
    } else if (!network->host_mac) {
        if (service_mac(call->service, mac, &error) < 0) {
            switch_failed(call, CATEGORY_RESOURCE_UNAVAILABLE, "OutOfResources", "change", network->name, error.text);
            return false;
        }
        record_text_set(&network->host_mac, mac);
    }
    call_take_text(call, "Notes", &network->notes);
    call_take_int(call, "DefaultFlowMinimumBandwidthAbsolute", &network->flow_absolute);
    call_take_int(call, "DefaultFlowMinimumBandwidthWeight", &network->flow_weight);
    if (call_int(call, "DefaultFlowMinimumBandwidthAbsolute", 0) ||
        call_int(call, "DefaultFlowMinimumBandwidthWeight", 0))
        call_warning(call, "Kept bandwidth is for the record only: nidus's switches serve all ports in turn.");
    return true;
}

// What it was made of goes: the host's adapter on a switch of another kind, or beside another adapter, is another one.
static int switch_changed(struct call *call, const struct network_switch *network, struct error *error)
{
    if (call_has(call, "SwitchType") || call_has(call, "NetAdapterName") || !network->host_mac)
        uplink_remove(call->service, network->id);
    return call_network_apply(call, error);
}

static void switch_set(struct call *call)
{
    struct switch_list list = switches_meant(call);
    struct error error;
    for (size_t i = 0; i < list.count; i++) {
        struct network_switch *network = &list.items[i];
        if (!call_should(call, "Set-VMSwitch", network->name) || !switch_take(call, network))
            continue;
        if (network_switch_save(call->service, network, &error) < 0)
            switch_failed(call, CATEGORY_WRITE_ERROR, "Database", "change", network->name, error.text);
        else if (switch_changed(call, network, &error) < 0)
            switch_failed(call, CATEGORY_RESOURCE_UNAVAILABLE, "OperationFailed", "change", network->name, error.text);
        else {
            switch_tell_of_host(call, network);
            if (call_switch(call, "Passthru"))
                call_put(call, switch_object(call, network));
        }
    }
    switches_free(&list);
}

static void switch_gone(struct call *call, const struct network_switch *network)
{
    struct error error;
    switchboard_switch(service_switchboard(call->service), network->id, NULL);
    uplink_remove(call->service, network->id);
    if (call_network_apply(call, &error) < 0)
        call_warning(call, "The switch '%s' is removed; of the host's network something is left: %s", network->name,
                     error.text);
}

static void switch_remove(struct call *call)
{
    struct switch_list list = switches_meant(call);
    struct error error;
    for (size_t i = 0; i < list.count; i++) {
        const struct network_switch *network = &list.items[i];
        if (uplink_is_default(network)) {
            switch_failed(call, CATEGORY_INVALID_OPERATION, "OperationFailed", "remove", network->name,
                          "The automatic Internet Connection Sharing switch cannot be modified.");
            continue;
        }
        if (!call_should(call, "Remove-VMSwitch", network->name))
            continue;
        // Unplugged first: an adapter must not name a switch that is not there.
        if (network_switch_renamed(call->service, network->name, NULL, &error) < 0 ||
            network_switch_remove(call->service, network->id, &error) < 0)
            switch_failed(call, CATEGORY_WRITE_ERROR, "Database", "remove", network->name, error.text);
        else
            switch_gone(call, network);
    }
    switches_free(&list);
}

static void switch_rename(struct call *call)
{
    struct switch_list list = switches_meant(call);
    struct network_switch other;
    struct error error;
    const char *name = call_string(call, "NewName", "");
    for (size_t i = 0; i < list.count; i++) {
        struct network_switch *network = &list.items[i];
        char *old = value_text_copy(network->name);
        if (value_name_compare(name, old) && network_switch_find(call->service, name, &other)) {
            switch_failed(call, CATEGORY_RESOURCE_EXISTS, "InvalidParameter", "rename", old,
                          "There is a switch of the new name already.");
            network_switch_free(&other);
        } else if (uplink_is_default(network)) {
            switch_failed(call, CATEGORY_INVALID_OPERATION, "OperationFailed", "rename", old,
                          "The automatic Internet Connection Sharing switch cannot be modified.");
        } else if (call_should(call, "Rename-VMSwitch", old)) {
            record_text_set(&network->name, name);
            if (network_switch_save(call->service, network, &error) < 0 ||
                network_switch_renamed(call->service, old, name, &error) < 0 || call_network_apply(call, &error) < 0)
                switch_failed(call, CATEGORY_WRITE_ERROR, "Database", "rename", old, error.text);
            else if (call_switch(call, "Passthru"))
                call_put(call, switch_object(call, network));
        }
        free(old);
    }
    switches_free(&list);
}

const struct handler object_switch[] = {
    {"New-VMSwitch", switch_new},       {"Get-VMSwitch", switch_get},       {"Set-VMSwitch", switch_set},
    {"Remove-VMSwitch", switch_remove}, {"Rename-VMSwitch", switch_rename}, {0},
};
