// See cmdlet.h. Lookups in the table, and what every cmdlet takes besides its own parameters.
#include "cmdlet/cmdlet.h"

#include <stddef.h>
#include <string.h>

#include "cmdlet/table/table.h"

const struct parameter cmdlet_common_parameters[] = {
    {.name = "Verbose", .aliases = "vb", .type = PARAMETER_SWITCH, .help = "Says what is being done."},
    {.name = "ErrorAction", .aliases = "ea", .type = PARAMETER_ENUM,
     .values = "Continue SilentlyContinue Stop Ignore Inquire",
     .help = "What follows an error: go on and show it, go on silently, or end the script."},
    {.name = "WarningAction", .aliases = "wa", .type = PARAMETER_ENUM,
     .values = "Continue SilentlyContinue Stop Ignore Inquire", .help = "The same for warnings."},
    {.name = "ErrorVariable", .aliases = "ev", .type = PARAMETER_STRING,
     .help = "The variable, named without a dollar sign, that gets the errors as well."},
    {.name = "OutVariable", .aliases = "ov", .type = PARAMETER_STRING,
     .help = "The variable, named without a dollar sign, that gets the output as well."},
    {.name = "WhatIf", .aliases = "wi", .type = PARAMETER_SWITCH, .help = "Says what would be done, and does nothing."},
    {.name = "Confirm", .aliases = "cf", .type = PARAMETER_SWITCH, .help = "Asks before anything is done."},
    {0},
};

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
