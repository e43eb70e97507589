// See bind.h. Values to the types of parameters.
#include "cmdlet/bind.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cmdlet/class.h"
#include "cmdlet/json.h"
#include "cmdlet/lexer.h"
#include "cmdlet/value_room.h"

int bind_fail(struct bind_error *error, enum error_category category, const char *id, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error->category = category;
    error->id = id;
    error->exception = "ParameterBindingException";
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return -1;
}

static const char *type_name(const struct value *value)
{
    static const char *const names[] = {
        [VALUE_NULL] = "null", [VALUE_BOOL] = "System.Boolean", [VALUE_INT] = "System.Int64",
        [VALUE_REAL] = "System.Double", [VALUE_STRING] = "System.String", [VALUE_TIMESPAN] = "System.TimeSpan",
        [VALUE_DATETIME] = "System.DateTime", [VALUE_ARRAY] = "System.Object[]",
        [VALUE_MAP] = "System.Collections.Hashtable", [VALUE_OBJECT] = "System.Object",
        [VALUE_BLOCK] = "System.Management.Automation.ScriptBlock",
    };
    if (value->kind != VALUE_OBJECT)
        return names[value->kind];
    const struct class *class = class_find(value->map.type);
    return class ? class->full_name : value->map.type;
}

static const char *wanted_name(const struct parameter *parameter)
{
    static const char *const names[] = {
        [PARAMETER_STRING] = "System.String", [PARAMETER_SWITCH] = "System.Management.Automation.SwitchParameter",
        [PARAMETER_BOOL] = "System.Boolean", [PARAMETER_INT] = "System.Int64", [PARAMETER_BYTES] = "System.Int64",
        [PARAMETER_ENUM] = "System.String", [PARAMETER_TIMESPAN] = "System.TimeSpan",
        [PARAMETER_PATH] = "System.String",
        [PARAMETER_OBJECT] = "System.Object", [PARAMETER_MAP] = "System.Collections.Hashtable",
        [PARAMETER_BLOCK] = "System.Management.Automation.ScriptBlock", [PARAMETER_ANY] = "System.Object",
        [PARAMETER_VERSION] = "System.Version",
    };
    const struct class *class = parameter->type == PARAMETER_OBJECT ? class_find(parameter->object) : NULL;
    return class ? class->full_name : names[parameter->type];
}

static struct value *convert_fail(const struct parameter *parameter, const struct value *value, const char *why,
                                  struct bind_error *error)
{
    char *text = value_to_text(value);
    bind_fail(error, CATEGORY_INVALID_ARGUMENT, "CannotConvertArgumentNoMessage",
              "Cannot bind parameter '%s'. Cannot convert the \"%.120s\" value of type \"%s\" to type \"%s\".%s%s",
              parameter->name, text, type_name(value), wanted_name(parameter), why ? " " : "", why ? why : "");
    free(text);
    return NULL;
}

static struct value *convert_string(const struct parameter *parameter, struct value *value, const char *spelling,
                                    bool coerce, struct bind_error *error)
{
    if (value->kind == VALUE_STRING)
        return value_ref(value);
    if (!coerce || value->kind == VALUE_ARRAY || value->kind == VALUE_MAP || value->kind == VALUE_BLOCK)
        return convert_fail(parameter, value, NULL, error);
    if (value->kind == VALUE_OBJECT) { // an object stands for its name, if it has one
        const struct class *class = class_find(value->map.type);
        if (!class || !class->display)
            return convert_fail(parameter, value, NULL, error);
    }
    return spelling ? value_string(spelling) : value_string_put(value_to_text(value));
}

