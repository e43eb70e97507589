// See api_request.h.
#include "service/api_request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmdlet/class.h"
#include "cmdlet/json.h"

static const struct parameter *parameter_find(const struct cmdlet *cmdlet, const char *name)
{
    for (const struct parameter *parameter = cmdlet->parameters; parameter && parameter->name; parameter++)
        if (!value_name_compare(parameter->name, name))
            return parameter;
    return NULL;
}

// The word of a list with blanks between that `text` is; its length in `length`.
static const char *enum_word(const char *words, const char *text, size_t *length)
{
    for (const char *at = words; at && *at; at += strspn(at, " ")) {
        *length = strcspn(at, " ");
        if (strlen(text) == *length && !strncasecmp(at, text, *length))
            return at;
        at += *length;
    }
    return NULL;
}

static struct value *refuse(struct error *error, const struct parameter *parameter, const char *wanted)
{
    error_set(error, "parameter '%s' takes %s", parameter->name, wanted);
    return NULL;
}

static struct value *take_number(const struct parameter *parameter, struct value *value, struct error *error)
{
    if (value->kind != VALUE_INT)
        return refuse(error, parameter, "a whole number");
    if ((parameter->least || parameter->most) &&
        (value->integer < parameter->least || value->integer > parameter->most)) {
        error_set(error, "parameter '%s' takes %lld to %lld", parameter->name, (long long)parameter->least,
                  (long long)parameter->most);
        return NULL;
    }
    return value_ref(value);
}

static struct value *take_enum(const struct parameter *parameter, struct value *value, struct error *error)
{
    size_t length = 0;
    const char *word = value->kind == VALUE_STRING ? enum_word(parameter->values, value->string, &length) : NULL;
    if (!word) {
        error_set(error, "parameter '%s' takes one of: %s", parameter->name, parameter->values);
        return NULL;
    }
    return value_format("%.*s", (int)length, word);
}

static struct value *take_timespan(const struct parameter *parameter, struct value *value, struct error *error)
{
    s64 ticks;
    if (value->kind == VALUE_TIMESPAN)
        return value_ref(value);
    if (value->kind == VALUE_STRING && json_timespan_parse(value->string, &ticks))
        return value_timespan(ticks);
    return refuse(error, parameter, "a time, \"[d.]hh:mm:ss\"");
}

static struct value *take_path(const struct parameter *parameter, struct value *value, struct error *error)
{
    if (value->kind == VALUE_STRING && (value->string[0] == '/' || !value->string[0]))
        return value_ref(value);
    return refuse(error, parameter, "an absolute path");
}

static struct value *take_version(const struct parameter *parameter, struct value *value, struct error *error)
{
    if (value->kind == VALUE_INT)
        return value_format("%lld.0", (long long)value->integer);
    if (value->kind == VALUE_REAL)
        return value_format("%.1f", value->real);
    return value->kind == VALUE_STRING ? value_ref(value) : refuse(error, parameter, "a version");
}

// One value, of no list.
static struct value *take_one(const struct parameter *parameter, struct value *value, struct error *error)
{
    switch (parameter->type) {
    case PARAMETER_STRING:
        if (value->kind == VALUE_NULL)
            return value_string("");
        return value->kind == VALUE_STRING ? value_ref(value) : refuse(error, parameter, "a string");
    case PARAMETER_SWITCH:
    case PARAMETER_BOOL:
        return value->kind == VALUE_BOOL ? value_ref(value) : refuse(error, parameter, "true or false");
    case PARAMETER_INT:
    case PARAMETER_BYTES:
        return take_number(parameter, value, error);
    case PARAMETER_ENUM:
        return take_enum(parameter, value, error);
    case PARAMETER_TIMESPAN:
        return take_timespan(parameter, value, error);
    case PARAMETER_PATH:
        return take_path(parameter, value, error);
    case PARAMETER_OBJECT:
        if (value->kind == VALUE_OBJECT && (!parameter->object || class_is(value->map.type, parameter->object)))
            return value_ref(value);
        error_set(error, "parameter '%s' takes an object with \"@type\": \"%s\"", parameter->name,
                  parameter->object ? parameter->object : "...");
        return NULL;
    case PARAMETER_MAP:
        return value_is_map(value) ? value_ref(value) : refuse(error, parameter, "an object");
    case PARAMETER_VERSION:
        return take_version(parameter, value, error);
    case PARAMETER_ANY:
        return value_ref(value);
    case PARAMETER_BLOCK:
        break;
    }
    return refuse(error, parameter, "a script, which only a shell has");
}

