// Format-Table, Format-List, Format-Wide: objects become views (format_view.h), which whoever prints them makes text
// of. They wait for all objects, because a column is as wide as the widest of its cells.
#include "cmdlet/format.h"

#include <stdlib.h>
#include <string.h>

#include "cmdlet/class.h"
#include "cmdlet/local.h"
#include "cmdlet/local/local.h"
#include "cmdlet/operate_text.h"
#include "cmdlet/value_room.h"

enum { WIDTH_MOST = 10000 };

struct gathered {
    struct value *objects; // an array
};

// A column that was asked for: a property, or what is computed.
struct wanted {
    char *heading;
    struct value *what; // a property's name or a block
    char *format;       // as -f takes it behind the colon of {0:N2}; NULL: none
    unsigned width;
    bool right, aligned; // `aligned`: `right` was asked for; else numbers stand right
};

struct wanted_list {
    struct wanted *items;
    size_t count;
};

static void gather_begin(struct stage *stage)
{
    struct gathered *gathered = stage_data(stage);
    gathered->objects = value_array();
}

static void gather(struct stage *stage, struct value *input)
{
    struct gathered *gathered = stage_data(stage);
    struct value *object = input ? input : stage_parameter(stage, "InputObject");
    if (object && object->kind == VALUE_ARRAY)
        for (size_t i = 0; i < value_count(object); i++)
            value_add(gathered->objects, value_ref(value_item(object, i)));
    else if (object && object->kind != VALUE_NULL)
        value_add(gathered->objects, value_ref(object));
}

static void gather_release(struct stage *stage)
{
    struct gathered *gathered = stage_data(stage);
    value_unref(gathered->objects);
}

static void wanted_free(struct wanted_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].heading);
        free(list->items[i].format);
        value_unref(list->items[i].what);
    }
    free(list->items);
}

static struct wanted *wanted_add(struct wanted_list *list, const char *heading, struct value *what)
{
    list->items = value_reallocate(list->items, (list->count + 1) * sizeof *list->items);
    list->items[list->count] = (struct wanted){.heading = value_text_copy(heading), .what = what};
    return &list->items[list->count++];
}

// A name, as the first object spells it; a wildcard's matches. A name that the object does not have is an empty column.
static void wanted_name(struct wanted_list *list, const char *name, const struct value *first)
{
    struct value *names = format_names(first, name);
    for (size_t i = 0; i < value_count(names); i++)
        wanted_add(list, value_item(names, i)->string, value_ref(value_item(names, i)));
    if (!value_count(names) && !value_has_wildcard(name))
        wanted_add(list, name, value_string(name));
    value_unref(names);
}

static bool key_is(const char *key, const char *name)
{
    return *key && !strncasecmp(key, name, strlen(key)); // PowerShell takes n, na, nam, name
}

// @{Name='GiB'; Expression={...}; Width=10; Alignment='right'}
static bool wanted_map(struct stage *stage, struct wanted_list *list, const struct value *map)
{
    const char *heading = NULL, *format = NULL;
    struct value *what = NULL;
    unsigned width = 0;
    bool right = false, aligned = false;
    for (size_t i = 0; i < map->map.count; i++) {
        const char *key = map->map.pairs[i].key;
        struct value *value = map->map.pairs[i].value;
        s64 number = value_as_int(value, 0);
        if (key_is(key, "name") || key_is(key, "label")) {
            heading = value_as_string(value, NULL);
        } else if (key_is(key, "expression")) {
            what = value;
        } else if (key_is(key, "width") && number > 0 && number <= WIDTH_MOST) {
            width = (unsigned)number;
        } else if (key_is(key, "formatstring")) {
            format = value_as_string(value, NULL);
        } else if (key_is(key, "alignment")) {
            aligned = true;
            right = !value_name_compare(value_as_string(value, ""), "right");
        } else {
            stage_fail(stage, CATEGORY_INVALID_ARGUMENT, "DictionaryKeyUnknown",
                       "The key '%s' is not valid here: Name, Expression, FormatString, Width (1 to %d) and Alignment "
                       "are.", key, WIDTH_MOST);
            return false;
        }
    }
    if (!what) {
        stage_fail(stage, CATEGORY_INVALID_ARGUMENT, "DictionaryKeyMandatoryEntry", "The key 'Expression' is missing.");
        return false;
    }
    struct value *copy = value_ref(what);
    struct wanted *wanted = wanted_add(list, heading ? heading : value_as_string(what, "{...}"), copy);
    wanted->format = format ? value_text_copy(format) : NULL;
    wanted->width = width;
    wanted->right = right;
    wanted->aligned = aligned;
    return true;
}

