// See help.h. Get-Help's text, laid out as PowerShell's.
#include "cmdlet/help.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INDENT = 4 };

static const char *type_name(const struct parameter *parameter)
{
    switch (parameter->type) {
    case PARAMETER_STRING: return "String";
    case PARAMETER_SWITCH: return "SwitchParameter";
    case PARAMETER_BOOL: return "Boolean";
    case PARAMETER_INT: return "Int64";
    case PARAMETER_BYTES: return "UInt64";
    case PARAMETER_ENUM: return "String";
    case PARAMETER_TIMESPAN: return "TimeSpan";
    case PARAMETER_PATH: return "Path";
    case PARAMETER_OBJECT: return parameter->object;
    case PARAMETER_MAP: return "Hashtable";
    case PARAMETER_BLOCK: return "ScriptBlock";
    case PARAMETER_ANY: return "Object";
    case PARAMETER_VERSION: return "Version";
    }
    return "Object";
}

char *help_type(const struct parameter *parameter)
{
    struct text text = {0};
    if (parameter->type != PARAMETER_ENUM)
        text_put(&text, type_name(parameter));
    else
        for (const char *at = parameter->values; *at; at++)
            text_put_bytes(&text, *at == ' ' ? " | " : at, *at == ' ' ? 3 : 1);
    if (parameter->flags & PARAMETER_LIST)
        text_put(&text, "[]");
    return text_take(&text);
}

// In the largest unit that divides it, as one would type it.
static char *bytes_text(s64 bytes)
{
    static const char *const unit[] = {"", "KB", "MB", "GB", "TB"};
    unsigned power = 0;
    while (power + 1 < ARRAY_SIZE(unit) && bytes && bytes % 1024 == 0) {
        bytes /= 1024;
        power++;
    }
    return value_text("%lld%s", (long long)bytes, unit[power]);
}

char *help_bounds(const struct parameter *parameter)
{
    if (!parameter->least && !parameter->most)
        return NULL;
    if (parameter->type != PARAMETER_BYTES)
        return value_text("From %lld to %lld.", (long long)parameter->least, (long long)parameter->most);
    char *least = bytes_text(parameter->least), *most = bytes_text(parameter->most);
    char *text = value_text("From %s to %s.", least, most);
    free(least);
    free(most);
    return text;
}

// Words of `string` in lines no wider than `width`, each behind `indent` blanks and all but the first behind `hanging`
// more. Its own line ends stay.
static void put_wrapped(struct text *text, const char *string, unsigned width, unsigned indent, unsigned hanging)
{
    unsigned column = 0;
    for (const char *at = string; *at;) {
        if (*at == '\n') {
            text_put(text, "\n");
            column = 0;
            at++;
            continue;
        }
        size_t length = strcspn(at, " \n");
        char *word = value_text("%.*s", (int)length, at);
        unsigned columns = text_columns(word);
        if (column && column + 1 + columns > width) {
            text_put(text, "\n");
            text_put_blanks(text, indent + hanging);
            column = indent + hanging;
        } else if (!column) {
            text_put_blanks(text, indent);
            column = indent;
        } else {
            text_put(text, " ");
            column++;
        }
        text_put(text, word);
        column += columns;
        free(word);
        at += length + (at[length] == ' ' ? 1 : 0);
    }
    text_put(text, "\n");
}

// "[-Name] <String>" and so on. Blanks inside one parameter are no place to break the line: they are put as \1 first.
static void put_syntax_parameter(struct text *text, const struct parameter *parameter)
{
    bool optional = !(parameter->flags & PARAMETER_MANDATORY);
    char *type = help_type(parameter);
    text_printf(text, optional ? " [" : " ");
    text_printf(text, parameter->position ? "[-%s]" : "-%s", parameter->name);
    if (parameter->type == PARAMETER_ENUM)
        text_printf(text, "\1{%s}", type);
    else if (parameter->type != PARAMETER_SWITCH)
        text_printf(text, "\1<%s>", type);
    text_put(text, optional ? "]" : "");
    free(type);
}

