// Trees: which text becomes which, and what is said of text that becomes none.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cmdlet/syntax.h"

static const char *const names[] = {
    [NODE_LITERAL] = "", [NODE_EXPANDABLE] = "text", [NODE_VARIABLE] = "$", [NODE_SPLAT] = "@", [NODE_LIST] = "list",
    [NODE_ARRAY] = "array", [NODE_GROUP] = "group", [NODE_SUBEXPRESSION] = "sub", [NODE_MAP] = "map",
    [NODE_BLOCK] = "block",
    [NODE_PARAMETER] = "param", [NODE_MEMBER] = "member", [NODE_CALL] = "call", [NODE_INDEX] = "index",
    [NODE_TYPE] = "type",
    [NODE_CAST] = "cast", [NODE_UNARY] = "unary", [NODE_BINARY] = "binary", [NODE_STEP] = "step",
    [NODE_ASSIGN] = "assign",
    [NODE_COMMAND] = "command", [NODE_OPTION] = "-", [NODE_REDIRECT] = ">", [NODE_PIPELINE] = "pipe",
    [NODE_STATEMENTS] = "do", [NODE_IF] = "if", [NODE_WHILE] = "while", [NODE_DO] = "dowhile", [NODE_FOR] = "for",
    [NODE_FOREACH] = "foreach", [NODE_SWITCH] = "switch", [NODE_TRY] = "try", [NODE_THROW] = "throw",
    [NODE_RETURN] = "return", [NODE_EXIT] = "exit", [NODE_BREAK] = "break", [NODE_CONTINUE] = "continue",
    [NODE_FUNCTION] = "function",
};

// (kind children...), literals as their text, names behind the kind.
static void dump(const struct node *node, FILE *out)
{
    if (node->kind == NODE_LITERAL) {
        char *text = value_to_text(node->value);
        fprintf(out, "%s", text);
        free(text);
        return;
    }
    if (node->kind == NODE_VARIABLE || node->kind == NODE_SPLAT) {
        fprintf(out, "%s%s", names[node->kind], node->text);
        return;
    }
    if (node->kind == NODE_PIPELINE && node->count == 1) {
        dump(node->child[0], out);
        return;
    }
    fprintf(out, "(%s%s", names[node->kind], node->text ? node->text : node->type ? node->type : "");
    for (u32 i = 0; i < node->count; i++) {
        fputc(' ', out);
        dump(node->child[i], out);
    }
    fputc(')', out);
}

static void trees(void **state)
{
    (void)state;
    static const struct { const char *text, *tree; } cases[] = {
        {"1 + 2 * 3 -eq 7", "(do (binary (binary 1 (binary 2 3)) 7))"},
        {"Get-VM", "(do (command Get-VM))"},
        {"Get-VM a,b -Name:x -Force | ft", "(do (pipe (command Get-VM (list a b) (-Name x) (-Force)) (command ft)))"},
        {"Get-VM |\n ft; gm", "(do (pipe (command Get-VM) (command ft)) (command gm))"},
        {"& $x 1 @p", "(do (command $x 1 @p))"},
        {"a /x/y-z.vhdx c:\\d 192.168.100.0/24 4GB", "(do (command a /x/y-z.vhdx c:\\d 192.168.100.0/24 4294967296))"},
        {"a $x/b$y.c \"d $e\" 'f'", "(do (command a (text $x (text /b $y .c)) (text d  $e) f))"},
        {"a $x.Name $x[0].Y (b c).D", "(do (command a (member $x Name) (member (index $x 0) Y) (member (group (command "
         "b c)) D)))"},
        {"a n=\"b c\" d'e f'", "(do (command a n=b c de f))"},
        {"$x.A.B(1, $y)[2]", "(do (index (call (member $x A) B 1 $y) 2))"},
        {"$x = if ($a) { 1 } else { 2 }", "(do (assign $x (if $a (do 1) (do 2))))"},
        {"@{ a = 1; 'b c' = Get-VM\n d = @(1, 2) }", "(do (map a 1 b c (command Get-VM) d (array (do (list 1 2)))))"},
        {"{ param($a, [int]$b = 5) $a }", "(do (block (do $a) (parama) (paramb 5)))"},
        {"function F-G($x) { $x }", "(do (functionF-G (block (do $x) (paramx))))"},
        {"foreach ($i in 1..3) { $i } a", "(do (foreach $i (binary 1 3) (do $i)) (command a))"},
        {"| foreach", NULL},
        {"a | foreach { $_ } | ? x", "(do (pipe (command a) (command foreach (block (do $_))) (command ? x)))"},
        {"for ($i = 0; $i -lt 3; $i++) { }", "(do (for (assign $i 0) (binary $i 3) (step $i) (do)))"},
        {"try { a } catch [x] { b } finally { c }", "(do (try (do (command a)) (do (command c)) (dox (command b))))"},
        {"try { a } catch [x.y], [z] { b } catch { c }",
         "(do (try (do (command a)) (do) (dox.y z (command b)) (do (command c))))"},
        {"[int]::MaxValue; [math]::Max(1, $x).Y",
         "(do (member (typeint) MaxValue) (member (call (typemath) Max 1 $x) Y))"},
        {"{ process { a } begin { b } }", "(do (block (do (do (command b)) (do (command a)) (do))))"},
        {"exit; exit 3", "(do (exit) (exit 3))"},
        {"process; end-x", "(do (command process) (command end-x))"},
        {"a > b 2>&1 >> c", "(do (command a (>1 b) (>2) (>1 c)))"},
        {"-$x; !$x; [int]'5'; -join 1, 2; ,1", "(do (unary $x) (unary $x) (castint 5) (list (unary 1) 2) (list 1))"},
        {"\"$(a \"b\") c\"", "(do (text (sub (do (command a b)))  c))"},
        {"return $x; throw 'a'; break", "(do (return $x) (throw a) (break))"},
        {"", "(do)"},
        {"# nothing\n\n;;", "(do)"},
        {"iffy; if-x", "(do (command iffy) (command if-x))"},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct syntax_error error;
        struct syntax *syntax = syntax_parse(NULL, cases[i].text, &error);
        if (!cases[i].tree) {
            assert_null(syntax);
            continue;
        }
        if (!syntax)
            print_error("%s: %s\n", cases[i].text, error.text);
        assert_non_null(syntax);
        char *text;
        size_t bytes;
        FILE *out = open_memstream(&text, &bytes);
        dump(syntax->root, out);
        fclose(out);
        assert_string_equal(text, cases[i].tree);
        free(text);
        syntax_unref(syntax);
    }
}

