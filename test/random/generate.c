// Random cases. Bytes are drawn map by map rather than uniformly, decoded, and kept if they are an instruction that two
// runs can be compared on; then registers, index vectors and displacements are bent so that its memory operand lies in
// the data region, or on one of its edges.
#include <Zydis/Zydis.h>
#include <string.h>

#include "engine/soft/opcode_variant.h"
#include "random.h"

enum { TRIES = 20000, INSN_BYTES = 15, LOOP_PERCENT = 15, LOOP_LEAST = 60, LOOP_MOST = 200 /* rounds */ };

struct maker {
    struct random random;
    const struct options *options;
    struct test *test;
    ZydisDecoder decoder;
    u32 fixed;  // registers that earlier instructions' operands depend on
    u32 pinned; // registers that must stay as they are
    u32 written; // registers that the instructions change
    bool x87;   // there has been an x87 instruction,
    bool branches; // a branch
};

// ---- bytes ----

static u8 any(struct random *r) { return (u8)random_next(r); }

static u8 pick(struct random *r, const u8 *from, unsigned count) { return from[random_below(r, count)]; }

static u8 modrm(struct random *r)
{
    u8 byte = any(r);
    return random_percent(r, 50) ? byte | 0xc0 : byte;
}

static unsigned legacy_prefixes(struct random *r, bool code64, u8 *b)
{
    unsigned n = 0;
    if (random_percent(r, 20))
        b[n++] = 0x66;
    if (random_percent(r, 6))
        b[n++] = 0x67;
    if (random_percent(r, 1)) // redundant ones
        for (unsigned count = random_below(r, 8); count; count--)
            b[n++] = pick(r, (const u8[]){0x66, 0xf2, 0xf3, 0xf0, 0x2e, 0x3e}, 6);
    if (random_percent(r, 25))
        b[n++] = random_percent(r, 50) ? 0xf2 : 0xf3;
    if (random_percent(r, 6))
        b[n++] = pick(r, (const u8[]){0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65}, 6);
    if (random_percent(r, 4))
        b[n++] = 0xf0;
    if (code64 && random_percent(r, 50))
        b[n++] = 0x40 | random_below(r, 16);
    return n;
}

static unsigned vex(struct random *r, u8 *b)
{
    u8 last = any(r);
    if (random_percent(r, 35))
        last |= 0x78; // vvvv unused
    if (random_percent(r, 20)) {
        b[0] = 0xc5, b[1] = last;
        return 2;
    }
    b[0] = 0xc4;
    b[1] = (u8)((any(r) & 0xe0) | (1 + random_below(r, 3)));
    b[2] = last;
    return 3;
}

static unsigned evex(struct random *r, u8 *b)
{
    static const u8 maps[] = {1, 1, 2, 2, 2, 3, 5, 6};
    b[0] = 0x62;
    b[1] = (u8)((any(r) & 0xf0) | pick(r, maps, sizeof maps));
    b[2] = any(r) | 4;
    b[3] = any(r);
    if (random_percent(r, 35)) {
        b[2] |= 0x78;
        b[3] |= 8;
    }
    if (random_percent(r, 40))
        b[3] &= 0x78; // no mask
    return 4;
}

