// A 16550A serial port. Its other end is `struct uart_backend`: bytes out are handed over at once (the line is
// infinitely fast), bytes in are pushed by whoever reads the host's side, as many as the FIFO takes.
#pragma once

#include "device/device.h"

enum { UART_PORTS = 8, UART_FIFO = 16 };

struct uart_backend {
    void *context;
    void (*transmit)(void *context, const u8 *bytes, size_t count); // must not block for long, must not call the chip
    void (*room)(void *context); // NULL or: the FIFO, full before, takes bytes again; called under the board's lock
};

struct uart {
    struct uart_backend backend;
    struct wire irq;

    u8 ier, lcr, mcr, lsr, msr, scratch, fcr, divisor_low, divisor_high;
    u8 fifo[UART_FIFO];
    u8 fifo_head, fifo_count;
    bool thre_pending; // "transmitter empty" not yet seen in IIR
    bool refused;      // a push did not fit: call `room` once it does
};

extern const struct device_model uart_com1_model; // 0x3F8, IRQ 4 by the board's wiring

// How many bytes were taken; the rest is offered again after `room`.
size_t uart_receive(struct uart *uart, const u8 *bytes, size_t count);
