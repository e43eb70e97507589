// See uart.h. References are to the National PC16550D data sheet.
//
// The receive FIFO is used in 16450 mode too: a host that pushes bytes has no line speed, and an overrun that no real
// machine would have seen would only lose what somebody typed.
#include "device/uart.h"

#include <string.h>

enum { DATA = 0, IER = 1, IIR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6, SCRATCH = 7 };
enum { IER_RDA = 1, IER_THRE = 2, IER_LINE = 4, IER_MODEM = 8, IER_BITS = 15 };
enum { IIR_NONE = 1, IIR_MODEM = 0, IIR_THRE = 2, IIR_RDA = 4, IIR_TIMEOUT = 12, IIR_LINE = 6, IIR_FIFO = 0xC0 };
enum { FCR_ENABLE = 1, FCR_CLEAR_RX = 2, FCR_CLEAR_TX = 4, FCR_KEPT = 0xC9 };
enum { LCR_DLAB = 0x80 };
enum { MCR_DTR = 1, MCR_RTS = 2, MCR_OUT1 = 4, MCR_OUT2 = 8, MCR_LOOP = 16, MCR_BITS = 31 };
enum { LSR_DATA = 1, LSR_OVERRUN = 2, LSR_ERRORS = 0x1E, LSR_THRE = 0x20, LSR_EMPTY = 0x40 };
enum { MSR_DELTAS = 0x0F, MSR_TRAILING_RING = 0x04, MSR_CTS = 0x10, MSR_DSR = 0x20, MSR_RI = 0x40, MSR_DCD = 0x80 };

static unsigned uart_trigger(const struct uart *uart)
{
    static const u8 levels[4] = {1, 4, 8, 14};
    return uart->fcr & FCR_ENABLE ? levels[uart->fcr >> 6] : 1;
}

// The pending interrupt of the highest priority (table 5). A FIFO below its trigger level times out at once: characters
// do not arrive one by one here, so "no character for four character times" is always true.
static u8 uart_interrupt(const struct uart *uart)
{
    if (uart->ier & IER_LINE && uart->lsr & LSR_ERRORS)
        return IIR_LINE;
    if (uart->ier & IER_RDA && uart->fifo_count)
        return uart->fifo_count >= uart_trigger(uart) ? IIR_RDA : IIR_TIMEOUT;
    if (uart->ier & IER_THRE && uart->thre_pending)
        return IIR_THRE;
    if (uart->ier & IER_MODEM && uart->msr & MSR_DELTAS)
        return IIR_MODEM;
    return IIR_NONE;
}

static void uart_update(struct uart *uart)
{
    // OUT2 gates the interrupt line on a PC.
    bool level = uart_interrupt(uart) != IIR_NONE && (uart->mcr & MCR_OUT2) && !(uart->mcr & MCR_LOOP);
    wire_set(&uart->irq, level);
}

// The modem's answers: always there and ready; in loopback MCR's outputs come back (section 8.7, bit 4).
static void uart_modem(struct uart *uart)
{
    u8 lines = MSR_CTS | MSR_DSR | MSR_DCD;
    if (uart->mcr & MCR_LOOP)
        lines = (uart->mcr & MCR_RTS ? MSR_CTS : 0) | (uart->mcr & MCR_DTR ? MSR_DSR : 0) |
                (uart->mcr & MCR_OUT1 ? MSR_RI : 0) | (uart->mcr & MCR_OUT2 ? MSR_DCD : 0);
    u8 changed = (uart->msr ^ lines) & 0xF0;
    u8 deltas = (changed >> 4) & (u8)~MSR_TRAILING_RING;
    if (changed & MSR_RI && !(lines & MSR_RI))
        deltas |= MSR_TRAILING_RING;
    uart->msr = lines | (uart->msr & MSR_DELTAS) | deltas;
}

static bool uart_push(struct uart *uart, u8 byte)
{
    unsigned most = uart->fcr & FCR_ENABLE ? UART_FIFO : 1;
    if (uart->fifo_count >= most)
        return false;
    uart->fifo[(uart->fifo_head + uart->fifo_count++) % UART_FIFO] = byte;
    uart->lsr |= LSR_DATA;
    return true;
}

size_t uart_receive(struct uart *uart, const u8 *bytes, size_t count)
{
    size_t taken = 0;
    if (!(uart->mcr & MCR_LOOP)) // the line is cut off in loopback
        while (taken < count && uart_push(uart, bytes[taken]))
            taken++;
    uart->refused = taken < count;
    uart_update(uart);
    return taken;
}

// Something may fit now that did not before.
static void uart_offer_room(struct uart *uart)
{
    if (!uart->refused || uart->fifo_count || uart->mcr & MCR_LOOP)
        return;
    uart->refused = false;
    if (uart->backend.room)
        uart->backend.room(uart->backend.context);
}

static void uart_clear_receiver(struct uart *uart)
{
    uart->fifo_head = 0;
    uart->fifo_count = 0;
    uart->lsr &= (u8)~LSR_DATA;
}

