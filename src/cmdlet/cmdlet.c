// See cmdlet.h. Lookups in the table, and what every cmdlet takes besides its own parameters.
#include "cmdlet/cmdlet.h"

#include <stddef.h>
#include <string.h>

#include "cmdlet/table/table.h"

// In the order of their numbers: scripts write -ErrorAction 0.
#define ACTIONS "SilentlyContinue Stop Continue Inquire Ignore"

const struct parameter cmdlet_common_parameters[] = {
    {.name = "Verbose", .aliases = "vb", .type = PARAMETER_SWITCH, .help = "Says what is being done."},
    {.name = "ErrorAction", .aliases = "ea", .type = PARAMETER_ENUM,
     .values = ACTIONS, .help = "What follows an error: go on and show it, go on silently, or end the script."},
    {.name = "WarningAction", .aliases = "wa", .type = PARAMETER_ENUM,
     .values = ACTIONS, .help = "The same for warnings."},
    {.name = "ErrorVariable", .aliases = "ev", .type = PARAMETER_STRING,
     .help = "The variable, named without a dollar sign, that gets the errors as well."},
    {.name = "OutVariable", .aliases = "ov", .type = PARAMETER_STRING,
     .help = "The variable, named without a dollar sign, that gets the output as well."},
    {.name = "WarningVariable", .aliases = "wv", .type = PARAMETER_STRING,
     .help = "The variable, named without a dollar sign, that gets the warnings as well."},
    {.name = "PipelineVariable", .aliases = "pv", .type = PARAMETER_STRING,
     .help = "The variable, named without a dollar sign, that has each object while the rest of the pipeline is busy "
             "with it."},
    {.name = "InformationAction", .aliases = "infa", .type = PARAMETER_ENUM, .values = ACTIONS,
     .help = "Is understood for scripts' sake."},
    {.name = "Debug", .aliases = "db", .type = PARAMETER_SWITCH, .help = "Is understood for scripts' sake."},
    {.name = "OutBuffer", .aliases = "ob", .type = PARAMETER_INT, .help = "Is understood for scripts' sake."},
    {.name = "ComputerName", .type = PARAMETER_STRING, .flags = PARAMETER_LIST,
     .help = "The host: this one, by its name, localhost or a dot. nidus --server reaches others."},
    {.name = "CimSession", .type = PARAMETER_ANY, .help = "The same as -ComputerName."},
    {.name = "WhatIf", .aliases = "wi", .type = PARAMETER_SWITCH, .help = "Says what would be done, and does nothing."},
    {.name = "Confirm", .aliases = "cf", .type = PARAMETER_SWITCH, .help = "Asks before anything is done."},
    {0},
};

bool cmdlet_takes(const struct cmdlet *cmdlet, const struct parameter *common)
{
    if (!strcmp(common->name, "WhatIf") || !strcmp(common->name, "Confirm"))
        return cmdlet->flags & CMDLET_SHOULD_PROCESS;
    if (!strcmp(common->name, "ComputerName"))
        return !strcmp(cmdlet->module, "Hyper-V") && !(cmdlet->flags & CMDLET_LOCAL);
    if (!strcmp(common->name, "CimSession"))
        return !(cmdlet->flags & CMDLET_LOCAL);
    return true;
}

// `names` has blanks between.
static bool alias_is(const char *names, const char *name)
{
    const size_t length = strlen(name);
    for (const char *at = names; at && *at; at += strspn(at, " ")) {
        const size_t word = strcspn(at, " ");
        char copy[64];
        if (word == length && word < sizeof copy) {
            memcpy(copy, at, word);
            copy[word] = 0;
            if (!value_name_compare(copy, name))
                return true;
        }
        at += word;
    }
    return false;
}

const struct cmdlet *cmdlet_at(unsigned index)
{
    for (unsigned i = 0; table_nouns[i]; i++)
        for (const struct cmdlet *cmdlet = table_nouns[i]->cmdlets; cmdlet && cmdlet->name; cmdlet++)
            if (!index--)
                return cmdlet;
    return NULL;
}

const struct cmdlet *cmdlet_find(const char *name)
{
    for (unsigned i = 0; table_nouns[i]; i++)
        for (const struct cmdlet *cmdlet = table_nouns[i]->cmdlets; cmdlet && cmdlet->name; cmdlet++)
            if (!value_name_compare(cmdlet->name, name) || alias_is(cmdlet->aliases, name))
                return cmdlet;
    return NULL;
}
