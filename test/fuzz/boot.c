// Any bytes as a kernel image: the plan is refused, or every part of it lies in RAM, apart from the others, and its
// data inside the image. The first byte chooses memory size and modules.
#include <stdlib.h>
#include <string.h>

#include "machine/boot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_segment_check(const struct boot_plan *plan, const struct boot_config *config, unsigned index)
{
    const struct boot_segment *a = &plan->segments[index];
    bool inside = false;
    for (unsigned r = 0; r < config->region_count; r++) {
        const struct boot_region *region = &config->regions[r];
        inside |= region->type == BOOT_RAM && a->gpa >= region->base &&
                  a->gpa + a->bytes <= region->base + region->bytes && a->gpa + a->bytes > a->gpa;
    }
    if (!inside || a->data_bytes > a->bytes)
        abort();
    for (unsigned i = 0; i < index; i++) {
        const struct boot_segment *b = &plan->segments[i];
        if (a->gpa < b->gpa + b->bytes && b->gpa < a->gpa + a->bytes)
            abort();
    }
    // A sanitizer sees a read past the end.
    volatile u8 sum = 0;
    for (u64 i = 0; i < a->data_bytes; i++)
        sum = (u8)(sum + a->data[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct boot_plan plan;
    static const u8 module[777];
    struct error error;
    if (size < 1)
        return 0;
    u64 memory = (u64)(1 + (data[0] & 15)) * MIB(4);
    struct boot_config config = {
        .kernel = {.name = "fuzz", .data = data + 1, .bytes = size - 1},
        .append = "console=ttyS0",
        .regions = {{0, 0x9fc00, BOOT_RAM}, {0x9fc00, 0x400, BOOT_RESERVED}, {0xe0000, 0x20000, BOOT_ACPI},
                    {MIB(1), memory, BOOT_RAM}, {GIB(4), data[0] & 0x80 ? GIB(1) : 0, BOOT_RAM}},
        .region_count = 5,
        .rsdp = 0xe0000,
        .module_count = data[0] >> 4 & 3,
    };
    for (unsigned i = 0; i < config.module_count; i++)
        config.modules[i] = (struct boot_module){
            .file = {.name = "m", .data = module, .bytes = sizeof module}, .text = "m"};
    if (boot_plan_make(&plan, &config, &error))
        return 0;
    for (unsigned i = 0; i < plan.count; i++)
        fuzz_segment_check(&plan, &config, i);
    struct kvm_regs regs;
    struct kvm_sregs sregs = {0};
    boot_plan_registers(&plan, &regs, &sregs);
    return 0;
}
