// Operands of decoded instructions (access.h): registers, effective addresses, and the segment checks in front of every
// linear address.
#include "engine/soft/access.h"
#include "engine/soft/event.h"

u64 gpr_read(const struct cpu *cpu, unsigned reg, unsigned size)
{
    u64 value = cpu->gpr[reg & 15];
    return size >= 8 ? value : value & ((1ull << 8 * size) - 1);
}

void gpr_write(struct cpu *cpu, unsigned reg, unsigned size, u64 value)
{
    u64 *target = &cpu->gpr[reg & 15];
    switch (size) {
    case 1:
        *target = (*target & ~0xffull) | (u8)value;
        break;
    case 2:
        *target = (*target & ~0xffffull) | (u16)value;
        break;
    case 4:
        *target = (u32)value;
        break;
    default:
        *target = value;
    }
}

static u64 operand_truncate(u64 value, unsigned size) { return size >= 8 ? value : value & ((1ull << 8 * size) - 1); }

u64 operand_offset(struct cpu *cpu, const struct insn *insn, unsigned index)
{
    const struct operand *operand = &insn->operand[index];
    u64 offset = (u64)operand->value;
    if (operand->base == INSN_RIP)
        offset += cpu->next_rip;
    else if (operand->base != INSN_NO_REGISTER)
        offset += cpu->gpr[operand->base & 15];
    if (operand->index != INSN_NO_REGISTER)
        offset += cpu->gpr[operand->index & 15] * operand->scale;
    return operand_truncate(offset, insn->address_size);
}

_Noreturn static void access_segment_fault(struct cpu *cpu, unsigned segment)
{
    cpu_raise_code(cpu, segment == SEG_SS ? VECTOR_SS : VECTOR_GP, 0);
}

// SDM 3A 5.3 and 5.4: null and type only matter in protected mode; in real and virtual-8086 mode the limit does.
static bool access_segment_allows(const struct cpu *cpu, const struct segment *segment, u64 offset, unsigned size,
                                  enum access access)
{
    const u32 rights = segment->access;
    bool code = rights & AR_CODE;
    if (cpu_protected(cpu) && !cpu_v8086(cpu)) {
        if (rights & AR_UNUSABLE)
            return false;
        if (access == ACCESS_WRITE && (code || !(rights & AR_RW)))
            return false;
        if (access == ACCESS_READ && code && !(rights & AR_RW))
            return false;
    }
    u64 last = offset + (size ? size - 1 : 0);
    if (!code && rights & AR_EXPAND_DOWN)
        return offset > segment->limit && last <= (rights & AR_DB ? 0xffffffff : 0xffff);
    return last <= segment->limit || segment->limit == 0xffffffff; // a flat segment wraps around
}

u64 access_linear(struct cpu *cpu, unsigned segment, u64 offset, unsigned size, enum access access)
{
    const struct segment *descriptor = &cpu->segment[segment];
    if (cpu_code64(cpu)) {
        u64 linear = offset + (segment == SEG_FS || segment == SEG_GS ? descriptor->base : 0);
        if (!cpu_canonical(linear) || (size && !cpu_canonical(linear + size - 1)))
            access_segment_fault(cpu, segment);
        return linear;
    }
    if (!access_segment_allows(cpu, descriptor, offset, size, access))
        access_segment_fault(cpu, segment);
    return (u32)(descriptor->base + offset);
}

u64 operand_linear(struct cpu *cpu, const struct insn *insn, unsigned index, unsigned size, enum access access)
{
    return access_linear(cpu, insn->operand[index].segment, operand_offset(cpu, insn, index), size, access);
}

u64 operand_read(struct cpu *cpu, const struct insn *insn, unsigned index)
{
    const struct operand *operand = &insn->operand[index];
    switch (operand->kind) {
    case OPERAND_GPR:
        return gpr_read(cpu, operand->reg, operand->size);
    case OPERAND_HIGH_BYTE:
        return cpu->gpr[operand->reg & 3] >> 8 & 0xff;
    case OPERAND_SEGMENT:
        return cpu->segment[operand->reg % SEG_COUNT].selector;
    case OPERAND_IMMEDIATE:
        return operand_truncate((u64)operand->value, operand->size);
    case OPERAND_MEMORY:
        return access_read(cpu, operand_linear(cpu, insn, index, operand->size, ACCESS_READ), operand->size);
    default:
        return 0;
    }
}

void operand_write(struct cpu *cpu, const struct insn *insn, unsigned index, u64 value)
{
    const struct operand *operand = &insn->operand[index];
    switch (operand->kind) {
    case OPERAND_GPR:
        gpr_write(cpu, operand->reg, operand->size, value);
        break;
    case OPERAND_HIGH_BYTE: {
        u64 *target = &cpu->gpr[operand->reg & 3];
        *target = (*target & ~0xff00ull) | (value & 0xff) << 8;
        break;
    }
    case OPERAND_MEMORY:
        access_write(cpu, operand_linear(cpu, insn, index, operand->size, ACCESS_WRITE), operand->size, value);
        break;
    default:
        break;
    }
}
