// The soft TLB: guest linear page -> host pointer, whatever the number of translation stages between. One format for
// every context. Generated code probes it inline (see probe.c): with the page tag T of the wanted access and the
// linear address A, `A - T` is the offset in the page when the entry holds it, and a huge number when it does not, so
// that one unsigned compare with 4096 - size decides hit, miss and page crossing at once, and `+ host` ends the
// translation.
//
// A context (struct tlb) is everything that can change what a linear address means: VPID, EPT pointer, PCID,
// privilege (user, supervisor, supervisor that may touch user pages) and the paging mode. Each has its own array, so
// that a CR3 write with PCID, a privilege change, a VM entry and a VM exit flush nothing: they change `cpu->tlb`.
// Generated code finds the array of the current context at the fixed distance CPU_WINDOW_TLB from its gs base: the
// CPU's state page is mapped again in front of every array (window.c), so switching context is one wrgsbase.
#pragma once

#include "base/types.h"

struct cpu;

enum access { ACCESS_READ, ACCESS_WRITE, ACCESS_EXECUTE };

// No canonical address is within 4096 of it. But a guest may try others: those that it would match all lead to entry
// 0, which therefore has another invalid tag, whose matches all lead to entry 1 (and likewise for sets of the jump
// cache).
#define TLB_INVALID ((u64)1 << 63)

struct tlb_entry {
    u64 tag[3]; // by enum access: the linear page address, or tlb_invalid_tag
    u64 host;   // host address of the page; undefined when all tags are invalid
};
static_assert(sizeof(struct tlb_entry) == 32, "generated code shifts by 5");

// GLOBAL, LARGE (2 or 4 MiB) and HUGE (1 GiB) say what the guest's own page was; LOGGED: the entry's index is in the
// log.
enum {
    TLB_NOTE_GLOBAL = 1 << 0, TLB_NOTE_LARGE = 1 << 1, TLB_NOTE_HUGE = 1 << 2, TLB_NOTE_USED = 1 << 3,
    TLB_NOTE_LOGGED = 1 << 4,
};

// What the probe does not need, parallel to the entries.
struct tlb_note {
    u64 linear;  // page address the entry was filled for (valid while USED)
    u64 gpa;     // page address in the VM's (L1's) physical space
    u32 flags;
    u32 reserved;
};

// Jump cache: guest RIP -> generated code, in this context and in the mode `jump_mode`. Generated code probes it
// inline for every indirect branch. A valid entry implies that its page had an ACCESS_EXECUTE tag when it was made,
// and no flush since that covered the page: the flushes clear the cache (tlb_clear_jumps). A tag that is merely
// evicted says nothing.
struct tlb_jump {
    u64 rip;  // linear address (CS base added), or tlb_jump_invalid
    void *code;
};

// Two ways a set: a loop over a few hundred targets would always have some pairs that drive each other out of a
// direct-mapped cache. Blocks begin anywhere, functions at multiples of 16: the set's index folds the page number's low
// bits into the offset's low ones, which functions leave alone, and no more of them than leaves few places, and those
// side by side, to look for a block of unknown page.
enum { TLB_JUMP_WAYS = 2, TLB_JUMP_SETS = 1 << 12, TLB_JUMPS = TLB_JUMP_SETS * TLB_JUMP_WAYS, TLB_JUMP_SHIFT = 12,
       TLB_JUMP_FOLD = 0xf, TLB_JUMP_LOG = 256 };
enum { TLB_MIN_BITS = 8, TLB_MAX_BITS = 16 };                // entries; grows with the miss rate

// Everything a cached translation depends on, beside guest memory.
struct tlb_key {
    u64 eptp;  // VMCS EPT pointer, 0: no second stage
    u64 ncr3;  // room for AMD's nested CR3; 0
    u16 vpid;  // 0: not in VMX non-root operation, or VPID off
    u16 pcid;
    u8 role;   // enum tlb_role
    u8 guest;  // in VMX non-root operation
    u16 mode;  // paging mode bits (paging.h): PG, PAE, LMA, WP, NXE, PSE, SMEP, SMAP
};

// AC: SMAP does not bite (EFLAGS.AC or SMAP off). ALIGNED: alignment is checked, so no probe for data may hit.
enum tlb_role { TLB_USER, TLB_USER_ALIGNED, TLB_SUPERVISOR, TLB_SUPERVISOR_AC };
static inline bool tlb_role_user(enum tlb_role role) { return role <= TLB_USER_ALIGNED; }

