// Network adapters of VMs: cards, their ports' settings, and what they are plugged into. The host's own adapters
// (-ManagementOS) are host_adapter.c's, VLANs and access rules port_rule.c's.
#include "service/object/adapter.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "service/mac.h"
#include "service/network.h"
#include "service/peer.h"
#include "service/power.h"
#include "service/switchboard.h"
#include "service/vm_room.h"

static const char *on_off(bool on)
{
    return on ? "On" : "Off";
}

static void put_rules(struct value *object, const struct vm_adapter *adapter)
{
    value_put(object, "MacAddressSpoofing", value_string(on_off(adapter->mac_spoofing)));
    value_put(object, "DhcpGuard", value_string(on_off(adapter->dhcp_guard)));
    value_put(object, "RouterGuard", value_string(on_off(adapter->router_guard)));
    value_put(object, "PortMirroringMode", value_string(adapter->port_mirroring ? adapter->port_mirroring : "None"));
    value_put(object, "StormLimit", value_int(adapter->storm_limit));
    value_put(object, "MaximumBandwidth", value_int(adapter->maximum_bandwidth));
    value_put(object, "MinimumBandwidthAbsolute", value_int(adapter->minimum_bandwidth_absolute));
    value_put(object, "MinimumBandwidthWeight", value_int(adapter->minimum_bandwidth_weight));
    value_put(object, "IeeePriorityTag", value_string(on_off(adapter->ieee_priority_tag)));
    value_put(object, "AllowTeaming", value_string(on_off(adapter->allow_teaming)));
    value_put(object, "DeviceNaming", value_string(on_off(adapter->device_naming)));
    value_put(object, "VmqWeight", value_int(adapter->vmq_weight));
    value_put(object, "IovWeight", value_int(adapter->iov_weight));
    value_put(object, "VirtualSubnetId", value_int(adapter->virtual_subnet_id));
    const char *mode = adapter->vlan_mode ? adapter->vlan_mode : "Untagged";
    value_put(object, "VlanSetting",
              !strcmp(mode, "Access")  ? value_format("Access %lld", (long long)adapter->vlan_access)
              : !strcmp(mode, "Trunk") ? value_format("Trunk %s", adapter->vlan_list)
                                       : value_string(mode));
}

// The words of a status, blanks between, as an array.
static struct value *words(const char *text)
{
    struct value *array = value_array();
    for (const char *at = text; *at; at += strspn(at, " ")) {
        const size_t length = strcspn(at, " ");
        value_add(array, value_format("%.*s", (int)length, at));
        at += length;
    }
    return array;
}

static void put_counters(struct call *call, struct value *object, const char *id)
{
    static const u8 none[MAC_BYTES];
    struct control_counters counters = {.connected = false};
    struct value *reasons = value_array();
    char address[MAC_TEXT];
    u64 dropped = 0;
    switchboard_counters(service_switchboard(call->service), id, &counters);
    for (unsigned i = 0; i < CONTROL_DROPS; i++) {
        dropped += counters.dropped[i];
        if (counters.dropped[i])
            value_add(reasons, value_format("%s %llu", switchboard_drop_reason(i),
                                            (unsigned long long)counters.dropped[i]));
    }
    mac_write(counters.last_spoofed, address);
    value_put(object, "PacketsSent", value_int((s64)counters.frames_sent));
    value_put(object, "BytesSent", value_int((s64)counters.bytes_sent));
    value_put(object, "PacketsReceived", value_int((s64)counters.frames_received));
    value_put(object, "BytesReceived", value_int((s64)counters.bytes_received));
    value_put(object, "Dropped", value_int((s64)dropped));
    value_put(object, "DropReasons", reasons);
    value_put(object, "LastForeignAddress",
              value_string(memcmp(counters.last_spoofed, none, MAC_BYTES) ? address : ""));
}

