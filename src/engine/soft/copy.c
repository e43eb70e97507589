// The copy class: the guest's instruction is the host's. Register forms run as they are; a memory operand becomes
// [R14], the host address that the probe left there. Only the fields that name registers are rewritten (REX, VEX, EVEX,
// ModRM); the opcode and its immediates are the guest's own bytes, which is why nothing here knows what an instruction
// computes, and why it is faster and safer than asking an encoder for an equivalent.
//
// Guest R14 and R15 live in memory. A register form loads those it uses into the host registers of the same name;
// beside a memory operand one of them fits in R15, and when both are used, or a high-byte register forbids REX, the
// host address moves to a register borrowed from the guest for that one instruction.
#include "engine/soft/demand.h"
#include "engine/soft/translate.h"

#define CPU(field) offsetof(struct cpu, field)

void copy_load_gpr(struct translation *t, unsigned host, unsigned guest)
{
    if (guest >= R14)
        emit_gs(&t->e, WIDTH64, X86_MOV_LOAD, host, CPU(gpr) + 8 * guest);
    else if (guest != host)
        emit_rr(&t->e, WIDTH64, X86_MOV_LOAD, host, guest);
}

void copy_store_gpr(struct translation *t, unsigned host, unsigned guest)
{
    if (guest >= R14)
        emit_gs(&t->e, WIDTH64, X86_MOV_STORE, host, CPU(gpr) + 8 * guest);
    else if (guest != host)
        emit_rr(&t->e, WIDTH64, X86_MOV_STORE, host, guest);
}

const ZydisDecodedOperand *copy_memory_operand(const struct decoded *d)
{
    for (unsigned i = 0; i < d->zydis.operand_count; i++)
        if (d->operand[i].type == ZYDIS_OPERAND_TYPE_MEMORY && d->operand[i].mem.type == ZYDIS_MEMOP_TYPE_MEM)
            return &d->operand[i];
    return NULL;
}

