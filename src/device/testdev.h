// What kvm-unit-tests (and other bare-metal test programs) expect of a machine made for them, in the places where
// QEMU's isa-debug-exit and pc-testdev have it: a port that ends the VM with a status, a scratch register, a scratch
// memory, wires to every interrupt line, and a way to make the next access of a page fault inside the monitor. A guest
// can end its VM with a status of its choice by it, so it is there only when asked for.
#pragma once

#include "device/device.h"

enum { TESTDEV_MEMORY_BYTES = 0x10000, TESTDEV_LINES = 24 };

struct testdev {
    void *context;
    void (*exit)(void *context, unsigned status);
    void (*line)(void *context, unsigned line, bool level);
    void (*flush_page)(void *context, u64 gpa);

    u8 data[4];      // port 0xE0, any width
    u8 byte_data[4]; // port 0xE8, by bytes only
    u8 memory[TESTDEV_MEMORY_BYTES];
};

extern const struct device_model testdev_model;
