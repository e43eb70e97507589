// See rtc.h. References are to the Motorola MC146818A data sheet.
#include "device/rtc.h"

#include <string.h>

enum {
    SECONDS = 0, SECONDS_ALARM, MINUTES, MINUTES_ALARM, HOURS, HOURS_ALARM, WEEKDAY, DAY, MONTH, YEAR,
    REG_A, REG_B, REG_C, REG_D,
    SHUTDOWN = 0x0F, FLOPPY = 0x10, EQUIPMENT = 0x14, BASE_MEMORY = 0x15, EXTENDED = 0x17, EXTENDED_2 = 0x30,
    CENTURY = 0x32, ABOVE_16M = 0x34, ABOVE_4G = 0x5B, CPUS = 0x5F,
};
enum { A_UIP = 0x80, A_RATE = 0x0F, A_DIVIDER = 0x70 };
enum { B_SET = 0x80, B_PIE = 0x40, B_AIE = 0x20, B_UIE = 0x10, B_SQWE = 0x08, B_BINARY = 0x04, B_24H = 0x02 };
enum { C_IRQ = 0x80, C_PERIODIC = 0x40, C_ALARM = 0x20, C_UPDATE = 0x10 };
enum { D_VALID = 0x80, HOUR_PM = 0x80, ALARM_ANY = 0xC0 };
#define RTC_HZ 32768
#define RTC_SKIP_MOST ((s64)100 * 366 * 86400) // a clock that is set further ahead meanwhile is wrong
#define UPDATE_NS ((u64)244000) // UIP rises this long before the second (data sheet, "UIP")

static s64 rtc_floor_div(s64 a, s64 b) { return a / b - (a % b < 0); }

// Days from 1970-01-01 to a date, by counting years from March (Howard Hinnant's way of looking at the calendar).
static s64 rtc_days(int year, int month, int day)
{
    s64 y = year - (month <= 2);
    s64 era = rtc_floor_div(y, 400);
    s64 year_of_era = y - era * 400;
    s64 day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

s64 rtc_seconds_of(const struct rtc_date *date)
{
    return rtc_days(date->year, date->month, date->day) * 86400 + date->hour * 3600 + date->minute * 60 + date->second;
}

struct rtc_date rtc_date_of(s64 seconds)
{
    s64 days = rtc_floor_div(seconds, 86400);
    int left = (int)(seconds - days * 86400);
    s64 z = days + 719468;
    s64 era = rtc_floor_div(z, 146097);
    s64 day_of_era = z - era * 146097;
    s64 year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int day_of_year = (int)(day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100));
    int shifted = (5 * day_of_year + 2) / 153;
    struct rtc_date date = {
        .month = shifted < 10 ? shifted + 3 : shifted - 9,
        .day = day_of_year - (153 * shifted + 2) / 5 + 1,
        .hour = left / 3600,
        .minute = left / 60 % 60,
        .second = left % 60,
        .weekday = (int)(((days + 4) % 7 + 7) % 7) + 1,
    };
    date.year = (int)(year_of_era + era * 400) + (date.month <= 2);
    return date;
}

static u8 rtc_encode(const struct rtc *rtc, int value)
{
    return (u8)(rtc->cmos[REG_B] & B_BINARY ? value : value / 10 << 4 | value % 10);
}

static int rtc_decode(const struct rtc *rtc, u8 value)
{
    return rtc->cmos[REG_B] & B_BINARY ? value : (value >> 4) * 10 + (value & 15);
}

static u8 rtc_encode_hour(const struct rtc *rtc, int hour)
{
    if (rtc->cmos[REG_B] & B_24H)
        return rtc_encode(rtc, hour);
    return rtc_encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0);
}

static int rtc_decode_hour(const struct rtc *rtc, u8 value)
{
    if (rtc->cmos[REG_B] & B_24H)
        return rtc_decode(rtc, value);
    return rtc_decode(rtc, value & ~HOUR_PM) % 12 + (value & HOUR_PM ? 12 : 0);
}

static u64 rtc_now(const struct rtc *rtc) { return timer_now(&rtc->timer); }

static bool rtc_held(const struct rtc *rtc) { return rtc->cmos[REG_B] & B_SET; }

static s64 rtc_second(const struct rtc *rtc, u64 now)
{
    return rtc->epoch_s + rtc_floor_div((s64)(now - rtc->epoch_ns), NS_PER_S);
}

