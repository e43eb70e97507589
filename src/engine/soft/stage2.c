// See stage2.h. Entries are read from the VM's own memory, so this walk has no stage below it. Misconfigurations are
// found from the top down, each before anything below is read; rights are compared when all entries are known, so
// that a violation can report what the entries allow together.
#include "engine/soft/stage2.h"

#include "engine/soft/bytes.h"
#include "engine/soft/intercept.h"
#include "engine/soft/paging.h"
#include "engine/soft/vm.h"

#define EPT_READ (1ull << 0)
#define EPT_WRITE (1ull << 1)
#define EPT_RIGHTS 7ull
#define EPT_LARGE (1ull << 7)
#define EPT_ACCESSED (1ull << 8)
#define EPT_DIRTY (1ull << 9)
#define EPT_ADDRESS 0x000ffffffffff000ull

static_assert(1 << ACCESS_READ == 1 && 1 << ACCESS_WRITE == 2 && 1 << ACCESS_EXECUTE == 4,
              "the order of EPT's bits 2:0");

enum { EPT_LEVELS = 4, EPT_BITS = 9, EPT_TRIES = 16 };

enum ept_end { EPT_MAPPED, EPT_ABSENT, EPT_MISCONFIGURED };

struct ept_walk {
    u64 gpa, page; // translated: base of the page
    u64 physical[EPT_LEVELS], value[EPT_LEVELS];
    unsigned count, page_bits;
    unsigned rights;
};

// SDM 3C 29.3.3.1.
static bool ept_misconfigured(const struct cpu *cpu, u64 value, unsigned level, bool leaf)
{
    if ((value & (EPT_READ | EPT_WRITE)) == EPT_WRITE)
        return true;
    u64 reserved = EPT_ADDRESS & ~cpu->physical_mask;
    if (!leaf)
        reserved |= level == EPT_LEVELS ? 0xf8 : 0x78;
    else if (level > 1)
        reserved |= (1ull << (PAGE_BITS + (level - 1) * EPT_BITS)) - PAGE_BYTES;
    if (value & reserved)
        return true;
    unsigned type = value >> 3 & 7;
    return leaf && (type == 2 || type == 3 || type == 7);
}

static enum ept_end ept_walk(struct cpu *cpu, struct ept_walk *walk)
{
    u64 table = cpu->eptp & EPT_ADDRESS;
    walk->count = 0;
    walk->rights = EPT_RIGHTS;
    if (walk->gpa >> (PAGE_BITS + EPT_LEVELS * EPT_BITS))
        return EPT_ABSENT;
    for (unsigned level = EPT_LEVELS;; level--) {
        unsigned shift = PAGE_BITS + (level - 1) * EPT_BITS;
        u64 physical = table + (walk->gpa >> shift & ((1 << EPT_BITS) - 1)) * sizeof(u64);
        const void *host = ram_pointer(cpu->vm, physical, sizeof(u64));
        u64 value = host ? bytes_load(host, sizeof(u64)) : ~0ull;
        walk->physical[walk->count] = physical;
        walk->value[walk->count++] = value;
        if (!(value & EPT_RIGHTS))
            return EPT_ABSENT;
        bool leaf = level == 1 || (level <= 3 && value & EPT_LARGE);
        if (ept_misconfigured(cpu, value, level, leaf))
            return EPT_MISCONFIGURED;
        walk->rights &= (unsigned)(value & EPT_RIGHTS);
        if (leaf) {
            walk->page_bits = shift;
            walk->page = value & EPT_ADDRESS & -(1ull << shift);
            return EPT_MAPPED;
        }
        table = value & EPT_ADDRESS;
    }
}

// Accessed and dirty flags (SDM 3C 29.3.5). False: an entry changed under our hands.
static bool ept_mark(struct cpu *cpu, struct ept_walk *walk, unsigned wanted)
{
    for (unsigned i = 0; i < walk->count; i++) {
        u64 flags = EPT_ACCESSED | (i + 1 == walk->count && wanted & 1 << ACCESS_WRITE ? EPT_DIRTY : 0);
        u64 *value = &walk->value[i];
        if ((*value & flags) != flags && !paging_mark(cpu, walk->physical[i], sizeof(u64), value, flags))
            return false;
    }
    return true;
}

enum stage2_end stage2_resolve(struct cpu *cpu, const struct stage2_access *access, struct stage2 *result)
{
    struct ept_walk walk = {.gpa = access->gpa};
    *result = (struct stage2){.gpa = access->gpa};
    for (unsigned tries = 0;; tries++) {
        enum ept_end end = ept_walk(cpu, &walk);
        if (end == EPT_MISCONFIGURED)
            return STAGE2_MISCONFIGURATION;
        result->allowed = end == EPT_MAPPED ? walk.rights : 0;
        if (access->wanted & ~result->allowed)
            return STAGE2_VIOLATION;
        if (!stage2_flags(cpu) || LIKELY(ept_mark(cpu, &walk, access->wanted)) || tries == EPT_TRIES)
            break;
    }
    result->gpa = walk.page | (access->gpa & ((1ull << walk.page_bits) - 1));
    if (stage2_flags(cpu) && !(walk.value[walk.count - 1] & EPT_DIRTY))
        result->allowed &= ~(1u << ACCESS_WRITE);
    return STAGE2_MAPPED;
}

void stage2_walk(struct cpu *cpu, const struct stage2_access *access, struct stage2 *result)
{
    enum stage2_end end = stage2_resolve(cpu, access, result);
    if (end == STAGE2_MISCONFIGURATION)
        intercept_ept_misconfiguration(cpu, access->gpa);
    if (end == STAGE2_VIOLATION)
        intercept_ept_violation(cpu, access->gpa, access->linear, access->linear_valid, access->walk, access->wanted,
                                result->allowed);
}

bool stage2_look(struct cpu *cpu, u64 gpa, u64 *result)
{
    *result = gpa;
    if (!cpu->eptp)
        return true;
    struct ept_walk walk = {.gpa = gpa};
    if (ept_walk(cpu, &walk) != EPT_MAPPED)
        return false;
    *result = walk.page | (gpa & ((1ull << walk.page_bits) - 1));
    return true;
}
