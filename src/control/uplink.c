// See uplink.h.
#include "control/uplink.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "control/field.h"

static const char *const kinds[] = {"none", "user", "host", "physical", NULL};
static const char *const protocols[] = {"tcp", "udp", NULL};
static const char *const lists[] = {"mappings", NULL};
static const char *const nothing[] = {NULL};

#define UPLINK(member) offsetof(struct control_uplink, member)
#define MAPPING(member) offsetof(struct control_mapping, member)
#define SESSION(member) offsetof(struct control_session, member)

static const struct field uplink_fields[] = {
    {"kind", FIELD_ENUM, UPLINK(kind), 1, 16, true, kinds},
    {"interface", FIELD_TEXT, UPLINK(interface), 0, CONTROL_INTERFACE, false, NULL},
    {"host", FIELD_TEXT, UPLINK(host), 0, CONTROL_INTERFACE, false, NULL},
    {"mac", FIELD_MAC, UPLINK(mac), 17, 17, true, NULL},
    {"address", FIELD_TEXT, UPLINK(address), 0, CONTROL_ADDRESS, false, NULL},
    {"bits", FIELD_UNSIGNED, UPLINK(bits), 0, 32, false, NULL},
    {"nat", FIELD_BOOL, UPLINK(nat), 0, 0, false, NULL},
    {"sockets", FIELD_UNSIGNED, UPLINK(sockets), 0, 1 << 20, false, NULL},
    {"external", FIELD_TEXT, UPLINK(external), 0, CONTROL_ADDRESS, false, NULL},
    {"dhcp_first", FIELD_TEXT, UPLINK(dhcp_first), 0, CONTROL_ADDRESS, false, NULL},
    {"dhcp_last", FIELD_TEXT, UPLINK(dhcp_last), 0, CONTROL_ADDRESS, false, NULL},
    {"dhcp_servers", FIELD_TEXT, UPLINK(dhcp_servers), 0, sizeof((struct control_uplink *)0)->dhcp_servers - 1, false,
     NULL},
    {"name_server", FIELD_TEXT, UPLINK(name_server), 0, CONTROL_ADDRESS, false, NULL},
};

static const struct field mapping_fields[] = {
    {"protocol", FIELD_ENUM, MAPPING(protocol), 1, 16, true, protocols},
    {"external", FIELD_TEXT, MAPPING(external), 0, CONTROL_ADDRESS, true, NULL},
    {"external_port", FIELD_UNSIGNED, MAPPING(external_port), 1, UINT16_MAX, true, NULL},
    {"internal", FIELD_TEXT, MAPPING(internal), 0, CONTROL_ADDRESS, true, NULL},
    {"internal_port", FIELD_UNSIGNED, MAPPING(internal_port), 1, UINT16_MAX, true, NULL},
};

static const struct field session_fields[] = {
    {"protocol", FIELD_UNSIGNED, SESSION(protocol), 0, 255, true, NULL},
    {"from_outside", FIELD_BOOL, SESSION(from_outside), 0, 0, false, NULL},
    {"internal", FIELD_TEXT, SESSION(internal), 0, CONTROL_ADDRESS, true, NULL},
    {"internal_port", FIELD_UNSIGNED, SESSION(internal_port), 0, UINT16_MAX, true, NULL},
    {"external_port", FIELD_UNSIGNED, SESSION(external_port), 0, UINT16_MAX, true, NULL},
    {"remote", FIELD_TEXT, SESSION(remote), 0, CONTROL_ADDRESS, true, NULL},
    {"remote_port", FIELD_UNSIGNED, SESSION(remote_port), 0, UINT16_MAX, true, NULL},
};

// Empty, or an IPv4 address.
static int uplink_check_address(const char *name, const char *text, struct error *error)
{
    struct in_addr address;
    if (!*text || inet_pton(AF_INET, text, &address) == 1)
        return 0;
    return error_set(error, "uplink: \"%s\": '%s' is no IPv4 address", name, text);
}

