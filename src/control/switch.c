// The structs of a switch's control channel as JSON. See switch.h.
#include "control/switch.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "control/control.h"
#include "control/field.h"

static const char *const switch_vlans[] = {"untagged", "access", "trunk", NULL};
static const char *const switch_mirrors[] = {"none", "source", "destination", NULL};
static const char *const switch_nothing[] = {NULL};
static const char *const switch_of_message[] = {"id", "command", "descriptors", NULL};

#define SWITCH(member) offsetof(struct control_switch, member)
#define PORT(member) offsetof(struct control_port, member)
#define COUNTERS(member) offsetof(struct control_counters, member)
#define DROP(reason, index) {reason, FIELD_U64, COUNTERS(dropped) + (index) * sizeof(u64), 0, INT64_MAX, false, NULL}

static const struct field switch_fields[] = {
    {"id", FIELD_STRING, SWITCH(id), 1, CONTROL_ID - 1, true, NULL},
    {"name", FIELD_STRING, SWITCH(name), 1, 1024, true, NULL},
    {"directory", FIELD_STRING, SWITCH(directory), 1, CONTROL_PATH, true, NULL},
    {"network", FIELD_BOOL, SWITCH(network), 0, 0, false, NULL},
    {"user", FIELD_UNSIGNED, SWITCH(user), 0, (1ULL << 32) - 2, false, NULL},
};

static const struct field port_fields[] = {
    {"port", FIELD_TEXT, PORT(id), 1, CONTROL_ID - 1, true, NULL},
    {"mac", FIELD_MAC, PORT(mac), 17, 17, true, NULL},
    {"spoofing", FIELD_BOOL, PORT(spoofing), 0, 0, false, NULL},
    {"dhcp_guard", FIELD_BOOL, PORT(dhcp_guard), 0, 0, false, NULL},
    {"router_guard", FIELD_BOOL, PORT(router_guard), 0, 0, false, NULL},
    {"priority_tags", FIELD_BOOL, PORT(priority_tags), 0, 0, false, NULL},
    {"mirror", FIELD_ENUM, PORT(mirror), 1, 16, false, switch_mirrors},
    {"storm_limit", FIELD_UNSIGNED, PORT(storm_limit), 0, UINT32_MAX, false, NULL},
    {"bits_per_second", FIELD_U64, PORT(bits_per_second), 0, INT64_MAX, false, NULL},
    {"vlan_mode", FIELD_ENUM, PORT(vlan_mode), 1, 16, false, switch_vlans},
    {"vlan", FIELD_UNSIGNED, PORT(vlan), 0, 4094, false, NULL},
    {"trunk", FIELD_STRING, PORT(trunk), 1, CONTROL_ACL_BYTES, false, NULL},
    {"acl", FIELD_STRING, PORT(acl), 1, CONTROL_ACL_BYTES, false, NULL},
};
static_assert(sizeof(enum control_vlan) == sizeof(int) && sizeof(enum control_mirror) == sizeof(int), "FIELD_ENUM");

static const struct field counters_fields[] = {
    {"port", FIELD_TEXT, COUNTERS(id), 1, CONTROL_ID - 1, true, NULL},
    {"connected", FIELD_BOOL, COUNTERS(connected), 0, 0, false, NULL},
    {"frames_sent", FIELD_U64, COUNTERS(frames_sent), 0, INT64_MAX, false, NULL},
    {"bytes_sent", FIELD_U64, COUNTERS(bytes_sent), 0, INT64_MAX, false, NULL},
    {"frames_received", FIELD_U64, COUNTERS(frames_received), 0, INT64_MAX, false, NULL},
    {"bytes_received", FIELD_U64, COUNTERS(bytes_received), 0, INT64_MAX, false, NULL},
    DROP("malformed", 0), DROP("spoofed", 1), DROP("vlan", 2), DROP("dhcp_guard", 3), DROP("router_guard", 4),
    DROP("acl", 5), DROP("storm", 6), DROP("bandwidth", 7), DROP("full", 8),
    {"last_spoofed", FIELD_MAC, COUNTERS(last_spoofed), 17, 17, false, NULL},
};

int control_switch_read(struct control_switch *config, const char *text, size_t bytes, struct error *error)
{
    json_error_t reason;
    *config = (struct control_switch){.id = NULL};
    json_t *json = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &reason);
    if (!json)
        return error_set(error, "configuration: line %d: %s", reason.line, reason.text);
    const bool good =
        !fields_read(switch_fields, ARRAY_SIZE(switch_fields), "configuration", json, config, error) &&
        !fields_only(switch_fields, ARRAY_SIZE(switch_fields), switch_nothing, "configuration", json, error);
    json_decref(json);
    if (!good)
        control_switch_free(config);
    return good ? 0 : -1;
}

char *control_switch_write(const struct control_switch *config)
{
    json_t *json = fields_write(switch_fields, ARRAY_SIZE(switch_fields), config);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}

void control_switch_free(struct control_switch *config)
{
    fields_free(switch_fields, ARRAY_SIZE(switch_fields), config);
}

int control_port_read(struct control_port *port, const json_t *json, struct error *error)
{
    *port = (struct control_port){.trunk = NULL};
    if (!fields_read(port_fields, ARRAY_SIZE(port_fields), "port", json, port, error) &&
        !fields_only(port_fields, ARRAY_SIZE(port_fields), switch_of_message, "port", json, error))
        return 0;
    control_port_free(port);
    return -1;
}

json_t *control_port_write(const struct control_port *port)
{
    return fields_write(port_fields, ARRAY_SIZE(port_fields), port);
}

void control_port_free(struct control_port *port) { fields_free(port_fields, ARRAY_SIZE(port_fields), port); }

int control_counters_read(struct control_counters *counters, const json_t *json, struct error *error)
{
    *counters = (struct control_counters){.connected = false};
    return fields_read(counters_fields, ARRAY_SIZE(counters_fields), "counters", json, counters, error);
}

json_t *control_counters_write(const struct control_counters *counters)
{
    return fields_write(counters_fields, ARRAY_SIZE(counters_fields), counters);
}
