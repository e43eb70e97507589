// Frames are written through a description of the stack instead of SS:RSP, so that a fault halfway leaves the CPU as it
// was: delivery and far transfers commit SS and RSP last. Access to an inner stack is a supervisor access although CPL
// is still the outer one (SDM 3A 4.6.1); a stack at the present CPL is accessed like any operand.
#include "engine/soft/access.h"
#include "engine/soft/segment.h"
#include "engine/soft/stack.h"

struct stack stack_current(const struct cpu *cpu, u32 error)
{
    return (struct stack){
        .segment = cpu->segment[SEG_SS], .pointer = cpu->gpr[RSP], .mask = segment_stack_mask(cpu),
        .error = error, .cpl = cpu->cpl, .flat = cpu_code64(cpu),
    };
}

struct stack stack_flat(u64 pointer, unsigned cpl, u32 error)
{
    return (struct stack){.pointer = pointer, .mask = ~0ull, .error = error, .cpl = cpl, .flat = true};
}

struct stack stack_segment(struct segment segment, u64 pointer, unsigned cpl, u32 error)
{
    u64 mask = segment.access & AR_DB ? 0xffffffff : 0xffff;
    return (struct stack){.segment = segment, .pointer = pointer, .mask = mask, .error = error, .cpl = cpl};
}

static u64 stack_linear(struct cpu *cpu, const struct stack *stack, u64 pointer, unsigned size)
{
    pointer &= stack->mask;
    if (stack->flat) {
        if (!cpu_canonical(pointer) || !cpu_canonical(pointer + size - 1))
            cpu_raise_code(cpu, VECTOR_SS, stack->error);
        return pointer;
    }
    if (!segment_contains(&stack->segment, pointer, size))
        cpu_raise_code(cpu, VECTOR_SS, stack->error);
    return (u32)(stack->segment.base + pointer);
}

void stack_push(struct cpu *cpu, struct stack *stack, unsigned size, u64 value)
{
    u64 pointer = stack->pointer - size;
    u64 linear = stack_linear(cpu, stack, pointer, size);
    if (stack->cpl == cpu->cpl)
        access_write(cpu, linear, size, value);
    else
        access_write_system(cpu, linear, size, value);
    stack->pointer = pointer;
}

u64 stack_peek(struct cpu *cpu, const struct stack *stack, u64 offset, unsigned size)
{
    u64 linear = stack_linear(cpu, stack, stack->pointer + offset, size);
    return stack->cpl == cpu->cpl ? access_read(cpu, linear, size) : access_read_system(cpu, linear, size);
}

u64 stack_pop(struct cpu *cpu, struct stack *stack, unsigned size)
{
    u64 value = stack_peek(cpu, stack, 0, size);
    stack->pointer += size;
    return value;
}

void stack_skip(struct stack *stack, u64 bytes)
{
    stack->pointer += bytes;
}

void stack_check(struct cpu *cpu, const struct stack *stack, unsigned bytes)
{
    stack_linear(cpu, stack, stack->pointer - bytes, bytes);
}

u64 stack_rsp(const struct stack *stack, u64 old)
{
    if (stack->mask == 0xffff)
        return (old & ~stack->mask) | (stack->pointer & stack->mask);
    return stack->pointer & stack->mask;
}
