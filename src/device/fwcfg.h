// The few items of QEMU's firmware configuration device that test programs and firmware ask for: signature, memory
// size, processor counts, and a file directory that is empty. Port 0x510 selects an item, port 0x511 reads it byte by
// byte.
#pragma once

#include "device/device.h"

enum { FWCFG_PORT = 0x510 };

struct fwcfg {
    u64 ram_bytes;
    u16 cpus;

    u16 selected;
    u32 position;
};

extern const struct device_model fwcfg_model;
