// See ioapic.h. References are to the 82093AA data sheet (Intel order 290566).
//
// Polarity is accepted and not acted on: a wire on this board carries "asserted", not a voltage.
#include "device/ioapic.h"

enum { SELECT = 0x00, WINDOW = 0x10, EOI = 0x40 };
enum { REG_ID = 0, REG_VERSION = 1, REG_ARBITRATION = 2, REG_TABLE = 0x10 };
enum { VERSION = 0x20 };

enum { MODE_FIXED = 0, MODE_LOWEST = 1 };

#define ENTRY_VECTOR ((u64)0xFF)
#define ENTRY_LOGICAL ((u64)1 << 11)
#define ENTRY_STATUS ((u64)1 << 12)
#define ENTRY_REMOTE_IRR ((u64)1 << 14)
#define ENTRY_LEVEL ((u64)1 << 15)
#define ENTRY_MASKED ((u64)1 << 16)
#define ENTRY_READ_ONLY (ENTRY_STATUS | ENTRY_REMOTE_IRR)
#define ENTRY_WRITABLE ((u64)0xFF0000000001FFFF & ~ENTRY_READ_ONLY)

static unsigned ioapic_mode(u64 entry) { return (unsigned)(entry >> 8) & 7; }

// Only these modes have a level form: NMI, SMI, INIT and ExtINT are edges (section 3.2.4, delivery mode).
static bool ioapic_is_level(u64 entry) { return entry & ENTRY_LEVEL && ioapic_mode(entry) <= MODE_LOWEST; }

void ioapic_pin_message(const struct ioapic *ioapic, unsigned pin, u64 *address, u32 *data)
{
    u64 entry = ioapic->redirection[pin];
    u64 destination = entry >> 56;
    *address = 0xFEE00000 | destination << 12 | (entry & ENTRY_LOGICAL ? 1 << 2 : 0);
    *data = (u32)(entry & ENTRY_VECTOR) | ioapic_mode(entry) << 8 | 1 << 14 | (ioapic_is_level(entry) ? 1 << 15 : 0);
}

static void ioapic_send(struct ioapic *ioapic, unsigned pin)
{
    u64 address;
    u32 data;
    ioapic_pin_message(ioapic, pin, &address, &data);
    ioapic->message(ioapic->context, address, data);
}

// A level pin that is high, unmasked and not in service somewhere sends now.
static void ioapic_service(struct ioapic *ioapic, unsigned pin)
{
    u64 entry = ioapic->redirection[pin];
    if (!ioapic_is_level(entry) || !(ioapic->lines >> pin & 1) || entry & (ENTRY_MASKED | ENTRY_REMOTE_IRR))
        return;
    ioapic->redirection[pin] |= ENTRY_REMOTE_IRR;
    ioapic_send(ioapic, pin);
}

void ioapic_line(struct ioapic *ioapic, unsigned pin, bool level)
{
    if (pin >= IOAPIC_PINS)
        return;
    u32 bit = (u32)1 << pin;
    bool rising = level && !(ioapic->lines & bit);
    ioapic->lines = level ? ioapic->lines | bit : ioapic->lines & ~bit;
    u64 entry = ioapic->redirection[pin];
    if (ioapic_is_level(entry))
        ioapic_service(ioapic, pin);
    else if (rising && !(entry & ENTRY_MASKED)) // an edge on a masked pin is lost (section 3.2.4, interrupt mask)
        ioapic_send(ioapic, pin);
}

void ioapic_eoi(struct ioapic *ioapic, u8 vector)
{
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        u64 entry = ioapic->redirection[pin];
        if (!(entry & ENTRY_REMOTE_IRR) || (entry & ENTRY_VECTOR) != vector)
            continue;
        ioapic->redirection[pin] &= ~ENTRY_REMOTE_IRR;
        ioapic_service(ioapic, pin);
    }
}

