// Linux on x86 by its 64-bit entry (Documentation/arch/x86/boot.rst): the kernel proper is put where it prefers to be,
// and entered 0x200 bytes in with paging on, everything below 4 GiB mapped one to one, RSI pointing to the "zero page".
// The real-mode part of the file is read for its header only; nothing of it runs.
#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "machine/boot_plan.h"

// Offsets in the file, and in the zero page.
enum linux_header {
    LINUX_SETUP_SECTORS = 0x1f1,
    LINUX_PARAGRAPHS = 0x1f4, // of the part that is loaded
    LINUX_BOOT_FLAG = 0x1fe,
    LINUX_JUMP = 0x200, // its second byte gives the header's end
    LINUX_SIGNATURE = 0x202,
    LINUX_VERSION = 0x206,
    LINUX_LOADER = 0x210,
    LINUX_LOAD_FLAGS = 0x211,
    LINUX_CODE32_START = 0x214,
    LINUX_INITRD = 0x218,
    LINUX_INITRD_BYTES = 0x21c,
    LINUX_COMMAND_LINE = 0x228,
    LINUX_INITRD_MAX = 0x22c,
    LINUX_ALIGNMENT = 0x230,
    LINUX_RELOCATABLE = 0x234,
    LINUX_EXTENDED_FLAGS = 0x236,
    LINUX_COMMAND_LINE_MAX = 0x238,
    LINUX_PREFERRED = 0x258,
    LINUX_INIT_BYTES = 0x260,
    LINUX_HEADER_END = 0x290, // of everything a zero page has room for
};

// Offsets in the zero page only.
enum linux_params {
    LINUX_RSDP = 0x70,
    LINUX_INITRD_HIGH = 0xc0,
    LINUX_INITRD_BYTES_HIGH = 0xc4,
    LINUX_COMMAND_LINE_HIGH = 0xc8,
    LINUX_REGION_COUNT = 0x1e8,
    LINUX_REGIONS = 0x2d0,
    LINUX_PARAMS_BYTES = 4096,
};

enum { LINUX_LOADED_HIGH = 1 << 0 };                            // load flags
enum { LINUX_HAS_64 = 1 << 0, LINUX_INITRD_ABOVE_4G = 1 << 1 }; // extended flags
enum { LINUX_ENTRY_64 = 0x200, LINUX_LOADER_UNDEFINED = 0xff };

struct __attribute__((packed)) linux_region {
    u64 base, bytes;
    u32 type;
};
static_assert(sizeof(struct linux_region) == 20, "layout");
static_assert(LINUX_REGIONS + BOOT_REGIONS * sizeof(struct linux_region) <= LINUX_PARAMS_BYTES, "layout");

struct linux_image {
    u64 offset, bytes; // of the loaded part, in the file
    u64 preferred, init_bytes, alignment;
    u64 initrd_max;
    u32 command_line_max;
    bool relocatable;
    bool initrd_above_4g;
};

static int linux_image_open(struct linux_image *image, const struct boot_file *file, struct error *error)
{
    bool ok = true;
    unsigned version = boot_read16(file, LINUX_VERSION, &ok);
    unsigned sectors = boot_read16(file, LINUX_SETUP_SECTORS, &ok) & 0xff;
    unsigned flags = boot_read16(file, LINUX_EXTENDED_FLAGS, &ok);
    *image = (struct linux_image){
        .offset = ((sectors ? sectors : 4) + 1) * 512,
        .bytes = boot_read32(file, LINUX_PARAGRAPHS, &ok) * 16ULL,
        .preferred = boot_read64(file, LINUX_PREFERRED, &ok),
        .init_bytes = boot_read32(file, LINUX_INIT_BYTES, &ok),
        .alignment = boot_read32(file, LINUX_ALIGNMENT, &ok),
        .initrd_max = boot_read32(file, LINUX_INITRD_MAX, &ok),
        .command_line_max = boot_read32(file, LINUX_COMMAND_LINE_MAX, &ok),
        .relocatable = boot_read16(file, LINUX_RELOCATABLE, &ok) & 0xff,
        .initrd_above_4g = flags & LINUX_INITRD_ABOVE_4G,
    };
    if (!ok)
        return error_set(error, "%s: ends within its Linux header: the file is truncated", file->name);
    if (version < 0x20c || !(flags & LINUX_HAS_64))
        return error_set(error, "%s: is a Linux kernel without a 64-bit entry (boot protocol %u.%02u): nidus starts "
                                "64-bit kernels from 3.8 on", file->name, version >> 8, version & 0xff);
    // The last paragraph may be short in the file.
    if (!boot_file_holds(file, image->offset, image->bytes) &&
        !(image->bytes >= 16 && boot_file_holds(file, image->offset, image->bytes - 15)))
        return error_set(error, "%s: its header announces %" PRIu64 " bytes and the file has %" PRIu64
                                ": it is truncated; copy it again", file->name, image->offset + image->bytes,
                         file->bytes);
    if (image->bytes > file->bytes - image->offset)
        image->bytes = file->bytes - image->offset;
    if (image->bytes <= LINUX_ENTRY_64)
        return error_set(error, "%s: holds no kernel behind its header: the file is damaged", file->name);
    if (image->init_bytes < image->bytes)
        image->init_bytes = image->bytes;
    if (image->alignment < PAGE_BYTES || (image->alignment & (image->alignment - 1)))
        image->alignment = MIB(2);
    return 0;
}

