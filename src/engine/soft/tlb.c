// The soft TLB's contexts (tlb.h): which one is current, filling, growing, flushing.
//
// Flushes are what decides whether a guest's context switches are cheap, so their cost follows what was filled since
// the last one, never the size of the arrays: every filled index is logged once. What a flush has to search for is
// narrowed by small Bloom filters first.
#include "engine/soft/tlb.h"

#include <errno.h>
#include <sys/mman.h>

#include "engine/soft/bytes.h"
#include "engine/soft/paging.h"
#include "engine/soft/vm.h"
#include "engine/soft/window.h"

enum {
    TLB_CONTEXTS = 48,        // per vCPU: Linux uses 6 PCIDs in 3 roles, a nested guest as many
    TLB_HASH_BITS = 12,
    TLB_CYCLES_A_MISS = 20000, // growth pays when evictions come more often than this: about a twentieth of the time
    TLB_KEEP_BITS = 12,       // a recycled context gives the memory beyond this many entries back
    TLB_WRITER_BITS = 14, TLB_WRITER_SLOTS = 7,
};

// Where write tags of physical pages are, by a hash of the page, so that taking them back (tlb_protect_page: once for
// every page that becomes code) need not look through everything. A slot is 1 << 31 | context << 16 | index, and may
// be out of date.
struct tlb_writers {
    u32 slot[TLB_WRITER_SLOTS];
    bool overflow; // there may be more than the slots say
};

struct tlb_set {
    struct tlb context[TLB_CONTEXTS];
    unsigned count;                  // contexts that have a window
    u64 clock;
    u8 by_key[1 << TLB_HASH_BITS];   // a guess; verified
    struct tlb_writers writers[1 << TLB_WRITER_BITS];
};

static u64 tlb_entries(const struct tlb *tlb) { return tlb->mask / sizeof(struct tlb_entry) + 1; }

static u64 tlb_mix(u64 value) { return value * 0x9e3779b97f4a7c15ull; }

static void tlb_filter_add(u64 filter[8], u64 page)
{
    u64 hash = tlb_mix(page >> PAGE_BITS);
    filter[hash >> 61] |= 1ull << (hash >> 55 & 63);
}

static bool tlb_filter_has(const u64 filter[8], u64 page)
{
    u64 hash = tlb_mix(page >> PAGE_BITS);
    return filter[hash >> 61] >> (hash >> 55 & 63) & 1;
}

static u64 tlb_large_bit(u64 linear) { return 1ull << (tlb_mix(linear >> 30) >> 58); }

static void tlb_invalidate(struct tlb *tlb, u64 index)
{
    struct tlb_entry *entry = &tlb->entry[index];
    entry->tag[ACCESS_READ] = entry->tag[ACCESS_WRITE] = entry->tag[ACCESS_EXECUTE] = tlb_invalid_tag(index);
}

void tlb_clear_jumps(struct tlb *tlb)
{
    if (tlb->jumps_filled <= TLB_JUMP_LOG) {
        for (u32 i = 0; i < tlb->jumps_filled; i++)
            tlb->jump[tlb->jump_log[i]].rip = tlb_jump_invalid(tlb, &tlb->jump[tlb->jump_log[i]]);
    } else {
        struct tlb_jump *to = tlb->jump;
        u64 words = TLB_JUMPS * sizeof *to / sizeof(u64);
        __asm__ volatile("rep stosq" : "+D"(to), "+c"(words) : "a"(TLB_INVALID) : "memory");
        for (unsigned way = 0; way < TLB_JUMP_WAYS; way++)
            tlb->jump[way].rip = tlb_jump_invalid(tlb, &tlb->jump[way]);
    }
    tlb->jumps_filled = 0;
}

struct tlb_jump *tlb_jump_fill(struct tlb *tlb, u64 linear, void *code)
{
    struct tlb_jump *jump = tlb_jump_set(tlb, linear);
    if (tlb_tag_valid(jump->rip) && (!tlb_tag_valid(jump[1].rip) || tlb->jumps_filled & 1))
        jump++;
    if (tlb->jumps_filled < TLB_JUMP_LOG)
        tlb->jump_log[tlb->jumps_filled] = (u16)(jump - tlb->jump);
    tlb->jumps_filled++;
    __atomic_store_n(&jump->rip, tlb_jump_invalid(tlb, jump), __ATOMIC_RELAXED); // never a tag with another's code
    __atomic_store_n(&jump->code, code, __ATOMIC_RELEASE);
    __atomic_store_n(&jump->rip, linear, __ATOMIC_SEQ_CST);
    return jump;
}

