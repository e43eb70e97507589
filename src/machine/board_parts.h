// The board's insides, shared by its two files: board.c, which puts the parts together and runs them, and
// board_state.c, which stops them, saves them and restores them.
#pragma once

#include <stdatomic.h>
#include <time.h>

#include "device/acpi_pm.h"
#include "device/fwcfg.h"
#include "device/i8042.h"
#include "device/ioapic.h"
#include "device/pci_hotplug.h"
#include "device/pic.h"
#include "device/pit.h"
#include "device/rtc.h"
#include "device/testdev.h"
#include "device/timer.h"
#include "machine/board.h"
#include "machine/board_bus.h"
#include "machine/pci_host.h"

struct board {
    struct board_config config;
    struct memory *memory;
    struct board_bus bus;
    bool finished;

    pthread_mutex_t chip_lock; // every chip but the interrupt controllers, and the timers
    struct timer_list timers;
    struct timespec origin; // guest time 0 on the host's monotonic clock
    int timer_fd;
    u64 armed; // what timer_fd is set to
    bool paused;
    bool power_button; // pressed while paused
    u64 paused_at;     // guest time
    s64 paused_wall;   // seconds since 1970 then
    struct pit pit;
    struct rtc rtc;
    struct acpi_pm pm;
    struct uart com1;
    struct i8042 i8042;
    struct fwcfg fwcfg;
    struct testdev testdev;
    struct pci_host pci;
    struct pci_hotplug hotplug;

    pthread_mutex_t irq_lock;
    struct pic pic;
    struct ioapic ioapic;
    u32 intx[PCI_HOST_INTX_LINES]; // slots that drive each line: they are wired together
    atomic_bool extint;            // the PIC's output
};

// The list of chips, in the order in which they are reset.
struct board_part {
    const struct device_model *model;
    size_t offset; // of the chip in struct board
    bool irq_lock; // the chip is under irq_lock
    bool debug;    // only with board_config.debug
};

enum { BOARD_PARTS = 11 };
extern const struct board_part board_parts[BOARD_PARTS];

// Under chip_lock, after anything that may have moved a timer.
void board_rearm(struct board *board);
