// See field.h.
#include "control/field.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIELD_SHOWN = 64 /* bytes of foreign text in an error */ };

int field_word(const char *const *words, const char *word)
{
    for (int i = 0; words[i]; i++)
        if (!strcmp(words[i], word))
            return i;
    return -1;
}

static const char *field_type(const json_t *json)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "a list", [JSON_STRING] = "a string", [JSON_INTEGER] = "a number",
        [JSON_REAL] = "a fraction",  [JSON_TRUE] = "true",    [JSON_FALSE] = "false",     [JSON_NULL] = "null",
    };
    return names[json_typeof(json)];
}

static int field_wrong(const struct field *field, const char *what, const json_t *value, const char *expected,
                       struct error *error)
{
    return error_set(error, "%s: \"%s\": expected %s, not %s", what, field->name, expected, field_type(value));
}

static int field_read_number(const struct field *field, const char *what, const json_t *value, u64 *number,
                             struct error *error)
{
    if (!json_is_integer(value))
        return field_wrong(field, what, value, "a number", error);
    json_int_t read = json_integer_value(value);
    if (read < 0 || (u64)read < field->least || (u64)read > field->most)
        return error_set(error, "%s: \"%s\": %" JSON_INTEGER_FORMAT " is not within %" PRIu64 " to %" PRIu64, what,
                         field->name, read, field->least, field->most);
    *number = (u64)read;
    return 0;
}

// A string without zero bytes, of an allowed length, and one of the words if there are any.
static const char *field_read_text(const struct field *field, const char *what, const json_t *value,
                                   struct error *error)
{
    if (!json_is_string(value)) {
        field_wrong(field, what, value, "a string", error);
        return NULL;
    }
    const char *text = json_string_value(value);
    size_t length = json_string_length(value);
    if (length != strlen(text) || length < field->least || length > field->most) {
        error_set(error, "%s: \"%s\": expected a string of %" PRIu64 " to %" PRIu64 " bytes", what, field->name,
                  field->least, field->most);
        return NULL;
    }
    if (field->words && field_word(field->words, text) < 0) {
        error_set(error, "%s: \"%s\": \"%.*s\" is none of its values", what, field->name, FIELD_SHOWN, text);
        return NULL;
    }
    return text;
}

static int field_read_mac(const struct field *field, const char *what, const char *text, u8 mac[6],
                          struct error *error)
{
    static const char form[] = "xx:xx:xx:xx:xx:xx", digits[] = "0123456789abcdef0123456789ABCDEF";
    u8 read[6] = {0};
    bool good = strlen(text) == sizeof form - 1;
    for (unsigned i = 0; good && form[i]; i++) {
        const char *digit = strchr(digits, text[i]);
        good = form[i] == ':' ? text[i] == ':' : digit != NULL;
        if (good && form[i] == 'x')
            read[i / 3] = (u8)(read[i / 3] << 4 | ((digit - digits) & 15));
    }
    if (!good)
        return error_set(error, "%s: \"%s\": \"%.*s\" is no Ethernet address", what, field->name, FIELD_SHOWN, text);
    memcpy(mac, read, sizeof read);
    return 0;
}

static int field_read(const struct field *field, const char *what, const json_t *value, void *to, struct error *error)
{
    u64 number = 0;
    const char *text = NULL;
    switch (field->kind) {
    case FIELD_UNSIGNED:
    case FIELD_U64:
        if (field_read_number(field, what, value, &number, error))
            return -1;
        if (field->kind == FIELD_U64)
            *(u64 *)to = number;
        else
            *(unsigned *)to = (unsigned)number;
        return 0;
    case FIELD_BOOL:
        if (!json_is_boolean(value))
            return field_wrong(field, what, value, "true or false", error);
        *(bool *)to = json_is_true(value);
        return 0;
    case FIELD_STRING:
    case FIELD_TEXT:
    case FIELD_MAC:
    case FIELD_ENUM:
        text = field_read_text(field, what, value, error);
        break;
    }
    if (!text)
        return -1;
    if (field->kind == FIELD_MAC)
        return field_read_mac(field, what, text, to, error);
    if (field->kind == FIELD_ENUM) {
        *(int *)to = field_word(field->words, text);
    } else if (field->kind == FIELD_TEXT) {
        strcpy(to, text);
    } else {
        free(*(char **)to);
        *(char **)to = strdup(text);
        if (!*(char **)to)
            return error_set(error, "%s: out of memory", what);
    }
    return 0;
}

int fields_read(const struct field *fields, unsigned count, const char *what, const json_t *object, void *to,
                struct error *error)
{
    if (!json_is_object(object))
        return error_set(error, "%s: expected an object", what);
    for (unsigned i = 0; i < count; i++) {
        const json_t *value = json_object_get(object, fields[i].name);
        if (!value || json_is_null(value)) {
            if (fields[i].required)
                return error_set(error, "%s: \"%s\" is missing", what, fields[i].name);
            continue;
        }
        if (field_read(&fields[i], what, value, (char *)to + fields[i].offset, error))
            return -1;
    }
    return 0;
}

int fields_only(const struct field *fields, unsigned count, const char *const *others, const char *what,
                const json_t *object, struct error *error)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value) {
        bool known = field_word(others, name) >= 0;
        for (unsigned i = 0; i < count && !known; i++)
            known = !strcmp(fields[i].name, name);
        if (!known)
            return error_set(error, "%s: \"%.*s\" is not known here", what, FIELD_SHOWN, name);
    }
    return 0;
}

static json_t *field_write(const struct field *field, const void *from)
{
    char text[24];
    const u8 *mac = from;
    switch (field->kind) {
    case FIELD_STRING:
        return *(char *const *)from ? json_string(*(char *const *)from) : json_null();
    case FIELD_TEXT: { // a guest may have said it: what is not UTF-8 is nothing
        json_t *json = json_string(from);
        return json ? json : json_string("");
    }
    case FIELD_UNSIGNED:
        return json_integer(*(const unsigned *)from);
    case FIELD_U64:
        return json_integer((json_int_t)*(const u64 *)from);
    case FIELD_BOOL:
        return json_boolean(*(const bool *)from);
    case FIELD_MAC:
        snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
        return json_string(text);
    case FIELD_ENUM:
        return json_string(field->words[*(const int *)from]);
    }
    return NULL;
}

json_t *fields_write(const struct field *fields, unsigned count, const void *from)
{
    json_t *object = json_object();
    for (unsigned i = 0; i < count && object; i++)
        if (json_object_set_new(object, fields[i].name,
                                field_write(&fields[i], (const char *)from + fields[i].offset))) {
            json_decref(object);
            object = NULL;
        }
    return object;
}

void fields_free(const struct field *fields, unsigned count, void *of)
{
    for (unsigned i = 0; i < count; i++) {
        if (fields[i].kind != FIELD_STRING)
            continue;
        char **text = (char **)(void *)((char *)of + fields[i].offset);
        free(*text);
        *text = NULL;
    }
}