static struct value *convert_bool(const struct parameter *parameter, struct value *value, bool coerce,
                                  struct bind_error *error)
{
    if (value->kind == VALUE_BOOL)
        return value_ref(value);
    if (coerce && (value->kind == VALUE_INT || value->kind == VALUE_REAL))
        return value_bool(value_truth(value));
    // Not PowerShell's, but what a shell's word `true` can only mean.
    if (coerce && value->kind == VALUE_STRING && !value_name_compare(value->string, "true"))
        return value_bool(true);
    if (coerce && value->kind == VALUE_STRING && !value_name_compare(value->string, "false"))
        return value_bool(false);
    bind_fail(error, CATEGORY_INVALID_ARGUMENT, "ParameterArgumentTransformationError",
              "Cannot process argument transformation on parameter '%s'. Cannot convert value \"%s\" to type "
              "\"System.Boolean\". Boolean parameters accept only Boolean values and numbers, such as $True, $False, 1 "
              "or 0.",
              parameter->name, type_name(value));
    return NULL;
}

static struct value *check_range(const struct parameter *parameter, s64 number, struct bind_error *error)
{
    if ((!parameter->least && !parameter->most) || (number >= parameter->least && number <= parameter->most))
        return value_int(number);
    bool more = number > parameter->most;
    s64 bound = more ? parameter->most : parameter->least;
    bind_fail(error, CATEGORY_INVALID_ARGUMENT, "ParameterArgumentValidationError",
              "Cannot validate argument on parameter '%s'. The %lld argument is %s than the %s allowed range of %lld. "
              "Supply an argument that is %s than or equal to %lld and then try the command again.",
              parameter->name, (long long)number, more ? "greater" : "less", more ? "maximum" : "minimum",
              (long long)bound, more ? "less" : "greater", (long long)bound);
    return NULL;
}

static struct value *convert_number(const struct parameter *parameter, struct value *value, bool coerce,
                                    struct bind_error *error)
{
    if (value->kind == VALUE_INT)
        return check_range(parameter, value->integer, error);
    if (coerce && value->kind == VALUE_BOOL)
        return check_range(parameter, value->truth, error);
    if (coerce && value->kind == VALUE_REAL && fabs(value->real) < 9.2e18)
        return check_range(parameter, llround(value->real), error);
    if (coerce && value->kind == VALUE_STRING) {
        const char *end;
        struct value *number = lexer_number(value->string, &end);
        struct value *result = NULL;
        bool whole = number && !*end && number->kind == VALUE_INT;
        if (whole)
            result = check_range(parameter, number->integer, error);
        value_unref(number);
        if (whole)
            return result;
        return convert_fail(parameter, value, "Error: \"Input string was not in a correct format.\"", error);
    }
    return convert_fail(parameter, value, NULL, error);
}

// "On Off" -> "On, Off"
static void values_text(const char *values, char *out, size_t bytes)
{
    size_t put = 0;
    for (const char *at = values; *at && put + 3 < bytes; at++) {
        if (*at == ' ')
            out[put++] = ',';
        out[put++] = *at;
    }
    out[put] = 0;
}

// -ErrorAction 0: the only enumeration whose numbers are in use.
static struct value *convert_action(const struct parameter *parameter, s64 number)
{
    const char *at = parameter->values;
    while (number-- > 0 && *at) {
        at += strcspn(at, " ");
        at += strspn(at, " ");
    }
    return *at ? value_format("%.*s", (int)strcspn(at, " "), at) : NULL;
}

static struct value *convert_enum(const struct parameter *parameter, struct value *value, const char *spelling,
                                  struct bind_error *error)
{
    if (bind_is_common(parameter) && value->kind == VALUE_INT && value->integer >= 0) {
        struct value *action = convert_action(parameter, value->integer);
        if (action)
            return action;
    }
    char *text = spelling ? value_text_copy(spelling) : value_to_text(value), word[80], found[80] = "", list[400];
    size_t length = strlen(text);
    unsigned prefixes = 0;
    bool exact = false;
    for (const char *at = parameter->values; *at && length && !exact; at += strspn(at, " ")) {
        size_t bytes = strcspn(at, " ");
        snprintf(word, sizeof word, "%.*s", (int)bytes, at);
        at += bytes;
        exact = !value_name_compare(word, text);
        bool prefix = !strncasecmp(word, text, length);
        if (exact || (prefix && !prefixes))
            strcpy(found, word);
        prefixes += prefix;
    }
    if (exact || prefixes == 1) {
        free(text);
        return value_string(found);
    }
    values_text(parameter->values, list, sizeof list);
    bind_fail(error, CATEGORY_INVALID_ARGUMENT, "CannotConvertArgumentNoMessage",
              "Cannot bind parameter '%s'. Cannot convert value \"%.120s\". Error: \"Unable to match the identifier "
              "name %.120s to a valid enumerator name. Specify one of the following enumerator names and try again: "
              "%s\"",
              parameter->name, text, text, list);
    free(text);
    return NULL;
}

