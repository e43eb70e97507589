// See help.h. A cmdlet's row as a manual page.
#include "cmdlet/help.h"

#include <stdlib.h>
#include <string.h>

#include "base/version.h"

// Text for troff: backslashes and dashes as they are typed, no line that starts with a control character.
static void put_troff(struct text *text, const char *string)
{
    for (const char *at = string; *at; at++) {
        bool first = at == string || at[-1] == '\n';
        if (first && (*at == '.' || *at == '\''))
            text_put(text, "\\&");
        if (*at == '\\')
            text_put(text, "\\e");
        else if (*at == '"')
            text_put(text, "\\(dq");
        else if (*at == '-')
            text_put(text, "\\-");
        else
            text_put_bytes(text, at, 1);
    }
}

static void put_section(struct text *text, const char *name, const char *words)
{
    text_printf(text, ".SH %s\n", name);
    put_troff(text, words);
    text_put(text, "\n");
}

static void put_parameter(struct text *text, const struct parameter *parameter)
{
    char *type = help_type(parameter), *bounds = help_bounds(parameter);
    text_put(text, ".TP\n.BR \\-");
    put_troff(text, parameter->name);
    if (parameter->type != PARAMETER_SWITCH) {
        text_put(text, " \" <");
        put_troff(text, type);
        text_put(text, ">\"");
    }
    text_put(text, "\n");
    put_troff(text, parameter->help);
    if (bounds) {
        text_put(text, " ");
        put_troff(text, bounds);
    }
    if (parameter->flags & PARAMETER_MANDATORY)
        text_put(text, " Required.");
    if (parameter->position)
        text_printf(text, " Position %u.", parameter->position);
    if (parameter->flags & PARAMETER_NIDUS)
        text_put(text, " An addition of nidus, not in Hyper\\-V.");
    text_put(text, "\n");
    free(bounds);
    free(type);
}

void help_man(const struct cmdlet *cmdlet, struct text *text)
{
    char *upper = value_text_copy(cmdlet->name);
    for (char *at = upper; *at; at++)
        if (*at >= 'a' && *at <= 'z')
            *at -= 32;
    text_printf(text, ".TH \"NIDUS\\-%s\" 1 \"\" \"nidus " NIDUS_VERSION "\" \"Cmdlets\"\n.SH NAME\nnidus\\-", upper);
    put_troff(text, cmdlet->name);
    text_put(text, " \\- ");
    put_troff(text, cmdlet->synopsis);
    text_put(text, "\n.SH SYNOPSIS\n.nf\n");
    struct text syntax = {0};
    help_syntax(cmdlet, 72, 0, &syntax);
    put_troff(text, syntax.bytes);
    text_put(text, ".fi\n");
    if (cmdlet->description)
        put_section(text, "DESCRIPTION", cmdlet->description);
    if (cmdlet->parameters && cmdlet->parameters->name)
        text_put(text, ".SH PARAMETERS\n");
    for (const struct parameter *p = cmdlet->parameters; p && p->name; p++)
        put_parameter(text, p);
    if (cmdlet->examples[0].command)
        text_put(text, ".SH EXAMPLES\n");
    for (unsigned i = 0; i < CMDLET_EXAMPLES && cmdlet->examples[i].command; i++) {
        text_put(text, ".TP\n.B ");
        put_troff(text, cmdlet->examples[i].command);
        text_put(text, "\n");
        put_troff(text, cmdlet->examples[i].says);
        text_put(text, "\n");
    }
    text_put(text, ".SH SEE ALSO\n.BR nidus (1)\n");
    text_free(&syntax);
    free(upper);
}
