// What must be equal, and how a difference is shown.
#include <Zydis/Zydis.h>
#include <stdio.h>
#include <string.h>

#include "random.h"

// All that instructions at CPL 3 may change; RF and IF are the system's.
#define FLAGS_COMPARED 0x244dd5u
#define FLAGS_ARITHMETIC 0x8d5u
#define FLAG_NT 0x4000u
#define USER_END 0x7ffffffff000ull // Linux keeps the last page

static const char *const gpr_name[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                         "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

static ZydisMachineMode machine_mode(unsigned bits)
{
    return bits == 64   ? ZYDIS_MACHINE_MODE_LONG_64
           : bits == 32 ? ZYDIS_MACHINE_MODE_LONG_COMPAT_32
                        : ZYDIS_MACHINE_MODE_LONG_COMPAT_16;
}

void decoder_init(void *zydis_decoder, unsigned bits)
{
    static const ZydisStackWidth width[3] = {ZYDIS_STACK_WIDTH_16, ZYDIS_STACK_WIDTH_32, ZYDIS_STACK_WIDTH_64};
    ZydisDecoderInit(zydis_decoder, machine_mode(bits), width[bits / 32]);
}

struct comparison {
    const struct test *test;
    bool report, equal;
};

static void bytes_differ(struct comparison *c, const char *name, unsigned index, const void *before, const void *native,
                         const void *soft, unsigned size)
{
    if (!memcmp(native, soft, size))
        return;
    c->equal = false;
    if (!c->report)
        return;
    const u8 *row[3] = {before, native, soft};
    static const char *const title[3] = {"before", "native", "soft  "};
    for (unsigned r = 0; r < 3; r++) {
        if (!row[r])
            continue;
        printf("    %s[%u] %s ", name, index, title[r]);
        for (unsigned i = size; i-- > 0;)
            printf("%02x%s", row[r][i], i && i % 8 == 0 ? "_" : "");
        printf("\n");
    }
}

static void value_differs(struct comparison *c, const char *name, u64 before, u64 native, u64 soft)
{
    if (native == soft)
        return;
    c->equal = false;
    if (c->report)
        printf("    %-8s before %016llx native %016llx soft %016llx\n", name, (unsigned long long)before,
               (unsigned long long)native, (unsigned long long)soft);
}

static void compare_x87(struct comparison *c)
{
    const struct vectors *b = &c->test->before.vectors, *n = &c->test->native.vectors, *s = &c->test->soft.vectors;
    value_differs(c, "fcw", b->fcw, n->fcw, s->fcw);
    value_differs(c, "fsw", b->fsw, n->fsw, s->fsw);
    value_differs(c, "ftw", b->ftw, n->ftw, s->ftw);
    for (unsigned i = 0; i < 8; i++)
        bytes_differ(c, "st", i, b->st[i], n->st[i], s->st[i], 10);
}

// In 32-bit code registers 8 and up do not exist: VZEROALL leaves them alone, but the host's does not.
static void compare_vectors(struct comparison *c, bool mxcsr)
{
    const struct vectors *b = &c->test->before.vectors, *n = &c->test->native.vectors, *s = &c->test->soft.vectors;
    if (mxcsr)
        value_differs(c, "mxcsr", b->mxcsr, n->mxcsr, s->mxcsr);
    for (unsigned i = 0; i < (c->test->bits != 64 ? 8u : 16u); i++) {
        bytes_differ(c, "xmm", i, b->xmm[i], n->xmm[i], s->xmm[i], 16);
        bytes_differ(c, "ymm_high", i, b->ymm_high[i], n->ymm_high[i], s->ymm_high[i], 16);
        bytes_differ(c, "zmm_high", i, b->zmm_high[i], n->zmm_high[i], s->zmm_high[i], 32);
        bytes_differ(c, "zmm16+", i, b->zmm16[i], n->zmm16[i], s->zmm16[i], 64);
    }
    for (unsigned i = 0; i < 8; i++)
        value_differs(c, "k", b->opmask[i], n->opmask[i], s->opmask[i]);
}

static void compare_memory(struct comparison *c, const u8 *native, const u8 *soft)
{
    for (unsigned i = 0; i < DATA_WRITABLE; i += 16)
        bytes_differ(c, "memory", i, NULL, native + i, soft + i, 16);
}

// The instruction that a side was at when it ended. It may be another case's: a branch to anywhere can lead into that.
static bool last_insn(const struct test *test, const struct state *end, ZydisDecodedInstruction *insn,
                      ZydisDecodedOperand *operand)
{
    ZydisDecoder decoder;
    u64 bytes;
    const u8 *at = native_code(end->rip, &bytes);
    if (!at)
        return false;
    decoder_init(&decoder, test->bits);
    return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, at, bytes, insn, operand));
}

