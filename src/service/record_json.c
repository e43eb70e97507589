// See record_json.h. {"format": ..., "formatVersion": 1, "machine": {COLUMN: VALUE...}, "drives": [...], "adapters":
// [...]}. Columns that are missing keep Hyper-V's defaults, those that are not known are passed over: a file may be of
// an older or a newer nidus as long as the format's version is known.
#include "service/record_json.h"

#include <jansson.h>
#include <string.h>

#include "cmdlet/value.h"

enum { FORMAT_VERSION = 1, TEXT_BYTES = 64 << 10 };

static const char format_name[] = "nidus virtual machine";

// --- Writing ---------------------------------------------------------------------------------------------------------
static json_t *columns_write(const void *from, const struct record_column *columns)
{
    json_t *object = json_object();
    for (; columns->name; columns++) {
        const char *at = (const char *)from + columns->offset;
        json_t *value = columns->type == RECORD_INT    ? json_integer(*(const s64 *)at)
                        : columns->type == RECORD_BOOL ? json_boolean(*(const bool *)at)
                        : *(char *const *)at           ? json_string(*(char *const *)at)
                                                       : json_null();
        json_object_set_new(object, columns->name, value);
    }
    return object;
}

struct json_t *record_json_write(const struct vm_record *record)
{
    json_t *drives = json_array(), *adapters = json_array();
    for (size_t i = 0; i < record->drive_count; i++)
        json_array_append_new(drives, columns_write(&record->drives[i], record_drive_columns));
    for (size_t i = 0; i < record->adapter_count; i++)
        json_array_append_new(adapters, columns_write(&record->adapters[i], record_adapter_columns));
    return json_pack("{s:s, s:i, s:o, s:o, s:o}", "format", format_name, "formatVersion", FORMAT_VERSION, "machine",
                     columns_write(record, record_vm_columns), "drives", drives, "adapters", adapters);
}

// --- Reading ---------------------------------------------------------------------------------------------------------
static int text_read(char **to, const char *name, const json_t *value, struct error *error)
{
    if (json_string_length(value) > TEXT_BYTES)
        return error_set(error, "its setting '%s' is longer than %d bytes", name, TEXT_BYTES);
    record_text_set(to, json_string_value(value));
    return 0;
}

static int column_read(void *record, const struct record_column *column, const json_t *value, struct error *error)
{
    char *at = (char *)record + column->offset;
    if (column->type == RECORD_TEXT && (json_is_string(value) || json_is_null(value)))
        return text_read((char **)at, column->name, value, error);
    if (column->type == RECORD_INT && json_is_integer(value)) {
        *(s64 *)at = json_integer_value(value);
        return 0;
    }
    if (column->type == RECORD_BOOL && json_is_boolean(value)) {
        *(bool *)at = json_is_true(value);
        return 0;
    }
    return error_set(error, "its setting '%s' is of the wrong kind", column->name);
}

static int columns_read(void *record, const struct record_column *columns, const json_t *object, struct error *error)
{
    for (; columns->name; columns++) {
        const json_t *value = json_object_get(object, columns->name);
        if (value && column_read(record, columns, value, error) < 0)
            return -1;
    }
    return 0;
}

static int parts_count(const json_t *list, const char *what, struct error *error)
{
    if (list && !json_is_array(list))
        return error_set(error, "its %s are no list", what);
    if (json_array_size(list) > RECORD_JSON_PARTS)
        return error_set(error, "it has more than %d %s", RECORD_JSON_PARTS, what);
    return (int)json_array_size(list);
}

static int parts_read(struct vm_record *record, const json_t *json, struct error *error)
{
    const json_t *drives = json_object_get(json, "drives"), *adapters = json_object_get(json, "adapters");
    const int drive_count = parts_count(drives, "drives", error);
    const int adapter_count = drive_count < 0 ? -1 : parts_count(adapters, "adapters", error);
    for (int i = 0; i < drive_count && adapter_count >= 0; i++) {
        struct vm_drive *drive = record_drive_add(record);
        if (columns_read(drive, record_drive_columns, json_array_get(drives, (size_t)i), error) < 0)
            return -1;
        drive->row = 0;
    }
    for (int i = 0; i < adapter_count; i++) {
        struct vm_adapter *adapter = record_adapter_add(record);
        if (columns_read(adapter, record_adapter_columns, json_array_get(adapters, (size_t)i), error) < 0)
            return -1;
        adapter->row = 0;
    }
    return adapter_count < 0 ? -1 : 0;
}

int record_json_read(struct vm_record *record, const struct json_t *json, struct error *error)
{
    const char *format = json_string_value(json_object_get(json, "format"));
    const json_int_t version = json_integer_value(json_object_get(json, "formatVersion"));
    int result = 0;
    if (!format || strcmp(format, format_name))
        return error_set(error, "it is no virtual machine that nidus exported");
    if (version != FORMAT_VERSION)
        return error_set(error, "its format is of version %lld; this nidus knows %d", (long long)version,
                         FORMAT_VERSION);
    record_vm_defaults(record);
    if (columns_read(record, record_vm_columns, json_object_get(json, "machine"), error) < 0 ||
        parts_read(record, json, error) < 0)
        result = -1;
    else if (!record_vm_sound(record))
        result = error_set(error, "it has no name or no id");
    if (result < 0)
        record_vm_free(record);
    return result;
}
