// What the files that translate share: the block being made, and the emitters by room: probe.c (memory operands),
// copy.c (re-encoding), flow.c (branches and stack), repeat.c (REP MOVS and STOS). translate.c decodes, works out which
// flags live, and calls them.
#pragma once

#include <Zydis/Zydis.h>

#include "engine/soft/block.h"
#include "engine/soft/opcode.h"

// A block is decoded up to TRANSLATE_LENGTH instructions; the rest is for the rounds of a loop (loop.c).
enum { TRANSLATE_LENGTH = 64, TRANSLATE_INSNS = 448, TRANSLATE_EXITS = 64, TRANSLATE_SPANS = 32,
       TRANSLATE_SPAN_SLOTS = CPU_SPANS, TRANSLATE_SLOW = 128, TRANSLATE_CALLS = 32, TRANSLATE_SITES = 1200 };

// Where the guest's arithmetic flags are at this point of the block.
enum flags_place { FLAGS_LIVE = 1, FLAGS_MEMORY = 2, FLAGS_BOTH = 3 };

struct decoded {
    ZydisDecodedInstruction zydis;
    ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
    const struct opcode *opcode;
    const u8 *bytes;
    u16 position;    // in the page
    u8 reads, kills; // arithmetic flags, as bits of FLAGS_ARITHMETIC shifted by flag_bit()
    u8 writes;
    u8 live_out;     // needed by something behind this instruction
    bool through;    // a branch back to the block's start that the block itself goes along (loop.c)
    u8 span;         // index + 1 of the span that its access belongs to; 0: none
    s32 span_at;     // of its access, relative to the base as the leader finds it
};

// Accesses around one base register, or one base and index, that share a probe (span.c).
struct span_key {
    u8 base, index, scale; // index: INSN_NO_REGISTER: none
};

struct span {
    s32 low, high; // relative to the base as the leader finds it
    u16 leader;    // index of the instruction that probes
    u8 slot;       // cpu->span[slot]
    struct span_key key;
    bool write;
};

struct translation;

// A memory access that leaves the hot path, to be emitted with what is rarely run.
struct slow_path {
    u8 *from;           // rel32 of the jump that leads here
    const u8 *resume;   // executable: continues with the host address in R14
    const u8 *done;     // executable: behind the instruction (writes only)
    struct decoded *decoded;
    u8 size, access;    // access: SLOW_*
    u16 mask;           // SLOW_MASKED: DEMAND_MASK
    u8 flags_before, flags_after; // enum flags_place
    void (*operation)(struct translation *, struct decoded *); // writes: the access itself, host address in R14
};

// An instruction that is left to C when it is not of the kind that generated code does, likewise (repeat.c).
struct slow_call {
    u8 *from[5];
    unsigned count;
    const u8 *resume;
    struct decoded *decoded;
};

struct translation {
    struct emit e;          // where it is being made: first what is run, then what is rarely run
    u8 *hot;                // where the first ended
    struct code_cache *code;
    struct block *block;
    mode_word mode;
    u64 page;               // linear address of the block's page while it is translated
    struct decoded insn[TRANSLATE_INSNS];
    unsigned count;
    enum flags_place flags;
    struct slow_path slow[TRANSLATE_SLOW];
    unsigned slow_count;
    struct slow_call call[TRANSLATE_CALLS];
    unsigned call_count;
    struct block_exit exit[TRANSLATE_EXITS];
    u8 exit_dirty[TRANSLATE_EXITS]; // `dirty` when it is taken: to be stored on its way
    unsigned exit_count;
    struct block_site site[TRANSLATE_SITES];
    unsigned site_count;
    unsigned page_bytes;    // of the page from its start that decoding may use
    u8 cached, dirty;       // guest R14 (bit 0) and R15 (bit 1) are in the host's; and memory does not have them yet
    u8 r14_slot;            // slot + 1 of the span whose host address R14 holds; 0: it holds something else
    u8 uncached;            // ... are not any more behind the instruction in progress
    struct span span[TRANSLATE_SPANS];
    unsigned span_count;
    bool keeps_r15;         // ... goes around guest R15, which may stay in the host's
    s32 displacement;       // of the operand of the instruction in progress from the host address in R14
    bool polled;            // the backward branch that comes next has had its poll
    bool ended;             // the last instruction leaves the block on all paths
};

void site_add(struct translation *t, const struct decoded *d, bool flags_live);
void site_add_branched(struct translation *t);