// Preferred place first: loaded there the kernel need not move itself. Below it, it would move itself there (boot.rst,
// "pref_address"), so a lower place is of no use.
static int linux_place_kernel(struct boot_plan *plan, const struct boot_config *config,
                              const struct linux_image *image, struct error *error)
{
    const struct boot_file *file = &config->kernel;
    u64 place = image->preferred;
    u64 bytes = align_up(image->init_bytes, PAGE_BYTES);
    if (place < PAGE_BYTES || place + bytes > GIB(4) || !boot_plan_is_free(plan, config, place, bytes))
        place = image->relocatable
                    ? boot_plan_lowest(plan, config, bytes, image->alignment, place, boot_config_low_end(config))
                    : 0;
    if (!place)
        return error_set(error,
                         "%s: needs %" PRIu64 " MiB from %" PRIu64 " MiB on to unpack itself, and the VM has %" PRIu64
                         " MiB: give it more with --memory", file->name, (bytes + MIB(1) - 1) >> 20,
                         image->preferred >> 20, boot_config_ram(config) >> 20);
    struct boot_segment segment = {.gpa = place, .bytes = bytes, .data = file->data + image->offset,
                                   .data_bytes = image->bytes};
    plan->rip = place + LINUX_ENTRY_64;
    return boot_plan_add(plan, config, "the kernel", &segment, error);
}

// All modules end to end, each on a 4-byte boundary as the initramfs format wants it.
static int linux_place_initrd(struct boot_plan *plan, const struct boot_config *config,
                              const struct linux_image *image, u8 *params, struct error *error)
{
    u64 bytes = 0;
    for (unsigned i = 0; i < config->module_count; i++)
        bytes = align_up(bytes, 4) + config->modules[i].file.bytes;
    if (!bytes)
        return 0;
    u64 limit = image->initrd_max + 1 < boot_config_low_end(config) ? image->initrd_max + 1
                                                                    : boot_config_low_end(config);
    u64 room = align_up(bytes, PAGE_BYTES);
    u64 place = boot_plan_highest(plan, config, room, PAGE_BYTES, MIB(1), limit);
    if (!place && image->initrd_above_4g)
        place = boot_plan_highest(plan, config, room, PAGE_BYTES, MIB(1), ~0ULL);
    if (!place)
        return error_set(error, "%s: %" PRIu64 " MiB do not fit into the VM's memory of %" PRIu64
                                " MiB beside the kernel: give it more with --memory", config->modules[0].file.name,
                         (bytes + MIB(1) - 1) >> 20, boot_config_ram(config) >> 20);
    u64 at = place;
    for (unsigned i = 0; i < config->module_count; i++) {
        const struct boot_file *file = &config->modules[i].file;
        struct boot_segment segment = {.gpa = align_up(at, 4), .bytes = file->bytes, .data = file->data,
                                       .data_bytes = file->bytes};
        if (boot_plan_add(plan, config, file->name, &segment, error))
            return -1;
        at = segment.gpa + segment.bytes;
    }
    u32 halves[4] = {(u32)place, (u32)bytes, (u32)(place >> 32), (u32)(bytes >> 32)};
    memcpy(params + LINUX_INITRD, halves, 8);
    memcpy(params + LINUX_INITRD_HIGH, &halves[2], 4);
    memcpy(params + LINUX_INITRD_BYTES_HIGH, &halves[3], 4);
    return 0;
}

