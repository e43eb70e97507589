// What the boot protocols share while they build a plan: reading the image without ever leaving it, finding free
// guest memory, and adding segments that are proven to lie in RAM and apart from each other. Only boot*.c include it.
#pragma once

#include "machine/boot.h"

enum { BOOT_GDT_CODE = 0x10, BOOT_GDT_DATA = 0x18, BOOT_GDT_TASK = 0x20, BOOT_GDT_BYTES = 0x28 };

// Little-endian reads at an offset; `*ok` turns false, and stays so, when one would leave the file.
u16 boot_read16(const struct boot_file *file, u64 offset, bool *ok);
u32 boot_read32(const struct boot_file *file, u64 offset, bool *ok);
u64 boot_read64(const struct boot_file *file, u64 offset, bool *ok);

// [offset, offset+bytes) lies in the file.
bool boot_file_holds(const struct boot_file *file, u64 offset, u64 bytes);

// A zeroed piece of the plan's scratch, 16-byte aligned, or NULL when there is none left.
void *boot_plan_scratch(struct boot_plan *plan, u64 bytes);

// Whether [gpa, gpa+bytes) is RAM and no segment of the plan touches it.
bool boot_plan_is_free(const struct boot_plan *plan, const struct boot_config *config, u64 gpa, u64 bytes);

// The lowest (or highest) free place of `bytes` bytes in [from, to), aligned; 0 when there is none (page 0 is never
// given).
u64 boot_plan_lowest(const struct boot_plan *plan, const struct boot_config *config, u64 bytes, u64 align, u64 from,
                     u64 to);
u64 boot_plan_highest(const struct boot_plan *plan, const struct boot_config *config, u64 bytes, u64 align, u64 from,
                      u64 to);

// Adds a segment; `what` names it in errors ("segment 2", "the initrd").
int boot_plan_add(struct boot_plan *plan, const struct boot_config *config, const char *what,
                  const struct boot_segment *segment, struct error *error);

// Puts `bytes` of the plan's scratch at the lowest free place below 1 MiB, or else anywhere below 4 GiB.
int boot_plan_add_table(struct boot_plan *plan, const struct boot_config *config, const char *what, const void *table,
                        u64 bytes, u64 align, u64 *gpa, struct error *error);

// The same for a string with its terminating zero.
int boot_plan_add_text(struct boot_plan *plan, const struct boot_config *config, const char *what, const char *text,
                       u64 *gpa, struct error *error);

// Modules as separate blobs, page aligned; their addresses go to `gpa[]`.
int boot_plan_add_modules(struct boot_plan *plan, const struct boot_config *config, u64 gpa[BOOT_MODULES],
                          struct error *error);

// The GDT every protocol starts on.
int boot_plan_add_gdt(struct boot_plan *plan, const struct boot_config *config, struct error *error);

// The largest address below 4 GiB that RAM reaches.
u64 boot_config_low_end(const struct boot_config *config);

// The whole of RAM, for error texts.
u64 boot_config_ram(const struct boot_config *config);

// boot_elf.c
struct boot_elf {
    bool wide; // ELF64
    u64 entry;
};

bool boot_elf_is(const struct boot_file *file);
int boot_elf_open(struct boot_elf *elf, const struct boot_file *file, struct error *error);
int boot_elf_load(const struct boot_elf *elf, struct boot_plan *plan, const struct boot_config *config,
                  struct error *error);
// Physical address for an entry point that the header gives as a virtual one (both conventions are in use).
u64 boot_elf_physical(const struct boot_elf *elf, const struct boot_file *file, u64 address);
// Looks for the note `type` of owner `owner`; 1 and its descriptor as a number of at most 8 bytes, or 0.
int boot_elf_note(const struct boot_elf *elf, const struct boot_file *file, const char *owner, u32 type, u64 *value);

// One function per protocol: 1 when the image is of that kind and the plan is made, 0 when it is not, -1 on errors.
int boot_multiboot_plan(struct boot_plan *plan, const struct boot_config *config, struct error *error);
int boot_linux_plan(struct boot_plan *plan, const struct boot_config *config, struct error *error);
int boot_pvh_plan(struct boot_plan *plan, const struct boot_config *config, struct error *error);
