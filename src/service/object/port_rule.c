// VLANs and access rules of adapters' ports.
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "service/acl.h"
#include "service/network.h"
#include "service/object/adapter.h"
#include "service/switchboard.h"
#include "net/vlan.h"

// --- VLANs -----------------------------------------------------------------------------------------------------------

static struct value *vlan_object(const struct vm_record *record, const struct vm_adapter *adapter)
{
    struct value *object = value_object("VMNetworkAdapterVlanSetting"), *allowed = value_array();
    const char *mode = adapter->vlan_mode ? adapter->vlan_mode : "Untagged";
    value_put(object, "VMName", value_string(record->name));
    value_put(object, "VMNetworkAdapterName", value_string(adapter->name));
    value_put(object, "OperationMode", value_string(mode));
    value_put(object, "AccessVlanId", value_int(!strcmp(mode, "Access") ? adapter->vlan_access : 0));
    value_put(object, "NativeVlanId", value_int(!strcmp(mode, "Trunk") ? adapter->vlan_native : 0));
    if (adapter->vlan_list && !strcmp(mode, "Trunk"))
        value_add(allowed, value_string(adapter->vlan_list));
    value_put(object, "AllowedVlanIdList", allowed);
    if (!strcmp(mode, "Trunk"))
        value_put(object, "VlanList", value_format("%lld,%s", (long long)adapter->vlan_native, adapter->vlan_list));
    else
        value_put(object, "VlanList", value_format("%lld", (long long)adapter->vlan_access));
    return object;
}

static void each_adapter(struct call *call,
                         void (*put)(struct call *, const struct vm_record *, const struct vm_adapter *))
{
    struct vm_list list;
    call_vms(call, &list);
    for (size_t i = 0; i < list.count; i++) {
        struct vm_view view;
        vm_look(list.items[i], &view);
        for (size_t j = 0; j < view.record.adapter_count; j++)
            if (adapter_is_meant(call, "VMNetworkAdapterName", &view.record.adapters[j]))
                put(call, &view.record, &view.record.adapters[j]);
        vm_view_free(&view);
    }
    vm_list_free(&list);
}

static void vlan_put(struct call *call, const struct vm_record *record, const struct vm_adapter *adapter)
{
    call_put(call, vlan_object(record, adapter));
}

static void vlan_get(struct call *call)
{
    each_adapter(call, vlan_put);
}

// -Access and -Trunk may be left out where their own parameters say which is meant.
static const char *vlan_mode(const struct call *call)
{
    if (call_switch(call, "Untagged"))
        return "Untagged";
    if (call_switch(call, "Trunk") || call_has(call, "AllowedVlanIdList"))
        return "Trunk";
    return call_switch(call, "Access") || call_has(call, "VlanId") ? "Access" : NULL;
}

static bool change_vlan(struct call *call, struct vm_record *draft, struct vm_adapter *adapter)
{
    u64 set[4096 / 64];
    const char *mode = vlan_mode(call), *list = call_string(call, "AllowedVlanIdList", NULL);
    if (!mode) {
        call_refuse(call, draft, "Network Adapter", REFUSE_VALUE, "Say which: -Untagged, -Access or -Trunk.");
        return false;
    }
    if (!strcmp(mode, "Access") && !call_has(call, "VlanId")) {
        call_refuse(call, draft, "Network Adapter", REFUSE_VALUE, "-Access needs -VlanId, 1 to %d.", VLAN_MOST);
        return false;
    }
    if (!strcmp(mode, "Trunk") && (!list || !vlan_list_read(list, set))) {
        call_refuse(call, draft, "Network Adapter", REFUSE_VALUE,
                    "-Trunk needs -AllowedVlanIdList, such as 1-100,200, with numbers up to %d.", VLAN_MOST);
        return false;
    }
    record_text_set(&adapter->vlan_mode, mode);
    adapter->vlan_access = !strcmp(mode, "Access") ? call_int(call, "VlanId", 0) : 0;
    adapter->vlan_native = !strcmp(mode, "Trunk") ? call_int(call, "NativeVlanId", 0) : 0;
    record_text_set(&adapter->vlan_list, !strcmp(mode, "Trunk") ? list : NULL);
    return true;
}

static void vlan_set(struct call *call)
{
    adapter_each(call, "Set-VMNetworkAdapterVlan", "VMNetworkAdapterName", change_vlan);
}

// --- Access rules ----------------------------------------------------------------------------------------------------

// What the port has metered; NULL: there is no port.
static json_t *acl_meters(struct call *call, const char *adapter)
{
    struct error error;
    json_t *arguments = json_pack("{s:s}", "port", adapter);
    json_t *answer = switchboard_ask(service_switchboard(call->service), adapter, "meters", arguments, NULL, 0, &error);
    json_decref(arguments);
    return answer;
}

