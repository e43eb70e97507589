// See value.h. Making, sharing and reading values; comparing them is value_compare.c, their text value_text.c.
#include "cmdlet/value.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmdlet/value_room.h"

static _Noreturn void value_exhausted(size_t bytes)
{
    fprintf(stderr, "nidus: out of memory for %zu bytes\n", bytes);
    abort();
}

void *value_allocate(size_t bytes)
{
    void *memory = calloc(1, bytes ? bytes : 1);
    if (!memory)
        value_exhausted(bytes);
    return memory;
}

void *value_reallocate(void *old, size_t bytes)
{
    void *memory = realloc(old, bytes ? bytes : 1);
    if (!memory)
        value_exhausted(bytes);
    return memory;
}

char *value_text_copy(const char *text)
{
    size_t bytes = strlen(text) + 1;
    return memcpy(value_allocate(bytes), text, bytes);
}

__attribute__((format(printf, 1, 0))) static char *value_vtext(const char *format, va_list arguments)
{
    char *text = NULL;
    if (vasprintf(&text, format, arguments) < 0)
        value_exhausted(0);
    return text;
}

char *value_text(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = value_vtext(format, arguments);
    va_end(arguments);
    return text;
}

static struct value *value_make(enum value_kind kind)
{
    struct value *value = value_allocate(sizeof *value);
    value->kind = kind;
    value->references = 1;
    return value;
}

struct value *value_ref(struct value *value)
{
    if (value)
        value->references++;
    return value;
}

static void value_release_map(struct value *value)
{
    for (size_t i = 0; i < value->map.count; i++) {
        free(value->map.pairs[i].key);
        value_unref(value->map.pairs[i].value);
    }
    free(value->map.pairs);
    free(value->map.type);
}

void value_unref(struct value *value)
{
    if (!value || --value->references)
        return;
    switch (value->kind) {
    case VALUE_STRING:
        free(value->string);
        break;
    case VALUE_ARRAY:
        for (size_t i = 0; i < value->array.count; i++)
            value_unref(value->array.items[i]);
        free(value->array.items);
        break;
    case VALUE_MAP:
    case VALUE_OBJECT:
        value_release_map(value);
        break;
    case VALUE_BLOCK:
        if (value->block.release)
            value->block.release(value->block.node);
        break;
    default:
        break;
    }
    free(value);
}

struct value *value_null(void) { return value_make(VALUE_NULL); }

struct value *value_bool(bool truth)
{
    struct value *value = value_make(VALUE_BOOL);
    value->truth = truth;
    return value;
}

static struct value *value_make_integer(enum value_kind kind, s64 integer)
{
    struct value *value = value_make(kind);
    value->integer = integer;
    return value;
}

struct value *value_int(s64 integer) { return value_make_integer(VALUE_INT, integer); }
struct value *value_timespan(s64 ticks) { return value_make_integer(VALUE_TIMESPAN, ticks); }
struct value *value_datetime(s64 ticks) { return value_make_integer(VALUE_DATETIME, ticks); }

struct value *value_real(double real)
{
    struct value *value = value_make(VALUE_REAL);
    value->real = real;
    return value;
}

struct value *value_string_put(char *text)
{
    struct value *value = value_make(VALUE_STRING);
    value->string = text;
    return value;
}

struct value *value_string(const char *text) { return value_string_put(value_text_copy(text ? text : "")); }

struct value *value_format(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = value_vtext(format, arguments);
    va_end(arguments);
    return value_string_put(text);
}

struct value *value_array(void) { return value_make(VALUE_ARRAY); }
struct value *value_map(void) { return value_make(VALUE_MAP); }

struct value *value_object(const char *type)
{
    struct value *value = value_make(VALUE_OBJECT);
    value->map.type = value_text_copy(type);
    return value;
}

struct value *value_block(void *node, void (*release)(void *node))
{
    struct value *value = value_make(VALUE_BLOCK);
    value->block.node = node;
    value->block.release = release;
    return value;
}

// Doubling keeps the cost of n appends at n.
static size_t value_more_room(size_t room) { return room ? 2 * room : 8; }

void value_add(struct value *array, struct value *item)
{
    assert(array->kind == VALUE_ARRAY && item);
    if (array->array.count == array->array.room) {
        array->array.room = value_more_room(array->array.room);
        array->array.items = value_reallocate(array->array.items, array->array.room * sizeof *array->array.items);
    }
    array->array.items[array->array.count++] = item;
}

size_t value_count(const struct value *array)
{
    return array && array->kind == VALUE_ARRAY ? array->array.count : 0;
}

struct value *value_item(const struct value *array, size_t index)
{
    return index < value_count(array) ? array->array.items[index] : NULL;
}

bool value_is_map(const struct value *value)
{
    return value && (value->kind == VALUE_MAP || value->kind == VALUE_OBJECT);
}

bool value_is_a(const struct value *value, const char *type)
{
    return value && value->kind == VALUE_OBJECT && !value_name_compare(value->map.type, type);
}

static struct value_pair *value_find(const struct value *map, const char *key)
{
    for (size_t i = 0; i < map->map.count; i++)
        if (!value_name_compare(map->map.pairs[i].key, key))
            return &map->map.pairs[i];
    return NULL;
}

void value_put(struct value *map, const char *key, struct value *item)
{
    assert(value_is_map(map) && item);
    struct value_pair *pair = value_find(map, key);
    if (pair) {
        value_unref(pair->value);
        pair->value = item;
        return;
    }
    if (map->map.count == map->map.room) {
        map->map.room = value_more_room(map->map.room);
        map->map.pairs = value_reallocate(map->map.pairs, map->map.room * sizeof *map->map.pairs);
    }
    map->map.pairs[map->map.count++] = (struct value_pair){.key = value_text_copy(key), .value = item};
}

struct value *value_get(const struct value *map, const char *key)
{
    struct value_pair *pair = value_is_map(map) ? value_find(map, key) : NULL;
    return pair ? pair->value : NULL;
}

struct value *value_copy(const struct value *value)
{
    struct value *copy;
    switch (value->kind) {
    case VALUE_STRING:
        return value_string(value->string);
    case VALUE_ARRAY:
        copy = value_array();
        for (size_t i = 0; i < value->array.count; i++)
            value_add(copy, value_copy(value->array.items[i]));
        return copy;
    case VALUE_MAP:
    case VALUE_OBJECT:
        copy = value->map.type ? value_object(value->map.type) : value_map();
        for (size_t i = 0; i < value->map.count; i++)
            value_put(copy, value->map.pairs[i].key, value_copy(value->map.pairs[i].value));
        return copy;
    case VALUE_BLOCK: // belongs to its shell, and means nothing elsewhere
        return value_null();
    default:
        copy = value_make(value->kind);
        copy->integer = value->integer;
        if (value->kind == VALUE_REAL)
            copy->real = value->real;
        else if (value->kind == VALUE_BOOL)
            copy->truth = value->truth;
        return copy;
    }
}

bool value_as_bool(const struct value *value, bool fallback)
{
    return value && value->kind == VALUE_BOOL ? value->truth : fallback;
}

s64 value_as_int(const struct value *value, s64 fallback)
{
    if (!value)
        return fallback;
    switch (value->kind) {
    case VALUE_INT:
    case VALUE_TIMESPAN:
    case VALUE_DATETIME:
        return value->integer;
    default:
        return fallback;
    }
}

const char *value_as_string(const struct value *value, const char *fallback)
{
    return value && value->kind == VALUE_STRING ? value->string : fallback;
}