struct value *adapter_object(struct call *call, const struct vm_view *view, const struct vm_adapter *adapter)
{
    struct network_switch network;
    const bool connected = adapter->switch_name && network_switch_find(call->service, adapter->switch_name, &network);
    struct value *object = call_part(call, "VMNetworkAdapter", &view->record, adapter->id);
    value_put(object, "Name", value_string(adapter->name));
    value_put(object, "IsManagementOs", value_bool(false));
    value_put(object, "SwitchName", object_text(adapter->switch_name));
    value_put(object, "SwitchId", value_string(connected ? network.id : ""));
    value_put(object, "Connected", value_bool(connected));
    value_put(object, "MacAddress", value_string(adapter->mac ? adapter->mac : "000000000000"));
    value_put(object, "DynamicMacAddressEnabled", value_bool(adapter->dynamic_mac));
    put_rules(object, adapter);
    struct value *status = value_array();
    if (view->state == VM_STATE_RUNNING)
        value_add(status, value_string("Ok"));
    value_put(object, "Status", status);
    value_put(object, "IPAddresses", words(view->has_status ? view->status.addresses : ""));
    put_counters(call, object, adapter->id);
    value_put(object, "IsLegacy", value_bool(false));
    if (connected)
        network_switch_free(&network);
    return object;
}

// --- Which adapters are meant ----------------------------------------------------------------------------------------

bool adapter_is_meant(const struct call *call, const char *name_parameter, const struct vm_adapter *adapter)
{
    const struct value *objects = call_value(call, "VMNetworkAdapter");
    for (size_t i = 0; i < value_count(objects); i++)
        if (!strcasecmp(value_as_string(value_get(value_item(objects, i), "Id"), ""), adapter->id))
            return true;
    if (objects)
        return false;
    const size_t names = call_count(call, name_parameter);
    for (size_t i = 0; i < names; i++)
        if (value_name_like(adapter->name, call_item(call, name_parameter, i)))
            return true;
    const char *name = names ? NULL : call_string(call, name_parameter, NULL);
    return name ? value_name_like(adapter->name, name) : !names;
}

bool adapter_none(struct call *call, const struct vm_record *draft, const char *name_parameter, unsigned changed)
{
    if (changed)
        return false;
    const char *name = call_string(call, name_parameter, NULL);
    if (name)
        call_refuse(call, draft, "Network Adapter", REFUSE_VALUE, "There is no network adapter '%s'.", name);
    else
        call_refuse(call, draft, "Network Adapter", REFUSE_VALUE, "There is no network adapter.");
    return true;
}

static void adapter_put(struct call *call, struct vm *vm, const char *id)
{
    struct vm_view view;
    vm_look(vm, &view);
    for (size_t i = 0; i < view.record.adapter_count; i++)
        if (!id || !strcmp(view.record.adapters[i].id, id))
            call_put(call, adapter_object(call, &view, &view.record.adapters[i]));
    vm_view_free(&view);
}

static void adapter_get_of_vms(struct call *call, struct vm *vm)
{
    struct vm_view view;
    vm_look(vm, &view);
    for (size_t i = 0; i < view.record.adapter_count; i++)
        if (adapter_is_meant(call, "Name", &view.record.adapters[i]))
            call_put(call, adapter_object(call, &view, &view.record.adapters[i]));
    vm_view_free(&view);
}

static void adapter_get_all(struct call *call)
{
    struct vm **vms;
    const size_t count = service_vms(call->service, &vms);
    for (size_t i = 0; i < count; i++) {
        adapter_get_of_vms(call, vms[i]);
        vm_unref(vms[i]);
    }
    free(vms);
    host_adapter_get(call);
}

static void adapter_get(struct call *call)
{
    struct vm_list list;
    if (call_value(call, "IsLegacy") && value_as_bool(call_value(call, "IsLegacy"), false))
        return; // there are no emulated ones
    if (call_switch(call, "All")) {
        adapter_get_all(call);
    } else if (call_switch(call, "ManagementOS")) {
        host_adapter_get(call);
    } else {
        call_vms_of_parts(call, &list);
        for (size_t i = 0; i < list.count; i++)
            adapter_get_of_vms(call, list.items[i]);
        vm_list_free(&list);
    }
}

// --- Changes ---------------------------------------------------------------------------------------------------------

static bool take_on_off(const struct call *call, const char *name, bool *member)
{
    const char *text = call_string(call, name, NULL);
    if (text)
        *member = !strcasecmp(text, "On");
    return text != NULL;
}

static bool take_bandwidth(const struct call *call, const char *name, s64 *member)
{
    if (!call_take_int(call, name, member))
        return false;
    *member = (*member + 4) / 8 * 8; // whole bytes, as Hyper-V rounds
    return true;
}