static struct value *convert_timespan(const struct parameter *parameter, struct value *value, bool coerce,
                                      struct bind_error *error)
{
    s64 ticks;
    if (value->kind == VALUE_TIMESPAN)
        return value_ref(value);
    if (coerce && value->kind == VALUE_INT)
        return value_timespan(value->integer);
    if (coerce && value->kind == VALUE_STRING && json_timespan_parse(value->string, &ticks))
        return value_timespan(ticks);
    return convert_fail(parameter, value, "Write it as hh:mm:ss.", error);
}

// Without "." and "..", so that the same file has one name. The path starts with a slash.
static void path_normalise(char *path)
{
    char *put = path;
    for (const char *at = path; *at;) {
        size_t slashes = strspn(at, "/"), bytes = strcspn(at + slashes, "/");
        const char *name = at + slashes;
        if (bytes == 2 && !strncmp(name, "..", 2)) {
            while (put > path && *--put != '/')
                ;
        } else if (bytes && !(bytes == 1 && *name == '.')) {
            *put++ = '/';
            memmove(put, name, bytes);
            put += bytes;
        }
        at = name + bytes;
    }
    if (put == path)
        *put++ = '/';
    *put = 0;
}

static struct value *convert_path(const struct parameter *parameter, struct value *value, const char *spelling,
                                  const struct bind_context *context, bool coerce, struct bind_error *error)
{
    struct value *text = convert_string(parameter, value, spelling, coerce, error);
    if (!text || !*text->string)
        return text;
    const char *path = text->string;
    char *absolute;
    if (*path == '/')
        absolute = value_text_copy(path);
    else if (*path == '~' && context->home && (!path[1] || path[1] == '/'))
        absolute = value_text("%s%s", context->home, path + 1);
    else
        absolute = value_text("%s/%s", context->directory ? context->directory : "", path);
    value_unref(text);
    if (*absolute == '/')
        path_normalise(absolute);
    return value_string_put(absolute);
}

// 8 is 8.0, as [version] has it.
static struct value *convert_version(const struct parameter *parameter, struct value *value, const char *spelling,
                                     struct bind_error *error)
{
    char *text = spelling ? value_text_copy(spelling) : value_to_text(value);
    size_t digits = strspn(text, "0123456789."), bytes = strlen(text);
    struct value *result = NULL;
    if (bytes && digits == bytes && text[0] != '.' && text[bytes - 1] != '.' && !strstr(text, "..") && bytes < 24)
        result = value_format("%s%s", text, strchr(text, '.') ? "" : ".0");
    free(text);
    return result ? result : convert_fail(parameter, value, "Write it as 8.0.", error);
}

static struct value *convert_object(const struct parameter *parameter, struct value *value, struct bind_error *error)
{
    if (value->kind == VALUE_OBJECT && class_is(value->map.type, parameter->object))
        return value_ref(value);
    return convert_fail(parameter, value, NULL, error);
}

static struct value *convert_kind(const struct parameter *parameter, struct value *value, enum value_kind kind,
                                  struct bind_error *error)
{
    return value->kind == kind ? value_ref(value) : convert_fail(parameter, value, NULL, error);
}

