// Translated blocks, and the cache they live in. A block is the translation of guest code from one physical address on,
// in one mode word; it runs along the fall-through path with side exits at conditional branches, never leaves its
// physical page (but for a first instruction that crosses into the next), and does not know its virtual address.
//
// Flags: every block has two entries. `entry_memory` expects the arithmetic flags in cpu->flags, `entry_live` in
// EFLAGS. A direct exit leaves by whichever holds at that point and is linked to the fitting entry, so that flags which
// the successor overwrites are neither saved nor restored; indirect exits always leave them in memory.
//
// Threads: one cache per VM. Lookups are lock-free; translating, linking and dropping hold the cache's lock, never
// longer than that takes and never while the world is being stopped. The memory of dropped blocks is reused only after
// a flush with the world stopped, so a vCPU that has just found a block may enter it.
#pragma once

#include <pthread.h>

#include "engine/soft/cpu.h"
#include "engine/soft/emit.h"
#include "engine/soft/vm.h"

struct translation;
// Mode word: what a translation depends on beside the bytes.
#define MODE_CODE64 (1ull << 0)
#define MODE_CODE32 (1ull << 1)     // neither: 16-bit
#define MODE_FLAT (1ull << 2)       // CS, DS, ES, SS: base 0, no limit: linear = effective address
#define MODE_STACK32 (1ull << 3)    // SS.B
#define MODE_FS (1ull << 4)         // FS without limit: linear = base + effective address
#define MODE_GS (1ull << 14)        // GS likewise
#define MODE_X87 (1ull << 5)        // x87 and MMX instructions execute (else #NM)
#define MODE_X87_EM (1ull << 6)     // CR0.EM: SSE is #UD, MMX is #UD
#define MODE_SSE (1ull << 7)
#define MODE_SSE_NM (1ull << 8)     // ... #NM instead of #UD
#define MODE_AVX (1ull << 9)
#define MODE_AVX512 (1ull << 10)
#define MODE_STEP (1ull << 11)      // one instruction a block (EFLAGS.TF, breakpoints)
#define MODE_FWAIT_NM (1ull << 12)  // CR0.MP and TS: WAIT is #NM
#define MODE_PLAIN (1ull << 15)     // no spans (span.c)
#define MODE_LOOP (1ull << 16)      // several rounds of a loop (loop.c)
#define MODE_PROTECTED (1ull << 13) // not real or virtual-8086 mode: VEX decodes

enum exit_kind {
    EXIT_LINK = 1, // argument: exit id; its target is wanted
    EXIT_JUMP,     // scratch[0]: linear address of an indirect target the jump cache did not have
    EXIT_SYSTEM,   // argument: insn id
    EXIT_POLL,     // rip is set; a request is pending
    EXIT_FAULT,    // rip is set; argument: vector
    EXIT_RAISE,    // argument: vector, at site
    EXIT_STEP,     // argument: nothing; the one instruction of a MODE_STEP block is done, rip by site
};

struct block;

struct block_exit {
    struct block *from;
    struct block *target;      // linked to, or NULL
    struct block_exit *next;   // in target->incoming
    u8 *rel32;                 // writable address of the jump's offset
    const u8 *unlinked;        // executable address it leads to while not linked
    s32 offset;                // target's RIP relative to code_base
    bool flags_live;
    bool plain;                // its target is in MODE_PLAIN
    bool loop;                 // its target is where its block begins, and in MODE_LOOP once
    _Atomic u8 passes;         // so many have gone this way
};

// Where a host instruction came from: for faults taken on the host, which happen between sites.
struct block_site {
    u32 host;     // offset from the block's first byte of host code, also of what is cold
    u16 position; // of the guest instruction, in its page
    u8 flags_live;// arithmetic flags are in EFLAGS
    u8 in_host;   // SITE_*
};

// Guest R14, R15 is in the host's and not in memory; the instruction, a branch, is done, and its target is in R14.
enum { SITE_R14 = 1, SITE_R15 = 2, SITE_BRANCHED = 4 };

