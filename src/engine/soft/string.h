// What all string instructions have in common: element size, direction, count, and how far one page reaches. Used by
// string.c and, for INS and OUTS, by io.c.
#pragma once

#include "engine/soft/bytes.h"
#include "engine/soft/cpu.h"

struct string {
    unsigned size;    // of an element, bytes
    unsigned address; // address size, bytes
    unsigned source;  // segment of the source operand
    bool repeat, down;
    u64 left;         // elements to do
    u64 chunk;        // elements to do in one go
};

enum { STRING_SOURCE = 1, STRING_TARGET = 2 };

// False when there is nothing to do (a repeat count of zero).
bool string_begin(struct cpu *cpu, const struct insn *insn, struct string *string);

// Number of elements from `offset` (linear address `linear`, which was checked) that lie in one page and within the
// segment and the address size. 0: the first one crosses a page.
u64 string_span(const struct cpu *cpu, const struct string *string, unsigned segment, u64 offset, u64 linear);

// Takes `count` elements as done: moves RSI and RDI, counts RCX and `left` down.
void string_advance(struct cpu *cpu, struct string *string, unsigned registers, u64 count);

// After a chunk: true to go on. When elements are left but something else is due first, the instruction is made to run
// again.
bool string_continue(struct cpu *cpu, const struct string *string);

// The segment of an implicit memory operand: `segment` or the override prefix.
unsigned insn_segment(const struct insn *insn, unsigned segment);
