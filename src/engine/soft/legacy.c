// The instructions that 64-bit mode lost, and a few with an operand that no encoding names: they cannot be re-encoded
// for the host, so this is the one place where nidus computes what an instruction computes. Flags that the manual
// leaves undefined get what processors do where that is known, else zero.
#include "engine/soft/access.h"
#include "engine/soft/fpu.h"
#include "engine/soft/insn_gather.h"
#include "engine/soft/insn_legacy.h"
#include "engine/soft/stack.h"
#include "engine/soft/string.h"

static u8 immediate(const struct insn *insn) { return insn->bytes[insn->length - 1]; }

static u8 al(const struct cpu *cpu) { return (u8)cpu->gpr[RAX]; }
static u8 ah(const struct cpu *cpu) { return (u8)(cpu->gpr[RAX] >> 8); }

static void set_ax(struct cpu *cpu, unsigned high, unsigned low)
{
    gpr_write(cpu, RAX, 2, (high & 0xff) << 8 | (low & 0xff));
}

// SF, ZF and PF from AL, the others as given.
static void decimal_flags(struct cpu *cpu, u64 others)
{
    u8 value = al(cpu);
    u64 flags = others | (value & 0x80 ? FLAG_SF : 0) | (value ? 0 : FLAG_ZF) |
                (__builtin_parity(value) ? 0 : FLAG_PF);
    cpu->rflags = (cpu->rflags & ~FLAGS_ARITHMETIC) | flags;
}

static bool low_digit_adjusts(const struct cpu *cpu) { return (al(cpu) & 0xf) > 9 || cpu->rflags & FLAG_AF; }

static void ascii_adjust(struct cpu *cpu, int sign)
{
    bool adjust = low_digit_adjusts(cpu);
    u16 ax = (u16)(cpu->gpr[RAX] + (adjust ? (u64)(sign * 0x106) : 0));
    set_ax(cpu, ax >> 8, ax & 0xf);
    decimal_flags(cpu, adjust ? FLAG_AF | FLAG_CF : 0);
}

void insn_aaa(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    ascii_adjust(cpu, 1);
}

// AAS borrows from AH once more where AL - 6 borrows: it is a subtraction from AX as a whole (SDM 2A, AAS).
void insn_aas(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    ascii_adjust(cpu, -1);
}

void insn_aam(struct cpu *cpu, const struct insn *insn)
{
    u8 base = immediate(insn), value = al(cpu);
    if (!base)
        cpu_raise(cpu, VECTOR_DE);
    set_ax(cpu, value / base, value % base);
    decimal_flags(cpu, 0);
}

void insn_aad(struct cpu *cpu, const struct insn *insn)
{
    set_ax(cpu, 0, al(cpu) + (unsigned)ah(cpu) * immediate(insn));
    decimal_flags(cpu, 0);
}

static void packed_adjust(struct cpu *cpu, int sign)
{
    u8 old = al(cpu), value = old;
    bool carry = cpu->rflags & FLAG_CF;
    u64 flags = 0;
    if (low_digit_adjusts(cpu)) {
        value = (u8)(value + sign * 6);
        flags |= FLAG_AF;
        if (sign < 0 && (carry || old < 6)) // DAS alone keeps the borrow of this step (SDM 2A)
            flags |= FLAG_CF;
        if (sign > 0 && (carry || old > 0xf9))
            flags |= FLAG_CF;
    }
    if (old > 0x99 || carry) {
        value = (u8)(value + sign * 0x60);
        flags |= FLAG_CF;
    } else if (sign > 0) {
        flags &= ~FLAG_CF;
    }
    gpr_write(cpu, RAX, 1, value);
    decimal_flags(cpu, flags);
}

void insn_daa(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    packed_adjust(cpu, 1);
}

void insn_das(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    packed_adjust(cpu, -1);
}

void insn_salc(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    gpr_write(cpu, RAX, 1, cpu->rflags & FLAG_CF ? 0xff : 0);
}

static s64 sign_extend(u64 value, unsigned size) { return (s64)(value << (64 - 8 * size)) >> (64 - 8 * size); }

static u64 address_mask(const struct insn *insn)
{
    return insn->address_size == 8 ? ~0ull : (1ull << 8 * insn->address_size) - 1;
}

void insn_bound(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size;
    s64 index = sign_extend(operand_read(cpu, insn, 0), size);
    u64 linear = operand_linear(cpu, insn, 1, size, ACCESS_READ);
    if (index < sign_extend(access_read(cpu, linear, size), size))
        cpu_raise(cpu, VECTOR_BR);
    u64 offset = (operand_offset(cpu, insn, 1) + size) & address_mask(insn);
    linear = access_linear(cpu, insn->operand[1].segment, offset, size, ACCESS_READ);
    if (index > sign_extend(access_read(cpu, linear, size), size))
        cpu_raise(cpu, VECTOR_BR);
}

