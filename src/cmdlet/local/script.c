// Import-Module, Get-Module, Set-StrictMode, Get-Alias, New-TimeSpan, Join-Path, Split-Path, Get-Location, New-Object,
// Write-Progress: what scripts need around the cmdlets they are for.
#include <stdlib.h>
#include <string.h>

#include "base/version.h"
#include "cmdlet/json.h"
#include "cmdlet/local/local.h"
#include "cmdlet/session_room.h"
#include "cmdlet/value_room.h"

// --- Modules and names -----------------------------------------------------------------------------------------------
static bool module_known(const char *pattern)
{
    const struct cmdlet *cmdlet;
    for (unsigned i = 0; (cmdlet = cmdlet_at(i)); i++)
        if (!(cmdlet->flags & CMDLET_ABSENT) && value_name_like(cmdlet->module, pattern))
            return true;
    return value_has_wildcard(pattern);
}

static void import_module_process(struct stage *stage, struct value *input)
{
    (void)input;
    struct value *names = stage_parameter(stage, "Name");
    for (size_t i = 0; i < value_count(names); i++) {
        const char *name = value_as_string(value_item(names, i), "");
        if (!module_known(name))
            stage_fail(stage, CATEGORY_RESOURCE_UNAVAILABLE, "Modules_ModuleNotFound",
                       "The specified module '%s' was not loaded: nidus has no cmdlets of it. Get-Command lists what "
                       "there is.", name);
    }
}

// Whether one of `patterns` (NULL: all) is like the name.
static bool wanted(const struct value *patterns, const char *name)
{
    for (size_t i = 0; i < value_count(patterns); i++)
        if (value_name_like(name, value_as_string(value_item(patterns, i), "")))
            return true;
    return !patterns;
}

// A map of module names to arrays of cmdlets.
static struct value *modules_all(void)
{
    struct value *modules = value_map();
    const struct cmdlet *cmdlet;
    for (unsigned i = 0; (cmdlet = cmdlet_at(i)); i++) {
        if (cmdlet->flags & CMDLET_ABSENT)
            continue;
        struct value *list = value_get(modules, cmdlet->module);
        if (!list)
            value_put(modules, cmdlet->module, list = value_array());
        value_add(list, value_string(cmdlet->name));
    }
    return modules;
}

static void get_module_process(struct stage *stage, struct value *input)
{
    (void)input;
    struct value *modules = modules_all();
    for (size_t i = 0; i < modules->map.count && !stage_stopped(stage); i++) {
        const struct value_pair *pair = &modules->map.pairs[i];
        if (!wanted(stage_parameter(stage, "Name"), pair->key))
            continue;
        struct value *module = value_object("PSModuleInfo");
        value_put(module, "ModuleType", value_string("Manifest"));
        value_put(module, "Version", value_string(NIDUS_VERSION));
        value_put(module, "Name", value_string(pair->key));
        value_put(module, "ExportedCommands", value_ref(pair->value));
        stage_put(stage, module);
    }
    value_unref(modules);
}

static void get_alias_process(struct stage *stage, struct value *input)
{
    (void)input;
    const struct cmdlet *cmdlet;
    for (unsigned i = 0; (cmdlet = cmdlet_at(i)) && !stage_stopped(stage); i++)
        for (const char *at = cmdlet->aliases; at && *at; at += strspn(at, " ")) {
            const size_t bytes = strcspn(at, " ");
            struct value *name = value_format("%.*s", (int)bytes, at);
            at += bytes;
            if (!wanted(stage_parameter(stage, "Name"), name->string) ||
                !wanted(stage_parameter(stage, "Definition"), cmdlet->name)) {
                value_unref(name);
                continue;
            }
            struct value *alias = value_object("AliasInfo");
            value_put(alias, "CommandType", value_string("Alias"));
            value_put(alias, "Name", name);
            value_put(alias, "Definition", value_string(cmdlet->name));
            stage_put(stage, alias);
        }
}

static void strict_process(struct stage *stage, struct value *input)
{
    (void)input;
    const char *version = stage_string(stage, "Version", "0");
    const bool latest = !value_name_compare(version, "Latest");
    if (!latest && (*version < '0' || *version > '9'))
        stage_fail(stage, CATEGORY_INVALID_ARGUMENT, "InvalidArgument", "'%s' is no version: it is 1.0, 2.0, 3.0 or "
                   "Latest.", version);
    else
        stage_session(stage)->strict = latest ? STRICT_PROPERTIES : (unsigned)atoi(version);
}

// --- Time ------------------------------------------------------------------------------------------------------------
// A date as it is, or as text; now if there is none. False: reported.
static bool span_date(struct stage *stage, const char *parameter, s64 *ticks)
{
    const struct session_config *config = session_config_of(stage_session(stage));
    const struct value *given = stage_parameter(stage, parameter);
    *ticks = config->now ? config->now(config->context) : 0;
    if (!given || given->kind == VALUE_NULL)
        return true;
    if (given->kind == VALUE_DATETIME) {
        *ticks = given->integer;
        return true;
    }
    if (given->kind == VALUE_STRING && json_datetime_parse(given->string, ticks))
        return true;
    stage_fail(stage, CATEGORY_INVALID_ARGUMENT, "CannotConvertArgument",
               "-%s takes a date, as Get-Date gives it or written as 2026-01-31T12:00:00Z.", parameter);
    return false;
}