struct tlb {
    struct tlb_entry *entry; // inside the window
    struct tlb_note *note;
    struct tlb_jump *jump;   // TLB_JUMPS of them
    u8 *window;              // gs base of generated code in this context
    u64 mask;                // (entries - 1) * sizeof(struct tlb_entry): generated code's index mask
    u64 evictions;           // of live entries by others since counted_at (host TSC): too many per time make it grow
    u64 counted_at;
    u64 used_at;             // for choosing the context to recycle
    u64 mode_word;           // translation mode the jump cache was filled in (cpu->mode_word)
    bool live;
    bool has_global;         // some entry may be global
    bool has_code;           // some entry had an execute tag since the last flush: the jump cache may not be empty
    bool has_local_code;     // ... and was not global
    u32 jumps_filled;        // since the cache was cleared; up to TLB_JUMP_LOG of them are in jump_log
    u16 jump_log[TLB_JUMP_LOG];
    u32 logged;
    u16 *log;                // indices of all entries that were filled since the last flush, in no order
    u64 large_filter;        // Bloom filters, emptied by flushes only: GiB in which an entry came from a large page,
    u64 code_filter[8];      // linear pages that had an execute tag
    struct tlb_key key;
};

static inline u64 tlb_invalid_tag(u64 index) { return index ? TLB_INVALID : TLB_INVALID | PAGE_BYTES; }
static inline bool tlb_tag_valid(u64 tag) { return tag >> 62 != 2; }

static inline u64 tlb_jump_invalid(const struct tlb *tlb, const struct tlb_jump *jump)
{
    return jump - tlb->jump < TLB_JUMP_WAYS ? TLB_INVALID | 1 : TLB_INVALID;
}

// The index of the first way of the set for a linear address.
static inline u32 tlb_jump_index(u64 linear)
{
    return (((u32)linear ^ ((u32)linear >> TLB_JUMP_SHIFT & TLB_JUMP_FOLD)) & (TLB_JUMP_SETS - 1)) * TLB_JUMP_WAYS;
}

static inline struct tlb_jump *tlb_jump_set(const struct tlb *tlb, u64 linear)
{
    return &tlb->jump[tlb_jump_index(linear)];
}

static inline void *tlb_jump_find(const struct tlb *tlb, u64 linear)
{
    const struct tlb_jump *jump = tlb_jump_set(tlb, linear);
    return jump[0].rip == linear ? jump[0].code : jump[1].rip == linear ? jump[1].code : NULL;
}

static inline u64 tlb_index(const struct tlb *tlb, u64 linear)
{
    return (linear >> (PAGE_BITS - 5) & tlb->mask) / sizeof(struct tlb_entry);
}

// Host pointer to [linear, linear+size) when the entry is there and the page is not crossed, else NULL.
static inline void *tlb_probe(const struct tlb *tlb, u64 linear, unsigned size, enum access access)
{
    const struct tlb_entry *entry = &tlb->entry[tlb_index(tlb, linear)];
    u64 offset = linear - entry->tag[access];
    return offset <= PAGE_BYTES - size ? (void *)(entry->host + offset) : NULL;
}

int tlb_create(struct cpu *cpu);  // 0 or -errno; allocates the contexts' windows lazily
void tlb_destroy(struct cpu *cpu);

// Makes cpu->tlb (and, before generated code runs again, its gs base) the context for the CPU's present state. To be
// called after every change of CPL, CR0, CR3, CR4, EFER, EFLAGS.AC with SMAP on, VPID, EPTP or guest mode. Cheap when
// nothing changed.
void tlb_switch(struct cpu *cpu);

// The context of the present state but for the role: what implicit supervisor accesses use.
struct tlb *tlb_context(struct cpu *cpu, enum tlb_role role);
enum tlb_role tlb_role_now(const struct cpu *cpu);

// Puts a translation into a context of this CPU. `gpa` is the VM's physical page, `host` its pointer; `allowed` has a
// bit per enum access. Registers the CPU as a writer of the page when it allows writing, and refuses that for pages
// with code and for pages that the dirty log has not yet noted.
void tlb_fill(struct cpu *cpu, struct tlb *tlb, u64 linear, u64 gpa, void *host, unsigned allowed, unsigned note_flags);

void tlb_flush_all(struct cpu *cpu);                                    // every context
void tlb_flush_vpid(struct cpu *cpu, u16 vpid, bool keep_global);       // contexts with that VPID, all PCIDs
void tlb_flush_pcid(struct cpu *cpu, u16 vpid, u16 pcid, bool keep_global);
void tlb_flush_page(struct cpu *cpu, u16 vpid, u64 linear, int pcid);   // pcid < 0: in all PCIDs (also global ones)
void tlb_flush_vpids(struct cpu *cpu);                                  // INVVPID all contexts: every VPID but 0
void tlb_flush_eptp(struct cpu *cpu, u64 eptp);                         // INVEPT single context; 0: all EPT contexts
void tlb_protect_page(struct cpu *cpu, u64 gpa);                        // drop every write tag for that physical page
void tlb_clear_jumps(struct tlb *tlb);
struct tlb_jump *tlb_jump_fill(struct tlb *tlb, u64 linear, void *code); // own thread; where it was put
// Any thread: no jump cache of this CPU leads to that code any more; NULL: to none at all.
void tlb_forget_code(struct cpu *cpu, const void *code);
// The same for the code of a block that starts at that physical address, which is quick: an address and its
// translation share the low bits that choose the jump cache's entry.
void tlb_forget_block(struct cpu *cpu, u64 gpa, const void *code);
