// The 8254: every mode's output, latches and read-back, the ways Linux calibrates by it, IRQ 0 in time.
#include "chip.h"

#include "device/pit.h"

struct fixture {
    struct fake_time time;
    struct pit pit;
    struct fake_wire irq;
};

#define TICK_NS(n) clock_ns(n, PIT_HZ)

static void start(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    fake_time_init(&f->time);
    f->time.now = NS_PER_S;
    f->pit.irq = (struct wire){fake_set, &f->irq, 0};
    pit_init(&f->pit, &f->time.list);
    pit_model.reset(&f->pit);
    f->irq.rises = f->irq.falls = 0;
}

static u8 in(struct fixture *f, u16 port) { return (u8)chip_in(&pit_model, &f->pit, port, 1); }
static void out(struct fixture *f, u16 port, u8 value) { chip_out(&pit_model, &f->pit, port, 1, value); }
static u16 in16(struct fixture *f, u16 port)
{
    u16 low = in(f, port);
    return (u16)(low | in(f, port) << 8);
}

static void test_periodic(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    out(&f, 0x43, 0x34); // channel 0, low then high, mode 2: Linux at HZ=250
    out(&f, 0x40, 4773 & 0xFF);
    out(&f, 0x40, 4773 >> 8);
    fake_advance(&f.time, TICK_NS(4772));
    assert_int_equal(f.irq.rises, 0);
    fake_advance(&f.time, TICK_NS(2));
    assert_int_equal(f.irq.rises, 1);
    fake_advance(&f.time, NS_PER_S);
    assert_in_range(f.irq.rises, 250, 251);
    f.time.now += NS_PER_S; // nobody looked for a second: one interrupt, not 250
    unsigned before = f.irq.rises;
    timer_run(&f.time.list);
    assert_int_equal(f.irq.rises, before + 1);
    fake_advance(&f.time, TICK_NS(4773 * 2));
    assert_in_range(f.irq.rises, before + 2, before + 3);
}

static void test_one_shot(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    out(&f, 0x43, 0x38); // mode 4: Linux's one-shot clock event
    out(&f, 0x40, 0xE8);
    out(&f, 0x40, 0x03);
    fake_advance(&f.time, TICK_NS(1000));
    assert_int_equal(f.irq.rises, 0);
    fake_advance(&f.time, TICK_NS(2));
    assert_int_equal(f.irq.rises, 1);
    fake_advance(&f.time, NS_PER_S);
    assert_int_equal(f.irq.rises, 1);
    out(&f, 0x43, 0x30); // mode 0: output low at once, high at the end
    assert_false(f.irq.level);
    out(&f, 0x40, 100);
    out(&f, 0x40, 0);
    fake_advance(&f.time, TICK_NS(99));
    assert_false(f.irq.level);
    fake_advance(&f.time, TICK_NS(2));
    assert_true(f.irq.level);
    assert_true(timer_next(&f.time.list) == TIMER_NEVER);
}

static void test_square_wave(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    out(&f, 0x43, 0x36);
    out(&f, 0x40, 0);
    out(&f, 0x40, 0); // 65,536: the 18.2 Hz of old
    fake_advance(&f.time, NS_PER_S);
    assert_int_equal(f.irq.rises, 18);
    out(&f, 0x43, 0xE2); // read back status of channel 0
    assert_int_equal(in(&f, 0x40) & 0x7F, 0x36);
}

// Linux, quick_pit_calibrate(): channel 2 in mode 0, the high byte falls every 256 ticks.
static void test_quick_calibration(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    out(&f, 0x61, (in(&f, 0x61) & 0xFC) | 1);
    out(&f, 0x43, 0xB0);
    out(&f, 0x42, 0xFF);
    out(&f, 0x42, 0xFF);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(in16(&f, 0x42) >> 8, 0xFF - i);
        fake_advance(&f.time, TICK_NS(256));
    }
    assert_int_equal(in(&f, 0x61) & 0x21, 1);
    fake_advance(&f.time, TICK_NS(65536));
    assert_int_equal(in(&f, 0x61) & 0x21, 0x21);
}