static void span_process(struct stage *stage, struct value *input)
{
    (void)input;
    static const struct { const char *name; s64 ticks; } units[] = {
        {"Days", 86400ll * VALUE_TICKS_SECOND}, {"Hours", 3600ll * VALUE_TICKS_SECOND},
        {"Minutes", 60ll * VALUE_TICKS_SECOND}, {"Seconds", VALUE_TICKS_SECOND},
        {"Milliseconds", VALUE_TICKS_SECOND / 1000},
    };
    s64 ticks = 0, start, end, part;
    const char *set = stage_set(stage);
    if (!set || !strcmp(set, "Date")) {
        if (span_date(stage, "Start", &start) && span_date(stage, "End", &end))
            stage_put(stage, value_timespan(end - start));
        return;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(units); i++)
        if (__builtin_mul_overflow(stage_int(stage, units[i].name, 0), units[i].ticks, &part) ||
            __builtin_add_overflow(ticks, part, &ticks)) {
            stage_fail(stage, CATEGORY_INVALID_ARGUMENT, "TimeSpanTooLong", "No span of time is as long as that.");
            return;
        }
    stage_put(stage, value_timespan(ticks));
}

// --- Paths -----------------------------------------------------------------------------------------------------------
// Windows' scripts write C:\disks\lab.vhdx; what is behind the letter means the same here with slashes.
static char *path_slashes(const char *path)
{
    char *copy = value_text_copy(path);
    for (char *at = copy; (at = strchr(at, '\\'));)
        *at = '/';
    return copy;
}

static char *path_join(char *path, const char *child) // takes the path over
{
    char *behind = path_slashes(child), *from = behind;
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    from += strspn(from, "/");
    char *joined = value_text("%.*s%s%s", (int)length, path, length && path[length - 1] == '/' ? "" : "/", from);
    free(behind);
    free(path);
    return joined;
}

static void join_process(struct stage *stage, struct value *input)
{
    (void)input;
    const struct value *paths = stage_parameter(stage, "Path"), *more = stage_parameter(stage, "AdditionalChildPath");
    for (size_t i = 0; i < value_count(paths) && !stage_stopped(stage); i++) {
        char *path = path_slashes(value_as_string(value_item(paths, i), ""));
        path = path_join(path, stage_string(stage, "ChildPath", ""));
        for (size_t j = 0; j < value_count(more); j++)
            path = path_join(path, value_as_string(value_item(more, j), ""));
        stage_put(stage, value_string_put(path));
    }
}

static struct value *path_part(const char *path, const char *part)
{
    const char *slash = strrchr(path, '/'), *leaf = slash ? slash + 1 : path, *dot = strrchr(leaf, '.');
    if (!strcmp(part, "IsAbsolute"))
        return value_bool(*path == '/');
    if (!strcmp(part, "Leaf"))
        return value_string(leaf);
    if (!strcmp(part, "LeafBase"))
        return value_format("%.*s", dot ? (int)(dot - leaf) : (int)strlen(leaf), leaf);
    if (!strcmp(part, "Extension"))
        return value_string(dot ? dot : "");
    return value_format("%.*s", slash == path ? (int)(*path && path[1]) : slash ? (int)(slash - path) : 0, path);
}

static void split_process(struct stage *stage, struct value *input)
{
    (void)input;
    const struct value *paths = stage_parameter(stage, "Path");
    const char *part = stage_set(stage) ? stage_set(stage) : "Parent";
    for (size_t i = 0; i < value_count(paths) && !stage_stopped(stage); i++) {
        char *path = path_slashes(value_as_string(value_item(paths, i), ""));
        for (size_t length = strlen(path); length > 1 && path[length - 1] == '/'; length--)
            path[length - 1] = 0;
        stage_put(stage, path_part(path, part));
        free(path);
    }
}

static void location_process(struct stage *stage, struct value *input)
{
    (void)input;
    struct value *location = value_object("PSCustomObject");
    value_put(location, "Path", value_string(session_config_of(stage_session(stage))->directory));
    stage_put(stage, location);
}

// --- Objects and progress --------------------------------------------------------------------------------------------
static void new_object_process(struct stage *stage, struct value *input)
{
    (void)input;
    static const char *const types[] = {"PSObject", "PSCustomObject", "Object", "System.Object",
                                        "System.Management.Automation.PSObject", "Management.Automation.PSObject",
                                        "System.Management.Automation.PSCustomObject"};
    const char *type = stage_string(stage, "TypeName", "");
    const struct value *properties = stage_parameter(stage, "Property");
    bool known = false;
    for (unsigned i = 0; i < ARRAY_SIZE(types); i++)
        known |= !value_name_compare(types[i], type);
    if (!known) {
        stage_fail(stage, CATEGORY_INVALID_ARGUMENT, "TypeNotFound",
                   "Cannot find type [%s]: of .NET's there is none here. PSObject can be made.", type);
        return;
    }
    struct value *object = value_object("PSCustomObject");
    for (size_t i = 0; properties && i < properties->map.count; i++)
        value_put(object, properties->map.pairs[i].key, value_ref(properties->map.pairs[i].value));
    stage_put(stage, object);
}

static void progress_process(struct stage *stage, struct value *input)
{
    (void)input;
    const struct session_config *config = session_config_of(stage_session(stage));
    const bool done = stage_switch(stage, "Completed");
    if (config->progress)
        config->progress(config->context, stage_string(stage, "Activity", ""), stage_string(stage, "Status", ""),
                         done ? 100 : (int)stage_int(stage, "PercentComplete", -1));
}

const struct local_cmdlet local_script[] = {
    {.name = "Import-Module", .process = import_module_process},
    {.name = "Get-Module", .process = get_module_process},
    {.name = "Set-StrictMode", .process = strict_process},
    {.name = "Get-Alias", .process = get_alias_process},
    {.name = "New-TimeSpan", .process = span_process},
    {.name = "Join-Path", .process = join_process},
    {.name = "Split-Path", .process = split_process},
    {.name = "Get-Location", .process = location_process},
    {.name = "New-Object", .process = new_object_process},
    {.name = "Write-Progress", .process = progress_process},
    {0},
};
