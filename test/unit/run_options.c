// The command line of `nidus run`: what is taken, what is refused with which words, and that the manual knows every
// option.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/run_options.h"
#include "worker/suggest.h"

enum { WORDS = 32 };

// Splits at single spaces; the words live in a static buffer until the next call.
static int parse(struct run_options *options, const char *line, struct error *error)
{
    static char text[512];
    char *argv[WORDS] = {"run"};
    int argc = 1;
    snprintf(text, sizeof text, "%s", line);
    for (char *word = strtok(text, " "); word && argc < WORDS; word = strtok(NULL, " "))
        argv[argc++] = word;
    return run_options_parse(options, argc, argv, error);
}

static void refuses(const char *line, const char *part)
{
    struct run_options options;
    struct error error = {""};
    assert_int_equal(parse(&options, line, &error), -1);
    if (!strstr(error.text, part))
        fail_msg("\"%s\" gives \"%s\", not \"%s\"", line, error.text, part);
    run_options_free(&options);
}

static void takes_everything(void **state)
{
    (void)state;
    struct run_options options;
    struct error error = {""};
    int result = parse(&options, "--cpus 4 --memory=512M --engine soft --nested off --vendor intel --kernel k "
                                 "--initrd i --append a=b --disk one,readonly --disk two --net user "
                                 "--console socket:/run/c --name n --no-reboot --debug-exit --trace exits,vmx", &error);
    assert_string_equal(error.text, "");
    assert_int_equal(result, 0);
    assert_int_equal(options.cpus, 4);
    assert_int_equal(options.memory_bytes, MIB(512));
    assert_string_equal(options.engine, "soft");
    assert_false(options.nested);
    assert_int_equal(options.vendor, ENGINE_VENDOR_INTEL);
    assert_string_equal(options.kernel, "k");
    assert_string_equal(options.initrd, "i");
    assert_string_equal(options.append, "a=b");
    assert_int_equal(options.disk_count, 2);
    assert_string_equal(options.disks[0].path, "one");
    assert_true(options.disks[0].readonly);
    assert_string_equal(options.disks[1].path, "two");
    assert_false(options.disks[1].readonly);
    assert_true(options.adapters[0].present && !options.adapters[1].present);
    assert_int_equal(options.adapters[0].net, RUN_NET_USER);
    assert_int_equal(options.console, RUN_CONSOLE_SOCKET);
    assert_string_equal(options.console_path, "/run/c");
    assert_string_equal(options.name, "n");
    assert_true(options.no_reboot);
    assert_true(options.debug_exit);
    assert_int_equal(options.trace, ENGINE_TRACE_EXITS | ENGINE_TRACE_VMX);
    run_options_free(&options);
}

static void has_defaults(void **state)
{
    (void)state;
    struct run_options options;
    struct error error;
    assert_int_equal(parse(&options, "--kernel k", &error), 0);
    assert_int_equal(options.cpus, 1);
    assert_int_equal(options.memory_bytes, GIB(1));
    assert_string_equal(options.engine, "auto");
    assert_true(options.nested);
    assert_string_equal(options.append, "");
    assert_null(options.initrd);
    assert_int_equal(options.console, RUN_CONSOLE_STDIO);
    run_options_free(&options);
}

static void says_what_is_wrong(void **state)
{
    (void)state;
    refuses("", "--kernel");
    refuses("--kernle k", "did you mean --kernel?");
    refuses("--mem 1G --kernel k", "did you mean --memory?");
    refuses("--no-rebot --kernel k", "did you mean --no-reboot?");
    refuses("--zzzzzzzz --kernel k", "no such option; nidus run --help");
    refuses("image", "--kernel image");
    refuses("--kernel", "expected FILE");
    refuses("--no-reboot=yes --kernel k", "takes no value");
    refuses("--cpus 0 --kernel k", "from 1 to 64");
    refuses("--cpus 65 --kernel k", "from 1 to 64");
    refuses("--cpus 2x --kernel k", "from 1 to 64");
    refuses("--cpus -1 --kernel k", "from 1 to 64");
    refuses("--memory lots --kernel k", "such as 512M");
    refuses("--memory 64K --kernel k", "from 1 MiB");
    refuses("--memory 2T --kernel k", "1024 GiB");
    refuses("--memory 99999999999999999999T --kernel k", "such as 512M");
    refuses("--memory 1025K --kernel k", "multiple of 4 KiB");
    refuses("--engine hard --kernel k", "expected auto, soft or kvm");
    refuses("--nested maybe --kernel k", "expected on or off");
    refuses("--vendor via --kernel k", "expected intel");
    refuses("--net tap --kernel k", "expected none or user");
    refuses("--console tty --kernel k", "expected stdio or socket:PATH");
    refuses("--console socket: --kernel k", "expected stdio or socket:PATH");
    refuses("--trace exits,everything --kernel k", "expected exits, faults, blocks or vmx");
    refuses("--disk 1 --disk 2 --disk 3 --disk 4 --disk 5 --disk 6 --disk 7 --disk 8 --disk 9", "8 disks at most");
}

static void sizes(void **state)
{
    (void)state;
    u64 bytes;
    assert_true(run_size_parse("512", &bytes));
    assert_int_equal(bytes, MIB(512));
    assert_true(run_size_parse("64k", &bytes));
    assert_int_equal(bytes, KIB(64));
    assert_true(run_size_parse("3GiB", &bytes));
    assert_int_equal(bytes, GIB(3));
    assert_true(run_size_parse("1TB", &bytes));
    assert_int_equal(bytes, GIB(1024));
    assert_false(run_size_parse("", &bytes));
    assert_false(run_size_parse("-1", &bytes));
    assert_false(run_size_parse("1Q", &bytes));
    assert_false(run_size_parse("1MM", &bytes));
    assert_false(run_size_parse("17179869184G", &bytes));
}

static const char *fruit(unsigned index)
{
    static const char *const words[] = {"apple", "pear", "orange", NULL};
    return words[index];
}

static void suggestions(void **state)
{
    (void)state;
    assert_string_equal(suggest_nearest("Aplpe", fruit), "apple");
    assert_string_equal(suggest_nearest("pera", fruit), "pear");
    assert_string_equal(suggest_nearest("oran", fruit), "orange");
    assert_null(suggest_nearest("zucchini", fruit));
    assert_null(suggest_nearest("a word that is far longer than any that could be meant", fruit));
}

// From the repository's root, where `make check` runs.
static void manual_is_complete(void **state)
{
    (void)state;
    static char manual[65536];
    FILE *file = fopen("docs/nidus.1", "r");
    assert_non_null(file);
    size_t bytes = fread(manual, 1, sizeof manual - 1, file);
    fclose(file);
    manual[bytes] = 0;
    for (unsigned i = 0; run_option_name(i); i++) {
        char roff[64] = "";
        for (const char *from = run_option_name(i); *from; from++)
            snprintf(roff + strlen(roff), sizeof roff - strlen(roff), *from == '-' ? "\\-" : "%c", *from);
        if (!strstr(manual, roff))
            fail_msg("docs/nidus.1 does not speak of %s", run_option_name(i));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_everything),   cmocka_unit_test(has_defaults), cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(sizes),              cmocka_unit_test(suggestions),  cmocka_unit_test(manual_is_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
