// Transfers that load CS: far JMP, CALL and RET, call gates, IRET, and the INT family. The checks follow the pages of
// those instructions in SDM 2A/2B in their order. Frames are built and read through struct stack, and CS, SS and RSP
// are written last, so that a fault at any point finds the CPU unchanged. Task switches are task.c's.
#include "engine/soft/access.h"
#include "engine/soft/insn_far.h"
#include "engine/soft/intercept.h"
#include "engine/soft/segment.h"
#include "engine/soft/stack.h"
#include "engine/soft/task.h"

static _Noreturn void far_fault(struct cpu *cpu, u32 code)
{
    cpu_raise_code(cpu, VECTOR_GP, code);
}

static bool far_real(const struct cpu *cpu)
{
    return !cpu_protected(cpu) || cpu_v8086(cpu);
}

static void far_check_offset(struct cpu *cpu, const struct segment *code, u64 offset)
{
    bool wide = cpu_long(cpu) && code->access & AR_L;
    if (wide ? !cpu_canonical(offset) : offset > code->limit)
        far_fault(cpu, 0);
}

// Where a far JMP or CALL points to.
struct pointer {
    u64 offset;
    u16 selector;
};

static struct pointer far_operand(struct cpu *cpu, const struct insn *insn)
{
    const struct operand *operand = &insn->operand[0];
    unsigned size = insn->operand_size;
    struct pointer pointer = {.offset = operand->value, .selector = operand->selector};
    if (operand->kind == OPERAND_MEMORY) {
        u64 linear = operand_linear(cpu, insn, 0, size + 2, ACCESS_READ);
        pointer.offset = access_read(cpu, linear, size);
        pointer.selector = access_read(cpu, linear + size, 2);
    }
    if (size < 8)
        pointer.offset &= (1ull << size * 8) - 1;
    return pointer;
}

// A code segment for a direct JMP or CALL, or for a JMP through a gate: privilege stays what it is.
static struct segment far_same_privilege(struct cpu *cpu, u16 selector, u64 raw, bool gate)
{
    u32 code = selector & 0xfffc;
    unsigned dpl = descriptor_dpl(raw);
    bool allowed = descriptor_conforming(raw) ? dpl <= cpu->cpl :
        dpl == cpu->cpl && (gate || selector_rpl(selector) <= cpu->cpl);
    bool both = cpu_long(cpu) && (raw >> 53 & 3) == 3; // L and D
    if (!descriptor_code(raw) || !allowed || both)
        far_fault(cpu, code);
    if (!descriptor_present(raw))
        cpu_raise_code(cpu, VECTOR_NP, code);
    return segment_prepare_code(cpu, selector, raw, cpu->cpl);
}

struct call_gate {
    u64 offset, raw; // raw: the code segment's descriptor
    u16 selector;
    u8 size;         // of pushes
    u8 words;        // parameters to copy
};

static struct call_gate far_read_gate(struct cpu *cpu, u16 selector, u64 raw)
{
    u32 code = selector & 0xfffc;
    if (descriptor_dpl(raw) < cpu->cpl || selector_rpl(selector) > descriptor_dpl(raw))
        far_fault(cpu, code);
    if (!descriptor_present(raw))
        cpu_raise_code(cpu, VECTOR_NP, code);
    bool wide = cpu_long(cpu), narrow = descriptor_type(raw) == DESCRIPTOR_CALL16;
    struct call_gate gate = {
        .offset = (raw & 0xffff) | (narrow ? 0 : raw >> 32 & 0xffff0000), .selector = raw >> 16,
        .size = wide ? 8 : narrow ? 2 : 4, .words = wide ? 0 : raw >> 32 & 0x1f,
    };
    if (wide)
        gate.offset |= segment_fetch_upper(cpu, selector, VECTOR_GP, 0) << 32;
    if (selector_null(gate.selector))
        far_fault(cpu, 0);
    gate.raw = segment_fetch(cpu, gate.selector, VECTOR_GP, 0);
    code = gate.selector & 0xfffc;
    if (!descriptor_code(gate.raw) || descriptor_dpl(gate.raw) > cpu->cpl || (wide && (gate.raw >> 53 & 3) != 1))
        far_fault(cpu, code);
    if (!descriptor_present(gate.raw))
        cpu_raise_code(cpu, VECTOR_NP, code);
    return gate;
}

