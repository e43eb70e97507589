// Errors, warnings and the other things that are said beside a pipeline's output, in PowerShell's words and layout.
#pragma once

#include "cmdlet/format_text.h"
#include "cmdlet/session.h"

enum format_note { NOTE_WARNING, NOTE_VERBOSE, NOTE_WHAT_IF };

// The whole account of an error, in red if `colour`: what failed and why, the line with the place underlined, the
// category and the id.
void format_error(const struct error_report *report, bool colour, struct text *text);
void format_note(enum format_note kind, const char *words, bool colour, struct text *text);
// "ACTIVITY: STATUS [ 42%]" in at most `width` columns (0: any), without a line end.
void format_progress(const char *activity, const char *status, int percent, unsigned width, struct text *text);
