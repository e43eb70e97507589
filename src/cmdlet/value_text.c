// See value.h. How values read.
#include "cmdlet/value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmdlet/class.h"
#include "cmdlet/format_text.h"
#include "cmdlet/json.h"

// The shortest digits that read back as the same number, as .NET prints a Double.
static char *real_text(double real)
{
    if (isnan(real))
        return value_text_copy("NaN");
    if (isinf(real))
        return value_text_copy(real < 0 ? "-Infinity" : "Infinity");
    char text[32];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, real);
        if (!(strtod(text, NULL) < real) && !(strtod(text, NULL) > real))
            break;
    }
    return value_text_copy(text);
}

static char *array_text(const struct value *value)
{
    struct text text = {0};
    for (size_t i = 0; i < value->array.count; i++) {
        char *item = value_to_text(value->array.items[i]);
        text_put(&text, i ? " " : "");
        text_put(&text, item);
        free(item);
    }
    return text_take(&text);
}

// An object is its name where its class has one: "$vm" in a message is what its reader wants to see.
static char *object_text(const struct value *value)
{
    const struct class *class = class_find(value->map.type);
    const struct value *name = class && class->display ? value_get(value, class->display) : NULL;
    if (name && !value_is_map(name))
        return value_to_text(name);
    return value_text_copy(class ? class->full_name : value->map.type);
}

char *value_to_text(const struct value *value)
{
    if (!value)
        return value_text_copy("");
    switch (value->kind) {
    case VALUE_NULL:
        return value_text_copy("");
    case VALUE_BOOL:
        return value_text_copy(value->truth ? "True" : "False");
    case VALUE_INT:
        return value_text("%lld", (long long)value->integer);
    case VALUE_REAL:
        return real_text(value->real);
    case VALUE_STRING:
        return value_text_copy(value->string);
    case VALUE_TIMESPAN:
        return json_timespan_text(value->integer);
    case VALUE_DATETIME:
        return json_datetime_text(value->integer);
    case VALUE_ARRAY:
        return array_text(value);
    case VALUE_MAP:
        return value_text_copy("System.Collections.Hashtable");
    case VALUE_OBJECT:
        return object_text(value);
    case VALUE_BLOCK:
        return value_text_copy("{...}");
    }
    return value_text_copy("");
}