static struct value *take(const struct parameter *parameter, struct value *value, struct error *error)
{
    if (!(parameter->flags & (PARAMETER_LIST | PARAMETER_REST)))
        return take_one(parameter, value, error);
    struct value *list = value_array();
    const size_t count = value->kind == VALUE_ARRAY ? value_count(value) : 1;
    for (size_t i = 0; i < count; i++) {
        struct value *item = take_one(parameter, value->kind == VALUE_ARRAY ? value_item(value, i) : value, error);
        if (!item) {
            value_unref(list);
            return NULL;
        }
        value_add(list, item);
    }
    return list;
}

// A parameter set that has everything that was given, and of which everything that must be given was.
static int check_sets(const struct cmdlet *cmdlet, const struct value *parameters, struct error *error)
{
    u8 sets = 0xff;
    for (const struct parameter *parameter = cmdlet->parameters; parameter && parameter->name; parameter++)
        if (parameter->sets && value_get(parameters, parameter->name))
            sets &= parameter->sets;
    if (!sets)
        return error_set(error, "these parameters of %s do not go together", cmdlet->name);
    const struct parameter *missing = NULL;
    const unsigned count = cmdlet->sets[0] ? CMDLET_SETS : 1;
    for (unsigned i = 0; i < count && (!i || cmdlet->sets[i]); i++) {
        if (!(sets & 1u << i))
            continue;
        const struct parameter *lacks = NULL;
        for (const struct parameter *parameter = cmdlet->parameters; parameter && parameter->name; parameter++)
            if (parameter->flags & PARAMETER_MANDATORY && (!parameter->sets || parameter->sets & 1u << i) &&
                !value_get(parameters, parameter->name))
                lacks = lacks ? lacks : parameter;
        if (!lacks)
            return 0;
        missing = missing ? missing : lacks;
    }
    return error_set(error, "parameter '%s' of %s is missing", missing ? missing->name : "?", cmdlet->name);
}

static int read_parameters(struct request *request, const struct value *given, struct error *error)
{
    for (size_t i = 0; i < given->map.count; i++) {
        const struct value_pair *pair = &given->map.pairs[i];
        const struct parameter *parameter = parameter_find(request->cmdlet, pair->key);
        if (!parameter)
            return error_set(error, "%s has no parameter '%.100s'", request->cmdlet->name, pair->key);
        struct value *value = take(parameter, pair->value, error);
        if (!value)
            return -1;
        value_put(request->parameters, parameter->name, value);
    }
    return check_sets(request->cmdlet, request->parameters, error);
}

static int read_members(struct request *request, const struct value *body, struct error *error)
{
    for (size_t i = 0; i < body->map.count; i++) {
        const char *key = body->map.pairs[i].key;
        const struct value *value = body->map.pairs[i].value;
        if (!value_name_compare(key, "parameters") && value_is_map(value)) {
            if (read_parameters(request, value, error) < 0)
                return -1;
        } else if (!value_name_compare(key, "whatIf") && value->kind == VALUE_BOOL) {
            request->what_if = value->truth;
        } else if (!value_name_compare(key, "verbose") && value->kind == VALUE_BOOL) {
            request->verbose = value->truth;
        } else if (!value_name_compare(key, "directory") && value->kind == VALUE_STRING && value->string[0] == '/') {
            free((char *)request->directory);
            request->directory = value_text_copy(value->string);
        } else {
            return error_set(error, "member '%.100s' of the request is not known, or of the wrong type", key);
        }
    }
    return value_get(body, "parameters") ? 0 : check_sets(request->cmdlet, request->parameters, error);
}

int api_request_read(struct request *request, const struct cmdlet *cmdlet, const char *body, size_t bytes,
                     struct error *error)
{
    *request = (struct request){.cmdlet = cmdlet, .parameters = value_map()};
    struct value *json = bytes ? json_read(body, bytes, error) : value_map();
    int result = -1;
    if (json && value_is_map(json))
        result = read_members(request, json, error);
    else if (json)
        error_set(error, "a request is an object");
    value_unref(json);
    if (result < 0)
        api_request_free(request);
    return result;
}

void api_request_free(struct request *request)
{
    value_unref(request->parameters);
    free((char *)request->directory);
    *request = (struct request){0};
}