// Guest time at which second `second` begins.
static u64 rtc_begin(const struct rtc *rtc, s64 second)
{
    return rtc->epoch_ns + (u64)(second - rtc->epoch_s) * NS_PER_S;
}

static void rtc_store_date(struct rtc *rtc, s64 seconds)
{
    struct rtc_date date = rtc_date_of(seconds);
    rtc->cmos[SECONDS] = rtc_encode(rtc, date.second);
    rtc->cmos[MINUTES] = rtc_encode(rtc, date.minute);
    rtc->cmos[HOURS] = rtc_encode_hour(rtc, date.hour);
    rtc->cmos[WEEKDAY] = rtc_encode(rtc, date.weekday);
    rtc->cmos[DAY] = rtc_encode(rtc, date.day);
    rtc->cmos[MONTH] = rtc_encode(rtc, date.month);
    rtc->cmos[YEAR] = rtc_encode(rtc, date.year % 100);
    rtc->cmos[CENTURY] = rtc_encode(rtc, date.year / 100 % 100);
}

static int rtc_clamp(int value, int low, int high) { return value < low ? low : value > high ? high : value; }

static void rtc_take_date(struct rtc *rtc, u64 now)
{
    struct rtc_date date = {
        .year = rtc_clamp(rtc_decode(rtc, rtc->cmos[CENTURY]), 0, 99) * 100 +
                rtc_clamp(rtc_decode(rtc, rtc->cmos[YEAR]), 0, 99),
        .month = rtc_clamp(rtc_decode(rtc, rtc->cmos[MONTH]), 1, 12),
        .day = rtc_clamp(rtc_decode(rtc, rtc->cmos[DAY]), 1, 31),
        .hour = rtc_clamp(rtc_decode_hour(rtc, rtc->cmos[HOURS]), 0, 23),
        .minute = rtc_clamp(rtc_decode(rtc, rtc->cmos[MINUTES]), 0, 59),
        .second = rtc_clamp(rtc_decode(rtc, rtc->cmos[SECONDS]), 0, 59),
    };
    rtc->epoch_s = rtc_seconds_of(&date);
    rtc->epoch_ns = now;
    rtc->seen_second = rtc->epoch_s;
}

// Length of a period of the periodic interrupt, 0 if it is off (data sheet, table 5; rates 1 and 2 repeat 8 and 9).
static u64 rtc_period(const struct rtc *rtc)
{
    unsigned rate = rtc->cmos[REG_A] & A_RATE;
    if (!rate)
        return 0;
    return clock_ns((u64)1 << ((rate <= 2 ? rate + 7 : rate) - 1), RTC_HZ);
}

static bool rtc_alarm_field(u8 alarm, int wanted, int value) { return alarm >= ALARM_ANY || wanted == value; }

// The first second after `after` that the alarm registers match; it is less than a day away, or never (-1).
static s64 rtc_next_alarm(const struct rtc *rtc, s64 after)
{
    const u8 *cmos = rtc->cmos;
    int hour = rtc_decode_hour(rtc, cmos[HOURS_ALARM]);
    int minute = rtc_decode(rtc, cmos[MINUTES_ALARM]), second = rtc_decode(rtc, cmos[SECONDS_ALARM]);
    s64 at = after + 1;
    for (int step = 0; step < 25 + 61 + 61; step++) {
        int of_day = (int)(at - rtc_floor_div(at, 86400) * 86400);
        if (!rtc_alarm_field(cmos[HOURS_ALARM], hour, of_day / 3600))
            at += 3600 - of_day % 3600;
        else if (!rtc_alarm_field(cmos[MINUTES_ALARM], minute, of_day / 60 % 60))
            at += 60 - of_day % 60;
        else if (!rtc_alarm_field(cmos[SECONDS_ALARM], second, of_day % 60))
            at++;
        else
            return at;
    }
    return -1;
}