unsigned copy_access(const struct decoded *d, const ZydisDecodedOperand *op)
{
    (void)d;
    unsigned access = 0;
    if (op->actions & ZYDIS_OPERAND_ACTION_MASK_READ)
        access |= SLOW_READ;
    if (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
        access |= SLOW_WRITE;
    // A conditional write leaves the rest as it was, so the bounce buffer has to hold it.
    if (op->actions & ZYDIS_OPERAND_ACTION_CONDWRITE)
        access |= SLOW_READ;
    return access;
}

// Which general registers an instruction uses, by what it needs from R14 and R15.
struct usage {
    u16 used;       // bit per GPR, memory operand's base and index left out
    bool high_byte;
    u16 written, loaded; // R14, R15 only: stored back; needed before
};

static bool is_gpr(ZydisRegister reg, unsigned *number, bool *high)
{
    ZydisRegisterClass class = ZydisRegisterGetClass(reg);
    *high = false;
    switch (class) {
    case ZYDIS_REGCLASS_GPR8:
        if (reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH) {
            *number = (unsigned)(reg - ZYDIS_REGISTER_AH);
            *high = true;
            return true;
        }
        *number = reg >= ZYDIS_REGISTER_SPL ? (unsigned)(reg - ZYDIS_REGISTER_SPL) + 4
                                            : (unsigned)(reg - ZYDIS_REGISTER_AL);
        return true;
    case ZYDIS_REGCLASS_GPR16:
        *number = (unsigned)(reg - ZYDIS_REGISTER_AX);
        return true;
    case ZYDIS_REGCLASS_GPR32:
        *number = (unsigned)(reg - ZYDIS_REGISTER_EAX);
        return true;
    case ZYDIS_REGCLASS_GPR64:
        *number = (unsigned)(reg - ZYDIS_REGISTER_RAX);
        return true;
    default:
        return false;
    }
}

// Processors leave the target as it was when the source is zero, which programs have come to count on.
static bool keeps_target(const struct decoded *d)
{
    return d->zydis.mnemonic == ZYDIS_MNEMONIC_BSF || d->zydis.mnemonic == ZYDIS_MNEMONIC_BSR;
}

static struct usage usage_of(const struct decoded *d)
{
    struct usage usage = { 0 };
    for (unsigned i = 0; i < d->zydis.operand_count; i++) {
        const ZydisDecodedOperand *op = &d->operand[i];
        unsigned number;
        bool high;
        if (op->type != ZYDIS_OPERAND_TYPE_REGISTER || !is_gpr(op->reg.value, &number, &high))
            continue;
        usage.used |= (u16)(1u << number);
        usage.high_byte |= high;
        if (number < R14)
            continue;
        u16 bit = (u16)(1u << number);
        if (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
            usage.written |= bit;
        if (op->actions != ZYDIS_OPERAND_ACTION_WRITE || op->size < 32 || keeps_target(d))
            usage.loaded |= bit;
    }
    return usage;
}

static bool uses_vector(const struct decoded *d)
{
    for (unsigned i = 0; i < d->zydis.operand_count; i++)
        if (d->operand[i].type == ZYDIS_OPERAND_TYPE_REGISTER)
            switch (ZydisRegisterGetClass(d->operand[i].reg.value)) {
            case ZYDIS_REGCLASS_X87: case ZYDIS_REGCLASS_MMX: case ZYDIS_REGCLASS_XMM: case ZYDIS_REGCLASS_YMM:
            case ZYDIS_REGCLASS_ZMM:
                return true;
            default:
                break;
            }
    return false;
}

static bool uses_gpr(const struct decoded *d)
{
    for (unsigned i = 0; i < d->zydis.operand_count; i++) {
        unsigned number;
        bool high;
        if (d->operand[i].type == ZYDIS_OPERAND_TYPE_REGISTER && is_gpr(d->operand[i].reg.value, &number, &high))
            return true;
    }
    return false;
}

// Outside 64-bit mode VEX.W and EVEX.W are ignored where they would widen a general register or what stands in for one.
static bool width_is_ignored(const struct decoded *d)
{
    switch (d->zydis.mnemonic) {
    case ZYDIS_MNEMONIC_VCVTSI2SD: case ZYDIS_MNEMONIC_VCVTSI2SS: case ZYDIS_MNEMONIC_VCVTSI2SH:
    case ZYDIS_MNEMONIC_VCVTUSI2SD: case ZYDIS_MNEMONIC_VCVTUSI2SS: case ZYDIS_MNEMONIC_VCVTUSI2SH:
    case ZYDIS_MNEMONIC_VPINSRD: case ZYDIS_MNEMONIC_VPEXTRD: case ZYDIS_MNEMONIC_VMOVD:
        return true;
    default:
        return uses_gpr(d);
    }
}

// How an instruction's register fields change. A base of INSN_NO_REGISTER keeps the register form.
struct fields {
    u8 base;      // host register that holds the host address
    u8 from, to;  // GPR fields that name `from` name `to` instead
};

static bool field_is_gpr(const struct decoded *d, ZydisOperandEncoding encoding)
{
    for (unsigned i = 0; i < d->zydis.operand_count; i++) {
        unsigned number;
        bool high;
        if (d->operand[i].encoding == encoding && d->operand[i].type == ZYDIS_OPERAND_TYPE_REGISTER)
            return is_gpr(d->operand[i].reg.value, &number, &high);
    }
    return false;
}

// Whether a 16-bit operand size means anything to it: some instructions are others with a prefix, or none (EMMS,
// MOVNTI, fences).
static bool has_word_operand(const struct decoded *d)
{
    for (unsigned i = 0; i < d->zydis.operand_count; i++)
        if (d->operand[i].size == 16)
            return true;
    return false;
}

// Each prefix once: with the REX that a renamed register may need, repeated ones would exceed 15 bytes.
static void emit_prefixes(struct translation *t, const struct decoded *d)
{
    bool code16 = !(t->mode & (MODE_CODE64 | MODE_CODE32)), size_override = false, mandatory = false, lock = false;
    u8 repeat = 0;
    for (unsigned i = 0; i < d->zydis.raw.prefix_count; i++) {
        u8 value = d->zydis.raw.prefixes[i].value;
        ZydisPrefixType type = d->zydis.raw.prefixes[i].type;
        mandatory |= value == 0x66 && type == ZYDIS_PREFIX_TYPE_MANDATORY;
        size_override |= value == 0x66 && type != ZYDIS_PREFIX_TYPE_MANDATORY;
        lock |= value == 0xf0;
        if ((value == 0xf2 || value == 0xf3) && type != ZYDIS_PREFIX_TYPE_IGNORED)
            repeat = value;
    }
    if (lock)
        emit8(&t->e, 0xf0);
    if (repeat)
        emit8(&t->e, repeat);
    if (code16 && !uses_vector(d))
        size_override = d->zydis.operand_width == 16 && has_word_operand(d);
    if (size_override || mandatory)
        emit8(&t->e, 0x66);
}

static u8 renamed(const struct decoded *d, const struct fields *f, ZydisOperandEncoding encoding, u8 number)
{
    return number == f->from && field_is_gpr(d, encoding) ? f->to : number;
}

static void emit_modrm(struct translation *t, const struct decoded *d, const struct fields *f, u8 reg)
{
    if (f->base == INSN_NO_REGISTER)
        emit8(&t->e, d->bytes[d->zydis.raw.modrm.offset]);
    else if (!t->displacement)
        emit8(&t->e, (u8)((reg & 7) << 3 | (f->base & 7)));
    else if (t->displacement == (s8)t->displacement && d->zydis.encoding != ZYDIS_INSTRUCTION_ENCODING_EVEX) {
        emit8(&t->e, (u8)(0x40 | (reg & 7) << 3 | (f->base & 7)));
        emit8(&t->e, (u8)t->displacement);
    } else {
        emit8(&t->e, (u8)(0x80 | (reg & 7) << 3 | (f->base & 7)));
        emit32(&t->e, (u32)t->displacement);
    }
}

// Where immediates start: behind ModRM, SIB and displacement, or behind the opcode.
static unsigned tail_offset(const struct decoded *d)
{
    return d->zydis.raw.imm[0].size ? d->zydis.raw.imm[0].offset : d->zydis.length;
}

static void legacy_emit(struct translation *t, const struct decoded *d, const struct fields *f)
{
    struct emit *e = &t->e;
    const ZydisDecodedInstructionRaw *raw = &d->zydis.raw;
    bool code64 = t->mode & MODE_CODE64, has_modrm = d->zydis.attributes & ZYDIS_ATTRIB_HAS_MODRM;
    emit_prefixes(t, d);
    u8 reg = has_modrm ? (u8)(raw->modrm.reg | (code64 ? raw->rex.R << 3 : 0)) : 0;
    reg = renamed(d, f, ZYDIS_OPERAND_ENCODING_MODRM_REG, reg);
    u8 rex = 0;
    if (code64 && d->zydis.attributes & ZYDIS_ATTRIB_HAS_REX)
        rex = (u8)(0x40 | raw->rex.W << 3 | (f->base == INSN_NO_REGISTER ? raw->rex.X << 1 | raw->rex.B : 0));
    if (reg & 8)
        rex |= 0x44;
    if (f->base != INSN_NO_REGISTER && f->base & 8)
        rex |= 0x41;
    if (rex)
        emit8(e, rex);
    unsigned opcode = raw->prefix_count;
    if (!has_modrm) {
        u8 byte = d->bytes[opcode];
        if (!code64 && byte >= 0x40 && byte <= 0x4f && d->zydis.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT) {
            emit8(e, 0xff); // INC and DEC of one byte are REX here
            emit8(e, (u8)(0xc0 | (byte & 0xf)));
            return;
        }
        emit_bytes(e, d->bytes + opcode, d->zydis.length - opcode);
        return;
    }
    unsigned count = raw->modrm.offset - opcode;
    if (count == 1 && d->bytes[opcode] == 0x82)
        emit8(e, 0x80); // an alias that 64-bit mode lacks
    else
        emit_bytes(e, d->bytes + opcode, count);
    emit_modrm(t, d, f, reg);
    unsigned tail = tail_offset(d);
    emit_bytes(e, d->bytes + tail, d->zydis.length - tail);
}

static bool register_in_immediate(const struct decoded *d)
{
    for (unsigned i = 0; i < d->zydis.operand_count; i++)
        if (d->operand[i].encoding == ZYDIS_OPERAND_ENCODING_IS4)
            return true;
    return false;
}

static void vex_emit(struct translation *t, const struct decoded *d, const struct fields *f)
{
    struct emit *e = &t->e;
    const ZydisDecodedInstructionRaw *raw = &d->zydis.raw;
    const u8 *vex = d->bytes + raw->vex.offset;
    bool code64 = t->mode & MODE_CODE64, two = vex[0] == 0xc5;
    u8 high = two ? (u8)((vex[1] & 0x80) | 0x61) : vex[1], low = two ? vex[1] & 0x7f : vex[2];
    if (!code64) { // there are eight registers, and the bits that would name more are ignored
        high |= 0xe0;
        low |= 0x40;
    }
    if (!code64 && width_is_ignored(d))
        low &= 0x7f;
    u8 reg = renamed(d, f, ZYDIS_OPERAND_ENCODING_MODRM_REG, (u8)(raw->modrm.reg | (high & 0x80 ? 0 : 8)));
    u8 vvvv = renamed(d, f, ZYDIS_OPERAND_ENCODING_NDSNDD, (low >> 3 & 0xf) ^ 0xf);
    high = (u8)((high & 0x7f) | (reg & 8 ? 0 : 0x80));
    if (f->base != INSN_NO_REGISTER)
        high = (u8)((high & ~0x60) | 0x40 | (f->base & 8 ? 0 : 0x20));
    low = (u8)((low & 0x87) | (vvvv ^ 0xf) << 3);
    emit8(e, 0xc4);
    emit8(e, high);
    emit8(e, low);
    unsigned opcode = raw->vex.offset + (two ? 2 : 3);
    bool has_modrm = d->zydis.attributes & ZYDIS_ATTRIB_HAS_MODRM;
    emit8(e, d->bytes[opcode]);
    if (has_modrm)
        emit_modrm(t, d, f, reg);
    unsigned tail = tail_offset(d);
    emit_bytes(e, d->bytes + tail, d->zydis.length - tail);
    if (!code64 && register_in_immediate(d))
        e->at[-1] &= 0x7f;
}

static void evex_emit(struct translation *t, const struct decoded *d, const struct fields *f)
{
    struct emit *e = &t->e;
    const ZydisDecodedInstructionRaw *raw = &d->zydis.raw;
    const u8 *evex = d->bytes + raw->evex.offset;
    u8 p0 = evex[1], p1 = evex[2], p2 = evex[3];
    bool code64 = t->mode & MODE_CODE64;
    if (!code64) { // as in vex_emit
        p0 |= 0xf0;
        p1 |= 0x40;
        p2 |= 8;
    }
    if (!code64 && width_is_ignored(d))
        p1 &= 0x7f;
    u8 reg = (u8)(raw->modrm.reg | (p0 & 0x80 ? 0 : 8));
    reg = renamed(d, f, ZYDIS_OPERAND_ENCODING_MODRM_REG, reg);
    u8 vvvv = renamed(d, f, ZYDIS_OPERAND_ENCODING_NDSNDD, (p1 >> 3 & 0xf) ^ 0xf);
    p0 = (u8)((p0 & 0x7f) | (reg & 8 ? 0 : 0x80));
    if (f->base != INSN_NO_REGISTER)
        p0 = (u8)((p0 & ~0x60) | 0x40 | (f->base & 8 ? 0 : 0x20));
    p1 = (u8)((p1 & 0x87) | (vvvv ^ 0xf) << 3);
    emit8(e, 0x62);
    emit8(e, p0);
    emit8(e, p1);
    emit8(e, p2);
    emit8(e, d->bytes[raw->evex.offset + 4]);
    emit_modrm(t, d, f, reg);
    unsigned tail = tail_offset(d);
    emit_bytes(e, d->bytes + tail, d->zydis.length - tail);
}

// MOV between the accumulator and an absolute address has no ModRM to rewrite.
static bool moffs_emit(struct translation *t, const struct decoded *d, const struct fields *f)
{
    if (d->zydis.attributes & ZYDIS_ATTRIB_HAS_MODRM || d->zydis.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
        return false;
    u8 opcode = d->bytes[d->zydis.raw.prefix_count];
    if (opcode < 0xa0 || opcode > 0xa3)
        return false;
    emit_prefixes(t, d);
    bool wide = t->mode & MODE_CODE64 && d->zydis.attributes & ZYDIS_ATTRIB_HAS_REX && d->zydis.raw.rex.W;
    static const u8 opcodes[] = { 0x8a, 0x8b, 0x88, 0x89 };
    emit_memory(&t->e, wide, opcodes[opcode & 3], RAX, f->base, INSN_NO_REGISTER, 1, 0);
    return true;
}

static void reencode(struct translation *t, const struct decoded *d, const struct fields *f)
{
    if (f->base == INSN_NO_REGISTER && t->mode & MODE_CODE64) {
        emit_bytes(&t->e, d->bytes, d->zydis.length);
        return;
    }
    if (f->base != INSN_NO_REGISTER && moffs_emit(t, d, f))
        return;
    switch (d->zydis.encoding) {
    case ZYDIS_INSTRUCTION_ENCODING_LEGACY:
        legacy_emit(t, d, f);
        break;
    case ZYDIS_INSTRUCTION_ENCODING_VEX:
        vex_emit(t, d, f);
        break;
    default:
        evex_emit(t, d, f);
        break;
    }
}

static void flags_for(struct translation *t, const struct decoded *d, unsigned scratch)
{
    if (d->reads || (d->writes && d->live_out & ~d->kills))
        flags_to_live(t, scratch);
}

static void flags_after(struct translation *t, const struct decoded *d)
{
    if (d->writes)
        t->flags = FLAGS_LIVE;
}

void copy_spill(struct translation *t)
{
    for (unsigned reg = R14; reg <= R15; reg++)
        if (t->dirty >> (reg - R14) & 1)
            copy_store_gpr(t, reg, reg);
    t->dirty = 0;
}

void copy_release(struct translation *t, unsigned reg)
{
    if (reg != R14 && reg != R15)
        return;
    if (reg == R14)
        t->r14_slot = 0;
    u8 bit = (u8)(1u << (reg - R14));
    if (t->dirty & bit)
        copy_store_gpr(t, reg, reg);
    t->dirty &= (u8)~bit;
    t->cached &= (u8)~bit;
}

// Guest R14 and R15 by bit 0 and 1, from a bit per register.
static u8 high_pair(u16 registers) { return (u8)(registers >> R14); }

static void register_form(struct translation *t, struct decoded *d, struct usage usage)
{
    flags_for(t, d, R15);
    site_add(t, d, t->flags & FLAGS_LIVE);
    u8 wanted = high_pair(usage.loaded) & (u8)~t->cached;
    for (unsigned reg = R14; reg <= R15; reg++)
        if (wanted >> (reg - R14) & 1)
            copy_load_gpr(t, reg, reg);
    t->cached |= wanted;
    reencode(t, d, &(struct fields){ .base = INSN_NO_REGISTER, .from = INSN_NO_REGISTER });
    t->cached |= high_pair(usage.written);
    t->dirty |= high_pair(usage.written);
    flags_after(t, d);
}

static bool is_bit_test(const struct decoded *d)
{
    switch (d->zydis.mnemonic) {
    case ZYDIS_MNEMONIC_BT: case ZYDIS_MNEMONIC_BTS: case ZYDIS_MNEMONIC_BTR: case ZYDIS_MNEMONIC_BTC:
        return d->operand[1].type == ZYDIS_OPERAND_TYPE_REGISTER;
    default:
        return false;
    }
}

static unsigned gpr_of(const ZydisDecodedOperand *op)
{
    unsigned number = 0;
    bool high;
    is_gpr(op->reg.value, &number, &high);
    return number;
}

// BT and its kin with a register: the offset reaches beyond the operand (SDM 2A BT). Moves R14's offset to the
// addressed word.
static void bit_test_address(struct translation *t, struct decoded *d)
{
    struct emit *e = &t->e;
    unsigned size = d->operand[1].size, guest = gpr_of(&d->operand[1]);
    copy_load_gpr(t, R15, guest);
    if (size == 16)
        emit_rr(e, WIDTH64, X86_MOVSX16, R15, R15);
    else if (size == 32)
        emit_rr(e, WIDTH64, X86_MOVSXD, R15, R15);
    emit_shift_imm(e, WIDTH64, 7, R15, size == 64 ? 6 : size == 32 ? 5 : 4);
    emit_memory(e, WIDTH64, X86_LEA, R14, R14, R15, size / 8, 0);
    if (d->zydis.address_width == 32)
        emit_rr(e, WIDTH32, X86_MOV_LOAD, R14, R14);
    else if (d->zydis.address_width == 16)
        emit_rr(e, WIDTH32, X86_MOVZX16, R14, R14);
}

static void bit_test_operation(struct translation *t, struct decoded *d)
{
    unsigned guest = gpr_of(&d->operand[1]);
    copy_load_gpr(t, R15, guest);
    emit_alu_imm32(&t->e, WIDTH32, 4, R15, d->operand[1].size - 1);
    flags_for(t, d, INSN_NO_REGISTER);
    reencode(t, d, &(struct fields){ .base = R14, .from = (u8)guest, .to = R15 });
}

static unsigned borrow_choose(const struct usage *usage)
{
    static const u8 candidates[] = { RSI, RDI, RBX, RDX, RCX, RAX };
    for (unsigned i = 0; i < sizeof candidates; i++)
        if (!(usage->used >> candidates[i] & 1))
            return candidates[i];
    return RSI; // unreachable: no instruction names six general registers
}

void copy_operation(struct translation *t, struct decoded *d)
{
    if (is_bit_test(d)) {
        bit_test_operation(t, d);
        return;
    }
    struct usage usage = usage_of(d);
    bool both = (usage.used & (1u << R14 | 1u << R15)) == (1u << R14 | 1u << R15), borrow = both || usage.high_byte;
    struct fields fields = { .base = R14, .from = INSN_NO_REGISTER };
    flags_for(t, d, R15);
    if (borrow) {
        fields.base = (u8)borrow_choose(&usage);
        emit_gs(&t->e, WIDTH64, X86_MOV_STORE, fields.base, CPU(scratch) + 24);
        emit_rr(&t->e, WIDTH64, X86_MOV_LOAD, fields.base, R14);
    } else if (usage.used >> R14 & 1) {
        fields.from = R14;
        fields.to = R15;
    }
    for (unsigned reg = R14; reg <= R15; reg++)
        if (usage.loaded >> reg & 1 && !(t->keeps_r15 && t->cached & 2))
            copy_load_gpr(t, fields.from == reg ? R15 : reg, reg);
    if (t->keeps_r15 && usage.used >> R15 & 1)
        t->cached |= 2;
    reencode(t, d, &fields);
    if (borrow)
        emit_gs(&t->e, WIDTH64, X86_MOV_LOAD, fields.base, CPU(scratch) + 24);
    if (t->keeps_r15)
        t->dirty |= high_pair(usage.written);
    else
        for (unsigned reg = R14; reg <= R15; reg++)
            if (usage.written >> reg & 1)
                copy_store_gpr(t, fields.from == reg ? R15 : reg, reg);
}

bool copy_keeps_r15(const struct translation *t, const struct decoded *d)
{
    if (d->opcode->class != OPCODE_COPY || !d->span || d == &t->insn[t->span[d->span - 1].leader])
        return false;
    struct usage usage = usage_of(d);
    return !(usage.used >> R14 & 1) && !usage.high_byte;
}

// Hints, and NOPs with a ModRM: their memory operands are never accessed.
static bool is_hint(const struct decoded *d)
{
    switch (d->zydis.mnemonic) {
    case ZYDIS_MNEMONIC_NOP: case ZYDIS_MNEMONIC_ENDBR32: case ZYDIS_MNEMONIC_ENDBR64:
    case ZYDIS_MNEMONIC_RDSSPD: case ZYDIS_MNEMONIC_RDSSPQ: // without shadow stacks
    case ZYDIS_MNEMONIC_PREFETCH: case ZYDIS_MNEMONIC_PREFETCHNTA: case ZYDIS_MNEMONIC_PREFETCHT0:
    case ZYDIS_MNEMONIC_PREFETCHT1: case ZYDIS_MNEMONIC_PREFETCHT2: case ZYDIS_MNEMONIC_PREFETCHW:
    case ZYDIS_MNEMONIC_PREFETCHWT1: case ZYDIS_MNEMONIC_CLDEMOTE:
        return true;
    default:
        return false;
    }
}

bool copy_may_span(const struct decoded *d)
{
    return !is_hint(d) && d->zydis.mnemonic != ZYDIS_MNEMONIC_LEA && !is_bit_test(d) && d->zydis.address_width == 64;
}

static void memory_form(struct translation *t, struct decoded *d, const ZydisDecodedOperand *op)
{
    if (span_emit(t, d)) {
        flags_for(t, d, R15); // before the site, which says whether guest R15 is there
        site_add(t, d, t->flags & FLAGS_LIVE);
        copy_operation(t, d);
        t->displacement = 0;
        flags_after(t, d);
        return;
    }
    unsigned access = copy_access(d, op) | demand_access(d, op), size = op->size / 8;
    probe_flags(t, d);
    probe_effective(t, d, op);
    if (is_bit_test(d))
        bit_test_address(t, d);
    probe_segment(t, d, op, size, access);
    probe_emit(t, d, size, access);
    struct slow_path *slow = probe_last(t);
    slow->operation = copy_operation;
    if (access & SLOW_MASKED)
        slow->mask = (u16)demand_mask(d, op);
    site_add(t, d, false);
    copy_operation(t, d);
    flags_after(t, d);
    slow->done = emit_address(&t->e);
    slow->flags_after = (u8)t->flags;
}

// A LEA that the host can execute as it stands.
static bool lea_is_register_form(const struct decoded *d)
{
    const ZydisDecodedOperand *dest = &d->operand[0], *op = &d->operand[1];
    bool rip = op->mem.base == ZYDIS_REGISTER_RIP || op->mem.base == ZYDIS_REGISTER_EIP;
    return d->zydis.machine_mode == ZYDIS_MACHINE_MODE_LONG_64 && !rip && dest->size >= 32 &&
           d->zydis.address_width == 64;
}

static struct usage lea_usage(const struct decoded *d)
{
    struct usage usage = usage_of(d);
    const ZydisRegister regs[] = { d->operand[1].mem.base, d->operand[1].mem.index };
    for (unsigned i = 0; i < 2; i++)
        if (regs[i] == ZYDIS_REGISTER_R14 || regs[i] == ZYDIS_REGISTER_R15)
            usage.loaded |= (u16)(1u << ZydisRegisterGetId(regs[i]));
    return usage;
}

static void lea_emit(struct translation *t, struct decoded *d)
{
    const ZydisDecodedOperand *dest = &d->operand[0], *op = &d->operand[1];
    unsigned guest = gpr_of(dest);
    probe_effective(t, d, op);
    if (dest->size == 64) {
        copy_store_gpr(t, R14, guest);
    } else if (dest->size == 32) {
        emit_rr(&t->e, WIDTH32, X86_MOV_LOAD, R14, R14);
        copy_store_gpr(t, R14, guest);
    } else if (guest < R14) {
        emit8(&t->e, 0x66);
        emit_rr(&t->e, WIDTH32, X86_MOV_STORE, R14, guest);
    } else {
        emit8(&t->e, 0x66);
        emit_gs(&t->e, WIDTH32, X86_MOV_STORE, R14, CPU(gpr) + 8 * guest);
    }
}

bool copy_leaves_r14(const struct decoded *d)
{
    if (!copy_is_register_form(d))
        return false;
    struct usage usage = d->zydis.mnemonic == ZYDIS_MNEMONIC_LEA ? lea_usage(d) : usage_of(d);
    return !((usage.used | usage.loaded) >> R14 & 1);
}

bool copy_is_register_form(const struct decoded *d)
{
    if (d->opcode->class != OPCODE_COPY || is_hint(d))
        return d->opcode->class == OPCODE_COPY;
    return d->zydis.mnemonic == ZYDIS_MNEMONIC_LEA ? lea_is_register_form(d) : !copy_memory_operand(d);
}

bool copy_emit(struct translation *t, struct decoded *d)
{
    if (is_hint(d))
        return true;
    bool lea = d->zydis.mnemonic == ZYDIS_MNEMONIC_LEA;
    if (copy_is_register_form(d)) {
        register_form(t, d, lea ? lea_usage(d) : usage_of(d));
        return true;
    }
    if (lea) {
        lea_emit(t, d);
        return true;
    }
    const ZydisDecodedOperand *memory = copy_memory_operand(d);
    if (memory->size == 0 || memory->size > 512)
        return false;
    memory_form(t, d, memory);
    return true;
}
