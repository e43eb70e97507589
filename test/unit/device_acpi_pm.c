// ACPI fixed hardware: the 3.579545 MHz counter, power button and SCI, power-off.
#include "chip.h"

#include "device/acpi_pm.h"

struct fixture {
    struct fake_time time;
    struct acpi_pm pm;
    struct fake_wire sci;
    unsigned shutdowns;
};

static void shutdown(void *context) { ((struct fixture *)context)->shutdowns++; }

static void start(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    fake_time_init(&f->time);
    f->pm.sci = (struct wire){fake_set, &f->sci, 0};
    f->pm.shutdown = shutdown;
    f->pm.context = f;
    acpi_pm_init(&f->pm, &f->time.list);
    acpi_pm_model.reset(&f->pm);
}

static u64 in(struct fixture *f, u16 port, unsigned bytes) { return chip_in(&acpi_pm_model, &f->pm, port, bytes); }
static void out(struct fixture *f, u16 port, unsigned bytes, u64 value)
{
    chip_out(&acpi_pm_model, &f->pm, port, bytes, value);
}

static void test_timer(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    u64 before = in(&f, 0x608, 4);
    fake_advance(&f.time, NS_PER_S);
    assert_in_range(in(&f, 0x608, 4) - before, 3579544, 3579546);
    assert_int_equal(in(&f, 0x609, 1), in(&f, 0x608, 4) >> 8 & 0xFF);
    fake_advance(&f.time, 10 * NS_PER_S);
    assert_true(in(&f, 0x608, 4) < 1 << 24);
    assert_int_equal(in(&f, 0x600, 2) & 1, 1); // it wrapped
    out(&f, 0x600, 2, 1);
    assert_int_equal(in(&f, 0x600, 2), 0);
    assert_int_equal(f.sci.rises, 0);
    out(&f, 0x602, 2, 1);
    fake_advance(&f.time, 3 * NS_PER_S);
    assert_int_equal(f.sci.rises, 1);
    out(&f, 0x602, 2, 0);
    assert_false(f.sci.level);
    assert_true(timer_next(&f.time.list) == TIMER_NEVER);
}

static void test_general_purpose_event(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    acpi_pm_event(&f.pm, ACPI_PM_GPE_HOTPLUG);
    assert_int_equal(f.sci.rises, 0); // not enabled
    assert_int_equal(in(&f, 0x60C, 2), 2);
    out(&f, 0x60E, 2, 0xFFFF);
    assert_int_equal(in(&f, 0x60E, 2), 2); // there are no others
    assert_true(f.sci.level);
    out(&f, 0x60C, 1, 2);
    assert_false(f.sci.level);
    acpi_pm_event(&f.pm, ACPI_PM_GPE_HOTPLUG);
    assert_int_equal(f.sci.rises, 2);
    acpi_pm_model.reset(&f.pm);
    assert_false(f.sci.level);
    assert_int_equal(in(&f, 0x60C, 4), 0);
}

static void test_button(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    acpi_pm_power_button(&f.pm);
    assert_false(f.sci.level);
    out(&f, 0x603, 1, 0x01); // PWRBTN_EN by its byte
    assert_true(f.sci.level);
    assert_int_equal(in(&f, 0x600, 4), 0x01000100);
    out(&f, 0x600, 2, 0x100);
    assert_false(f.sci.level);
    assert_int_equal(in(&f, 0x602, 2), 0x100);
}

static void test_power_off(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    assert_int_equal(in(&f, 0x604, 2), 1); // SCI_EN
    out(&f, 0x604, 2, 5 << 10);
    assert_int_equal(f.shutdowns, 0);
    out(&f, 0x604, 2, 3 << 10 | 1 << 13); // some other state: not there, nothing happens
    assert_int_equal(f.shutdowns, 0);
    out(&f, 0x604, 2, 5 << 10 | 1 << 13);
    assert_int_equal(f.shutdowns, 1);
    assert_int_equal(in(&f, 0x604, 2), 5 << 10 | 1); // SLP_EN reads as 0
    out(&f, 0x602, 2, 0x100); // writes nearby do not repeat it
    assert_int_equal(f.shutdowns, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timer), cmocka_unit_test(test_general_purpose_event), cmocka_unit_test(test_button),
        cmocka_unit_test(test_power_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