static bool in_set(const struct parameter *parameter, unsigned set)
{
    return !parameter->sets || parameter->sets & 1u << set;
}

static char *syntax_of_set(const struct cmdlet *cmdlet, unsigned set)
{
    struct text text = {0};
    text_put(&text, cmdlet->name);
    for (unsigned position = 1; position <= 8; position++)
        for (const struct parameter *p = cmdlet->parameters; p && p->name; p++)
            if (p->position == position && in_set(p, set))
                put_syntax_parameter(&text, p);
    for (unsigned mandatory = PARAMETER_MANDATORY, round = 0; round < 2; round++, mandatory = 0)
        for (const struct parameter *p = cmdlet->parameters; p && p->name; p++)
            if (!p->position && in_set(p, set) && (p->flags & PARAMETER_MANDATORY) == mandatory)
                put_syntax_parameter(&text, p);
    if (cmdlet->flags & CMDLET_SHOULD_PROCESS)
        text_put(&text, " [-WhatIf] [-Confirm]");
    text_put(&text, " [<CommonParameters>]");
    return text_take(&text);
}

static void unglue(char *line)
{
    for (; *line; line++)
        if (*line == '\1')
            *line = ' ';
}

void help_syntax(const struct cmdlet *cmdlet, unsigned width, unsigned indent, struct text *text)
{
    for (unsigned set = 0; set < CMDLET_SETS && (!set || cmdlet->sets[set]); set++) {
        char *line = syntax_of_set(cmdlet, set);
        for (char *at = line; *at; at++) // "{On | Off}" is one word, too
            if (*at == ' ' && (at[1] == '|' || (at > line && at[-1] == '|')))
                *at = '\1';
        struct text wrapped = {0};
        put_wrapped(&wrapped, line, width, indent, INDENT);
        char *result = text_take(&wrapped);
        unglue(result);
        text_put(text, set ? "\n" : "");
        text_put(text, result);
        free(result);
        free(line);
    }
}

static void put_part(struct text *text, const char *heading, const char *words, unsigned width)
{
    text_printf(text, "\n%s\n", heading);
    put_wrapped(text, words, width, INDENT, 0);
}

static void put_facts(struct text *text, const struct parameter *parameter)
{
    char position[8] = "named";
    if (parameter->position)
        snprintf(position, sizeof position, "%u", parameter->position);
    bool by_value = parameter->flags & PARAMETER_PIPED, by_name = parameter->flags & PARAMETER_NAMED;
    static const char format[] = "        %-28s %s\n";
    text_put(text, "\n");
    text_printf(text, format, "Required?", parameter->flags & PARAMETER_MANDATORY ? "true" : "false");
    text_printf(text, format, "Position?", position);
    text_printf(text, format, "Accept pipeline input?",
                by_value && by_name ? "true (ByValue, ByPropertyName)" : by_value ? "true (ByValue)"
                : by_name ? "true (ByPropertyName)" : "false");
    text_printf(text, format, "Accept wildcard characters?", parameter->flags & PARAMETER_WILDCARD ? "true" : "false");
    if (parameter->aliases)
        text_printf(text, format, "Aliases", parameter->aliases);
    if (parameter->flags & PARAMETER_NIDUS)
        text_printf(text, format, "In Hyper-V?", "false");
}

void help_parameter(const struct parameter *parameter, bool full, unsigned width, struct text *text)
{
    char *type = help_type(parameter), *bounds = help_bounds(parameter);
    if (parameter->type == PARAMETER_SWITCH)
        text_printf(text, "    -%s [<SwitchParameter>]\n", parameter->name);
    else
        text_printf(text, "    -%s <%s>\n", parameter->name, type);
    char *words = value_text("%s%s%s%s", parameter->help, bounds ? " " : "", bounds ? bounds : "",
                             parameter->flags & PARAMETER_NIDUS ? " (An addition of nidus.)" : "");
    put_wrapped(text, words, width, 2 * INDENT, 0);
    if (full)
        put_facts(text, parameter);
    text_put(text, "\n");
    free(words);
    free(bounds);
    free(type);
}

