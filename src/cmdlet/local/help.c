// Get-Help and Get-Command: the table of cmdlets, looked at from inside.
#include "cmdlet/help.h"

#include <stdlib.h>
#include <string.h>

#include "base/version.h"
#include "cmdlet/local/local.h"

enum { HELP_WIDTH = 80 };

static void put_text(struct stage *stage, struct text *text)
{
    char *string = text_take(text);
    size_t length = strlen(string);
    if (length && string[length - 1] == '\n')
        string[length - 1] = 0;
    stage_put(stage, value_string(string));
    free(string);
}

// Whether one of the patterns (an array, one string, or NULL: all) is like the name.
static bool any_like(const struct value *patterns, const char *name)
{
    if (!patterns || patterns->kind == VALUE_NULL)
        return true;
    if (patterns->kind == VALUE_STRING)
        return value_name_like(name, patterns->string);
    for (size_t i = 0; i < value_count(patterns); i++)
        if (value_name_like(name, value_as_string(value_item(patterns, i), "")))
            return true;
    return false;
}

static enum help_part part_of(struct stage *stage)
{
    return stage_switch(stage, "Full") ? HELP_FULL : stage_switch(stage, "Detailed") ? HELP_DETAILED
           : stage_switch(stage, "Examples") ? HELP_EXAMPLES : HELP_SUMMARY;
}

static void help_parameters(struct stage *stage, const struct cmdlet *cmdlet, const struct value *patterns)
{
    struct text text = {0};
    for (const struct parameter *p = cmdlet->parameters; p && p->name; p++)
        if (any_like(patterns, p->name))
            help_parameter(p, true, HELP_WIDTH, &text);
    if (text.length)
        put_text(stage, &text);
    else
        stage_fail(stage, CATEGORY_OBJECT_NOT_FOUND, "NoParameter", "%s has no parameter of this name: "
                   "Get-Help %s -Detailed lists those it has.", cmdlet->name, cmdlet->name);
    text_free(&text);
}

// Cmdlets whose names are like `pattern`, a line each with what it does.
static bool help_list(struct stage *stage, const char *pattern)
{
    struct value *rows = value_array();
    const struct cmdlet *cmdlet;
    for (unsigned i = 0; (cmdlet = cmdlet_at(i)); i++) {
        if (cmdlet->flags & CMDLET_ABSENT || !value_name_like(cmdlet->name, pattern))
            continue;
        struct value *row = value_object("HelpInfo");
        value_put(row, "Name", value_string(cmdlet->name));
        value_put(row, "Module", value_string(cmdlet->module));
        value_put(row, "Synopsis", value_string(cmdlet->synopsis));
        value_add(rows, row);
    }
    bool found = value_count(rows);
    for (size_t i = 0; i < value_count(rows) && !stage_stopped(stage); i++)
        stage_put(stage, value_ref(value_item(rows, i)));
    value_unref(rows);
    return found;
}

static void help_process(struct stage *stage, struct value *input)
{
    (void)input;
    const char *name = stage_string(stage, "Name", NULL);
    const struct cmdlet *cmdlet = name ? cmdlet_find(name) : NULL;
    struct value *patterns = stage_parameter(stage, "Parameter");
    struct text text = {0};
    if (!name) {
        help_overview(HELP_WIDTH, &text);
        put_text(stage, &text);
    } else if (cmdlet && patterns) {
        help_parameters(stage, cmdlet, patterns);
    } else if (cmdlet) {
        help_cmdlet(cmdlet, part_of(stage), HELP_WIDTH, &text);
        put_text(stage, &text);
    } else {
        char *wider = value_has_wildcard(name) ? value_text_copy(name) : value_text("*%s*", name);
        if (!help_list(stage, wider))
            stage_fail(stage, CATEGORY_RESOURCE_UNAVAILABLE, "HelpNotFound",
                       "There is no help for '%s': no cmdlet has this in its name. Get-Command lists the cmdlets.",
                       name);
        free(wider);
    }
    text_free(&text);
}

