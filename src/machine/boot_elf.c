// The little of ELF that kernels use: program headers and notes, both word sizes. Both tables are bounded by a
// constant, whatever the header says, because every count in the file is the file's word only.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "machine/boot_plan.h"

enum { ELF_PROGRAM_HEADERS = 64, ELF_NOTES = 256 };
enum { ELF_TYPE_LOAD = 1, ELF_TYPE_NOTE = 4 };
enum { ELF_MACHINE_386 = 3, ELF_MACHINE_X86_64 = 62 };

struct elf_program {
    u32 type;
    u64 offset, virtual_address, physical_address, file_bytes, memory_bytes, align;
};

bool boot_elf_is(const struct boot_file *file)
{
    return boot_file_holds(file, 0, 52) && !memcmp(file->data, "\177ELF", 4);
}

static unsigned elf_program_count(const struct boot_elf *elf, const struct boot_file *file)
{
    bool ok = true;
    unsigned count = boot_read16(file, elf->wide ? 56 : 44, &ok);
    return ok && count < ELF_PROGRAM_HEADERS ? count : ELF_PROGRAM_HEADERS;
}

static bool elf_program_read(const struct boot_elf *elf, const struct boot_file *file, unsigned index,
                             struct elf_program *program)
{
    bool ok = true;
    u64 table = elf->wide ? boot_read64(file, 32, &ok) : boot_read32(file, 28, &ok);
    u64 stride = boot_read16(file, elf->wide ? 54 : 42, &ok);
    u64 at;
    if (!ok || stride < (elf->wide ? 56 : 32) || __builtin_add_overflow(table, stride * index, &at))
        return false;
    program->type = boot_read32(file, at, &ok);
    if (elf->wide) {
        program->offset = boot_read64(file, at + 8, &ok);
        program->virtual_address = boot_read64(file, at + 16, &ok);
        program->physical_address = boot_read64(file, at + 24, &ok);
        program->file_bytes = boot_read64(file, at + 32, &ok);
        program->memory_bytes = boot_read64(file, at + 40, &ok);
        program->align = boot_read64(file, at + 48, &ok);
    } else {
        program->offset = boot_read32(file, at + 4, &ok);
        program->virtual_address = boot_read32(file, at + 8, &ok);
        program->physical_address = boot_read32(file, at + 12, &ok);
        program->file_bytes = boot_read32(file, at + 16, &ok);
        program->memory_bytes = boot_read32(file, at + 20, &ok);
        program->align = boot_read32(file, at + 28, &ok);
    }
    return ok;
}

int boot_elf_open(struct boot_elf *elf, const struct boot_file *file, struct error *error)
{
    bool ok = true;
    if (!boot_elf_is(file))
        return error_set(error, "%s: is not an ELF file", file->name);
    unsigned machine = boot_read16(file, 18, &ok);
    unsigned class = file->data[4];
    bool for_x86 = machine == ELF_MACHINE_386 || machine == ELF_MACHINE_X86_64;
    if ((class != 1 && class != 2) || file->data[5] != 1 || !for_x86)
        return error_set(error, "%s: is an ELF file for another machine (number %u), not for x86", file->name, machine);
    elf->wide = class == 2;
    elf->entry = elf->wide ? boot_read64(file, 24, &ok) : boot_read32(file, 24, &ok);
    struct elf_program program;
    for (unsigned i = 0; i < elf_program_count(elf, file); i++)
        if (!elf_program_read(elf, file, i, &program))
            return error_set(error, "%s: ends within its ELF program headers: the file is truncated", file->name);
    return ok ? 0 : error_set(error, "%s: ends within its ELF header: the file is truncated", file->name);
}

int boot_elf_load(const struct boot_elf *elf, struct boot_plan *plan, const struct boot_config *config,
                  struct error *error)
{
    const struct boot_file *file = &config->kernel;
    unsigned loaded = 0;
    for (unsigned i = 0; i < elf_program_count(elf, file); i++) {
        struct elf_program program;
        char what[32];
        if (!elf_program_read(elf, file, i, &program) || program.type != ELF_TYPE_LOAD || !program.memory_bytes)
            continue;
        snprintf(what, sizeof what, "ELF segment %u", i);
        if (!boot_file_holds(file, program.offset, program.file_bytes))
            return error_set(error, "%s: ends within %s: the file is truncated", file->name, what);
        if (program.file_bytes > program.memory_bytes)
            return error_set(error, "%s: %s is larger in the file than in memory: the file is damaged", file->name,
                             what);
        struct boot_segment segment = {.gpa = program.physical_address, .bytes = program.memory_bytes,
                                       .data = file->data + program.offset, .data_bytes = program.file_bytes};
        if (boot_plan_add(plan, config, what, &segment, error))
            return -1;
        loaded++;
    }
    return loaded ? 0 : error_set(error, "%s: is an ELF file with nothing to load", file->name);
}

u64 boot_elf_physical(const struct boot_elf *elf, const struct boot_file *file, u64 address)
{
    struct elf_program program;
    for (unsigned i = 0; i < elf_program_count(elf, file); i++)
        if (elf_program_read(elf, file, i, &program) && program.type == ELF_TYPE_LOAD &&
            address >= program.virtual_address && address - program.virtual_address < program.memory_bytes)
            return address - program.virtual_address + program.physical_address;
    return address;
}

// Notes are { owner bytes, descriptor bytes, type, owner, descriptor }, each part padded to 4 bytes (to 8 in segments
// that say so: gABI).
static int elf_notes_find(const struct boot_file *file, const struct elf_program *notes, const char *owner, u32 type,
                          u64 *value)
{
    u64 align = notes->align == 8 ? 8 : 4;
    u64 owner_bytes = strlen(owner) + 1;
    u64 at = 0;
    for (unsigned i = 0; i < ELF_NOTES && notes->file_bytes >= 12 && at <= notes->file_bytes - 12; i++) {
        bool ok = true;
        u64 name_bytes = boot_read32(file, notes->offset + at, &ok);
        u64 value_bytes = boot_read32(file, notes->offset + at + 4, &ok);
        u32 this_type = boot_read32(file, notes->offset + at + 8, &ok);
        u64 value_at = at + align_up(12 + name_bytes, align);
        if (!ok || value_at > notes->file_bytes || value_bytes > notes->file_bytes - value_at)
            return 0;
        if (this_type == type && name_bytes == owner_bytes && value_bytes >= 1 && value_bytes <= 8 &&
            !memcmp(file->data + notes->offset + at + 12, owner, owner_bytes)) {
            *value = 0;
            memcpy(value, file->data + notes->offset + value_at, value_bytes);
            return 1;
        }
        at = value_at + align_up(value_bytes, align);
    }
    return 0;
}

int boot_elf_note(const struct boot_elf *elf, const struct boot_file *file, const char *owner, u32 type, u64 *value)
{
    struct elf_program program;
    for (unsigned i = 0; i < elf_program_count(elf, file); i++)
        if (elf_program_read(elf, file, i, &program) && program.type == ELF_TYPE_NOTE &&
            boot_file_holds(file, program.offset, program.file_bytes) &&
            elf_notes_find(file, &program, owner, type, value))
            return 1;
    return 0;
}
