// See value.h. Equality and order as PowerShell has them, and its names and wildcards.
#include "cmdlet/value.h"

#include <stdlib.h>
#include <string.h>

// The locale must not decide which VM a name means: in Turkish, "I" and "i" are two letters.
static int fold(char character) { return character >= 'A' && character <= 'Z' ? character + 32 : (u8)character; }

int value_name_compare(const char *left, const char *right)
{
    while (*left && fold(*left) == fold(*right))
        left++, right++;
    return fold(*left) - fold(*right);
}

// "[a-c]" at `pattern`. `end` is set behind it; NULL if the bracket is never closed, which makes it a plain character.
static bool set_contains(const char *pattern, int character, const char **end)
{
    bool found = false;
    const char *at = pattern + 1;
    for (; *at && (*at != ']' || at == pattern + 1); at++) {
        if (at[1] == '-' && at[2] && at[2] != ']') {
            found = found || (character >= fold(at[0]) && character <= fold(at[2]));
            at += 2;
        } else {
            found = found || character == fold(*at);
        }
    }
    *end = *at ? at + 1 : NULL;
    return found;
}

// One character of the name against one element of the pattern, which ends at `*next`.
static bool element_matches(const char *pattern, char character, const char **next)
{
    if (*pattern == '?') {
        *next = pattern + 1;
        return true;
    }
    if (*pattern == '[') {
        bool found = set_contains(pattern, fold(character), next);
        if (*next)
            return found;
    }
    if (*pattern == '`' && pattern[1])
        pattern++;
    *next = pattern + 1;
    return *pattern && fold(*pattern) == fold(character);
}

// Only the last star is ever tried again, which is enough and keeps the time at the product of the lengths.
bool value_name_like(const char *name, const char *pattern)
{
    const char *star = NULL, *retry = NULL, *next;
    while (*name) {
        if (*pattern == '*') {
            star = ++pattern;
            retry = name;
        } else if (element_matches(pattern, *name, &next)) {
            pattern = next;
            name++;
        } else if (star) {
            pattern = star;
            name = ++retry;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

bool value_has_wildcard(const char *pattern) { return strpbrk(pattern, "*?[") != NULL; }

bool value_truth(const struct value *value)
{
    if (!value)
        return false;
    switch (value->kind) {
    case VALUE_NULL:
        return false;
    case VALUE_BOOL:
        return value->truth;
    case VALUE_INT:
        return value->integer != 0;
    case VALUE_REAL:
        return value->real < 0 || value->real > 0;
    case VALUE_STRING:
        return *value->string != 0;
    case VALUE_ARRAY: // one item counts as that item
        return value->array.count == 1 ? value_truth(value->array.items[0]) : value->array.count > 0;
    default:
        return true;
    }
}

static bool is_number(const struct value *value) { return value->kind == VALUE_INT || value->kind == VALUE_REAL; }

static double as_real(const struct value *value)
{
    return value->kind == VALUE_INT ? (double)value->integer : value->real;
}

static int order(s64 left, s64 right) { return left < right ? -1 : left > right; }

static int order_numbers(const struct value *left, const struct value *right)
{
    if (left->kind == VALUE_INT && right->kind == VALUE_INT)
        return order(left->integer, right->integer);
    return as_real(left) < as_real(right) ? -1 : as_real(left) > as_real(right);
}

// The right side takes the left side's kind, as in PowerShell: 5 -eq "5". True if it does, with the number in `result`.
static bool number_of(const struct value *value, struct value *result)
{
    if (is_number(value)) {
        *result = *value;
        return true;
    }
    if (value->kind == VALUE_BOOL) {
        *result = (struct value){.kind = VALUE_INT, .integer = value->truth};
        return true;
    }
    if (value->kind != VALUE_STRING || !*value->string)
        return false;
    char *end;
    *result = (struct value){.kind = VALUE_INT, .integer = strtoll(value->string, &end, 0)};
    if (!*end)
        return true;
    *result = (struct value){.kind = VALUE_REAL, .real = strtod(value->string, &end)};
    return !*end;
}

static int order_texts(const struct value *left, const struct value *right)
{
    char *left_text = value_to_text(left), *right_text = value_to_text(right);
    int result = value_name_compare(left_text, right_text);
    free(left_text);
    free(right_text);
    return result;
}

int value_compare(const struct value *left, const struct value *right)
{
    const bool no_left = !left || left->kind == VALUE_NULL, no_right = !right || right->kind == VALUE_NULL;
    if (no_left || no_right)
        return (int)no_right - (int)no_left; // nothing comes first
    struct value number;
    if (is_number(left) && number_of(right, &number))
        return order_numbers(left, &number);
    if (left->kind == right->kind) {
        if (left->kind == VALUE_TIMESPAN || left->kind == VALUE_DATETIME)
            return order(left->integer, right->integer);
        if (left->kind == VALUE_BOOL)
            return order(left->truth, right->truth);
    }
    return order_texts(left, right);
}

bool value_equal(const struct value *left, const struct value *right)
{
    const bool no_left = !left || left->kind == VALUE_NULL, no_right = !right || right->kind == VALUE_NULL;
    if (no_left || no_right)
        return no_left && no_right;
    if (left == right)
        return true;
    if (left->kind == VALUE_BOOL)
        return left->truth == value_truth(right);
    // By identity: two VMs of one name are two.
    const bool whole_left = left->kind >= VALUE_ARRAY, whole_right = right->kind >= VALUE_ARRAY;
    if (whole_left && whole_right)
        return false;
    return value_compare(left, right) == 0;
}