// Write tags by physical page.

static struct tlb_writers *tlb_writers(struct tlb_set *set, u64 gpa)
{
    return &set->writers[tlb_mix(gpa >> PAGE_BITS) >> (64 - TLB_WRITER_BITS)];
}

// Whether the slot still says the truth about this bucket.
static bool tlb_writer_live(struct tlb_set *set, const struct tlb_writers *bucket, u32 slot)
{
    if (!slot)
        return false;
    const struct tlb *tlb = &set->context[slot >> 16 & 0xff];
    u32 index = slot & 0xffff;
    return tlb_tag_valid(tlb->entry[index].tag[ACCESS_WRITE]) && tlb_writers(set, tlb->note[index].gpa) == bucket;
}

static void tlb_writer_add(struct tlb_set *set, const struct tlb *tlb, u64 index)
{
    struct tlb_writers *bucket = tlb_writers(set, tlb->note[index].gpa);
    u32 slot = 1u << 31 | (u32)(tlb - set->context) << 16 | (u32)index, *room = NULL;
    for (unsigned i = 0; i < TLB_WRITER_SLOTS; i++) {
        if (bucket->slot[i] == slot)
            return;
        if (!room && !tlb_writer_live(set, bucket, bucket->slot[i]))
            room = &bucket->slot[i];
    }
    if (room)
        *room = slot;
    else
        bucket->overflow = true;
}

// Looks through everything, and finds out on the way whether the bucket's slots suffice again.
static void tlb_writers_search(struct tlb_set *set, struct tlb_writers *bucket, u64 page)
{
    *bucket = (struct tlb_writers){0};
    for (unsigned i = 0; i < set->count; i++) {
        struct tlb *tlb = &set->context[i];
        for (u32 k = 0; k < tlb->logged; k++) {
            u64 index = tlb->log[k];
            u64 *tag = &tlb->entry[index].tag[ACCESS_WRITE];
            if (!tlb_tag_valid(*tag))
                continue;
            if (tlb->note[index].gpa == page)
                *tag = tlb_invalid_tag(index);
            else if (tlb_writers(set, tlb->note[index].gpa) == bucket)
                tlb_writer_add(set, tlb, index);
        }
    }
}

void tlb_protect_page(struct cpu *cpu, u64 gpa)
{
    u64 page = gpa & -(u64)PAGE_BYTES;
    struct tlb_set *set = cpu->contexts;
    struct tlb_writers *bucket = tlb_writers(set, page);
    if (bucket->overflow) {
        tlb_writers_search(set, bucket, page);
        return;
    }
    for (unsigned i = 0; i < TLB_WRITER_SLOTS; i++) {
        u32 slot = bucket->slot[i];
        const struct tlb *tlb = &set->context[slot >> 16 & 0xff];
        if (tlb_writer_live(set, bucket, slot) && tlb->note[slot & 0xffff].gpa == page) {
            tlb->entry[slot & 0xffff].tag[ACCESS_WRITE] = tlb_invalid_tag(slot & 0xffff);
            bucket->slot[i] = 0;
        }
    }
}

// Any thread. Entries are written in two steps, code first (code.c), so taking one away by its tag is safe beside that.
static void tlb_forget_set(const struct tlb *tlb, struct tlb_jump *jump, const void *code)
{
    for (unsigned way = 0; way < TLB_JUMP_WAYS; way++)
        if (__atomic_load_n(&jump[way].code, __ATOMIC_RELAXED) == code || !code)
            __atomic_store_n(&jump[way].rip, tlb_jump_invalid(tlb, &jump[way]), __ATOMIC_RELAXED);
}

void tlb_forget_block(struct cpu *cpu, u64 gpa, const void *code)
{
    struct tlb_set *set = cpu->contexts;
    unsigned count = set ? __atomic_load_n(&set->count, __ATOMIC_ACQUIRE) : 0;
    for (unsigned i = 0; i < count; i++)
        for (u64 page = 0; page <= TLB_JUMP_FOLD; page++) // whatever its linear page, the block is in one of these
            tlb_forget_set(&set->context[i],
                           tlb_jump_set(&set->context[i], page << PAGE_BITS | (gpa & (PAGE_BYTES - 1))), code);
}

void tlb_forget_code(struct cpu *cpu, const void *code)
{
    for (unsigned i = 0; i < PAGE_BYTES; i++)
        tlb_forget_block(cpu, i, code);
}

// Creation and choice of contexts.

