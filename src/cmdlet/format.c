// See format.h.
#include "cmdlet/format.h"

#include <stdlib.h>
#include <string.h>

#include "cmdlet/class.h"

enum { PLAIN_TABLE_MOST = 4 }; // properties of an object without a class: more make a list

struct format {
    struct view_style style;
    void (*write)(void *context, const char *text, size_t bytes);
    void *context;
    struct value *waiting; // an array of objects that are alike
    bool written;          // a view was: the next one stands apart from it
    bool loose;            // the last thing was a line, not a view
};

// NULL for objects that bring their own properties: what Select-Object makes.
static const struct class *class_of(const struct value *value)
{
    const struct class *class = value && value->kind == VALUE_OBJECT ? class_find(value->map.type) : NULL;
    return class && class->properties && class->properties->name ? class : NULL;
}

static bool same_keys(const struct value *left, const struct value *right)
{
    if (left->map.count != right->map.count)
        return false;
    for (size_t i = 0; i < left->map.count; i++)
        if (value_name_compare(left->map.pairs[i].key, right->map.pairs[i].key))
            return false;
    return true;
}

bool format_alike(const struct value *left, const struct value *right)
{
    if (left->kind != right->kind)
        return false;
    if (left->kind != VALUE_OBJECT || class_of(left) || class_of(right))
        return class_of(left) == class_of(right);
    return same_keys(left, right);
}

static void add_name(struct value *names, const char *name, const char *pattern)
{
    if (value_name_like(name, pattern))
        value_add(names, value_string(name));
}

struct value *format_names(const struct value *object, const char *pattern)
{
    struct value *names = value_array();
    const struct class *class = class_of(object);
    for (const struct property *property = class ? class->properties : NULL; property && property->name; property++)
        add_name(names, property->name, pattern);
    for (size_t i = 0; value_is_map(object) && i < object->map.count; i++)
        if (!class || !class_property(class, object->map.pairs[i].key))
            add_name(names, object->map.pairs[i].key, pattern);
    return names;
}

static bool is_number(const struct value *value)
{
    return value && (value->kind == VALUE_INT || value->kind == VALUE_REAL);
}

static bool all_numbers(struct value *const *objects, size_t count, const char *property)
{
    for (size_t i = 0; i < count; i++)
        if (!is_number(value_get(objects[i], property)))
            return false;
    return true;
}

static struct view *table_of_class(struct value *const *objects, size_t count, const struct class *class)
{
    struct view *view = view_create(VIEW_TABLE);
    const struct column *columns = class->columns;
    for (unsigned i = 0; i < CLASS_COLUMNS && columns[i].property; i++)
        view_column_add(view, columns[i].heading ? columns[i].heading : columns[i].property, 0, columns[i].right);
    for (size_t row = 0; row < count; row++) {
        char **cells = view_row_add(view);
        for (unsigned i = 0; i < view->column_count; i++) {
            const struct value *value = value_get(objects[row], columns[i].property);
            if (columns[i].divide && value && value->kind == VALUE_INT)
                cells[i] = value_text("%lld", (long long)(value->integer / (s64)columns[i].divide));
            else
                cells[i] = view_cell_text(value, false);
        }
    }
    return view;
}

static struct view *view_of_names(enum view_kind kind, struct value *const *objects, size_t count)
{
    struct view *view = view_create(kind);
    struct value *names = format_names(objects[0], "*");
    for (size_t i = 0; i < value_count(names); i++) {
        const char *name = value_item(names, i)->string;
        view_column_add(view, name, 0, kind == VIEW_TABLE && all_numbers(objects, count, name));
    }
    for (size_t row = 0; row < count && view->column_count; row++) {
        char **cells = view_row_add(view);
        for (size_t i = 0; i < view->column_count; i++)
            cells[i] = view_cell_text(value_get(objects[row], value_item(names, i)->string), kind == VIEW_LIST);
    }
    value_unref(names);
    return view;
}

