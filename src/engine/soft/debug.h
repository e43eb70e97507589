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

// Whether any breakpoint is armed, so that instructions have to be executed one by one with the questions below.
static inline bool debug_armed(const struct cpu *cpu) { return UNLIKELY(cpu->dr[7] & DR7_ENABLES); }

void debug_execute(struct cpu *cpu); // before the instruction at cpu->rip: raises #DB for a breakpoint on it, unless RF
void debug_data(struct cpu *cpu, u64 linear, unsigned size, bool write); // adds to cpu->pending_debug
void debug_io(struct cpu *cpu, u16 port, unsigned size);
