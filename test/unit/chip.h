// What every test of a chip needs: a clock that stands still until told, a wire that remembers, and ports by address.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "device/device.h"
#include "device/timer.h"

struct fake_time {
    u64 now;
    struct timer_list list;
};

static inline u64 fake_now(void *context) { return ((struct fake_time *)context)->now; }

static inline void fake_time_init(struct fake_time *time)
{
    *time = (struct fake_time){.list.clock = {fake_now, time}};
}

// Lets guest time pass, expiring timers on their way.
static inline void fake_advance(struct fake_time *time, u64 ns)
{
    u64 end = time->now + ns;
    while (timer_next(&time->list) <= end) {
        u64 next = timer_next(&time->list);
        time->now = next > time->now ? next : time->now;
        timer_run(&time->list);
    }
    time->now = end;
}

struct fake_wire {
    bool level;
    unsigned rises, falls;
};

static inline void fake_set(void *context, unsigned number, bool level)
{
    struct fake_wire *wire = context;
    (void)number;
    wire->rises += level && !wire->level;
    wire->falls += !level && wire->level;
    wire->level = level;
}

static inline const struct device_range *chip_range(const struct device_model *model, enum device_space space, u64 at)
{
    for (unsigned i = 0; i < DEVICE_RANGES; i++)
        if (model->ranges[i].space == space && at - model->ranges[i].base < model->ranges[i].bytes)
            return &model->ranges[i];
    fail_msg("%s has nothing at 0x%lx", model->name, at);
    return NULL;
}

static inline u64 chip_in(const struct device_model *model, void *chip, u16 port, unsigned bytes)
{
    const struct device_range *range = chip_range(model, DEVICE_PORTS, port);
    return range->read(chip, port - range->base, bytes);
}

static inline void chip_out(const struct device_model *model, void *chip, u16 port, unsigned bytes, u64 value)
{
    const struct device_range *range = chip_range(model, DEVICE_PORTS, port);
    range->write(chip, port - range->base, bytes, value);
}
