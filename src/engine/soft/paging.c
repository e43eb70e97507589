// See paging.h. A walk first reads the entries from the top down, then asks for rights, and only then sets flags in
// what it has read: a walk that faults leaves the paging structures as they were. Flags are set by compare-exchange,
// because another processor may have changed the entry since it was read; then the walk starts over with what is
// there now.
#include "engine/soft/paging.h"

#include "engine/soft/bytes.h"
#include "engine/soft/cpuid.h"
#include "engine/soft/stage2.h"
#include "engine/soft/vm.h"

#define ENTRY_P (1ull << 0)
#define ENTRY_RW (1ull << 1)
#define ENTRY_US (1ull << 2)
#define ENTRY_A (1ull << 5)
#define ENTRY_D (1ull << 6)
#define ENTRY_PS (1ull << 7)
#define ENTRY_G (1ull << 8)
#define ENTRY_XD (1ull << 63)
#define ENTRY_ADDRESS 0x000ffffffffff000ull

enum { WALK_TRIES = 16 };

enum walk_end { WALK_MAPPED, WALK_ABSENT, WALK_RESERVED };

// An entry that was read: where it lies, guest- and VM-physical, and what it was.
struct walk_entry {
    u64 gpa, physical, value;
};

struct walk {
    struct cpu *cpu;
    u64 linear;
    u16 mode;        // PAGING_*
    bool look;       // no effects, no faults
    u8 count;
    u8 entry_bytes;
    u8 page_bits;    // of the page found
    bool rw, us, xd; // entries combined
    struct walk_entry entry[4];
};

// Reads the entry. With accessed and dirty flags in EPT, this counts as a write there (SDM 3C 29.3.5). Where there is
// no RAM, the bus answers all ones.
static bool walk_read(struct walk *walk, u64 gpa)
{
    struct cpu *cpu = walk->cpu;
    u64 physical = gpa;
    if (walk->look) {
        if (!stage2_look(cpu, gpa, &physical))
            return false;
    } else {
        struct stage2_access access = {
            .gpa = gpa,
            .linear = walk->linear,
            .linear_valid = true,
            .walk = true,
            .wanted = 1 << ACCESS_READ | (stage2_flags(cpu) ? 1 << ACCESS_WRITE : 0),
        };
        struct stage2 result;
        stage2_translate(cpu, &access, &result);
        physical = result.gpa;
    }
    const void *host = ram_pointer(cpu->vm, physical, walk->entry_bytes);
    walk->entry[walk->count++] = (struct walk_entry){
        .gpa = gpa,
        .physical = physical,
        .value = host ? bytes_load(host, walk->entry_bytes) : walk->entry_bytes == 8 ? ~0ull : 0xffffffff,
    };
    return true;
}

// Bits of an 8-byte entry that must be zero (SDM 3A tables 4-8 to 4-20).
static u64 walk_reserved(const struct walk *walk, unsigned level, u64 value)
{
    const struct cpu *cpu = walk->cpu;
    u64 high = walk->mode & PAGING_LMA ? 0x000fffffffffffffull : 0x7fffffffffffffffull;
    u64 reserved = high & ~cpu->physical_mask;
    if (!(walk->mode & PAGING_NXE))
        reserved |= ENTRY_XD;
    if (level == 4)
        reserved |= ENTRY_PS;
    if (level == 3 && value & ENTRY_PS)
        reserved |= 0x3fffe000 | (cpu_has(cpu, 0x80000001, 0, CPUID_EDX, 26) ? 0 : ENTRY_PS);
    if (level == 2 && value & ENTRY_PS)
        reserved |= 0x1fe000;
    return reserved;
}

// 32-bit paging: 4 MiB pages have bits 39:32 of their address in bits 20:13 (SDM 3A table 4-4).
static u64 walk_pse36(u64 value) { return (value & 0xffc00000) | (value >> 13 & 0xff) << 32; }

static bool walk_reserved32(const struct walk *walk, unsigned level, u64 value)
{
    if (level != 2 || !(value & ENTRY_PS) || !(walk->mode & PAGING_PSE))
        return false;
    return value & 1 << 21 || walk_pse36(value) & ~walk->cpu->physical_mask;
}

