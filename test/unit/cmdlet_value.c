// Values of the command language: sharing, containers, comparison, wildcards, text, and JSON both ways.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cmdlet/json.h"
#include "cmdlet/value.h"

static void assert_text(const struct value *value, const char *wanted)
{
    char *text = value_to_text(value);
    assert_string_equal(text, wanted);
    free(text);
}

static void maps_keep_order_and_ignore_case(void **state)
{
    (void)state;
    struct value *map = value_map();
    value_put(map, "Beta", value_int(1));
    value_put(map, "alpha", value_int(2));
    value_put(map, "BETA", value_int(3));
    assert_int_equal(map->map.count, 2);
    assert_string_equal(map->map.pairs[0].key, "Beta");
    assert_int_equal(value_as_int(value_get(map, "beta"), 0), 3);
    assert_null(value_get(map, "gamma"));
    value_unref(map);
}

static void wildcards(void **state)
{
    (void)state;
    assert_true(value_name_like("vEthernet (VmNAT)", "vethernet (VMNAT)"));
    assert_true(value_name_like("lab12", "LAB*"));
    assert_true(value_name_like("lab12", "l?b[0-3]*2"));
    assert_false(value_name_like("lab12", "lab[3-9]*"));
    assert_true(value_name_like("a*b", "a`*b"));
    assert_false(value_name_like("axb", "a`*b"));
    assert_true(value_name_like("a[b", "a[b"));
    assert_true(value_name_like("", "**"));
    assert_false(value_name_like("", "?"));
    assert_false(value_name_like("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", "*a*a*a*a*a*a*a*a*a*a*a*a*c"));
}

static void truth(void **state)
{
    (void)state;
    struct value *empty = value_array(), *zero = value_int(0), *text = value_string("False");
    assert_false(value_truth(NULL));
    assert_false(value_truth(empty));
    assert_false(value_truth(zero));
    assert_true(value_truth(text)); // a string is true unless empty
    value_add(empty, value_int(0));
    assert_false(value_truth(empty)); // one item counts as that item
    value_unref(empty), value_unref(zero), value_unref(text);
}

static void comparison(void **state)
{
    (void)state;
    struct value *five = value_int(5), *text = value_string("5"), *real = value_real(5.0), *ten = value_string("10");
    struct value *upper = value_string("LAB"), *lower = value_string("lab"), *nothing = value_null();
    assert_true(value_equal(five, text));
    assert_true(value_equal(five, real));
    assert_true(value_compare(five, ten) < 0); // a number on the left makes numbers of both
    assert_true(value_compare(ten, five) < 0); // a string on the left makes strings: "10" before "5"
    assert_true(value_equal(upper, lower));
    assert_false(value_equal(nothing, five));
    assert_true(value_equal(nothing, NULL));
    assert_true(value_compare(nothing, five) < 0);
    assert_true(value_compare(five, nothing) > 0);
    value_unref(five), value_unref(text), value_unref(real), value_unref(ten);
    value_unref(upper), value_unref(lower), value_unref(nothing);
}

static void texts(void **state)
{
    (void)state;
    struct value *array = value_array();
    value_add(array, value_bool(true));
    value_add(array, value_real(0.1));
    value_add(array, value_timespan(3ll * VALUE_TICKS_SECOND + 1230000));
    value_add(array, value_datetime(0));
    assert_text(array, "True 0.1 00:00:03.1230000 1970-01-01T00:00:00Z");
    value_unref(array);
}

static void assert_timespan(const char *text, bool good, s64 wanted)
{
    s64 ticks = 0;
    assert_int_equal(json_timespan_parse(text, &ticks), good);
    if (!good)
        return;
    assert_int_equal(ticks, wanted);
    char *back = json_timespan_text(ticks);
    assert_string_equal(back, text);
    free(back);
}

static void timespans(void **state)
{
    (void)state;
    assert_timespan("00:00:00", true, 0);
    assert_timespan("2.03:04:05.5000000", true, ((2 * 24 + 3) * 3600 + 4 * 60 + 5) * (s64)VALUE_TICKS_SECOND + 5000000);
    assert_timespan("-00:00:01", true, -VALUE_TICKS_SECOND);
    assert_timespan("00:60:00", false, 0);
    assert_timespan("1:2", false, 0);
    assert_timespan("", false, 0);
    assert_timespan("00:00:00x", false, 0);
    s64 ticks;
    assert_true(json_datetime_parse("2026-02-03T04:05:06.25Z", &ticks));
    char *text = json_datetime_text(ticks);
    assert_string_equal(text, "2026-02-03T04:05:06.2500000Z");
    free(text);
    static const char *const same[] = {"2026-02-03 16:05", "2026-02-03T16:05Z", "2/3/2026 4:05 PM",
                                       "02/03/2026 16:05:00"};
    for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
        assert_true(json_datetime_parse(same[i], &ticks));
        text = json_datetime_text(ticks);
        assert_string_equal(text, "2026-02-03T16:05:00Z");
        free(text);
    }
    static const char *const none[] = {"yesterday", "2026-02-31", "2025-02-29", "31/12/2026", "2026-02-03 24:00",
                                       "2/3/2026 13:05 PM", "2/3/2026 0:05 AM", "2026-02-03T", "2026-02-03 1",
                                       "0000-01-01"};
    for (size_t i = 0; i < ARRAY_SIZE(none); i++)
        assert_false(json_datetime_parse(none[i], &ticks));
}

static void json_comes_back(void **state)
{
    (void)state;
    const char *text = "{\"a\":[1,-9223372036854775808,2.5,true,null,\"\xc3\xa9\"],\"b\":{}}";
    struct error error;
    struct value *value = json_read(text, strlen(text), &error);
    assert_non_null(value);
    struct value *copy = value_copy(value);
    char *back = json_write(copy, true, 0);
    assert_string_equal(back, text);
    free(back);
    value_unref(value), value_unref(copy);
}

static void json_has_bounds(void **state)
{
    (void)state;
    struct error error;
    char deep[2 * JSON_DEPTH + 8] = "";
    for (unsigned i = 0; i < JSON_DEPTH + 2; i++)
        strcat(deep, "[");
    for (unsigned i = 0; i < JSON_DEPTH + 2; i++)
        strcat(deep, "]");
    assert_null(json_read(deep, strlen(deep), &error));
    assert_non_null(strstr(error.text, "levels of nesting"));
    assert_null(json_read("{\"a\":1,\"a\":2}", 13, &error));
    assert_null(json_read("", 0, &error));
    assert_null(json_read("\"\\u0000\"", 8, &error)); // a zero byte has no place in a C string
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_keep_order_and_ignore_case), cmocka_unit_test(wildcards), cmocka_unit_test(truth),
        cmocka_unit_test(comparison), cmocka_unit_test(texts), cmocka_unit_test(timespans),
        cmocka_unit_test(json_comes_back), cmocka_unit_test(json_has_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
