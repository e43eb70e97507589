// The 8254 interval timer and the port 0x61 that gates and shows its channel 2. Counts are computed from the time when
// they are looked at; only channel 0, whose output is IRQ 0, needs a call back.
#pragma once

#include "device/device.h"
#include "device/timer.h"

enum { PIT_CHANNELS = 3 };
#define PIT_HZ ((u64)1193182)

struct pit_channel {
    u8 mode;   // 0..5
    u8 access; // 1: low byte, 2: high byte, 3: low then high
    bool bcd;
    bool gate;
    bool loaded;      // a count was written since the control word
    bool triggered;   // modes 1 and 5: the gate rose since
    bool write_high;  // access 3: the high byte comes next
    bool read_high;
    bool status_latched;
    u8 latched;       // how many bytes of `latch` are still to be read
    u8 write_low;
    u8 status;
    u16 latch;
    u32 count;        // 1..65536 (BCD: ..10000)
    u64 start;        // guest time at which counting began
    u64 held;         // ticks counted when the gate went low (modes 0 and 4)
};

struct pit {
    struct wire irq;
    struct timer timer;  // next rising edge of OUT 0
    struct pit_channel channel[PIT_CHANNELS];
    bool out0;           // what `irq` was last set to
    u8 speaker;          // port 0x61, bits 0 and 1
};

extern const struct device_model pit_model;

void pit_init(struct pit *pit, struct timer_list *timers);