static enum walk_end walk_tables(struct walk *walk, u64 table, unsigned level)
{
    const bool wide = walk->mode & PAGING_PAE;
    const unsigned bits = wide ? 9 : 10;
    walk->entry_bytes = wide ? 8 : 4;
    for (;; level--) {
        unsigned shift = PAGE_BITS + (level - 1) * bits;
        u64 index = walk->linear >> shift & ((1u << bits) - 1);
        if (!walk_read(walk, table + index * walk->entry_bytes))
            return WALK_ABSENT;
        u64 value = walk->entry[walk->count - 1].value;
        if (!(value & ENTRY_P))
            return WALK_ABSENT;
        if (wide ? (value & walk_reserved(walk, level, value)) != 0 : walk_reserved32(walk, level, value))
            return WALK_RESERVED;
        walk->rw &= (value & ENTRY_RW) != 0;
        walk->us &= (value & ENTRY_US) != 0;
        walk->xd |= wide && value & ENTRY_XD;
        bool large = level > 1 && value & ENTRY_PS && (wide || walk->mode & PAGING_PSE);
        if (level == 1 || large) {
            walk->page_bits = (u8)shift;
            return WALK_MAPPED;
        }
        table = value & ENTRY_ADDRESS;
    }
}

static enum walk_end walk_start(struct walk *walk)
{
    struct cpu *cpu = walk->cpu;
    walk->count = 0;
    walk->rw = walk->us = true;
    walk->xd = false;
    if (walk->mode & PAGING_LMA)
        return walk_tables(walk, cpu->cr3 & ENTRY_ADDRESS, 4);
    if (!(walk->mode & PAGING_PAE))
        return walk_tables(walk, cpu->cr3 & 0xfffff000, 2);
    u64 pdpte = cpu->pdpte[walk->linear >> 30 & 3]; // checked when they were loaded
    return pdpte & ENTRY_P ? walk_tables(walk, pdpte & ENTRY_ADDRESS, 2) : WALK_ABSENT;
}

static u64 walk_page(const struct walk *walk)
{
    u64 value = walk->entry[walk->count - 1].value, offset = (1ull << walk->page_bits) - 1;
    u64 base = walk->page_bits == 22 ? walk_pse36(value) : value & ENTRY_ADDRESS & ~offset;
    return base | (walk->linear & offset);
}

// Access rights (SDM 3A 4.6): a bit per enum access.
static unsigned walk_rights(const struct walk *walk, enum tlb_role role)
{
    bool read, write, execute = !walk->xd;
    if (tlb_role_user(role)) {
        read = walk->us;
        write = walk->us && walk->rw;
        execute = execute && walk->us;
    } else {
        read = !(walk->us && role == TLB_SUPERVISOR && walk->mode & PAGING_SMAP);
        write = read && (walk->rw || !(walk->mode & PAGING_WP));
        execute = execute && !(walk->us && walk->mode & PAGING_SMEP);
    }
    return (unsigned)read << ACCESS_READ | (unsigned)write << ACCESS_WRITE | (unsigned)execute << ACCESS_EXECUTE;
}

