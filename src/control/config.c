// struct control_config as one JSON document. See control.h.
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "control/control.h"
#include "control/field.h"

static const char *const config_engines[] = {"auto", "soft", "kvm", NULL};
static const char *const config_vendors[] = {"host", "intel", "amd", NULL};
static const char *const config_formats[] = {"raw", "qcow2", "vpc", "vhdx", NULL};
static const char *const config_lists[] = {"disks", "adapters", "com_ports", NULL};

#define CONFIG(member) offsetof(struct control_config, member)
#define DISK(member) offsetof(struct control_disk, member)
#define ADAPTER(member) offsetof(struct control_adapter, member)

static const struct field config_fields[] = {
    {"id", FIELD_STRING, CONFIG(id), 1, 64, true, NULL},
    {"name", FIELD_STRING, CONFIG(name), 1, 256, true, NULL},
    {"directory", FIELD_STRING, CONFIG(directory), 1, CONTROL_PATH, true, NULL},
    {"console_log", FIELD_STRING, CONFIG(console_log), 1, CONTROL_PATH, false, NULL},
    {"state_directory", FIELD_STRING, CONFIG(state_directory), 1, CONTROL_PATH, false, NULL},
    {"restore", FIELD_STRING, CONFIG(restore), 1, CONTROL_PATH, false, NULL},
    {"cpus", FIELD_UNSIGNED, CONFIG(cpus), 1, CONTROL_CPUS, true, NULL},
    {"memory_startup", FIELD_U64, CONFIG(memory_startup), PAGE_BYTES, 1ULL << 46, true, NULL},
    {"memory_minimum", FIELD_U64, CONFIG(memory_minimum), 0, 1ULL << 46, false, NULL},
    {"memory_maximum", FIELD_U64, CONFIG(memory_maximum), 0, 1ULL << 46, false, NULL},
    {"memory_buffer", FIELD_UNSIGNED, CONFIG(memory_buffer), 0, 2000, false, NULL},
    {"memory_dynamic", FIELD_BOOL, CONFIG(memory_dynamic), 0, 0, false, NULL},
    {"engine", FIELD_STRING, CONFIG(engine), 1, 8, true, config_engines},
    {"vendor", FIELD_STRING, CONFIG(vendor), 1, 8, true, config_vendors},
    {"nested", FIELD_BOOL, CONFIG(nested), 0, 0, false, NULL},
    {"kernel", FIELD_STRING, CONFIG(kernel), 1, CONTROL_PATH, true, NULL},
    {"initrd", FIELD_STRING, CONFIG(initrd), 1, CONTROL_LINE, false, NULL},
    {"append", FIELD_STRING, CONFIG(append), 0, CONTROL_LINE, false, NULL},
    {"debug_exit", FIELD_BOOL, CONFIG(debug_exit), 0, 0, false, NULL},
    {"user", FIELD_UNSIGNED, CONFIG(user), 0, (1ULL << 32) - 2, false, NULL},
};
static_assert(sizeof(((struct control_config *)0)->user) == sizeof(unsigned), "read and written as FIELD_UNSIGNED");

static const struct field config_disk_fields[] = {
    {"path", FIELD_STRING, DISK(path), 1, CONTROL_PATH, true, NULL},
    {"format", FIELD_STRING, DISK(format), 1, 8, false, config_formats},
    {"readonly", FIELD_BOOL, DISK(readonly), 0, 0, false, NULL},
    {"dvd", FIELD_BOOL, DISK(dvd), 0, 0, false, NULL},
};

static const struct field config_adapter_fields[] = {
    {"id", FIELD_STRING, ADAPTER(id), 1, 64, true, NULL},
    {"place", FIELD_UNSIGNED, ADAPTER(place), 0, CONTROL_ADAPTERS - 1, true, NULL},
    {"mac", FIELD_MAC, ADAPTER(mac), 17, 17, true, NULL},
    {"network", FIELD_STRING, ADAPTER(network), 1, CONTROL_PATH, true, NULL},
    {"plugged", FIELD_BOOL, ADAPTER(plugged), 0, 0, false, NULL},
};

static const char *const config_nothing[] = {NULL};

// The list's items, at most `most`; an absent list is an empty one.
static int config_list(const json_t *json, const char *name, unsigned most, const json_t **list, unsigned *count,
                       struct error *error)
{
    *list = json_object_get(json, name);
    *count = 0;
    if (!*list || json_is_null(*list))
        return 0;
    if (!json_is_array(*list))
        return error_set(error, "configuration: \"%s\": expected a list", name);
    if (json_array_size(*list) > most)
        return error_set(error, "configuration: \"%s\": more than %u", name, most);
    *count = (unsigned)json_array_size(*list);
    return 0;
}

static int config_read_disks(struct control_config *config, const json_t *json, struct error *error)
{
    const json_t *list;
    unsigned count;
    if (config_list(json, "disks", CONTROL_DISKS, &list, &count, error))
        return -1;
    for (unsigned i = 0; i < count; i++) {
        const json_t *disk = json_array_get(list, i);
        config->disk_count++;
        if (fields_read(config_disk_fields, ARRAY_SIZE(config_disk_fields), "configuration: disk", disk,
                        &config->disks[i], error) ||
            fields_only(config_disk_fields, ARRAY_SIZE(config_disk_fields), config_nothing, "configuration: disk", disk,
                        error))
            return -1;
    }
    return 0;
}

