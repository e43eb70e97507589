// The real-time clock: calendar, formats, setting it, alarm, update and periodic interrupts, BIOS memory bytes.
#include "chip.h"

#include "device/rtc.h"

struct fixture {
    struct fake_time time;
    struct rtc rtc;
    struct fake_wire irq;
};

enum { WALL = 1700000000 }; // 2023-11-14 22:13:20, a Tuesday

static u8 get(struct fixture *f, u8 index)
{
    chip_out(&rtc_model, &f->rtc, 0x70, 1, index);
    return (u8)chip_in(&rtc_model, &f->rtc, 0x71, 1);
}

static void set(struct fixture *f, u8 index, u8 value)
{
    chip_out(&rtc_model, &f->rtc, 0x70, 1, index | 0x80); // the NMI bit is not part of the index
    chip_out(&rtc_model, &f->rtc, 0x71, 1, value);
}

static void start(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    fake_time_init(&f->time);
    f->rtc.irq = (struct wire){fake_set, &f->irq, 0};
    rtc_init(&f->rtc, &f->time.list, WALL);
    rtc_model.reset(&f->rtc);
}

static void test_calendar(void **state)
{
    (void)state;
    const s64 seconds[] = {0, 951782399, 951782400, 951868800, 4102444799, WALL, -1, 32503680000};
    for (unsigned i = 0; i < ARRAY_SIZE(seconds); i++) {
        struct rtc_date date = rtc_date_of(seconds[i]);
        assert_true(rtc_seconds_of(&date) == seconds[i]);
    }
    struct rtc_date leap = rtc_date_of(951782400);
    assert_int_equal(leap.month * 100 + leap.day, 229);
    assert_int_equal(leap.weekday, 3);
    assert_int_equal(rtc_date_of(0).weekday, 5); // a Thursday
}

static void test_read(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    assert_int_equal(get(&f, 9), 0x23);
    assert_int_equal(get(&f, 0x32), 0x20);
    assert_int_equal(get(&f, 8), 0x11);
    assert_int_equal(get(&f, 7), 0x14);
    assert_int_equal(get(&f, 6), 3);
    assert_int_equal(get(&f, 4), 0x22);
    assert_int_equal(get(&f, 2), 0x13);
    assert_int_equal(get(&f, 0), 0x20);
    fake_advance(&f.time, 41 * NS_PER_S);
    assert_int_equal(get(&f, 0), 0x01);
    assert_int_equal(get(&f, 2), 0x14);
    set(&f, 0x0B, 0x04); // binary, 12 hours
    assert_int_equal(get(&f, 4), 10 | 0x80);
    assert_int_equal(get(&f, 9), 23);
    assert_int_equal(get(&f, 0x0D), 0x80);
}

static void test_update_in_progress(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    assert_int_equal(get(&f, 0x0A), 0x26);
    fake_advance(&f.time, NS_PER_S - 100000);
    assert_int_equal(get(&f, 0x0A), 0xA6);
    fake_advance(&f.time, 100000);
    assert_int_equal(get(&f, 0x0A), 0x26);
}

static void test_set(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    set(&f, 0x0B, 0x82);
    set(&f, 0, 0x58), set(&f, 2, 0x59), set(&f, 4, 0x23), set(&f, 7, 0x31), set(&f, 8, 0x12), set(&f, 9, 0x99);
    fake_advance(&f.time, 10 * NS_PER_S); // held
    assert_int_equal(get(&f, 0), 0x58);
    set(&f, 0x0B, 0x02);
    fake_advance(&f.time, 2 * NS_PER_S);
    assert_int_equal(get(&f, 0), 0);
    assert_int_equal(get(&f, 9), 0);
    assert_int_equal(get(&f, 0x32), 0x21);
    set(&f, 2, 0x30); // on the fly
    assert_int_equal(get(&f, 2), 0x30);
    for (unsigned i = 0; i < 10; i++)
        set(&f, (u8)i, 0xFF); // nonsense stays a date
    assert_in_range(get(&f, 8), 1, 0x12);
}

static void test_alarm(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    set(&f, 5, 0x22), set(&f, 3, 0x13), set(&f, 1, 0x25);
    set(&f, 0x0B, 0x22);
    fake_advance(&f.time, 4 * NS_PER_S);
    assert_int_equal(f.irq.rises, 0);
    fake_advance(&f.time, NS_PER_S);
    assert_int_equal(f.irq.rises, 1);
    assert_int_equal(get(&f, 0x0C), 0xF0); // update and period flags rise whether enabled or not
    assert_false(f.irq.level);
    assert_int_equal(get(&f, 0x0C), 0);
    fake_advance(&f.time, 86400 * NS_PER_S);
    assert_int_equal(f.irq.rises, 2);
    get(&f, 0x0C);
    set(&f, 5, 0xC0), set(&f, 3, 0xFF), set(&f, 1, 0x30); // every minute
    fake_advance(&f.time, 60 * NS_PER_S);
    assert_int_equal(f.irq.rises, 3);
    set(&f, 1, 0x77); // never
    get(&f, 0x0C);
    fake_advance(&f.time, 7200 * NS_PER_S);
    assert_int_equal(f.irq.rises, 3);
    assert_true(timer_next(&f.time.list) == TIMER_NEVER);
}

static void test_periodic_and_update(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    set(&f, 0x0B, 0x42); // 1,024 a second
    unsigned count = 0;
    for (unsigned i = 0; i < 20000; i++) {
        fake_advance(&f.time, 50000);
        if (f.irq.level) {
            assert_int_equal(get(&f, 0x0C) & 0xC0, 0xC0);
            count++;
        }
    }
    assert_in_range(count, 1022, 1025);
    set(&f, 0x0B, 0x12);
    get(&f, 0x0C);
    unsigned before = f.irq.rises;
    for (unsigned i = 0; i < 3; i++) {
        fake_advance(&f.time, NS_PER_S);
        assert_int_equal(get(&f, 0x0C) & 0x90, 0x90);
    }
    assert_int_equal(f.irq.rises, before + 3);
    set(&f, 0x0B, 0x02); // polled flags need no timer
    fake_advance(&f.time, NS_PER_S);
    assert_int_equal(get(&f, 0x0C), 0x50);
    assert_true(timer_next(&f.time.list) == TIMER_NEVER);
}

static void test_memory(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    rtc_describe(&f.rtc, GIB(3), GIB(1), 4);
    assert_int_equal(get(&f, 0x15) | get(&f, 0x16) << 8, 640);
    assert_int_equal(get(&f, 0x17) | get(&f, 0x18) << 8, 65535);
    assert_int_equal(get(&f, 0x34) | get(&f, 0x35) << 8, (3072 - 16) * 16);
    assert_int_equal(get(&f, 0x5B) | get(&f, 0x5C) << 8 | get(&f, 0x5D) << 16, 16384);
    assert_int_equal(get(&f, 0x5F), 3);
    set(&f, 0x0F, 0x0A);
    rtc_model.reset(&f.rtc);
    assert_int_equal(get(&f, 0x0F), 0x0A); // battery
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calendar), cmocka_unit_test(test_read),
        cmocka_unit_test(test_update_in_progress), cmocka_unit_test(test_set),
        cmocka_unit_test(test_alarm),    cmocka_unit_test(test_periodic_and_update),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
