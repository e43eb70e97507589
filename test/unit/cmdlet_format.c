// Objects to text: the tables and lists Hyper-V's users know, at every width, and errors in PowerShell's layout.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "cmdlet/class.h"
#include "cmdlet/format.h"
#include "cmdlet/format_error.h"

static struct value *vm(const char *name, const char *state, s64 cpu, s64 memory, s64 uptime)
{
    struct value *object = value_object("VirtualMachine");
    value_put(object, "Name", value_string(name));
    value_put(object, "State", value_string(state));
    value_put(object, "CPUUsage", value_int(cpu));
    value_put(object, "MemoryAssigned", value_int(memory));
    value_put(object, "Uptime", value_timespan(uptime));
    value_put(object, "Status", value_string("Operating normally"));
    value_put(object, "Version", value_string("8.0"));
    return object;
}

static struct value *plain(unsigned count, const char *const *names, struct value *const *values)
{
    struct value *object = value_object("PSCustomObject");
    for (unsigned i = 0; i < count; i++)
        value_put(object, names[i], values[i]);
    return object;
}

// Takes the objects over.
static void shows(struct value **objects, size_t count, struct view_style style, const char *expected)
{
    char *text = format_objects(objects, count, &style);
    assert_string_equal(text, expected);
    free(text);
    for (size_t i = 0; i < count; i++)
        value_unref(objects[i]);
}

static void a_vm_looks_as_in_hyper_v(void **state)
{
    (void)state;
    struct value *objects[] = {vm("win16", "Running", 24, (s64)GIB(4), 31230000)};
    shows(objects, 1, (struct view_style){0},
          "Name  State   CPUUsage(%) MemoryAssigned(M) Uptime           Status             Version\n"
          "----  -----   ----------- ----------------- ------           ------             -------\n"
          "win16 Running 24          4096              00:00:03.1230000 Operating normally 8.0\n");
}

static void what_does_not_fit_is_cut_from_the_right(void **state)
{
    (void)state;
    struct value *at80[] = {vm("win16", "Running", 24, (s64)GIB(4), 31230000)};
    shows(at80, 1, (struct view_style){.width = 80},
          "Name  State   CPUUsage(%) MemoryAssigned(M) Uptime           Status\n"
          "----  -----   ----------- ----------------- ------           ------\n"
          "win16 Running 24          4096              00:00:03.1230000 Operating normally\n");
    struct value *at70[] = {vm("win16", "Running", 24, (s64)GIB(4), 31230000)};
    shows(at70, 1, (struct view_style){.width = 70},
          "Name  State   CPUUsage(%) MemoryAssigned(M) Uptime           Status\n"
          "----  -----   ----------- ----------------- ------           ------\n"
          "win16 Running 24          4096              00:00:03.1230000 Operatin\u2026\n");
}

// No line is wider than the terminal, whatever its width.
static void every_width_holds(void **state)
{
    (void)state;
    for (unsigned width = 1; width < 100; width++) {
        struct value *objects[] = {vm("名前の長い機械", "Running", 24, (s64)GIB(4), 0), value_map()};
        value_put(objects[1], "key", value_string("a value of several words"));
        char *text = format_objects(objects, 2, &(struct view_style){.width = width});
        for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
            assert_true(text_columns(line) <= (width < 2 ? 2 : width));
        free(text);
        value_unref(objects[0]);
        value_unref(objects[1]);
    }
}

static void neighbours_of_one_class_share_a_table(void **state)
{
    (void)state;
    const char *const names[] = {"Name", "Count"};
    struct value *objects[] = {
        plain(2, names, (struct value *[]){value_string("a"), value_int(5)}),
        plain(2, names, (struct value *[]){value_string("bb"), value_int(10)}),
        value_string("between"),
        plain(1, names, (struct value *[]){value_string("c")}),
    };
    shows(objects, 4, (struct view_style){0},
          "Name Count\n---- -----\na        5\nbb      10\nbetween\n\nName\n----\nc\n");
}

static void many_properties_make_a_list(void **state)
{
    (void)state;
    const char *const names[] = {"A", "Second", "Notes", "D", "E"};
    struct value *array = value_array();
    for (int i = 0; i < 5; i++)
        value_add(array, value_int(i));
    struct value *const values[] = {value_bool(true), value_null(), value_string("x\ny\033[2J"), array,
                                    value_real(1.5)};
    struct value *objects[] = {plain(5, names, values)};
    shows(objects, 1, (struct view_style){0},
          "A      : True\nSecond :\nNotes  : x\n         y\ufffd[2J\nD      : {0, 1, 2, 3...}\nE      : 1.5\n");
}

static void blank_lines_as_at_the_prompt(void **state)
{
    (void)state;
    struct value *objects[] = {value_int(1), value_map()};
    value_put(objects[1], "k", value_string("v"));
    shows(objects, 2, (struct view_style){.spaced = true}, "1\n\nName Value\n---- -----\nk    v\n\n");
}

static void tables_wrap_and_hide_their_headings(void **state)
{
    (void)state;
    struct view *view = view_create(VIEW_TABLE);
    view_column_add(view, "N", 0, true);
    view_column_add(view, "Words", 5, false);
    view->wrap = view->headless = true;
    char **row = view_row_add(view);
    row[0] = value_text_copy("10");
    row[1] = value_text_copy("abcdefg");
    struct value *objects[] = {view_value(view)};
    shows(objects, 1, (struct view_style){0}, "10 abcde\n   fg\n");
}

static void wide_views_fill_lines(void **state)
{
    (void)state;
    struct view *view = view_create(VIEW_WIDE);
    view_column_add(view, "Name", 0, false);
    for (int i = 0; i < 5; i++)
        view_row_add(view)[0] = value_text("name%d", i);
    struct value *objects[] = {view_value(view)};
    shows(objects, 1, (struct view_style){.width = 20}, "name0 name1 name2\nname3 name4\n");
}