static int config_check_places(const struct control_adapter *adapters, unsigned count, struct error *error)
{
    u32 taken = 0;
    for (unsigned i = 0; i < count; i++) {
        if (taken >> adapters[i].place & 1)
            return error_set(error, "configuration: adapter: two have the place %u", adapters[i].place);
        taken |= (u32)1 << adapters[i].place;
    }
    return 0;
}

int control_adapters_read(struct control_adapter adapters[CONTROL_ADAPTERS], unsigned *count, const json_t *json,
                          struct error *error)
{
    const json_t *list;
    unsigned items;
    *count = 0;
    if (config_list(json, "adapters", CONTROL_ADAPTERS, &list, &items, error))
        return -1;
    for (unsigned i = 0; i < items; i++) {
        const json_t *adapter = json_array_get(list, i);
        adapters[(*count)++] = (struct control_adapter){.id = NULL};
        if (fields_read(config_adapter_fields, ARRAY_SIZE(config_adapter_fields), "configuration: adapter", adapter,
                        &adapters[i], error) ||
            fields_only(config_adapter_fields, ARRAY_SIZE(config_adapter_fields), config_nothing,
                        "configuration: adapter", adapter, error))
            return -1;
    }
    return config_check_places(adapters, *count, error);
}

static int config_read_com_ports(struct control_config *config, const json_t *json, struct error *error)
{
    const json_t *list;
    unsigned count;
    if (config_list(json, "com_ports", CONTROL_PORTS, &list, &count, error))
        return -1;
    for (unsigned i = 0; i < count; i++) {
        const json_t *path = json_array_get(list, i);
        if (json_is_null(path))
            continue;
        if (!json_is_string(path) || !json_string_length(path) || json_string_length(path) > CONTROL_PATH ||
            json_string_length(path) != strlen(json_string_value(path)))
            return error_set(error, "configuration: \"com_ports\": expected paths or null");
        config->com_ports[i] = strdup(json_string_value(path));
        if (!config->com_ports[i])
            return error_set(error, "configuration: out of memory");
    }
    return 0;
}

// What single fields cannot tell.
static int config_check(const struct control_config *config, struct error *error)
{
    if (config->directory[0] != '/')
        return error_set(error, "configuration: \"directory\": '%.100s' is no absolute path", config->directory);
    if (config->state_directory && config->state_directory[0] != '/')
        return error_set(error, "configuration: \"state_directory\": '%.100s' is no absolute path",
                         config->state_directory);
    if (config->memory_startup % PAGE_BYTES)
        return error_set(error, "configuration: \"memory_startup\": expected whole pages");
    return 0;
}

static int config_read_json(struct control_config *config, const json_t *json, struct error *error)
{
    return fields_read(config_fields, ARRAY_SIZE(config_fields), "configuration", json, config, error) ||
                   fields_only(config_fields, ARRAY_SIZE(config_fields), config_lists, "configuration", json, error) ||
                   config_read_disks(config, json, error) ||
                   control_adapters_read(config->adapters, &config->adapter_count, json, error) ||
                   config_read_com_ports(config, json, error) || config_check(config, error)
               ? -1
               : 0;
}

int control_config_read(struct control_config *config, const char *text, size_t bytes, struct error *error)
{
    json_error_t reason;
    *config = (struct control_config){.id = NULL};
    if (bytes > CONTROL_CONFIG_BYTES)
        return error_set(error, "configuration: longer than %d bytes", CONTROL_CONFIG_BYTES);
    json_t *json = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &reason);
    if (!json)
        return error_set(error, "configuration: line %d: %s", reason.line, reason.text);
    int result = config_read_json(config, json, error);
    json_decref(json);
    if (result)
        control_config_free(config);
    return result;
}

static json_t *config_write_com_ports(const struct control_config *config)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < CONTROL_PORTS && list; i++)
        json_array_append_new(list, config->com_ports[i] ? json_string(config->com_ports[i]) : json_null());
    return list;
}

json_t *control_adapters_write(const struct control_adapter *adapters, unsigned count)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < count; i++)
        if (json_array_append_new(list, fields_write(config_adapter_fields, ARRAY_SIZE(config_adapter_fields),
                                                     &adapters[i]))) {
            json_decref(list);
            return NULL;
        }
    return list;
}

char *control_config_write(const struct control_config *config)
{
    json_t *json = fields_write(config_fields, ARRAY_SIZE(config_fields), config);
    json_t *disks = json_array();
    int result = json ? 0 : -1;
    for (unsigned i = 0; i < config->disk_count; i++)
        result |= json_array_append_new(disks, fields_write(config_disk_fields, ARRAY_SIZE(config_disk_fields),
                                                            &config->disks[i]));
    result |= json_object_set_new(json, "disks", disks);
    result |= json_object_set_new(json, "adapters", control_adapters_write(config->adapters, config->adapter_count));
    result |= json_object_set_new(json, "com_ports", config_write_com_ports(config));
    char *text = result ? NULL : json_dumps(json, JSON_COMPACT);
    json_decref(json);
    return text;
}

void control_adapter_free(struct control_adapter *adapter)
{
    fields_free(config_adapter_fields, ARRAY_SIZE(config_adapter_fields), adapter);
}

void control_config_free(struct control_config *config)
{
    fields_free(config_fields, ARRAY_SIZE(config_fields), config);
    for (unsigned i = 0; i < config->disk_count; i++)
        fields_free(config_disk_fields, ARRAY_SIZE(config_disk_fields), &config->disks[i]);
    for (unsigned i = 0; i < config->adapter_count; i++)
        control_adapter_free(&config->adapters[i]);
    for (unsigned i = 0; i < CONTROL_PORTS; i++)
        free(config->com_ports[i]);
    *config = (struct control_config){.id = NULL};
}