static int uplink_read_mapping(struct control_mapping *mapping, const json_t *json, struct error *error)
{
    if (fields_read(mapping_fields, ARRAY_SIZE(mapping_fields), "uplink: mapping", json, mapping, error) ||
        fields_only(mapping_fields, ARRAY_SIZE(mapping_fields), nothing, "uplink: mapping", json, error))
        return -1;
    if (uplink_check_address("external", mapping->external, error))
        return -1;
    return *mapping->internal ? uplink_check_address("internal", mapping->internal, error)
                              : error_set(error, "uplink: a mapping to nowhere");
}

static int uplink_read_mappings(struct control_uplink *uplink, const json_t *json, struct error *error)
{
    const json_t *list = json_object_get(json, "mappings");
    const size_t count = json_array_size(list);
    if (count > CONTROL_MAPPINGS)
        return error_set(error, "uplink: more than %d mappings", CONTROL_MAPPINGS);
    if (!count)
        return 0;
    uplink->mappings = calloc(count, sizeof *uplink->mappings);
    if (!uplink->mappings)
        return error_set(error, "uplink: out of memory");
    for (; uplink->mapping_count < count; uplink->mapping_count++)
        if (uplink_read_mapping(&uplink->mappings[uplink->mapping_count], json_array_get(list, uplink->mapping_count),
                                error))
            return -1;
    return 0;
}

int control_uplink_read(struct control_uplink *uplink, const json_t *json, struct error *error)
{
    *uplink = (struct control_uplink){0};
    if (fields_read(uplink_fields, ARRAY_SIZE(uplink_fields), "uplink", json, uplink, error) ||
        fields_only(uplink_fields, ARRAY_SIZE(uplink_fields), lists, "uplink", json, error) ||
        uplink_check_address("address", uplink->address, error) ||
        uplink_check_address("external", uplink->external, error) ||
        uplink_check_address("dhcp_first", uplink->dhcp_first, error) ||
        uplink_check_address("dhcp_last", uplink->dhcp_last, error) ||
        uplink_check_address("name_server", uplink->name_server, error))
        return -1;
    if (uplink_read_mappings(uplink, json, error) == 0)
        return 0;
    control_uplink_free(uplink);
    return -1;
}

json_t *control_uplink_write(const struct control_uplink *uplink)
{
    json_t *json = fields_write(uplink_fields, ARRAY_SIZE(uplink_fields), uplink), *list = json_array();
    for (unsigned i = 0; i < uplink->mapping_count; i++)
        json_array_append_new(list, fields_write(mapping_fields, ARRAY_SIZE(mapping_fields), &uplink->mappings[i]));
    if (json && json_object_set_new(json, "mappings", list) == 0 && json_array_size(list) == uplink->mapping_count)
        return json;
    json_decref(json);
    return NULL;
}

void control_uplink_free(struct control_uplink *uplink)
{
    free(uplink->mappings);
    *uplink = (struct control_uplink){0};
}

int control_sessions_read(struct control_session **sessions, unsigned *count, const json_t *json, struct error *error)
{
    const size_t all = json_array_size(json);
    *sessions = NULL;
    *count = 0;
    if (!json_is_array(json) || all > CONTROL_SESSIONS)
        return error_set(error, "sessions: expected a list of at most %d", CONTROL_SESSIONS);
    struct control_session *list = calloc(all + 1, sizeof *list);
    if (!list)
        return error_set(error, "sessions: out of memory");
    for (size_t i = 0; i < all; i++)
        if (fields_read(session_fields, ARRAY_SIZE(session_fields), "session", json_array_get(json, i), &list[i],
                        error)) {
            free(list);
            return -1;
        }
    *sessions = list;
    *count = (unsigned)all;
    return 0;
}

json_t *control_sessions_write(const struct control_session *sessions, unsigned count)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < count; i++)
        json_array_append_new(list, fields_write(session_fields, ARRAY_SIZE(session_fields), &sessions[i]));
    return list;
}