static bool wanted_item(struct stage *stage, struct wanted_list *list, struct value *item, const struct value *first)
{
    if (item->kind == VALUE_MAP)
        return wanted_map(stage, list, item);
    if (item->kind == VALUE_BLOCK) {
        wanted_add(list, "{...}", value_ref(item));
        return true;
    }
    char *name = value_to_text(item);
    wanted_name(list, name, first);
    free(name);
    return true;
}

static bool wanted_read(struct stage *stage, struct wanted_list *list, struct value *property,
                        const struct value *first)
{
    if (property->kind != VALUE_ARRAY)
        return wanted_item(stage, list, property, first);
    for (size_t i = 0; i < value_count(property); i++)
        if (!wanted_item(stage, list, value_item(property, i), first))
            return false;
    return true;
}

static bool right_of(const struct wanted *wanted, struct value *const *cells, size_t stride, size_t count)
{
    if (wanted->aligned)
        return wanted->right;
    for (size_t i = 0; i < count; i++)
        if (!cells[i * stride] || (cells[i * stride]->kind != VALUE_INT && cells[i * stride]->kind != VALUE_REAL))
            return false;
    return true;
}

static char *wanted_text(const struct wanted *wanted, struct value *cell, bool full)
{
    if (!wanted->format || !cell || cell->kind == VALUE_NULL)
        return view_cell_text(cell, full);
    struct value *text = value_string_put(text_format_one(cell, wanted->format));
    char *shown = view_cell_text(text, full);
    value_unref(text);
    return shown;
}

static struct view *view_of_wanted(struct stage *stage, enum view_kind kind, const struct wanted_list *list,
                                   struct value *const *objects, size_t count)
{
    struct view *view = view_create(kind);
    struct value **cells = value_allocate(count * list->count * sizeof *cells);
    for (size_t i = 0; i < count * list->count && !stage_stopped(stage); i++)
        cells[i] = stage_evaluate(stage, list->items[i % list->count].what, objects[i / list->count]);
    for (size_t i = 0; i < list->count; i++)
        view_column_add(view, list->items[i].heading, list->items[i].width,
                        kind == VIEW_TABLE && right_of(&list->items[i], cells + i, list->count, count));
    for (size_t row = 0; row < count && list->count; row++) {
        char **texts = view_row_add(view);
        for (size_t i = 0; i < list->count; i++)
            texts[i] = wanted_text(&list->items[i], cells[row * list->count + i], kind == VIEW_LIST);
    }
    for (size_t i = 0; i < count * list->count; i++)
        value_unref(cells[i]);
    free(cells);
    return view;
}

static struct view *view_make(struct stage *stage, enum view_kind kind, struct value *const *objects, size_t count)
{
    struct value *property = stage_parameter(stage, "Property");
    const struct class *class = objects[0]->kind == VALUE_OBJECT ? class_find(objects[0]->map.type) : NULL;
    struct wanted_list list = {0};
    struct view *view = NULL;
    if (property) {
        if (wanted_read(stage, &list, property, objects[0]))
            view = view_of_wanted(stage, kind, &list, objects, count);
    } else if (kind == VIEW_WIDE) {
        struct value *names = format_names(objects[0], "*");
        const char *first = value_count(names) ? value_item(names, 0)->string : "Value";
        wanted_name(&list, class && class->display ? class->display : first, objects[0]);
        view = view_of_wanted(stage, kind, &list, objects, count);
        value_unref(names);
    } else {
        view = kind == VIEW_TABLE ? format_table(objects, count) : format_list(objects, count);
    }
    wanted_free(&list);
    return view;
}

