// How a guest's first instruction comes to be without firmware: an image is turned into a *plan*, a list of what lies
// where in guest memory and the state vCPU 0 starts in. Planning is pure: it reads the image and a memory map and
// touches nothing, so every parser of foreign data can be tested and fuzzed without a machine. Applying the plan is
// one loop in the caller.
//
// Protocols, tried in this order: Multiboot 1 (with modules), Linux bzImage through its 64-bit entry, ELF with a PVH
// note. An image that offers two is taken by the first, as every other loader does.
#pragma once

#include <linux/kvm.h>

#include "base/error.h"
#include "base/types.h"

enum {
    BOOT_REGIONS = 32,            // of the memory map
    BOOT_MODULES = 16,            // --initrd takes a list
    BOOT_SEGMENTS = 64,           // of the plan: ELF segments, modules, tables
    BOOT_SCRATCH_BYTES = 96 << 10 // tables and command lines built by us
};

// A memory range as the guest is told of it; the types are those of the BIOS' E820 call.
enum boot_region_type { BOOT_RAM = 1, BOOT_RESERVED = 2, BOOT_ACPI = 3, BOOT_ACPI_NVS = 4 };

struct boot_region {
    u64 base;
    u64 bytes;
    u32 type; // enum boot_region_type
};

// A file in memory. `name` is what errors call it.
struct boot_file {
    const char *name;
    const u8 *data;
    u64 bytes;
};

struct boot_module {
    struct boot_file file;
    const char *text; // what the guest is given as the module's command line
};

struct boot_config {
    struct boot_file kernel;
    struct boot_module modules[BOOT_MODULES]; // Linux sees them as one initrd, end to end
    unsigned module_count;
    const char *append; // the kernel's command line; never NULL
    struct boot_region regions[BOOT_REGIONS];
    unsigned region_count;
    u64 rsdp; // guest address of the ACPI root pointer, 0: none
};

// What goes to one place. Memory is fresh, so that the bytes past `data_bytes` are zero already; they are counted
// only so that nothing else is put there.
struct boot_segment {
    u64 gpa;
    u64 bytes;
    const u8 *data; // into the files or the plan's scratch
    u64 data_bytes;
};

enum boot_mode { BOOT_PROTECTED, BOOT_LONG };

struct boot_plan {
    const char *protocol; // "multiboot", "linux", "pvh"
    bool legacy;          // the image may count on what a PC's BIOS left behind (firmware.h)
    struct boot_segment segments[BOOT_SEGMENTS];
    unsigned count;
    enum boot_mode mode;
    u64 rip;
    u64 rax, rbx, rsi;
    u64 page_table; // for BOOT_LONG
    u64 gdt;
    u64 scratch_used;
    _Alignas(16) u8 scratch[BOOT_SCRATCH_BYTES];
};

// Fills `plan`, which points into `config`'s files from then on. 0, or -1 with the reason and the way out in `error`.
int boot_plan_make(struct boot_plan *plan, const struct boot_config *config, struct error *error);

// The registers vCPU 0 starts with. `sregs` holds what the engine's reset left and keeps what a boot protocol does not
// speak of (APIC base above all).
void boot_plan_registers(const struct boot_plan *plan, struct kvm_regs *regs, struct kvm_sregs *sregs);