static void put_examples(const struct cmdlet *cmdlet, unsigned width, struct text *text)
{
    if (!cmdlet->examples[0].command)
        return;
    text_put(text, "\nEXAMPLES\n");
    for (unsigned i = 0; i < CMDLET_EXAMPLES && cmdlet->examples[i].command; i++) {
        text_printf(text, "%s    ---------- Example %u ----------\n\n    PS> %s\n\n", i ? "\n" : "", i + 1,
                    cmdlet->examples[i].command);
        put_wrapped(text, cmdlet->examples[i].says, width, INDENT, 0);
    }
}

static void put_parameters(const struct cmdlet *cmdlet, bool full, unsigned width, struct text *text)
{
    text_put(text, "\nPARAMETERS\n");
    for (const struct parameter *p = cmdlet->parameters; p && p->name; p++)
        help_parameter(p, full, width, text);
    const char *common = cmdlet->flags & CMDLET_SHOULD_PROCESS
                             ? "-WhatIf, -Confirm, <CommonParameters>" : "<CommonParameters>";
    text_printf(text, "    %s\n", common);
    put_wrapped(text, "What every cmdlet takes besides its own: -Verbose, -ErrorAction, -WarningAction, "
                      "-ErrorVariable, -WarningVariable, -OutVariable, -PipelineVariable.", width, 2 * INDENT, 0);
}

static void put_remarks(const struct cmdlet *cmdlet, unsigned width, struct text *text)
{
    char *words = value_text("Get-Help %s -Examples shows examples, -Detailed and -Full more of its parameters.",
                             cmdlet->name);
    put_part(text, "REMARKS", words, width);
    free(words);
}

void help_cmdlet(const struct cmdlet *cmdlet, enum help_part part, unsigned width, struct text *text)
{
    width = width ? width : 80;
    text_printf(text, "NAME\n    %s\n", cmdlet->name);
    put_part(text, "SYNOPSIS", cmdlet->synopsis, width);
    if (cmdlet->flags & CMDLET_ABSENT)
        return;
    if (part != HELP_EXAMPLES) {
        text_put(text, "\nSYNTAX\n");
        help_syntax(cmdlet, width, INDENT, text);
        if (cmdlet->aliases)
            put_part(text, "ALIASES", cmdlet->aliases, width);
        if (cmdlet->description)
            put_part(text, "DESCRIPTION", cmdlet->description, width);
    }
    if (part == HELP_DETAILED || part == HELP_FULL)
        put_parameters(cmdlet, part == HELP_FULL, width, text);
    if (part == HELP_FULL)
        put_part(text, "OUTPUTS", cmdlet->output ? cmdlet->output : "None, or what comes in.", width);
    if (part != HELP_SUMMARY)
        put_examples(cmdlet, width, text);
    else
        put_remarks(cmdlet, width, text);
}

void help_overview(unsigned width, struct text *text)
{
    text_put(text, "TOPIC\n    nidus: virtual machines in which you can run a hypervisor\n");
    put_part(text, "FIRST STEPS",
             "New-VM lab -MemoryStartupBytes 1GB\n"
             "Set-VMFirmware lab -KernelPath vmlinuz -InitrdPath initrd.img\n"
             "Set-VMProcessor lab -ExposeVirtualizationExtensions $true\n"
             "Start-VM lab\n"
             "Connect-VM lab", width);
    put_part(text, "HELP",
             "Get-Command lists the cmdlets; Get-Command -Noun VM* those about virtual machines.\n"
             "Get-Help NAME tells what one does, Get-Help NAME -Examples how it is used.\n"
             "The Tab key completes names of cmdlets, parameters and objects.", width);
}
