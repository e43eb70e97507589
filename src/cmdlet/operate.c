// See session_room.h. What the operators do with their operands: the left one decides, as in PowerShell.
#include "cmdlet/session_room.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cmdlet/class.h"
#include "cmdlet/json.h"
#include "cmdlet/lexer.h"
#include "cmdlet/operate_text.h"
#include "cmdlet/value_room.h"

enum { OPERATE_ITEMS = 1 << 20 };

// A value as a number: the text of one counts, nothing is 0. NULL: it is none.
static struct value *number_of(struct value *value)
{
    const char *end;
    struct value *number;
    switch (value->kind) {
    case VALUE_INT:
    case VALUE_REAL:
        return value_ref(value);
    case VALUE_NULL:
        return value_int(0);
    case VALUE_BOOL:
        return value_int(value->truth);
    case VALUE_STRING:
        if (!*value->string)
            return value_int(0);
        number = lexer_number(value->string, &end);
        if (number && !*end)
            return number;
        value_unref(number);
        return NULL;
    default:
        return NULL;
    }
}

static double real_of(const struct value *number)
{
    return number->kind == VALUE_INT ? (double)number->integer : number->real;
}

static struct value *operate_fail(struct session *session, const struct node *node, const char *name,
                                  struct value *left, struct value *right)
{
    char *left_text = value_to_text(left), *right_text = value_to_text(right);
    session_fail(session, node, "InvalidOperation", "Cannot compute '%.80s' %s '%.80s': they are not of the same kind.",
                 left_text, name, right_text);
    free(left_text);
    free(right_text);
    return NULL;
}

static struct value *divide(struct session *session, const struct node *node, enum operator op, struct value *left,
                            struct value *right)
{
    bool whole = left->kind == VALUE_INT && right->kind == VALUE_INT;
    if (whole && !right->integer)
        return session_fail(session, node, "RuntimeException", "Attempted to divide by zero.");
    if (!whole)
        return value_real(op == OPERATOR_DIVIDE ? real_of(left) / real_of(right) : fmod(real_of(left), real_of(right)));
    if (right->integer == -1) // the least number has no counterpart
        return op == OPERATOR_DIVIDE ? value_real(-real_of(left)) : value_int(0);
    if (op == OPERATOR_REMAINDER)
        return value_int(left->integer % right->integer);
    if (left->integer % right->integer)
        return value_real(real_of(left) / real_of(right));
    return value_int(left->integer / right->integer);
}

// Two numbers. What does not fit 64 bits becomes a real.
static struct value *arithmetic(struct session *session, const struct node *node, enum operator op, struct value *left,
                                struct value *right)
{
    s64 result;
    bool whole = left->kind == VALUE_INT && right->kind == VALUE_INT;
    switch (op) {
    case OPERATOR_ADD:
        if (whole && !__builtin_add_overflow(left->integer, right->integer, &result))
            return value_int(result);
        return value_real(real_of(left) + real_of(right));
    case OPERATOR_SUBTRACT:
        if (whole && !__builtin_sub_overflow(left->integer, right->integer, &result))
            return value_int(result);
        return value_real(real_of(left) - real_of(right));
    case OPERATOR_MULTIPLY:
        if (whole && !__builtin_mul_overflow(left->integer, right->integer, &result))
            return value_int(result);
        return value_real(real_of(left) * real_of(right));
    default:
        return divide(session, node, op, left, right);
    }
}

static struct value *add_array(struct value *left, struct value *right)
{
    struct value *sum = value_array();
    for (size_t i = 0; i < left->array.count; i++)
        value_add(sum, value_ref(left->array.items[i]));
    if (right->kind == VALUE_ARRAY)
        for (size_t i = 0; i < right->array.count; i++)
            value_add(sum, value_ref(right->array.items[i]));
    else
        value_add(sum, value_ref(right));
    return sum;
}

static struct value *add_map(struct value *left, struct value *right)
{
    struct value *sum = value_map();
    for (size_t i = 0; i < left->map.count; i++)
        value_put(sum, left->map.pairs[i].key, value_ref(left->map.pairs[i].value));
    for (size_t i = 0; i < right->map.count; i++)
        value_put(sum, right->map.pairs[i].key, value_ref(right->map.pairs[i].value));
    return sum;
}