static void ioapic_write_entry(struct ioapic *ioapic, unsigned pin, bool high, u32 value)
{
    u64 before = ioapic->redirection[pin];
    u64 entry = high ? (before & 0xFFFFFFFF) | (u64)value << 32 : (before & ~(u64)0xFFFFFFFF) | value;
    entry = (entry & ENTRY_WRITABLE) | (before & ENTRY_READ_ONLY);
    // An edge entry has no remote IRR. Software of the days before the EOI register clears it by this write.
    if (!ioapic_is_level(entry))
        entry &= ~ENTRY_REMOTE_IRR;
    ioapic->redirection[pin] = entry;
    if ((before ^ entry) & ~(ENTRY_MASKED | ENTRY_READ_ONLY))
        ioapic->routes(ioapic->context);
    ioapic_service(ioapic, pin);
}

static u32 ioapic_read_window(const struct ioapic *ioapic)
{
    switch (ioapic->select) {
    case REG_ID:
    case REG_ARBITRATION:
        return ioapic->id;
    case REG_VERSION:
        return VERSION | (IOAPIC_PINS - 1) << 16;
    }
    unsigned index = (unsigned)ioapic->select - REG_TABLE;
    if (ioapic->select < REG_TABLE || index / 2 >= IOAPIC_PINS)
        return 0;
    return (u32)(ioapic->redirection[index / 2] >> (index % 2 * 32));
}

static void ioapic_write_window(struct ioapic *ioapic, u32 value)
{
    unsigned index = (unsigned)ioapic->select - REG_TABLE;
    if (ioapic->select == REG_ID)
        ioapic->id = value & 0x0F000000;
    else if (ioapic->select >= REG_TABLE && index / 2 < IOAPIC_PINS)
        ioapic_write_entry(ioapic, index / 2, index % 2, value);
}

static u64 ioapic_read(void *chip, u64 offset, unsigned bytes)
{
    struct ioapic *ioapic = chip;
    u32 value = 0;
    if ((offset & ~(u64)3) == SELECT)
        value = ioapic->select;
    else if ((offset & ~(u64)3) == WINDOW)
        value = ioapic_read_window(ioapic);
    value >>= (offset & 3) * 8;
    return bytes < 4 ? value & (((u32)1 << bytes * 8) - 1) : value;
}

static void ioapic_write(void *chip, u64 offset, unsigned bytes, u64 value)
{
    struct ioapic *ioapic = chip;
    (void)bytes;
    if (offset == SELECT)
        ioapic->select = (u8)value;
    else if (offset == WINDOW)
        ioapic_write_window(ioapic, (u32)value);
    else if (offset == EOI)
        ioapic_eoi(ioapic, (u8)value);
}

static void ioapic_reset(void *chip)
{
    struct ioapic *ioapic = chip;
    ioapic->id = 0;
    ioapic->select = 0;
    ioapic->lines = 0;
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        ioapic->redirection[pin] = ENTRY_MASKED;
    ioapic->routes(ioapic->context);
}

static int ioapic_loaded(void *chip, struct error *error)
{
    struct ioapic *ioapic = chip;
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        if (ioapic->redirection[pin] & ~(ENTRY_WRITABLE | ENTRY_REMOTE_IRR))
            return error_set(error, "reserved bits of redirection entry %u are set", pin);
    ioapic->routes(ioapic->context);
    return 0;
}

static const struct state_field ioapic_fields[] = {
    STATE_FIELD(struct ioapic, id),
    STATE_FIELD(struct ioapic, select),
    STATE_FIELD(struct ioapic, lines),
    STATE_ARRAY(struct ioapic, redirection),
};

static const struct state_section ioapic_state = STATE_SECTION("ioapic", 1, ioapic_fields, .post_load = ioapic_loaded);

const struct device_model ioapic_model = {
    .name = "ioapic",
    .ranges = {{DEVICE_MEMORY, 0xFEC00000, IOAPIC_BYTES, 4, ioapic_read, ioapic_write}},
    .reset = ioapic_reset,
    .state = &ioapic_state,
};
