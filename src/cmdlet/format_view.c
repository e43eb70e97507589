// See format_view.h. Making views, and what a value shows in one of their cells; view_render is format_render.c.
#include "cmdlet/format_view.h"

#include <stdlib.h>
#include <string.h>

enum { VIEW_ENUMERATION = 4 }; // PowerShell's $FormatEnumerationLimit

struct view *view_create(enum view_kind kind)
{
    struct view *view = value_allocate(sizeof *view);
    view->kind = kind;
    return view;
}

void view_destroy(struct view *view)
{
    if (!view)
        return;
    for (size_t i = 0; i < view->row_count * view->column_count; i++)
        free(view->cells[i]);
    for (size_t i = 0; i < view->column_count; i++)
        free(view->columns[i].heading);
    free(view->cells);
    free(view->columns);
    free(view->group);
    free(view);
}

void view_column_add(struct view *view, const char *heading, unsigned width, bool right)
{
    assert(!view->row_count);
    view->columns = value_reallocate(view->columns, (view->column_count + 1) * sizeof *view->columns);
    view->columns[view->column_count++] =
        (struct view_column){.heading = text_harmless(heading, false), .width = width, .right = right};
}

char **view_row_add(struct view *view)
{
    if (view->row_count == view->row_room) {
        view->row_room = view->row_room ? 2 * view->row_room : 16;
        view->cells = value_reallocate(view->cells, view->row_room * view->column_count * sizeof *view->cells);
    }
    char **row = view->cells + view->row_count++ * view->column_count;
    memset(row, 0, view->column_count * sizeof *row);
    return row;
}

static void view_release(void *node) { view_destroy(node); }

struct value *view_value(struct view *view)
{
    struct value *value = value_object(VIEW_TYPE);
    value_put(value, "View", value_block(view, view_release));
    return value;
}

const struct view *view_of(const struct value *value)
{
    if (!value || !value_is_a(value, VIEW_TYPE))
        return NULL;
    const struct value *block = value_get(value, "View");
    return block && block->kind == VALUE_BLOCK && block->block.release == view_release ? block->block.node : NULL;
}

static void put_pairs(struct text *text, const struct value *map)
{
    size_t shown = map->map.count < VIEW_ENUMERATION ? map->map.count : VIEW_ENUMERATION;
    for (size_t i = 0; i < shown; i++) {
        char *item = value_to_text(map->map.pairs[i].value);
        text_printf(text, "%s%s=%s", i ? "; " : "", map->map.pairs[i].key, item);
        free(item);
    }
    if (shown < map->map.count)
        text_put(text, "...");
}

static char *array_text(const struct value *array)
{
    struct text text = {0};
    size_t count = value_count(array), shown = count < VIEW_ENUMERATION ? count : VIEW_ENUMERATION;
    text_put(&text, "{");
    for (size_t i = 0; i < shown; i++) {
        char *item = value_to_text(value_item(array, i));
        text_printf(&text, "%s%s", i ? ", " : "", item);
        free(item);
    }
    text_put(&text, shown < count ? "...}" : "}");
    return text_take(&text);
}

static char *map_text(const struct value *map)
{
    struct text text = {0};
    text_put(&text, "@{");
    put_pairs(&text, map);
    text_put(&text, "}");
    return text_take(&text);
}

char *view_cell_text(const struct value *value, bool lines)
{
    char *raw = value && value->kind == VALUE_ARRAY ? array_text(value)
                : value && value->kind == VALUE_MAP ? map_text(value) : value_to_text(value);
    char *text = text_harmless(raw, lines);
    free(raw);
    return text;
}
