// See pit.h. References are to the 8254 data sheet (Intel order 231164).
//
// Two simplifications, both invisible to the software that exists: a new count in modes 2 and 3 takes effect at once
// and not at the end of the period, and OUT 0's low pulse of one tick (modes 2 and 4) is shown to the interrupt
// controllers as low-then-high at its end.
#include "device/pit.h"

enum { CONTROL = 3, ACCESS_LATCH = 0, ACCESS_LOW = 1, ACCESS_HIGH = 2, ACCESS_BOTH = 3, READ_BACK = 3 };
enum { STATUS_OUT = 0x80, STATUS_NULL = 0x40 };
enum { SPEAKER_GATE = 0x01, SPEAKER_DATA = 0x02, SPEAKER_REFRESH = 0x10, SPEAKER_OUT = 0x20 };
#define REFRESH_NS 15085 // half a period of the memory refresh signal that software uses to measure microseconds

static bool pit_counts(const struct pit_channel *channel)
{
    if (!channel->loaded)
        return false;
    return channel->mode == 1 || channel->mode == 5 ? channel->triggered : channel->gate;
}

// Ticks since the count was loaded or the channel triggered.
static u64 pit_ticks(const struct pit_channel *channel, u64 now)
{
    if (!pit_counts(channel))
        return channel->held;
    return now > channel->start ? clock_ticks(now - channel->start, PIT_HZ) : 0;
}

static bool pit_out(const struct pit_channel *channel, u64 now)
{
    if (!channel->loaded)
        return channel->mode != 0;
    u64 ticks = pit_ticks(channel, now);
    switch (channel->mode) {
    case 0:
        return ticks >= channel->count;
    case 1:
        return !channel->triggered || ticks >= channel->count;
    case 2:
        return !channel->gate || ticks % channel->count != channel->count - 1;
    case 3:
        return !channel->gate || ticks % channel->count < (channel->count + 1) / 2;
    default:
        return ticks != channel->count;
    }
}

static u16 pit_to_bcd(u32 value)
{
    return (u16)(value / 1000 % 10 << 12 | value / 100 % 10 << 8 | value / 10 % 10 << 4 | value % 10);
}

static u32 pit_from_bcd(u16 value)
{
    return (value >> 12) * 1000u + (value >> 8 & 15) * 100u + (value >> 4 & 15) * 10u + (value & 15);
}

// The counting element as software reads it.
static u16 pit_value(const struct pit_channel *channel, u64 now)
{
    u64 ticks = pit_ticks(channel, now);
    u32 modulus = channel->bcd ? 10000 : 65536;
    u32 value;
    if (channel->mode == 2)
        value = channel->count - (u32)(ticks % channel->count);
    else if (channel->mode == 3) // counts by twos, twice a period (section "MODE 3")
        value = channel->count - (u32)(2 * ticks % channel->count);
    else
        value = (u32)((channel->count + modulus - ticks % modulus) % modulus);
    return channel->bcd ? pit_to_bcd(value % modulus) : (u16)value;
}

static void pit_drive(struct pit *pit, bool level)
{
    pit->out0 = level;
    wire_set(&pit->irq, level);
}

// Ticks from `start` to the next time OUT rises after `ticks`, or 0 if it never will.
static u64 pit_next_rise(const struct pit_channel *channel, u64 ticks)
{
    switch (channel->mode) {
    case 0:
        return ticks < channel->count ? channel->count : 0;
    case 2:
    case 3:
        return (ticks / channel->count + 1) * channel->count;
    case 4:
        return ticks <= channel->count ? channel->count + 1 : 0;
    default:
        return 0; // gate 0 is tied high and never rises
    }
}

static void pit_arm(struct pit *pit, u64 now)
{
    const struct pit_channel *channel = &pit->channel[0];
    u64 rise = pit_counts(channel) ? pit_next_rise(channel, pit_ticks(channel, now)) : 0;
    if (rise)
        timer_arm(&pit->timer, channel->start + clock_ns(rise, PIT_HZ));
    else
        timer_disarm(&pit->timer);
}

static void pit_expire(void *context, u64 now)
{
    struct pit *pit = context;
    if (pit->out0)
        pit_drive(pit, false);
    pit_drive(pit, true);
    pit_arm(pit, now); // periods that were missed are gone: the guest could not have seen them one by one either
}