static void refusals(void **state)
{
    (void)state;
    static const struct { const char *text, *id; bool incomplete; } cases[] = {
        {"(1", "MissingEndParenthesisInExpression", true}, {"1)", "UnexpectedToken", false},
        {"{", "MissingEndCurlyBrace", true}, {"}", "UnexpectedToken", false},
        {"\"a", "TerminatorExpectedAtEndOfString", true},
        {"@'\na", "TerminatorExpectedAtEndOfString", true},
        {"@' a\n'@", "UnexpectedCharactersAfterHereStringHeader", false},
        {"1 +", "ExpectedExpression", true}, {"a |", "EmptyPipeElement", true},
        {"a | 5", "ExpressionsMustBeFirstInPipeline", false},
        {"if", "MissingOpenParenthesis", true}, {"if (1) 2", "MissingStatementBlock", false},
        {"foreach (x in y) { }", "MissingVariableNameAfterForeach", false}, {"5 = 6", "InvalidLeftHandSide", false},
        {"@{ a 1 }", "MissingEqualsInHashLiteral", false}, {"try { }", "MissingCatchOrFinally", true},
        {"$x -foo 1", "UnexpectedToken", false}, {"a <b", "RedirectionNotSupported", false},
        {"[int]::", "MissingPropertyName", true}, {"{ begin { } x }", "MissingEndCurlyBrace", false},
        {"a &", "BackgroundOperator", false},
        {"1 2", "UnexpectedToken", false}, {"<# a", "MissingTerminatorMultiLineComment", true},
        {"'\xff'", "InvalidEncoding", false}, {"$x[", "ExpectedExpression", true},
        {"$x[1", "MissingArrayIndexExpression", true},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct syntax_error error;
        assert_null(syntax_parse(NULL, cases[i].text, &error));
        if (strcmp(error.id, cases[i].id) != 0)
            print_error("%s: %s\n", cases[i].text, error.text);
        assert_string_equal(error.id, cases[i].id);
        assert_int_equal(error.incomplete, cases[i].incomplete);
        assert_true(*error.text);
        assert_true(error.start < error.end);
    }
}

// A script that nests without end is refused, not followed until the stack ends.
static void depth_has_bounds(void **state)
{
    (void)state;
    static const char *const parts[] = {"(", "@(", "$(", "{", "if (1) {", "-", "!", "[int]", "\"$(", "@{a=", "$x[",
                                        "1+", "$x.a.",
                                        "1,(", "switch (1) { 1 {", "& {", "a (", "a -b:(", "try {"};
    for (unsigned i = 0; i < ARRAY_SIZE(parts); i++) {
        struct syntax_error error;
        size_t bytes = strlen(parts[i]);
        char *text = value_allocate(20000 * bytes + 1);
        for (unsigned n = 0; n < 20000; n++)
            memcpy(text + n * bytes, parts[i], bytes);
        struct syntax *syntax = syntax_parse(NULL, text, &error);
        assert_null(syntax);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trees),
        cmocka_unit_test(refusals),
        cmocka_unit_test(depth_has_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
