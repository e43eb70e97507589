// The fixed hardware of ACPI (specification 6.4, section 4.8): the PM timer, the PM1 event and control registers with
// power button and S5, a block of general-purpose events (4.8.4.1) for what the DSDT has methods for, and the system
// control interrupt, which both share. There is no SMI: the machine is in ACPI mode from the start.
#pragma once

#include "device/device.h"
#include "device/timer.h"

enum { ACPI_PM_PORT = 0x600, ACPI_PM_EVENT = 0, ACPI_PM_CONTROL = 4, ACPI_PM_TIMER = 8, ACPI_PM_GPE = 12,
       ACPI_PM_PORTS = 16, ACPI_PM_GPE_BYTES = 4 };
enum { ACPI_PM_GPE_HOTPLUG = 1 }; // the event of \_GPE._E01
enum { ACPI_PM_S5 = 5 }; // SLP_TYP of power-off; the DSDT's \_S5 says the same
#define ACPI_PM_HZ ((u64)3579545)

struct acpi_pm {
    struct wire sci;
    void (*shutdown)(void *context);
    void *context;
    struct timer timer; // only while TMR_EN is set

    u16 status, enable, control;
    u16 gpe_status, gpe_enable;
    u64 seen; // ticks up to which TMR_STS was worked out
};

extern const struct device_model acpi_pm_model;

void acpi_pm_init(struct acpi_pm *pm, struct timer_list *timers);
void acpi_pm_power_button(struct acpi_pm *pm);
void acpi_pm_event(struct acpi_pm *pm, unsigned gpe); // something happened that the guest's method looks at
