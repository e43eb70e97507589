// Writes host instructions. The code cache is mapped twice, writable here and executable elsewhere; `at` is the
// writable cursor and emit_address says where the byte will run. Failure is sticky: past the end nothing is written and
// `full` is set, so that emitters need no error paths and the translator asks once.
#pragma once

#include "engine/soft/cpu.h"

struct emit {
    u8 *at, *end;
    s64 to_executable; // executable address = writable address + this
    bool full;
};

static inline const u8 *emit_address(const struct emit *e) { return e->at + e->to_executable; }

static inline void emit8(struct emit *e, u8 byte)
{
    if (UNLIKELY(e->at >= e->end)) {
        e->full = true;
        return;
    }
    *e->at++ = byte;
}

static inline void emit32(struct emit *e, u32 value)
{
    for (unsigned i = 0; i < 4; i++)
        emit8(e, (u8)(value >> 8 * i));
}

static inline void emit64(struct emit *e, u64 value)
{
    emit32(e, (u32)value);
    emit32(e, (u32)(value >> 32));
}

static inline void emit_bytes(struct emit *e, const u8 *bytes, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        emit8(e, bytes[i]);
}

// Host opcodes by name; two-byte ones carry their 0x0f in bits 15:8.
enum {
    X86_ADD_LOAD = 0x03, X86_OR_LOAD = 0x0b, X86_AND_LOAD = 0x23, X86_SUB_LOAD = 0x2b, X86_XOR_LOAD = 0x33,
        X86_CMP_LOAD = 0x3b,
    X86_MOVSXD = 0x63, X86_MOV_STORE = 0x89, X86_MOV_LOAD = 0x8b, X86_LEA = 0x8d, X86_JMP_MEMORY = 0xff,
    X86_MOVZX8 = 0x0fb6, X86_MOVZX16 = 0x0fb7, X86_MOVSX16 = 0x0fbf,
};

enum { WIDTH32, WIDTH64 };

static inline void emit_opcode(struct emit *e, unsigned opcode)
{
    if (opcode > 0xff)
        emit8(e, (u8)(opcode >> 8));
    emit8(e, (u8)opcode);
}

static inline void emit_rex(struct emit *e, unsigned wide, unsigned reg, unsigned index, unsigned base)
{
    u8 rex = (u8)(0x40 | wide << 3 | (reg >> 3 & 1) << 2 | (index >> 3 & 1) << 1 | (base >> 3 & 1));
    if (rex != 0x40)
        emit8(e, rex);
}

// op reg, rm with two registers
static inline void emit_rr(struct emit *e, unsigned wide, unsigned opcode, unsigned reg, unsigned rm)
{
    emit_rex(e, wide, reg, 0, rm);
    emit_opcode(e, opcode);
    emit8(e, (u8)(0xc0 | (reg & 7) << 3 | (rm & 7)));
}

// op reg, gs:[offset]: a field of the CPU
static inline void emit_gs(struct emit *e, unsigned wide, unsigned opcode, unsigned reg, size_t offset)
{
    emit8(e, 0x65);
    emit_rex(e, wide, reg, 0, 0);
    emit_opcode(e, opcode);
    emit8(e, (u8)(0x04 | (reg & 7) << 3));
    emit8(e, 0x25);
    emit32(e, (u32)offset);
}

// op reg, gs:[base + offset]; base is not RSP or R12
static inline void emit_gs_based(struct emit *e, unsigned wide, unsigned opcode, unsigned reg, unsigned base,
                                 size_t offset)
{
    emit8(e, 0x65);
    emit_rex(e, wide, reg, 0, base);
    emit_opcode(e, opcode);
    emit8(e, (u8)(0x80 | (reg & 7) << 3 | (base & 7)));
    emit32(e, (u32)offset);
}

// op reg, [base + index * scale + displacement]; base or index may be INSN_NO_REGISTER
void emit_memory(struct emit *e, unsigned wide, unsigned opcode, unsigned reg, unsigned base, unsigned index,
                 unsigned scale, s32 displacement);

// mov gs:[offset], imm32 (sign-extended to 64 bits when wide)
static inline void emit_gs_imm(struct emit *e, unsigned wide, size_t offset, u32 value)
{
    emit8(e, 0x65);
    emit_rex(e, wide, 0, 0, 0);
    emit8(e, 0xc7);
    emit8(e, 0x04);
    emit8(e, 0x25);
    emit32(e, (u32)offset);
    emit32(e, value);
}

// group-1 arithmetic or shift with an immediate: /digit
static inline void emit_alu_imm32(struct emit *e, unsigned wide, unsigned digit, unsigned rm, u32 value)
{
    emit_rex(e, wide, 0, 0, rm);
    emit8(e, 0x81);
    emit8(e, (u8)(0xc0 | digit << 3 | (rm & 7)));
    emit32(e, value);
}

static inline void emit_shift_imm(struct emit *e, unsigned wide, unsigned digit, unsigned rm, u8 count)
{
    emit_rex(e, wide, 0, 0, rm);
    emit8(e, 0xc1);
    emit8(e, (u8)(0xc0 | digit << 3 | (rm & 7)));
    emit8(e, count);
}

void emit_mov_imm(struct emit *e, unsigned reg, u64 value); // shortest form; leaves flags alone

// jmp/jcc rel32 to an executable address; `condition` 0..15, or EMIT_ALWAYS
enum { EMIT_ALWAYS = 16 };
void emit_jump(struct emit *e, unsigned condition, const void *target);

// The same with the offset to be filled in: returns the writable address of rel32. `patchable`: padded so that the
// offset can be changed by one store while other vCPUs run it.
u8 *emit_jump_forward(struct emit *e, unsigned condition, bool patchable);
void emit_patch(struct emit *e, u8 *rel32, const void *target); // target: executable address

// EFLAGS -> cpu->flags by way of `scratch`, and back. The form is LAHF's AH and SETO's AL. INSN_NO_REGISTER: no
// register is free, cpu->scratch[3] serves.
void emit_flags_save(struct emit *e, unsigned scratch);
void emit_flags_restore(struct emit *e, unsigned scratch);
