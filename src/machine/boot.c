// See boot.h. The part of planning that is the same for every protocol. Guest memory is given out by asking the plan
// itself what is taken, so that no protocol needs a fixed layout that some image would collide with.
#include "machine/boot.h"

#include <inttypes.h>
#include <string.h>

#include "machine/boot_plan.h"

bool boot_file_holds(const struct boot_file *file, u64 offset, u64 bytes)
{
    return offset <= file->bytes && bytes <= file->bytes - offset;
}

static u64 boot_read(const struct boot_file *file, u64 offset, unsigned bytes, bool *ok)
{
    u64 value = 0;
    if (!boot_file_holds(file, offset, bytes)) {
        *ok = false;
        return 0;
    }
    memcpy(&value, file->data + offset, bytes);
    return value;
}

u16 boot_read16(const struct boot_file *file, u64 offset, bool *ok) { return (u16)boot_read(file, offset, 2, ok); }

u32 boot_read32(const struct boot_file *file, u64 offset, bool *ok) { return (u32)boot_read(file, offset, 4, ok); }

u64 boot_read64(const struct boot_file *file, u64 offset, bool *ok) { return boot_read(file, offset, 8, ok); }

void *boot_plan_scratch(struct boot_plan *plan, u64 bytes)
{
    if (bytes > BOOT_SCRATCH_BYTES)
        return NULL;
    bytes = align_up(bytes, 16);
    if (bytes > BOOT_SCRATCH_BYTES - plan->scratch_used)
        return NULL;
    u8 *piece = plan->scratch + plan->scratch_used;
    plan->scratch_used += bytes;
    memset(piece, 0, bytes);
    return piece;
}

static bool boot_config_is_ram(const struct boot_config *config, u64 gpa, u64 bytes)
{
    bool inside = false;
    for (unsigned i = 0; i < config->region_count; i++) {
        const struct boot_region *region = &config->regions[i];
        bool touches = gpa < region->base + region->bytes && region->base < gpa + bytes;
        if (region->type != BOOT_RAM && touches)
            return false;
        if (region->type == BOOT_RAM && gpa >= region->base && gpa - region->base <= region->bytes &&
            bytes <= region->bytes - (gpa - region->base))
            inside = true;
    }
    return inside;
}

static const struct boot_segment *boot_plan_taken(const struct boot_plan *plan, u64 gpa, u64 bytes)
{
    for (unsigned i = 0; i < plan->count; i++) {
        const struct boot_segment *segment = &plan->segments[i];
        if (gpa < segment->gpa + segment->bytes && segment->gpa < gpa + bytes)
            return segment;
    }
    return NULL;
}

bool boot_plan_is_free(const struct boot_plan *plan, const struct boot_config *config, u64 gpa, u64 bytes)
{
    return gpa + bytes >= gpa && boot_config_is_ram(config, gpa, bytes) && !boot_plan_taken(plan, gpa, bytes);
}

// A free place begins right behind something: the start of a region or the end of a segment. Trying each of those is
// enough to find the lowest one.
u64 boot_plan_lowest(const struct boot_plan *plan, const struct boot_config *config, u64 bytes, u64 align, u64 from,
                     u64 to)
{
    u64 best = 0;
    for (unsigned i = 0; i < 1 + config->region_count + plan->count; i++) {
        u64 candidate = from;
        if (i >= 1 + config->region_count) {
            const struct boot_segment *segment = &plan->segments[i - 1 - config->region_count];
            candidate = segment->gpa + segment->bytes;
        } else if (i >= 1) {
            candidate = config->regions[i - 1].base;
        }
        if (candidate < from)
            candidate = from;
        if (candidate < PAGE_BYTES)
            candidate = PAGE_BYTES;
        candidate = align_up(candidate, align);
        if (bytes > to || candidate > to - bytes || !boot_plan_is_free(plan, config, candidate, bytes))
            continue;
        if (!best || candidate < best)
            best = candidate;
    }
    return best;
}

