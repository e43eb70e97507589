// See pci.h. References are to the PCI Local Bus Specification 3.0.
#include "device/pci.h"

#include <string.h>

enum {
    VENDOR = 0x00, DEVICE = 0x02, COMMAND = 0x04, STATUS = 0x06, REVISION = 0x08, CLASS = 0x09, CACHE_LINE = 0x0C,
    BAR = 0x10, SUBSYSTEM_VENDOR = 0x2C, SUBSYSTEM = 0x2E, CAPABILITIES = 0x34, LINE = 0x3C, PIN = 0x3D,
    HEADER_END = 0x40,
};
enum { COMMAND_IO = 1, COMMAND_MEMORY = 2, COMMAND_MASTER = 4, COMMAND_INTX_OFF = 0x400 };
enum { STATUS_INTX = 8, STATUS_CAPS = 16 };
enum { MSIX_ID = 0x11, MSIX_BYTES = 12, MSIX_ENABLE = 0x8000, MSIX_MASK_ALL = 0x4000, ENTRY_MASKED = 1 };
enum { MSIX_PBA = PCI_MSIX_MOST * 16, MSIX_BAR_BYTES = 4096 };
static_assert(sizeof(struct pci_msix_entry) == 16, "an MSI-X table entry is 16 bytes (6.8.2)");
static_assert(MSIX_PBA + PCI_MSIX_MOST / 8 <= MSIX_BAR_BYTES, "table and pending bits share a page");

static u16 pci_get16(const struct pci_function *function, unsigned at)
{
    return (u16)(function->config[at] | function->config[at + 1] << 8);
}

static void pci_put(u8 *bytes, unsigned at, unsigned count, u32 value)
{
    for (unsigned i = 0; i < count; i++)
        bytes[at + i] = (u8)(value >> i * 8);
}

static u32 pci_get32(const u8 *bytes, unsigned at)
{
    u32 value;
    memcpy(&value, bytes + at, 4);
    return value;
}

// --- MSI-X (6.8) ---

static u64 pci_msix_read(struct pci_function *function, u64 offset, unsigned bytes)
{
    u64 value = 0;
    pthread_mutex_lock(&function->lock);
    for (unsigned i = 0; i < bytes; i++) {
        u64 at = offset + i;
        u8 byte = 0;
        if (at < function->msix_vectors * sizeof(struct pci_msix_entry))
            byte = ((const u8 *)function->msix)[at];
        else if (at >= MSIX_PBA && at - MSIX_PBA < sizeof function->msix_pending)
            byte = ((const u8 *)function->msix_pending)[at - MSIX_PBA];
        value |= (u64)byte << i * 8;
    }
    pthread_mutex_unlock(&function->lock);
    return value;
}

// Under `lock`: sends a pending vector that nothing holds back any more.
static void pci_msix_release(struct pci_function *function, unsigned vector)
{
    u16 control = pci_get16(function, function->msix_capability + 2);
    u64 bit = (u64)1 << vector % 64;
    if (!(function->msix_pending[vector / 64] & bit) || !(control & MSIX_ENABLE) || control & MSIX_MASK_ALL ||
        function->msix[vector].control & ENTRY_MASKED)
        return;
    function->msix_pending[vector / 64] &= ~bit;
    if (pci_get16(function, COMMAND) & COMMAND_MASTER) // a message is a write to memory, and this one may not write
        function->host_ops->msi(function->host, function->msix[vector].address, function->msix[vector].data);
}

static void pci_msix_write(struct pci_function *function, u64 offset, unsigned bytes, u64 value)
{
    u64 table = function->msix_vectors * sizeof(struct pci_msix_entry);
    if (offset + bytes > table)
        return; // the pending bits are read-only
    pthread_mutex_lock(&function->lock);
    memcpy((u8 *)function->msix + offset, &value, bytes);
    for (unsigned vector = (unsigned)(offset / 16); vector <= (offset + bytes - 1) / 16; vector++) {
        function->msix[vector].control &= ENTRY_MASKED;
        pci_msix_release(function, vector);
    }
    pthread_mutex_unlock(&function->lock);
}

static bool pci_msix_enabled_locked(const struct pci_function *function)
{
    return function->msix_capability && pci_get16(function, function->msix_capability + 2) & MSIX_ENABLE;
}

bool pci_msix_enabled(struct pci_function *function)
{
    pthread_mutex_lock(&function->lock);
    bool enabled = pci_msix_enabled_locked(function);
    pthread_mutex_unlock(&function->lock);
    return enabled;
}