// Opcodes whose share in uniform bytes would be too small.
static unsigned favourite(struct random *r, u8 *b, enum test_class class)
{
    static const u8 strings[] = {0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf};
    static const u8 stacks[] = {0x50, 0x51, 0x54, 0x55, 0x57, 0x58, 0x5c, 0x5d, 0x5f, 0x68, 0x6a, 0x8f, 0xc9, 0xff,
        0x9c, 0x9d};
    static const u8 flows[] = {0x70, 0x75, 0x7c, 0x7f, 0xe0, 0xe1, 0xe2, 0xe3, 0xe8, 0xe9, 0xeb, 0xff, 0xc3, 0xc2};
    static const u8 states[] = {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07};
    unsigned n = 0;
    switch (class) {
    case CLASS_STRING:
        b[n++] = pick(r, strings, sizeof strings);
        break;
    case CLASS_STACK:
        b[n++] = pick(r, stacks, sizeof stacks);
        break;
    case CLASS_FLOW:
        b[n++] = pick(r, flows, sizeof flows);
        break;
    case CLASS_STATE:
        if (random_percent(r, 30)) {
            b[n++] = random_percent(r, 50) ? 0xd9 : 0xdd;
            b[n++] = (u8)(modrm(r) & 0x3f) | (random_percent(r, 50) ? 0x20 : 0x30);
            return n;
        }
        b[n++] = 0x0f;
        b[n++] = random_percent(r, 80) ? 0xae : 0xc7;
        b[n++] = (u8)((any(r) & 0xc7) % 0xc0) | (u8)(pick(r, states, sizeof states) << 3);
        return n;
    case CLASS_X87:
        b[n++] = 0xd8 | random_below(r, 8);
        break;
    default:
        b[n++] = any(r);
    }
    b[n++] = modrm(r);
    return n;
}

static void draw(struct random *r, bool code64, enum test_class class, u8 b[INSN_BYTES])
{
    unsigned n = 0, kind = random_below(r, 100);
    if (class == CLASS_VECTOR)
        kind = 50 + kind / 2;
    if (class == CLASS_ALL && random_percent(r, 6))
        class = CLASS_STRING + random_below(r, 2);
    if (class == CLASS_STRING || class == CLASS_STACK || class == CLASS_FLOW || class == CLASS_STATE ||
        class == CLASS_X87) {
        n = legacy_prefixes(r, code64, b);
        n += favourite(r, b + n, class);
    } else if (kind < 30) {
        n = legacy_prefixes(r, code64, b);
        b[n++] = any(r);
        b[n++] = modrm(r);
    } else if (kind < 60) {
        n = legacy_prefixes(r, code64, b);
        b[n++] = 0x0f;
        unsigned map = random_below(r, 10);
        if (map >= 7)
            b[n++] = map == 9 ? 0x3a : 0x38;
        b[n++] = any(r);
        b[n++] = modrm(r);
    } else {
        n = kind < 75 ? vex(r, b) : evex(r, b);
        b[n++] = any(r);
        b[n++] = modrm(r);
    }
    for (; n < INSN_BYTES; n++)
        b[n] = random_percent(r, 30) ? 0 : any(r);
}

// ---- what can be compared ----

