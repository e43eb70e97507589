// The host's own adapters on switches (-ManagementOS): "vEthernet (SWITCH)" where the host looks at them. There is one
// on each Internal switch, and on External ones that share their adapter with the host, where its kernel can make one.
#include <strings.h>

#include "service/mac.h"
#include "service/network.h"
#include "service/object/adapter.h"
#include "service/uplink.h"

static struct value *host_adapter_object(struct call *call, const struct network_switch *network)
{
    struct value *object = value_object("VMNetworkAdapter");
    struct value *status = value_array(), *addresses = value_array();
    value_add(status, value_string("Ok"));
    value_put(object, "Name", value_string(network->name));
    value_put(object, "Id", value_format("%s\\host", network->id));
    value_put(object, "IsManagementOs", value_bool(true));
    value_put(object, "VMName", value_string(""));
    value_put(object, "SwitchName", value_string(network->name));
    value_put(object, "SwitchId", value_string(network->id));
    value_put(object, "Connected", value_bool(true));
    value_put(object, "MacAddress", value_string(network->host_mac));
    value_put(object, "DynamicMacAddressEnabled", value_bool(true));
    value_put(object, "Status", status);
    value_put(object, "IPAddresses", addresses);
    value_put(object, "ComputerName", value_string(service_host_name(call->service)));
    value_put(object, "IsDeleted", value_bool(false));
    return object;
}

struct host_adapter_visit {
    struct call *call;
    void (*each)(struct call *call, const struct network_switch *network);
    unsigned count;
};

static bool host_adapter_is_meant(const struct call *call, const struct network_switch *network)
{
    const char *name = call_string(call, "Name", NULL), *switch_name = call_string(call, "SwitchName", NULL);
    return uplink_has_host(call->service, network) && (!name || value_name_like(network->name, name)) &&
           (!switch_name || value_name_like(network->name, switch_name));
}

static void host_adapter_visited(void *context, const struct network_switch *network)
{
    struct host_adapter_visit *visit = context;
    if (!host_adapter_is_meant(visit->call, network))
        return;
    visit->count++;
    visit->each(visit->call, network);
}

static unsigned host_adapter_each(struct call *call, void (*each)(struct call *, const struct network_switch *))
{
    struct error error;
    struct host_adapter_visit visit = {call, each, 0};
    if (network_switches(call->service, host_adapter_visited, &visit, &error) < 0)
        call_error(call, CATEGORY_READ_ERROR, "Database", NULL, "%s", error.text);
    return visit.count;
}

static void host_adapter_put(struct call *call, const struct network_switch *network)
{
    call_put(call, host_adapter_object(call, network));
}

void host_adapter_get(struct call *call)
{
    host_adapter_each(call, host_adapter_put);
}

static void host_adapter_change(struct call *call, const struct network_switch *network)
{
    struct error error;
    struct network_switch changed = *network; // borrows its texts
    const char *dhcp = call_string(call, "Dhcp", NULL);
    if (!dhcp) {
        call_error(call, CATEGORY_INVALID_ARGUMENT, "InvalidParameter", network->name,
                   "Of the host's adapters, -Dhcp can be set; their port lets everything through.");
        return;
    }
    changed.dhcp = !strcasecmp(dhcp, "On");
    if (!call_should(call, "Set-VMNetworkAdapter", network->name))
        return;
    if (network_switch_save(call->service, &changed, &error) < 0)
        call_error(call, CATEGORY_WRITE_ERROR, "Database", network->name, "%s", error.text);
    else if (call_network_apply(call, &error) < 0)
        call_error(call, CATEGORY_RESOURCE_UNAVAILABLE, "OperationFailed", network->name, "%s", error.text);
    else if (call_switch(call, "Passthru"))
        host_adapter_put(call, &changed);
}

void host_adapter_set(struct call *call)
{
    if (!host_adapter_each(call, host_adapter_change))
        call_error(call, CATEGORY_OBJECT_NOT_FOUND, "ObjectNotFound", NULL,
                   "The host has no such adapter; Get-VMNetworkAdapter -ManagementOS lists them.");
}

// Adapters of the host come and go with the switch's settings, one a switch.
static void host_adapter_turn(struct call *call, const char *operation, bool on)
{
    struct network_switch network;
    struct error error;
    const char *name = call_string(call, "SwitchName", call_string(call, "Name", NULL));
    if (!name || !network_switch_find(call->service, name, &network)) {
        call_error(call, CATEGORY_OBJECT_NOT_FOUND, "ObjectNotFound", name,
                   "Name the switch with -SwitchName; Get-VMSwitch lists them.");
        return;
    }
    char mac[MAC_TEXT], address[PREFIX_TEXT];
    int result = 0;
    if (!on && network.net_adapter && uplink_host_uses(network.net_adapter, address)) {
        call_error(call, CATEGORY_INVALID_OPERATION, "OperationFailed", network.name,
                   "The host has the address %s on '%s', so the switch '%s' shares that adapter. Remove the host's "
                   "addresses there first (Remove-NetIPAddress -InterfaceAlias '%s').",
                   address, network.net_adapter, network.name, network.net_adapter);
        network_switch_free(&network);
        return;
    }
    if (!call_should(call, operation, network.name)) {
        network_switch_free(&network);
        return;
    }
    if (on && !network.host_mac && (result = service_mac(call->service, mac, &error)) == 0)
        record_text_set(&network.host_mac, mac);
    if (!on)
        record_text_set(&network.host_mac, NULL);
    network.allow_management_os = on;
    if (result == 0)
        result = network_switch_save(call->service, &network, &error);
    if (result == 0 && !on)
        uplink_remove(call->service, network.id);
    if (result == 0)
        result = call_network_apply(call, &error);
    if (result < 0)
        call_error(call, CATEGORY_WRITE_ERROR, "Database", network.name, "%s", error.text);
    else if (on && call_switch(call, "Passthru"))
        host_adapter_put(call, &network);
    network_switch_free(&network);
}

void host_adapter_add(struct call *call)
{
    host_adapter_turn(call, "Add-VMNetworkAdapter", true);
}
void host_adapter_remove(struct call *call)
{
    host_adapter_turn(call, "Remove-VMNetworkAdapter", false);
}

void host_adapter_rename(struct call *call)
{
    call_error(call, CATEGORY_INVALID_OPERATION, "NotSupported", call_string(call, "Name", NULL),
               "The host's adapters have their switch's name: rename that with Rename-VMSwitch.");
}
