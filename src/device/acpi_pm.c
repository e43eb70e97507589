// See acpi_pm.h.
#include "device/acpi_pm.h"

enum { TMR = 1 << 0, GBL = 1 << 5, PWRBTN = 1 << 8, SLPBTN = 1 << 9, RTC = 1 << 10, WAKE = 1 << 15 };
enum { STATUS_BITS = TMR | GBL | PWRBTN | SLPBTN | RTC | WAKE, ENABLE_BITS = TMR | GBL | PWRBTN | SLPBTN | RTC };
enum { CONTROL_SCI_EN = 1 << 0, CONTROL_SLP_TYP = 7 << 10, CONTROL_SLP_EN = 1 << 13 };
enum { GPE_BITS = 1 << ACPI_PM_GPE_HOTPLUG };
#define TIMER_BITS 24
#define HALF ((u64)1 << (TIMER_BITS - 1)) // TMR_STS is set whenever the top bit changes (section 4.8.2.1)

static u64 acpi_pm_ticks(const struct acpi_pm *pm) { return clock_ticks(timer_now(&pm->timer), ACPI_PM_HZ); }

static void acpi_pm_update(struct acpi_pm *pm)
{
    u64 ticks = acpi_pm_ticks(pm);
    if (ticks / HALF != pm->seen / HALF)
        pm->status |= TMR;
    pm->seen = ticks;
    if (pm->enable & TMR && !(pm->status & TMR))
        timer_arm(&pm->timer, clock_ns((ticks / HALF + 1) * HALF, ACPI_PM_HZ));
    else
        timer_disarm(&pm->timer);
    wire_set(&pm->sci, pm->status & pm->enable & ENABLE_BITS || pm->gpe_status & pm->gpe_enable);
}

static void acpi_pm_expire(void *context, u64 now)
{
    (void)now;
    acpi_pm_update(context);
}

void acpi_pm_power_button(struct acpi_pm *pm)
{
    pm->status |= PWRBTN;
    acpi_pm_update(pm);
}

void acpi_pm_event(struct acpi_pm *pm, unsigned gpe)
{
    pm->gpe_status |= (u16)(1 << gpe & GPE_BITS);
    acpi_pm_update(pm);
}

static u64 acpi_pm_timer_read(void *chip, u64 offset, unsigned bytes)
{
    struct acpi_pm *pm = chip;
    u64 value = acpi_pm_ticks(pm) & (HALF * 2 - 1);
    return (u32)(value >> offset * 8) & (u32)(((u64)1 << bytes * 8) - 1);
}

// The registers are 16 bits wide and may be touched by bytes: the byte is all that a write changes.
static u16 *acpi_pm_register(struct acpi_pm *pm, u64 offset)
{
    switch (offset / 2) {
    case 0:
        return &pm->status;
    case 1:
        return &pm->enable;
    case 2:
        return &pm->control;
    case ACPI_PM_GPE / 2:
        return &pm->gpe_status;
    case ACPI_PM_GPE / 2 + 1:
        return &pm->gpe_enable;
    default:
        return NULL;
    }
}

static u64 acpi_pm_read(void *chip, u64 offset, unsigned bytes)
{
    struct acpi_pm *pm = chip;
    acpi_pm_update(pm);
    u64 value = 0;
    for (unsigned i = 0; i < bytes; i++) {
        const u16 *from = acpi_pm_register(pm, offset + i);
        value |= from ? (u64)(*from >> (offset + i) % 2 * 8 & 0xFF) << i * 8 : 0;
    }
    return value;
}

static void acpi_pm_write_control(struct acpi_pm *pm)
{
    bool sleep = pm->control & CONTROL_SLP_EN;
    unsigned type = (pm->control & CONTROL_SLP_TYP) >> 10;
    pm->control = (pm->control & CONTROL_SLP_TYP) | CONTROL_SCI_EN;
    if (sleep && type == ACPI_PM_S5)
        pm->shutdown(pm->context);
}

static void acpi_pm_write(void *chip, u64 offset, unsigned bytes, u64 value)
{
    struct acpi_pm *pm = chip;
    acpi_pm_update(pm);
    bool control = false;
    for (unsigned i = 0; i < bytes; i++) {
        u16 *to = acpi_pm_register(pm, offset + i);
        unsigned shift = (unsigned)((offset + i) % 2 * 8);
        u16 byte = (u16)((value >> i * 8 & 0xFF) << shift);
        if (to == &pm->status || to == &pm->gpe_status)
            *to &= (u16)~byte; // write one to clear
        else if (to)
            *to = (u16)((*to & ~(0xFF << shift)) | byte);
        control |= to == &pm->control;
    }
    pm->enable &= ENABLE_BITS;
    pm->status &= STATUS_BITS;
    pm->gpe_enable &= GPE_BITS;
    if (control)
        acpi_pm_write_control(pm);
    acpi_pm_update(pm);
}

static u64 acpi_pm_gpe_read(void *chip, u64 offset, unsigned bytes)
{
    return acpi_pm_read(chip, ACPI_PM_GPE + offset, bytes);
}

static void acpi_pm_gpe_write(void *chip, u64 offset, unsigned bytes, u64 value)
{
    acpi_pm_write(chip, ACPI_PM_GPE + offset, bytes, value);
}

static void acpi_pm_reset(void *chip)
{
    struct acpi_pm *pm = chip;
    pm->status = 0;
    pm->enable = 0;
    pm->gpe_status = 0;
    pm->gpe_enable = 0;
    pm->control = CONTROL_SCI_EN;
    pm->seen = acpi_pm_ticks(pm);
    acpi_pm_update(pm);
}

void acpi_pm_init(struct acpi_pm *pm, struct timer_list *timers) { timer_init(&pm->timer, timers, acpi_pm_expire, pm); }

static const struct state_field acpi_pm_fields[] = {
    STATE_FIELD(struct acpi_pm, status),
    STATE_FIELD(struct acpi_pm, enable),
    STATE_FIELD(struct acpi_pm, control),
    STATE_FIELD(struct acpi_pm, seen),
    TIMER_STATE(struct acpi_pm, timer),
    {.name = "gpe_status", .offset = offsetof(struct acpi_pm, gpe_status), .size = 2, .count = 1, .since = 2,
     .most = GPE_BITS},
    {.name = "gpe_enable", .offset = offsetof(struct acpi_pm, gpe_enable), .size = 2, .count = 1, .since = 2,
     .most = GPE_BITS},
};

static const struct state_section acpi_pm_state = STATE_SECTION("acpi-pm", 2, acpi_pm_fields);

const struct device_model acpi_pm_model = {
    .name = "acpi-pm",
    .ranges =
        {
            {DEVICE_PORTS, ACPI_PM_PORT, ACPI_PM_TIMER, 4, acpi_pm_read, acpi_pm_write},
            {DEVICE_PORTS, ACPI_PM_PORT + ACPI_PM_TIMER, 4, 4, acpi_pm_timer_read, NULL},
            {DEVICE_PORTS, ACPI_PM_PORT + ACPI_PM_GPE, ACPI_PM_GPE_BYTES, 4, acpi_pm_gpe_read, acpi_pm_gpe_write},
        },
    .reset = acpi_pm_reset,
    .state = &acpi_pm_state,
};
