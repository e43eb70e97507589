// ConvertTo-Json, ConvertFrom-Json: objects and the text form that other programs read.
#include <stdlib.h>
#include <string.h>

#include "cmdlet/format_text.h"
#include "cmdlet/json.h"
#include "cmdlet/local/local.h"
#include "cmdlet/value_room.h"

struct gather {
    struct value *objects; // an array
};

static void gather_process(struct stage *stage, struct value *input)
{
    struct gather *gather = stage_data(stage);
    if (!gather->objects)
        gather->objects = value_array();
    if (input)
        value_add(gather->objects, value_ref(input));
}

static void gather_release(struct stage *stage) { value_unref(((struct gather *)stage_data(stage))->objects); }

// What lies deeper than -Depth is shown as text.
static struct value *json_prune(struct value *value, s64 depth)
{
    bool map = value_is_map(value);
    if (!map && value->kind != VALUE_ARRAY)
        return value_ref(value);
    if (depth < 0)
        return value_string_put(value_to_text(value));
    struct value *copy = map ? value_map() : value_array();
    for (size_t i = 0; map && i < value->map.count; i++)
        value_put(copy, value->map.pairs[i].key, json_prune(value->map.pairs[i].value, depth - 1));
    for (size_t i = 0; !map && i < value->array.count; i++)
        value_add(copy, json_prune(value->array.items[i], depth - 1));
    return copy;
}

static void to_json_end(struct stage *stage)
{
    struct gather *gather = stage_data(stage);
    s64 depth = stage_int(stage, "Depth", -1);
    size_t count = value_count(gather->objects);
    if (!count)
        return;
    bool list = count > 1 || stage_switch(stage, "AsArray");
    struct value *value = value_ref(list ? gather->objects : value_item(gather->objects, 0));
    if (depth >= 0) {
        struct value *pruned = json_prune(value, depth + list - 1);
        value_unref(value);
        value = pruned;
    }
    char *text = json_write(value, false, stage_switch(stage, "Compress") ? 0 : 2);
    value_unref(value);
    if (text)
        stage_put(stage, value_string_put(text));
    else
        stage_fail(stage, CATEGORY_INVALID_ARGUMENT, "JsonTooDeep", "The object is nested too deeply for JSON.");
}

// Lines may come one by one: the text is all of them.
static void from_json_end(struct stage *stage)
{
    struct gather *gather = stage_data(stage);
    struct text lines = {0};
    struct error error = {""};
    for (size_t i = 0; i < value_count(gather->objects); i++) {
        char *line = value_to_text(value_item(gather->objects, i));
        text_put(&lines, line);
        text_put(&lines, "\n");
        free(line);
    }
    char *text = text_take(&lines);
    struct value *value = json_read(text, strlen(text), &error);
    free(text);
    if (!value)
        stage_fail(stage, CATEGORY_INVALID_ARGUMENT, "System.ArgumentException", "Conversion from JSON failed: %s",
                   error.text);
    for (size_t i = 0; value && value->kind == VALUE_ARRAY && i < value->array.count; i++)
        stage_put(stage, value_ref(value->array.items[i]));
    if (value && value->kind != VALUE_ARRAY)
        stage_put(stage, value_ref(value));
    value_unref(value);
}

const struct local_cmdlet local_convert[] = {
    {.name = "ConvertTo-Json", .data = sizeof(struct gather), .process = gather_process, .end = to_json_end,
     .release = gather_release},
    {.name = "ConvertFrom-Json", .data = sizeof(struct gather), .process = gather_process, .end = from_json_end,
     .release = gather_release},
    {0},
};
