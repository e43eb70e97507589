// The MC146818 real-time clock with its CMOS memory. The date is kept as a difference to guest time, so nothing ticks:
// flags are worked out when register C is read, and timers run only for interrupts that are enabled.
#pragma once

#include "device/device.h"
#include "device/timer.h"

enum { RTC_BYTES = 128 };

struct rtc {
    struct wire irq;
    struct timer timer;
    struct timer_list *timers;

    u8 select;
    u8 cmos[RTC_BYTES]; // date registers in here are valid only while register B's SET bit holds the clock
    s64 epoch_s;        // seconds since 1970 at guest time `epoch_ns`
    u64 epoch_ns;
    u64 seen_periodic;  // guest times up to which flags were worked out: periods, seconds
    s64 seen_second;
};

extern const struct device_model rtc_model;

void rtc_init(struct rtc *rtc, struct timer_list *timers, s64 wall_s);

// The date moves on by so many seconds that guest time did not see; an alarm among them goes off. Nothing if negative.
void rtc_skip(struct rtc *rtc, s64 seconds);

// Fills in the bytes that tell old software the size of memory and the number of processors.
void rtc_describe(struct rtc *rtc, u64 memory_low, u64 memory_high, unsigned cpus);

// Civil time, proleptic Gregorian; both directions, for any year 0..9999.
struct rtc_date {
    int year, month, day, hour, minute, second, weekday; // month and day from 1; weekday 1 is Sunday
};
struct rtc_date rtc_date_of(s64 seconds);
s64 rtc_seconds_of(const struct rtc_date *date);
