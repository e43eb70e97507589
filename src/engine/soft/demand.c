// See demand.h. Each of these decides which fault an access that misses the TLB raises: alignment is checked before
// paging, a pending x87 exception before either, a stack segment's non-canonical address is #SS, and elements that an
// opmask switches off are not accessed at all (SDM 2A 2.4, 2.8; 3A 8.2.5).
#include "engine/soft/demand.h"

// Legacy SSE operands of 16 bytes, but for the moves made for misaligned ones and the SSE4.2 string comparisons.
static bool legacy_aligned(const struct decoded *d)
{
    switch (d->zydis.mnemonic) {
    case ZYDIS_MNEMONIC_MOVUPS: case ZYDIS_MNEMONIC_MOVUPD: case ZYDIS_MNEMONIC_MOVDQU: case ZYDIS_MNEMONIC_LDDQU:
    case ZYDIS_MNEMONIC_PCMPESTRI: case ZYDIS_MNEMONIC_PCMPESTRM: case ZYDIS_MNEMONIC_PCMPISTRI:
    case ZYDIS_MNEMONIC_PCMPISTRM:
        return false;
    default:
        return true;
    }
}

static bool vex_aligned(const struct decoded *d)
{
    switch (d->zydis.mnemonic) {
    case ZYDIS_MNEMONIC_VMOVAPS: case ZYDIS_MNEMONIC_VMOVAPD: case ZYDIS_MNEMONIC_VMOVDQA:
    case ZYDIS_MNEMONIC_VMOVDQA32:
    case ZYDIS_MNEMONIC_VMOVDQA64: case ZYDIS_MNEMONIC_VMOVNTPS: case ZYDIS_MNEMONIC_VMOVNTPD:
    case ZYDIS_MNEMONIC_VMOVNTDQ:
    case ZYDIS_MNEMONIC_VMOVNTDQA:
        return true;
    default:
        return false;
    }
}

static bool uses_mmx(const struct decoded *d)
{
    for (unsigned i = 0; i < d->zydis.operand_count; i++)
        if (d->operand[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
            ZydisRegisterGetClass(d->operand[i].reg.value) == ZYDIS_REGCLASS_MMX)
            return true;
    return false;
}

static bool waits_for_x87(const struct decoded *d)
{
    if (d->zydis.meta.category != ZYDIS_CATEGORY_X87_ALU)
        return uses_mmx(d);
    return d->zydis.mnemonic != ZYDIS_MNEMONIC_FNSTCW && d->zydis.mnemonic != ZYDIS_MNEMONIC_FNSTSW;
}

// Whether masked-off elements are spared the access: the exception classes without "NF".
static bool suppresses_faults(const struct decoded *d, const ZydisDecodedOperand *op)
{
    if (d->zydis.encoding != ZYDIS_INSTRUCTION_ENCODING_EVEX || d->zydis.avx.mask.reg == ZYDIS_REGISTER_NONE ||
        d->zydis.avx.mask.reg == ZYDIS_REGISTER_K0 || op->element_size < 8 || op->element_size > 64 ||
            op->element_count > 64)
        return false;
    switch (d->zydis.mnemonic) { // each of their elements depends on several of the operand
    case ZYDIS_MNEMONIC_VDBPSADBW: case ZYDIS_MNEMONIC_VCVTNE2PS2BF16: case ZYDIS_MNEMONIC_VGF2P8AFFINEQB:
    case ZYDIS_MNEMONIC_VGF2P8AFFINEINVQB:
        return false;
    default:
        break;
    }
    switch (d->zydis.meta.exception_class) {
    case ZYDIS_EXCEPTION_CLASS_E1: case ZYDIS_EXCEPTION_CLASS_E2: case ZYDIS_EXCEPTION_CLASS_E3:
    case ZYDIS_EXCEPTION_CLASS_E4:
    case ZYDIS_EXCEPTION_CLASS_E5: case ZYDIS_EXCEPTION_CLASS_E6: case ZYDIS_EXCEPTION_CLASS_E10:
    case ZYDIS_EXCEPTION_CLASS_E11:
        return true;
    default:
        return false;
    }
}

unsigned demand_access(const struct decoded *d, const ZydisDecodedOperand *op)
{
    unsigned access = 0;
    if (d->zydis.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY ? op->size == 128 && legacy_aligned(d) : vex_aligned(d))
        access |= SLOW_ALIGNED;
    if (op->mem.segment == ZYDIS_REGISTER_SS)
        access |= SLOW_STACK;
    if (waits_for_x87(d))
        access |= SLOW_X87;
    if (suppresses_faults(d, op))
        access |= SLOW_MASKED;
    return access;
}

// Elements that the operand becomes.
static unsigned broadcast_elements(const struct decoded *d, const ZydisDecodedOperand *op)
{
    switch (d->zydis.avx.broadcast.mode) {
    case ZYDIS_BROADCAST_MODE_1_TO_2: return 2;
    case ZYDIS_BROADCAST_MODE_1_TO_4: return 4;
    case ZYDIS_BROADCAST_MODE_1_TO_8: return 8;
    case ZYDIS_BROADCAST_MODE_1_TO_16: return 16;
    case ZYDIS_BROADCAST_MODE_1_TO_32: return 32;
    case ZYDIS_BROADCAST_MODE_INVALID: return op->element_count;
    default: return d->zydis.avx.vector_length / op->element_size;
    }
}

u32 demand_mask(const struct decoded *d, const ZydisDecodedOperand *op)
{
    unsigned copies = broadcast_elements(d, op) / op->element_count,
        reg = (unsigned)(d->zydis.avx.mask.reg - ZYDIS_REGISTER_K0);
    return DEMAND_MASK(reg, __builtin_ctz(op->element_size / 8), copies ? __builtin_ctz(copies) : 0, op->element_count);
}
