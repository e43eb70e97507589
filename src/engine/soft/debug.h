// Debug registers at work: breakpoints on execution, data and ports, and what DR6 and DR7 become when #DB is taken.
#pragma once

#include "engine/soft/cpu.h"

#define DR6_BD (1ull << 13)
#define DR6_BS (1ull << 14)
#define DR6_BT (1ull << 15)
#define DR6_FIXED 0xffff0ff0ull // bits that read as one
#define DR7_GD (1ull << 13)
#define DR7_FIXED 0x400ull
#define DR7_ENABLES 0xffull

// #DB is about to be taken for these DR6 bits.
void debug_record(struct cpu *cpu, u64 dr6_bits);

// Whether any breakpoint is armed, so that instructions have to be executed one by one.
static inline bool debug_armed(const struct cpu *cpu) { return UNLIKELY(cpu->dr[7] & DR7_ENABLES); }

// The run loop, before the instruction at cpu->rip: true when a breakpoint is armed, so that this one instruction is
// executed alone. Raises #DB for a breakpoint on its execution.
bool debug_prepare_armed(struct cpu *cpu);
static inline bool debug_prepare(struct cpu *cpu)
{
    return UNLIKELY(debug_armed(cpu) || cpu->watched[4]) && debug_prepare_armed(cpu);
}

// An access that missed the soft TLB: adds to cpu->pending_debug what it hits. True when the page has to stay out of
// the TLB, so that the next access to it comes here too.
bool debug_watch_armed(struct cpu *cpu, u64 linear, unsigned size, enum access access);
static inline bool debug_watch(struct cpu *cpu, u64 linear, unsigned size, enum access access)
{
    return debug_armed(cpu) && debug_watch_armed(cpu, linear, size, access);
}

void debug_io(struct cpu *cpu, u16 port, unsigned size);