// And when that was in a fault.
static bool faulting_insn(const struct test *test, const struct state *end, ZydisDecodedInstruction *insn,
                          ZydisDecodedOperand *operand)
{
    return end->vector != 3 && end->vector != 1 && last_insn(test, end, insn, operand);
}

// REP CMPS and SCAS, of which only Intel's take the flags back when they are interrupted (SDM vol. 2B, REP).
static bool compares_interrupted(const struct test *test)
{
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
    return !test->intel && test->native.vector != 3 && last_insn(test, &test->native, &insn, operand) &&
           insn.meta.category == ZYDIS_CATEGORY_STRINGOP && insn.cpu_flags && insn.cpu_flags->modified;
}

// What may differ after a fault.
struct tolerance {
    u32 flags;    // those that the instruction was about to overwrite: the translator does not keep dead flags
    bool x87;     // MMX instructions: the switch to MMX state, which processors make before a store faults
    bool address; // areas of many fields, masked stores: which part is touched first,
    bool memory;  // and what has been stored of it
    bool mxcsr;   // VCVTPS2PH: status flags of a result that could not be stored
    bool upper;   // string instructions with 32-bit addresses: whether registers have been zero-extended already
    bool vectors; // gathers: how done elements are marked. Intel's make whole elements of the mask of its sign bits
};

static bool masked_store(const ZydisDecodedInstruction *insn)
{
    bool opmask = insn->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX && insn->avx.mask.reg != ZYDIS_REGISTER_K0;
    return opmask || insn->mnemonic == ZYDIS_MNEMONIC_MASKMOVDQU ||
           insn->mnemonic == ZYDIS_MNEMONIC_VMASKMOVDQU || insn->mnemonic == ZYDIS_MNEMONIC_MASKMOVQ ||
           insn->mnemonic == ZYDIS_MNEMONIC_VMASKMOVPS || insn->mnemonic == ZYDIS_MNEMONIC_VMASKMOVPD ||
           insn->mnemonic == ZYDIS_MNEMONIC_VPMASKMOVD || insn->mnemonic == ZYDIS_MNEMONIC_VPMASKMOVQ ||
           insn->meta.category == ZYDIS_CATEGORY_COMPRESS || insn->meta.category == ZYDIS_CATEGORY_EXPAND;
}

// Flags that are overwritten from the faulting instruction on before anything reads them.
static u32 dead_flags(const struct test *test)
{
    ZydisDecoder decoder;
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
    u32 dead = 0, read = 0;
    decoder_init(&decoder, test->bits);
    for (u64 at = test->native.rip - test->before.rip; at < test->length; at += insn.length) {
        if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, test->bytes + at, test->length - at, &insn, operand)))
            break;
        const ZydisAccessedFlags *flags = insn.cpu_flags;
        if (!flags || insn.meta.category == ZYDIS_CATEGORY_STRINGOP)
            continue;
        read |= flags->tested;
        dead |= (flags->modified | flags->set_0 | flags->set_1 | flags->undefined) & ~read;
    }
    return dead;
}

static bool gathers(const ZydisDecodedInstruction *insn)
{
    return insn->meta.category == ZYDIS_CATEGORY_AVX2GATHER;
}

