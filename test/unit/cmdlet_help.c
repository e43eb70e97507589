// Help, made from the table: every cmdlet has one, on the screen and as a manual page.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "cmdlet/help.h"

static void assert_has(const struct text *text, const char *part)
{
    if (!strstr(text->bytes, part))
        fail_msg("'%s' is not in:\n%s", part, text->bytes);
}

static void assert_narrow(const char *text, unsigned width)
{
    char *copy = strdup(text);
    for (char *line = strtok(copy, "\n"); line; line = strtok(NULL, "\n"))
        // One parameter with a long list of values is not broken, nor is an example.
        if (text_columns(line) > width && !strstr(line, " [-") && !strstr(line, "    -") && !strstr(line, "PS>"))
            fail_msg("wider than %u: %s", width, line);
    free(copy);
}

static void every_cmdlet_has_help(void **state)
{
    (void)state;
    const struct cmdlet *cmdlet;
    for (unsigned i = 0; (cmdlet = cmdlet_at(i)); i++) {
        struct text text = {0};
        help_cmdlet(cmdlet, HELP_FULL, 80, &text);
        assert_has(&text, cmdlet->name);
        assert_has(&text, "SYNOPSIS\n    ");
        if (cmdlet->synopsis[strlen(cmdlet->synopsis) - 1] != '.')
            fail_msg("%s: no sentence: %s", cmdlet->name, cmdlet->synopsis);
        if (!(cmdlet->flags & CMDLET_ABSENT)) {
            assert_has(&text, "SYNTAX\n    ");
            assert_has(&text, "EXAMPLES\n");
            assert_narrow(text.bytes, 80);
        }
        text_free(&text);
    }
}

static void every_parameter_is_told_of(void **state)
{
    (void)state;
    const struct cmdlet *cmdlet;
    for (unsigned i = 0; (cmdlet = cmdlet_at(i)); i++)
        for (const struct parameter *p = cmdlet->parameters; p && p->name; p++) {
            struct text text = {0};
            help_parameter(p, true, 80, &text);
            assert_has(&text, p->name);
            assert_has(&text, "Required?");
            if (p->help[strlen(p->help) - 1] != '.')
                fail_msg("%s -%s: no sentence: %s", cmdlet->name, p->name, p->help);
            text_free(&text);
        }
}

static void syntax_has_a_line_a_set(void **state)
{
    (void)state;
    struct text text = {0};
    help_syntax(cmdlet_find("Get-VMMemory"), 80, 0, &text);
    assert_string_equal(text.bytes, "Get-VMMemory [-VMName] <String[]> [<CommonParameters>]\n\n"
                                    "Get-VMMemory [-VM] <VirtualMachine[]> [<CommonParameters>]\n");
    text_free(&text);
    help_syntax(cmdlet_find("Set-VMProcessor"), 80, 4, &text);
    assert_has(&text, "[-Vendor {Host | Intel | AMD}]");
    assert_has(&text, "[-ExposeVirtualizationExtensions <Boolean>]");
    assert_has(&text, "[-Passthru]\n        [-WhatIf] [-Confirm] [<CommonParameters>]\n");
    text_free(&text);
}

static void additions_are_marked(void **state)
{
    (void)state;
    struct text text = {0};
    help_cmdlet(cmdlet_find("Set-VMProcessor"), HELP_DETAILED, 100, &text);
    assert_has(&text, "(An addition of nidus.)");
    assert_has(&text, "From 1 to 64.");
    text_free(&text);
    help_man(cmdlet_find("Set-VMProcessor"), &text);
    assert_has(&text, "An addition of nidus, not in Hyper\\-V.");
    text_free(&text);
}

// No text of the table may be taken for a troff request or an escape.
static void every_cmdlet_has_a_manual_page(void **state)
{
    (void)state;
    static const char *const requests[] = {"TH", "SH", "TP", "BR", "B", "nf", "fi"};
    const struct cmdlet *cmdlet;
    for (unsigned i = 0; (cmdlet = cmdlet_at(i)); i++) {
        struct text text = {0};
        help_man(cmdlet, &text);
        assert_has(&text, ".SH NAME\nnidus\\-");
        assert_has(&text, ".SH SYNOPSIS\n");
        for (char *line = strtok(text.bytes, "\n"); line; line = strtok(NULL, "\n")) {
            bool known = *line != '.' && *line != '\'';
            for (unsigned r = 0; r < ARRAY_SIZE(requests); r++)
                known = known || !strncmp(line + 1, requests[r], strlen(requests[r]));
            assert_true(known);
            for (const char *at = strchr(line, '\\'); at; at = strchr(at + 2, '\\'))
                assert_non_null(strchr("-e&(", at[1]));
        }
        text_free(&text);
    }
}

static void parts_differ(void **state)
{
    (void)state;
    struct text text = {0};
    help_cmdlet(cmdlet_find("Set-VMProcessor"), HELP_EXAMPLES, 80, &text);
    assert_has(&text, "PS> Set-VMProcessor -VMName lab -ExposeVirtualizationExtensions $true");
    assert_null(strstr(text.bytes, "SYNTAX"));
    text_free(&text);
    help_overview(80, &text);
    assert_has(&text, "Get-Help");
    assert_narrow(text.bytes, 80);
    text_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cmdlet_has_help),
        cmocka_unit_test(every_parameter_is_told_of),
        cmocka_unit_test(syntax_has_a_line_a_set),
        cmocka_unit_test(additions_are_marked),
        cmocka_unit_test(every_cmdlet_has_a_manual_page),
        cmocka_unit_test(parts_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