static void put_view(struct stage *stage, enum view_kind kind, const char *group, struct value *const *objects,
                     size_t count)
{
    struct view *view = view_make(stage, kind, objects, count);
    if (!view)
        return;
    view->wrap = kind == VIEW_TABLE && stage_switch(stage, "Wrap");
    view->headless = kind == VIEW_TABLE && stage_switch(stage, "HideTableHeaders");
    view->across = kind == VIEW_WIDE ? (unsigned)stage_int(stage, "Column", 0) : 0;
    view->group = group ? text_harmless(group, false) : NULL;
    stage_put(stage, view_value(view));
}

// "   State: Running" above the part of each value of -GroupBy; NULL without -GroupBy. The caller frees.
static char *group_of(struct stage *stage, struct value *object)
{
    struct value *by = stage_parameter(stage, "GroupBy");
    struct wanted_list list = {0};
    char *group = NULL;
    if (by && wanted_read(stage, &list, by, object) && list.count) {
        struct value *value = stage_evaluate(stage, list.items[0].what, object);
        char *text = view_cell_text(value, false);
        group = value_text("   %s: %s", list.items[0].heading, text);
        free(text);
        value_unref(value);
    }
    wanted_free(&list);
    return group;
}

// Strings and numbers go by as they are; without -Property, objects of another class get a view of their own.
static size_t run_length(struct stage *stage, const struct value *objects, size_t from, const char *group)
{
    struct value *first = value_item(objects, from);
    size_t count = 1;
    for (; from + count < value_count(objects); count++) {
        struct value *next = value_item(objects, from + count);
        if (!value_is_map(next) || view_of(next) || (!stage_parameter(stage, "Property") && !format_alike(first, next)))
            break;
        char *other = group ? group_of(stage, next) : NULL;
        bool same = !group || (other && !strcmp(group, other));
        free(other);
        if (!same)
            break;
    }
    return count;
}

static void put_views(struct stage *stage, enum view_kind kind)
{
    struct gathered *gathered = stage_data(stage);
    size_t total = value_count(gathered->objects), count;
    for (size_t at = 0; at < total && !stage_stopped(stage); at += count) {
        struct value *object = value_item(gathered->objects, at);
        count = 1;
        if (!value_is_map(object) || view_of(object)) {
            stage_put(stage, value_ref(object));
            continue;
        }
        char *group = group_of(stage, object);
        count = run_length(stage, gathered->objects, at, group);
        put_view(stage, kind, group, gathered->objects->array.items + at, count);
        free(group);
    }
}

static void table_end(struct stage *stage) { put_views(stage, VIEW_TABLE); }
static void list_end(struct stage *stage) { put_views(stage, VIEW_LIST); }
static void wide_end(struct stage *stage) { put_views(stage, VIEW_WIDE); }

static void pass(struct stage *stage, struct value *input)
{
    struct value *object = input ? input : stage_parameter(stage, "InputObject");
    if (object)
        stage_put(stage, value_ref(object));
}

#define GATHERS .data = sizeof(struct gathered), .begin = gather_begin, .process = gather, .release = gather_release

const struct local_cmdlet local_format[] = {
    {.name = "Format-Table", GATHERS, .end = table_end},
    {.name = "Format-List", GATHERS, .end = list_end},
    {.name = "Format-Wide", GATHERS, .end = wide_end},
    {.name = "Out-Default", .process = pass},
    {.name = "Out-Host", .process = pass},
    {0},
};
