// The PC's pair of 8259A interrupt controllers: slave on the master's input 2, edge/level registers at 0x4D0 (ELCR,
// from the Intel PIIX). Linux starts on it and checks it, kernels with `noapic` live on it, and its output is the local
// APIC's LINT0 (ExtINT).
#pragma once

#include "device/device.h"

enum { PIC_CASCADE = 2, PIC_LINES = 16 };

struct pic_half {
    u8 irr, isr, imr;
    u8 lines;      // input levels, for edges
    u8 elcr;       // 1: level-triggered
    u8 elcr_mask;  // which inputs can be
    u8 vector;     // ICW2
    u8 lowest;     // input with the lowest priority (7 after reset): rotation
    u8 icw_next;   // 0: initialised; 2, 3, 4: the ICW that comes next
    bool icw4_wanted, read_isr, poll, special_mask, auto_eoi, rotate_auto, fully_nested;
};

struct pic {
    struct pic_half half[2]; // master, slave
    struct wire intr;        // to LINT0
    bool intr_level;
};

extern const struct device_model pic_model;

void pic_line(struct pic *pic, unsigned line, bool level);

// The processor's INTA cycle: the vector, spurious ones (input 7) included.
u8 pic_acknowledge(struct pic *pic);
