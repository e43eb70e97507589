// See pci_host.h.
#include "machine/pci_host.h"

#include "machine/board.h"

enum { ADDRESS_ENABLE_SHIFT = 31, COMMAND = 0x04, INTERRUPT_LINE = 0x3C, COMMAND_DECODE = 3 };
enum { RESET_CPU = 0x04, RESET_BITS = 0x0E };
enum { IO_WINDOW = 0xC000, IO_WINDOW_END = 0x10000 };

static void pci_host_message(void *context, u64 address, u32 data)
{
    struct pci_host *host = context;
    host->message(host->context, address, data);
}

static void pci_host_intx(void *context, const struct pci_function *function, bool level)
{
    struct pci_host *host = context;
    host->intx(host->context, pci_host_gsi(function->slot), function->slot, level);
}

static void pci_host_moved(void *context, struct pci_function *function)
{
    struct pci_host *host = context;
    board_bus_update_function(host->bus, function, host->lock);
}

static const struct pci_host_ops pci_host_ops = {
    .msi = pci_host_message,
    .intx = pci_host_intx,
    .moved = pci_host_moved,
};

int pci_host_attach_at(struct pci_host *host, struct pci_function *function, unsigned slot, struct error *error)
{
    if (slot >= PCI_HOST_SLOTS || host->functions[slot])
        return error_set(error, "PCI function %s: slot %u of the bus is taken", function->name, slot);
    host->functions[slot] = function;
    function->slot = slot;
    function->host_ops = &pci_host_ops;
    function->host = host;
    return 0;
}

int pci_host_attach(struct pci_host *host, struct pci_function *function, struct error *error)
{
    for (unsigned slot = 0; slot < PCI_HOST_PLUG_FIRST; slot++)
        if (!host->functions[slot])
            return pci_host_attach_at(host, function, slot, error);
    return error_set(error, "PCI function %s: all %u slots of the bus are taken", function->name, PCI_HOST_PLUG_FIRST);
}

struct pci_function *pci_host_detach(struct pci_host *host, unsigned slot)
{
    struct pci_function *function = host->functions[slot];
    if (!function)
        return NULL;
    host->functions[slot] = NULL;
    board_bus_remove_function(host->bus, function);
    return function;
}

int pci_host_init(struct pci_host *host, struct error *error)
{
    // A generic bridge's identity: those of real chip sets make guests look for the rest of the chip set.
    host->bridge = (struct pci_function){
        .name = "host bridge",
        .vendor = 0x1B36,
        .device = 0x0008,
        .class_code = 0x060000,
    };
    if (pci_init(&host->bridge, error) < 0)
        return -1;
    return pci_host_attach(host, &host->bridge, error);
}

void pci_host_destroy(struct pci_host *host)
{
    for (unsigned slot = 0; slot < PCI_HOST_SLOTS; slot++)
        if (host->functions[slot])
            host->functions[slot]->host_ops = NULL;
    pci_destroy(&host->bridge);
}

static int pci_host_assign_bar(struct pci_function *function, unsigned index, u64 *memory, u64 *io, struct error *error)
{
    const struct pci_bar *bar = &function->bars[index];
    bool is_io = bar->kind == PCI_BAR_IO;
    u64 *next = is_io ? io : memory;
    u64 address = align_up(*next, bar->bytes);
    if (address + bar->bytes > (is_io ? (u64)IO_WINDOW_END : BOARD_ECAM))
        return error_set(error, "PCI function %s: no room for BAR %u of %lu bytes", function->name, index, bar->bytes);
    pci_bar_assign(function, index, address);
    *next = address + bar->bytes;
    return 0;
}

int pci_host_assign(struct pci_host *host, struct error *error)
{
    u64 memory = BOARD_PCI_WINDOW, io = IO_WINDOW;
    for (unsigned slot = 0; slot < PCI_HOST_SLOTS; slot++) {
        struct pci_function *function = host->functions[slot];
        if (!function)
            continue;
        pci_reset(function);
        for (unsigned i = 0; i < PCI_BARS; i++)
            if (function->bars[i].kind != PCI_BAR_NONE && pci_host_assign_bar(function, i, &memory, &io, error) < 0)
                return -1;
        if (function->intx)
            pci_config_write(function, INTERRUPT_LINE, 1, pci_host_gsi(slot));
        pci_config_write(function, COMMAND, 2, COMMAND_DECODE);
        pci_host_moved(host, function);
    }
    return 0;
}