// Instructions whose result is another on each run or machine, or that would leave the tester.
static bool comparable(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand)
{
    switch (insn->mnemonic) {
    case ZYDIS_MNEMONIC_SYSCALL: case ZYDIS_MNEMONIC_SYSENTER: case ZYDIS_MNEMONIC_SYSRET: case ZYDIS_MNEMONIC_SYSEXIT:
    case ZYDIS_MNEMONIC_INT: case ZYDIS_MNEMONIC_INT1: case ZYDIS_MNEMONIC_INT3: case ZYDIS_MNEMONIC_IRET:
    case ZYDIS_MNEMONIC_IRETD:
    case ZYDIS_MNEMONIC_IRETQ: case ZYDIS_MNEMONIC_RDTSC: case ZYDIS_MNEMONIC_RDTSCP: case ZYDIS_MNEMONIC_RDPMC:
    case ZYDIS_MNEMONIC_RDRAND: case ZYDIS_MNEMONIC_RDSEED: case ZYDIS_MNEMONIC_CPUID: case ZYDIS_MNEMONIC_XGETBV:
    case ZYDIS_MNEMONIC_RDPID: case ZYDIS_MNEMONIC_WRFSBASE: case ZYDIS_MNEMONIC_WRGSBASE:
    case ZYDIS_MNEMONIC_SLDT: case ZYDIS_MNEMONIC_STR: case ZYDIS_MNEMONIC_SMSW: case ZYDIS_MNEMONIC_SGDT:
    case ZYDIS_MNEMONIC_SIDT: case ZYDIS_MNEMONIC_LAR: case ZYDIS_MNEMONIC_LSL: case ZYDIS_MNEMONIC_VERR:
    case ZYDIS_MNEMONIC_VERW: case ZYDIS_MNEMONIC_LDS: case ZYDIS_MNEMONIC_LES: case ZYDIS_MNEMONIC_LFS:
    case ZYDIS_MNEMONIC_LGS: case ZYDIS_MNEMONIC_LSS: case ZYDIS_MNEMONIC_CLDEMOTE: case ZYDIS_MNEMONIC_VMCALL:
    case ZYDIS_MNEMONIC_VMFUNC: case ZYDIS_MNEMONIC_UD0: case ZYDIS_MNEMONIC_MOVDIRI:
    case ZYDIS_MNEMONIC_GETSEC: case ZYDIS_MNEMONIC_MONITOR: case ZYDIS_MNEMONIC_MWAIT:
    case ZYDIS_MNEMONIC_XRSTORS: case ZYDIS_MNEMONIC_XRSTORS64: case ZYDIS_MNEMONIC_XSAVES:
    case ZYDIS_MNEMONIC_XSAVES64:
        return false;
    default:
        break;
    }
    if (insn->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
        return false;
    for (unsigned i = 0; i < insn->operand_count; i++)
        if (operand[i].type == ZYDIS_OPERAND_TYPE_REGISTER && operand[i].reg.value >= ZYDIS_REGISTER_ES &&
            operand[i].reg.value <= ZYDIS_REGISTER_GS)
            return false;
    return true;
}

static bool of_class(enum test_class class, const ZydisDecodedInstruction *insn, const struct opcode *opcode)
{
    switch (class) {
    case CLASS_COPY: return opcode->class == OPCODE_COPY;
    case CLASS_STACK: return opcode->class == OPCODE_STACK || insn->meta.category == ZYDIS_CATEGORY_PUSH ||
                             insn->meta.category == ZYDIS_CATEGORY_POP;
    case CLASS_FLOW: return opcode->class == OPCODE_FLOW;
    case CLASS_STRING: return insn->meta.category == ZYDIS_CATEGORY_STRINGOP;
    case CLASS_SYSTEM: return opcode->class == OPCODE_SYSTEM;
    case CLASS_STATE: return opcode->class == OPCODE_SYSTEM;
    case CLASS_VECTOR: return insn->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX ||
        insn->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX ||
                              insn->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY;
    default: return true;
    }
}

// ---- state ----

static u64 random_value(struct random *r)
{
    u64 value = random_next(r);
    switch (random_below(r, 8)) {
    case 0: return value & 0xff;
    case 1: return (u64)(s64)(s8)value;
    case 2: return (u64)1 << (value & 63);
    case 3: return (u64)(s64)(s32)value;
    case 4: return value & 1 ? 0 : ~0ull;
    case 5: return DATA_BASE + value % DATA_WRITABLE;
    default: return value;
    }
}

static u64 random_double(struct random *r)
{
    u64 value = random_next(r);
    switch (random_below(r, 12)) {
    case 0: return value & 1ull << 63;
    case 1: return (value & 1ull << 63) | 0x7ff0000000000000;
    case 2: return value | 0x7ff8000000000000;
    case 3: return (value | 0x7ff0000000000001) & ~(1ull << 51);
    case 4: return value & 0x800fffffffffffff;
    case 5: return 0x3ff0000000000000 | (value & 1ull << 63);
    default: return (value & 0x800fffffffffffff) | (u64)(1003 + random_below(r, 40)) << 52;
    }
}

static u32 random_float(struct random *r)
{
    u32 value = (u32)random_next(r);
    switch (random_below(r, 12)) {
    case 0: return value & 1u << 31;
    case 1: return (value & 1u << 31) | 0x7f800000;
    case 2: return value | 0x7fc00000;
    case 3: return (value | 0x7f800001) & ~(1u << 22);
    case 4: return value & 0x807fffff;
    default: return (value & 0x807fffff) | (117 + random_below(r, 20)) << 23;
    }
}

static void random_vector(struct random *r, u8 *to, unsigned bytes)
{
    unsigned style = random_below(r, 8);
    for (unsigned i = 0; i < bytes; i += 8) {
        u64 value;
        switch (style) {
        case 0: value = random_double(r); break;
        case 1: value = random_float(r) | (u64)random_float(r) << 32; break;
        case 2: value = random_value(r); break;
        case 3: value = (random_next(r) & 0x7fff7fff7fff7fff & ~0x4000400040004000) | 0x3000300030003000; break; // FP16
        default: value = random_next(r);
        }
        memcpy(to + i, &value, 8);
    }
}

static void random_st(struct random *r, u8 st[16])
{
    u64 mantissa = random_next(r) | 1ull << 63;
    u16 exponent = (u16)(16383 - 30 + random_below(r, 60)) | (u16)(random_next(r) & 0x8000);
    switch (random_below(r, 12)) {
    case 0: mantissa = 0, exponent &= 0x8000; break;
    case 1: mantissa = 1ull << 63, exponent |= 0x7fff; break;
    case 2: exponent |= 0x7fff; break;
    case 3: exponent &= 0x8000, mantissa &= ~(1ull << 63); break;
    case 4: mantissa = random_next(r), exponent = (u16)random_next(r); break;
    case 5: mantissa = 1ull << 63; break;
    default: break;
    }
    memset(st, 0, 16);
    memcpy(st, &mantissa, 8);
    memcpy(st + 8, &exponent, 2);
}

static void random_vectors(struct random *r, struct vectors *v)
{
    memset(v, 0, offsetof(struct vectors, xmm));
    v->fcw = (u16)(0x40 | (random_next(r) & 0xf00) | (random_percent(r, 85) ? 0x3f : random_next(r) & 0x3f));
    v->fsw = (u16)(random_next(r) & 0x7f7f);
    if (v->fsw & ~v->fcw & 0x3f) {
        if (random_percent(r, 80))
            v->fsw &= (u16)~0x3f;
        else
            v->fsw |= 0x8080;
    }
    v->ftw = random_percent(r, 40) ? 0xff : any(r);
    for (unsigned i = 0; i < 8; i++)
        random_st(r, v->st[i]);
    v->mxcsr = (u32)(random_next(r) & 0xe07f) | (random_percent(r, 85) ? 0x1f80 : (u32)random_next(r) & 0x1f80);
    if (random_percent(r, 60))
        v->mxcsr &= ~0x8040u;
    v->mxcsr_mask = 0xffff;
    for (unsigned i = 0; i < 16; i++) {
        u8 whole[64];
        random_vector(r, whole, sizeof whole);
        memcpy(v->xmm[i], whole, 16);
        memcpy(v->ymm_high[i], whole + 16, 16);
        memcpy(v->zmm_high[i], whole + 32, 32);
        random_vector(r, v->zmm16[i], 64);
    }
    memset(v->available, 0, sizeof v->available);
    memset(v->gap, 0, sizeof v->gap);
    memset(v->header, 0, sizeof v->header);
    for (unsigned i = 0; i < 8; i++)
        v->opmask[i] = random_percent(r, 20) ? (random_percent(r, 50) ? 0 : ~0ull) : random_next(r);
    v->xstate_bv = 0xe7;
    v->xcomp_bv = 0;
}

// ---- operands ----

// Where a memory operand of `size` bytes shall lie: mostly inside, now and then on or behind an edge.
static u64 random_target(struct maker *m, unsigned size)
{
    struct random *r = &m->random;
    unsigned kind = random_below(r, 100);
    u64 base = DATA_BASE;
    if (size > PAGE_BYTES / 2)
        size = PAGE_BYTES / 2;
    unsigned crossing = size > 1 ? random_below(r, size - 1) + 1 : 1;
    if (kind < 72) {
        u64 offset = random_below(r, DATA_WRITABLE - size);
        return base + (random_percent(r, 60) ? offset & ~63ull : offset);
    }
    if (kind < 80)
        return base + PAGE_BYTES - crossing;
    if (kind < 84)
        return base + 2 * PAGE_BYTES - crossing;
    if (kind < 88)
        return base + 2 * PAGE_BYTES + random_below(r, PAGE_BYTES - size);
    if (kind < 92)
        return base + 3 * PAGE_BYTES - crossing;
    if (kind < 95)
        return base - crossing;
    if (kind < 98)
        return base + 3 * PAGE_BYTES + random_below(r, PAGE_BYTES);
    return random_next(r);
}

static unsigned gpr_number(ZydisRegister reg)
{
    if (reg >= ZYDIS_REGISTER_AX && reg <= ZYDIS_REGISTER_R15W)
        return reg - ZYDIS_REGISTER_AX;
    if (reg >= ZYDIS_REGISTER_EAX && reg <= ZYDIS_REGISTER_R15D)
        return reg - ZYDIS_REGISTER_EAX;
    if (reg >= ZYDIS_REGISTER_RAX && reg <= ZYDIS_REGISTER_R15)
        return reg - ZYDIS_REGISTER_RAX;
    return 16;
}

static void set_gpr(struct maker *m, unsigned reg, u64 value)
{
    if (m->pinned >> reg & 1)
        return;
    m->test->before.gpr[reg] = value;
    m->fixed |= 1u << reg;
}

static u64 segment_base(const struct test *test, ZydisRegister segment)
{
    if (segment == ZYDIS_REGISTER_FS || segment == ZYDIS_REGISTER_GS)
        return segment == ZYDIS_REGISTER_FS ? FS_BASE : GS_BASE;
    if (test->bits != 16)
        return 0;
    return segment == ZYDIS_REGISTER_CS ? code_base(test) : DATA_BASE;
}

static void patch_displacement(const ZydisDecodedInstruction *insn, u8 *bytes, u64 value)
{
    if (insn->raw.disp.size >= 16)
        memcpy(bytes + insn->raw.disp.offset, &value, insn->raw.disp.size / 8);
}

// Index elements of a gather or scatter: small enough to stay in the region with most bases.
static void bend_vsib(struct maker *m, const ZydisDecodedOperand *op, u64 target)
{
    ZydisRegister reg = op->mem.index;
    unsigned number = reg >= ZYDIS_REGISTER_ZMM0 ? reg - ZYDIS_REGISTER_ZMM0
                      : reg >= ZYDIS_REGISTER_YMM0 ? reg - ZYDIS_REGISTER_YMM0 : reg - ZYDIS_REGISTER_XMM0;
    struct vectors *v = &m->test->before.vectors;
    bool wide = random_percent(&m->random, 50);
    u8 whole[64];
    for (unsigned i = 0; i < 8; i++) {
        u64 a = random_below(&m->random, PAGE_BYTES / 4), b = random_below(&m->random, PAGE_BYTES / 4);
        u64 value = wide ? a : a | b << 32;
        if (random_percent(&m->random, 3))
            value = random_next(&m->random);
        memcpy(whole + 8 * i, &value, 8);
    }
    if (number >= 16) {
        memcpy(v->zmm16[number - 16], whole, 64);
    } else {
        memcpy(v->xmm[number], whole, 16);
        memcpy(v->ymm_high[number], whole + 16, 16);
        memcpy(v->zmm_high[number], whole + 32, 32);
    }
    unsigned base = gpr_number(op->mem.base);
    if (base < 16)
        set_gpr(m, base, target - (u64)op->mem.disp.value - segment_base(m->test, op->mem.segment));
}

static void bend_memory(struct maker *m, const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *op,
                        u8 *bytes, u64 rip)
{
    struct random *r = &m->random;
    unsigned size = op->size / 8;
    u64 target = random_target(m, size ? size : 1) - segment_base(m->test, op->mem.segment);
    unsigned base = gpr_number(op->mem.base), index = gpr_number(op->mem.index);
    u64 displacement = (u64)op->mem.disp.value;
    bool atomic = insn->attributes & (ZYDIS_ATTRIB_HAS_LOCK | ZYDIS_ATTRIB_HAS_XACQUIRE) ||
        insn->mnemonic == ZYDIS_MNEMONIC_XCHG;
    if (atomic && random_next(r) % 500) // Linux makes those that cross cache lines wait for a hundredth of a second
        target &= ~(u64)15;
    if (insn->meta.category == ZYDIS_CATEGORY_SHA && !m->options->intel) // Intel's alone check alignment
        target &= ~(u64)15;
    if (op->mem.type == ZYDIS_MEMOP_TYPE_VSIB) {
        bend_vsib(m, op, target + segment_base(m->test, op->mem.segment));
        return;
    }
    if (size > 256 && random_percent(r, 85)) // FXSAVE and XSAVE areas: the prepared ones
        target = DATA_BASE + PAGE_BYTES * random_below(r, 2) - segment_base(m->test, op->mem.segment);
    if (op->mem.base == ZYDIS_REGISTER_RIP || op->mem.base == ZYDIS_REGISTER_EIP) {
        patch_displacement(insn, bytes, target - rip - insn->length);
        return;
    }
    if (base == 16 && index == 16) {
        patch_displacement(insn, bytes, target);
        return;
    }
    if (insn->raw.disp.size == 32 && random_percent(r, 90)) { // a displacement of 32 random bits is far off
        displacement = (u64)(s64)(s16)random_next(r);
        patch_displacement(insn, bytes, displacement);
    }
    u64 noise = insn->address_width == 32 && m->test->bits == 64 ? random_next(r) << 32 : 0;
    if (base == 16 || (base == index && index < 16)) {
        unsigned factor = op->mem.scale + (base == index);
        set_gpr(m, index, (target - displacement) / factor | noise);
        return;
    }
    u64 offset = 0;
    if (index < 16) {
        if (!(m->fixed >> index & 1))
            set_gpr(m, index, random_percent(r, 80) ? (u64)(s64)(s16)random_next(r) : random_next(r));
        offset = m->test->before.gpr[index] * op->mem.scale;
    }
    set_gpr(m, base, (target - displacement - offset) ^ noise);
}

static void bend_string(struct maker *m, const ZydisDecodedInstruction *insn)
{
    struct random *r = &m->random;
    struct state *s = &m->test->before;
    u64 noise = insn->address_width == 32 && m->test->bits == 64 && random_percent(r, 50) ? random_next(r) << 32 : 0;
    u64 near = random_percent(r, 30) ? (u64)(s64)(s8)random_next(r) : 0;
    u64 rsi = random_target(m, insn->operand_width / 8);
    u64 rdi = near ? rsi + near : random_target(m, insn->operand_width / 8);
    u64 base = segment_base(m->test, ZYDIS_REGISTER_DS);
    set_gpr(m, 6, (rsi - base) ^ noise);
    set_gpr(m, 7, (rdi - base) ^ noise);
    if (random_percent(r, 90))
        s->gpr[1] = random_below(r, random_percent(r, 80) ? 40 : 5000) | (random_percent(r, 50) ? noise : 0);
}

static bool masked_by_eax(const ZydisDecodedInstruction *insn)
{
    return insn->meta.category == ZYDIS_CATEGORY_XSAVE || insn->meta.category == ZYDIS_CATEGORY_XSAVEOPT;
}

static void bend(struct maker *m, const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand, u8 *bytes,
                 u64 rip)
{
    if (insn->meta.category == ZYDIS_CATEGORY_STRINGOP) {
        bend_string(m, insn);
        return;
    }
    for (unsigned i = 0; i < insn->operand_count; i++) {
        if (operand[i].type != ZYDIS_OPERAND_TYPE_MEMORY || operand[i].mem.type == ZYDIS_MEMOP_TYPE_AGEN)
            continue;
        if (operand[i].visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN &&
            gpr_number(operand[i].mem.base) == 4)
            continue; // the stack has its place already
        bend_memory(m, insn, &operand[i], bytes, rip);
    }
    if (masked_by_eax(insn)) { // the components that both sides have
        m->test->before.gpr[0] &= 0xfff000e7;
        m->pinned |= 1;
    }
    for (unsigned i = 0; i < 2; i++) // branches lead to the next instruction, or behind the last to the INT3s: no loops
        if (insn->raw.imm[i].is_relative && insn->raw.imm[i].size) {
            u64 behind = m->test->before.rip + CASE_CODE + random_below(&m->random, 16);
            u32 distance = random_percent(&m->random, 50) ? (u32)(behind - rip - insn->length) : 0;
            memcpy(bytes + insn->raw.imm[i].offset, &distance, insn->raw.imm[i].size / 8);
        }
}

// ---- loops ----

static void note_written(struct maker *m, const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operand)
{
    for (unsigned i = 0; i < insn->operand_count; i++) {
        if (operand[i].type != ZYDIS_OPERAND_TYPE_REGISTER || !(operand[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
            continue;
        ZydisRegister whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, operand[i].reg.value);
        unsigned number = gpr_number(whole);
        if (number < 16)
            m->written |= 1u << number;
    }
}

// Whether an instruction reads flags that no manual defines at the end of the round before.
static bool reads_undefined(struct maker *m)
{
    const struct test *test = m->test;
    ZydisDecodedInstruction insn;
    for (unsigned at = 0; at < test->length; at += insn.length) {
        if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&m->decoder, NULL, test->bytes + at, test->length - at, &insn)))
            return true;
        if (insn.cpu_flags && insn.cpu_flags->tested & test->undefined_once)
            return true;
    }
    return false;
}

