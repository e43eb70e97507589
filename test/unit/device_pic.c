// The 8259 pair: initialisation as Linux does it, priorities, cascade, level and edge, spurious interrupts, rotation.
#include "chip.h"

#include "device/pic.h"

struct fixture {
    struct pic pic;
    struct fake_wire intr;
};

static u8 in(struct fixture *f, u16 port) { return (u8)chip_in(&pic_model, &f->pic, port, 1); }
static void out(struct fixture *f, u16 port, u8 value) { chip_out(&pic_model, &f->pic, port, 1, value); }

// Linux, init_8259A(): vectors 0x30 and 0x38, then the masks.
static void start(struct fixture *f, u8 mask, u8 slave_mask, u8 icw4)
{
    *f = (struct fixture){0};
    f->pic.intr = (struct wire){fake_set, &f->intr, 0};
    pic_model.reset(&f->pic);
    out(f, 0x20, 0x11), out(f, 0x21, 0x30), out(f, 0x21, 0x04), out(f, 0x21, icw4);
    out(f, 0xA0, 0x11), out(f, 0xA1, 0x38), out(f, 0xA1, 0x02), out(f, 0xA1, 0x01);
    out(f, 0x21, mask), out(f, 0xA1, slave_mask);
}

static void test_probe(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, 0xFB, 0xFF, 1);
    assert_int_equal(in(&f, 0x21), 0xFB); // probe_8259A() reads back what it wrote
    assert_int_equal(in(&f, 0xA1), 0xFF);
    f.pic.half[0].imr = 0;
    pic_model.reset(&f.pic);
    pic_line(&f.pic, 0, true); // masked from power-on: no firmware does it
    assert_false(f.intr.level);
}

static void test_edge(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, 0, 0, 1);
    pic_line(&f.pic, 1, true);
    pic_line(&f.pic, 1, false); // latched all the same
    assert_true(f.intr.level);
    assert_int_equal(in(&f, 0x20), 0x02);
    assert_int_equal(pic_acknowledge(&f.pic), 0x31);
    assert_false(f.intr.level);
    out(&f, 0x20, 0x0B); // ISR
    assert_int_equal(in(&f, 0x20), 0x02);
    pic_line(&f.pic, 0, true); // higher priority interrupts the handler, lower does not
    pic_line(&f.pic, 3, true);
    assert_int_equal(pic_acknowledge(&f.pic), 0x30);
    assert_false(f.intr.level);
    out(&f, 0x20, 0x60); // specific EOI 0
    assert_false(f.intr.level);
    out(&f, 0x20, 0x20); // non-specific: 1
    assert_int_equal(pic_acknowledge(&f.pic), 0x33);
    out(&f, 0x20, 0x20);
    pic_line(&f.pic, 3, true); // no new edge
    assert_false(f.intr.level);
}

static void test_cascade(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, 0, 0, 1);
    pic_line(&f.pic, 8, true);
    pic_line(&f.pic, 12, true);
    assert_int_equal(pic_acknowledge(&f.pic), 0x38);
    assert_false(f.intr.level);
    out(&f, 0xA0, 0x60), out(&f, 0x20, 0x62); // as Linux does
    assert_int_equal(pic_acknowledge(&f.pic), 0x3C);
    out(&f, 0xA0, 0x64), out(&f, 0x20, 0x62);
    assert_false(f.intr.level);
    pic_line(&f.pic, 2, true); // nothing but the cascade is there
    assert_false(f.intr.level);
}

static void test_level(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, 0, 0, 1);
    out(&f, 0x4D0, 0xFF);
    out(&f, 0x4D1, 0xFF);
    assert_int_equal(in(&f, 0x4D0), 0xF8); // the ISA lines stay edges
    assert_int_equal(in(&f, 0x4D1), 0xDE);
    pic_line(&f.pic, 9, true);
    assert_int_equal(pic_acknowledge(&f.pic), 0x39);
    out(&f, 0xA0, 0x20), out(&f, 0x20, 0x20);
    assert_int_equal(pic_acknowledge(&f.pic), 0x39); // still asserted
    pic_line(&f.pic, 9, false);
    out(&f, 0xA0, 0x20), out(&f, 0x20, 0x20);
    assert_false(f.intr.level);
}

static void test_spurious(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, 0, 0, 1);
    out(&f, 0x4D0, 0x20);
    out(&f, 0x4D1, 0x02);
    pic_line(&f.pic, 5, true);
    pic_line(&f.pic, 5, false); // withdrawn
    assert_int_equal(pic_acknowledge(&f.pic), 0x37);
    out(&f, 0x20, 0x0B);
    assert_int_equal(in(&f, 0x20), 0); // a spurious interrupt has no ISR bit
    pic_line(&f.pic, 9, true);
    pic_line(&f.pic, 9, false); // withdrawn by the slave too
    assert_false(f.intr.level);
}

static void test_masks_and_modes(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, 0xFF, 0xFF, 3); // automatic EOI
    pic_line(&f.pic, 4, true);
    assert_false(f.intr.level);
    out(&f, 0x21, 0xEF);
    assert_int_equal(pic_acknowledge(&f.pic), 0x34);
    out(&f, 0x20, 0x0B);
    assert_int_equal(in(&f, 0x20), 0);

    start(&f, 0, 0, 1);
    out(&f, 0x20, 0xC4); // priority: 4 is lowest, so 5 is highest
    pic_line(&f.pic, 0, true);
    pic_line(&f.pic, 5, true);
    assert_int_equal(pic_acknowledge(&f.pic), 0x35);
    out(&f, 0x20, 0xA0); // rotate on non-specific EOI: 5 becomes lowest
    assert_int_equal(f.pic.half[0].lowest, 5);
    assert_int_equal(pic_acknowledge(&f.pic), 0x30);
    out(&f, 0x20, 0x68); // special mask mode: the masked one in service blocks nobody
    out(&f, 0x21, 0x01);
    pic_line(&f.pic, 1, true);
    assert_int_equal(pic_acknowledge(&f.pic), 0x31);

    start(&f, 0, 0, 1);
    pic_line(&f.pic, 6, true);
    out(&f, 0x20, 0x0C); // poll
    assert_int_equal(in(&f, 0x20), 0x86);
    assert_false(f.intr.level);
    out(&f, 0x20, 0x0C);
    assert_int_equal(in(&f, 0x20), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_probe), cmocka_unit_test(test_edge),     cmocka_unit_test(test_cascade),
        cmocka_unit_test(test_level), cmocka_unit_test(test_spurious), cmocka_unit_test(test_masks_and_modes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