// Bus 0, function 0 only. `place` is bus, device, function in the usual 16 bits.
static struct pci_function *pci_host_find(struct pci_host *host, unsigned place)
{
    return place >> 8 || place & 7 ? NULL : host->functions[place >> 3 & 31];
}

static u64 pci_host_config_read(struct pci_host *host, unsigned place, unsigned offset, unsigned bytes)
{
    struct pci_function *function = pci_host_find(host, place);
    return function ? pci_config_read(function, offset, bytes) : UINT32_MAX;
}

static void pci_host_config_write(struct pci_host *host, unsigned place, unsigned offset, unsigned bytes, u64 value)
{
    struct pci_function *function = pci_host_find(host, place);
    if (function)
        pci_config_write(function, offset, bytes, (u32)value);
}

// 0xCF8: the address register answers to dwords only (PCI 3.0, 3.2.2.3.2); bytes at 0xCF9 are the reset register.
static u64 pci_host_address_read(void *chip, u64 offset, unsigned bytes)
{
    struct pci_host *host = chip;
    if (bytes == 4)
        return host->address;
    return offset == 1 && bytes == 1 ? host->reset_control : UINT64_MAX;
}

static void pci_host_address_write(void *chip, u64 offset, unsigned bytes, u64 value)
{
    struct pci_host *host = chip;
    if (bytes == 4) {
        host->address = (u32)value & 0x80FFFFFC;
    } else if (offset == 1 && bytes == 1) {
        bool reset = value & ~(u64)host->reset_control & RESET_CPU;
        host->reset_control = value & RESET_BITS;
        if (reset)
            host->reset_machine(host->context);
    }
}

static u64 pci_host_data_read(void *chip, u64 offset, unsigned bytes)
{
    struct pci_host *host = chip;
    if (!(host->address >> ADDRESS_ENABLE_SHIFT))
        return UINT64_MAX;
    return pci_host_config_read(host, host->address >> 8 & 0xFFFF, (host->address & 0xFC) + (unsigned)offset, bytes);
}

static void pci_host_data_write(void *chip, u64 offset, unsigned bytes, u64 value)
{
    struct pci_host *host = chip;
    unsigned at = (host->address & 0xFC) + (unsigned)offset;
    if (host->address >> ADDRESS_ENABLE_SHIFT)
        pci_host_config_write(host, host->address >> 8 & 0xFFFF, at, bytes, value);
}

static u64 pci_host_ecam_read(void *chip, u64 offset, unsigned bytes)
{
    return pci_host_config_read(chip, (unsigned)(offset >> 12), offset & 0xFFF, bytes);
}

static void pci_host_ecam_write(void *chip, u64 offset, unsigned bytes, u64 value)
{
    pci_host_config_write(chip, (unsigned)(offset >> 12), offset & 0xFFF, bytes, value);
}

static void pci_host_reset(void *chip)
{
    struct pci_host *host = chip;
    host->address = 0;
    host->reset_control = 0;
}

static const struct state_field pci_host_fields[] = {
    STATE_FIELD(struct pci_host, address),
    STATE_RANGE(struct pci_host, reset_control, 0, RESET_BITS),
};

static const struct state_section pci_host_state = STATE_SECTION("pci-host", 1, pci_host_fields);

const struct device_model pci_host_model = {
    .name = "pci-host",
    .ranges =
        {
            {DEVICE_PORTS, 0xCF8, 4, 4, pci_host_address_read, pci_host_address_write},
            {DEVICE_PORTS, 0xCFC, 4, 4, pci_host_data_read, pci_host_data_write},
            {DEVICE_MEMORY, BOARD_ECAM, BOARD_ECAM_BYTES, 4, pci_host_ecam_read, pci_host_ecam_write},
        },
    .reset = pci_host_reset,
    .state = &pci_host_state,
};
