// The fixed hardware of ACPI (specification 6.4, section 4.8): the PM timer, the PM1 event and control registers with
// power button and S5, and the system control interrupt. There is no SMI: the machine is in ACPI mode from the start.
#pragma once

#include "device/device.h"
#include "device/timer.h"

enum { ACPI_PM_PORT = 0x600, ACPI_PM_EVENT = 0, ACPI_PM_CONTROL = 4, ACPI_PM_TIMER = 8, ACPI_PM_PORTS = 12 };
enum { ACPI_PM_S5 = 5 }; // SLP_TYP of power-off; the DSDT's \_S5 says the same
#define ACPI_PM_HZ ((u64)3579545)

struct acpi_pm {
    struct wire sci;
    void (*shutdown)(void *context);
    void *context;
    struct timer timer; // only while TMR_EN is set

    u16 status, enable, control;
    u64 seen; // ticks up to which TMR_STS was worked out
};

extern const struct device_model acpi_pm_model;

void acpi_pm_init(struct acpi_pm *pm, struct timer_list *timers);
void acpi_pm_power_button(struct acpi_pm *pm);