static void add_bytes(struct test *test, const u8 *bytes, unsigned count)
{
    memcpy(test->bytes + test->length, bytes, count);
    test->length += count;
    test->insns++;
}

// Makes the case the body of a loop, long enough to be translated as one: registers that addresses are made of walk,
// and one that nothing else changes counts the rounds.
static void add_loop(struct maker *m)
{
    static const s8 steps[] = {1, 2, 4, 8, 16, 64, -1, -4, -8, -32};
    struct random *r = &m->random;
    struct test *test = m->test;
    u32 candidates = 0xffff & ~(m->written | m->fixed | m->pinned | 1u << 4);
    // What XSAVEOPT writes depends on what went before.
    if (!candidates || m->x87 || m->pinned || test->pointers || reads_undefined(m))
        return;
    unsigned counter = random_below(r, 16);
    while (!(candidates >> counter & 1))
        counter = (counter + 1) % 16;
    for (unsigned reg = 0; reg < 16; reg++)
        if (m->fixed >> reg & 1 && random_percent(r, 60) && test->length + 16 <= CASE_CODE)
            add_bytes(test, (u8[]){0x48 | reg >> 3, 0x83, 0xc0 | (reg & 7), (u8)steps[random_below(r, sizeof steps)]},
                      4);
    if (test->length + 12 > CASE_CODE)
        return;
    test->before.gpr[counter] = LOOP_LEAST + random_below(r, LOOP_MOST - LOOP_LEAST);
    add_bytes(test, (u8[]){0x48 | counter >> 3, 0xff, 0xc8 | (counter & 7)}, 3);
    add_bytes(test, (u8[]){0x75, (u8)-(int)(test->length + 2)}, 2);
    test->undefined |= test->undefined_once;
}