void pci_msix_raise(struct pci_function *function, unsigned vector)
{
    if (vector >= function->msix_vectors)
        return;
    pthread_mutex_lock(&function->lock);
    if (pci_msix_enabled_locked(function)) {
        function->msix_pending[vector / 64] |= (u64)1 << vector % 64;
        pci_msix_release(function, vector);
    }
    pthread_mutex_unlock(&function->lock);
}

// --- INTx (2.2.6) ---

// Under `lock`: the wire follows the level unless the guest turned it off or uses messages.
static void pci_intx_update(struct pci_function *function)
{
    if (!function->intx)
        return;
    bool drive = function->intx_level && !(pci_get16(function, COMMAND) & COMMAND_INTX_OFF) &&
                 !pci_msix_enabled_locked(function);
    if (function->intx_level)
        function->config[STATUS] |= STATUS_INTX;
    else
        function->config[STATUS] &= (u8)~STATUS_INTX;
    if (drive == function->intx_driven)
        return;
    function->intx_driven = drive;
    if (function->host_ops)
        function->host_ops->intx(function->host, function, drive);
}

void pci_intx_set(struct pci_function *function, bool level)
{
    pthread_mutex_lock(&function->lock);
    function->intx_level = level;
    pci_intx_update(function);
    pthread_mutex_unlock(&function->lock);
}

// --- Base address registers (6.2.5) ---

static bool pci_bar_is_io(const struct pci_bar *bar) { return bar->kind == PCI_BAR_IO; }

bool pci_bar_address(const struct pci_function *function, unsigned index, u64 *address)
{
    const struct pci_bar *bar = &function->bars[index];
    unsigned at = BAR + index * 4;
    u16 need = pci_bar_is_io(bar) ? COMMAND_IO : COMMAND_MEMORY;
    if (bar->kind == PCI_BAR_NONE || !(pci_get16(function, COMMAND) & need))
        return false;
    u64 value = pci_get32(function->config, at) & (pci_bar_is_io(bar) ? ~(u32)3 : ~(u32)15);
    if (bar->kind == PCI_BAR_MEMORY64)
        value |= (u64)pci_get32(function->config, at + 4) << 32;
    *address = value;
    return value != 0 && value + bar->bytes - 1 >= value;
}

void pci_bar_assign(struct pci_function *function, unsigned index, u64 address)
{
    unsigned at = BAR + index * 4;
    pci_put(function->config, at, 4, (u32)address | (pci_get32(function->config, at) & 15));
    if (function->bars[index].kind == PCI_BAR_MEMORY64)
        pci_put(function->config, at + 4, 4, (u32)(address >> 32));
}

u64 pci_bar_read(struct pci_function *function, unsigned index, u64 offset, unsigned bytes)
{
    const struct pci_bar *bar = &function->bars[index];
    if (bytes > bar->bytes || offset > bar->bytes - bytes)
        return UINT64_MAX;
    if (function->msix_vectors && index == function->msix_bar)
        return pci_msix_read(function, offset, bytes);
    return bar->read ? bar->read(function->context, offset, bytes) : UINT64_MAX;
}

void pci_bar_write(struct pci_function *function, unsigned index, u64 offset, unsigned bytes, u64 value)
{
    const struct pci_bar *bar = &function->bars[index];
    if (bytes > bar->bytes || offset > bar->bytes - bytes)
        return;
    if (function->msix_vectors && index == function->msix_bar)
        pci_msix_write(function, offset, bytes, value);
    else if (bar->write)
        bar->write(function->context, offset, bytes, value);
}

static int pci_init_bar(struct pci_function *function, unsigned index, struct error *error)
{
    const struct pci_bar *bar = &function->bars[index];
    unsigned at = BAR + index * 4;
    if (bar->kind == PCI_BAR_NONE)
        return 0;
    u64 least = pci_bar_is_io(bar) ? 4 : 16, most = pci_bar_is_io(bar) ? 256 : GIB(1);
    bool wide = bar->kind == PCI_BAR_MEMORY64;
    if (bar->bytes < least || bar->bytes > most || bar->bytes & (bar->bytes - 1))
        return error_set(error, "PCI function %s: BAR %u of %lu bytes: must be a power of two, %lu to %lu",
                         function->name, index, bar->bytes, least, most);
    if (wide && (index == PCI_BARS - 1 || function->bars[index + 1].kind != PCI_BAR_NONE))
        return error_set(error, "PCI function %s: 64-bit BAR %u needs the next one's place", function->name, index);
    pci_put(function->config, at, 4, pci_bar_is_io(bar) ? 1 : wide ? 4 : 0);
    pci_put(function->writable, at, 4, (u32) ~(bar->bytes - 1));
    if (wide)
        pci_put(function->writable, at + 4, 4, UINT32_MAX);
    return 0;
}