// And it ends right before something: the end of a region or the start of a segment.
u64 boot_plan_highest(const struct boot_plan *plan, const struct boot_config *config, u64 bytes, u64 align, u64 from,
                      u64 to)
{
    u64 best = 0;
    for (unsigned i = 0; i < 1 + config->region_count + plan->count; i++) {
        u64 end = to;
        if (i >= 1 + config->region_count)
            end = plan->segments[i - 1 - config->region_count].gpa;
        else if (i >= 1)
            end = config->regions[i - 1].base + config->regions[i - 1].bytes;
        if (end > to)
            end = to;
        if (end < bytes)
            continue;
        u64 candidate = align_down(end - bytes, align);
        if (candidate < from || candidate < PAGE_BYTES || !boot_plan_is_free(plan, config, candidate, bytes))
            continue;
        if (candidate > best)
            best = candidate;
    }
    return best;
}

int boot_plan_add(struct boot_plan *plan, const struct boot_config *config, const char *what,
                  const struct boot_segment *segment, struct error *error)
{
    const char *name = config->kernel.name;
    if (segment->bytes == 0)
        return 0;
    if (plan->count == BOOT_SEGMENTS)
        return error_set(error, "%s: has more than %d parts to load: not an image nidus can start", name,
                         BOOT_SEGMENTS);
    u64 last = segment->gpa + segment->bytes - 1;
    if (last < segment->gpa || !boot_config_is_ram(config, segment->gpa, segment->bytes))
        return error_set(error,
                         "%s: %s needs guest memory %#" PRIx64 "-%#" PRIx64
                         ", which is not all RAM with %" PRIu64 " MiB: give the VM more with --memory",
                         name, what, segment->gpa, last, boot_config_ram(config) >> 20);
    if (boot_plan_taken(plan, segment->gpa, segment->bytes))
        return error_set(error, "%s: %s at %#" PRIx64 "-%#" PRIx64 " lies over another part of the image", name, what,
                         segment->gpa, last);
    plan->segments[plan->count++] = *segment;
    return 0;
}

int boot_plan_add_table(struct boot_plan *plan, const struct boot_config *config, const char *what, const void *table,
                        u64 bytes, u64 align, u64 *gpa, struct error *error)
{
    // Not in the first 64 KiB, where images that start other processors put their real-mode code.
    *gpa = boot_plan_lowest(plan, config, bytes, align, KIB(64), MIB(1));
    if (!*gpa)
        *gpa = boot_plan_lowest(plan, config, bytes, align, 0, GIB(4));
    if (!*gpa)
        return error_set(error, "%s: no room in guest memory for %s: give the VM more with --memory",
                         config->kernel.name, what);
    struct boot_segment segment = {.gpa = *gpa, .bytes = bytes, .data = table, .data_bytes = bytes};
    return boot_plan_add(plan, config, what, &segment, error);
}

int boot_plan_add_text(struct boot_plan *plan, const struct boot_config *config, const char *what, const char *text,
                       u64 *gpa, struct error *error)
{
    u64 bytes = strlen(text) + 1;
    char *copy = boot_plan_scratch(plan, bytes);
    if (!copy)
        return error_set(error, "%s: %s is too long (%" PRIu64 " bytes)", config->kernel.name, what, bytes - 1);
    memcpy(copy, text, bytes);
    return boot_plan_add_table(plan, config, what, copy, bytes, 16, gpa, error);
}

int boot_plan_add_modules(struct boot_plan *plan, const struct boot_config *config, u64 gpa[BOOT_MODULES],
                          struct error *error)
{
    for (unsigned i = 0; i < config->module_count; i++) {
        const struct boot_file *file = &config->modules[i].file;
        u64 bytes = align_up(file->bytes + !file->bytes, PAGE_BYTES);
        gpa[i] = boot_plan_highest(plan, config, bytes, PAGE_BYTES, MIB(1), GIB(4));
        if (!gpa[i])
            return error_set(error,
                             "%s: %" PRIu64 " KiB do not fit into the VM's memory of %" PRIu64
                             " MiB beside the kernel: give it more with --memory",
                             file->name, file->bytes >> 10, boot_config_ram(config) >> 20);
        struct boot_segment segment = {.gpa = gpa[i], .bytes = bytes, .data = file->data, .data_bytes = file->bytes};
        if (boot_plan_add(plan, config, file->name, &segment, error))
            return -1;
    }
    return 0;
}

