// Segment registers: loading them with every check of the manual, and the descriptors they are loaded from.
// Instructions, event delivery and task switches share these; each names the exception its context wants.
#pragma once

#include "engine/soft/cpu.h"

// System descriptor types (SDM 3A table 3-2). In IA-32e mode only LDT, TSS32 and the 32-bit gates exist, 64 bits wide.
enum {
    DESCRIPTOR_TSS16 = 1, DESCRIPTOR_LDT = 2, DESCRIPTOR_TSS16_BUSY = 3, DESCRIPTOR_CALL16 = 4, DESCRIPTOR_TASK = 5,
    DESCRIPTOR_INTERRUPT16 = 6, DESCRIPTOR_TRAP16 = 7, DESCRIPTOR_TSS32 = 9, DESCRIPTOR_TSS32_BUSY = 11,
    DESCRIPTOR_CALL32 = 12, DESCRIPTOR_INTERRUPT32 = 14, DESCRIPTOR_TRAP32 = 15,
};

// Fields of a descriptor as it lies in memory.
static inline unsigned descriptor_type(u64 raw) { return raw >> 40 & 0xf; }
static inline bool descriptor_s(u64 raw) { return raw >> 44 & 1; }
static inline unsigned descriptor_dpl(u64 raw) { return raw >> 45 & 3; }
static inline bool descriptor_present(u64 raw) { return raw >> 47 & 1; }
static inline bool descriptor_code(u64 raw) { return (raw >> 43 & 3) == 3; } // S, and the code bit of the type
static inline bool descriptor_conforming(u64 raw) { return raw >> 42 & 1; }

static inline bool selector_null(u16 selector) { return !(selector & ~3u); }
static inline unsigned selector_rpl(u16 selector) { return selector & 3; }

struct segment segment_from_descriptor(u16 selector, u64 raw);

// Linear address of a selector's descriptor; false when it lies beyond its table (or there is no LDT).
bool segment_locate(const struct cpu *cpu, u16 selector, unsigned bytes, u64 *linear);
// The descriptor's eight bytes; out of the table: raises `vector` with the selector as error code, `ext` in bit 0.
u64 segment_fetch(struct cpu *cpu, u16 selector, enum vector vector, unsigned ext);
// The upper eight bytes of a 16-byte system descriptor; raises #GP(selector) when it is cut off or malformed.
u64 segment_fetch_upper(struct cpu *cpu, u16 selector, enum vector vector, unsigned ext);
// Sets and clears bits 40..43 of the descriptor in memory, atomically; used for accessed and busy bits.
void segment_mark(struct cpu *cpu, u16 selector, unsigned set, unsigned clear);

// MOV to DS, ES, FS, GS, SS and everything that behaves like it. Faults do not return; nothing changed then.
void segment_load(struct cpu *cpu, enum segment_index index, u16 selector);

// The parts of it that other transfers need: SS of a stack at privilege `cpl` (raising `vector`: #TS for inner stacks,
// #GP for outer ones), and CS after its checks were made.
struct segment segment_prepare_stack(struct cpu *cpu, u16 selector, unsigned cpl, enum vector vector, unsigned ext);
struct segment segment_prepare_code(struct cpu *cpu, u16 selector, u64 raw, unsigned cpl); // marks it accessed
void segment_set_code(struct cpu *cpu, struct segment code, unsigned cpl);  // ends with cpu_mode_update
void segment_set_null(struct cpu *cpu, enum segment_index index, u16 selector, unsigned dpl);
void segment_set_real(struct cpu *cpu, enum segment_index index, u16 selector); // real or virtual-8086 mode load
void segment_drop_privileged(struct cpu *cpu); // data segments that a return to an outer ring takes away

// The only ways to write cpu->segment[] by hand, since fs_base and gs_base repeat it.
void segment_set(struct cpu *cpu, enum segment_index index, struct segment segment);
void segment_set_base(struct cpu *cpu, enum segment_index index, u64 base);

// Stack pointer arithmetic: 8, 4 or 2 bytes of RSP (64-bit mode, SS.B).
static inline u64 segment_stack_mask(const struct cpu *cpu)
{
    if (cpu_code64(cpu))
        return ~0ull;
    return cpu->segment[SEG_SS].access & AR_DB ? 0xffffffff : 0xffff;
}
// By segment_stack_mask; other bits of RSP are kept (16) or cleared (32).
void segment_set_rsp(struct cpu *cpu, u64 value);

// Whether [offset, offset+bytes) lies within a data or stack segment's limit.
bool segment_contains(const struct segment *segment, u64 offset, unsigned bytes);