static void far_task(struct cpu *cpu, u16 selector, u64 raw, enum task_source source)
{
    u32 code = selector & 0xfffc;
    if (descriptor_dpl(raw) < cpu->cpl || selector_rpl(selector) > descriptor_dpl(raw))
        far_fault(cpu, code);
    u16 tss = selector;
    if (descriptor_type(raw) == DESCRIPTOR_TASK) {
        if (!descriptor_present(raw))
            cpu_raise_code(cpu, VECTOR_NP, code);
        tss = raw >> 16;
    }
    task_switch(cpu, tss, source, cpu->next_rip, 0, false, 0);
}

// What a selector leads to that is no code segment. True: it was a call gate, now in *gate. False: a task switch, done.
static bool far_system(struct cpu *cpu, u16 selector, u64 raw, enum task_source source, struct call_gate *gate)
{
    unsigned type = descriptor_type(raw);
    bool known = !descriptor_s(raw);
    if (known && (type == DESCRIPTOR_CALL32 || (type == DESCRIPTOR_CALL16 && !cpu_long(cpu)))) {
        *gate = far_read_gate(cpu, selector, raw);
        return true;
    }
    bool task = type == DESCRIPTOR_TASK || type == DESCRIPTOR_TSS16 || type == DESCRIPTOR_TSS32;
    if (!known || !task || cpu_long(cpu))
        far_fault(cpu, selector & 0xfffc);
    far_task(cpu, selector, raw, source);
    return false;
}

static void far_jump_real(struct cpu *cpu, struct pointer pointer)
{
    if (pointer.offset > (cpu_v8086(cpu) ? 0xffff : cpu->segment[SEG_CS].limit))
        far_fault(cpu, 0);
    segment_set_real(cpu, SEG_CS, pointer.selector);
    cpu->next_rip = pointer.offset;
    cpu_mode_update(cpu);
}

void insn_jmp_far(struct cpu *cpu, const struct insn *insn)
{
    struct pointer pointer = far_operand(cpu, insn);
    if (far_real(cpu)) {
        far_jump_real(cpu, pointer);
        return;
    }
    if (selector_null(pointer.selector))
        far_fault(cpu, 0);
    u64 raw = segment_fetch(cpu, pointer.selector, VECTOR_GP, 0);
    bool direct = descriptor_code(raw);
    if (!direct) {
        struct call_gate gate;
        if (!far_system(cpu, pointer.selector, raw, TASK_JUMP, &gate))
            return;
        pointer = (struct pointer){.offset = gate.offset, .selector = gate.selector};
        raw = gate.raw;
    }
    struct segment code = far_same_privilege(cpu, pointer.selector, raw, !direct);
    far_check_offset(cpu, &code, pointer.offset);
    cpu->next_rip = pointer.offset;
    segment_set_code(cpu, code, cpu->cpl);
}

// The inner ring's stack for a call gate: SDM 2A, CALL, MORE-PRIVILEGE.
static struct stack far_inner_stack(struct cpu *cpu, unsigned cpl)
{
    const struct segment *tss = &cpu->segment[SEG_TR];
    unsigned type = tss->access & AR_TYPE;
    unsigned size = cpu_long(cpu) ? 8 : type >= DESCRIPTOR_TSS32 ? 4 : 2;
    unsigned offset = size == 8 ? 4 + cpl * 8 : size == 4 ? 4 + cpl * 8 : 2 + cpl * 4;
    unsigned bytes = size == 8 ? 8 : size + 2;
    if (offset + bytes - 1 > tss->limit)
        cpu_raise_code(cpu, VECTOR_TS, tss->selector & 0xfffc);
    u64 linear = cpu_long(cpu) ? tss->base + offset : (u32)(tss->base + offset);
    u64 pointer = access_read_system(cpu, linear, size);
    if (size == 8) {
        if (!cpu_canonical(pointer))
            cpu_raise_code(cpu, VECTOR_SS, 0);
        struct stack stack = stack_flat(pointer, cpl, 0);
        stack.segment = (struct segment){.selector = cpl, .access = AR_UNUSABLE | cpl << AR_DPL_SHIFT};
        return stack;
    }
    u16 selector = access_read_system(cpu, (u32)(linear + size), 2);
    struct segment segment = segment_prepare_stack(cpu, selector, cpl, VECTOR_TS, 0);
    return stack_segment(segment, pointer, cpl, selector & 0xfffc);
}

