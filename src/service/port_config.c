// See port_config.h.
#include "service/port_config.h"

#include <stdio.h>
#include <string.h>

#include "control/switch.h"
#include "service/mac.h"

static enum control_vlan port_vlan_mode(const char *mode)
{
    return !mode || !strcmp(mode, "Untagged") ? CONTROL_UNTAGGED
           : !strcmp(mode, "Trunk")           ? CONTROL_TRUNK
                                              : CONTROL_ACCESS;
}

static enum control_mirror port_mirror(const char *mode)
{
    return !mode || !strcmp(mode, "None") ? CONTROL_MIRROR_NONE
           : !strcmp(mode, "Source")      ? CONTROL_MIRROR_SOURCE
                                          : CONTROL_MIRROR_DESTINATION;
}

struct json_t *port_config_write(const struct vm_adapter *adapter, struct error *error)
{
    struct control_port port = {
        .spoofing = adapter->mac_spoofing,
        .dhcp_guard = adapter->dhcp_guard,
        .router_guard = adapter->router_guard,
        .priority_tags = adapter->ieee_priority_tag,
        .mirror = port_mirror(adapter->port_mirroring),
        .storm_limit = (unsigned)adapter->storm_limit,
        .bits_per_second = (u64)adapter->maximum_bandwidth,
        .vlan_mode = port_vlan_mode(adapter->vlan_mode),
        .trunk = adapter->vlan_list, // borrowed
        .acl = adapter->acl,
    };
    port.vlan = (unsigned)(port.vlan_mode == CONTROL_ACCESS ? adapter->vlan_access : adapter->vlan_native);
    snprintf(port.id, sizeof port.id, "%s", adapter->id);
    if (!mac_read(adapter->mac, port.mac)) {
        error_set(error, "'%s' is no address", adapter->mac);
        return NULL;
    }
    struct json_t *json = control_port_write(&port);
    if (!json)
        error_set(error, "out of memory");
    return json;
}
