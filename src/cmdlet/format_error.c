// See format_error.h. The layout is Windows PowerShell's, because that is what administrators and their log filters
// know:
//
//   Set-VMProcessor : Failed to modify device 'Processor'.
//   At line:1 char:1
//   + Set-VMProcessor lab -ExposeVirtualizationExtensions $true
//   + ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
//       + CategoryInfo          : InvalidOperation: (:) [Set-VMProcessor], VirtualizationException
//       + FullyQualifiedErrorId : NotSupported,Microsoft.HyperV.PowerShell.Commands.SetVMProcessor
#include "cmdlet/format_error.h"

#include <stdlib.h>
#include <string.h>

enum { ERROR_LINE_MOST = 200, ERROR_LINE_BEFORE = 40 }; // characters of a long line that are shown

static const char red[] = "\033[31;1m", yellow[] = "\033[33;1m", off[] = "\033[0m";

// The byte at which the character with this number stands, or the end.
static size_t character_at(const char *line, size_t number)
{
    size_t at = 0;
    unsigned bytes;
    while (number-- && line[at]) {
        text_character(line + at, &bytes);
        at += bytes;
    }
    return at;
}

static void put_piece(struct text *text, const char *line, size_t from, size_t to)
{
    char *piece = value_text("%.*s", (int)(to - from), line + from);
    text_put(text, piece);
    free(piece);
}

// The line and the tildes under the part that is meant. Of a long line, what stands around that part.
static void put_place(const struct error_report *report, struct text *text)
{
    char *line = text_harmless(report->line_text, false);
    size_t column = report->column ? report->column - 1 : 0;
    size_t first = column > ERROR_LINE_MOST - ERROR_LINE_BEFORE ? column - ERROR_LINE_BEFORE : 0;
    size_t start = character_at(line, first), at = character_at(line, column);
    size_t stop = character_at(line, column + (report->length ? report->length : 1));
    size_t end = character_at(line, first + ERROR_LINE_MOST);
    if (stop > end)
        stop = end;
    text_printf(text, "%s:%u char:%u\n+ %s", report->script ? report->script : "line", report->line, report->column,
                first ? "... " : "");
    put_piece(text, line, start, end);
    text_put(text, line[end] ? " ...\n+ " : "\n+ ");

    char *before = value_text("%s%.*s", first ? "... " : "", (int)(at - start), line + start);
    char *meant = value_text("%.*s", (int)(stop - at), line + at);
    text_put_blanks(text, text_columns(before));
    unsigned length = text_columns(meant);
    for (unsigned i = 0; i < (length ? length : 1); i++)
        text_put(text, "~");
    text_put(text, "\n");
    free(before);
    free(meant);
    free(line);
}

// "(lab:String)"; a target that brings its own type has the colon already.
static void put_category(const struct error_report *report, struct text *text)
{
    const struct cmdlet_error *error = &report->error;
    const char *target = error->target ? error->target : "";
    char *harmless = text_harmless(target, false);
    text_printf(text, "    + CategoryInfo          : %s: (%s%s) [%s], %s\n", error_category_name(error->category),
                harmless, !*target ? ":" : strchr(target, ':') ? "" : ":String", report->command ? report->command : "",
                error->exception ? error->exception : "RuntimeException");
    free(harmless);
    const char *identity = report->identity ? report->identity : error->id;
    text_printf(text, "    + FullyQualifiedErrorId : %s\n", identity ? identity : "NotSpecified");
}

void format_error(const struct error_report *report, bool colour, struct text *text)
{
    char *message = text_harmless(report->error.message ? report->error.message : "", true);
    text_put(text, colour ? red : "");
    if (report->command)
        text_printf(text, "%s : ", report->command);
    text_put(text, message);
    if (!*message || message[strlen(message) - 1] != '\n')
        text_put(text, "\n");
    if (report->line_text) {
        text_put(text, "At ");
        put_place(report, text);
    }
    put_category(report, text);
    text_put(text, colour ? off : "");
    free(message);
}

void format_note(enum format_note kind, const char *words, bool colour, struct text *text)
{
    static const char *const prefix[] = {
        [NOTE_WARNING] = "WARNING: ", [NOTE_VERBOSE] = "VERBOSE: ", [NOTE_WHAT_IF] = "What if: "};
    bool coloured = colour && kind != NOTE_WHAT_IF;
    char *harmless = text_harmless(words, true);
    text_printf(text, "%s%s%s%s\n", coloured ? yellow : "", prefix[kind], harmless, coloured ? off : "");
    free(harmless);
}

void format_progress(const char *activity, const char *status, int percent, unsigned width, struct text *text)
{
    struct text line = {0};
    text_put(&line, activity);
    if (status && *status)
        text_printf(&line, ": %s", status);
    if (percent >= 0)
        text_printf(&line, " [%3d%%]", percent > 100 ? 100 : percent);
    char *raw = text_take(&line), *harmless = text_harmless(raw, false);
    unsigned columns = text_columns(harmless);
    if (width && columns > width)
        text_put_cell(text, harmless, width, false);
    else
        text_put(text, harmless);
    free(harmless);
    free(raw);
}