// ---- cases ----

static bool add_insn(struct maker *m)
{
    struct test *test = m->test;
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
    bool x87 = m->x87;
    for (unsigned tries = 0; tries < TRIES; tries++) {
        u8 *b = test->bytes + test->length;
        draw(&m->random, test->bits == 64, m->options->class, b);
        if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&m->decoder, b, INSN_BYTES, &insn, operand)))
            continue;
        const struct opcode *opcode = opcode_of(&insn, operand);
        if (opcode->class == OPCODE_INVALID || !comparable(&insn, operand) ||
            (!m->options->intel && unspecified(&insn, test->bits)) || !of_class(m->options->class, &insn, opcode))
            continue;
        if (masked_by_eax(&insn) &&
            (test->insns || gpr_number(operand[0].mem.base) == 0 || gpr_number(operand[0].mem.index) == 0))
            continue; // EAX would be anything
        if (insn.cpu_flags && insn.cpu_flags->tested & test->undefined)
            continue;
        bend(m, &insn, operand, b, test->before.rip + test->length);
        test->undefined = undefined_after(test->undefined, &insn);
        test->undefined_once |= test->undefined;
        test->pointers |= x87 && opcode->class == OPCODE_SYSTEM;
        x87 |= insn.meta.category == ZYDIS_CATEGORY_X87_ALU || insn.meta.category == ZYDIS_CATEGORY_FCMOV ||
               insn.mnemonic == ZYDIS_MNEMONIC_FXRSTOR || insn.mnemonic == ZYDIS_MNEMONIC_FXRSTOR64 ||
               insn.mnemonic == ZYDIS_MNEMONIC_XRSTOR || insn.mnemonic == ZYDIS_MNEMONIC_XRSTOR64;
        m->branches |= insn.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE;
        m->x87 = x87;
        note_written(m, &insn, operand);
        test->length += insn.length;
        test->insns++;
        return true;
    }
    return false;
}

