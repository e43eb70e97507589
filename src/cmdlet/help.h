// What the table says of a cmdlet, for people: Get-Help's text and the manual pages. Both are made from the same rows,
// so neither can say what the other does not.
#pragma once

#include "cmdlet/cmdlet.h"
#include "cmdlet/format_text.h"

enum help_part {
    HELP_SUMMARY,  // name, synopsis, syntax, description
    HELP_EXAMPLES, // name, synopsis, examples
    HELP_DETAILED, // summary, parameters in a sentence each, examples
    HELP_FULL,     // parameters with all that is known of them
};

void help_cmdlet(const struct cmdlet *cmdlet, enum help_part part, unsigned width, struct text *text);
void help_parameter(const struct parameter *parameter, bool full, unsigned width, struct text *text);
// One line a parameter set, wrapped to the width and indented.
void help_syntax(const struct cmdlet *cmdlet, unsigned width, unsigned indent, struct text *text);
void help_overview(unsigned width, struct text *text); // how to go on from nothing
void help_man(const struct cmdlet *cmdlet, struct text *text); // a manual page in troff, nidus-NAME(1)

// "String[]", "Int64", "On | Off": what stands between the angle brackets of a parameter. The caller frees.
char *help_type(const struct parameter *parameter);
// A sentence on the least and the most, or NULL. The caller frees.
char *help_bounds(const struct parameter *parameter);