// A static address that is nobody else's. False: told.
static bool take_address(struct call *call, const struct vm_record *draft, struct vm_adapter *adapter)
{
    const char *text = call_string(call, "StaticMacAddress", NULL);
    u8 mac[MAC_BYTES] = {0};
    char normal[MAC_TEXT], owner[256];
    if (call_switch(call, "DynamicMacAddress") && !adapter->dynamic_mac) {
        adapter->dynamic_mac = true;
        record_text_set(&adapter->mac, NULL); // given at the next start
    }
    if (!text)
        return true;
    if (!mac_read(text, mac)) {
        call_refuse(call, draft, "Network Adapter", REFUSE_VALUE,
                    "'%s' is no address that an adapter can have: twelve hexadecimal digits, not of a group.", text);
        return false;
    }
    mac_write(mac, normal);
    if (network_mac_owner(call->service, normal, adapter->id, owner, sizeof owner)) {
        call_refuse(call, draft, "Network Adapter", REFUSE_VALUE,
                    "The address %s is that of %s; give each adapter its own.", normal, owner);
        return false;
    }
    record_text_set(&adapter->mac, normal);
    adapter->dynamic_mac = false;
    return true;
}

static bool refuse_virtual_subnet(struct call *call, const struct vm_record *draft)
{
    const s64 subnet = call_int(call, "VirtualSubnetId", 0);
    if (!subnet || subnet >= 4096)
        return false;
    call_refuse(call, draft, "Network Adapter", REFUSE_VALUE, "-VirtualSubnetId is 0, or from 4096 on, not %lld.",
                (long long)subnet);
    return true;
}

// Of a VM that is not off, a card's address is fixed; its port's rules are not.
static bool refuse_state(struct call *call, struct vm *vm, const struct vm_record *draft)
{
    const enum vm_state state = vm_state(vm);
    if (vm_state_is_off(state) || !(call_has(call, "StaticMacAddress") || call_has(call, "DynamicMacAddress")))
        return false;
    call_refuse(call, draft, "Network Adapter", REFUSE_STATE,
                "The address can be changed only while '%s' is off, and it is %s: turn it off (Stop-VM) first.",
                draft->name, vm_state_name(state));
    return true;
}

// A switch takes a bounded number of frames of each port in turn, and has no queues in which one could be given more.
static void warn_of_minimum(struct call *call, const char *parameter)
{
    call_warning(call, "-%s is kept for the record only: nidus's switches serve all ports in turn and reserve no "
                 "bandwidth. -MaximumBandwidth of the others' adapters limits what they send.", parameter);
}

static bool adapter_take(struct call *call, const struct vm_record *draft, struct vm_adapter *adapter)
{
    take_on_off(call, "MacAddressSpoofing", &adapter->mac_spoofing);
    take_on_off(call, "DhcpGuard", &adapter->dhcp_guard);
    take_on_off(call, "RouterGuard", &adapter->router_guard);
    take_on_off(call, "IeeePriorityTag", &adapter->ieee_priority_tag);
    take_on_off(call, "AllowTeaming", &adapter->allow_teaming);
    take_on_off(call, "DeviceNaming", &adapter->device_naming);
    call_take_text(call, "PortMirroring", &adapter->port_mirroring);
    call_take_int(call, "StormLimit", &adapter->storm_limit);
    take_bandwidth(call, "MaximumBandwidth", &adapter->maximum_bandwidth);
    take_bandwidth(call, "MinimumBandwidthAbsolute", &adapter->minimum_bandwidth_absolute);
    call_take_int(call, "MinimumBandwidthWeight", &adapter->minimum_bandwidth_weight);
    if (adapter->minimum_bandwidth_absolute && call_has(call, "MinimumBandwidthAbsolute"))
        warn_of_minimum(call, "MinimumBandwidthAbsolute");
    if (adapter->minimum_bandwidth_weight && call_has(call, "MinimumBandwidthWeight"))
        warn_of_minimum(call, "MinimumBandwidthWeight");
    call_take_int(call, "VmqWeight", &adapter->vmq_weight);
    call_take_int(call, "IovWeight", &adapter->iov_weight);
    call_take_int(call, "VirtualSubnetId", &adapter->virtual_subnet_id);
    return take_address(call, draft, adapter);
}

// Makes what runs as the record now says. False: told; the record stays, and the next start is as it says.
static bool adapter_apply(struct call *call, struct vm *vm)
{
    struct error error;
    if (switchboard_vm(service_switchboard(call->service), vm, &error) == 0)
        return true;
    struct vm_view view;
    vm_glance(vm, &view);
    call_failed(call, &view.record, "modify device 'Network Adapter'", CATEGORY_RESOURCE_UNAVAILABLE, "OperationFailed",
                "%s. The setting is stored, and holds from its next start on.", error.text);
    vm_view_free(&view);
    return false;
}