static void pit_load(struct pit *pit, unsigned index, u16 written)
{
    struct pit_channel *channel = &pit->channel[index];
    u64 now = timer_now(&pit->timer);
    u32 count = channel->bcd ? pit_from_bcd(written) : written;
    if (!count)
        count = channel->bcd ? 10000 : 65536;
    if (count == 1 && (channel->mode == 2 || channel->mode == 3))
        count = 2; // 1 is illegal there (table "Minimum and Maximum Initial Counts")
    channel->count = count;
    channel->loaded = true;
    channel->start = now;
    channel->held = 0;
    if (index)
        return;
    if (channel->mode == 0 && pit->out0)
        pit_drive(pit, false);
    pit_arm(pit, now);
}

static void pit_write_count(struct pit *pit, unsigned index, u8 value)
{
    struct pit_channel *channel = &pit->channel[index];
    if (channel->access == ACCESS_LOW) {
        pit_load(pit, index, value);
    } else if (channel->access == ACCESS_HIGH) {
        pit_load(pit, index, (u16)(value << 8));
    } else if (channel->write_high) {
        channel->write_high = false;
        pit_load(pit, index, (u16)(channel->write_low | value << 8));
    } else {
        channel->write_low = value;
        channel->write_high = true;
        if (channel->mode == 0) { // writing the first byte stops the count
            channel->loaded = false;
            channel->held = 0;
        }
    }
}

static void pit_latch_count(struct pit_channel *channel, u64 now)
{
    if (channel->latched)
        return; // the first latch holds until it is read
    channel->latch = pit_value(channel, now);
    channel->latched = channel->access == ACCESS_BOTH ? 2 : 1;
    if (channel->access == ACCESS_HIGH)
        channel->latch >>= 8;
}

static void pit_latch_status(struct pit_channel *channel, u64 now)
{
    if (channel->status_latched)
        return;
    channel->status = (u8)(channel->access << 4 | channel->mode << 1 | channel->bcd);
    channel->status |= pit_out(channel, now) ? STATUS_OUT : 0;
    channel->status |= channel->loaded ? 0 : STATUS_NULL;
    channel->status_latched = true;
}

static void pit_read_back(struct pit *pit, u8 value)
{
    u64 now = timer_now(&pit->timer);
    for (unsigned i = 0; i < PIT_CHANNELS; i++) {
        if (!(value >> (i + 1) & 1))
            continue;
        if (!(value & 0x20))
            pit_latch_count(&pit->channel[i], now);
        if (!(value & 0x10))
            pit_latch_status(&pit->channel[i], now);
    }
}

static void pit_write_control(struct pit *pit, u8 value)
{
    unsigned index = value >> 6;
    if (index == READ_BACK) {
        pit_read_back(pit, value);
        return;
    }
    struct pit_channel *channel = &pit->channel[index];
    u8 access = value >> 4 & 3, mode = value >> 1 & 7;
    if (access == ACCESS_LATCH) {
        pit_latch_count(channel, timer_now(&pit->timer));
        return;
    }
    *channel = (struct pit_channel){
        .access = access,
        .mode = mode > 5 ? mode - 4 : mode, // bit 2 is ignored in modes 2 and 3
        .bcd = value & 1,
        .gate = channel->gate,
        .count = channel->count, // the old one still shows until a new one is written
    };
    if (index)
        return;
    timer_disarm(&pit->timer);
    if (pit->out0 != (channel->mode != 0))
        pit_drive(pit, channel->mode != 0);
}

static void pit_write(void *chip, u64 offset, unsigned bytes, u64 value)
{
    struct pit *pit = chip;
    (void)bytes;
    if (offset == CONTROL)
        pit_write_control(pit, (u8)value);
    else
        pit_write_count(pit, (unsigned)offset, (u8)value);
}