static struct value *add_text(struct value *left, struct value *right)
{
    char *text = value_to_text(right);
    struct value *sum = value_format("%s%s", left->string, text);
    free(text);
    return sum;
}

// Text or a list, as many times.
static struct value *repeat(struct session *session, const struct node *node, struct value *left, struct value *right)
{
    struct value *times = number_of(right), *product = NULL;
    s64 count = times && times->kind == VALUE_INT ? times->integer : -1;
    size_t bytes = left->kind == VALUE_STRING ? strlen(left->string) : left->array.count;
    value_unref(times);
    if (count < 0)
        return operate_fail(session, node, "*", left, right);
    if (bytes && (u64)count > SESSION_VALUE_BYTES / bytes)
        return session_fail(session, node, "ValueTooLarge", "The value is too large.");
    if (!bytes)
        return value_ref(left);
    if (!session_charge(session, bytes * (u64)count >> 10))
        return NULL;
    if (left->kind == VALUE_STRING) {
        char *text = value_allocate(bytes * (size_t)count + 1);
        for (s64 i = 0; i < count; i++)
            memcpy(text + (size_t)i * bytes, left->string, bytes);
        return value_string_put(text);
    }
    if (bytes * (size_t)count > OPERATE_ITEMS)
        return session_fail(session, node, "ValueTooLarge", "The value is too large.");
    product = value_array();
    for (s64 i = 0; i < count; i++)
        for (size_t item = 0; item < bytes; item++)
            value_add(product, value_ref(left->array.items[item]));
    return product;
}

// Times: a span and a span, a date and a span, a date and a date.
static struct value *times(enum operator op, const struct value *left, const struct value *right)
{
    s64 result;
    bool date = left->kind == VALUE_DATETIME, span = right->kind == VALUE_TIMESPAN;
    if (op == OPERATOR_ADD && span && !__builtin_add_overflow(left->integer, right->integer, &result))
        return date ? value_datetime(result) : value_timespan(result);
    if (op != OPERATOR_SUBTRACT || (!date && !span) || __builtin_sub_overflow(left->integer, right->integer, &result))
        return NULL;
    return date && span ? value_datetime(result) : value_timespan(result);
}

static bool is_time(const struct value *value)
{
    return value->kind == VALUE_TIMESPAN || value->kind == VALUE_DATETIME;
}

static struct value *compute(struct session *session, const struct node *node, enum operator op, struct value *left,
                             struct value *right)
{
    static const char *const names[] = {
        [OPERATOR_ADD] = "+", [OPERATOR_SUBTRACT] = "-", [OPERATOR_MULTIPLY] = "*", [OPERATOR_DIVIDE] = "/",
        [OPERATOR_REMAINDER] = "%",
    };
    if (op == OPERATOR_ADD) {
        if (left->kind == VALUE_NULL)
            return value_ref(right);
        if (left->kind == VALUE_ARRAY)
            return add_array(left, right);
        if (left->kind == VALUE_STRING)
            return add_text(left, right);
        if (left->kind == VALUE_MAP && right->kind == VALUE_MAP)
            return add_map(left, right);
    }
    if (op == OPERATOR_MULTIPLY && (left->kind == VALUE_STRING || left->kind == VALUE_ARRAY))
        return repeat(session, node, left, right);
    struct value *result = NULL;
    if (is_time(left) && is_time(right)) {
        result = times(op, left, right);
    } else {
        struct value *a = number_of(left), *b = number_of(right);
        if (a && b)
            result = arithmetic(session, node, op, a, b);
        value_unref(a);
        value_unref(b);
    }
    return result || session->flow != FLOW_ON ? result : operate_fail(session, node, names[op], left, right);
}

static struct value *range(struct session *session, const struct node *node, struct value *left, struct value *right)
{
    struct value *a = number_of(left), *b = number_of(right), *list = NULL;
    if (!a || !b || fabs(real_of(a)) > 1e15 || fabs(real_of(b)) > 1e15) {
        operate_fail(session, node, "..", left, right);
    } else {
        s64 from = llround(real_of(a)), to = llround(real_of(b)), step = from <= to ? 1 : -1;
        if ((to - from) * step >= OPERATE_ITEMS) {
            session_fail(session, node, "ValueTooLarge", "The range has more than %d numbers.", OPERATE_ITEMS);
        } else if (session_charge(session, (u64)((to - from) * step) >> 4)) {
            list = value_array();
            for (s64 i = from;; i += step) {
                value_add(list, value_int(i));
                if (i == to)
                    break;
            }
        }
    }
    value_unref(a);
    value_unref(b);
    return list;
}

