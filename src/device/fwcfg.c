// See fwcfg.h. The interface is documented in QEMU's docs/specs/fw_cfg; there is no DMA form, and the feature word says
// so.
#include "device/fwcfg.h"

#include <string.h>

enum { ITEM_SIGNATURE = 0x00, ITEM_FEATURES = 0x01, ITEM_RAM = 0x03, ITEM_CPUS = 0x05, ITEM_MAX_CPUS = 0x0F,
       ITEM_DIRECTORY = 0x19 };
enum { FEATURE_TRADITIONAL = 1 };

static unsigned fwcfg_item(const struct fwcfg *fwcfg, u8 item[8])
{
    const u32 features = FEATURE_TRADITIONAL, no_files = 0;
    switch (fwcfg->selected) {
    case ITEM_SIGNATURE:
        memcpy(item, "QEMU", 4); // the device's own signature, whoever built the machine
        return 4;
    case ITEM_FEATURES:
        memcpy(item, &features, 4);
        return 4;
    case ITEM_RAM:
        memcpy(item, &fwcfg->ram_bytes, 8);
        return 8;
    case ITEM_CPUS:
    case ITEM_MAX_CPUS:
        memcpy(item, &fwcfg->cpus, 2);
        return 2;
    case ITEM_DIRECTORY:
        memcpy(item, &no_files, 4);
        return 4;
    default:
        return 0;
    }
}

static u64 fwcfg_read(void *chip, u64 offset, unsigned bytes)
{
    struct fwcfg *fwcfg = chip;
    (void)bytes;
    if (offset == 0)
        return 0xFF;
    u8 item[8];
    unsigned length = fwcfg_item(fwcfg, item);
    return fwcfg->position < length ? item[fwcfg->position++] : 0;
}

static void fwcfg_select(void *chip, u64 offset, unsigned bytes, u64 value)
{
    struct fwcfg *fwcfg = chip;
    if (offset != 0)
        return; // items are read-only
    fwcfg->selected = bytes == 1 ? (u8)value : (u16)value;
    fwcfg->position = 0;
}

static u64 fwcfg_read_wide(void *chip, u64 offset, unsigned bytes)
{
    u64 value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value |= fwcfg_read(chip, offset + i, 1) << i * 8;
    return value;
}

static void fwcfg_reset(void *chip)
{
    struct fwcfg *fwcfg = chip;
    fwcfg->selected = 0;
    fwcfg->position = 0;
}

static const struct state_field fwcfg_fields[] = {
    STATE_FIELD(struct fwcfg, selected),
    STATE_FIELD(struct fwcfg, position),
};

static const struct state_section fwcfg_state = STATE_SECTION("fwcfg", 1, fwcfg_fields);

const struct device_model fwcfg_model = {
    .name = "fwcfg",
    .ranges = {{DEVICE_PORTS, FWCFG_PORT, 2, 2, fwcfg_read_wide, fwcfg_select}},
    .reset = fwcfg_reset,
    .state = &fwcfg_state,
};