// Sets register C's flags for what happened since the last time, and the interrupt line.
static void rtc_update(struct rtc *rtc, u64 now)
{
    u64 period = rtc_period(rtc);
    if (period && now - rtc->seen_periodic >= period) {
        rtc->cmos[REG_C] |= C_PERIODIC;
        rtc->seen_periodic = now - (now - rtc->seen_periodic) % period;
    }
    s64 second = rtc_second(rtc, now);
    if (!rtc_held(rtc) && second > rtc->seen_second) {
        s64 alarm = rtc_next_alarm(rtc, rtc->seen_second);
        rtc->cmos[REG_C] |= C_UPDATE | (alarm >= 0 && alarm <= second ? C_ALARM : 0);
        rtc->seen_second = second;
    }
    bool irq = rtc->cmos[REG_C] & rtc->cmos[REG_B] & (B_PIE | B_AIE | B_UIE);
    rtc->cmos[REG_C] = (rtc->cmos[REG_C] & (u8)~C_IRQ) | (irq ? C_IRQ : 0);
    wire_set(&rtc->irq, irq);
}

static void rtc_arm(struct rtc *rtc)
{
    u8 enabled = rtc->cmos[REG_B] & (u8)~rtc->cmos[REG_C]; // a flag that is already up cannot rise again
    u64 deadline = TIMER_NEVER, period = rtc_period(rtc);
    if (enabled & B_PIE && period)
        deadline = rtc->seen_periodic + period;
    s64 second = -1;
    if (enabled & B_UIE)
        second = rtc->seen_second + 1;
    else if (enabled & B_AIE)
        second = rtc_next_alarm(rtc, rtc->seen_second);
    if (second >= 0 && !rtc_held(rtc) && rtc_begin(rtc, second) < deadline)
        deadline = rtc_begin(rtc, second);
    timer_arm(&rtc->timer, deadline);
}

static void rtc_expire(void *context, u64 now)
{
    struct rtc *rtc = context;
    rtc_update(rtc, now);
    rtc_arm(rtc);
}

static bool rtc_is_date(u8 index)
{
    bool alarm = index == SECONDS_ALARM || index == MINUTES_ALARM || index == HOURS_ALARM;
    return index == CENTURY || (index <= YEAR && !alarm);
}

static u8 rtc_read_register(struct rtc *rtc, u8 index)
{
    u64 now = rtc_now(rtc);
    if (rtc_is_date(index) && !rtc_held(rtc))
        rtc_store_date(rtc, rtc_second(rtc, now));
    u8 value = rtc->cmos[index];
    if (index == REG_A && !rtc_held(rtc) && rtc_begin(rtc, rtc_second(rtc, now) + 1) - now <= UPDATE_NS)
        value |= A_UIP;
    if (index == REG_C) {
        rtc_update(rtc, now);
        value = rtc->cmos[REG_C];
        rtc->cmos[REG_C] = 0;
        rtc_update(rtc, now);
        rtc_arm(rtc);
    }
    return value;
}

static void rtc_write_b(struct rtc *rtc, u8 value, u64 now)
{
    bool was_held = rtc_held(rtc);
    if (!was_held && value & B_SET)
        rtc_store_date(rtc, rtc_second(rtc, now));
    if (value & B_SET)
        value &= (u8)~B_UIE; // "SET ... clears UIE"
    rtc->cmos[REG_B] = value;
    if (was_held && !(value & B_SET))
        rtc_take_date(rtc, now);
}

static void rtc_write_register(struct rtc *rtc, u8 index, u8 value)
{
    u64 now = rtc_now(rtc);
    rtc_update(rtc, now);
    if (index == REG_C || index == REG_D)
        return;
    if (index == REG_B) {
        rtc_write_b(rtc, value, now);
    } else if (index == REG_A) {
        u64 period = rtc_period(rtc);
        rtc->cmos[REG_A] = value & (A_RATE | A_DIVIDER);
        if (period != rtc_period(rtc))
            rtc->seen_periodic = now;
    } else if (rtc_is_date(index) && !rtc_held(rtc)) {
        rtc_store_date(rtc, rtc_second(rtc, now));
        rtc->cmos[index] = value;
        rtc_take_date(rtc, now);
    } else {
        rtc->cmos[index] = value;
    }
    rtc_update(rtc, now);
    rtc_arm(rtc);
}

static u64 rtc_read(void *chip, u64 offset, unsigned bytes)
{
    struct rtc *rtc = chip;
    (void)bytes;
    return offset ? rtc_read_register(rtc, rtc->select) : 0xFF;
}

static void rtc_write(void *chip, u64 offset, unsigned bytes, u64 value)
{
    struct rtc *rtc = chip;
    (void)bytes;
    if (offset)
        rtc_write_register(rtc, rtc->select, (u8)value);
    else
        rtc->select = value & (RTC_BYTES - 1); // bit 7 is the NMI mask, and no NMI comes from this board
}