static u64 pit_read(void *chip, u64 offset, unsigned bytes)
{
    struct pit *pit = chip;
    (void)bytes;
    if (offset == CONTROL)
        return 0; // "no-operation", the bus floats; software does not look
    struct pit_channel *channel = &pit->channel[offset];
    if (channel->status_latched) {
        channel->status_latched = false;
        return channel->status;
    }
    if (channel->latched) {
        channel->latched--;
        u8 value = (u8)channel->latch;
        channel->latch >>= 8;
        return value;
    }
    u16 value = pit_value(channel, timer_now(&pit->timer));
    bool high = channel->access == ACCESS_HIGH || (channel->access == ACCESS_BOTH && channel->read_high);
    channel->read_high = channel->access == ACCESS_BOTH && !channel->read_high;
    return high ? value >> 8 : value & 0xFF;
}

static void pit_gate(struct pit_channel *channel, bool gate, u64 now)
{
    if (gate == channel->gate)
        return;
    if (!gate)
        channel->held = channel->mode == 0 || channel->mode == 4 ? pit_ticks(channel, now) : 0;
    channel->gate = gate;
    if (!gate && (channel->mode == 1 || channel->mode == 5))
        return; // only the rise matters to these
    if (gate && channel->loaded) {
        channel->triggered = true;
        channel->start = now - clock_ns(channel->held, PIT_HZ);
        channel->held = 0;
    }
}

static u64 pit_speaker_read(void *chip, u64 offset, unsigned bytes)
{
    struct pit *pit = chip;
    (void)offset, (void)bytes;
    u64 now = timer_now(&pit->timer);
    u8 value = pit->speaker;
    value |= now / REFRESH_NS % 2 ? SPEAKER_REFRESH : 0;
    value |= pit_out(&pit->channel[2], now) ? SPEAKER_OUT : 0;
    return value;
}

static void pit_speaker_write(void *chip, u64 offset, unsigned bytes, u64 value)
{
    struct pit *pit = chip;
    (void)offset, (void)bytes;
    pit->speaker = value & (SPEAKER_GATE | SPEAKER_DATA);
    pit_gate(&pit->channel[2], value & SPEAKER_GATE, timer_now(&pit->timer));
}

static void pit_reset(void *chip)
{
    struct pit *pit = chip;
    for (unsigned i = 0; i < PIT_CHANNELS; i++)
        pit->channel[i] = (struct pit_channel){.access = ACCESS_BOTH, .mode = 3, .gate = i != 2, .count = 65536};
    pit->speaker = 0;
    timer_disarm(&pit->timer);
    pit_drive(pit, true);
}

void pit_init(struct pit *pit, struct timer_list *timers) { timer_init(&pit->timer, timers, pit_expire, pit); }

static const struct state_field pit_channel_fields[] = {
    STATE_RANGE(struct pit_channel, mode, 0, 5),
    STATE_RANGE(struct pit_channel, access, ACCESS_LOW, ACCESS_BOTH),
    STATE_BOOL(struct pit_channel, bcd),
    STATE_BOOL(struct pit_channel, gate),
    STATE_BOOL(struct pit_channel, loaded),
    STATE_BOOL(struct pit_channel, triggered),
    STATE_BOOL(struct pit_channel, write_high),
    STATE_BOOL(struct pit_channel, read_high),
    STATE_BOOL(struct pit_channel, status_latched),
    STATE_RANGE(struct pit_channel, latched, 0, 2),
    STATE_FIELD(struct pit_channel, write_low),
    STATE_FIELD(struct pit_channel, status),
    STATE_FIELD(struct pit_channel, latch),
    STATE_RANGE(struct pit_channel, count, 1, 65536),
    STATE_FIELD(struct pit_channel, start),
    STATE_FIELD(struct pit_channel, held),
};

static const struct state_field pit_fields[] = {
    STATE_STRUCTS(struct pit, channel, pit_channel_fields),
    STATE_BOOL(struct pit, out0),
    STATE_RANGE(struct pit, speaker, 0, SPEAKER_GATE | SPEAKER_DATA),
    TIMER_STATE(struct pit, timer),
};

static const struct state_section pit_state = STATE_SECTION("pit", 1, pit_fields);

const struct device_model pit_model = {
    .name = "pit",
    .ranges =
        {
            {DEVICE_PORTS, 0x40, 4, 1, pit_read, pit_write},
            {DEVICE_PORTS, 0x61, 1, 1, pit_speaker_read, pit_speaker_write},
        },
    .reset = pit_reset,
    .state = &pit_state,
};
