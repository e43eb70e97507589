// See operate_text.h. Regular expressions are PCRE2's, with limits: a pattern is foreign, and some patterns never end.
#define PCRE2_CODE_UNIT_WIDTH 8
#include "cmdlet/operate_text.h"

#include <math.h>
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "cmdlet/format_text.h"
#include "cmdlet/value_room.h"

enum { MATCH_LIMIT = 1000000, MATCH_DEPTH = 2000, MATCH_HEAP_KIB = 20000, PATTERN_BYTES = 16 << 10 };
enum { SPLIT_MOST = 1 << 20 };

struct matcher {
    struct session *session;
    const struct node *node;
    pcre2_code *code;
    pcre2_match_context *context;
    pcre2_match_data *data;
};

static void matcher_release(struct matcher *matcher)
{
    pcre2_match_data_free(matcher->data);
    pcre2_match_context_free(matcher->context);
    pcre2_code_free(matcher->code);
}

static bool matcher_make(struct matcher *matcher, struct session *session, const struct node *node, const char *pattern,
                         bool sensitive)
{
    int code;
    PCRE2_SIZE at;
    *matcher = (struct matcher){.session = session, .node = node};
    if (strlen(pattern) > PATTERN_BYTES) {
        session_fail(session, node, "InvalidRegularExpression", "The regular expression is longer than %d bytes.",
                     PATTERN_BYTES);
        return false;
    }
    matcher->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                                  PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | (sensitive ? 0 : PCRE2_CASELESS), &code, &at,
                                  NULL);
    if (!matcher->code) {
        char why[160];
        pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
        session_fail(session, node, "InvalidRegularExpression",
                     "The regular expression pattern %.200s is not valid: %s at character %zu.", pattern, why,
                     (size_t)at);
        return false;
    }
    matcher->context = pcre2_match_context_create(NULL);
    matcher->data = pcre2_match_data_create_from_pattern(matcher->code, NULL);
    pcre2_set_match_limit(matcher->context, MATCH_LIMIT);
    pcre2_set_depth_limit(matcher->context, MATCH_DEPTH);
    pcre2_set_heap_limit(matcher->context, MATCH_HEAP_KIB);
    return true;
}

// How many groups matched; 0: no match; -1: the limits were reached.
static int matcher_run(struct matcher *matcher, const char *text, size_t length, size_t from, unsigned options)
{
    int count = pcre2_match(matcher->code, (PCRE2_SPTR)text, length, from, PCRE2_NO_UTF_CHECK | options, matcher->data,
                            matcher->context);
    matcher->session->steps += 16;
    if (count == PCRE2_ERROR_NOMATCH)
        return 0;
    if (count < 0)
        session_fail(matcher->session, matcher->node, "RegularExpressionLimit",
                     "The regular expression takes too long on this text.");
    return count < 0 ? -1 : count;
}

static struct value *group_text(const struct matcher *matcher, const char *text, unsigned group)
{
    const PCRE2_SIZE *span = pcre2_get_ovector_pointer(matcher->data) + 2 * group;
    if (span[0] == PCRE2_UNSET || span[1] < span[0])
        return NULL;
    return value_format("%.*s", (int)(span[1] - span[0]), text + span[0]);
}

static void matches_set(const struct matcher *matcher, const char *text, int count)
{
    struct value *matches = value_map();
    uint32_t names = 0, bytes = 0;
    PCRE2_SPTR table = NULL;
    for (int i = 0; i < count; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        struct value *group = group_text(matcher, text, (unsigned)i);
        if (group)
            value_put(matches, key, group);
    }
    pcre2_pattern_info(matcher->code, PCRE2_INFO_NAMECOUNT, &names);
    pcre2_pattern_info(matcher->code, PCRE2_INFO_NAMEENTRYSIZE, &bytes);
    pcre2_pattern_info(matcher->code, PCRE2_INFO_NAMETABLE, &table);
    for (uint32_t i = 0; i < names; i++) { // an entry is the group's number in two bytes, then its name
        unsigned group = (unsigned)table[i * bytes] << 8 | table[i * bytes + 1];
        struct value *value = (int)group < count ? group_text(matcher, text, group) : NULL;
        if (value)
            value_put(matches, (const char *)table + i * bytes + 2, value);
    }
    variable_set(matcher->session, "Matches", matches);
}

