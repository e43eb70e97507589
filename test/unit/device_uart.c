// The 16550: what Linux's 8250 driver probes, transmit and receive with their interrupts, loopback, back pressure.
#include "chip.h"

#include "device/uart.h"

struct fixture {
    struct uart uart;
    struct fake_wire irq;
    char sent[64];
    unsigned sent_count, rooms;
};

static void transmit(void *context, const u8 *bytes, size_t count)
{
    struct fixture *f = context;
    for (size_t i = 0; i < count && f->sent_count < sizeof f->sent; i++)
        f->sent[f->sent_count++] = (char)bytes[i];
}

static void room(void *context) { ((struct fixture *)context)->rooms++; }

static void start(struct fixture *f)
{
    *f = (struct fixture){.uart.backend = {f, transmit, room}};
    f->uart.irq = (struct wire){fake_set, &f->irq, 0};
    uart_com1_model.reset(&f->uart);
}

static u8 in(struct fixture *f, u8 reg) { return (u8)chip_in(&uart_com1_model, &f->uart, 0x3F8 + reg, 1); }
static void out(struct fixture *f, u8 reg, u8 value) { chip_out(&uart_com1_model, &f->uart, 0x3F8 + reg, 1, value); }

// Linux, autoconfig(): IER bits, loopback of the modem lines, then the type by the FIFO bits.
static void test_probe(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    out(&f, 1, 0);
    assert_int_equal(in(&f, 1), 0);
    out(&f, 1, 0xFF);
    assert_int_equal(in(&f, 1), 0x0F);
    out(&f, 1, 0);
    out(&f, 4, 0x1A);
    assert_int_equal(in(&f, 6) & 0xF0, 0x90);
    out(&f, 4, 0);
    assert_int_equal(in(&f, 6) & 0xF0, 0xB0);
    out(&f, 2, 1);
    assert_int_equal(in(&f, 2) >> 6, 3);
    out(&f, 2, 0);
    assert_int_equal(in(&f, 2) >> 6, 0);
    out(&f, 7, 0x5A);
    assert_int_equal(in(&f, 7), 0x5A);
    out(&f, 3, 0x83);
    out(&f, 0, 1), out(&f, 1, 2);
    assert_int_equal(in(&f, 0), 1);
    assert_int_equal(in(&f, 1), 2);
    out(&f, 3, 3);
    assert_int_equal(f.sent_count, 0);
    assert_int_equal(in(&f, 5), 0x60);
}

static void test_transmit(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    out(&f, 4, 0x0B);
    out(&f, 1, 2);
    assert_true(f.irq.level); // empty from the start
    assert_int_equal(in(&f, 2), 0x02);
    assert_false(f.irq.level); // reading IIR took it back
    assert_int_equal(in(&f, 2), 0x01);
    out(&f, 0, 'h');
    assert_true(f.irq.level);
    in(&f, 2);
    out(&f, 0, 'i');
    assert_memory_equal(f.sent, "hi", 2);
    assert_true(f.irq.level);
    out(&f, 4, 0); // OUT2 gates the line
    assert_false(f.irq.level);
    out(&f, 4, 8);
    assert_true(f.irq.level);
    out(&f, 1, 0);
    assert_false(f.irq.level);
}

static void test_receive(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    const u8 text[] = "0123456789abcdefghij";
    out(&f, 2, 0x81); // FIFO on, trigger at 8
    out(&f, 4, 8);
    out(&f, 1, 1);
    assert_int_equal(uart_receive(&f.uart, text, 3), 3);
    assert_true(f.irq.level);
    assert_int_equal(in(&f, 2), 0xCC); // time-out: below the trigger level
    assert_int_equal(uart_receive(&f.uart, text + 3, 17), 13);
    assert_int_equal(in(&f, 2), 0xC4);
    for (unsigned i = 0; i < 16; i++) {
        assert_int_equal(f.rooms, 0);
        assert_int_equal(in(&f, 5) & 1, 1);
        assert_int_equal(in(&f, 0), text[i]);
    }
    assert_int_equal(f.rooms, 1);
    assert_false(f.irq.level);
    assert_int_equal(in(&f, 5) & 1, 0);
    assert_int_equal(in(&f, 0), 0);
    assert_int_equal(uart_receive(&f.uart, text, 1), 1);
    assert_int_equal(f.rooms, 1); // nothing was refused this time
    out(&f, 2, 3); // clears the receiver
    assert_int_equal(in(&f, 5) & 1, 0);
}

static void test_loopback(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    out(&f, 2, 1);
    out(&f, 4, 0x10);
    out(&f, 0, 0xAE);
    assert_int_equal(f.sent_count, 0);
    assert_int_equal(in(&f, 5) & 1, 1);
    assert_int_equal(in(&f, 0), 0xAE);
    assert_int_equal(uart_receive(&f.uart, (const u8 *)"x", 1), 0);
    in(&f, 6);
    out(&f, 4, 0x11); // DTR arrives at DSR, with its delta
    assert_int_equal(in(&f, 6), 0x22);
    assert_int_equal(in(&f, 6), 0x20);
    out(&f, 4, 0x14); // OUT1: RI rises, which is no trailing edge
    assert_int_equal(in(&f, 6), 0x42);
    out(&f, 4, 0x10);
    assert_int_equal(in(&f, 6), 0x04);
    for (unsigned i = 0; i < 20; i++)
        out(&f, 0, (u8)i);
    assert_int_equal(in(&f, 5) & 2, 2); // overrun, once
    assert_int_equal(in(&f, 5) & 2, 0);
    out(&f, 4, 0);
    out(&f, 2, 3);
    assert_int_equal(f.rooms, 1);
}

static void test_modem_interrupt(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    out(&f, 4, 0x10);
    out(&f, 4, 8);
    out(&f, 1, 8);
    assert_int_equal(in(&f, 2), 0x00);
    in(&f, 6);
    assert_int_equal(in(&f, 2), 0x01);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_probe),    cmocka_unit_test(test_transmit),        cmocka_unit_test(test_receive),
        cmocka_unit_test(test_loopback), cmocka_unit_test(test_modem_interrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