static void far_call_inner(struct cpu *cpu, const struct call_gate *gate)
{
    unsigned cpl = descriptor_dpl(gate->raw);
    struct stack outer = stack_current(cpu, 0), stack = far_inner_stack(cpu, cpl);
    stack_check(cpu, &stack, (4 + gate->words) * gate->size);
    struct segment code = segment_prepare_code(cpu, gate->selector, gate->raw, cpl);
    far_check_offset(cpu, &code, gate->offset);
    stack_push(cpu, &stack, gate->size, cpu->segment[SEG_SS].selector);
    stack_push(cpu, &stack, gate->size, cpu->gpr[RSP]);
    for (unsigned i = gate->words; i > 0; i--)
        stack_push(cpu, &stack, gate->size, stack_peek(cpu, &outer, (i - 1) * gate->size, gate->size));
    stack_push(cpu, &stack, gate->size, cpu->segment[SEG_CS].selector);
    stack_push(cpu, &stack, gate->size, cpu->next_rip);
    segment_set(cpu, SEG_SS, stack.segment);
    cpu->gpr[RSP] = stack_rsp(&stack, cpu->gpr[RSP]);
    cpu->next_rip = gate->offset;
    segment_set_code(cpu, code, cpl);
}

static void far_call_same(struct cpu *cpu, struct segment code, u64 offset, unsigned size)
{
    struct stack stack = stack_current(cpu, 0);
    stack_check(cpu, &stack, 2 * size);
    far_check_offset(cpu, &code, offset);
    stack_push(cpu, &stack, size, cpu->segment[SEG_CS].selector);
    stack_push(cpu, &stack, size, cpu->next_rip);
    cpu->gpr[RSP] = stack_rsp(&stack, cpu->gpr[RSP]);
    cpu->next_rip = offset;
    segment_set_code(cpu, code, cpu->cpl);
}

static void far_call_real(struct cpu *cpu, struct pointer pointer, unsigned size)
{
    struct stack stack = stack_current(cpu, 0);
    stack_check(cpu, &stack, 2 * size);
    if (pointer.offset > (cpu_v8086(cpu) ? 0xffff : cpu->segment[SEG_CS].limit))
        far_fault(cpu, 0);
    stack_push(cpu, &stack, size, cpu->segment[SEG_CS].selector);
    stack_push(cpu, &stack, size, cpu->next_rip);
    cpu->gpr[RSP] = stack_rsp(&stack, cpu->gpr[RSP]);
    far_jump_real(cpu, pointer);
}

void insn_call_far(struct cpu *cpu, const struct insn *insn)
{
    struct pointer pointer = far_operand(cpu, insn);
    if (far_real(cpu)) {
        far_call_real(cpu, pointer, insn->operand_size);
        return;
    }
    if (selector_null(pointer.selector))
        far_fault(cpu, 0);
    u64 raw = segment_fetch(cpu, pointer.selector, VECTOR_GP, 0);
    if (descriptor_code(raw)) {
        struct segment code = far_same_privilege(cpu, pointer.selector, raw, false);
        far_call_same(cpu, code, pointer.offset, insn->operand_size);
        return;
    }
    struct call_gate gate;
    if (!far_system(cpu, pointer.selector, raw, TASK_CALL, &gate))
        return;
    if (!descriptor_conforming(gate.raw) && descriptor_dpl(gate.raw) < cpu->cpl) {
        far_call_inner(cpu, &gate);
    } else {
        struct segment code = segment_prepare_code(cpu, gate.selector, gate.raw, cpu->cpl);
        far_call_same(cpu, code, gate.offset, gate.size);
    }
}

// The code segment a RET or IRET goes back to.
static struct segment far_return_code(struct cpu *cpu, u16 selector)
{
    u32 code = selector & 0xfffc;
    if (selector_null(selector))
        far_fault(cpu, 0);
    u64 raw = segment_fetch(cpu, selector, VECTOR_GP, 0);
    unsigned rpl = selector_rpl(selector), dpl = descriptor_dpl(raw);
    bool both = cpu_long(cpu) && (raw >> 53 & 3) == 3;
    if (!descriptor_code(raw) || rpl < cpu->cpl || (descriptor_conforming(raw) ? dpl > rpl : dpl != rpl) || both)
        far_fault(cpu, code);
    if (!descriptor_present(raw))
        cpu_raise_code(cpu, VECTOR_NP, code);
    return segment_prepare_code(cpu, selector, raw, rpl);
}