// Hashtables: a line for each key.
static struct view *view_of_maps(struct value *const *maps, size_t count)
{
    struct view *view = view_create(VIEW_TABLE);
    view_column_add(view, "Name", 0, false);
    view_column_add(view, "Value", 0, false);
    for (size_t i = 0; i < count; i++)
        for (size_t pair = 0; pair < maps[i]->map.count; pair++) {
            char **cells = view_row_add(view);
            cells[0] = text_harmless(maps[i]->map.pairs[pair].key, false);
            cells[1] = view_cell_text(maps[i]->map.pairs[pair].value, false);
        }
    return view;
}

struct view *format_table(struct value *const *objects, size_t count)
{
    const struct class *class = class_of(objects[0]);
    if (objects[0]->kind == VALUE_MAP)
        return view_of_maps(objects, count);
    return class && class->columns[0].property ? table_of_class(objects, count, class)
                                               : view_of_names(VIEW_TABLE, objects, count);
}

struct view *format_list(struct value *const *objects, size_t count)
{
    return view_of_names(VIEW_LIST, objects, count);
}

struct view *format_default(struct value *const *objects, size_t count)
{
    const struct class *class = class_of(objects[0]);
    bool table = objects[0]->kind == VALUE_MAP ||
                 (class ? class->columns[0].property != NULL : objects[0]->map.count <= PLAIN_TABLE_MOST);
    return table ? format_table(objects, count) : format_list(objects, count);
}

struct format *format_create(const struct view_style *style,
                             void (*write)(void *context, const char *text, size_t bytes), void *context)
{
    struct format *format = value_allocate(sizeof *format);
    *format = (struct format){.style = *style, .write = write, .context = context, .waiting = value_array(),
                              .loose = true};
    return format;
}

void format_destroy(struct format *format)
{
    if (!format)
        return;
    value_unref(format->waiting);
    free(format);
}

void format_style(struct format *format, const struct view_style *style) { format->style = *style; }

static void write_view(struct format *format, const struct view *view)
{
    struct text text = {0};
    if (format->style.spaced ? format->loose : format->written)
        text_put(&text, "\n");
    size_t before = text.length;
    view_render(view, &format->style, &text);
    if (text.length > before) {
        if (format->style.spaced)
            text_put(&text, "\n");
        format->write(format->context, text.bytes, text.length);
        format->written = true;
        format->loose = false;
    }
    text_free(&text);
}

static void write_line(struct format *format, const struct value *value)
{
    char *string = value_to_text(value);
    struct text text = {0};
    text_put(&text, string);
    text_put(&text, "\n");
    format->write(format->context, text.bytes, text.length);
    format->loose = true;
    format->written = true;
    text_free(&text);
    free(string);
}

static void flush(struct format *format)
{
    if (!value_count(format->waiting))
        return;
    struct view *view = format_default(format->waiting->array.items, format->waiting->array.count);
    write_view(format, view);
    view_destroy(view);
    value_unref(format->waiting);
    format->waiting = value_array();
}

void format_put(struct format *format, struct value *object)
{
    const struct view *view = view_of(object);
    if (!object || object->kind == VALUE_NULL)
        return;
    if (object->kind == VALUE_ARRAY) {
        for (size_t i = 0; i < value_count(object); i++)
            format_put(format, value_item(object, i));
        return;
    }
    if (view || !value_is_map(object)) {
        flush(format);
        if (view)
            write_view(format, view);
        else
            write_line(format, object);
        return;
    }
    if (value_count(format->waiting) && !format_alike(value_item(format->waiting, 0), object))
        flush(format);
    value_add(format->waiting, value_ref(object));
}

void format_end(struct format *format)
{
    flush(format);
    format->loose = true;
}

static void write_text(void *context, const char *bytes, size_t count) { text_put_bytes(context, bytes, count); }

char *format_objects(struct value *const *objects, size_t count, const struct view_style *style)
{
    struct text text = {0};
    struct format *format = format_create(style, write_text, &text);
    for (size_t i = 0; i < count; i++)
        format_put(format, objects[i]);
    format_end(format);
    format_destroy(format);
    return text_take(&text);
}
