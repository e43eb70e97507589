// The C side of generated code's memory accesses (glue.c calls these; slow.c).
#pragma once

#include "engine/soft/cpu.h"

// what: size | SLOW_* << 8 | mask << 16; sets scratch[1] to where to go on
void *slow_access(struct cpu *cpu, u64 linear, u32 what);
void slow_commit(struct cpu *cpu, u64 eflags);
u64 slow_linear(struct cpu *cpu, u64 offset, u32 what);    // what: size | SLOW_* << 8 | segment << 16

// rflags <-> the form generated code keeps arithmetic flags in (LAHF's AH, SETO's AL).
static inline void flags_from_memory(struct cpu *cpu)
{
    u64 flags = (cpu->flags >> 8 & (FLAGS_ARITHMETIC & 0xff)) | (cpu->flags & 1) << 11;
    cpu->rflags = (cpu->rflags & ~FLAGS_ARITHMETIC) | flags;
}
static inline void flags_to_memory_form(struct cpu *cpu)
{
    cpu->flags = ((cpu->rflags & 0xff) | 2) << 8 | (cpu->rflags >> 11 & 1);
}