// Comparisons of one with one.

static bool equal(const struct value *left, const struct value *right, bool sensitive)
{
    if (sensitive && left->kind == VALUE_STRING && right->kind == VALUE_STRING)
        return !strcmp(left->string, right->string);
    return value_equal(left, right);
}

static int order(const struct value *left, const struct value *right, bool sensitive)
{
    if (sensitive && left->kind == VALUE_STRING && right->kind == VALUE_STRING)
        return strcmp(left->string, right->string);
    return value_compare(left, right);
}

static bool contains(const struct value *list, const struct value *item, bool sensitive)
{
    if (list->kind != VALUE_ARRAY)
        return equal(list, item, sensitive);
    for (size_t i = 0; i < list->array.count; i++)
        if (equal(list->array.items[i], item, sensitive))
            return true;
    return false;
}

static bool match(struct session *session, const struct node *node, enum operator op, struct value *left,
                  struct value *right)
{
    char *text = value_to_text(left), *pattern = value_to_text(right);
    bool like = op == OPERATOR_LIKE || op == OPERATOR_NOTLIKE;
    bool negated = op == OPERATOR_NOTLIKE || op == OPERATOR_NOTMATCH;
    bool found;
    session->steps += like ? strlen(text) * strlen(pattern) >> 12 : 0;
    if (like) // letter case: what -clike adds is rare enough to be left to -cmatch
        found = value_name_like(text, pattern);
    else
        found = text_match(session, node, text, pattern, node && node->sensitive) > 0;
    free(text);
    free(pattern);
    return found != negated;
}

static bool compare_one(struct session *session, const struct node *node, enum operator op, struct value *left,
                        struct value *right)
{
    bool sensitive = node && node->sensitive;
    switch (op) {
    case OPERATOR_EQ:
        return equal(left, right, sensitive);
    case OPERATOR_NE:
        return !equal(left, right, sensitive);
    case OPERATOR_GT:
        return order(left, right, sensitive) > 0;
    case OPERATOR_GE:
        return order(left, right, sensitive) >= 0;
    case OPERATOR_LT:
        return order(left, right, sensitive) < 0;
    case OPERATOR_LE:
        return order(left, right, sensitive) <= 0;
    default:
        return match(session, node, op, left, right);
    }
}

// A list on the left is filtered.
static struct value *compare(struct session *session, const struct node *node, enum operator op, struct value *left,
                             struct value *right)
{
    struct value *result;
    if (left->kind != VALUE_ARRAY) {
        result = value_bool(compare_one(session, node, op, left, right));
    } else {
        result = value_array();
        for (size_t i = 0; i < left->array.count && session_step(session); i++)
            if (compare_one(session, node, op, left->array.items[i], right))
                value_add(result, value_ref(left->array.items[i]));
    }
    if (session->flow == FLOW_ON)
        return result;
    value_unref(result);
    return NULL;
}

static const char *trimmed(char *text)
{
    size_t length = strlen(text);
    while (length && strchr(" \t\r\n", text[length - 1]))
        text[--length] = 0;
    return text + strspn(text, " \t\r\n");
}

// "text" -replace "pattern", "with"; -split "pattern", most
static struct value *texts(struct session *session, const struct node *node, enum operator op, struct value *left,
                           struct value *right)
{
    struct value *first = right->kind == VALUE_ARRAY ? value_item(right, 0) : right, *second = value_item(right, 1);
    char *text = value_to_text(left), *pattern = value_to_text(first), *with = value_to_text(second);
    struct value *result;
    if (op == OPERATOR_REPLACE)
        result = text_replace(session, node, text, pattern, with, node->sensitive);
    else if (node->kind == NODE_UNARY) // -split "a  b": at white space, ends ignored
        result = text_split(session, node, trimmed(text), "\\s+", 0, false);
    else
        result = text_split(session, node, text, pattern, value_as_int(second, 0), node->sensitive);
    free(text);
    free(pattern);
    free(with);
    return result;
}

