// Multiboot 1 (specification 0.6.96): hypervisors and test kernels ask for it. The header lies in the first 8 KiB,
// says either where the parts of a flat image go or leaves it to ELF, and the kernel starts in 32-bit protected mode
// with EAX holding a magic number and EBX the information structure.
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "machine/boot_plan.h"

#define MULTIBOOT_MAGIC 0x1badb002u
#define MULTIBOOT_LOADED 0x2badb002u
enum { MULTIBOOT_SEARCH_BYTES = 8192 };

enum multiboot_header_flag {
    MULTIBOOT_PAGE_ALIGN = 1 << 0,
    MULTIBOOT_WANT_MEMORY = 1 << 1,
    MULTIBOOT_WANT_VIDEO = 1 << 2, // a wish: a machine without a screen may leave it unfulfilled (3.1.2)
    MULTIBOOT_MUST = 0xffff,       // the other low bits must be understood to go on
    MULTIBOOT_ADDRESSES = 1 << 16,
};

enum multiboot_info_flag {
    MULTIBOOT_MEMORY = 1 << 0,
    MULTIBOOT_COMMAND_LINE = 1 << 2,
    MULTIBOOT_MODULES = 1 << 3,
    MULTIBOOT_MAP = 1 << 6,
    MULTIBOOT_LOADER_NAME = 1 << 9,
};

struct multiboot_info {
    u32 flags;
    u32 low_kib, high_kib;
    u32 boot_device;
    u32 command_line;
    u32 module_count, modules;
    u32 symbols[4];
    u32 map_bytes, map;
    u32 drives_bytes, drives;
    u32 config_table;
    u32 loader_name;
    u32 apm_table;
    u32 video[6];
};
static_assert(sizeof(struct multiboot_info) == 96, "layout");

struct multiboot_module {
    u32 start, end, command_line, reserved;
};

struct __attribute__((packed)) multiboot_region {
    u32 bytes; // of what follows
    u64 base, length;
    u32 type;
};
static_assert(sizeof(struct multiboot_region) == 24, "layout");

// Where the header lies, or -1.
static s64 multiboot_find(const struct boot_file *file)
{
    for (u64 at = 0; at + 12 <= MULTIBOOT_SEARCH_BYTES; at += 4) {
        bool ok = true;
        u32 magic = boot_read32(file, at, &ok);
        u32 flags = boot_read32(file, at + 4, &ok);
        u32 checksum = boot_read32(file, at + 8, &ok);
        if (!ok)
            return -1;
        if (magic == MULTIBOOT_MAGIC && magic + flags + checksum == 0)
            return (s64)at;
    }
    return -1;
}

// The header gives addresses itself ("a.out kludge", 3.1.3).
static int multiboot_load_flat(struct boot_plan *plan, const struct boot_config *config, u64 header,
                               struct error *error)
{
    const struct boot_file *file = &config->kernel;
    bool ok = true;
    u32 header_address = boot_read32(file, header + 12, &ok);
    u32 load = boot_read32(file, header + 16, &ok);
    u32 load_end = boot_read32(file, header + 20, &ok);
    u32 bss_end = boot_read32(file, header + 24, &ok);
    plan->rip = boot_read32(file, header + 28, &ok);
    if (!ok)
        return error_set(error, "%s: ends within its Multiboot header: the file is truncated", file->name);
    if (load > header_address || header_address - load > header)
        return error_set(error, "%s: its Multiboot header places the image before the file's start: it is damaged",
                         file->name);
    u64 offset = header - (header_address - load);
    u64 bytes = load_end ? (u64)load_end - load : file->bytes - offset;
    if ((load_end && load_end < load) || !boot_file_holds(file, offset, bytes))
        return error_set(error, "%s: its Multiboot header asks for more than the file holds: it is truncated",
                         file->name);
    u64 memory_bytes = bss_end > load + bytes ? (u64)bss_end - load : bytes;
    struct boot_segment segment = {.gpa = load, .bytes = memory_bytes, .data = file->data + offset,
                                   .data_bytes = bytes};
    return boot_plan_add(plan, config, "the image", &segment, error);
}

static int multiboot_load(struct boot_plan *plan, const struct boot_config *config, u64 header, u32 flags,
                          struct error *error)
{
    struct boot_elf elf;
    if (flags & MULTIBOOT_ADDRESSES)
        return multiboot_load_flat(plan, config, header, error);
    if (boot_elf_open(&elf, &config->kernel, error) || boot_elf_load(&elf, plan, config, error))
        return -1;
    plan->rip = boot_elf_physical(&elf, &config->kernel, elf.entry) & ~0U;
    return 0;
}

