// ConvertTo-Csv, ConvertFrom-Csv, Export-Csv, Import-Csv: objects as lines of comma-separated values (RFC 4180), and
// lines as objects whose properties are strings.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmdlet/format_text.h"
#include "cmdlet/local/local.h"
#include "cmdlet/session.h"
#include "cmdlet/value_room.h"

enum { CSV_COLUMNS = 1000 };

struct csv {
    struct value *head; // an object whose properties are the columns
    struct text lines;  // what has been written, or is to be read
};

static char csv_delimiter(struct stage *stage)
{
    const char *given = stage_string(stage, "Delimiter", ",");
    return *given ? *given : ',';
}

static void csv_release(struct stage *stage)
{
    struct csv *csv = stage_data(stage);
    value_unref(csv->head);
    text_free(&csv->lines);
}

// --- Writing ---------------------------------------------------------------------------------------------------------
// "a","b": quotes are doubled.
static void csv_cell(struct text *line, const char *text, bool first, char delimiter)
{
    if (!first)
        text_printf(line, "%c", delimiter);
    text_put(line, "\"");
    for (const char *quote; (quote = strchr(text, '"')); text = quote + 1)
        text_printf(line, "%.*s\"\"", (int)(quote - text), text);
    text_put(line, text);
    text_put(line, "\"");
}

// The head's own names without an object.
static char *csv_line(const struct value *head, const struct value *object, char delimiter)
{
    struct text line = {0};
    for (size_t i = 0; i < head->map.count; i++) {
        const char *name = head->map.pairs[i].key;
        const struct value *value = object ? value_get(object, name) : NULL;
        char *cell = object ? value ? value_to_text(value) : value_text_copy("") : value_text_copy(name);
        csv_cell(&line, cell, !i, delimiter);
        free(cell);
    }
    return text_take(&line);
}

// The first object says which columns there are.
static void csv_write(struct stage *stage, struct value *input, void (*put)(struct stage *stage, char *line))
{
    struct csv *csv = stage_data(stage);
    if (!input)
        return;
    struct value *row = value_is_map(input) ? value_ref(input) : value_map();
    if (!value_is_map(input)) // what has no properties has its length, in PowerShell; here it is itself
        value_put(row, "Value", value_ref(input));
    if (!csv->head) {
        csv->head = value_ref(row);
        put(stage, csv_line(csv->head, NULL, csv_delimiter(stage)));
    }
    put(stage, csv_line(csv->head, row, csv_delimiter(stage)));
    value_unref(row);
}

static void csv_put(struct stage *stage, char *line) { stage_put(stage, value_string_put(line)); }

static void csv_keep(struct stage *stage, char *line)
{
    struct csv *csv = stage_data(stage);
    text_printf(&csv->lines, "%s\n", line);
    free(line);
}

static void to_csv_process(struct stage *stage, struct value *input) { csv_write(stage, input, csv_put); }
static void export_csv_process(struct stage *stage, struct value *input) { csv_write(stage, input, csv_keep); }

// -Append to a file that is there leaves the head out.
static void export_csv_end(struct stage *stage)
{
    struct csv *csv = stage_data(stage);
    const struct session_config *config = session_config_of(stage_session(stage));
    const char *path = stage_string(stage, "Path", "");
    const bool append = stage_switch(stage, "Append");
    const bool there = append && config->test_path && config->test_path(config->context, path);
    char *text = text_take(&csv->lines), *from = text;
    if (there && strchr(from, '\n'))
        from = strchr(from, '\n') + 1;
    local_write_file(stage, path, from, append);
    free(text);
}

// --- Reading ---------------------------------------------------------------------------------------------------------
// One cell from `*at`, which is left at the delimiter, the line's end or the text's. The caller frees.
static char *csv_read_cell(const char **at, char delimiter)
{
    const char ends[] = {delimiter, '\r', '\n', 0};
    struct text cell = {0};
    if (**at != '"') {
        const size_t bytes = strcspn(*at, ends);
        text_printf(&cell, "%.*s", (int)bytes, *at);
        *at += bytes;
        return text_take(&cell);
    }
    for (++*at; **at;) {
        const size_t bytes = strcspn(*at, "\"");
        text_printf(&cell, "%.*s", (int)bytes, *at);
        *at += bytes;
        if (**at && *++*at != '"')
            break;
        if (**at) { // a doubled one
            text_put(&cell, "\"");
            ++*at;
        }
    }
    *at += strcspn(*at, ends);
    return text_take(&cell);
}

// A line's cells as an array; NULL at the end of the text. Empty lines are none.
static struct value *csv_read_line(const char **at, char delimiter)
{
    *at += strspn(*at, "\r\n");
    if (!**at)
        return NULL;
    struct value *cells = value_array();
    for (;;) {
        struct value *cell = value_string_put(csv_read_cell(at, delimiter));
        if (value_count(cells) < CSV_COLUMNS)
            value_add(cells, cell);
        else
            value_unref(cell);
        if (**at != delimiter)
            return cells;
        ++*at;
    }
}

static void csv_read(struct stage *stage, const char *text)
{
    const char *at = !strncmp(text, "\xef\xbb\xbf", 3) ? text + 3 : text; // Windows' editors begin files so
    const char delimiter = csv_delimiter(stage);
    struct value *given = stage_parameter(stage, "Header"), *head, *cells;
    if (!given && *at == '#')
        at += strcspn(at, "\n"); // #TYPE, of an older Export-Csv
    head = given ? value_ref(given) : csv_read_line(&at, delimiter);
    while (head && !stage_stopped(stage) && (cells = csv_read_line(&at, delimiter))) {
        struct value *object = value_object("PSCustomObject");
        for (size_t i = 0; i < value_count(head); i++) {
            struct value *cell = value_item(cells, i);
            value_put(object, value_as_string(value_item(head, i), ""), cell ? value_ref(cell) : value_null());
        }
        value_unref(cells);
        stage_put(stage, object);
    }
    value_unref(head);
}

static void from_csv_process(struct stage *stage, struct value *input)
{
    struct csv *csv = stage_data(stage);
    struct value *given = input ? input : stage_parameter(stage, "InputObject");
    for (size_t i = 0; given && i < (given->kind == VALUE_ARRAY ? value_count(given) : 1); i++) {
        char *line = value_to_text(given->kind == VALUE_ARRAY ? value_item(given, i) : given);
        text_printf(&csv->lines, "%s\n", line);
        free(line);
    }
}

static void from_csv_end(struct stage *stage)
{
    char *text = text_take(&((struct csv *)stage_data(stage))->lines);
    csv_read(stage, text);
    free(text);
}

static void import_csv_process(struct stage *stage, struct value *input)
{
    (void)input;
    struct value *paths = stage_parameter(stage, "Path");
    for (size_t i = 0; i < value_count(paths) && !stage_stopped(stage); i++) {
        char *text = local_read_file(stage, value_as_string(value_item(paths, i), ""));
        if (text)
            csv_read(stage, text);
        free(text);
    }
}

const struct local_cmdlet local_csv[] = {
    {.name = "ConvertTo-Csv", .data = sizeof(struct csv), .process = to_csv_process, .release = csv_release},
    {.name = "ConvertFrom-Csv", .data = sizeof(struct csv), .process = from_csv_process, .end = from_csv_end,
     .release = csv_release},
    {.name = "Export-Csv", .data = sizeof(struct csv), .process = export_csv_process, .end = export_csv_end,
     .release = csv_release},
    {.name = "Import-Csv", .process = import_csv_process},
    {0},
};
