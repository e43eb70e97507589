// See json.h. jansson bounds depth and rejects what is no JSON or no UTF-8; the number of values is bounded by the
// length, and again here because a short text can hold many.
#include "cmdlet/json.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "cmdlet/class.h"
#include "cmdlet/value_room.h"

static json_t *json_from_map(const struct value *value, bool types)
{
    json_t *object = json_object();
    if (types && value->map.type)
        json_object_set_new(object, "@type", json_string(value->map.type));
    for (size_t i = 0; i < value->map.count; i++)
        json_object_set_new(object, value->map.pairs[i].key, json_from_value(value->map.pairs[i].value, types));
    return object;
}

static json_t *json_from_text(char *text)
{
    json_t *string = json_string(text);
    free(text);
    return string ? string : json_string(""); // not UTF-8: nothing a program could use
}

json_t *json_from_value(const struct value *value, bool types)
{
    if (!value)
        return json_null();
    json_t *array;
    switch (value->kind) {
    case VALUE_BOOL:
        return json_boolean(value->truth);
    case VALUE_INT:
        return json_integer(value->integer);
    case VALUE_REAL:
        array = json_real(value->real);
        return array ? array : json_null(); // not a number: JSON has no word for it
    case VALUE_STRING:
    case VALUE_TIMESPAN:
    case VALUE_DATETIME:
        return json_from_text(value_to_text(value));
    case VALUE_ARRAY:
        array = json_array();
        for (size_t i = 0; i < value->array.count; i++)
            json_array_append_new(array, json_from_value(value->array.items[i], types));
        return array;
    case VALUE_MAP:
    case VALUE_OBJECT:
        return json_from_map(value, types);
    default:
        return json_null();
    }
}

// What is still allowed of a text being read.
struct json_budget {
    unsigned values;
    struct error *error;
};

static struct value *value_from_json(const json_t *json, struct json_budget *budget, unsigned depth);

// A property's text becomes what its class says it is. A text that does not read as such stays a text.
static struct value *value_typed(struct value *value, const struct property *property)
{
    s64 ticks;
    if (!value || !property || value->kind != VALUE_STRING)
        return value;
    struct value *typed = NULL;
    if (property->type == PROPERTY_TIMESPAN && json_timespan_parse(value->string, &ticks))
        typed = value_timespan(ticks);
    else if (property->type == PROPERTY_DATETIME && json_datetime_parse(value->string, &ticks))
        typed = value_datetime(ticks);
    if (!typed)
        return value;
    value_unref(value);
    return typed;
}

static struct value *value_from_object(const json_t *json, struct json_budget *budget, unsigned depth)
{
    const char *type = json_string_value(json_object_get(json, "@type"));
    const struct class *class = type ? class_find(type) : NULL;
    struct value *map = type ? value_object(class ? class->name : type) : value_map();
    const char *key;
    json_t *item;
    json_object_foreach ((json_t *)json, key, item) {
        if (!strcmp(key, "@type"))
            continue;
        struct value *value = value_from_json(item, budget, depth + 1);
        value = value_typed(value, class ? class_property(class, key) : NULL);
        if (!value) {
            value_unref(map);
            return NULL;
        }
        value_put(map, key, value);
    }
    return map;
}

static struct value *value_from_array(const json_t *json, struct json_budget *budget, unsigned depth)
{
    struct value *array = value_array();
    size_t index;
    json_t *item;
    json_array_foreach (json, index, item) {
        struct value *value = value_from_json(item, budget, depth + 1);
        if (!value) {
            value_unref(array);
            return NULL;
        }
        value_add(array, value);
    }
    return array;
}

static struct value *value_from_json(const json_t *json, struct json_budget *budget, unsigned depth)
{
    if (depth > JSON_DEPTH) {
        error_set(budget->error, "more than %d levels of nesting", JSON_DEPTH);
        return NULL;
    }
    if (!budget->values--) {
        budget->values = 0;
        error_set(budget->error, "more than %d values", JSON_VALUES);
        return NULL;
    }
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return value_from_object(json, budget, depth);
    case JSON_ARRAY:
        return value_from_array(json, budget, depth);
    case JSON_STRING:
        return value_string(json_string_value(json));
    case JSON_INTEGER:
        return value_int(json_integer_value(json));
    case JSON_REAL:
        return value_real(json_real_value(json));
    case JSON_TRUE:
    case JSON_FALSE:
        return value_bool(json_is_true(json));
    default:
        return value_null();
    }
}

struct value *json_to_value(const json_t *json, struct error *error)
{
    struct json_budget budget = {.values = JSON_VALUES, .error = error};
    return value_from_json(json, &budget, 0);
}

char *json_write(const struct value *value, bool types, unsigned indent)
{
    json_t *json = json_from_value(value, types);
    char *text = json_dumps(json, JSON_ENCODE_ANY | (indent ? JSON_INDENT(indent) : JSON_COMPACT));
    json_decref(json);
    return text ? text : value_text_copy("null");
}

struct value *json_read(const char *text, size_t bytes, struct error *error)
{
    if (bytes > JSON_BYTES) {
        error_set(error, "%zu bytes of JSON: the most is %d", bytes, JSON_BYTES);
        return NULL;
    }
    json_error_t where;
    json_t *json = json_loadb(text, bytes, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &where);
    if (!json) {
        error_set(error, "line %d, column %d: %s", where.line, where.column, where.text);
        return NULL;
    }
    struct value *value = json_to_value(json, error);
    json_decref(json);
    return value;
}
