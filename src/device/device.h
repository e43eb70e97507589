// How a chip looks. A chip is a plain struct of its registers plus a `struct device_model`: a constant that says which
// ports and memory it answers to and how it resets. It has no file descriptor, no thread and no clock: it is told the
// time by a `struct clock`, asks for a call back by a `struct timer` (device/timer.h), and drives interrupt lines and
// the like by `struct wire`. So the same chip runs on the board, in a unit test and in a saved state.
//
// Saved state: registers as they are and timers' deadlines as fields. Wires are not driven after loading: what is at
// their other end was saved too.
//
// Chips are not thread-safe: the board calls each under one lock of its choice.
#pragma once

#include "base/state.h"
#include "base/types.h"

// Guest time in nanoseconds: monotonic, starts near 0 at power-on.
struct clock {
    u64 (*now)(void *context);
    void *context;
};

static inline u64 clock_now(const struct clock *clock) { return clock->now(clock->context); }

#define NS_PER_S ((u64)1000000000)

// Ticks of an oscillator of `hz` in `ns`, and back (rounded up, so that a timer never fires before its tick).
static inline u64 clock_ticks(u64 ns, u64 hz) { return (u64)((u128)ns * hz / NS_PER_S); }
static inline u64 clock_ns(u64 ticks, u64 hz) { return (u64)(((u128)ticks * NS_PER_S + hz - 1) / hz); }

// One output pin. A wire with no `set` goes nowhere.
struct wire {
    void (*set)(void *context, unsigned number, bool level);
    void *context;
    unsigned number;
};

static inline void wire_set(const struct wire *wire, bool level)
{
    if (wire->set)
        wire->set(wire->context, wire->number, level);
}

enum device_space { DEVICE_NOWHERE, DEVICE_PORTS, DEVICE_MEMORY };

typedef u64 device_read(void *chip, u64 offset, unsigned bytes);
typedef void device_write(void *chip, u64 offset, unsigned bytes, u64 value);

// `offset` counts from `base`. Accesses wider than `widest` arrive as several of that width at rising offsets, as an
// ISA bus does it; an access never crosses the end of the range.
struct device_range {
    enum device_space space;
    u64 base;
    u64 bytes;
    u8 widest;
    device_read *read;   // NULL: reads as all ones
    device_write *write; // NULL: writes are ignored
};

enum { DEVICE_RANGES = 6 };

struct device_model {
    const char *name;
    struct device_range ranges[DEVICE_RANGES];
    void (*reset)(void *chip); // power-on state; wires, clock and timers stay connected
    const struct state_section *state; // of the chip's struct
};