static struct value *command_object(const struct cmdlet *cmdlet)
{
    struct value *object = value_object("CmdletInfo"), *aliases = value_array();
    const char *dash = strchr(cmdlet->name, '-');
    for (const char *at = cmdlet->aliases; at && *at;) {
        size_t length = strcspn(at, " ");
        value_add(aliases, value_format("%.*s", (int)length, at));
        at += length + strspn(at + length, " ");
    }
    value_put(object, "CommandType", value_string("Cmdlet"));
    value_put(object, "Name", value_string(cmdlet->name));
    value_put(object, "Version", value_string(NIDUS_VERSION));
    value_put(object, "Source", value_string(cmdlet->module));
    value_put(object, "Verb", dash ? value_format("%.*s", (int)(dash - cmdlet->name), cmdlet->name) : value_string(""));
    value_put(object, "Noun", value_string(dash ? dash + 1 : cmdlet->name));
    value_put(object, "Aliases", aliases);
    value_put(object, "Synopsis", value_string(cmdlet->synopsis));
    return object;
}

static bool command_wanted(struct stage *stage, const struct cmdlet *cmdlet, const char *name)
{
    const char *dash = strchr(cmdlet->name, '-');
    char *verb = value_text("%.*s", dash ? (int)(dash - cmdlet->name) : 0, cmdlet->name);
    bool wanted = !(cmdlet->flags & CMDLET_ABSENT) &&
                  (!name || value_name_like(cmdlet->name, name) || cmdlet_find(name) == cmdlet) &&
                  any_like(stage_parameter(stage, "Module"), cmdlet->module) &&
                  any_like(stage_parameter(stage, "Noun"), dash ? dash + 1 : cmdlet->name) &&
                  any_like(stage_parameter(stage, "Verb"), verb);
    free(verb);
    return wanted;
}

static bool command_list(struct stage *stage, const char *name)
{
    bool found = false;
    const struct cmdlet *cmdlet;
    for (unsigned i = 0; (cmdlet = cmdlet_at(i)) && !stage_stopped(stage); i++) {
        if (!command_wanted(stage, cmdlet, name))
            continue;
        found = true;
        if (!stage_switch(stage, "Syntax")) {
            stage_put(stage, command_object(cmdlet));
            continue;
        }
        struct text text = {0};
        help_syntax(cmdlet, HELP_WIDTH, 0, &text);
        put_text(stage, &text);
    }
    return found;
}

static void command_one(struct stage *stage, const char *name)
{
    if (command_list(stage, name) || value_has_wildcard(name))
        return;
    const struct cmdlet *cmdlet = cmdlet_find(name);
    if (cmdlet && cmdlet->flags & CMDLET_ABSENT)
        stage_fail(stage, CATEGORY_OBJECT_NOT_FOUND, "CommandNotFoundException",
                   "'%s' is a cmdlet of Hyper-V that nidus does not have.", cmdlet->name);
    else
        stage_fail(stage, CATEGORY_OBJECT_NOT_FOUND, "CommandNotFoundException",
                   "There is no cmdlet '%s': Get-Command *%s* lists those whose names have it in them.", name, name);
}

static void command_process(struct stage *stage, struct value *input)
{
    struct value *names = stage_parameter(stage, "Name");
    if (input && input->kind == VALUE_STRING)
        command_one(stage, input->string);
    else if (!names || names->kind == VALUE_NULL)
        command_list(stage, NULL);
    else if (names->kind == VALUE_STRING)
        command_one(stage, names->string);
    else
        for (size_t i = 0; i < value_count(names) && !stage_stopped(stage); i++)
            command_one(stage, value_as_string(value_item(names, i), ""));
}

const struct local_cmdlet local_help[] = {
    {.name = "Get-Help", .process = help_process},
    {.name = "Get-Command", .process = command_process},
    {0},
};