// What one cmdlet does to one adapter; false: told, and nothing of this VM is changed.
typedef bool adapter_change(struct call *call, struct vm_record *draft, struct vm_adapter *adapter);

void adapter_each(struct call *call, const char *operation, const char *name_parameter, adapter_change *change)
{
    struct vm_list list;
    call_vms_of_parts(call, &list);
    for (size_t i = 0; i < list.count; i++) {
        struct vm *vm = list.items[i];
        struct vm_record *draft = call_change(call, vm, operation);
        if (!draft)
            continue;
        bool good = !refuse_state(call, vm, draft) && !refuse_virtual_subnet(call, draft);
        unsigned changed = 0;
        for (size_t j = 0; good && j < draft->adapter_count; j++) {
            if (!adapter_is_meant(call, name_parameter, &draft->adapters[j]))
                continue;
            good = change(call, draft, &draft->adapters[j]);
            changed++;
        }
        if (!good || adapter_none(call, draft, name_parameter, changed)) {
            call_cancel(call, vm, draft);
        } else if (call_commit(call, vm, draft) && adapter_apply(call, vm) && call_switch(call, "Passthru")) {
            adapter_get_of_vms(call, vm);
        }
    }
    vm_list_free(&list);
}

static bool change_settings(struct call *call, struct vm_record *draft, struct vm_adapter *adapter)
{
    return adapter_take(call, draft, adapter);
}

static void adapter_set(struct call *call)
{
    if (call_switch(call, "ManagementOS"))
        host_adapter_set(call);
    else
        adapter_each(call, "Set-VMNetworkAdapter", "Name", change_settings);
}

static bool change_name(struct call *call, struct vm_record *draft, struct vm_adapter *adapter)
{
    (void)draft;
    record_text_set(&adapter->name, call_string(call, "NewName", ""));
    return true;
}

static void adapter_rename(struct call *call)
{
    if (call_switch(call, "ManagementOS"))
        host_adapter_rename(call);
    else
        adapter_each(call, "Rename-VMNetworkAdapter", "Name", change_name);
}

static bool change_connect(struct call *call, struct vm_record *draft, struct vm_adapter *adapter)
{
    struct network_switch network;
    const char *name = call_string(call, "SwitchName", "");
    if (!network_switch_find(call->service, name, &network)) {
        call_refuse(call, draft, "Network Adapter", REFUSE_VALUE, "There is no switch '%s'; Get-VMSwitch lists them.",
                    name);
        return false;
    }
    record_text_set(&adapter->switch_name, network.name);
    network_switch_free(&network);
    return true;
}

static void adapter_connect(struct call *call)
{
    adapter_each(call, "Connect-VMNetworkAdapter", "Name", change_connect);
}

static bool change_disconnect(struct call *call, struct vm_record *draft, struct vm_adapter *adapter)
{
    (void)call, (void)draft;
    record_text_set(&adapter->switch_name, NULL);
    return true;
}

static void adapter_disconnect(struct call *call)
{
    adapter_each(call, "Disconnect-VMNetworkAdapter", "Name", change_disconnect);
}

// The board of a VM that is on can be plugged, its saved state cannot.
static bool refuse_plugging(struct call *call, struct vm *vm, const struct vm_record *draft)
{
    const enum vm_state state = vm_state(vm);
    if (vm_state_is_off(state) || state == VM_STATE_RUNNING || state == VM_STATE_PAUSED)
        return false;
    call_refuse(call, draft, "Network Adapter", REFUSE_STATE,
                "Adapters can be added and removed while '%s' is off, runs or is paused, and it is %s.", draft->name,
                vm_state_name(state));
    return true;
}

// An adapter that is plugged has an address. False: told.
static bool draw_address(struct call *call, struct vm *vm, struct vm_record *draft)
{
    struct error error;
    if (vm_state_is_off(vm_state(vm)) || power_addresses(call->service, draft, &error) == 0)
        return true;
    call_refuse(call, draft, "Network Adapter", REFUSE_VALUE, "%s.", error.text);
    return false;
}

