// The small ones: keyboard controller and port 0x92, the test device, the firmware configuration port.
#include "chip.h"

#include "device/fwcfg.h"
#include "device/i8042.h"
#include "device/testdev.h"

static void count(void *context) { ++*(unsigned *)context; }

static u8 answer(struct i8042 *chip, u8 command)
{
    chip_out(&i8042_model, chip, 0x64, 1, command);
    assert_int_equal(chip_in(&i8042_model, chip, 0x64, 1) & 1, 1);
    u8 value = (u8)chip_in(&i8042_model, chip, 0x60, 1);
    assert_int_equal(chip_in(&i8042_model, chip, 0x64, 1) & 1, 0);
    return value;
}

static void test_i8042(void **state)
{
    (void)state;
    unsigned resets = 0;
    struct fake_wire irq = {0};
    struct i8042 chip = {.reset_cpu = count, .context = &resets, .keyboard_irq = {fake_set, &irq, 1}};
    i8042_model.reset(&chip);
    assert_int_equal(chip_in(&i8042_model, &chip, 0x64, 1) & 3, 0); // nothing to read, ready for commands
    assert_int_equal(answer(&chip, 0xAA), 0x55);
    assert_int_equal(answer(&chip, 0xAB), 0x00);
    chip_out(&i8042_model, &chip, 0x64, 1, 0x60);
    chip_out(&i8042_model, &chip, 0x60, 1, 0x45);
    assert_int_equal(answer(&chip, 0x20), 0x45);
    assert_int_equal(irq.rises, 1);
    assert_false(irq.level);
    chip_out(&i8042_model, &chip, 0x64, 1, 0xD3);
    chip_out(&i8042_model, &chip, 0x60, 1, 0x5A);
    assert_int_equal(chip_in(&i8042_model, &chip, 0x64, 1) & 0x21, 0x21);
    assert_int_equal(chip_in(&i8042_model, &chip, 0x60, 1), 0x5A);
    chip_out(&i8042_model, &chip, 0x60, 1, 0xFF); // a keyboard that is not there
    assert_int_equal(chip_in(&i8042_model, &chip, 0x64, 1) & 0x41, 0x41);
    assert_int_equal(resets, 0);
    chip_out(&i8042_model, &chip, 0x64, 1, 0xFE);
    assert_int_equal(resets, 1);
    chip_out(&i8042_model, &chip, 0x64, 1, 0xFF);
    assert_int_equal(resets, 1);
    chip_out(&i8042_model, &chip, 0x64, 1, 0xD1);
    chip_out(&i8042_model, &chip, 0x60, 1, 0x02);
    assert_int_equal(resets, 2);
    chip_out(&i8042_model, &chip, 0x92, 1, 0x02);
    chip_out(&i8042_model, &chip, 0x92, 1, 0x03);
    chip_out(&i8042_model, &chip, 0x92, 1, 0x03); // only the rise counts
    assert_int_equal(resets, 3);
    assert_int_equal(chip_in(&i8042_model, &chip, 0x92, 1), 3);
}

struct seen {
    unsigned status, line, level;
    u64 page;
};

static void seen_exit(void *context, unsigned status) { ((struct seen *)context)->status = status; }
static void seen_page(void *context, u64 gpa) { ((struct seen *)context)->page = gpa; }
static void seen_line(void *context, unsigned line, bool level)
{
    struct seen *seen = context;
    seen->line = line;
    seen->level = level;
}

static void test_testdev(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct testdev *chip = calloc(1, sizeof *chip);
    *chip = (struct testdev){.context = &seen, .exit = seen_exit, .line = seen_line, .flush_page = seen_page};
    testdev_model.reset(chip);
    chip_out(&testdev_model, chip, 0xF4, 4, 0x31);
    assert_int_equal(seen.status, 0x63);
    chip_out(&testdev_model, chip, 0xE0, 4, 0x11223344);
    chip_out(&testdev_model, chip, 0xE1, 1, 0x99);
    assert_int_equal(chip_in(&testdev_model, chip, 0xE0, 4), 0x11229944);
    assert_int_equal(chip_in(&testdev_model, chip, 0xE2, 2), 0x1122);
    chip_out(&testdev_model, chip, 0x200E, 1, 1);
    assert_int_equal(seen.line, 14);
    assert_true(seen.level);
    chip_out(&testdev_model, chip, 0xE4, 4, 0x123000);
    assert_true(seen.page == 0x123000);
    const struct device_range *memory = chip_range(&testdev_model, DEVICE_MEMORY, 0xFF000000);
    memory->write(chip, TESTDEV_MEMORY_BYTES - 8, 8, 0x1122334455667788);
    assert_true(memory->read(chip, TESTDEV_MEMORY_BYTES - 8, 8) == 0x1122334455667788);
    assert_true(memory->read(chip, TESTDEV_MEMORY_BYTES - 7, 1) == 0x77);
    free(chip);
}

static u64 fwcfg_get(struct fwcfg *chip, u16 item, unsigned bytes)
{
    u64 value = 0;
    chip_out(&fwcfg_model, chip, 0x510, 2, item);
    for (unsigned i = 0; i < bytes; i++)
        value |= chip_in(&fwcfg_model, chip, 0x511, 1) << i * 8;
    return value;
}

static void test_fwcfg(void **state)
{
    (void)state;
    struct fwcfg chip = {.ram_bytes = GIB(5), .cpus = 3};
    fwcfg_model.reset(&chip);
    assert_int_equal(fwcfg_get(&chip, 0, 4), 0x554D4551);
    assert_int_equal(fwcfg_get(&chip, 5, 2), 3);
    assert_int_equal(fwcfg_get(&chip, 15, 2), 3);
    assert_true(fwcfg_get(&chip, 3, 8) == GIB(5));
    assert_int_equal(fwcfg_get(&chip, 1, 4), 1);
    assert_int_equal(fwcfg_get(&chip, 0x19, 8), 0);
    assert_int_equal(fwcfg_get(&chip, 0x7777, 8), 0);
    for (unsigned i = 0; i < 100; i++)
        chip_in(&fwcfg_model, &chip, 0x511, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_i8042), cmocka_unit_test(test_testdev), cmocka_unit_test(test_fwcfg),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