// --- Configuration space (6.1, 6.2) ---

int pci_capability(struct pci_function *function, u8 id, const void *body, const void *writable, unsigned bytes,
                   struct error *error)
{
    unsigned at = function->capabilities_end;
    if (at + 2 + bytes > PCI_CONFIG_BYTES)
        return error_set(error, "PCI function %s: capability 0x%x of %u bytes does not fit any more",
                         function->name, id, bytes + 2);
    function->config[at] = id;
    memcpy(function->config + at + 2, body, bytes);
    if (writable)
        memcpy(function->writable + at + 2, writable, bytes);
    function->config[function->last_capability ? function->last_capability + 1u : CAPABILITIES] = (u8)at;
    function->config[STATUS] |= STATUS_CAPS;
    function->last_capability = (u8)at;
    function->capabilities_end = (unsigned)align_up(at + 2 + bytes, 4);
    return (int)at;
}

static int pci_init_msix(struct pci_function *function, struct error *error)
{
    unsigned bar = function->msix_bar;
    if (!function->msix_vectors)
        return 0;
    if (function->msix_vectors > PCI_MSIX_MOST || bar >= PCI_BARS || function->bars[bar].kind != PCI_BAR_NONE)
        return error_set(error, "PCI function %s: %u MSI-X vectors in BAR %u: at most %u, in a BAR that is free",
                         function->name, function->msix_vectors, bar, PCI_MSIX_MOST);
    function->bars[bar] = (struct pci_bar){.kind = PCI_BAR_MEMORY32, .bytes = MSIX_BAR_BYTES};
    u8 body[MSIX_BYTES - 2] = {0}, writable[MSIX_BYTES - 2] = {0};
    pci_put(body, 0, 2, function->msix_vectors - 1);
    pci_put(body, 2, 4, bar);
    pci_put(body, 6, 4, MSIX_PBA | bar);
    pci_put(writable, 0, 2, MSIX_ENABLE | MSIX_MASK_ALL);
    int at = pci_capability(function, MSIX_ID, body, writable, sizeof body, error);
    if (at < 0)
        return -1;
    function->msix_capability = (u8)at;
    return 0;
}

int pci_init(struct pci_function *function, struct error *error)
{
    memset(function->config, 0, sizeof function->config);
    memset(function->writable, 0, sizeof function->writable);
    function->capabilities_end = HEADER_END;
    function->last_capability = 0;
    function->msix_capability = 0;
    pthread_mutex_init(&function->lock, NULL);
    pci_put(function->config, VENDOR, 2, function->vendor);
    pci_put(function->config, DEVICE, 2, function->device);
    pci_put(function->config, REVISION, 1, function->revision);
    pci_put(function->config, CLASS, 3, function->class_code);
    pci_put(function->config, SUBSYSTEM_VENDOR, 2, function->subsystem_vendor);
    pci_put(function->config, SUBSYSTEM, 2, function->subsystem);
    pci_put(function->config, PIN, 1, function->intx); // INTA#
    pci_put(function->writable, COMMAND, 2, COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER | COMMAND_INTX_OFF);
    pci_put(function->writable, CACHE_LINE, 1, 0xFF);
    pci_put(function->writable, LINE, 1, 0xFF);
    if (pci_init_msix(function, error) < 0)
        return -1;
    for (unsigned i = 0; i < PCI_BARS; i++)
        if (pci_init_bar(function, i, error) < 0)
            return -1;
    return 0;
}

void pci_destroy(struct pci_function *function) { pthread_mutex_destroy(&function->lock); }

void pci_reset(struct pci_function *function)
{
    pthread_mutex_lock(&function->lock);
    function->intx_level = false;
    pci_put(function->config, COMMAND, 2, 0);
    if (function->msix_capability)
        function->config[function->msix_capability + 3] &= (u8) ~((MSIX_ENABLE | MSIX_MASK_ALL) >> 8);
    pci_intx_update(function);
    memset(function->msix_pending, 0, sizeof function->msix_pending);
    for (unsigned i = 0; i < PCI_MSIX_MOST; i++)
        function->msix[i] = (struct pci_msix_entry){.control = ENTRY_MASKED};
    pthread_mutex_unlock(&function->lock);
    if (function->reset)
        function->reset(function->context);
}

