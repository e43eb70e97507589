// A stack that is not, or not yet, SS:RSP: transfers between rings build their frames on it before anything changes.
#pragma once

#include "engine/soft/cpu.h"

struct stack {
    struct segment segment;
    u64 pointer, mask; // mask: 8, 4 or 2 bytes of the pointer count
    u32 error;         // of the #SS that leaving the segment raises
    u8 cpl;            // at whose privilege it is accessed
    bool flat;         // a 64-bit stack: canonical addresses instead of a segment
};

struct stack stack_current(const struct cpu *cpu, u32 error); // SS:RSP
struct stack stack_flat(u64 pointer, unsigned cpl, u32 error);
struct stack stack_segment(struct segment segment, u64 pointer, unsigned cpl, u32 error);

void stack_push(struct cpu *cpu, struct stack *stack, unsigned size, u64 value); // 2, 4, 8 bytes
u64 stack_pop(struct cpu *cpu, struct stack *stack, unsigned size);
void stack_skip(struct stack *stack, u64 bytes);            // as after popping so much
u64 stack_peek(struct cpu *cpu, const struct stack *stack, u64 offset, unsigned size);
// Faults as pushing `bytes` would, before any of them is written.
void stack_check(struct cpu *cpu, const struct stack *stack, unsigned bytes);
// The value RSP takes when this becomes the stack: 16-bit stacks keep the upper bits of `old`.
u64 stack_rsp(const struct stack *stack, u64 old);