static u8 uart_pop(struct uart *uart)
{
    if (!uart->fifo_count)
        return 0;
    u8 byte = uart->fifo[uart->fifo_head];
    uart->fifo_head = (uart->fifo_head + 1) % UART_FIFO;
    if (!--uart->fifo_count)
        uart->lsr &= (u8)~LSR_DATA;
    uart_offer_room(uart);
    return byte;
}

static void uart_transmit(struct uart *uart, u8 byte)
{
    if (uart->mcr & MCR_LOOP) {
        if (!uart_push(uart, byte))
            uart->lsr |= LSR_OVERRUN;
    } else if (uart->backend.transmit) {
        uart->backend.transmit(uart->backend.context, &byte, 1);
    }
    uart->thre_pending = true; // it left at once, so the holding register is empty again
}

static void uart_write_fcr(struct uart *uart, u8 value)
{
    if ((value ^ uart->fcr) & FCR_ENABLE)
        value |= FCR_CLEAR_RX | FCR_CLEAR_TX; // "changing this bit clears the FIFOs"
    if (!(value & FCR_ENABLE))
        value &= FCR_CLEAR_RX | FCR_CLEAR_TX; // the others count only together with it
    if (value & FCR_CLEAR_RX)
        uart_clear_receiver(uart);
    uart->fcr = value & FCR_KEPT;
    uart_offer_room(uart);
}

static void uart_write(void *chip, u64 offset, unsigned bytes, u64 wide)
{
    struct uart *uart = chip;
    u8 value = (u8)wide;
    (void)bytes;
    switch (offset) {
    case DATA:
        if (uart->lcr & LCR_DLAB)
            uart->divisor_low = value;
        else
            uart_transmit(uart, value);
        break;
    case IER:
        if (uart->lcr & LCR_DLAB) {
            uart->divisor_high = value;
            break;
        }
        if (value & ~uart->ier & IER_THRE)
            uart->thre_pending = true; // enabling it while the register is empty interrupts at once
        uart->ier = value & IER_BITS;
        break;
    case IIR:
        uart_write_fcr(uart, value);
        break;
    case LCR:
        uart->lcr = value;
        break;
    case MCR:
        uart->mcr = value & MCR_BITS;
        uart_modem(uart);
        uart_offer_room(uart);
        break;
    case SCRATCH:
        uart->scratch = value;
        break;
    }
    uart_update(uart);
}

static u8 uart_read_iir(struct uart *uart)
{
    u8 interrupt = uart_interrupt(uart);
    if (interrupt == IIR_THRE)
        uart->thre_pending = false;
    return interrupt | (uart->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

static u8 uart_read_register(struct uart *uart, u64 offset)
{
    u8 value;
    switch (offset) {
    case DATA:
        return uart->lcr & LCR_DLAB ? uart->divisor_low : uart_pop(uart);
    case IER:
        return uart->lcr & LCR_DLAB ? uart->divisor_high : uart->ier;
    case IIR:
        return uart_read_iir(uart);
    case LCR:
        return uart->lcr;
    case MCR:
        return uart->mcr;
    case LSR:
        value = uart->lsr;
        uart->lsr &= (u8)~LSR_ERRORS;
        return value;
    case MSR:
        value = uart->msr;
        uart->msr &= (u8)~MSR_DELTAS;
        return value;
    default:
        return uart->scratch;
    }
}

static u64 uart_read(void *chip, u64 offset, unsigned bytes)
{
    struct uart *uart = chip;
    (void)bytes;
    u8 value = uart_read_register(uart, offset);
    uart_update(uart);
    return value;
}

static void uart_reset(void *chip)
{
    struct uart *uart = chip;
    struct uart_backend backend = uart->backend;
    struct wire irq = uart->irq;
    bool refused = uart->refused;
    *uart = (struct uart){
        .backend = backend,
        .irq = irq,
        .lsr = LSR_THRE | LSR_EMPTY,
        .msr = MSR_CTS | MSR_DSR | MSR_DCD,
        .divisor_low = 12, // 9,600 baud
        .refused = refused,
    };
    uart_update(uart);
    uart_offer_room(uart);
}

static const struct state_field uart_fields[] = {
    STATE_RANGE(struct uart, ier, 0, IER_BITS),
    STATE_FIELD(struct uart, lcr),
    STATE_RANGE(struct uart, mcr, 0, MCR_BITS),
    STATE_FIELD(struct uart, lsr),
    STATE_FIELD(struct uart, msr),
    STATE_FIELD(struct uart, scratch),
    STATE_FIELD(struct uart, fcr),
    STATE_FIELD(struct uart, divisor_low),
    STATE_FIELD(struct uart, divisor_high),
    STATE_ARRAY(struct uart, fifo),
    STATE_RANGE(struct uart, fifo_head, 0, UART_FIFO - 1),
    STATE_RANGE(struct uart, fifo_count, 0, UART_FIFO),
    STATE_BOOL(struct uart, thre_pending),
};

static const struct state_section uart_state = STATE_SECTION("com1", 1, uart_fields);

const struct device_model uart_com1_model = {
    .name = "com1",
    .ranges = {{DEVICE_PORTS, 0x3F8, UART_PORTS, 1, uart_read, uart_write}},
    .reset = uart_reset,
    .state = &uart_state,
};