static struct value *texts_each(struct session *session, const struct node *node, enum operator op, struct value *left,
                                struct value *right)
{
    if (left->kind != VALUE_ARRAY)
        return texts(session, node, op, left, right);
    struct value *results = value_array();
    for (size_t i = 0; i < left->array.count && session_step(session); i++) {
        struct value *one = texts(session, node, op, left->array.items[i], right);
        struct sink sink = eval_collector(results);
        if (one)
            eval_output(session, one, &sink);
    }
    if (session->flow == FLOW_ON)
        return results;
    value_unref(results);
    return NULL;
}

static struct value *bits(struct session *session, const struct node *node, enum operator op, struct value *left,
                          struct value *right)
{
    struct value *a = number_of(left), *b = number_of(right), *result = NULL;
    if (a && b && a->kind == VALUE_INT && b->kind == VALUE_INT)
        result = value_int(op == OPERATOR_BAND ? a->integer & b->integer
                           : op == OPERATOR_BOR ? a->integer | b->integer : a->integer ^ b->integer);
    else
        operate_fail(session, node, "-band", left, right);
    value_unref(a);
    value_unref(b);
    return result;
}

static struct value *format(struct session *session, const struct node *node, struct value *left, struct value *right)
{
    char *text = value_to_text(left);
    struct value *result = text_format(session, node, text, right);
    free(text);
    return result;
}

static struct value *join(struct value *left, struct value *right)
{
    char *between = value_to_text(right);
    struct value *result = text_join(left, between);
    free(between);
    return result;
}

static struct value *operate_kind(struct session *session, const struct node *node, enum operator op,
                                  struct value *left, struct value *right)
{
    bool sensitive = node && node->sensitive;
    switch (op) {
    case OPERATOR_ADD:
    case OPERATOR_SUBTRACT:
    case OPERATOR_MULTIPLY:
    case OPERATOR_DIVIDE:
    case OPERATOR_REMAINDER:
        return compute(session, node, op, left, right);
    case OPERATOR_RANGE:
        return range(session, node, left, right);
    case OPERATOR_FORMAT:
        return format(session, node, left, right);
    case OPERATOR_CONTAINS:
    case OPERATOR_NOTCONTAINS:
        return value_bool(contains(left, right, sensitive) == (op == OPERATOR_CONTAINS));
    case OPERATOR_IN:
    case OPERATOR_NOTIN:
        return value_bool(contains(right, left, sensitive) == (op == OPERATOR_IN));
    case OPERATOR_REPLACE:
    case OPERATOR_SPLIT:
        return texts_each(session, node, op, left, right);
    case OPERATOR_JOIN:
        return join(left, right);
    case OPERATOR_IS:
    case OPERATOR_ISNOT:
        return value_bool(operate_is(left, value_as_string(right, "")) == (op == OPERATOR_IS));
    case OPERATOR_AS:
        return operate_cast(session, node, value_as_string(right, ""), left);
    case OPERATOR_XOR:
        return value_bool(value_truth(left) != value_truth(right));
    case OPERATOR_BAND:
    case OPERATOR_BOR:
    case OPERATOR_BXOR:
        return bits(session, node, op, left, right);
    default:
        return compare(session, node, op, left, right);
    }
}

struct value *operate_binary(struct session *session, const struct node *node, enum operator op, struct value *left,
                             struct value *right)
{
    return eval_bounded(session, node, operate_kind(session, node, op, left, right));
}

// Types.

// "System.Int32", "int" -> the kind. -1: another one.
static int type_kind(const char *type)
{
    static const struct { const char *name; int kind; } types[] = {
        {"string", VALUE_STRING}, {"int", VALUE_INT}, {"int32", VALUE_INT}, {"int64", VALUE_INT}, {"long", VALUE_INT},
        {"uint32", VALUE_INT}, {"uint64", VALUE_INT}, {"byte", VALUE_INT}, {"bool", VALUE_BOOL},
        {"boolean", VALUE_BOOL},
        {"switch", VALUE_BOOL}, {"double", VALUE_REAL}, {"single", VALUE_REAL}, {"float", VALUE_REAL},
        {"decimal", VALUE_REAL}, {"timespan", VALUE_TIMESPAN}, {"datetime", VALUE_DATETIME}, {"array", VALUE_ARRAY},
        {"object[]", VALUE_ARRAY}, {"string[]", VALUE_ARRAY}, {"int[]", VALUE_ARRAY}, {"hashtable", VALUE_MAP},
        {"collections.hashtable", VALUE_MAP}, {"scriptblock", VALUE_BLOCK},
        {"management.automation.scriptblock", VALUE_BLOCK},
    };
    if (!strncasecmp(type, "System.", 7))
        type += 7;
    for (unsigned i = 0; i < ARRAY_SIZE(types); i++)
        if (!value_name_compare(types[i].name, type))
            return types[i].kind;
    return -1;
}

