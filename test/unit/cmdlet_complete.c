// Completion: what the Tab key offers at each place of a line.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "cmdlet/cmdlet.h"
#include "cmdlet/complete.h"
#include "cmdlet/value.h"

static void objects(void *context, const char *class, struct completions *to)
{
    (void)context;
    if (!value_name_compare(class, "VirtualMachine")) {
        complete_offer(to, "lab", NULL);
        complete_offer(to, "lab two", NULL);
        complete_offer(to, "it's", NULL);
        complete_offer(to, "web", NULL);
    }
    if (!value_name_compare(class, "NetAdapter"))
        complete_offer(to, "vEthernet (VmNAT)", NULL);
}

static void variables(void *context, struct completions *to)
{
    (void)context;
    complete_offer(to, "name", NULL);
}

static void paths(void *context, const char *prefix, struct completions *to)
{
    (void)context;
    char *longer = value_text("%sxyz/", prefix);
    complete_offer(to, longer, NULL);
    free(longer);
}

static const struct complete_source source = {.objects = objects, .variables = variables, .paths = paths};

// What is offered for `line`, with '|' between; at most the first eight.
static char *offers(const char *line, size_t *start)
{
    struct completions completions;
    complete_line(&source, line, strlen(line), &completions);
    char *text = value_text_copy("");
    for (size_t i = 0; i < completions.count && i < 8; i++) {
        char *longer = value_text("%s%s%s", text, i ? "|" : "", completions.items[i].text);
        free(text);
        text = longer;
    }
    if (start)
        *start = completions.start;
    complete_free(&completions);
    return text;
}

static void completes(const char *line, const char *expected, const char *replaced)
{
    size_t start;
    char *text = offers(line, &start);
    assert_string_equal(text, expected);
    assert_string_equal(line + start, replaced);
    free(text);
}

static void cmdlets_and_parameters(void **state)
{
    (void)state;
    completes("set-vmproc", "Set-VMProcessor", "set-vmproc");
    completes("Get-VMMemory lab | Set-VMMem", "Set-VMMemory", "Set-VMMem");
    completes("if ($true) { Set-VMMem", "Set-VMMemory", "Set-VMMem");
    completes("$m = Get-VMMem", "Get-VMMemory", "Get-VMMem");
    completes("Set-VMProcessor -exp", "-ExposeVirtualizationExtensions", "-exp");
    completes("Set-VMProcessor lab -Maximum 5 -Max", "-MaximumCountPerNumaNode|-MaximumCountPerNumaSocket", "-Max");
    completes("Set-VMProcessor lab -What", "-WhatIf", "-What");
    completes("Get-VMProcessor lab -What", "", "-What");
    completes("Start-VMFailover -", "", "-"); // known by name only
    completes("Start-VMFail", "", "Start-VMFail");
}

static void values(void **state)
{
    (void)state;
    completes("Set-VMProcessor lab -Vendor ", "AMD|Host|Intel", "");
    completes("Set-VMProcessor lab -Ven i", "Intel", "i");
    completes("Set-VMProcessor lab -ExposeVirtualizationExtensions $t", "$true", "$t");
    completes("Set-VMProcessor lab -ExposeVirtualizationExtensions ", "$false|$true", "");
    completes("Set-VMProcessor lab -Count ", "", "");
    completes("Get-Help Set-VMP", "Set-VMProcessor", "Set-VMP");
}

static void names_of_objects(void **state)
{
    (void)state;
    completes("Get-VMProcessor ", "'it''s'|lab|'lab two'|web", "");
    completes("Get-VMProcessor la", "lab|'lab two'", "la");
    completes("Get-VMProcessor -VMName web, l", "lab|'lab two'", "l");
    completes("Get-VMProcessor web,", "'it''s'|lab|'lab two'|web", "");
    completes("Get-VMProcessor \"lab t", "\"lab two\"", "\"lab t");
    completes("Get-VMProcessor 'lab", "'lab'|'lab two'", "'lab");
    completes("Get-VMProcessor -Verbose w", "web", "w");
    completes("Set-VMProcessor lab -Passthru | Set-VMMemory -VMName w", "web", "w");
    completes("Get-NetAdapter v", "'vEthernet (VmNAT)'", "v");
}

static void properties_and_variables(void **state)
{
    (void)state;
    completes("Get-VMProcessor lab | Format-Table Expo", "ExposeVirtualizationExtensions", "Expo");
    completes("Get-VMProcessor lab | Format-List -Property Count, Hyper", "HypervisorRunning", "Hyper");
    completes("Get-VMProcessor lab | ForEach-Object { $_.Hyper", "$_.HypervisorRunning", "$_.Hyper");
    completes("Get-VMProcessor lab | Where-Object { $_.Count -g", "-ge|-gt", "-g");
    completes("Get-VMProcessor $n", "$name|$null", "$n");
}

static void paths_come_from_the_caller(void **state)
{
    (void)state;
    completes("./a", "./axyz/", "./a");
}

static void words_of_a_shell(void **state)
{
    (void)state;
    const char *const words[] = {"Get-VMProcessor", "web,lab"};
    struct completions completions;
    complete_words(&source, 2, words, &completions);
    assert_int_equal(completions.count, 2);
    assert_string_equal(completions.items[0].text, "web,lab");
    assert_string_equal(completions.items[1].text, "web,lab two");
    complete_free(&completions);
    complete_words(&source, 0, NULL, &completions);
    assert_true(completions.count > 10);
    complete_free(&completions);
}

// Any line, cut anywhere, and the bytes people's keyboards do not have.
static void any_line_is_survived(void **state)
{
    (void)state;
    static const char alphabet[] = "Get-VM 'lab\" | Set-VMProcessor -Vendor , {}()$_.;`\n=\x80&@[]";
    u32 random = 1;
    for (int round = 0; round < 20000; round++) {
        char line[64];
        size_t length = random % sizeof line;
        for (size_t i = 0; i < length; i++) {
            random = random * 1103515245 + 12345;
            line[i] = alphabet[(random >> 16) % (sizeof alphabet - 1)];
        }
        random = random * 1103515245 + 12345;
        char *copy = value_text("%.*s", (int)length, line);
        struct completions completions;
        complete_line(&source, copy, length, &completions);
        assert_true(completions.start <= length);
        complete_free(&completions);
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cmdlets_and_parameters),
        cmocka_unit_test(values),
        cmocka_unit_test(names_of_objects),
        cmocka_unit_test(properties_and_variables),
        cmocka_unit_test(paths_come_from_the_caller),
        cmocka_unit_test(words_of_a_shell),
        cmocka_unit_test(any_line_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
