// Select-Object, Sort-Object, Group-Object, Measure-Object: objects in, other objects or another order out.
#include <stdlib.h>
#include <string.h>

#include "cmdlet/class.h"
#include "cmdlet/json.h"
#include "cmdlet/local/local.h"
#include "cmdlet/value_room.h"

// What tells two values apart, as text: objects by all their properties.
static char *identity(struct value *value)
{
    if (value_is_map(value) || value->kind == VALUE_ARRAY)
        return json_write(value, true, 0);
    char *text = value_to_text(value);
    for (char *at = text; *at; at++)
        if (*at >= 'A' && *at <= 'Z')
            *at |= 32;
    return text;
}

struct value *local_calculated(struct value *map, const char **name)
{
    static const char *const names[] = {"n", "name", "l", "label"}, *const expressions[] = {"e", "expression"};
    struct value *expression = NULL;
    *name = NULL;
    if (!map || map->kind != VALUE_MAP)
        return NULL;
    for (unsigned i = 0; i < ARRAY_SIZE(names) && !*name; i++)
        *name = value_as_string(value_get(map, names[i]), NULL);
    for (unsigned i = 0; i < ARRAY_SIZE(expressions) && !expression; i++)
        expression = value_get(map, expressions[i]);
    return expression;
}

// Select-Object.

struct select {
    s64 seen, put;
    struct value *last;  // an array: a window of the last ones
    struct value *known; // a map: what -Unique has seen
};

// A property's name as the object spells it: `select name` makes a Name.
static char *spelling(struct value *input, const char *name)
{
    const struct class *class = input && input->kind == VALUE_OBJECT ? class_find(input->map.type) : NULL;
    const struct link *link = class ? class_link(class, name) : NULL;
    for (size_t i = 0; input && value_is_map(input) && i < input->map.count; i++)
        if (!value_name_compare(input->map.pairs[i].key, name))
            return value_text_copy(input->map.pairs[i].key);
    return value_text_copy(link ? link->name : name);
}

static void select_property(struct stage *stage, struct value *object, struct value *property, struct value *input)
{
    const char *label;
    struct value *expression = local_calculated(property, &label);
    if (!expression && property->kind == VALUE_STRING && value_has_wildcard(property->string)) {
        for (size_t i = 0; value_is_map(input) && i < input->map.count; i++)
            if (value_name_like(input->map.pairs[i].key, property->string))
                value_put(object, input->map.pairs[i].key, value_ref(input->map.pairs[i].value));
        return;
    }
    struct value *value = stage_evaluate(stage, expression ? expression : property, input);
    char *asked = value_to_text(expression ? expression : property);
    char *name = label ? value_text_copy(label) : expression ? value_text_copy(asked) : spelling(input, asked);
    if (value)
        value_put(object, name, value);
    free(name);
    free(asked);
}

// The object with the wanted properties only; the caller's.
static struct value *select_shape(struct stage *stage, struct value *input)
{
    struct value *properties = stage_parameter(stage, "Property");
    if (!properties)
        return value_ref(input);
    struct value *object = value_object("PSCustomObject");
    for (size_t i = 0; i < value_count(properties) && !stage_stopped(stage); i++)
        select_property(stage, object, value_item(properties, i), input);
    return object;
}

static bool select_is_new(struct stage *stage, struct value *object)
{
    struct select *select = stage_data(stage);
    if (!stage_switch(stage, "Unique"))
        return true;
    if (!select->known)
        select->known = value_map();
    char *key = identity(object);
    bool new = key && !value_get(select->known, key);
    if (new)
        value_put(select->known, key, value_bool(true));
    free(key);
    return new;
}

static void select_expand(struct stage *stage, struct value *input, const char *name)
{
    struct value *value = value_get(input, name) ? value_ref(value_get(input, name))
                                                 : local_property(stage, input, name);
    if (value->kind == VALUE_NULL && !value_get(input, name))
        stage_fail(stage, CATEGORY_INVALID_ARGUMENT, "ExpandPropertyNotFound", "Property \"%s\" cannot be found.",
                   name);
    else if (value->kind == VALUE_ARRAY)
        for (size_t i = 0; i < value->array.count; i++)
            stage_put(stage, value_ref(value->array.items[i]));
    else
        stage_put(stage, value_ref(value));
    value_unref(value);
}

static void select_put(struct stage *stage, struct value *input)
{
    const char *expand = stage_string(stage, "ExpandProperty", NULL);
    struct value *object = select_shape(stage, input);
    if (stage_stopped(stage) || !select_is_new(stage, object))
        value_unref(object);
    else if (expand)
        value_unref(object), select_expand(stage, input, expand);
    else
        stage_put(stage, object);
}

