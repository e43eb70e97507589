// See i8042.h. Commands are those of the IBM PS/2 technical reference, "Keyboard/Auxiliary Device Controller".
#include "device/i8042.h"

#include <string.h>

enum { STATUS_OUTPUT = 0x01, STATUS_SYSTEM = 0x04, STATUS_COMMAND = 0x08, STATUS_KEYLOCK = 0x10, STATUS_AUX = 0x20,
       STATUS_TIMEOUT = 0x40 };
enum { BYTE_KEYBOARD_IRQ = 0x01, BYTE_SYSTEM = 0x04, BYTE_NO_KEYBOARD = 0x10, BYTE_NO_AUX = 0x20 };
enum { PORT_RESET = 0x01, PORT_A20 = 0x02, PORT_RESERVED = 0xCC };
enum { DATA = 0, COMMAND = 4 };
enum { TEST_PASSED = 0x55, PORT_TEST_OK = 0x00, PORT_TEST_CLOCK_LOW = 0x01, RESEND = 0xFE };

static void i8042_answer(struct i8042 *i8042, u8 value, u8 flags)
{
    i8042->output = value;
    i8042->status = (i8042->status & (u8) ~(STATUS_AUX | STATUS_TIMEOUT)) | STATUS_OUTPUT | flags;
    if (i8042->command_byte & BYTE_KEYBOARD_IRQ)
        wire_set(&i8042->keyboard_irq, true);
}

static void i8042_write_output_port(struct i8042 *i8042, u8 value)
{
    i8042->output_port = value | PORT_RESET;
    if (!(value & PORT_RESET))
        i8042->reset_cpu(i8042->context);
}

static void i8042_command(struct i8042 *i8042, u8 command)
{
    i8042->pending = 0;
    i8042->status |= STATUS_COMMAND;
    switch (command) {
    case 0x20 ... 0x3F: // read the command byte and the controller's memory
        i8042_answer(i8042, command == 0x20 ? i8042->command_byte : i8042->ram[command & 31], 0);
        break;
    case 0x60 ... 0x7F: // and write it
    case 0xD1 ... 0xD4: // output port, keyboard echo, auxiliary echo, to the auxiliary device
        i8042->pending = command;
        break;
    case 0xA7: // disable, enable the auxiliary port
        i8042->command_byte |= BYTE_NO_AUX;
        break;
    case 0xA8:
        i8042->command_byte &= (u8)~BYTE_NO_AUX;
        break;
    case 0xA9: // test the auxiliary port: there is none
        i8042_answer(i8042, PORT_TEST_CLOCK_LOW, 0);
        break;
    case 0xAA:
        i8042->status |= STATUS_SYSTEM;
        i8042_answer(i8042, TEST_PASSED, 0);
        break;
    case 0xAB:
        i8042_answer(i8042, PORT_TEST_OK, 0);
        break;
    case 0xAD:
        i8042->command_byte |= BYTE_NO_KEYBOARD;
        break;
    case 0xAE:
        i8042->command_byte &= (u8)~BYTE_NO_KEYBOARD;
        break;
    case 0xC0: // input port: keyboard not locked
        i8042_answer(i8042, 0x80, 0);
        break;
    case 0xD0:
        i8042_answer(i8042, i8042->output_port, 0);
        break;
    case 0xF0 ... 0xFF: // pulse the output port's low bits that are 0
        if (!(command & PORT_RESET))
            i8042->reset_cpu(i8042->context);
        break;
    }
}

static void i8042_data(struct i8042 *i8042, u8 value)
{
    u8 command = i8042->pending;
    i8042->pending = 0;
    i8042->status &= (u8)~STATUS_COMMAND;
    switch (command) {
    case 0x60:
        i8042->command_byte = value;
        i8042->status = (i8042->status & (u8)~STATUS_SYSTEM) | (value & BYTE_SYSTEM);
        break;
    case 0x61 ... 0x7F:
        i8042->ram[command & 31] = value;
        break;
    case 0xD1:
        i8042_write_output_port(i8042, value);
        break;
    case 0xD2:
        i8042_answer(i8042, value, 0);
        break;
    case 0xD3:
        i8042_answer(i8042, value, STATUS_AUX);
        break;
    case 0xD4:
        i8042_answer(i8042, RESEND, STATUS_AUX | STATUS_TIMEOUT);
        break;
    default: // for the keyboard, which does not answer
        i8042_answer(i8042, RESEND, STATUS_TIMEOUT);
        break;
    }
}

static u64 i8042_read(void *chip, u64 offset, unsigned bytes)
{
    struct i8042 *i8042 = chip;
    (void)offset, (void)bytes;
    i8042->status &= (u8) ~(STATUS_OUTPUT | STATUS_AUX | STATUS_TIMEOUT);
    wire_set(&i8042->keyboard_irq, false);
    return i8042->output;
}

static u64 i8042_read_status(void *chip, u64 offset, unsigned bytes)
{
    struct i8042 *i8042 = chip;
    (void)offset, (void)bytes;
    return i8042->status;
}

static void i8042_write(void *chip, u64 offset, unsigned bytes, u64 value)
{
    (void)offset, (void)bytes;
    i8042_data(chip, (u8)value);
}

static void i8042_write_command(void *chip, u64 offset, unsigned bytes, u64 value)
{
    (void)offset, (void)bytes;
    i8042_command(chip, (u8)value);
}

static u64 i8042_read92(void *chip, u64 offset, unsigned bytes)
{
    struct i8042 *i8042 = chip;
    (void)offset, (void)bytes;
    return i8042->port92;
}

static void i8042_write92(void *chip, u64 offset, unsigned bytes, u64 value)
{
    struct i8042 *i8042 = chip;
    (void)offset, (void)bytes;
    bool pulse = value & ~(u64)i8042->port92 & 1;
    i8042->port92 = value & 3;
    if (pulse)
        i8042->reset_cpu(i8042->context);
}

static void i8042_reset(void *chip)
{
    struct i8042 *i8042 = chip;
    i8042->status = STATUS_SYSTEM | STATUS_KEYLOCK;
    i8042->command_byte = BYTE_SYSTEM | BYTE_NO_KEYBOARD | BYTE_NO_AUX;
    i8042->output = 0;
    i8042->output_port = PORT_RESET | PORT_A20 | PORT_RESERVED;
    i8042->port92 = PORT_A20;
    i8042->pending = 0;
    memset(i8042->ram, 0, sizeof i8042->ram);
    wire_set(&i8042->keyboard_irq, false);
}

static const struct state_field i8042_fields[] = {
    STATE_FIELD(struct i8042, status),
    STATE_FIELD(struct i8042, command_byte),
    STATE_FIELD(struct i8042, output),
    STATE_FIELD(struct i8042, output_port),
    STATE_RANGE(struct i8042, port92, 0, 3),
    STATE_FIELD(struct i8042, pending),
    STATE_ARRAY(struct i8042, ram),
};

static const struct state_section i8042_state = STATE_SECTION("i8042", 1, i8042_fields);

const struct device_model i8042_model = {
    .name = "i8042",
    .ranges =
        {
            {DEVICE_PORTS, 0x60, 1, 1, i8042_read, i8042_write},
            {DEVICE_PORTS, 0x64, 1, 1, i8042_read_status, i8042_write_command},
            {DEVICE_PORTS, 0x92, 1, 1, i8042_read92, i8042_write92},
        },
    .reset = i8042_reset,
    .state = &i8042_state,
};
