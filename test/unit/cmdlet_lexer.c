// Tokens: what each character means in an expression and among arguments, numbers, escapes, variables' names.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cmdlet/lexer.h"

// The kinds of the tokens of a text, as numbers of the enumeration, up to `most`.
static unsigned kinds(const char *text, enum lexer_mode mode, enum token_kind *kinds, unsigned most,
                      struct syntax_error *error)
{
    struct syntax syntax = {.references = 1, .text = (char *)text, .literals = value_array()};
    struct syntax *copy = value_allocate(sizeof *copy);
    *copy = syntax;
    copy->text = value_text_copy(text);
    *error = (struct syntax_error){0};
    struct lexer lexer = {.syntax = copy, .text = copy->text, .error = error};
    unsigned count = 0;
    while (count < most) {
        kinds[count] = lexer_next(&lexer, mode).kind;
        if (kinds[count] == TOKEN_END || kinds[count] == TOKEN_BAD)
            break;
        count++;
    }
    syntax_unref(copy);
    return count;
}

static void an_expression(void **state)
{
    (void)state;
    static const enum token_kind wanted[] = {
        TOKEN_VARIABLE, TOKEN_ASSIGN, TOKEN_NUMBER, TOKEN_OPERATOR, TOKEN_NAME, TOKEN_DOT, TOKEN_NAME,
        TOKEN_OPEN_BRACKET, TOKEN_NUMBER, TOKEN_CLOSE_BRACKET, TOKEN_OPERATOR, TOKEN_STRING, TOKEN_SEMICOLON,
        TOKEN_OPEN_ARRAY, TOKEN_CLOSE, TOKEN_OPEN_MAP, TOKEN_CLOSE_BRACE, TOKEN_OPEN_SUB, TOKEN_CLOSE, TOKEN_PIPE,
        TOKEN_NEWLINE,
    };
    enum token_kind got[40];
    struct syntax_error error;
    unsigned count = kinds("$x = 4GB - a.b[0] -eq 'c' ; @( ) @{ } $( ) | # end\n", LEXER_EXPRESSION, got, 40, &error);
    assert_int_equal(count, ARRAY_SIZE(wanted));
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(got[i], wanted[i]);
    assert_null(error.id);
}

static void arguments(void **state)
{
    (void)state;
    static const enum token_kind wanted[] = {TOKEN_PARAMETER, TOKEN_PARAMETER, TOKEN_PARAMETER, TOKEN_SPLAT,
                                             TOKEN_COMMA, TOKEN_REDIRECT, TOKEN_REDIRECT, TOKEN_REDIRECT, TOKEN_QUOTE};
    enum token_kind got[40];
    struct syntax_error error;
    unsigned count = kinds("-Name \xe2\x80\x93" "Dash \xe2\x80\x94Wide: @p , > 2>&1 >> \xe2\x80\x9c", LEXER_ARGUMENT,
                           got, 40, &error);
    assert_int_equal(count, ARRAY_SIZE(wanted));
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(got[i], wanted[i]);
    count = kinds("<VMName>", LEXER_ARGUMENT, got, 40, &error);
    assert_int_equal(count, 0);
    assert_string_equal(error.id, "RedirectionNotSupported");
}

static void numbers(void **state)
{
    (void)state;
    static const struct { const char *text; s64 value; } whole[] = {
        {"0", 0}, {"42", 42}, {"-5", -5}, {"0x1F", 31}, {"1kb", 1024}, {"2MB", 2 << 20}, {"4GB", 4LL << 30},
        {"1tb", 1LL << 40}, {"1PB", 1LL << 50}, {"1.5GB", 3LL << 29}, {"0x10kb", 16384},
        {"9223372036854775807", INT64_MAX},
        {"7L", 7},
    };
    static const char *const none[] = {"", "x", "-", "0x", ".", "kb", "-x"};
    const char *end;
    for (unsigned i = 0; i < ARRAY_SIZE(whole); i++) {
        struct value *number = lexer_number(whole[i].text, &end);
        assert_int_equal(number->kind, VALUE_INT);
        assert_true(number->integer == whole[i].value);
        assert_int_equal(*end, 0);
        value_unref(number);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(none); i++)
        assert_null(lexer_number(none[i], &end));
    struct value *address = lexer_number("192.168.100.1", &end); // no number: something is left
    assert_string_equal(end, ".100.1");
    value_unref(address);
    struct value *huge = lexer_number("9000pb", &end);
    assert_int_equal(huge->kind, VALUE_REAL);
    value_unref(huge);
}

static void escapes(void **state)
{
    (void)state;
    char out[8];
    assert_int_equal(lexer_escape("`n", out), 2);
    assert_string_equal(out, "\n");
    assert_int_equal(lexer_escape("`$", out), 2);
    assert_string_equal(out, "$");
    assert_int_equal(lexer_escape("`\xc3\xa4x", out), 3);
    assert_string_equal(out, "\xc3\xa4");
    assert_int_equal(lexer_escape("`\r\nx", out), 3);
    assert_string_equal(out, "");
    assert_int_equal(lexer_escape("`", out), 1);
    assert_int_equal(lexer_escape("`0", out), 2);
    assert_string_equal(out, "");
}

static void variables(void **state)
{
    (void)state;
    bool braces;
    assert_int_equal(lexer_variable("name.Length", &braces), 4);
    assert_int_equal(lexer_variable("env:HOME/x", &braces), 8);
    assert_int_equal(lexer_variable("x: y", &braces), 1);
    assert_int_equal(lexer_variable("{a b}c", &braces), 5);
    assert_true(braces);
    assert_int_equal(lexer_variable("{a", &braces), 0);
    assert_int_equal(lexer_variable("_)", &braces), 1);
    assert_int_equal(lexer_variable("(x", &braces), 0);
    assert_int_equal(lexer_variable("x\xe2\x80\x9d", &braces), 1); // a closing quote is no letter
}

static void operators(void **state)
{
    (void)state;
    bool sensitive;
    assert_int_equal(operator_find("EQ", &sensitive), OPERATOR_EQ);
    assert_false(sensitive);
    assert_int_equal(operator_find("ceq", &sensitive), OPERATOR_EQ);
    assert_true(sensitive);
    assert_int_equal(operator_find("inotlike", &sensitive), OPERATOR_NOTLIKE);
    assert_false(sensitive);
    assert_int_equal(operator_find("contains", &sensitive), OPERATOR_CONTAINS);
    assert_false(sensitive);
    assert_int_equal(operator_find("cand", &sensitive), OPERATOR_NONE);
    assert_int_equal(operator_find("foo", &sensitive), OPERATOR_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_expression), cmocka_unit_test(arguments), cmocka_unit_test(numbers),
        cmocka_unit_test(escapes),       cmocka_unit_test(variables), cmocka_unit_test(operators),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
