// A view: objects that have become headings and cells, but not yet text, because only who prints them knows how wide
// the terminal is. The default views and Format-Table, Format-List and Format-Wide make them; view_render prints them.
//
// In a pipeline a view travels as an object of the type VIEW_TYPE (view_value), as PowerShell's formatting cmdlets put
// out formatting objects: they may go on to Out-String, Out-File or the terminal, and to nothing else that makes
// sense.
#pragma once

#include "cmdlet/format_text.h"
#include "cmdlet/value.h"

#define VIEW_TYPE "FormatView"

enum view_kind { VIEW_TABLE, VIEW_LIST, VIEW_WIDE };

struct view_column {
    char *heading;
    unsigned width; // columns of the terminal; 0: what its cells need
    bool right;     // cells stand at the right
};

struct view {
    enum view_kind kind;
    struct view_column *columns; // a list's labels
    size_t column_count;
    char **cells; // row by row; NULL: a list leaves the line out
    size_t row_count, row_room;
    char *group;     // the line above, NULL: none
    bool wrap;       // cut cells go on in the next line
    bool headless;   // a table without its headings
    unsigned across; // VIEW_WIDE: how many beside each other; 0: as many as fit
};

struct view_style {
    unsigned width; // columns of the terminal; 0: without limit, nothing is cut
    bool colour;
    bool spaced; // blank lines around each view, as at PowerShell's prompt; without, only between two
};

struct view *view_create(enum view_kind kind);
void view_destroy(struct view *view); // NULL is allowed
void view_column_add(struct view *view, const char *heading, unsigned width, bool right);
char **view_row_add(struct view *view); // the row's cells, all NULL, to be set to allocated texts
void view_render(const struct view *view, const struct view_style *style, struct text *text);

struct value *view_value(struct view *view); // takes the view over
const struct view *view_of(const struct value *value); // borrowed; NULL if the value is no view

// What a property shows in a cell: an array's items in braces, at most four of them; a date in a form that reads well.
// The caller frees. `lines`: line ends stay.
char *view_cell_text(const struct value *value, bool lines);