int text_match(struct session *session, const struct node *node, const char *text, const char *pattern, bool sensitive)
{
    struct matcher matcher;
    if (!matcher_make(&matcher, session, node, pattern, sensitive))
        return -1;
    int count = matcher_run(&matcher, text, strlen(text), 0, 0);
    if (count > 0)
        matches_set(&matcher, text, count);
    matcher_release(&matcher);
    return count > 0 ? 1 : count;
}

struct value *text_replace(struct session *session, const struct node *node, const char *text, const char *pattern,
                           const char *with, bool sensitive)
{
    struct matcher matcher;
    if (!matcher_make(&matcher, session, node, pattern, sensitive))
        return NULL;
    PCRE2_SIZE room = 2 * strlen(text) + strlen(with) + 64;
    char *out = NULL;
    int count = PCRE2_ERROR_NOMEMORY;
    // More room until it is enough: asking how much it takes would cost as much as doing it, however much that is.
    for (; count == PCRE2_ERROR_NOMEMORY && room < SESSION_VALUE_BYTES; room *= 8) {
        if (!session_charge(session, room >> 8))
            break;
        PCRE2_SIZE bytes = room;
        out = value_reallocate(out, room + 1);
        count = pcre2_substitute(matcher.code, (PCRE2_SPTR)text, strlen(text), 0,
                                 PCRE2_SUBSTITUTE_GLOBAL | PCRE2_SUBSTITUTE_UNSET_EMPTY |
                                 PCRE2_SUBSTITUTE_UNKNOWN_UNSET, matcher.data, matcher.context, (PCRE2_SPTR)with,
                                 strlen(with), (PCRE2_UCHAR *)out, &bytes);
    }
    matcher_release(&matcher);
    if (count >= 0)
        return value_string_put(out);
    free(out);
    return session_fail(session, node, "RegularExpressionLimit", "The text cannot be replaced with '%.100s'.", with);
}

struct value *text_split(struct session *session, const struct node *node, const char *text, const char *pattern,
                         s64 most, bool sensitive)
{
    struct matcher matcher;
    if (!matcher_make(&matcher, session, node, pattern, sensitive))
        return NULL;
    struct value *parts = value_array();
    size_t length = strlen(text), from = 0, search = 0;
    int count = 0;
    while (search <= length && (most <= 0 || (s64)parts->array.count + 1 < most) && parts->array.count < SPLIT_MOST &&
           session_step(session) && (count = matcher_run(&matcher, text, length, search, 0)) > 0) {
        const PCRE2_SIZE *span = pcre2_get_ovector_pointer(matcher.data);
        if (span[1] < span[0])
            break;
        if (span[1] == span[0]) { // between two characters, but not at the ends
            search = span[0] + 1;
            while (search < length && ((u8)text[search] & 0xc0) == 0x80)
                search++;
            if (span[0] == from || span[0] >= length)
                continue;
        } else {
            search = span[1];
        }
        value_add(parts, value_format("%.*s", (int)(span[0] - from), text + from));
        from = span[1];
        for (int group = 1; group < count; group++) {
            struct value *value = group_text(&matcher, text, (unsigned)group);
            if (value)
                value_add(parts, value);
        }
    }
    matcher_release(&matcher);
    value_add(parts, value_string(text + from));
    if (count >= 0 && session->flow == FLOW_ON)
        return parts;
    value_unref(parts);
    return NULL;
}

struct value *text_join(struct value *list, const char *between)
{
    if (list->kind != VALUE_ARRAY)
        return value_string_put(value_to_text(list));
    struct text text = {0};
    for (size_t i = 0; i < list->array.count; i++) {
        char *item = value_to_text(list->array.items[i]);
        text_put(&text, i ? between : "");
        text_put(&text, item);
        free(item);
    }
    return value_string_put(text_take(&text));
}

