// The 82093AA I/O APIC, 24 pins, with the EOI register of its successors (version 0x20, ICH). It sends messages (MSI
// format) to local APICs that live in the engine, and learns of their EOIs from KVM_EXIT_IOAPIC_EOI; so that the engine
// knows which vectors are worth that exit, `routes` is called whenever the redirection table changed in a way that
// matters.
#pragma once

#include "device/device.h"

enum { IOAPIC_PINS = 24, IOAPIC_BYTES = 0x1000 };

struct ioapic {
    void *context;
    void (*message)(void *context, u64 address, u32 data);
    void (*routes)(void *context);

    u32 id;      // bits 24..27
    u8 select;
    u32 lines;   // input levels
    u64 redirection[IOAPIC_PINS];
};

extern const struct device_model ioapic_model;

void ioapic_line(struct ioapic *ioapic, unsigned pin, bool level);
void ioapic_eoi(struct ioapic *ioapic, u8 vector);

// The message a pin sends, masked or not.
void ioapic_pin_message(const struct ioapic *ioapic, unsigned pin, u64 *address, u32 *data);