static void names_come_in_the_class_s_order(void **state)
{
    (void)state;
    struct value *object = value_object("VMProcessor");
    value_put(object, "Extra", value_int(1));
    value_put(object, "Count", value_int(1));
    struct value *names = format_names(object, "*");
    assert_string_equal(value_item(names, 0)->string, "ResourcePoolName");
    assert_string_equal(value_item(names, value_count(names) - 1)->string, "Extra");
    value_unref(names);
    names = format_names(object, "expose*");
    assert_int_equal(value_count(names), 1);
    value_unref(names);
    value_unref(object);
}

static void every_table_of_the_classes_renders(void **state)
{
    (void)state;
    const struct class *class;
    for (unsigned i = 0; (class = class_at(i)); i++) {
        if (!class->properties->name) // nothing is known of it
            continue;
        struct value *object = value_object(class->name);
        char *text = format_objects(&object, 1, &(struct view_style){.width = 120, .colour = true});
        assert_true(strlen(text) > 0);
        free(text);
        value_unref(object);
    }
}

static void an_error_is_laid_out_as_powershell_s(void **state)
{
    (void)state;
    struct error_report report = {
        .command = "Set-VMProcessor",
        .error = {.category = CATEGORY_INVALID_OPERATION, .id = "NotSupported", .exception = "VirtualizationException",
                  .message = "Failed to modify device 'Processor'.\nCannot modify property."},
        .identity = "NotSupported,Microsoft.HyperV.PowerShell.Commands.SetVMProcessor",
        .line_text = "Get-VM é | Set-VMProcessor -Count 2", .line = 1, .column = 12, .length = 24,
    };
    struct text text = {0};
    format_error(&report, false, &text);
    assert_string_equal(text.bytes,
        "Set-VMProcessor : Failed to modify device 'Processor'.\n"
        "Cannot modify property.\n"
        "At line:1 char:12\n"
        "+ Get-VM é | Set-VMProcessor -Count 2\n"
        "+            ~~~~~~~~~~~~~~~~~~~~~~~~\n"
        "    + CategoryInfo          : InvalidOperation: (:) [Set-VMProcessor], VirtualizationException\n"
        "    + FullyQualifiedErrorId : NotSupported,Microsoft.HyperV.PowerShell.Commands.SetVMProcessor\n");
    text_free(&text);
}

static void an_error_in_a_script_names_it(void **state)
{
    (void)state;
    struct error_report report = {
        .command = "New-NetNat",
        .error = {.category = CATEGORY_INVALID_ARGUMENT, .exception = "CimException",
                  .message = "The parameter is incorrect.", .target = "MSFT_NetNat:root/StandardCimv2/MSFT_NetNat"},
        .identity = "Windows System Error 87,New-NetNat", .script = "/x/lab.ps1",
        .line_text = "New-NetNat", .line = 3, .column = 1, .length = 900,
    };
    struct text text = {0};
    format_error(&report, true, &text);
    assert_string_equal(text.bytes,
        "\033[31;1mNew-NetNat : The parameter is incorrect.\n"
        "At /x/lab.ps1:3 char:1\n"
        "+ New-NetNat\n"
        "+ ~~~~~~~~~~\n"
        "    + CategoryInfo          : InvalidArgument: (MSFT_NetNat:root/StandardCimv2/MSFT_NetNat) [New-NetNat], "
        "CimException\n"
        "    + FullyQualifiedErrorId : Windows System Error 87,New-NetNat\n\033[0m");
    text_free(&text);
}

// Places that cannot be right, and long lines: nothing is read past an end.
static void any_place_is_survived(void **state)
{
    (void)state;
    char line[1000];
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = 0;
    for (unsigned column = 0; column < 2000; column += 7)
        for (unsigned length = 0; length < 2000; length += 111) {
            struct error_report report = {.error = {.message = ""}, .line_text = column % 2 ? line : "\xff\xe2\x82",
                                          .line = 1, .column = column, .length = length};
            struct text text = {0};
            format_error(&report, false, &text);
            assert_non_null(strstr(text.bytes, "\n+ "));
            text_free(&text);
        }
}

static void notes_have_their_words(void **state)
{
    (void)state;
    struct text text = {0};
    format_note(NOTE_WARNING, "no KVM", true, &text);
    format_note(NOTE_VERBOSE, "working", false, &text);
    format_note(NOTE_WHAT_IF, "Performing the operation \"Start\" on target \"lab\".", true, &text);
    assert_string_equal(text.bytes, "\033[33;1mWARNING: no KVM\033[0m\nVERBOSE: working\n"
                                    "What if: Performing the operation \"Start\" on target \"lab\".\n");
    text_free(&text);
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_vm_looks_as_in_hyper_v),
        cmocka_unit_test(what_does_not_fit_is_cut_from_the_right),
        cmocka_unit_test(every_width_holds),
        cmocka_unit_test(neighbours_of_one_class_share_a_table),
        cmocka_unit_test(many_properties_make_a_list),
        cmocka_unit_test(blank_lines_as_at_the_prompt),
        cmocka_unit_test(tables_wrap_and_hide_their_headings),
        cmocka_unit_test(wide_views_fill_lines),
        cmocka_unit_test(names_come_in_the_class_s_order),
        cmocka_unit_test(every_table_of_the_classes_renders),
        cmocka_unit_test(an_error_is_laid_out_as_powershell_s),
        cmocka_unit_test(an_error_in_a_script_names_it),
        cmocka_unit_test(any_place_is_survived),
        cmocka_unit_test(notes_have_their_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