static int linux_place_command_line(struct boot_plan *plan, const struct boot_config *config,
                                    const struct linux_image *image, u8 *params, struct error *error)
{
    u64 gpa;
    size_t bytes = strlen(config->append);
    if (bytes > image->command_line_max)
        return error_set(error, "--append: %zu bytes are more than %s takes (%u)", bytes, config->kernel.name,
                         image->command_line_max);
    if (boot_plan_add_text(plan, config, "the command line", config->append, &gpa, error))
        return -1;
    memcpy(params + LINUX_COMMAND_LINE, &(u32){(u32)gpa}, 4);
    memcpy(params + LINUX_COMMAND_LINE_HIGH, &(u32){(u32)(gpa >> 32)}, 4);
    return 0;
}

// One to one for the first 4 GiB in 2 MiB pages: one page of PML4, one of PDPT, four of directories.
static int linux_place_page_tables(struct boot_plan *plan, const struct boot_config *config, struct error *error)
{
    enum { DIRECTORIES = 4, PRESENT_WRITABLE = 3, LARGE = 0x80 };
    u64 bytes = (2 + DIRECTORIES) * PAGE_BYTES;
    u64 *tables = boot_plan_scratch(plan, bytes);
    if (!tables)
        return error_set(error, "%s: no room left to build its page tables", config->kernel.name);
    if (boot_plan_add_table(plan, config, "page tables", tables, bytes, PAGE_BYTES, &plan->page_table, error))
        return -1;
    tables[0] = (plan->page_table + PAGE_BYTES) | PRESENT_WRITABLE;
    for (u64 i = 0; i < DIRECTORIES; i++)
        tables[512 + i] = (plan->page_table + (2 + i) * PAGE_BYTES) | PRESENT_WRITABLE;
    for (u64 i = 0; i < DIRECTORIES * 512; i++)
        tables[1024 + i] = i << 21 | PRESENT_WRITABLE | LARGE;
    return 0;
}

static void linux_params_fill(u8 *params, const struct boot_config *config)
{
    const u8 *data = config->kernel.data;
    // The header ends where its own first jump leads; the file was checked to reach beyond it.
    size_t end = LINUX_SIGNATURE + data[LINUX_JUMP + 1];
    if (end > LINUX_HEADER_END)
        end = LINUX_HEADER_END;
    if (end > config->kernel.bytes)
        end = config->kernel.bytes;
    memcpy(params + LINUX_SETUP_SECTORS, data + LINUX_SETUP_SECTORS, end - LINUX_SETUP_SECTORS);
    params[LINUX_LOADER] = LINUX_LOADER_UNDEFINED;
    params[LINUX_LOAD_FLAGS] |= LINUX_LOADED_HIGH;
    memcpy(params + LINUX_RSDP, &config->rsdp, 8);
    params[LINUX_REGION_COUNT] = (u8)config->region_count;
    for (unsigned i = 0; i < config->region_count; i++) {
        struct linux_region region = {.base = config->regions[i].base, .bytes = config->regions[i].bytes,
                                      .type = config->regions[i].type};
        memcpy(params + LINUX_REGIONS + i * sizeof region, &region, sizeof region);
    }
}

int boot_linux_plan(struct boot_plan *plan, const struct boot_config *config, struct error *error)
{
    bool ok = true;
    struct linux_image image;
    if (boot_read16(&config->kernel, LINUX_BOOT_FLAG, &ok) != 0xaa55 ||
        boot_read32(&config->kernel, LINUX_SIGNATURE, &ok) != 0x53726448 || !ok) // "HdrS"
        return 0;
    if (linux_image_open(&image, &config->kernel, error))
        return -1;
    plan->protocol = "linux";
    plan->mode = BOOT_LONG;
    u8 *params = boot_plan_scratch(plan, LINUX_PARAMS_BYTES);
    if (!params)
        return error_set(error, "%s: no room left to build its zero page", config->kernel.name);
    linux_params_fill(params, config);
    if (linux_place_kernel(plan, config, &image, error) || boot_plan_add_gdt(plan, config, error) ||
        linux_place_command_line(plan, config, &image, params, error) ||
        linux_place_page_tables(plan, config, error) || linux_place_initrd(plan, config, &image, params, error) ||
        boot_plan_add_table(plan, config, "the zero page", params, LINUX_PARAMS_BYTES, PAGE_BYTES, &plan->rsi, error))
        return -1;
    u32 code32 = (u32)(plan->rip - LINUX_ENTRY_64);
    memcpy(params + LINUX_CODE32_START, &code32, 4);
    return 1;
}