static bool pci_config_bad(unsigned offset, unsigned bytes)
{
    return offset >= PCI_CONFIG_BYTES || bytes > 4 || offset + bytes > PCI_CONFIG_BYTES;
}

u32 pci_config_read(struct pci_function *function, unsigned offset, unsigned bytes)
{
    if (pci_config_bad(offset, bytes))
        return 0; // beyond the first 256 bytes: no extended capabilities
    if (function->config_read)
        function->config_read(function->context, offset, bytes);
    u32 value = 0;
    pthread_mutex_lock(&function->lock); // the status bits move with interrupts
    memcpy(&value, function->config + offset, bytes);
    pthread_mutex_unlock(&function->lock);
    return value;
}

void pci_config_write(struct pci_function *function, unsigned offset, unsigned bytes, u32 value)
{
    if (pci_config_bad(offset, bytes))
        return;
    u8 before[PCI_CONFIG_BYTES];
    pthread_mutex_lock(&function->lock);
    memcpy(before, function->config, sizeof before);
    for (unsigned i = 0; i < bytes; i++) {
        u8 mask = function->writable[offset + i];
        u8 *byte = &function->config[offset + i];
        *byte = (u8)((*byte & ~mask) | (value >> i * 8 & mask));
    }
    pci_intx_update(function);
    if (function->msix_capability)
        for (unsigned vector = 0; vector < function->msix_vectors; vector++)
            pci_msix_release(function, vector);
    bool moved = memcmp(before + BAR, function->config + BAR, PCI_BARS * 4) ||
                 (before[COMMAND] ^ function->config[COMMAND]) & (COMMAND_IO | COMMAND_MEMORY);
    pthread_mutex_unlock(&function->lock);
    if (moved && function->host_ops)
        function->host_ops->moved(function->host, function);
    if (function->config_written)
        function->config_written(function->context, offset, bytes);
}

// --- Saved state ---

static const struct state_field pci_msix_fields[] = {
    STATE_FIELD(struct pci_msix_entry, address),
    STATE_FIELD(struct pci_msix_entry, data),
    STATE_RANGE(struct pci_msix_entry, control, 0, ENTRY_MASKED),
};

static const struct state_field pci_fields[] = {
    STATE_ARRAY(struct pci_state, config),
    STATE_STRUCTS(struct pci_state, msix, pci_msix_fields),
    STATE_ARRAY(struct pci_state, msix_pending),
    STATE_BOOL(struct pci_state, intx_level),
    STATE_BOOL(struct pci_state, intx_driven),
};

const struct state_section pci_section = STATE_SECTION("pci", 1, pci_fields);

void pci_save(struct pci_function *function, struct pci_state *state)
{
    pthread_mutex_lock(&function->lock);
    memcpy(state->config, function->config, sizeof state->config);
    memcpy(state->msix, function->msix, sizeof state->msix);
    memcpy(state->msix_pending, function->msix_pending, sizeof state->msix_pending);
    state->intx_level = function->intx_level;
    state->intx_driven = function->intx_driven;
    pthread_mutex_unlock(&function->lock);
}

// All that the guest cannot change must be what it is here.
static int pci_restore_check(const struct pci_function *function, const struct pci_state *state, struct error *error)
{
    for (unsigned i = 0; i < PCI_CONFIG_BYTES; i++) {
        u8 fixed = (u8)~function->writable[i] & (i == STATUS ? (u8)~STATUS_INTX : 0xFF);
        if ((function->config[i] ^ state->config[i]) & fixed)
            return error_set(error, "slot %u has the PCI function \"%s\" and had another (configuration byte 0x%x is "
                                    "0x%x, was 0x%x)", function->slot, function->name, i, function->config[i],
                             state->config[i]);
    }
    return 0;
}

int pci_restore(struct pci_function *function, const struct pci_state *state, struct error *error)
{
    if (pci_restore_check(function, state, error))
        return -1;
    pthread_mutex_lock(&function->lock);
    memcpy(function->config, state->config, sizeof function->config);
    memcpy(function->msix, state->msix, sizeof function->msix);
    memcpy(function->msix_pending, state->msix_pending, sizeof function->msix_pending);
    function->intx_level = state->intx_level;
    function->intx_driven = state->intx_driven;
    pthread_mutex_unlock(&function->lock);
    if (function->host_ops)
        function->host_ops->moved(function->host, function);
    return 0;
}
