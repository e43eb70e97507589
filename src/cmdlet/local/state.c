// Get-Variable, Set-Variable, Get-Date, Get-Member, Start-Sleep, Test-Path: looking at the session and
// at what surrounds it.
#include <stdlib.h>
#include <string.h>

#include "cmdlet/class.h"
#include "cmdlet/json.h"
#include "cmdlet/local/local.h"
#include "cmdlet/session_room.h"
#include "cmdlet/value_room.h"

static void variable_show(struct stage *stage, const char *name, struct value *value)
{
    if (stage_switch(stage, "ValueOnly")) {
        stage_put(stage, value_ref(value));
        return;
    }
    struct value *object = value_object("PSVariable");
    value_put(object, "Name", value_string(name));
    value_put(object, "Value", value_ref(value));
    stage_put(stage, object);
}

static void get_variable_one(struct stage *stage, const char *pattern)
{
    unsigned found = 0;
    for (struct scope *scope = stage_session(stage)->scope; scope; scope = scope->parent) {
        struct value *names = value_ref(scope->variables);
        for (size_t i = 0; i < names->map.count && !stage_stopped(stage); i++)
            if (value_name_like(names->map.pairs[i].key, pattern)) {
                found++;
                variable_show(stage, names->map.pairs[i].key, names->map.pairs[i].value);
            }
        value_unref(names);
    }
    if (!found && !value_has_wildcard(pattern))
        stage_fail(stage, CATEGORY_OBJECT_NOT_FOUND, "VariableNotFound", "Cannot find a variable with the name '%s'.",
                   pattern);
}

static void get_variable_process(struct stage *stage, struct value *input)
{
    (void)input;
    struct value *names = stage_parameter(stage, "Name");
    for (size_t i = 0; i < value_count(names); i++)
        get_variable_one(stage, value_as_string(value_item(names, i), ""));
    if (!names)
        get_variable_one(stage, "*");
}

static void set_variable_process(struct stage *stage, struct value *input)
{
    (void)input;
    struct value *names = stage_parameter(stage, "Name"), *value = stage_parameter(stage, "Value");
    for (size_t i = 0; i < value_count(names); i++)
        variable_set(stage_session(stage), value_as_string(value_item(names, i), ""),
                     value ? value_ref(value) : value_null());
}

static void get_date_put(struct stage *stage, s64 ticks, const char *format)
{
    static const struct { const char *pattern; const char *property; int width; } fields[] = {
        {"yyyy", "Year", 4}, {"MM", "Month", 2}, {"dd", "Day", 2}, {"HH", "Hour", 2}, {"mm", "Minute", 2},
        {"ss", "Second", 2},
        {"fff", "Millisecond", 3},
    };
    struct value *date = value_datetime(ticks);
    char *text = value_text_copy("");
    while (format && *format && strlen(text) < 4096) {
        size_t bytes = 1;
        char *longer = NULL;
        for (unsigned i = 0; i < ARRAY_SIZE(fields) && !longer; i++)
            if (!strncmp(format, fields[i].pattern, strlen(fields[i].pattern))) {
                struct value *part = local_property(stage, date, fields[i].property);
                bytes = strlen(fields[i].pattern);
                longer = value_text("%s%0*lld", text, fields[i].width, (long long)value_as_int(part, 0));
                value_unref(part);
            }
        if (!longer)
            longer = value_text("%s%c", text, *format);
        format += bytes;
        free(text);
        text = longer;
    }
    stage_put(stage, format ? value_string(text) : value_ref(date));
    free(text);
    value_unref(date);
}

static void get_date_process(struct stage *stage, struct value *input)
{
    (void)input;
    const struct session_config *config = session_config_of(stage_session(stage));
    const char *given = stage_string(stage, "Date", NULL);
    s64 ticks = config->now ? config->now(config->context) : 0;
    if (given && !json_datetime_parse(given, &ticks))
        stage_fail(stage, CATEGORY_INVALID_ARGUMENT, "CannotConvertArgument",
                   "'%s' is no date: write it as 2026-01-31T12:00:00Z.", given);
    else
        get_date_put(stage, ticks, stage_string(stage, "Format", NULL));
}

// Get-Member shows each kind of object once.

struct members {
    struct value *known; // a map
};

static const char *kind_name(const struct value *value)
{
    static const char *const names[] = {
        [VALUE_NULL] = "null", [VALUE_BOOL] = "bool", [VALUE_INT] = "long", [VALUE_REAL] = "double",
        [VALUE_STRING] = "string", [VALUE_TIMESPAN] = "timespan", [VALUE_DATETIME] = "datetime",
        [VALUE_ARRAY] = "Object[]",
        [VALUE_MAP] = "hashtable", [VALUE_OBJECT] = "object", [VALUE_BLOCK] = "scriptblock",
    };
    return names[value->kind];
}

static void member_put(struct stage *stage, const char *type, const char *name, const char *kind)
{
    struct value *member = value_object("MemberDefinition");
    value_put(member, "TypeName", value_string(type));
    value_put(member, "Name", value_string(name));
    value_put(member, "MemberType", value_string("Property"));
    value_put(member, "Definition", value_format("%s %s", kind, name));
    stage_put(stage, member);
}

static void get_member_process(struct stage *stage, struct value *input)
{
    struct members *members = stage_data(stage);
    if (!input)
        return;
    const struct class *class = input->kind == VALUE_OBJECT ? class_find(input->map.type) : NULL;
    const char *type = class ? class->full_name : input->kind == VALUE_OBJECT ? input->map.type : kind_name(input);
    if (!members->known)
        members->known = value_map();
    if (value_get(members->known, type))
        return;
    value_put(members->known, type, value_bool(true));
    for (size_t i = 0; value_is_map(input) && i < input->map.count; i++)
        member_put(stage, type, input->map.pairs[i].key, kind_name(input->map.pairs[i].value));
    for (const struct link *link = class ? class->links : NULL; link && link->name; link++)
        member_put(stage, type, link->name, link->class);
    if (!value_is_map(input))
        member_put(stage, type, input->kind == VALUE_STRING ? "Length" : "Count", "long");
}

static void get_member_release(struct stage *stage) { value_unref(((struct members *)stage_data(stage))->known); }

static void sleep_process(struct stage *stage, struct value *input)
{
    (void)input;
    const struct session_config *config = session_config_of(stage_session(stage));
    s64 ticks = stage_int(stage, "Seconds", 0) * VALUE_TICKS_SECOND;
    ticks += stage_int(stage, "Milliseconds", 0) * (VALUE_TICKS_SECOND / 1000);
    if (config->sleep)
        config->sleep(config->context, ticks);
}

static void test_path_process(struct stage *stage, struct value *input)
{
    (void)input;
    const struct session_config *config = session_config_of(stage_session(stage));
    struct value *paths = stage_parameter(stage, "Path");
    for (size_t i = 0; i < value_count(paths); i++)
        stage_put(stage, value_bool(config->test_path &&
                                    config->test_path(config->context, value_as_string(value_item(paths, i), ""))));
}

const struct local_cmdlet local_state[] = {
    {.name = "Get-Variable", .process = get_variable_process},
    {.name = "Set-Variable", .process = set_variable_process},
    {.name = "Get-Date", .process = get_date_process},
    {.name = "Get-Member", .data = sizeof(struct members), .process = get_member_process,
     .release = get_member_release},
    {.name = "Start-Sleep", .process = sleep_process},
    {.name = "Test-Path", .process = test_path_process},
    {0},
};