void insn_pusha(struct cpu *cpu, const struct insn *insn)
{
    struct stack stack = stack_current(cpu, 0);
    for (unsigned reg = RAX; reg <= RDI; reg++) // SP's value is that before the first push, and gpr[] still has it
        stack_push(cpu, &stack, insn->operand_size, cpu->gpr[reg]);
    cpu->gpr[RSP] = stack_rsp(&stack, cpu->gpr[RSP]);
}

void insn_popa(struct cpu *cpu, const struct insn *insn)
{
    struct stack stack = stack_current(cpu, 0);
    u64 value[8];
    for (unsigned reg = RDI + 1; reg-- > RAX;)
        value[reg] = stack_pop(cpu, &stack, insn->operand_size);
    for (unsigned reg = RAX; reg <= RDI; reg++)
        if (reg != RSP)
            gpr_write(cpu, reg, insn->operand_size, value[reg]);
    cpu->gpr[RSP] = stack_rsp(&stack, cpu->gpr[RSP]);
}

// SDM 2A, ENTER: copies the outer frames' pointers from the old frame.
void insn_enter(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = insn->operand_size, level = immediate(insn) & 31;
    u16 room = (u16)(insn->bytes[insn->length - 3] | insn->bytes[insn->length - 2] << 8);
    struct stack stack = stack_current(cpu, 0), outer = stack;
    stack_push(cpu, &stack, size, cpu->gpr[RBP]);
    u64 frame = stack.pointer;
    outer.pointer = cpu->gpr[RBP];
    for (unsigned i = 1; i < level; i++) {
        outer.pointer -= size;
        stack_push(cpu, &stack, size, stack_peek(cpu, &outer, 0, size));
    }
    if (level)
        stack_push(cpu, &stack, size, frame);
    stack.pointer -= room;
    u64 linear = access_linear(cpu, SEG_SS, stack.pointer & stack.mask, 1, ACCESS_WRITE);
    access_check(cpu, linear, 1, ACCESS_WRITE); // a write there must be possible
    gpr_write(cpu, RBP, size, frame & stack.mask);
    cpu->gpr[RSP] = stack_rsp(&stack, cpu->gpr[RSP]);
}

void insn_xlat(struct cpu *cpu, const struct insn *insn)
{
    u64 offset = (cpu->gpr[RBX] + al(cpu)) & address_mask(insn);
    u64 linear = access_linear(cpu, insn_segment(insn, SEG_DS), offset, 1, ACCESS_READ);
    gpr_write(cpu, RAX, 1, access_read(cpu, linear, 1));
}

// Bytes of `data` whose sign bit is set in `select`, to DS:rDI. Processors check all bytes whatever the mask says, by
// halves of 8, the upper one first.
static void mask_move(struct cpu *cpu, const struct insn *insn, const u8 *data, const u8 *select, unsigned bytes)
{
    u64 mask = 0;
    for (unsigned i = 0; i < bytes; i++)
        mask |= (u64)(select[i] >> 7) << i;
    u64 linear[2];
    for (unsigned half = bytes / 8; half-- > 0;) {
        u64 offset = (cpu->gpr[RDI] + 8 * half) & address_mask(insn);
        linear[half] = access_linear(cpu, insn_segment(insn, SEG_DS), offset, 8, ACCESS_WRITE);
        access_check(cpu, linear[half], 8, ACCESS_WRITE);
    }
    for (unsigned half = 0; half < bytes / 8; half++)
        gather_masked_write(cpu, linear[half], data + 8 * half, 1, 8, mask >> 8 * half & 0xff);
}

// MMX registers are the physical x87 registers; an MMX instruction makes register 0 the top of stack and all of them
// valid.
void insn_maskmovq(struct cpu *cpu, const struct insn *insn)
{
    u8 old[8][16];
    fpu_save(cpu);
    struct fpu_area *area = fpu_area(cpu);
    unsigned top = area->fsw >> 11 & 7;
    if (area->fsw & 1 << 7 && cpu->cr0 & CR0_NE)
        cpu_raise(cpu, VECTOR_MF);
    bytes_copy(old, area->st, sizeof old);
    mask_move(cpu, insn, old[(insn->operand[0].reg - top) & 7], old[(insn->operand[1].reg - top) & 7], 8);
    for (unsigned i = 0; i < 8; i++)
        bytes_copy(area->st[i], old[(i - top) & 7], 16);
    area->fsw &= (u16)~(7 << 11);
    area->ftw = 0xff;
    area->xstate_bv |= 1 << XSTATE_X87;
}

void insn_maskmovdqu(struct cpu *cpu, const struct insn *insn)
{
    u8 data[16], select[16];
    fpu_save(cpu);
    fpu_vector_read(cpu, insn->operand[0].reg, data, sizeof data);
    fpu_vector_read(cpu, insn->operand[1].reg, select, sizeof select);
    mask_move(cpu, insn, data, select, sizeof data);
}

void insn_prefetch(struct cpu *cpu, const struct insn *insn)
{
    (void)cpu, (void)insn;
}

void insn_clflush(struct cpu *cpu, const struct insn *insn)
{
    access_check(cpu, operand_linear(cpu, insn, 0, 1, ACCESS_READ), 1, ACCESS_READ);
}