static void acl_put(struct call *call, const struct vm_record *record, const struct vm_adapter *adapter)
{
    struct acl_rule rules[ACL_RULES];
    const unsigned count = acl_read(adapter->acl, rules);
    json_t *meters = count ? acl_meters(call, adapter->id) : NULL;
    for (unsigned i = 0; i < count; i++) {
        struct value *object = value_object("VMNetworkAdapterAclSetting");
        const json_t *bytes = json_array_get(json_object_get(meters, "bytes"), i);
        value_put(object, "VMName", value_string(record->name));
        value_put(object, "VMNetworkAdapterName", value_string(adapter->name));
        value_put(object, "Direction", value_string(rules[i].direction));
        value_put(object, "Local", value_string(rules[i].local));
        value_put(object, "Remote", value_string(rules[i].remote));
        value_put(object, "Action", value_string(rules[i].action));
        value_put(object, "MeteredMegabytes", value_int(json_integer_value(bytes) >> 20));
        call_put(call, object);
    }
    json_decref(meters);
}

static void acl_get(struct call *call)
{
    each_adapter(call, acl_put);
}

// One of -LocalIPAddress, -LocalMacAddress, -RemoteIPAddress, -RemoteMacAddress, item `index` of it: Hyper-V makes a
// rule for each.
static bool acl_rule_of(struct call *call, const struct vm_record *draft, const char *parameter, size_t index,
                        struct acl_rule *rule)
{
    struct error error;
    const bool local = !strncmp(parameter, "Local", 5);
    *rule = (struct acl_rule){.local = "ANY", .remote = "ANY"};
    snprintf(rule->action, sizeof rule->action, "%s", call_string(call, "Action", ""));
    snprintf(rule->direction, sizeof rule->direction, "%s", call_string(call, "Direction", ""));
    if (acl_side(call_item(call, parameter, index), local ? rule->local : rule->remote, &error) == 0)
        return true;
    call_refuse(call, draft, "Network Adapter", REFUSE_VALUE, "-%s: %s.", parameter, error.text);
    return false;
}

static unsigned acl_find(const struct acl_rule *rules, unsigned count, const struct acl_rule *wanted)
{
    unsigned i = 0;
    while (i < count && !acl_equal(&rules[i], wanted))
        i++;
    return i;
}

static bool acl_apply(struct call *call, const struct vm_record *draft, const struct acl_rule *rule, bool add,
                      struct acl_rule *rules, unsigned *count)
{
    const unsigned at = acl_find(rules, *count, rule);
    if (add) {
        if (at < *count)
            return true;
        if (*count == ACL_RULES) {
            call_refuse(call, draft, "Network Adapter", REFUSE_VALUE,
                        "The port has %d rules already, the most there can be.", ACL_RULES);
            return false;
        }
        rules[(*count)++] = *rule;
        return true;
    }
    if (at == *count) {
        call_refuse(call, draft, "Network Adapter", REFUSE_VALUE,
                    "There is no such rule; Get-VMNetworkAdapterAcl lists them.");
        return false;
    }
    memmove(&rules[at], &rules[at + 1], (--*count - at) * sizeof *rules);
    return true;
}

static bool acl_change(struct call *call, struct vm_record *draft, struct vm_adapter *adapter, bool add)
{
    static const char *const sides[] = {"LocalIPAddress", "LocalMacAddress", "RemoteIPAddress", "RemoteMacAddress"};
    struct acl_rule rules[ACL_RULES], rule;
    unsigned count = acl_read(adapter->acl, rules), changed = 0;
    for (size_t side = 0; side < ARRAY_SIZE(sides); side++)
        for (size_t i = 0; i < call_count(call, sides[side]); i++, changed++)
            if (!acl_rule_of(call, draft, sides[side], i, &rule) || !acl_apply(call, draft, &rule, add, rules, &count))
                return false;
    if (!changed) {
        call_refuse(
            call, draft, "Network Adapter", REFUSE_VALUE,
            "Say whom the rule is about: -RemoteIPAddress, -RemoteMacAddress, -LocalIPAddress or -LocalMacAddress.");
        return false;
    }
    free(adapter->acl);
    adapter->acl = acl_write(rules, count);
    return true;
}

static bool change_acl_add(struct call *call, struct vm_record *draft, struct vm_adapter *adapter)
{
    return acl_change(call, draft, adapter, true);
}

static bool change_acl_remove(struct call *call, struct vm_record *draft, struct vm_adapter *adapter)
{
    return acl_change(call, draft, adapter, false);
}

static void acl_add(struct call *call)
{
    adapter_each(call, "Add-VMNetworkAdapterAcl", "VMNetworkAdapterName", change_acl_add);
}

static void acl_remove(struct call *call)
{
    adapter_each(call, "Remove-VMNetworkAdapterAcl", "VMNetworkAdapterName", change_acl_remove);
}

const struct handler object_port_rule[] = {
    {"Get-VMNetworkAdapterVlan", vlan_get},     {"Set-VMNetworkAdapterVlan", vlan_set},
    {"Get-VMNetworkAdapterAcl", acl_get},       {"Add-VMNetworkAdapterAcl", acl_add},
    {"Remove-VMNetworkAdapterAcl", acl_remove}, {0},
};