struct block {
    u64 gpa, gpa2;           // of the first byte; of the second page, ~0 when it does not cross
    mode_word mode;
    u16 bytes;               // of guest code
    u16 exit_count;
    u32 site_count, host_bytes, cold_bytes;
    bool dropped;
    u8 *host;                // executable address of the first byte
    const u8 *cold;          // ... of what is rarely run, which stands elsewhere, above
    const u8 *entry_memory, *entry_live;
    struct block_exit *exit;
    struct block_site *site;
    struct block *hash_next;
    struct block *page_next, *page2_next;
    struct block_exit *incoming;
};

// What blocks rarely run (memory accesses that miss, exits before they are linked) is 44 % of their code in a Linux
// guest, and stands apart, so that the host's caches and TLB hold what is run.
enum { CODE_BYTES = 128 << 20, CODE_HOT_BYTES = 72 << 20, CODE_BLOCKS = 1 << 20, CODE_INSNS = 1 << 20,
       CODE_EXITS = 1 << 21, CODE_SITES = 1 << 23, CODE_HASH_BITS = 18 };

// The pieces of code that every block shares (glue.c): executable addresses.
struct glue {
    const u8 *enter;   // unsigned enter(struct cpu *, const u8 *code): the only way in
    const u8 *exit;    // leaves with kind and argument already stored
    const u8 *slow;    // C resolves a memory access: R14 linear address, R15 size | SLOW_* << 8 -> R14 host address
    const u8 *commit;  // C writes a bounced access back
    // C applies segmentation: R14 offset, R15 size | SLOW_* << 8 | segment << 16 -> R14 linear address
    const u8 *linear;
    const u8 *system;  // C executes a system instruction: R14 insn id
    const u8 *jump;    // R14 = linear target, flags in memory: through the jump cache
    const u8 *jump_end;
    const u8 *resume;  // signal.c: goes on at resume_rip with RSP = resume_rsp
    const u8 *resume_end;
};

struct code_cache {
    pthread_mutex_t lock;
    struct emit emit;          // cursor; starts behind the glue
    struct emit cold;          // the same for what is rarely run, from CODE_HOT_BYTES on
    u8 *writable;
    const u8 *executable;
    u8 *first;                 // writable: behind the glue
    struct glue glue;
    struct block *block;       // CODE_BLOCKS, in the order of their host addresses
    struct insn *insn;
    struct block_exit *exit;
    struct block_site *site;
    u32 block_count, insn_count, exit_count, site_count;
    struct block *_Atomic *hash;
    struct engine_vm *vm;
    int memfd;
    u64 flushes;
    struct translation *translation; // the one being made, guarded by the lock
};

// Whether that executable address is in the block's code.
static inline bool block_contains(const struct block *block, const u8 *host)
{
    return (u64)(host - block->host) < block->host_bytes || (u64)(host - block->cold) < block->cold_bytes;
}

int code_create(struct engine_vm *vm);
void code_destroy(struct engine_vm *vm);

// Executable code for the CPU's present rip and mode, translating when there is none. Faults of the fetch do not
// return.
const u8 *code_find(struct cpu *cpu);

// The same for the one instruction at rip alone.
const u8 *code_find_one(struct cpu *cpu);

// Resolves the exit by which generated code just left: links it when that is right, and returns where to go on (rip is
// set).
const u8 *code_link(struct cpu *cpu, u32 exit_id);

// The block whose code contains the executable address, or NULL.
struct block *code_block_at(struct code_cache *code, const u8 *host);
static inline bool code_contains(const struct code_cache *code, const u8 *host)
{
    return (u64)(host - code->executable) < CODE_BYTES;
}

// glue.c
void glue_emit(struct code_cache *code);

// translate.c: translates at `bytes` (present in the page: `available`), the cache's lock held, vector state saved.
// NULL: the cache is full. `linear` is where the code is now; elsewhere the block is as right, and its branches slower.
struct block *translate_block(struct code_cache *code, mode_word mode, u64 linear, u64 gpa, u64 gpa2, const u8 *bytes,
                              unsigned available, bool crossing);

// Whether the first instruction goes on beyond `available` bytes. Vector state saved.
bool translate_crosses(mode_word mode, const u8 *bytes, unsigned available);

size_t translate_bytes(void); // of struct translation

// Code cache events that need every vCPU outside generated code.
void code_flush(struct engine_vm *vm); // the world is stopped