// 1234567 -> 1,234,567
static char *number_grouped(const char *digits)
{
    size_t sign = *digits == '-', whole = strcspn(digits + sign, "."), put = 0;
    char *out = value_allocate(2 * strlen(digits) + 2);
    if (sign)
        out[put++] = '-';
    for (size_t i = 0; i < whole; i++) {
        if (i && (whole - i) % 3 == 0)
            out[put++] = ',';
        out[put++] = digits[sign + i];
    }
    strcpy(out + put, digits + sign + whole);
    return out;
}

static double number_real(const struct value *value)
{
    return value->kind == VALUE_REAL ? value->real : value->kind == VALUE_INT ? (double)value->integer : 0;
}

char *text_format_one(const struct value *value, const char *format)
{
    bool number = value->kind == VALUE_INT || value->kind == VALUE_REAL, digits = format[1] >= '0' && format[1] <= '9';
    int places = digits ? atoi(format + 1) % 100 : -1;
    if (!number || !*format)
        return value_to_text(value);
    switch (*format | 32) {
    case 'n': {
        char *plain = value_text("%.*f", places < 0 ? 2 : places, number_real(value)), *text = number_grouped(plain);
        free(plain);
        return text;
    }
    case 'f':
        return value_text("%.*f", places < 0 ? 2 : places, number_real(value));
    case 'p':
        return value_text("%.*f %%", places < 0 ? 2 : places, 100 * number_real(value));
    case 'd':
        if (value->kind == VALUE_INT)
            return value_text("%0*lld", (places < 0 ? 0 : places) + (value->integer < 0), (long long)value->integer);
        break;
    case 'x':
        if (value->kind == VALUE_INT)
            return value_text(*format == 'x' ? "%0*llx" : "%0*llX", places < 0 ? 0 : places,
                              (unsigned long long)value->integer);
        break;
    case '0': { // "00", "0.00"
        size_t zeros = strspn(format, "0"), fraction = format[zeros] == '.' ? strspn(format + zeros + 1, "0#") : 0;
        if (zeros < 40 && fraction < 40)
            return value_text("%0*.*f", (int)(zeros + (fraction ? fraction + 1 : 0)), (int)fraction,
                              number_real(value));
        break;
    }
    default:
        break;
    }
    return value_to_text(value);
}

// {index[,width][:format]} at `at`, which is behind the brace. NULL: it is none.
static const char *format_item(const char *at, FILE *out, struct value *arguments)
{
    char *end;
    unsigned long index = strtoul(at, &end, 10);
    long width = 0;
    bool many = arguments->kind == VALUE_ARRAY;
    if (end == at || index >= (many ? arguments->array.count : 1))
        return NULL;
    if (*end == ',')
        width = strtol(end + 1, &end, 10);
    char format[40] = "";
    if (*end == ':') {
        size_t bytes = strcspn(++end, "}");
        snprintf(format, sizeof format, "%.*s", (int)(bytes < sizeof format ? bytes : sizeof format - 1), end);
        end += bytes;
    }
    if (*end != '}' || labs(width) > 1000)
        return NULL;
    char *text = text_format_one(many ? arguments->array.items[index] : arguments, format);
    fprintf(out, "%*s", (int)width, text);
    free(text);
    return end + 1;
}

struct value *text_format(struct session *session, const struct node *node, const char *format, struct value *arguments)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    const char *at = format;
    while (at && *at && out && session_step(session)) {
        if ((*at == '{' || *at == '}') && at[1] == *at) {
            fputc(*at, out);
            at += 2;
        } else if (*at == '{') {
            at = format_item(at + 1, out, arguments);
        } else {
            fputc(*at++, out);
        }
    }
    if (out)
        fclose(out);
    if (at && session->flow == FLOW_ON)
        return value_string_put(text);
    free(text);
    return session_fail(session, node, "FormatError",
                        "Error formatting a string: '%.100s' asks for an argument that is not there, or is no format.",
                        format);
}