static int tlb_map(struct cpu *cpu, struct tlb *tlb)
{
    const u64 most = 1ull << TLB_MAX_BITS;
    const u64 log_bytes = most * sizeof *tlb->log, jump_bytes = TLB_JUMPS * sizeof *tlb->jump;
    u8 *window = window_map(cpu);
    if (!window)
        return -errno;
    u8 *rest = mmap(NULL, jump_bytes + log_bytes + most * sizeof *tlb->note, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (rest == MAP_FAILED) {
        int result = -errno;
        window_unmap(window);
        return result;
    }
    *tlb = (struct tlb){
        .window = window,
        .entry = (void *)(window + CPU_WINDOW_TLB),
        .jump = (void *)rest,
        .log = (void *)(rest + jump_bytes),
        .note = (void *)(rest + jump_bytes + log_bytes),
        .mask = ((1u << TLB_MIN_BITS) - 1) * sizeof(struct tlb_entry),
    };
    for (u64 i = 0; i < tlb_entries(tlb); i++)
        tlb_invalidate(tlb, i);
    tlb->jumps_filled = TLB_JUMP_LOG + 1; // nothing in it has been written yet
    tlb_clear_jumps(tlb);
    return 0;
}

int tlb_create(struct cpu *cpu)
{
    struct tlb_set *set = mmap(NULL, sizeof *set, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (set == MAP_FAILED)
        return -errno;
    cpu->contexts = set;
    // Two at least, or an implicit supervisor access had nowhere to go beside the current context. Later ones may fail.
    for (; set->count < 2; set->count++) {
        int result = tlb_map(cpu, &set->context[set->count]);
        if (result) {
            tlb_destroy(cpu);
            return result;
        }
    }
    cpu->tlb = NULL;
    tlb_switch(cpu);
    return 0;
}

void tlb_destroy(struct cpu *cpu)
{
    struct tlb_set *set = cpu->contexts;
    if (!set)
        return;
    for (unsigned i = 0; i < set->count; i++) {
        struct tlb *tlb = &set->context[i];
        munmap(tlb->jump, (u8 *)(tlb->note + (1u << TLB_MAX_BITS)) - (u8 *)tlb->jump);
        window_unmap(tlb->window);
    }
    munmap(set, sizeof *set);
    cpu->contexts = NULL;
    cpu->tlb = NULL;
}

// Empties a context; with keep_global, of all but global translations.
static void tlb_empty(struct tlb *tlb, bool keep_global)
{
    if (!tlb->logged)
        return;
    u32 logged = tlb->logged, kept = 0;
    tlb->logged = 0;
    tlb->large_filter = 0;
    keep_global = keep_global && tlb->has_global;
    // Jumps within global code survive with it; then the filter has to remember evicted pages, too.
    if (keep_global ? tlb->has_local_code : tlb->has_code) {
        tlb_clear_jumps(tlb);
        for (unsigned i = 0; i < ARRAY_SIZE(tlb->code_filter); i++)
            tlb->code_filter[i] = 0;
        tlb->has_code = tlb->has_local_code = false;
    }
    tlb->has_global = false;
    for (u32 i = 0; i < logged; i++) {
        u16 index = tlb->log[i];
        struct tlb_note *note = &tlb->note[index];
        struct tlb_entry *entry = &tlb->entry[index];
        if (!keep_global || (note->flags & (TLB_NOTE_GLOBAL | TLB_NOTE_USED)) != (TLB_NOTE_GLOBAL | TLB_NOTE_USED)) {
            tlb_invalidate(tlb, index);
            note->flags = 0;
            continue;
        }
        tlb->log[kept++] = index;
        tlb->has_global = true;
        if (note->flags & (TLB_NOTE_LARGE | TLB_NOTE_HUGE))
            tlb->large_filter |= tlb_large_bit(note->linear);
        if (tlb_tag_valid(entry->tag[ACCESS_EXECUTE])) {
            tlb_filter_add(tlb->code_filter, note->linear);
            tlb->has_code = true;
        }
    }
    tlb->logged = kept;
}

// A key is compared as its two words that matter on this vendor; the second is made in a register, because storing
// the small fields and loading them as one word would stall.
static u64 tlb_key_low(u16 vpid, u16 pcid, u8 role, bool guest, u16 mode)
{
    return vpid | (u64)pcid << 16 | (u64)role << 32 | (u64)guest << 40 | (u64)mode << 48;
}

static bool tlb_key_is(const struct tlb_key *key, u64 eptp, u64 low)
{
    static_assert(offsetof(struct tlb_key, pcid) == offsetof(struct tlb_key, vpid) + 2 &&
                  offsetof(struct tlb_key, role) == offsetof(struct tlb_key, vpid) + 4 &&
                  offsetof(struct tlb_key, guest) == offsetof(struct tlb_key, vpid) + 5 &&
                  offsetof(struct tlb_key, mode) == offsetof(struct tlb_key, vpid) + 6, "tlb_key_low's order");
    u64 stored;
    __builtin_memcpy(&stored, &key->vpid, sizeof stored);
    return stored == low && key->eptp == eptp;
}

// The context that was used longest ago, or a new one while there is room; never the current one.
static struct tlb *tlb_recycle(struct cpu *cpu)
{
    struct tlb_set *set = cpu->contexts;
    for (unsigned i = 0; i < set->count; i++)
        if (!set->context[i].live)
            return &set->context[i];
    if (set->count < TLB_CONTEXTS && tlb_map(cpu, &set->context[set->count]) == 0) {
        __atomic_store_n(&set->count, set->count + 1, __ATOMIC_RELEASE); // tlb_forget_block looks from other threads
        return &set->context[set->count - 1];
    }
    struct tlb *oldest = NULL;
    for (unsigned i = 0; i < set->count; i++) {
        struct tlb *tlb = &set->context[i];
        if (tlb != cpu->tlb && (!oldest || tlb->used_at < oldest->used_at))
            oldest = tlb;
    }
    tlb_empty(oldest, false);
    u64 keep = 1ull << TLB_KEEP_BITS, entries = tlb_entries(oldest);
    if (entries > keep) {
        madvise(oldest->entry + keep, (entries - keep) * sizeof *oldest->entry, MADV_DONTNEED);
        u64 notes = align_up((u64)(oldest->note + keep), PAGE_BYTES);
        madvise((void *)notes, align_down((u64)(oldest->note + entries), PAGE_BYTES) - notes, MADV_DONTNEED);
    }
    oldest->mask = ((1u << TLB_MIN_BITS) - 1) * sizeof(struct tlb_entry);
    return oldest;
}

static struct tlb *tlb_find(struct cpu *cpu, u64 eptp, u64 low)
{
    struct tlb_set *set = cpu->contexts;
    unsigned hash = tlb_mix(tlb_mix(low) ^ eptp) >> (64 - TLB_HASH_BITS);
    struct tlb *tlb = &set->context[set->by_key[hash]];
    if (tlb->live && tlb_key_is(&tlb->key, eptp, low))
        return tlb;
    for (unsigned i = 0; i < set->count; i++) {
        tlb = &set->context[i];
        if (tlb->live && tlb_key_is(&tlb->key, eptp, low)) {
            set->by_key[hash] = (u8)i;
            return tlb;
        }
    }
    tlb = tlb_recycle(cpu);
    tlb->key = (struct tlb_key){.eptp = eptp};
    __builtin_memcpy(&tlb->key.vpid, &low, sizeof low);
    tlb->live = true;
    tlb->evictions = 0;
    set->by_key[hash] = (u8)(tlb - set->context);
    return tlb;
}

enum tlb_role tlb_role_now(const struct cpu *cpu)
{
    if (!(cpu->cr0 & CR0_PG))
        return TLB_SUPERVISOR_AC;
    if (cpu->cpl == 3)
        return cpu->rflags & FLAG_AC && cpu->cr0 & CR0_AM ? TLB_USER_ALIGNED : TLB_USER;
    return cpu->cr4 & CR4_SMAP && !(cpu->rflags & FLAG_AC) ? TLB_SUPERVISOR : TLB_SUPERVISOR_AC;
}

struct tlb *tlb_context(struct cpu *cpu, enum tlb_role role)
{
    if (!(cpu->cr0 & CR0_PG) || (role == TLB_SUPERVISOR && !(cpu->cr4 & CR4_SMAP)))
        role = TLB_SUPERVISOR_AC;
    u16 pcid = cpu->cr4 & CR4_PCIDE ? cpu->cr3 & 0xfff : 0;
    u64 low = tlb_key_low(cpu->vpid, pcid, role, cpu->guest_mode, paging_mode(cpu));
    struct tlb *tlb = cpu->tlb;
    if (!tlb || !tlb_key_is(&tlb->key, cpu->eptp, low))
        tlb = tlb_find(cpu, cpu->eptp, low);
    tlb->used_at = ++cpu->contexts->clock;
    return tlb;
}

void tlb_switch(struct cpu *cpu)
{
    struct tlb *tlb = tlb_context(cpu, tlb_role_now(cpu));
    if (tlb->mode_word != cpu->mode_word) {
        if (tlb->has_code)
            tlb_clear_jumps(tlb);
        tlb->mode_word = cpu->mode_word;
    }
    cpu->tlb = tlb;
}

// Filling and growing.

// Doubles the array. An entry's new index differs from the old one by at most the new bit.
static void tlb_grow(struct cpu *cpu, struct tlb *tlb)
{
    u64 entries = tlb_entries(tlb);
    for (u64 i = entries; i < 2 * entries; i++) {
        tlb_invalidate(tlb, i);
        tlb->note[i].flags = 0;
    }
    tlb->mask = (2 * entries - 1) * sizeof(struct tlb_entry);
    for (u32 i = 0; i < tlb->logged; i++) {
        u64 from = tlb->log[i], to = tlb_index(tlb, tlb->note[from].linear);
        if (!(tlb->note[from].flags & TLB_NOTE_USED) || to == from)
            continue;
        tlb->entry[to] = tlb->entry[from];
        tlb->note[to] = tlb->note[from];
        tlb_invalidate(tlb, from);
        tlb->note[from].flags = 0;
        tlb->log[i] = (u16)to;
        if (tlb_tag_valid(tlb->entry[to].tag[ACCESS_WRITE]))
            tlb_writer_add(cpu->contexts, tlb, to);
    }
    if (tlb == cpu->tlb)
        cpu->tlb_mask = tlb->mask;
}

static void tlb_count_eviction(struct cpu *cpu, struct tlb *tlb)
{
    u64 entries = tlb_entries(tlb);
    if (++tlb->evictions < entries / 4)
        return;
    u64 now = __builtin_ia32_rdtsc();
    if (entries < 1u << TLB_MAX_BITS && now - tlb->counted_at < tlb->evictions * TLB_CYCLES_A_MISS)
        tlb_grow(cpu, tlb);
    tlb->evictions = 0;
    tlb->counted_at = now;
}

// Whether this CPU may have a write tag for the page. The order matters: whoever registers code sets `blocks` first
// and looks at `writers` afterwards, so that one of the two sees the other (both sequentially consistent).
static bool tlb_claim_page(struct cpu *cpu, u64 gpa)
{
    struct ram_slot *slot = ram_slot_find(cpu->vm, gpa);
    if (!slot || slot->flags & KVM_MEM_READONLY)
        return false;
    u64 number = (gpa - slot->gpa) >> PAGE_BITS;
    if (slot->dirty && !(atomic_load(&slot->dirty[number / 64]) >> (number & 63) & 1))
        return false;
    struct ram_page *page = &slot->pages[number];
    if (atomic_load_explicit(&page->blocks, memory_order_relaxed))
        return false;
    u64 self = 1ull << cpu->id;
    if (!(atomic_load(&page->writers) & self))
        atomic_fetch_or(&page->writers, self);
    return !atomic_load(&page->blocks);
}

void tlb_fill(struct cpu *cpu, struct tlb *tlb, u64 linear, u64 gpa, void *host, unsigned allowed, unsigned note_flags)
{
    u64 page = linear & -(u64)PAGE_BYTES;
    gpa &= -(u64)PAGE_BYTES;
    u64 index = tlb_index(tlb, page);
    if (UNLIKELY(tlb->key.role == TLB_USER_ALIGNED))
        allowed &= 1 << ACCESS_EXECUTE;
    if (tlb->note[index].flags & TLB_NOTE_USED && tlb->note[index].linear != page) {
        tlb_count_eviction(cpu, tlb);
        index = tlb_index(tlb, page);
    }
    struct tlb_note *note = &tlb->note[index];
    struct tlb_entry *entry = &tlb->entry[index];
    if (!(note->flags & TLB_NOTE_LOGGED))
        tlb->log[tlb->logged++] = (u16)index;
    if (allowed & 1 << ACCESS_WRITE && !tlb_claim_page(cpu, gpa))
        allowed &= ~(1u << ACCESS_WRITE);
    bool execute = allowed >> ACCESS_EXECUTE & 1;
    if (entry->tag[ACCESS_EXECUTE] == page && (!execute || note->gpa != gpa))
        tlb_clear_jumps(tlb); // the guest changed the mapping and a new walk was faster than its flush
    entry->host = (u64)host & -(u64)PAGE_BYTES;
    for (unsigned access = ACCESS_READ; access <= ACCESS_EXECUTE; access++)
        entry->tag[access] = allowed >> access & 1 ? page : tlb_invalid_tag(index);
    *note = (struct tlb_note){.linear = page, .gpa = gpa, .flags = note_flags | TLB_NOTE_USED | TLB_NOTE_LOGGED};
    if (execute) {
        tlb->has_code = true;
        tlb->has_local_code |= !(note_flags & TLB_NOTE_GLOBAL);
        tlb_filter_add(tlb->code_filter, page);
    }
    if (allowed & 1 << ACCESS_WRITE)
        tlb_writer_add(cpu->contexts, tlb, index);
    if (note_flags & TLB_NOTE_GLOBAL)
        tlb->has_global = true;
    if (note_flags & (TLB_NOTE_LARGE | TLB_NOTE_HUGE))
        tlb->large_filter |= tlb_large_bit(page);
}

// Flushing (SDM 3A 4.10.4, SDM 3C 29.4.3). Dropping more than asked is always allowed; less never.

void tlb_flush_all(struct cpu *cpu)
{
    for (unsigned i = 0; i < cpu->contexts->count; i++)
        tlb_empty(&cpu->contexts->context[i], false);
}

void tlb_flush_vpid(struct cpu *cpu, u16 vpid, bool keep_global)
{
    for (unsigned i = 0; i < cpu->contexts->count; i++)
        if (cpu->contexts->context[i].key.vpid == vpid)
            tlb_empty(&cpu->contexts->context[i], keep_global);
}

void tlb_flush_vpids(struct cpu *cpu)
{
    for (unsigned i = 0; i < cpu->contexts->count; i++)
        if (cpu->contexts->context[i].key.vpid)
            tlb_empty(&cpu->contexts->context[i], false);
}

void tlb_flush_pcid(struct cpu *cpu, u16 vpid, u16 pcid, bool keep_global)
{
    for (unsigned i = 0; i < cpu->contexts->count; i++) {
        struct tlb *tlb = &cpu->contexts->context[i];
        if (tlb->key.vpid == vpid && tlb->key.pcid == pcid)
            tlb_empty(tlb, keep_global);
    }
}

void tlb_flush_eptp(struct cpu *cpu, u64 eptp)
{
    for (unsigned i = 0; i < cpu->contexts->count; i++) {
        struct tlb *tlb = &cpu->contexts->context[i];
        if (eptp ? (tlb->key.eptp ^ eptp) >> PAGE_BITS == 0 : tlb->key.eptp)
            tlb_empty(tlb, false);
    }
}

static void tlb_drop(struct tlb *tlb, u64 index)
{
    tlb_invalidate(tlb, index);
    tlb->note[index].flags &= TLB_NOTE_LOGGED;
}

// Drops what came from a large page around `linear`, by the alignment of the page's kind (4 MiB covers 2 MiB ones).
static void tlb_drop_large(struct tlb *tlb, u64 linear, bool all)
{
    for (u32 i = 0; i < tlb->logged; i++) {
        u64 index = tlb->log[i];
        const struct tlb_note *note = &tlb->note[index];
        unsigned bits = note->flags & TLB_NOTE_HUGE ? 30 : 22;
        if (note->flags & (TLB_NOTE_LARGE | TLB_NOTE_HUGE) && (note->linear ^ linear) >> bits == 0 &&
            (all || note->flags & TLB_NOTE_GLOBAL))
            tlb_drop(tlb, index);
    }
}

void tlb_flush_page(struct cpu *cpu, u16 vpid, u64 linear, int pcid)
{
    u64 page = linear & -(u64)PAGE_BYTES;
    for (unsigned i = 0; i < cpu->contexts->count; i++) {
        struct tlb *tlb = &cpu->contexts->context[i];
        if (tlb->key.vpid != vpid || !tlb->logged)
            continue;
        bool all = pcid < 0 || tlb->key.pcid == pcid; // else global ones only
        if (!all && !tlb->has_global)
            continue;
        u64 index = tlb_index(tlb, page);
        const struct tlb_note *note = &tlb->note[index];
        if (note->flags & TLB_NOTE_USED && note->linear == page && (all || note->flags & TLB_NOTE_GLOBAL))
            tlb_drop(tlb, index);
        bool large = tlb->large_filter & tlb_large_bit(page);
        if (large)
            tlb_drop_large(tlb, page, all);
        if (tlb->has_code && (large || tlb_filter_has(tlb->code_filter, page)))
            tlb_clear_jumps(tlb);
    }
}