// The stack segment a RET or IRET goes back to. Null is good for 64-bit code of rings 0 to 2.
static struct segment far_return_stack(struct cpu *cpu, u16 selector, const struct segment *code)
{
    unsigned cpl = selector_rpl(code->selector);
    if (!selector_null(selector))
        return segment_prepare_stack(cpu, selector, cpl, VECTOR_GP, 0);
    if (!cpu_long(cpu) || !(code->access & AR_L) || cpl == 3 || selector_rpl(selector) != cpl)
        far_fault(cpu, 0);
    return (struct segment){.selector = selector, .access = AR_UNUSABLE | cpl << AR_DPL_SHIFT};
}

// Takes CS, SS and RSP back; RSP's width is the new stack's. `adjust`: the bytes a RET n releases.
static void far_return_outer(struct cpu *cpu, struct segment code, struct segment stack, u64 rsp, u64 adjust)
{
    bool outer = selector_rpl(code.selector) != cpu->cpl;
    segment_set(cpu, SEG_SS, stack);
    segment_set_code(cpu, code, selector_rpl(code.selector));
    segment_set_rsp(cpu, rsp + adjust);
    if (outer)
        segment_drop_privileged(cpu);
}

static void far_return_real(struct cpu *cpu, struct stack *stack, unsigned size, u64 release)
{
    u64 offset = stack_pop(cpu, stack, size);
    u16 selector = stack_pop(cpu, stack, size);
    stack_skip(stack, release);
    far_jump_real(cpu, (struct pointer){.offset = offset, .selector = selector});
    cpu->gpr[RSP] = stack_rsp(stack, cpu->gpr[RSP]);
}

void insn_ret_far(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size;
    u64 release = insn->count && insn->operand[0].kind == OPERAND_IMMEDIATE ? (u16)insn->operand[0].value : 0;
    struct stack stack = stack_current(cpu, 0);
    if (far_real(cpu)) {
        far_return_real(cpu, &stack, size, release);
        return;
    }
    u64 offset = stack_pop(cpu, &stack, size);
    u16 selector = stack_pop(cpu, &stack, size);
    struct segment code = far_return_code(cpu, selector);
    stack_skip(&stack, release);
    if (selector_rpl(selector) == cpu->cpl) {
        far_check_offset(cpu, &code, offset);
        cpu->gpr[RSP] = stack_rsp(&stack, cpu->gpr[RSP]);
        segment_set_code(cpu, code, cpu->cpl);
    } else {
        u64 rsp = stack_pop(cpu, &stack, size);
        u16 stack_selector = stack_pop(cpu, &stack, size);
        struct segment outer = far_return_stack(cpu, stack_selector, &code);
        far_check_offset(cpu, &code, offset);
        far_return_outer(cpu, code, outer, rsp, release);
    }
    cpu->next_rip = offset;
}

// The flags IRET may change at this CPL and operand size (SDM 2A, IRET).
static void far_load_flags(struct cpu *cpu, u64 value, unsigned size, unsigned cpl)
{
    u64 writable = FLAGS_ARITHMETIC | FLAG_TF | FLAG_DF | FLAG_NT;
    if (size > 2)
        writable |= FLAG_RF | FLAG_AC | FLAG_ID;
    if (cpl <= cpu_iopl(cpu))
        writable |= FLAG_IF;
    if (cpl == 0) {
        writable |= FLAG_IOPL;
        if (size > 2)
            writable |= FLAG_VIF | FLAG_VIP;
    }
    cpu->rflags = (cpu->rflags & ~writable) | (value & writable) | FLAG_FIXED;
}

static void far_iret_real(struct cpu *cpu, unsigned size)
{
    if (cpu_v8086(cpu) && cpu_iopl(cpu) != 3)
        far_fault(cpu, 0);
    struct stack stack = stack_current(cpu, 0);
    u64 flags = stack_peek(cpu, &stack, 2 * size, size);
    far_return_real(cpu, &stack, size, size);
    far_load_flags(cpu, flags, size, cpu->cpl);
    cpu_mode_update(cpu);
}

