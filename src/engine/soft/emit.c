// See emit.h.
#include "engine/soft/emit.h"

static void emit_displacement(struct emit *e, unsigned mod, s32 displacement)
{
    if (mod == 1)
        emit8(e, (u8)displacement);
    else if (mod == 2)
        emit32(e, (u32)displacement);
}

void emit_memory(struct emit *e, unsigned wide, unsigned opcode, unsigned reg, unsigned base, unsigned index,
                 unsigned scale, s32 displacement)
{
    bool has_base = base != INSN_NO_REGISTER, has_index = index != INSN_NO_REGISTER;
    emit_rex(e, wide, reg, has_index ? index : 0, has_base ? base : 0);
    emit_opcode(e, opcode);

    unsigned mod = displacement == 0 && (base & 7) != 5 ? 0 : displacement == (s8)displacement ? 1 : 2;
    if (!has_base)
        mod = 0;
    if (has_base && !has_index && (base & 7) != 4) {
        emit8(e, (u8)(mod << 6 | (reg & 7) << 3 | (base & 7)));
        emit_displacement(e, mod, displacement);
        return;
    }
    unsigned log = scale == 8 ? 3 : scale == 4 ? 2 : scale == 2 ? 1 : 0;
    emit8(e, (u8)(mod << 6 | (reg & 7) << 3 | 4));
    emit8(e, (u8)(log << 6 | (has_index ? index & 7 : 4) << 3 | (has_base ? base & 7 : 5)));
    if (has_base)
        emit_displacement(e, mod, displacement);
    else
        emit32(e, (u32)displacement);
}

void emit_mov_imm(struct emit *e, unsigned reg, u64 value)
{
    if (value == (u32)value) {
        emit_rex(e, WIDTH32, 0, 0, reg);
        emit8(e, (u8)(0xb8 | (reg & 7)));
        emit32(e, (u32)value);
    } else if ((s64)value == (s32)value) {
        emit_rex(e, WIDTH64, 0, 0, reg);
        emit8(e, 0xc7);
        emit8(e, (u8)(0xc0 | (reg & 7)));
        emit32(e, (u32)value);
    } else {
        emit_rex(e, WIDTH64, 0, 0, reg);
        emit8(e, (u8)(0xb8 | (reg & 7)));
        emit64(e, value);
    }
}

void emit_jump(struct emit *e, unsigned condition, const void *target)
{
    emit_patch(e, emit_jump_forward(e, condition, false), target);
}

static void emit_nop(struct emit *e, unsigned bytes) // 1..3
{
    static const u8 nops[][3] = { { 0x90 }, { 0x66, 0x90 }, { 0x0f, 0x1f, 0x00 } };
    emit_bytes(e, nops[bytes - 1], bytes);
}

u8 *emit_jump_forward(struct emit *e, unsigned condition, bool patchable)
{
    unsigned opcode_bytes = condition == EMIT_ALWAYS ? 1 : 2;
    // A store of four bytes within a cache line is seen whole (SDM 3A 9.1.1).
    unsigned in_line = ((uintptr_t)e->at + opcode_bytes) & 63;
    if (patchable && in_line > 60)
        emit_nop(e, 64 - in_line);
    if (condition == EMIT_ALWAYS) {
        emit8(e, 0xe9);
    } else {
        emit8(e, 0x0f);
        emit8(e, (u8)(0x80 | condition));
    }
    u8 *rel32 = e->at;
    emit32(e, 0);
    return rel32;
}

void emit_patch(struct emit *e, u8 *rel32, const void *target)
{
    if (e->full)
        return;
    s64 distance = (const u8 *)target - (rel32 + e->to_executable + 4);
    assert(distance == (s32)distance);
    __atomic_store_n((u32 *)(void *)rel32, (u32)distance, __ATOMIC_RELEASE);
}

void emit_flags_save(struct emit *e, unsigned scratch)
{
    emit_rr(e, WIDTH64, X86_MOV_LOAD, scratch, RAX);
    emit8(e, 0x9f); // lahf
    emit_bytes(e, (const u8[]){ 0x0f, 0x90, 0xc0 }, 3); // seto al
    emit_gs(e, WIDTH32, X86_MOV_STORE, RAX, offsetof(struct cpu, flags));
    emit_rr(e, WIDTH64, X86_MOV_LOAD, RAX, scratch);
}

void emit_flags_restore(struct emit *e, unsigned scratch)
{
    if (scratch == INSN_NO_REGISTER)
        emit_gs(e, WIDTH64, X86_MOV_STORE, RAX, offsetof(struct cpu, scratch) + 24);
    else
        emit_rr(e, WIDTH64, X86_MOV_LOAD, scratch, RAX);
    emit_gs(e, WIDTH32, X86_MOV_LOAD, RAX, offsetof(struct cpu, flags));
    emit_bytes(e, (const u8[]){ 0x04, 0x7f }, 2); // add al, 0x7f: OF when AL was 1
    emit8(e, 0x9e); // sahf
    if (scratch == INSN_NO_REGISTER)
        emit_gs(e, WIDTH64, X86_MOV_LOAD, RAX, offsetof(struct cpu, scratch) + 24);
    else
        emit_rr(e, WIDTH64, X86_MOV_LOAD, RAX, scratch);
}
