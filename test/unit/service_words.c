// A worker's words, as they reach who typed a cmdlet.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "service/words.h"

static void becomes(const char *text, const char *wanted)
{
    char got[300];
    words_of_cmdlets(got, sizeof got, text);
    assert_string_equal(got, wanted);
}

static void test_options_become_parameters(void **state)
{
    (void)state;
    becomes("--engine kvm: this platform does not support nested virtualization: this host has no /dev/kvm: load "
            "kvm_intel or kvm_amd (modprobe), or use the engine that needs no such device: --engine soft",
            "this platform does not support nested virtualization: this host has no /dev/kvm: load kvm_intel or kvm_amd "
            "(modprobe), or use the engine that needs no such device: Set-VMProcessor -Engine Soft");
    becomes("reload kvm_intel with nested=1, use --engine soft, or do without (--nested off)",
            "reload kvm_intel with nested=1, use Set-VMProcessor -Engine Soft, or do without (Set-VMProcessor "
            "-ExposeVirtualizationExtensions $false)");
    becomes("the soft engine does not offer AMD processors; use '--vendor intel'",
            "the soft engine does not offer AMD processors; take Set-VMProcessor -Vendor Intel");
    becomes("/k: needs 52 MiB, and the VM has 32 MiB: give it more with --memory",
            "/k: needs 52 MiB, and the VM has 32 MiB: give it more with Set-VMMemory -StartupBytes");
    becomes("--disk: disk '/--b': it is locked", "disk '/--b': it is locked");
    becomes("", "");
}

static void test_room_is_kept(void **state)
{
    char got[12];
    (void)state;
    memset(got, 'x', sizeof got);
    words_of_cmdlets(got, 10, "a --memory 5");
    assert_string_equal(got, "a Set-VMM");
    assert_int_equal(got[10], 'x');
    words_of_cmdlets(got, 1, "--memory 5");
    assert_string_equal(got, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_become_parameters),
        cmocka_unit_test(test_room_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
