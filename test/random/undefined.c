// What the manual leaves open, instruction by instruction: the one list of flags that are not compared. SDM vol. 1
// appendix A (EFLAGS cross-reference) has them all, vol. 2 each under its instruction; APM vol. 3 leaves the same ones
// open, but there are processors on which an open flag keeps its old value, which nidus does not carry through code
// that overwrites it.
#include <Zydis/Zydis.h>
#include <cpuid.h>

#include "random.h"

enum { CF = 1, PF = 4, AF = 0x10, ZF = 0x40, SF = 0x80, OF = 0x800, ALL = CF | PF | AF | ZF | SF | OF };

#define OPEN(name, ...) [ZYDIS_MNEMONIC_##name] = __VA_ARGS__
static const u16 open_flags[ZYDIS_MNEMONIC_MAX_VALUE + 1] = {
    OPEN(AAA, OF | SF | ZF | PF), OPEN(AAS, OF | SF | ZF | PF), OPEN(AAD, OF | AF | CF), OPEN(AAM, OF | AF | CF),
    OPEN(DAA, OF), OPEN(DAS, OF),
    OPEN(AND, AF), OPEN(OR, AF), OPEN(XOR, AF), OPEN(TEST, AF),
    OPEN(ANDN, AF | PF), OPEN(BLSI, AF | PF), OPEN(BLSMSK, AF | PF), OPEN(BLSR, AF | PF), OPEN(BZHI, AF | PF),
    OPEN(BEXTR, AF | SF | PF),
    OPEN(BSF, CF | OF | SF | AF | PF), OPEN(BSR, CF | OF | SF | AF | PF),
    OPEN(LZCNT, OF | SF | PF | AF), OPEN(TZCNT, OF | SF | PF | AF),
    OPEN(BT, OF | SF | AF | PF), OPEN(BTC, OF | SF | AF | PF), OPEN(BTR, OF | SF | AF | PF),
    OPEN(BTS, OF | SF | AF | PF),
    OPEN(MUL, SF | ZF | AF | PF), OPEN(IMUL, SF | ZF | AF | PF), OPEN(DIV, ALL), OPEN(IDIV, ALL),
    // Shifts: AF; OF if the count is not 1; CF too when it reaches the operand's size, and after SHLD and SHRD,
    // everything.
    OPEN(SHL, AF | OF | CF), OPEN(SHR, AF | OF | CF), OPEN(SAR, AF | OF), OPEN(SHLD, AF | OF), OPEN(SHRD, AF | OF),
    OPEN(RCL, OF), OPEN(RCR, OF), OPEN(ROL, OF), OPEN(ROR, OF),
};

static bool shift(const ZydisDecodedInstruction *insn)
{
    return insn->meta.category == ZYDIS_CATEGORY_SHIFT || insn->meta.category == ZYDIS_CATEGORY_ROTATE;
}

static u32 open_after(const ZydisDecodedInstruction *insn)
{
    u32 flags = open_flags[insn->mnemonic];
    if (!shift(insn))
        return flags;
    bool by_immediate = insn->opcode == 0xc0 || insn->opcode == 0xc1 || insn->opcode == 0xa4 || insn->opcode == 0xac;
    bool by_one = insn->opcode == 0xd0 || insn->opcode == 0xd1;
    unsigned count = insn->raw.imm[0].value.u & (insn->operand_width == 64 ? 63 : 31);
    if (by_one || (by_immediate && count == 1))
        return flags & ~(u32)(OF | CF);
    if (by_immediate && count < insn->operand_width)
        return flags & ~(u32)CF;
    bool two_sources = insn->mnemonic == ZYDIS_MNEMONIC_SHLD || insn->mnemonic == ZYDIS_MNEMONIC_SHRD;
    return two_sources && insn->operand_width == 16 ? ALL : insn->operand_width >= 32 ? flags & ~(u32)CF : flags;
}

u32 undefined_after(u32 undefined, const void *zydis_insn)
{
    const ZydisDecodedInstruction *insn = zydis_insn;
    const ZydisAccessedFlags *flags = insn->cpu_flags;
    if (!flags)
        return undefined;
    bool repeated = insn->meta.category == ZYDIS_CATEGORY_STRINGOP;
    if (!shift(insn) && !repeated) // which write nothing if the count is 0
        undefined &= ~(flags->modified | flags->set_0 | flags->set_1 | flags->undefined);
    return undefined | open_after(insn);
}

static unsigned prefix_count(const ZydisDecodedInstruction *insn, u8 value)
{
    unsigned count = 0;
    for (unsigned i = 0; i < insn->raw.prefix_count; i++)
        count += insn->raw.prefixes[i].value == value;
    return count;
}

bool host_is_intel(void)
{
    u32 eax, ebx, ecx, edx;
    return __get_cpuid(0, &eax, &ebx, &ecx, &edx) && ebx == signature_INTEL_ebx;
}

// Encodings that processors of other makers than Intel, which the virtual one is of, take otherwise.
bool unspecified(const void *zydis_insn, unsigned bits)
{
    const ZydisDecodedInstruction *insn = zydis_insn;
    bool branch = insn->meta.branch_type != ZYDIS_BRANCH_TYPE_NONE;
    switch (insn->mnemonic) {
    // SDM vol. 2A 2.1.1: REP is reserved here; it may replace the condition.
    case ZYDIS_MNEMONIC_LOOPE: case ZYDIS_MNEMONIC_LOOPNE:
        if (prefix_count(insn, 0xf2) || prefix_count(insn, 0xf3))
            return true;
        break;
    case ZYDIS_MNEMONIC_PAUSE: // SDM vol. 2B, PAUSE; APM vol. 3, XCHG: with REX.B it exchanges
        return insn->raw.rex.B;
    case ZYDIS_MNEMONIC_NOP: // SDM vol. 2B, table A-3: 0F 0D is a reserved NOP; APM vol. 3, PREFETCH: needs memory
        return insn->opcode_map == ZYDIS_OPCODE_MAP_0F && insn->opcode == 0x0d;
    case ZYDIS_MNEMONIC_MOVSXD: // SDM vol. 2B, MOVSXD: reads 16 bits with 66H; APM vol. 3: 32
        return prefix_count(insn, 0x66);
    default:
        break;
    }
    // SDM vol. 2A, JMP: 66H is ignored in 64-bit mode; APM vol. 3, JMP: RIP is cut to 16 bits.
    if (branch && bits == 64 && prefix_count(insn, 0x66))
        return true;
    // SDM vol. 2B, REP: 32-bit RCX, RSI and RDI of a REP that does nothing may stay 64 bits wide.
    return insn->meta.category == ZYDIS_CATEGORY_STRINGOP && insn->address_width == 32 && bits == 64 &&
           (prefix_count(insn, 0xf2) || prefix_count(insn, 0xf3));
}