static void select_process(struct stage *stage, struct value *input)
{
    struct select *select = stage_data(stage);
    s64 first = stage_int(stage, "First", -1), skip = stage_int(stage, "Skip", 0), last = stage_int(stage, "Last", -1);
    if (!input || (select->seen++ < skip && last < 0))
        return;
    if (last >= 0) {
        if (!select->last)
            select->last = value_array();
        value_add(select->last, value_ref(input));
        return;
    }
    if (first == 0) {
        stage_enough(stage);
        return;
    }
    select_put(stage, input);
    if (first > 0 && ++select->put >= first)
        stage_enough(stage);
}

static void select_end(struct stage *stage)
{
    struct select *select = stage_data(stage);
    s64 last = stage_int(stage, "Last", -1), count = (s64)value_count(select->last) - stage_int(stage, "Skip", 0);
    for (s64 i = count > last ? count - last : 0; select->last && i < count && !stage_stopped(stage); i++)
        select_put(stage, value_item(select->last, (size_t)i));
}

static void select_release(struct stage *stage)
{
    struct select *select = stage_data(stage);
    value_unref(select->last);
    value_unref(select->known);
}

// Sort-Object and Group-Object keep all objects and their keys.

struct keep {
    struct value *objects, *keys; // arrays; a key is an array, a value a property
};

static void keep_process(struct stage *stage, struct value *input)
{
    struct keep *keep = stage_data(stage);
    struct value *properties = stage_parameter(stage, "Property"), *key = value_array();
    if (!keep->objects) {
        keep->objects = value_array();
        keep->keys = value_array();
    }
    for (size_t i = 0; input && i < value_count(properties) && !stage_stopped(stage); i++) {
        const char *label;
        struct value *expression = local_calculated(value_item(properties, i), &label);
        struct value *value = stage_evaluate(stage, expression ? expression : value_item(properties, i), input);
        if (value)
            value_add(key, value);
    }
    if (input && !value_count(properties))
        value_add(key, value_ref(input));
    if (!input || stage_stopped(stage)) {
        value_unref(key);
        return;
    }
    value_add(keep->objects, value_ref(input));
    value_add(keep->keys, key);
}

static void keep_release(struct stage *stage)
{
    struct keep *keep = stage_data(stage);
    value_unref(keep->objects);
    value_unref(keep->keys);
}

static int key_compare(const struct value *left, const struct value *right)
{
    for (size_t i = 0; i < value_count(left) && i < value_count(right); i++) {
        int order = value_compare(value_item(left, i), value_item(right, i));
        if (order)
            return order;
    }
    return 0;
}

struct sort_item {
    struct value *key;
    size_t index;
};

// Equal ones stay in the order in which they came.
static int sort_up(const void *left, const void *right)
{
    const struct sort_item *a = left, *b = right;
    int order = key_compare(a->key, b->key);
    return order ? order : a->index < b->index ? -1 : 1;
}

static int sort_down(const void *left, const void *right)
{
    const struct sort_item *a = left, *b = right;
    int order = key_compare(b->key, a->key);
    return order ? order : a->index < b->index ? -1 : 1;
}

static void sort_end(struct stage *stage)
{
    struct keep *keep = stage_data(stage);
    size_t count = value_count(keep->objects);
    struct sort_item *items = value_allocate((count + 1) * sizeof *items);
    for (size_t i = 0; i < count; i++)
        items[i] = (struct sort_item){value_item(keep->keys, i), i};
    if (count)
        qsort(items, count, sizeof *items, stage_switch(stage, "Descending") ? sort_down : sort_up);
    bool unique = stage_switch(stage, "Unique");
    s64 first = stage_int(stage, "Top", -1);
    for (size_t i = 0; i < count && !stage_stopped(stage) && (first < 0 || (s64)i < first); i++)
        if (!unique || !i || key_compare(items[i].key, items[i - 1].key))
            stage_put(stage, value_ref(value_item(keep->objects, items[i].index)));
    free(items);
}

static char *key_text(struct value *key)
{
    char *text = value_text_copy("");
    for (size_t i = 0; i < value_count(key); i++) {
        char *one = value_to_text(value_item(key, i)), *longer = value_text("%s%s%s", text, i ? ", " : "", one);
        free(one);
        free(text);
        text = longer;
    }
    return text;
}

static void group_put(struct stage *stage, struct value *groups)
{
    for (size_t i = 0; i < groups->map.count; i++) {
        struct value *members = groups->map.pairs[i].value, *group;
        group = value_object(stage_switch(stage, "NoElement") ? "GroupInfoNoElement" : "GroupInfo");
        value_put(group, "Count", value_int((s64)value_count(members)));
        value_put(group, "Name", value_string(groups->map.pairs[i].key));
        if (!stage_switch(stage, "NoElement"))
            value_put(group, "Group", value_ref(members));
        stage_put(stage, group);
    }
}