void generate_test(struct test *test, const struct options *options, u64 number, u64 rip)
{
    struct maker m = {.random = {options->seed * 0x9e3779b97f4a7c15 ^ number * 0xd1342543de82ef95},
        .options = options, .test = test};
    struct random *r = &m.random;
    random_next(r);
    test->number = number;
    test->bits = options->bits ? options->bits : random_percent(r, 25) ? 32 : 64;
    test->insns = test->length = 0;
    test->undefined = test->undefined_once = 0;
    test->pointers = false;
    test->intel = options->intel;
    test->paravirtual = options->paravirtual;
    struct state *s = &test->before;
    for (unsigned i = 0; i < 16; i++)
        s->gpr[i] = random_value(r);
    test->before.rip = rip;
    u64 stack = segment_base(test, ZYDIS_REGISTER_SS) ? 512 : DATA_BASE + 512;
    s->gpr[4] = stack + (random_below(r, DATA_WRITABLE - 1024) & (random_percent(r, 90) ? ~7u : ~0u));
    s->gpr[5] = random_percent(r, 50) ? stack + random_below(r, DATA_WRITABLE - 1024) : s->gpr[5];
    s->flags = 0x202 | (random_next(r) & 0x8d5) | (random_percent(r, 20) ? 0x400 : 0);
    if (random_percent(r, 3))
        s->flags |= 0x100; // TF
    bool segment_end = test->bits == 16 && (rip & 0xffff) == 0x10000 - SLOT_BYTES;
    bool crossing = (rip & (PAGE_BYTES - 1)) == PAGE_BYTES - SLOT_BYTES && !segment_end;
    s->rip = crossing ? rip + SLOT_BYTES - 1 - random_below(r, 14) : rip;
    random_vectors(r, &s->vectors);
    decoder_init(&m.decoder, test->bits);
    unsigned count = 1 + random_below(r, options->insns);
    while (count-- && add_insn(&m) && !test->pointers) // which nobody may read back
        ;
    if (test->bits == 64 && random_percent(r, LOOP_PERCENT))
        add_loop(&m);
    if (m.branches) // which may lead around what defines them again
        test->undefined |= test->undefined_once;
    if (options->paravirtual)
        s->gpr[4] = (u64)((s64)(s->gpr[4] << 16) >> 16);
    if (test->bits != 64)
        for (unsigned i = 0; i < 16; i++)
            s->gpr[i] = i < 8 ? (u32)s->gpr[i] : s->gpr[i];
    if (test->bits == 16)
        s->gpr[4] &= 0xffff;
    memset(test->bytes + test->length, 0xcc, CASE_CODE - test->length);
}

// The data region: random, but with an XSAVE area of each format where area operands are sent.
void generate_memory(struct random *r, u8 data[DATA_MAPPED])
{
    struct vectors v;
    for (unsigned i = 0; i < DATA_MAPPED; i += 64)
        random_vector(r, data + i, 64);
    random_vectors(r, &v);
    v.xstate_bv = random_next(r) & 0xe7;
    area_store(data, &v);
    random_vectors(r, &v);
    v.xcomp_bv = (random_next(r) & 0xe7) | 1ull << 63;
    v.xstate_bv = random_next(r) & v.xcomp_bv & 0xe7;
    area_store(data + PAGE_BYTES, &v);
}