static void far_iret_v8086(struct cpu *cpu, struct stack *stack, u64 offset, u16 selector, u64 flags)
{
    u64 rsp = stack_pop(cpu, stack, 4);
    u16 value[5];
    static const u8 order[] = {SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    for (unsigned i = 0; i < ARRAY_SIZE(order); i++)
        value[i] = stack_pop(cpu, stack, 4);
    if (offset > 0xffff)
        far_fault(cpu, 0);
    far_load_flags(cpu, flags, 4, 0);
    cpu->rflags |= FLAG_VM;
    cpu->cpl = 3;
    for (unsigned i = 0; i < ARRAY_SIZE(order); i++)
        segment_set_real(cpu, order[i], value[i]);
    segment_set_real(cpu, SEG_CS, selector);
    cpu->gpr[RSP] = (u32)rsp;
    cpu->next_rip = offset;
    cpu_mode_update(cpu);
}

static void far_iret_protected(struct cpu *cpu, unsigned size)
{
    struct stack stack = stack_current(cpu, 0);
    u64 offset = stack_pop(cpu, &stack, size);
    u16 selector = stack_pop(cpu, &stack, size);
    u64 flags = stack_pop(cpu, &stack, size);
    unsigned cpl = cpu->cpl;
    if (flags & FLAG_VM && size == 4 && cpl == 0 && !cpu_long(cpu)) {
        far_iret_v8086(cpu, &stack, offset, selector, flags);
        return;
    }
    struct segment code = far_return_code(cpu, selector);
    if (cpu_code64(cpu) || selector_rpl(selector) != cpl) { // 64-bit mode always has SS:RSP in the frame
        u64 rsp = stack_pop(cpu, &stack, size);
        u16 stack_selector = stack_pop(cpu, &stack, size);
        struct segment outer = far_return_stack(cpu, stack_selector, &code);
        far_check_offset(cpu, &code, offset);
        far_load_flags(cpu, flags, size, cpl);
        far_return_outer(cpu, code, outer, rsp, 0);
    } else {
        far_check_offset(cpu, &code, offset);
        far_load_flags(cpu, flags, size, cpl);
        cpu->gpr[RSP] = stack_rsp(&stack, cpu->gpr[RSP]);
        segment_set_code(cpu, code, cpl);
    }
    cpu->next_rip = offset;
}

static void far_iret_task(struct cpu *cpu)
{
    if (cpu_long(cpu))
        far_fault(cpu, 0);
    u16 link = access_read_system(cpu, (u32)cpu->segment[SEG_TR].base, 2);
    task_switch(cpu, link, TASK_IRET, cpu->next_rip, 0, false, 0);
}

void insn_iret(struct cpu *cpu, const struct insn *insn)
{
    u64 old = cpu->rflags;
    bool blocked = cpu->interruptibility & BLOCKING_NMI;
    // NMIs are let in even when the instruction itself faults (SDM 3A 6.7.1).
    if (blocked && (!cpu->guest_mode || intercept_iret_unblocks(cpu)))
        cpu->interruptibility &= ~(u32)BLOCKING_NMI;
    if (far_real(cpu))
        far_iret_real(cpu, insn->operand_size);
    else if (cpu->rflags & FLAG_NT)
        far_iret_task(cpu);
    else
        far_iret_protected(cpu, insn->operand_size);
    if (blocked || cpu->rflags & ~old & FLAG_IF)
        event_unmasked(cpu);
}

void insn_int(struct cpu *cpu, const struct insn *insn)
{
    if (cpu_v8086(cpu) && cpu_iopl(cpu) != 3)
        far_fault(cpu, 0);
    cpu_raise_software(cpu, EVENT_SOFT_INTERRUPT, (u8)insn->operand[0].value, insn->length);
}

void insn_int3(struct cpu *cpu, const struct insn *insn)
{
    cpu_raise_software(cpu, EVENT_SOFT_EXCEPTION, VECTOR_BP, insn->length);
}

void insn_into(struct cpu *cpu, const struct insn *insn)
{
    if (cpu->rflags & FLAG_OF)
        cpu_raise_software(cpu, EVENT_SOFT_EXCEPTION, VECTOR_OF, insn->length);
}

void insn_int1(struct cpu *cpu, const struct insn *insn)
{
    cpu_raise_software(cpu, EVENT_PRIVILEGED_EXCEPTION, VECTOR_DB, insn->length);
}