static void group_end(struct stage *stage)
{
    struct keep *keep = stage_data(stage);
    struct value *groups = value_map();
    for (size_t i = 0; i < value_count(keep->objects); i++) {
        char *name = key_text(value_item(keep->keys, i));
        struct value *members = value_get(groups, name);
        if (!members)
            value_put(groups, name, members = value_array());
        value_add(members, value_ref(value_item(keep->objects, i)));
        free(name);
    }
    if (stage_switch(stage, "AsHashTable"))
        stage_put(stage, value_ref(groups));
    else
        group_put(stage, groups);
    value_unref(groups);
}

// Measure-Object.

struct measure_one {
    s64 count;
    struct value *sum, *least, *most;
};

struct measure {
    struct measure_one *each; // one a property, at least one
    size_t count;
};

static void measure_add(struct stage *stage, struct measure_one *one, struct value *value)
{
    double real = value->kind == VALUE_REAL ? value->real : (double)value_as_int(value, 0);
    bool number = value->kind == VALUE_REAL || value->kind == VALUE_INT;
    s64 whole;
    one->count++;
    if (!one->least || value_compare(value, one->least) < 0) {
        value_unref(one->least);
        one->least = value_ref(value);
    }
    if (!one->most || value_compare(value, one->most) > 0) {
        value_unref(one->most);
        one->most = value_ref(value);
    }
    if (!number) {
        if (stage_switch(stage, "Sum") || stage_switch(stage, "Average"))
            stage_fail(stage, CATEGORY_INVALID_ARGUMENT, "NonNumericInputObject",
                       "An object to be added up is no number.");
        return;
    }
    struct value *old = one->sum;
    bool fits = value->kind == VALUE_INT && (!old || old->kind == VALUE_INT) &&
                !__builtin_add_overflow(value->integer, value_as_int(old, 0), &whole);
    double before = old && old->kind == VALUE_REAL ? old->real : (double)value_as_int(old, 0);
    one->sum = fits ? value_int(whole) : value_real(before + real);
    value_unref(old);
}

static void measure_begin(struct stage *stage)
{
    struct measure *measure = stage_data(stage);
    size_t count = value_count(stage_parameter(stage, "Property"));
    measure->count = count ? count : 1;
    measure->each = value_allocate(measure->count * sizeof *measure->each);
}

static void measure_process(struct stage *stage, struct value *input)
{
    struct measure *measure = stage_data(stage);
    struct value *properties = stage_parameter(stage, "Property");
    for (size_t i = 0; input && i < measure->count; i++) {
        struct value *property = value_item(properties, i);
        struct value *value = property ? stage_evaluate(stage, property, input) : value_ref(input);
        if (value && value->kind != VALUE_NULL)
            measure_add(stage, &measure->each[i], value);
        value_unref(value);
    }
}

static void measure_put(struct value *object, const char *name, bool wanted, struct value *value)
{
    value_put(object, name, wanted && value ? value : value_null());
    if (!wanted)
        value_unref(value);
}

static void measure_end(struct stage *stage)
{
    struct measure *measure = stage_data(stage);
    bool all = stage_switch(stage, "AllStats");
    for (size_t i = 0; i < measure->count; i++) {
        struct measure_one *one = &measure->each[i];
        struct value *object = value_object("GenericMeasureInfo");
        struct value *property = value_item(stage_parameter(stage, "Property"), i);
        double sum = one->sum && one->sum->kind == VALUE_REAL ? one->sum->real : (double)value_as_int(one->sum, 0);
        value_put(object, "Count", value_int(one->count));
        measure_put(object, "Average", all || stage_switch(stage, "Average"),
                    one->count ? value_real(sum / (double)one->count) : NULL);
        measure_put(object, "Sum", all || stage_switch(stage, "Sum"), value_ref(one->sum));
        measure_put(object, "Maximum", all || stage_switch(stage, "Maximum"), value_ref(one->most));
        measure_put(object, "Minimum", all || stage_switch(stage, "Minimum"), value_ref(one->least));
        value_put(object, "Property", property ? value_string_put(value_to_text(property)) : value_null());
        stage_put(stage, object);
    }
}

static void measure_release(struct stage *stage)
{
    struct measure *measure = stage_data(stage);
    for (size_t i = 0; i < measure->count; i++) {
        value_unref(measure->each[i].sum);
        value_unref(measure->each[i].least);
        value_unref(measure->each[i].most);
    }
    free(measure->each);
}

const struct local_cmdlet local_shape[] = {
    {.name = "Select-Object", .data = sizeof(struct select), .process = select_process, .end = select_end,
     .release = select_release},
    {.name = "Sort-Object", .data = sizeof(struct keep), .process = keep_process, .end = sort_end,
     .release = keep_release},
    {.name = "Group-Object", .data = sizeof(struct keep), .process = keep_process, .end = group_end,
     .release = keep_release},
    {.name = "Measure-Object", .data = sizeof(struct measure), .begin = measure_begin, .process = measure_process,
     .end = measure_end, .release = measure_release},
    {0},
};