static int multiboot_add_modules(struct boot_plan *plan, const struct boot_config *config, struct multiboot_info *info,
                                 struct error *error)
{
    u64 gpa[BOOT_MODULES], text, list;
    if (!config->module_count)
        return 0;
    struct multiboot_module *modules = boot_plan_scratch(plan, sizeof *modules * config->module_count);
    if (!modules)
        return error_set(error, "%s: no room left to build its module list", config->kernel.name);
    if (boot_plan_add_modules(plan, config, gpa, error))
        return -1;
    for (unsigned i = 0; i < config->module_count; i++) {
        if (boot_plan_add_text(plan, config, "a module's command line", config->modules[i].text, &text, error))
            return -1;
        modules[i] = (struct multiboot_module){.start = (u32)gpa[i], .command_line = (u32)text,
                                               .end = (u32)(gpa[i] + config->modules[i].file.bytes)};
    }
    if (boot_plan_add_table(plan, config, "the module list", modules, sizeof *modules * config->module_count, 16,
                            &list, error))
        return -1;
    info->flags |= MULTIBOOT_MODULES;
    info->module_count = config->module_count;
    info->modules = (u32)list;
    return 0;
}

static int multiboot_add_map(struct boot_plan *plan, const struct boot_config *config, struct multiboot_info *info,
                             struct error *error)
{
    u64 gpa;
    u64 bytes = sizeof(struct multiboot_region) * config->region_count;
    struct multiboot_region *map = boot_plan_scratch(plan, bytes);
    if (!map)
        return error_set(error, "%s: no room left to build its memory map", config->kernel.name);
    for (unsigned i = 0; i < config->region_count; i++) {
        const struct boot_region *region = &config->regions[i];
        map[i] = (struct multiboot_region){.bytes = sizeof map[i] - sizeof map[i].bytes, .base = region->base,
                                           .length = region->bytes, .type = region->type};
        // What lies right above 1 MiB up to the first hole, and right above 0 up to 640 KiB (3.3).
        if (region->type == BOOT_RAM && region->base == 0)
            info->low_kib = (u32)((region->bytes < KIB(640) ? region->bytes : KIB(640)) >> 10);
        if (region->type == BOOT_RAM && region->base <= MIB(1) && region->base + region->bytes > MIB(1))
            info->high_kib = (u32)((region->base + region->bytes - MIB(1)) >> 10);
    }
    if (boot_plan_add_table(plan, config, "the memory map", map, bytes, 16, &gpa, error))
        return -1;
    info->flags |= MULTIBOOT_MEMORY | MULTIBOOT_MAP;
    info->map = (u32)gpa;
    info->map_bytes = (u32)bytes;
    return 0;
}

// By convention the line begins with the image's name; kernels skip the first word.
static int multiboot_add_texts(struct boot_plan *plan, const struct boot_config *config, struct multiboot_info *info,
                               struct error *error)
{
    u64 line_gpa, name_gpa;
    u64 bytes = strlen(config->kernel.name) + 1 + strlen(config->append) + 1;
    char *line = boot_plan_scratch(plan, bytes);
    if (!line)
        return error_set(error, "%s: --append is too long (%zu bytes)", config->kernel.name, strlen(config->append));
    snprintf(line, bytes, "%s %s", config->kernel.name, config->append);
    if (boot_plan_add_table(plan, config, "the command line", line, bytes, 16, &line_gpa, error) ||
        boot_plan_add_text(plan, config, "the loader's name", "nidus", &name_gpa, error))
        return -1;
    info->flags |= MULTIBOOT_COMMAND_LINE | MULTIBOOT_LOADER_NAME;
    info->command_line = (u32)line_gpa;
    info->loader_name = (u32)name_gpa;
    return 0;
}

int boot_multiboot_plan(struct boot_plan *plan, const struct boot_config *config, struct error *error)
{
    s64 header = multiboot_find(&config->kernel);
    if (header < 0)
        return 0;
    bool ok = true;
    u32 flags = boot_read32(&config->kernel, (u64)header + 4, &ok);
    u32 unknown = flags & MULTIBOOT_MUST & ~(MULTIBOOT_PAGE_ALIGN | MULTIBOOT_WANT_MEMORY | MULTIBOOT_WANT_VIDEO);
    if (unknown)
        return error_set(error, "%s: its Multiboot header requires features nidus does not know (flags %#x)",
                         config->kernel.name, unknown);
    plan->protocol = "multiboot";
    plan->legacy = true;
    plan->mode = BOOT_PROTECTED;
    plan->rax = MULTIBOOT_LOADED;
    struct multiboot_info *info = boot_plan_scratch(plan, sizeof *info);
    if (!info)
        return error_set(error, "%s: no room left to build its information structure", config->kernel.name);
    if (multiboot_load(plan, config, (u64)header, flags, error) || boot_plan_add_gdt(plan, config, error) ||
        multiboot_add_texts(plan, config, info, error) || multiboot_add_map(plan, config, info, error) ||
        multiboot_add_modules(plan, config, info, error) ||
        boot_plan_add_table(plan, config, "the information structure", info, sizeof *info, 16, &plan->rbx, error))
        return -1;
    return 1;
}
