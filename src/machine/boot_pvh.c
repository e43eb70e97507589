// The PVH entry (Xen's, adopted by Linux and the BSDs): an ELF note names a 32-bit entry point that is called with
// paging off and EBX pointing to a start-of-day structure. The layout is Xen's public/arch-x86/hvm/start_info.h.
#include <assert.h>

#include "machine/boot_plan.h"

enum { PVH_NOTE_ENTRY = 18 }; // XEN_ELFNOTE_PHYS32_ENTRY
#define PVH_MAGIC 0x336ec578u

struct pvh_start {
    u32 magic;
    u32 version; // 1: with memory map
    u32 flags;
    u32 module_count;
    u64 modules;
    u64 command_line;
    u64 rsdp;
    u64 regions;
    u32 region_count;
    u32 reserved;
};
static_assert(sizeof(struct pvh_start) == 56, "layout");

struct pvh_module {
    u64 address;
    u64 bytes;
    u64 command_line;
    u64 reserved;
};
static_assert(sizeof(struct pvh_module) == 32, "layout");

struct pvh_region {
    u64 base;
    u64 bytes;
    u32 type;
    u32 reserved;
};
static_assert(sizeof(struct pvh_region) == 24, "layout");

static int pvh_add_modules(struct boot_plan *plan, const struct boot_config *config, struct pvh_start *start,
                           struct error *error)
{
    u64 gpa[BOOT_MODULES];
    if (!config->module_count)
        return 0;
    struct pvh_module *modules = boot_plan_scratch(plan, sizeof *modules * config->module_count);
    if (!modules)
        return error_set(error, "%s: no room left to build its module list", config->kernel.name);
    if (boot_plan_add_modules(plan, config, gpa, error))
        return -1;
    for (unsigned i = 0; i < config->module_count; i++) {
        modules[i] = (struct pvh_module){.address = gpa[i], .bytes = config->modules[i].file.bytes};
        if (boot_plan_add_text(plan, config, "a module's command line", config->modules[i].text,
                               &modules[i].command_line, error))
            return -1;
    }
    start->module_count = config->module_count;
    return boot_plan_add_table(plan, config, "the module list", modules, sizeof *modules * config->module_count, 16,
                               &start->modules, error);
}

static int pvh_add_regions(struct boot_plan *plan, const struct boot_config *config, struct pvh_start *start,
                           struct error *error)
{
    struct pvh_region *regions = boot_plan_scratch(plan, sizeof *regions * config->region_count);
    if (!regions)
        return error_set(error, "%s: no room left to build its memory map", config->kernel.name);
    for (unsigned i = 0; i < config->region_count; i++)
        regions[i] = (struct pvh_region){.base = config->regions[i].base, .bytes = config->regions[i].bytes,
                                         .type = config->regions[i].type};
    start->region_count = config->region_count;
    return boot_plan_add_table(plan, config, "the memory map", regions, sizeof *regions * config->region_count, 16,
                               &start->regions, error);
}

int boot_pvh_plan(struct boot_plan *plan, const struct boot_config *config, struct error *error)
{
    struct boot_elf elf;
    u64 entry;
    if (!boot_elf_is(&config->kernel))
        return 0;
    if (boot_elf_open(&elf, &config->kernel, error))
        return -1;
    if (!boot_elf_note(&elf, &config->kernel, "Xen", PVH_NOTE_ENTRY, &entry))
        return 0;
    plan->protocol = "pvh";
    plan->mode = BOOT_PROTECTED;
    plan->rip = entry & ~0U;
    struct pvh_start *start = boot_plan_scratch(plan, sizeof *start);
    if (!start)
        return error_set(error, "%s: no room left to build its start structure", config->kernel.name);
    *start = (struct pvh_start){.magic = PVH_MAGIC, .version = 1, .rsdp = config->rsdp};
    if (boot_elf_load(&elf, plan, config, error) || boot_plan_add_gdt(plan, config, error) ||
        boot_plan_add_text(plan, config, "the command line", config->append, &start->command_line, error) ||
        pvh_add_regions(plan, config, start, error) || pvh_add_modules(plan, config, start, error) ||
        boot_plan_add_table(plan, config, "the start structure", start, sizeof *start, 16, &plan->rbx, error))
        return -1;
    return 1;
}
