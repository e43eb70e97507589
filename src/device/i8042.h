// The keyboard controller, without a keyboard: it answers the probes of operating systems (self test, command byte, no
// device on either port), and pulses the processor's reset line, which is what it is really used for. Port 0x92, the
// PS/2 machines' faster way to the same two wires (A20, reset), is here too. A20 is always open; its bit is only
// remembered.
#pragma once

#include "device/device.h"

struct i8042 {
    void (*reset_cpu)(void *context);
    void *context;
    struct wire keyboard_irq; // IRQ 1, for answers when the command byte asks for it

    u8 status, command_byte, output, output_port, port92;
    u8 pending; // the command whose data byte comes next, 0: none
    u8 ram[32];
};

extern const struct device_model i8042_model;