bool paging_mark(struct cpu *cpu, u64 physical, unsigned bytes, u64 *value, u64 flags)
{
    struct ram_slot *slot = ram_slot_find(cpu->vm, physical);
    if (!slot || slot->flags & KVM_MEM_READONLY)
        return true;
    u64 offset = physical - slot->gpa;
    void *host = slot->host + offset;
    if (UNLIKELY(atomic_load(&slot->pages[offset >> PAGE_BITS].blocks)))
        cpu->code_changed |= code_written(cpu->vm, cpu, physical, bytes);
    bool done;
    if (bytes == 8) {
        u64 old = *value;
        done = __atomic_compare_exchange_n((u64 *)host, &old, old | flags, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    } else {
        u32 old = (u32)*value;
        u32 new = old | (u32)flags;
        done = __atomic_compare_exchange_n((u32 *)host, &old, new, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    }
    if (slot->dirty)
        ram_mark_dirty(cpu->vm, physical);
    if (done)
        *value |= flags;
    return done;
}

// Sets flags in one entry; false: it has changed meanwhile. In the second stage this is a write of its own.
static bool walk_mark(struct walk *walk, struct walk_entry *entry, u64 flags)
{
    if (walk->cpu->eptp) {
        struct stage2_access access = {
            .gpa = entry->gpa,
            .linear = walk->linear,
            .linear_valid = true,
            .walk = true,
            .wanted = 1 << ACCESS_READ | 1 << ACCESS_WRITE,
        };
        struct stage2 result;
        stage2_walk(walk->cpu, &access, &result);
        entry->physical = result.gpa;
    }
    return paging_mark(walk->cpu, entry->physical, walk->entry_bytes, &entry->value, flags);
}

static bool walk_mark_all(struct walk *walk, enum access access)
{
    for (unsigned i = 0; i < walk->count; i++) {
        struct walk_entry *entry = &walk->entry[i];
        u64 flags = ENTRY_A | (i + 1 == walk->count && access == ACCESS_WRITE ? ENTRY_D : 0);
        if ((entry->value & flags) != flags && !walk_mark(walk, entry, flags))
            return false;
    }
    return true;
}

static void walk_result(const struct walk *walk, unsigned rights, struct paging *result)
{
    u64 leaf = walk->entry[walk->count - 1].value;
    result->allowed = leaf & ENTRY_D ? rights : rights & ~(1u << ACCESS_WRITE);
    result->note = walk->page_bits == 30 ? TLB_NOTE_HUGE : walk->page_bits > PAGE_BITS ? TLB_NOTE_LARGE : 0;
    if (leaf & ENTRY_G && walk->cpu->cr4 & CR4_PGE)
        result->note |= TLB_NOTE_GLOBAL;
}

static u32 walk_error(const struct walk *walk, enum walk_end end, enum access access, enum tlb_role role)
{
    u32 error = end == WALK_ABSENT ? 0 : PAGING_ERROR_PRESENT;
    error |= end == WALK_RESERVED ? PAGING_ERROR_RESERVED : 0;
    error |= access == ACCESS_WRITE ? PAGING_ERROR_WRITE : 0;
    error |= tlb_role_user(role) ? PAGING_ERROR_USER : 0;
    if (access == ACCESS_EXECUTE && walk->mode & (PAGING_NXE | PAGING_SMEP))
        error |= PAGING_ERROR_FETCH;
    return error;
}

bool paging_walk(struct cpu *cpu, u64 linear, enum access access, enum tlb_role role, struct paging *result, u32 *error)
{
    struct walk walk = {.cpu = cpu, .linear = linear, .mode = paging_mode(cpu)};
    u64 gpa = linear;
    *result = (struct paging){.allowed = 7};
    if (walk.mode) {
        for (unsigned tries = 0;; tries++) {
            enum walk_end end = walk_start(&walk);
            unsigned rights = end == WALK_MAPPED ? walk_rights(&walk, role) : 0;
            if (!(rights >> access & 1)) {
                *error = walk_error(&walk, end, access, role);
                return false;
            }
            if (LIKELY(walk_mark_all(&walk, access)) || tries == WALK_TRIES) {
                walk_result(&walk, rights, result);
                break;
            }
        }
        gpa = walk_page(&walk);
    }
    struct stage2_access last = {.gpa = gpa, .linear = linear, .linear_valid = true, .wanted = 1u << access};
    struct stage2 second;
    stage2_translate(cpu, &last, &second);
    result->gpa = second.gpa;
    result->allowed &= second.allowed;
    return true;
}

bool paging_look(struct cpu *cpu, u64 linear, u64 *gpa)
{
    struct walk walk = {.cpu = cpu, .linear = linear, .mode = paging_mode(cpu), .look = true};
    u64 page = linear;
    if (walk.mode) {
        if (walk_start(&walk) != WALK_MAPPED)
            return false;
        page = walk_page(&walk);
    }
    return stage2_look(cpu, page, gpa);
}