int boot_plan_add_gdt(struct boot_plan *plan, const struct boot_config *config, struct error *error)
{
    u64 *gdt = boot_plan_scratch(plan, BOOT_GDT_BYTES);
    if (!gdt)
        return error_set(error, "%s: no room left to build its descriptor table", config->kernel.name);
    // Flat, accessed, 4 GiB; the code segment's L bit follows the mode. The task segment has no memory behind it.
    gdt[BOOT_GDT_CODE / 8] = plan->mode == BOOT_LONG ? 0x00af9b000000ffff : 0x00cf9b000000ffff;
    gdt[BOOT_GDT_DATA / 8] = 0x00cf93000000ffff;
    gdt[BOOT_GDT_TASK / 8] = 0x00008b0000000067;
    return boot_plan_add_table(plan, config, "the descriptor table", gdt, BOOT_GDT_BYTES, 16, &plan->gdt, error);
}

u64 boot_config_low_end(const struct boot_config *config)
{
    u64 end = 0;
    for (unsigned i = 0; i < config->region_count; i++) {
        const struct boot_region *region = &config->regions[i];
        if (region->type == BOOT_RAM && region->base < GIB(4) && region->base + region->bytes > end)
            end = region->base + region->bytes;
    }
    return end < GIB(4) ? end : GIB(4);
}

u64 boot_config_ram(const struct boot_config *config)
{
    u64 bytes = 0;
    for (unsigned i = 0; i < config->region_count; i++)
        if (config->regions[i].type == BOOT_RAM)
            bytes += config->regions[i].bytes;
    return bytes + MIB(1) - 1; // the holes below 1 MiB are not worth a user's confusion
}

int boot_plan_make(struct boot_plan *plan, const struct boot_config *config, struct error *error)
{
    static int (*const protocols[])(struct boot_plan *, const struct boot_config *, struct error *) = {
        boot_multiboot_plan,
        boot_linux_plan,
        boot_pvh_plan,
    };
    if (config->kernel.bytes == 0)
        return error_set(error, "%s: is empty: name a kernel with --kernel", config->kernel.name);
    for (unsigned i = 0; i < ARRAY_SIZE(protocols); i++) {
        memset(plan, 0, offsetof(struct boot_plan, scratch));
        int made = protocols[i](plan, config, error);
        if (made)
            return made < 0 ? -1 : 0;
    }
    if (boot_elf_is(&config->kernel))
        return error_set(error, "%s: is an ELF file without a PVH note and without a Multiboot header: build it with "
                                "one of them (Linux: CONFIG_PVH=y)", config->kernel.name);
    return error_set(error, "%s: is not a kernel nidus can start: it is neither a Linux bzImage, nor an ELF file with "
                            "a PVH note, nor a Multiboot image", config->kernel.name);
}

static struct kvm_segment boot_segment_code(enum boot_mode mode)
{
    return (struct kvm_segment){.limit = ~0U, .selector = BOOT_GDT_CODE, .type = 11, .present = 1, .s = 1, .g = 1,
                                .db = mode == BOOT_PROTECTED, .l = mode == BOOT_LONG};
}

void boot_plan_registers(const struct boot_plan *plan, struct kvm_regs *regs, struct kvm_sregs *sregs)
{
    const struct kvm_segment data = {
        .limit = ~0U, .selector = BOOT_GDT_DATA, .type = 3, .present = 1, .s = 1, .g = 1, .db = 1};
    *regs = (struct kvm_regs){.rip = plan->rip, .rax = plan->rax, .rbx = plan->rbx, .rsi = plan->rsi, .rflags = 2};
    sregs->cs = boot_segment_code(plan->mode);
    sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
    sregs->tr = (struct kvm_segment){.limit = 0x67, .selector = BOOT_GDT_TASK, .type = 11, .present = 1};
    sregs->ldt = (struct kvm_segment){.type = 2, .unusable = 1};
    sregs->gdt = (struct kvm_dtable){.base = plan->gdt, .limit = BOOT_GDT_BYTES - 1};
    sregs->idt = (struct kvm_dtable){.limit = 0};
    sregs->cr0 = 0x11; // PE, ET
    sregs->cr3 = sregs->cr4 = sregs->efer = 0;
    if (plan->mode == BOOT_LONG) {
        sregs->cr0 |= 0x80000000; // PG
        sregs->cr3 = plan->page_table;
        sregs->cr4 = 0x20;   // PAE
        sregs->efer = 0x500; // LME, LMA
    }
}