// cpu->site packs what C has to know when generated code calls it in the middle of an instruction.
#define SITE(position, length, flags_live) ((u32)(position) | (u32)(length) << 13 | (u32)(flags_live) << 17)
#define SITE_POSITION(site) ((site) & 0x1fff)
#define SITE_LENGTH(site) ((site) >> 13 & 0xf)
#define SITE_FLAGS_LIVE(site) ((site) >> 17 & 1)
// An indirect branch: also what it added to RSP before its target was looked at.
#define SITE_BRANCH(position, length, rsp) (SITE(position, length, false) | (u32)(rsp) << 18)
#define SITE_RSP(site) ((s32)(site) >> 18)
enum { SITE_RSP_MOST = (1 << 13) - 1 };
// demand.h; PUSH: RSP is to become the address; CALL: and the block goes on to where it leads
enum { SLOW_READ = 1, SLOW_WRITE = 2, SLOW_ALIGNED = 4, SLOW_STACK = 8, SLOW_X87 = 16, SLOW_MASKED = 32, SLOW_PUSH = 64,
       SLOW_CALL = 128 };

// probe.c
void probe_flags(struct translation *t, struct decoded *d); // saves live flags before a probe
// R14 = linear address of an operand; its effective address, without segment
void probe_address(struct translation *t, struct decoded *d, const ZydisDecodedOperand *op, unsigned size,
                   unsigned access);
void probe_effective(struct translation *t, struct decoded *d, const ZydisDecodedOperand *op);
// R14 = base + index * scale + displacement, of guest registers; either may be INSN_NO_REGISTER, but not both
void probe_registers(struct translation *t, unsigned wide, unsigned base, unsigned index, unsigned scale,
                     s32 displacement);
// R14 offset to linear
void probe_segment(struct translation *t, struct decoded *d, const ZydisDecodedOperand *op, unsigned size,
                   unsigned access);
void probe_emit(struct translation *t, struct decoded *d, unsigned size, unsigned access); // R14 linear to host's
void probe_compare(struct translation *t, unsigned size, enum access tag); // its parts: then JA misses,
void probe_translate(struct translation *t);                               // and this finishes
struct slow_path *probe_last(struct translation *t);
void probe_slow_paths(struct translation *t); // the block is made otherwise
void flags_to_memory(struct translation *t);
void flags_to_live(struct translation *t, unsigned scratch);

// span.c
void span_plan(struct translation *t);                     // the block is decoded
bool span_emit(struct translation *t, struct decoded *d);  // true: the host address is R14 + t->displacement

// loop.c
bool loop_closes(const struct translation *t, const struct decoded *d); // it branches to where the block began
void loop_unroll(struct translation *t); // what is decoded ends with such a branch: more rounds behind it

// repeat.c
bool repeat_emit(struct translation *t, struct decoded *d); // false: nothing emitted, it is C's
void repeat_slow_calls(struct translation *t);              // the block is made otherwise

// copy.c
bool copy_emit(struct translation *t, struct decoded *d);
void copy_operation(struct translation *t, struct decoded *d); // the re-encoded instruction alone, host address in R14
const ZydisDecodedOperand *copy_memory_operand(const struct decoded *d); // the one it accesses, or NULL
bool copy_may_span(const struct decoded *d);              // that operand is where it says, and nowhere else
unsigned copy_access(const struct decoded *d, const ZydisDecodedOperand *op);
// Guest R14 and R15 stay in the host's from one register instruction to the next. copy_spill: memory has them again;
// copy_release: and the host register may be used for something else.
bool copy_is_register_form(const struct decoded *d);
// a memory form that needs no register but R14
bool copy_leaves_r14(const struct decoded *d); // a register form that has nothing to do with R14
bool copy_keeps_r15(const struct translation *t, const struct decoded *d);
void copy_spill(struct translation *t);
void copy_release(struct translation *t, unsigned reg);
void copy_load_gpr(struct translation *t, unsigned host, unsigned guest); // host register = guest register
void copy_store_gpr(struct translation *t, unsigned host, unsigned guest);

// flow.c
void flow_emit(struct translation *t, struct decoded *d);
void stack_emit(struct translation *t, struct decoded *d);
bool flow_inline(const struct translation *t, const struct decoded *d); // translate.c: not in C
void flow_plain(struct translation *t, struct decoded *d); // JA to the MODE_PLAIN translation from this instruction on
void flow_poll(struct translation *t, struct decoded *d);
s64 flow_target(const struct decoded *d); // of a direct branch, relative to the page
u32 flow_return_extra(const struct decoded *d); // bytes that a RET pops beside the address
bool flow_keeps_registers(const struct decoded *d); // guest R14 and R15 may be in the host's at it (flow_inline)
bool flow_is_backward_condition(const struct decoded *d);
void flow_fallthrough(struct translation *t, unsigned position);
void flow_system(struct translation *t, struct decoded *d);
void flow_call(struct translation *t, struct decoded *d, u32 insn_id);
void flow_leave(struct translation *t, struct decoded *d, enum exit_kind kind, u32 argument);
void flow_exits(struct translation *t); // stubs of unlinked exits; the block is made otherwise