// A reset clears the interrupt enables and flags; date and memory have a battery.
static void rtc_reset(void *chip)
{
    struct rtc *rtc = chip;
    u64 now = rtc_now(rtc);
    rtc->select = 0;
    rtc->cmos[REG_B] &= (u8) ~(B_PIE | B_AIE | B_UIE | B_SQWE);
    rtc->cmos[REG_C] = 0;
    rtc->seen_periodic = now;
    if (!rtc_held(rtc))
        rtc->seen_second = rtc_second(rtc, now);
    timer_disarm(&rtc->timer);
    wire_set(&rtc->irq, false);
}

void rtc_init(struct rtc *rtc, struct timer_list *timers, s64 wall_s)
{
    timer_init(&rtc->timer, timers, rtc_expire, rtc);
    rtc->timers = timers;
    rtc->epoch_s = wall_s;
    rtc->epoch_ns = 0;
    rtc->seen_second = wall_s;
    rtc->cmos[REG_A] = 0x26; // 32,768 Hz, 1,024 periods a second: what BIOSes leave behind
    rtc->cmos[REG_B] = B_24H;
    rtc->cmos[REG_D] = D_VALID;
}

void rtc_skip(struct rtc *rtc, s64 seconds)
{
    if (seconds <= 0 || seconds > RTC_SKIP_MOST || rtc_held(rtc))
        return;
    rtc->epoch_s += seconds;
    rtc_update(rtc, rtc_now(rtc));
    rtc_arm(rtc);
}

static void rtc_put(struct rtc *rtc, unsigned at, unsigned bytes, u64 value)
{
    u64 most = ((u64)1 << bytes * 8) - 1;
    if (value > most)
        value = most;
    for (unsigned i = 0; i < bytes; i++)
        rtc->cmos[at + i] = (u8)(value >> i * 8);
}

void rtc_describe(struct rtc *rtc, u64 memory_low, u64 memory_high, unsigned cpus)
{
    rtc->cmos[EQUIPMENT] = 0x02; // an FPU, no floppy
    rtc_put(rtc, BASE_MEMORY, 2, 640);
    rtc_put(rtc, EXTENDED, 2, (memory_low - MIB(1)) / KIB(1));
    rtc_put(rtc, EXTENDED_2, 2, (memory_low - MIB(1)) / KIB(1));
    rtc_put(rtc, ABOVE_16M, 2, memory_low > MIB(16) ? (memory_low - MIB(16)) / KIB(64) : 0);
    rtc_put(rtc, ABOVE_4G, 3, memory_high / KIB(64));
    rtc->cmos[CPUS] = (u8)(cpus - 1);
}

// Ten thousand years from 1970 in both directions: what a guest can set, and far from the limits of the calendar's
// arithmetic.
#define RTC_SECONDS_MOST ((s64)10000 * 366 * 86400)

static s64 rtc_clamp_second(s64 second)
{
    return second < -RTC_SECONDS_MOST ? -RTC_SECONDS_MOST : second > RTC_SECONDS_MOST ? RTC_SECONDS_MOST : second;
}

static int rtc_loaded(void *chip, struct error *error)
{
    const struct rtc *rtc = chip;
    u64 now = rtc_now(rtc);
    if (rtc->epoch_ns > now || rtc->seen_periodic > now)
        return error_set(error, "its clock was set in the future");
    if (rtc->epoch_s != rtc_clamp_second(rtc->epoch_s) || rtc->seen_second != rtc_clamp_second(rtc->seen_second))
        return error_set(error, "its date is no date");
    return 0;
}

static const struct state_field rtc_fields[] = {
    STATE_RANGE(struct rtc, select, 0, RTC_BYTES - 1),
    STATE_ARRAY(struct rtc, cmos),
    STATE_FIELD(struct rtc, epoch_s),
    STATE_FIELD(struct rtc, epoch_ns),
    STATE_FIELD(struct rtc, seen_periodic),
    STATE_FIELD(struct rtc, seen_second),
    TIMER_STATE(struct rtc, timer),
};

static const struct state_section rtc_state = STATE_SECTION("rtc", 1, rtc_fields, .post_load = rtc_loaded);

const struct device_model rtc_model = {
    .name = "rtc",
    .ranges = {{DEVICE_PORTS, 0x70, 2, 1, rtc_read, rtc_write}},
    .reset = rtc_reset,
    .state = &rtc_state,
};