static struct value *convert_one(const struct parameter *parameter, struct value *value, const char *spelling,
                                 const struct bind_context *context, bool coerce, struct bind_error *error)
{
    // An array of one is that one, where one is wanted.
    if (value->kind == VALUE_ARRAY && value->array.count == 1 && parameter->type != PARAMETER_ANY)
        return convert_one(parameter, value->array.items[0], NULL, context, coerce, error);
    switch (parameter->type) {
    case PARAMETER_STRING:
        return convert_string(parameter, value, spelling, coerce, error);
    case PARAMETER_SWITCH:
    case PARAMETER_BOOL:
        return convert_bool(parameter, value, coerce, error);
    case PARAMETER_INT:
    case PARAMETER_BYTES:
        return convert_number(parameter, value, coerce, error);
    case PARAMETER_ENUM:
        if (!coerce && value->kind != VALUE_STRING)
            return convert_fail(parameter, value, NULL, error);
        return convert_enum(parameter, value, spelling, error);
    case PARAMETER_TIMESPAN:
        return convert_timespan(parameter, value, coerce, error);
    case PARAMETER_PATH:
        return convert_path(parameter, value, spelling, context, coerce, error);
    case PARAMETER_OBJECT:
        return convert_object(parameter, value, error);
    case PARAMETER_MAP:
        return convert_kind(parameter, value, VALUE_MAP, error);
    case PARAMETER_BLOCK:
        return convert_kind(parameter, value, VALUE_BLOCK, error);
    case PARAMETER_ANY:
        return value_ref(value);
    case PARAMETER_VERSION:
        if (!coerce && value->kind != VALUE_STRING)
            return convert_fail(parameter, value, NULL, error);
        return convert_version(parameter, value, spelling, error);
    }
    return NULL;
}

// What is required must be something.
static bool is_missing(const struct parameter *parameter, const struct value *value, struct bind_error *error)
{
    bool null = value->kind == VALUE_NULL, empty = value->kind == VALUE_STRING && !*value->string;
    bool counts = parameter->type == PARAMETER_OBJECT || parameter->type == PARAMETER_BOOL ||
                  parameter->flags & PARAMETER_MANDATORY;
    if (parameter->type == PARAMETER_ANY || !counts || !(null || (empty && parameter->flags & PARAMETER_MANDATORY)))
        return false;
    bind_fail(error, CATEGORY_INVALID_ARGUMENT,
              null ? "ParameterArgumentValidationErrorNullNotAllowed"
                   : "ParameterArgumentValidationErrorEmptyStringNotAllowed",
              "Cannot bind argument to parameter '%s' because it is %s.", parameter->name,
              null ? "null" : "an empty string");
    return true;
}

static struct value *convert_null(const struct parameter *parameter)
{
    switch (parameter->type) {
    case PARAMETER_STRING:
    case PARAMETER_PATH:
        return value_string("");
    case PARAMETER_SWITCH:
        return value_bool(false);
    case PARAMETER_INT:
    case PARAMETER_BYTES:
        return value_int(0);
    default:
        return value_null();
    }
}

struct value *bind_convert(const struct parameter *parameter, struct value *value, const char *spelling,
                           const struct bind_context *context, bool coerce, struct bind_error *error)
{
    if (is_missing(parameter, value, error))
        return NULL;
    if (value->kind == VALUE_NULL && !(parameter->flags & PARAMETER_LIST))
        return coerce ? convert_null(parameter) : NULL;
    if (!(parameter->flags & PARAMETER_LIST))
        return convert_one(parameter, value, spelling, context, coerce, error);
    struct value *list = value_array();
    size_t count = value->kind == VALUE_ARRAY ? value->array.count : value->kind == VALUE_NULL ? 0 : 1;
    for (size_t i = 0; i < count; i++) {
        struct value *item = value->kind == VALUE_ARRAY ? value->array.items[i] : value;
        struct value *converted = is_missing(parameter, item, error)
                                ? NULL : convert_one(parameter, item, count == 1 ? spelling : NULL, context, coerce,
                                                     error);
        if (!converted) {
            value_unref(list);
            return NULL;
        }
        value_add(list, converted);
    }
    return list;
}