bool operate_is(const struct value *value, const char *type)
{
    int kind = type_kind(type);
    if (kind >= 0)
        return (int)value->kind == kind;
    return value->kind == VALUE_OBJECT && class_is(value->map.type, type);
}

static struct value *cast_items(struct session *session, const struct node *node, const char *type, struct value *value)
{
    struct value *list = value_array();
    char item[16];
    snprintf(item, sizeof item, "%.*s", (int)strcspn(type, "["), strncasecmp(type, "System.", 7) ? type : type + 7);
    for (size_t i = 0; i < (value->kind == VALUE_ARRAY ? value->array.count : 1); i++) {
        struct value *from = value->kind == VALUE_ARRAY ? value->array.items[i] : value;
        struct value *cast = strcasecmp(item, "object") && *item && strcasecmp(item, "array")
                           ? operate_cast(session, node, item, from) : value_ref(from);
        if (!cast) {
            value_unref(list);
            return NULL;
        }
        value_add(list, cast);
    }
    return list;
}

static struct value *cast_number(struct value *value, bool whole)
{
    struct value *number = number_of(value);
    if (!number || (whole && number->kind == VALUE_REAL && !(fabs(number->real) < 9.2e18))) {
        value_unref(number);
        return NULL;
    }
    struct value *result = whole ? value_int(number->kind == VALUE_INT ? number->integer : llrint(number->real))
                                 : value_real(real_of(number));
    value_unref(number);
    return result;
}

static struct value *cast_time(struct value *value, bool date)
{
    s64 ticks;
    if (value->kind == VALUE_INT)
        return date ? value_datetime(value->integer) : value_timespan(value->integer);
    if (value->kind != VALUE_STRING)
        return NULL;
    if (date)
        return json_datetime_parse(value->string, &ticks) ? value_datetime(ticks) : NULL;
    return json_timespan_parse(value->string, &ticks) ? value_timespan(ticks) : NULL;
}

struct value *operate_cast(struct session *session, const struct node *node, const char *type, struct value *value)
{
    int kind = type_kind(type);
    struct value *result = NULL;
    if ((kind >= 0 && kind == (int)value->kind && kind != VALUE_ARRAY) || !value_name_compare(type, "object") ||
        !value_name_compare(type, "psobject") || !value_name_compare(type, "ordered"))
        return value_ref(value);
    if (!value_name_compare(type, "void"))
        return value_null();
    if (!value_name_compare(type, "version"))
        return value_string_put(value_to_text(value));
    if (!value_name_compare(type, "pscustomobject")) {
        if (value->kind != VALUE_MAP)
            return value_ref(value);
        result = value_object("PSCustomObject");
        for (size_t i = 0; i < value->map.count; i++)
            value_put(result, value->map.pairs[i].key, value_ref(value->map.pairs[i].value));
        return result;
    }
    if (kind == VALUE_STRING)
        return value_string_put(value_to_text(value));
    if (kind == VALUE_BOOL)
        return value_bool(value_truth(value));
    if (kind == VALUE_ARRAY)
        return cast_items(session, node, type, value);
    if (kind == VALUE_INT || kind == VALUE_REAL)
        result = cast_number(value, kind == VALUE_INT);
    else if (kind == VALUE_TIMESPAN || kind == VALUE_DATETIME)
        result = cast_time(value, kind == VALUE_DATETIME);
    else if (kind < 0)
        return session_fail(session, node, "TypeNotFound", "Unable to find type [%.80s].", type);
    if (result)
        return result;
    char *text = value_to_text(value);
    session_fail(session, node, "InvalidCast", "Cannot convert value \"%.120s\" to type \"%s\".", text, type);
    free(text);
    return NULL;
}