static struct tolerance tolerate(const struct test *test)
{
    struct tolerance t = {0};
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
    if (test->native.vector != 3)
        t.flags = test->undefined_once;
    if (!faulting_insn(test, &test->native, &insn, operand))
        return t;
    for (unsigned i = 0; i < insn.operand_count; i++) {
        t.x87 |= operand[i].type == ZYDIS_OPERAND_TYPE_REGISTER && operand[i].reg.value >= ZYDIS_REGISTER_MM0 &&
                 operand[i].reg.value <= ZYDIS_REGISTER_MM7;
        if (operand[i].type != ZYDIS_OPERAND_TYPE_MEMORY)
            continue;
        t.address |= (insn.meta.category == ZYDIS_CATEGORY_X87_ALU && operand[i].size > 64) || operand[i].size > 512 ||
                     (operand[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE && masked_store(&insn));
    }
    bool call = insn.mnemonic == ZYDIS_MNEMONIC_CALL && test->native.vector == 13; // Intel's have written by then
    t.memory = t.address || (call && !test->intel);
    t.address |= !test->intel && insn.meta.category == ZYDIS_CATEGORY_STRINGOP; // CMPS may read either operand first
    t.upper = insn.meta.category == ZYDIS_CATEGORY_STRINGOP && insn.address_width == 32;
    t.flags = dead_flags(test) | test->undefined_once;
    t.vectors = !test->intel && gathers(&insn);
    t.mxcsr = insn.mnemonic == ZYDIS_MNEMONIC_VCVTPS2PH;
    return t;
}

// A store of a result with an unmasked exception does not store, so it has no page fault either. That is known only
// when it has been computed; the soft engine resolves the address first, and the store is done again after the page
// fault.
static bool store_suppressed(const struct test *test)
{
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
    bool unmasked = (test->before.vectors.fcw & test->native.vectors.fcw & 0x3f) != 0x3f;
    return (unmasked && test->soft.vector >= 12 && test->soft.vector <= 14 && test->native.rip != test->soft.rip &&
           faulting_insn(test, &test->soft, &insn, operand) && insn.meta.category == ZYDIS_CATEGORY_X87_ALU) ||
           (test->native.vector == 19 && faulting_insn(test, &test->native, &insn, operand) &&
            insn.mnemonic == ZYDIS_MNEMONIC_VCVTPS2PH);
}

// In 32-bit code an access through FS or GS that wraps around 4 GiB exceeds the segment; generated code does not look
// at that.
static bool segment_wraps(const struct test *test)
{
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
    if (test->bits != 32 || test->native.vector != 13 || test->soft.vector == 13 ||
        !faulting_insn(test, &test->native, &insn, operand))
        return false;
    return insn.attributes & (ZYDIS_ATTRIB_HAS_SEGMENT_FS | ZYDIS_ATTRIB_HAS_SEGMENT_GS);
}

// An instruction that the host does not have is #UD when it runs; the soft engine looks for its operand before.
static bool missing_insn(const struct test *test)
{
    return test->native.vector == 6 && test->soft.vector >= 12 && test->soft.vector <= 14 &&
           test->native.rip == test->soft.rip;
}

// A paravirtualized kernel's host takes exceptions for others when RSP is not canonical.
static bool stack_astray(const struct test *test)
{
    u64 rsp = test->native.gpr[4];
    return test->paravirtual && (u64)((s64)(rsp << 16) >> 16) != rsp;
}

// XSAVE of no component at all: whether the header is written (SDM vol. 1 13.7 says the bits of what is asked for are).
static bool saves_nothing(const struct test *test)
{
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
    bool saves = faulting_insn(test, &test->native, &insn, operand) && !test->intel &&
                 (insn.meta.category == ZYDIS_CATEGORY_XSAVE || insn.meta.category == ZYDIS_CATEGORY_XSAVEOPT);
    return saves && (test->before.gpr[0] & AREA_COMPONENTS) == 0;
}

// Which of two faults that are both due an instruction takes is the processor's choice (SDM vol. 3A 6.9). XRSTOR and
// FXRSTOR have one in the header or in MXCSR and another in memory further on; other processors than Intel's read the
// operands of CMPS in another order, and do not check the alignment of SHA's, which Intel's do (APM vol. 4, SHA1MSG1).
static bool fault_order(const struct test *test)
{
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
    const struct state *n = &test->native, *s = &test->soft;
    if (!test->intel && s->vector == 13 && faulting_insn(test, s, &insn, operand) &&
        insn.meta.category == ZYDIS_CATEGORY_SHA)
        return true;
    bool both = n->vector >= 12 && n->vector <= 14 && s->vector >= 12 && s->vector <= 14;
    if (!both || n->vector == s->vector || n->rip != s->rip || !faulting_insn(test, n, &insn, operand))
        return false;
    ZydisInstructionCategory category = insn.meta.category;
    if (!test->intel && (category == ZYDIS_CATEGORY_STRINGOP || category == ZYDIS_CATEGORY_XSAVEOPT ||
                         category == ZYDIS_CATEGORY_XSAVE))
        return true;
    return insn.mnemonic == ZYDIS_MNEMONIC_XRSTOR || insn.mnemonic == ZYDIS_MNEMONIC_XRSTOR64 ||
           insn.mnemonic == ZYDIS_MNEMONIC_FXRSTOR || insn.mnemonic == ZYDIS_MNEMONIC_FXRSTOR64;
}

// Alignment checks (#AC) are made by the engine's C only, not by generated code.
bool compare_test(const struct test *test, const u8 *native_memory, const u8 *soft_memory, bool report)
{
    struct comparison c = {.test = test, .report = report, .equal = true};
    const struct state *b = &test->before, *n = &test->native, *s = &test->soft;
    if (store_suppressed(test) || segment_wraps(test) || missing_insn(test) ||
        fault_order(test) || stack_astray(test) ||
        saves_nothing(test) || n->vector == 17 || s->vector == 17)
        return true;
    struct tolerance t = tolerate(test);
    u64 gpr_mask = test->bits != 64 ? 0xffffffff : ~0ull;
    value_differs(&c, "vector", 0, n->vector, s->vector);
    value_differs(&c, "rip", b->rip, n->rip, s->rip);
    u32 error_mask = n->vector == 14 && n->cr2 >= USER_END ? ~1u : ~0u; // Linux hides whether kernel pages are there
    if (!t.address)
        value_differs(&c, "error", 0, n->error & error_mask, s->error & error_mask);
    if (n->vector == 14 && !t.address)
        value_differs(&c, "cr2", 0, n->cr2, s->cr2);
    for (unsigned i = 0; i < 16; i++) {
        u64 mask = gpr_mask & (t.upper ? 0xffffffff : ~0ull);
        if (test->bits == 64 || i < 8)
            value_differs(&c, gpr_name[i], b->gpr[i], n->gpr[i] & mask, s->gpr[i] & mask);
    }
    u32 flags = FLAGS_COMPARED & ~test->undefined & ~t.flags;
    if (compares_interrupted(test))
        flags &= ~FLAGS_ARITHMETIC;
    if (test->paravirtual)
        flags &= ~FLAG_NT; // which such a kernel's host clears on the way in
    if (!t.x87)
        compare_x87(&c);
    value_differs(&c, "flags", b->flags, n->flags & flags, s->flags & flags);
    if (!t.vectors)
        compare_vectors(&c, !t.mxcsr);
    if (native_memory != soft_memory && !t.memory && !test->pointers)
        compare_memory(&c, native_memory, soft_memory);
    return c.equal;
}

void print_test(const struct test *test)
{
    ZydisDisassembledInstruction insn;
    printf("case %llu (%u bits) at %llx:\n", (unsigned long long)test->number, test->bits,
           (unsigned long long)test->before.rip);
    for (unsigned at = 0; at < test->length; at += insn.info.length) {
        if (!ZYAN_SUCCESS(ZydisDisassembleIntel(machine_mode(test->bits),
                                                test->before.rip + at, test->bytes + at, test->length - at, &insn)))
            break;
        printf("    ");
        for (unsigned i = 0; i < insn.info.length; i++)
            printf("%02x", test->bytes[at + i]);
        printf("  %s\n", insn.text);
    }
}
