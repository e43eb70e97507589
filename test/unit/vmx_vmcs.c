// The table of VMCS fields: every encoding finds a place of its own, and its width is what the encoding says.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/soft/vmx/vmcs.h"

#define ENCODING(encoding, member) encoding,
static const u32 encodings[] = {VMCS_FIELDS(ENCODING)};

static u64 width_mask(u32 encoding)
{
    switch (vmcs_width(encoding)) {
    case VMCS_WIDTH_16: return 0xffff;
    case VMCS_WIDTH_32: return 0xffffffff;
    default: return ~0ull;
    }
}

static void test_every_field_has_its_own_place(void **state)
{
    (void)state;
    struct vmcs *vmcs = calloc(1, sizeof *vmcs);
    for (unsigned i = 0; i < ARRAY_SIZE(encodings); i++)
        vmcs_field_write(vmcs, encodings[i], 0x0123456789abcdefull * (encodings[i] + 1));
    for (unsigned i = 0; i < ARRAY_SIZE(encodings); i++) {
        u64 want = 0x0123456789abcdefull * (encodings[i] + 1) & width_mask(encodings[i]);
        assert_int_equal(vmcs_field_read(vmcs, encodings[i]), want);
    }
    assert_int_equal(vmcs->revision, 0);
    assert_int_equal(vmcs->launched, 0);
    free(vmcs);
}

static void test_high_halves(void **state)
{
    (void)state;
    struct vmcs *vmcs = calloc(1, sizeof *vmcs);
    vmcs_field_write(vmcs, 0x2010, 0x1111111122222222);
    assert_int_equal(vmcs_field_read(vmcs, 0x2011), 0x11111111);
    vmcs_field_write(vmcs, 0x2011, 0x99999999aaaaaaaa);
    assert_int_equal(vmcs->tsc_offset, 0xaaaaaaaa22222222);
    free(vmcs);
}

static void test_existence(void **state)
{
    (void)state;
    unsigned found = 0;
    for (u32 encoding = 0; encoding < 0x10000; encoding += 2)
        found += vmcs_field_exists(encoding);
    assert_int_equal(found, ARRAY_SIZE(encodings));
    for (unsigned i = 0; i < ARRAY_SIZE(encodings); i++) {
        assert_true(vmcs_field_exists(encodings[i]));
        assert_int_equal(vmcs_field_exists(encodings[i] | 1), vmcs_width(encodings[i]) == VMCS_WIDTH_64);
        assert_false(vmcs_field_exists(encodings[i] | 1ull << 32));
        assert_false(vmcs_field_exists(encodings[i] | 1 << 15));
    }
    assert_false(vmcs_field_exists(0x0c0e)); // there is no host LDTR
    assert_int_equal(vmcs_field_highest_index(), 0x32 >> 1);
    assert_string_equal(vmcs_field_name(0x681e), "guest_rip");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field_has_its_own_place),
        cmocka_unit_test(test_high_halves),
        cmocka_unit_test(test_existence),
    };
    return cmocka_run_group_tests_name("vmx_vmcs", tests, NULL, NULL);
}