static void adapter_add_one(struct call *call, struct vm *vm)
{
    char id[37];
    struct vm_record *draft = call_change(call, vm, "Add-VMNetworkAdapter");
    if (!draft)
        return;
    struct vm_adapter *adapter = NULL;
    bool good = !refuse_plugging(call, vm, draft);
    if (good && draft->adapter_count >= CONTROL_ADAPTERS) {
        call_refuse(call, draft, "Network Adapter", REFUSE_VALUE, "It has %d adapters already, the most there can be.",
                    CONTROL_ADAPTERS);
        good = false;
    }
    if (good) {
        adapter = record_adapter_add(draft);
        record_text_set(&adapter->name, call_string(call, "Name", "Network Adapter"));
        good = take_address(call, draft, adapter) &&
               (!call_has(call, "SwitchName") || change_connect(call, draft, adapter)) && draw_address(call, vm, draft);
        take_on_off(call, "DeviceNaming", &adapter->device_naming);
    }
    if (!good) {
        call_cancel(call, vm, draft);
        return;
    }
    snprintf(id, sizeof id, "%s", adapter->id);
    if (call_commit(call, vm, draft) && adapter_apply(call, vm) && call_switch(call, "Passthru"))
        adapter_put(call, vm, id);
}

static void adapter_add(struct call *call)
{
    struct vm_list list;
    if (call_switch(call, "ManagementOS")) {
        host_adapter_add(call);
        return;
    }
    call_vms_of_parts(call, &list);
    for (size_t i = 0; i < list.count; i++)
        adapter_add_one(call, list.items[i]);
    vm_list_free(&list);
}

// Until the guest has let go of the adapter, or it was pulled (device/pci_hotplug.h says after how long).
static void adapter_wait_unplugged(struct call *call, struct vm *vm, const char *id, const char *name)
{
    enum { LONGER_THAN_PATIENCE_MS = 20000 };
    struct error error;
    struct peer *worker = vm_worker(vm);
    if (!worker)
        return;
    json_t *arguments = json_pack("{s:s}", "adapter", id);
    json_t *answer = peer_command_with(worker, "unplugged", arguments, NULL, 0, LONGER_THAN_PATIENCE_MS, &error);
    const char *by = json_string_value(json_object_get(answer, "by"));
    if (!answer)
        call_warning(call, "The network adapter '%s' is off the network, but the guest may see it still: %s.", name,
                     error.text);
    else if (by && !strcmp(by, "force"))
        call_warning(call, "The guest did not let go of the network adapter '%s' in time; it was pulled.", name);
    json_decref(answer);
    json_decref(arguments);
    peer_unref(worker);
}

struct removed_adapter {
    char *id, *name;
};

static void adapter_remove_one(struct call *call, struct vm *vm)
{
    struct vm_record *draft = call_change(call, vm, "Remove-VMNetworkAdapter");
    struct removed_adapter removed[CONTROL_ADAPTERS];
    unsigned count = 0;
    if (!draft)
        return;
    if (refuse_plugging(call, vm, draft)) {
        call_cancel(call, vm, draft);
        return;
    }
    for (size_t i = 0; i < draft->adapter_count && count < CONTROL_ADAPTERS; i++)
        if (adapter_is_meant(call, "Name", &draft->adapters[i])) {
            removed[count++] = (struct removed_adapter){.id = value_text_copy(draft->adapters[i].id),
                                                        .name = value_text_copy(draft->adapters[i].name)};
            record_adapter_remove(draft, i--);
        }
    if (adapter_none(call, draft, "Name", count))
        call_cancel(call, vm, draft);
    else if (call_commit(call, vm, draft) && adapter_apply(call, vm))
        for (unsigned i = 0; i < count; i++)
            adapter_wait_unplugged(call, vm, removed[i].id, removed[i].name);
    while (count) {
        free(removed[--count].id);
        free(removed[count].name);
    }
}

static void adapter_remove(struct call *call)
{
    struct vm_list list;
    if (call_switch(call, "ManagementOS")) {
        host_adapter_remove(call);
        return;
    }
    call_vms_of_parts(call, &list);
    for (size_t i = 0; i < list.count; i++)
        adapter_remove_one(call, list.items[i]);
    vm_list_free(&list);
}

const struct handler object_adapter[] = {
    {"Get-VMNetworkAdapter", adapter_get},
    {"Set-VMNetworkAdapter", adapter_set},
    {"Add-VMNetworkAdapter", adapter_add},
    {"Remove-VMNetworkAdapter", adapter_remove},
    {"Rename-VMNetworkAdapter", adapter_rename},
    {"Connect-VMNetworkAdapter", adapter_connect},
    {"Disconnect-VMNetworkAdapter", adapter_disconnect},
    {0},
};