// Linux, pit_calibrate_tsc(): wait for OUT of channel 2 after 10 ms.
static void test_slow_calibration(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    unsigned latch = (unsigned)(PIT_HZ / 100);
    out(&f, 0x61, 1);
    out(&f, 0x43, 0xB0);
    out(&f, 0x42, (u8)latch);
    out(&f, 0x42, (u8)(latch >> 8));
    fake_advance(&f.time, NS_PER_S / 100 - 20000);
    assert_int_equal(in(&f, 0x61) & 0x20, 0);
    fake_advance(&f.time, 21000);
    assert_int_equal(in(&f, 0x61) & 0x20, 0x20);
}

static void test_gate(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    out(&f, 0x61, 1);
    out(&f, 0x43, 0xB0);
    out(&f, 0x42, 0xE8);
    out(&f, 0x42, 0x03);
    fake_advance(&f.time, TICK_NS(400));
    out(&f, 0x61, 0); // mode 0 stops while the gate is low
    fake_advance(&f.time, NS_PER_S);
    assert_in_range(in16(&f, 0x42), 599, 600);
    out(&f, 0x61, 1);
    fake_advance(&f.time, TICK_NS(500));
    assert_in_range(in16(&f, 0x42), 98, 100);
    out(&f, 0x61, 0);
    out(&f, 0x43, 0xB2); // mode 1 waits for the gate to rise
    out(&f, 0x42, 100);
    out(&f, 0x42, 0);
    fake_advance(&f.time, NS_PER_S);
    assert_int_equal(in(&f, 0x61) & 0x20, 0x20);
    out(&f, 0x61, 1);
    assert_int_equal(in(&f, 0x61) & 0x20, 0);
    fake_advance(&f.time, TICK_NS(101));
    assert_int_equal(in(&f, 0x61) & 0x20, 0x20);
}

static void test_latches(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    out(&f, 0x43, 0x34);
    out(&f, 0x40, 0x00);
    out(&f, 0x40, 0x10);
    fake_advance(&f.time, TICK_NS(0x200));
    out(&f, 0x43, 0x00); // latch
    fake_advance(&f.time, TICK_NS(0x300));
    out(&f, 0x43, 0x00); // the second latch is ignored
    assert_in_range(in16(&f, 0x40), 0xDFF, 0xE00);
    assert_in_range(in16(&f, 0x40), 0xAFE, 0xB00);
    out(&f, 0x43, 0xC2); // read back both: status first
    assert_int_equal(in(&f, 0x40), 0xB4);
    assert_in_range(in16(&f, 0x40), 0xAFE, 0xB00);
    out(&f, 0x43, 0x14); // low byte only
    out(&f, 0x40, 50);
    fake_advance(&f.time, TICK_NS(10));
    assert_in_range(in(&f, 0x40), 39, 41);
    assert_in_range(in(&f, 0x40), 39, 41);
    out(&f, 0x43, 0x35); // BCD
    out(&f, 0x40, 0x00);
    out(&f, 0x40, 0x10);
    fake_advance(&f.time, TICK_NS(1));
    assert_in_range(in16(&f, 0x40), 0x0998, 0x0999);
    out(&f, 0x43, 0x34);
    out(&f, 0x43, 0xE2);
    assert_int_equal(in(&f, 0x40), 0xF4); // no count yet
}

static void test_refresh_toggles(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    unsigned changes = 0;
    u8 last = in(&f, 0x61) & 0x10;
    for (unsigned i = 0; i < 1000; i++) {
        fake_advance(&f.time, 1000);
        changes += (in(&f, 0x61) & 0x10) != last;
        last = in(&f, 0x61) & 0x10;
    }
    assert_in_range(changes, 65, 67); // a millisecond
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_periodic),          cmocka_unit_test(test_one_shot),
        cmocka_unit_test(test_square_wave),       cmocka_unit_test(test_quick_calibration),
        cmocka_unit_test(test_slow_calibration),  cmocka_unit_test(test_gate),
        cmocka_unit_test(test_latches),           cmocka_unit_test(test_refresh_toggles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
