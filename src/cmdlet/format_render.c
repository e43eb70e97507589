// Views become text of a given width, by PowerShell's rules: columns are as wide as their contents; what does not fit
// is cut with an ellipsis, from the right, and columns for which nothing is left are not shown at all.
#include "cmdlet/format_view.h"

#include <stdlib.h>
#include <string.h>

enum { COLUMN_LEAST = 4 }; // a column cut shorter than this says nothing any more

static const char heading_on[] = "\033[32;1m", colour_off[] = "\033[0m";

static void trim_line(struct text *text)
{
    while (text->length && text->bytes[text->length - 1] == ' ')
        text->bytes[--text->length] = 0;
}

static void end_line(struct text *text)
{
    trim_line(text);
    text_put(text, "\n");
}

static const char *cell(const struct view *view, size_t row, size_t column)
{
    const char *text = view->cells[row * view->column_count + column];
    return text ? text : "";
}

static unsigned natural_width(const struct view *view, size_t column)
{
    if (view->columns[column].width)
        return view->columns[column].width;
    unsigned width = view->headless ? 1 : text_columns(view->columns[column].heading);
    for (size_t row = 0; row < view->row_count; row++) {
        unsigned wanted = text_columns(cell(view, row, column));
        width = wanted > width ? wanted : width;
    }
    return width ? width : 1;
}

// Fills `widths` and returns how many columns are shown.
static size_t table_widths(const struct view *view, unsigned limit, unsigned *widths)
{
    u64 total = 0;
    for (size_t i = 0; i < view->column_count; i++) {
        widths[i] = natural_width(view, i);
        total += widths[i] + (i ? 1 : 0);
    }
    size_t shown = view->column_count;
    while (limit && total > limit && shown) {
        u64 excess = total - limit;
        unsigned *last = &widths[shown - 1];
        unsigned least = shown == 1 ? 1 : *last < COLUMN_LEAST ? *last : COLUMN_LEAST;
        if (*last >= least + excess) {
            *last -= (unsigned)excess;
            break;
        }
        if (shown == 1) {
            *last = 1;
            break;
        }
        total -= *last + 1;
        shown--;
    }
    return shown;
}

static void table_headings(const struct view *view, const unsigned *widths, size_t shown, bool colour,
                           struct text *text)
{
    for (int underline = 0; underline < 2; underline++) {
        if (colour)
            text_put(text, heading_on);
        for (size_t i = 0; i < shown; i++) {
            const char *heading = view->columns[i].heading;
            char *dashes = value_text_copy("");
            if (underline) {
                unsigned length = text_columns(heading) < widths[i] ? text_columns(heading) : widths[i];
                free(dashes);
                dashes = value_allocate(length + 1);
                memset(dashes, '-', length);
            }
            if (i)
                text_put(text, " ");
            text_put_cell(text, underline ? dashes : heading, widths[i], view->columns[i].right);
            free(dashes);
        }
        trim_line(text);
        text_put(text, colour ? "\033[0m\n" : "\n");
    }
}

// One line of a row; `rest` is what of each cell was not printed yet. Whether there is more.
static bool table_line(const struct view *view, const unsigned *widths, size_t shown, const char **rest,
                       struct text *text)
{
    bool more = false;
    for (size_t i = 0; i < shown; i++) {
        if (i)
            text_put(text, " ");
        if (!view->wrap || text_columns(rest[i]) <= widths[i]) {
            text_put_cell(text, rest[i], widths[i], view->columns[i].right);
            rest[i] = "";
            continue;
        }
        size_t fitting = text_fitting(rest[i], widths[i]);
        unsigned bytes;
        if (!fitting) { // a wide character in a column of one
            text_character(rest[i], &bytes);
            fitting = bytes;
        }
        char *piece = value_text("%.*s", (int)fitting, rest[i]);
        text_put_cell(text, piece, widths[i], view->columns[i].right);
        free(piece);
        rest[i] += fitting;
        more = more || *rest[i];
    }
    end_line(text);
    return more;
}

static void render_table(const struct view *view, const struct view_style *style, struct text *text)
{
    unsigned *widths = value_allocate(view->column_count * sizeof *widths);
    const char **rest = value_allocate(view->column_count * sizeof *rest);
    size_t shown = table_widths(view, style->width, widths);
    if (!view->headless)
        table_headings(view, widths, shown, style->colour, text);
    for (size_t row = 0; row < view->row_count; row++) {
        for (size_t i = 0; i < shown; i++)
            rest[i] = cell(view, row, i);
        while (table_line(view, widths, shown, rest, text))
            continue;
    }
    free(rest);
    free(widths);
}

// A value behind its label: its own line ends and those the terminal's width makes are followed by the label's room.
static void list_value(const char *value, unsigned indent, unsigned width, struct text *text)
{
    unsigned room = width > indent + COLUMN_LEAST ? width - indent : 0;
    for (bool first = true; first || *value; first = false) {
        if (!first)
            text_put_blanks(text, indent);
        size_t line = strcspn(value, "\n");
        char *piece = value_text("%.*s", (int)line, value);
        size_t fitting = room ? text_fitting(piece, room) : line;
        if (!fitting)
            fitting = line;
        text_put_bytes(text, piece, fitting);
        end_line(text);
        free(piece);
        value += fitting;
        if (fitting == line && *value == '\n')
            value++;
    }
}

static void render_list(const struct view *view, const struct view_style *style, struct text *text)
{
    unsigned label = 0;
    for (size_t i = 0; i < view->column_count; i++) {
        unsigned columns = text_columns(view->columns[i].heading);
        label = columns > label ? columns : label;
    }
    for (size_t row = 0; row < view->row_count; row++) {
        if (row)
            text_put(text, "\n");
        for (size_t i = 0; i < view->column_count; i++) {
            if (!view->cells[row * view->column_count + i])
                continue;
            if (style->colour)
                text_put(text, heading_on);
            text_put_cell(text, view->columns[i].heading, label, false);
            text_put(text, style->colour ? " : \033[0m" : " : ");
            list_value(cell(view, row, i), label + 3, style->width, text);
        }
    }
}

static void render_wide(const struct view *view, const struct view_style *style, struct text *text)
{
    enum { WIDE_USUAL = 80 };
    unsigned limit = style->width ? style->width : WIDE_USUAL, widest = natural_width(view, 0);
    unsigned across = view->across ? view->across : limit / (widest + 1) ? limit / (widest + 1) : 1;
    unsigned width = view->across ? limit / across : widest + 1;
    if (width < 2)
        width = 2;
    for (size_t row = 0; row < view->row_count; row++) {
        text_put_cell(text, cell(view, row, 0), width - 1, false);
        if ((row + 1) % across == 0 || row + 1 == view->row_count)
            end_line(text);
        else
            text_put(text, " ");
    }
}

void view_render(const struct view *view, const struct view_style *style, struct text *text)
{
    if (!view->column_count)
        return;
    if (view->group) {
        text_put(text, style->colour ? heading_on : "");
        text_put(text, view->group);
        text_put(text, style->colour ? colour_off : "");
        text_put(text, "\n\n");
    }
    if (view->kind == VIEW_TABLE)
        render_table(view, style, text);
    else if (view->kind == VIEW_LIST)
        render_list(view, style, text);
    else
        render_wide(view, style, text);
}
