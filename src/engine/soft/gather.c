// Gathers, scatters, compressing and masked moves, element by element. The translator re-encodes what it can prove
// harmless; here is what may fault in the middle. The architecture's rule (SDM 1 and the instructions' pages): elements
// are done from the lowest up, a fault reports the first element that has one, what was done before it stays done, and
// the mask says so.
#include <Zydis/Zydis.h>

#include "engine/soft/access.h"
#include "engine/soft/bytes.h"
#include "engine/soft/fpu.h"
#include "engine/soft/insn_gather.h"

enum { VECTOR_BYTES = 64 };

static u64 ones(unsigned count) { return count >= 64 ? ~0ull : (1ull << count) - 1; }

void gather_masked_read(struct cpu *cpu, u64 linear, void *data, unsigned size, unsigned elements, u64 mask)
{
    u8 *to = data;
    for (unsigned i = 0; i < elements; i++)
        bytes_store(to + i * size, size, mask >> i & 1 ? access_read(cpu, linear + i * size, size) : 0);
}

void gather_masked_write(struct cpu *cpu, u64 linear, const void *data, unsigned size, unsigned elements, u64 mask)
{
    const u8 *from = data;
    for (unsigned i = 0; i < elements; i++)
        if (mask >> i & 1)
            access_check(cpu, linear + i * size, size, ACCESS_WRITE);
    for (unsigned i = 0; i < elements; i++)
        if (mask >> i & 1)
            access_write(cpu, linear + i * size, size, bytes_load(from + i * size, size));
}

// The explicit operands without the opmask, which some tables list as one.
static const struct operand *operand_at(const struct insn *insn, unsigned wanted, unsigned *index)
{
    for (unsigned i = 0; i < insn->count; i++) {
        if (insn->operand[i].kind == OPERAND_MASK)
            continue;
        if (!wanted--) {
            *index = i;
            return &insn->operand[i];
        }
    }
    *index = 0;
    return &insn->operand[0];
}

static u64 address_mask(const struct insn *insn)
{
    return insn->address_size == 8 ? ~0ull : (1ull << 8 * insn->address_size) - 1;
}

// Linear address of element 0 of a contiguous masked operand; only the first element that takes part has to be
// addressable.
static u64 masked_linear(struct cpu *cpu, const struct insn *insn, unsigned index, unsigned size, u64 mask,
                         enum access access)
{
    if (!mask)
        return 0;
    u64 first = (u64)__builtin_ctzll(mask) * size;
    u64 offset = (operand_offset(cpu, insn, index) + first) & address_mask(insn);
    return access_linear(cpu, insn->operand[index].segment, offset, size, access) - first;
}

// ---- gather and scatter ----

struct vsib {
    const struct insn *insn;
    const struct operand *memory;
    unsigned index_bytes, element_bytes, elements;
    u8 index[VECTOR_BYTES];
    u64 mask;              // elements still to be done
    unsigned mask_vector;  // VEX: the vector register that is the mask
    unsigned target;       // gather's destination
    u8 data[VECTOR_BYTES];
    bool gather;
};

static void vsib_sizes(const struct insn *insn, unsigned *index, unsigned *element)
{
    switch (insn->mnemonic) {
    case ZYDIS_MNEMONIC_VGATHERDPS: case ZYDIS_MNEMONIC_VPGATHERDD:
    case ZYDIS_MNEMONIC_VSCATTERDPS: case ZYDIS_MNEMONIC_VPSCATTERDD:
        *index = 4, *element = 4;
        break;
    case ZYDIS_MNEMONIC_VGATHERDPD: case ZYDIS_MNEMONIC_VPGATHERDQ:
    case ZYDIS_MNEMONIC_VSCATTERDPD: case ZYDIS_MNEMONIC_VPSCATTERDQ:
        *index = 4, *element = 8;
        break;
    case ZYDIS_MNEMONIC_VGATHERQPS: case ZYDIS_MNEMONIC_VPGATHERQD:
    case ZYDIS_MNEMONIC_VSCATTERQPS: case ZYDIS_MNEMONIC_VPSCATTERQD:
        *index = 8, *element = 4;
        break;
    default:
        *index = 8, *element = 8;
    }
}

static u64 sign_mask(const u8 *vector, unsigned element_bytes, unsigned elements)
{
    u64 mask = 0;
    for (unsigned i = 0; i < elements; i++)
        mask |= (u64)(vector[(i + 1) * element_bytes - 1] >> 7) << i;
    return mask;
}

static void vsib_prepare(struct cpu *cpu, const struct insn *insn, struct vsib *v, bool gather)
{
    unsigned memory_index, vector_index;
    v->insn = insn;
    v->gather = gather;
    vsib_sizes(insn, &v->index_bytes, &v->element_bytes);
    unsigned widest = v->index_bytes > v->element_bytes ? v->index_bytes : v->element_bytes;
    v->elements = insn->vector_length / widest;
    v->memory = operand_at(insn, gather ? 1 : 0, &memory_index);
    v->target = operand_at(insn, gather ? 0 : 1, &vector_index)->reg;
    fpu_vector_read(cpu, v->memory->index, v->index, VECTOR_BYTES);
    fpu_vector_read(cpu, v->target, v->data, VECTOR_BYTES);
    if (insn->mask) {
        v->mask = fpu_mask_read(cpu, insn->mask) & ones(v->elements);
    } else {
        unsigned mask_index;
        u8 select[32];
        v->mask_vector = operand_at(insn, 2, &mask_index)->reg;
        fpu_vector_read(cpu, v->mask_vector, select, sizeof select);
        v->mask = sign_mask(select, v->element_bytes, v->elements);
    }
}

static u64 vsib_offset(const struct cpu *cpu, const struct vsib *v, unsigned element)
{
    u64 index = bytes_load(v->index + element * v->index_bytes, v->index_bytes);
    if (v->index_bytes == 4)
        index = (u64)(s32)index;
    u64 base = v->memory->base == INSN_NO_REGISTER ? 0 : cpu->gpr[v->memory->base];
    return (base + index * v->memory->scale + (u64)v->memory->value) & address_mask(v->insn);
}

// Makes what has been done so far visible: elements gathered, and the mask of what is left. The first element that is
// done also clears what lies above the vector length.
static void vsib_commit(struct cpu *cpu, const struct vsib *v, bool progress)
{
    if (v->insn->mask) {
        u64 old = fpu_mask_read(cpu, v->insn->mask);
        fpu_mask_write(cpu, v->insn->mask, (old & ~ones(v->elements)) | v->mask);
    } else {
        // every element of the vector becomes what its sign says, also those beyond the indices
        u8 select[VECTOR_BYTES];
        unsigned bytes = v->insn->vector_length, elements = bytes / v->element_bytes;
        fpu_vector_read(cpu, v->mask_vector, select, bytes);
        u64 mask = (sign_mask(select, v->element_bytes, elements) & ~ones(v->elements)) | v->mask;
        for (unsigned i = 0; i < elements; i++)
            bytes_set(select + i * v->element_bytes, mask >> i & 1 ? 0xff : 0, v->element_bytes);
        fpu_vector_write(cpu, v->mask_vector, select, bytes);
    }
    if (v->gather)
        fpu_vector_write(cpu, v->target, v->data, progress ? v->insn->vector_length : VECTOR_BYTES);
}

// Linear address of an element that can be accessed without a fault. The check is made with the elements before it
// committed, in case it does not return; then that is taken back, because device memory makes the instruction run again
// from its start.
static u64 vsib_linear(struct cpu *cpu, const struct vsib *v, const struct vsib *before, unsigned element)
{
    u64 offset = vsib_offset(cpu, v, element);
    enum access access = v->gather ? ACCESS_READ : ACCESS_WRITE;
    if (v->insn->code64 && v->memory->segment != SEG_FS && v->memory->segment != SEG_GS &&
        tlb_probe(cpu->tlb, offset, v->element_bytes, access))
        return offset;
    cpu->partial = v->mask != before->mask;
    vsib_commit(cpu, v, cpu->partial);
    u64 linear = access_linear(cpu, v->memory->segment, offset, v->element_bytes, access);
    access_check(cpu, linear, v->element_bytes, access);
    cpu->partial = false;
    vsib_commit(cpu, before, false);
    return linear;
}

void insn_vgather(struct cpu *cpu, const struct insn *insn)
{
    struct vsib v;
    fpu_save(cpu);
    vsib_prepare(cpu, insn, &v, true);
    const struct vsib before = v;
    for (unsigned i = 0; i < v.elements; i++) {
        if (!(v.mask >> i & 1))
            continue;
        u64 value = access_read(cpu, vsib_linear(cpu, &v, &before, i), v.element_bytes);
        bytes_store(v.data + i * v.element_bytes, v.element_bytes, value);
        v.mask &= ~(1ull << i);
    }
    fpu_vector_write(cpu, v.target, v.data, v.elements * v.element_bytes);
    if (insn->mask)
        fpu_mask_write(cpu, insn->mask, 0);
    else
        fpu_vector_write(cpu, v.mask_vector, NULL, 0);
}

void insn_vscatter(struct cpu *cpu, const struct insn *insn)
{
    struct vsib v;
    fpu_save(cpu);
    vsib_prepare(cpu, insn, &v, false);
    const struct vsib before = v;
    for (unsigned i = 0; i < v.elements; i++) {
        if (!(v.mask >> i & 1))
            continue;
        u64 linear = vsib_linear(cpu, &v, &before, i);
        access_write(cpu, linear, v.element_bytes, bytes_load(v.data + i * v.element_bytes, v.element_bytes));
        v.mask &= ~(1ull << i);
    }
    fpu_mask_write(cpu, insn->mask, 0);
}

// ---- compress and expand ----

static unsigned packed_element(const struct insn *insn)
{
    switch (insn->mnemonic) {
    case ZYDIS_MNEMONIC_VPCOMPRESSB: case ZYDIS_MNEMONIC_VPEXPANDB:
        return 1;
    case ZYDIS_MNEMONIC_VPCOMPRESSW: case ZYDIS_MNEMONIC_VPEXPANDW:
        return 2;
    case ZYDIS_MNEMONIC_VPCOMPRESSD: case ZYDIS_MNEMONIC_VPEXPANDD:
    case ZYDIS_MNEMONIC_VCOMPRESSPS: case ZYDIS_MNEMONIC_VEXPANDPS:
        return 4;
    default:
        return 8;
    }
}

static u64 packed_mask(const struct cpu *cpu, const struct insn *insn, unsigned elements)
{
    return (insn->mask ? fpu_mask_read(cpu, insn->mask) : ~0ull) & ones(elements);
}

void insn_vcompress(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = packed_element(insn), elements = insn->vector_length / size, to_index, from_index, count = 0;
    const struct operand *to = operand_at(insn, 0, &to_index), *from = operand_at(insn, 1, &from_index);
    u8 source[VECTOR_BYTES], packed[VECTOR_BYTES] = {0};
    fpu_save(cpu);
    u64 mask = packed_mask(cpu, insn, elements);
    fpu_vector_read(cpu, from->reg, source, insn->vector_length);
    if (to->kind != OPERAND_MEMORY && !insn->mask_zero)
        fpu_vector_read(cpu, to->reg, packed, insn->vector_length);
    for (unsigned i = 0; i < elements; i++)
        if (mask >> i & 1)
            bytes_store(packed + count++ * size, size, bytes_load(source + i * size, size));
    if (to->kind == OPERAND_MEMORY) {
        u64 present = ones(count);
        u64 linear = masked_linear(cpu, insn, to_index, size, present, ACCESS_WRITE);
        gather_masked_write(cpu, linear, packed, size, count, present);
    } else {
        fpu_vector_write(cpu, to->reg, packed, insn->vector_length);
    }
}

void insn_vexpand(struct cpu *cpu, const struct insn *insn)
{
    unsigned size = packed_element(insn), elements = insn->vector_length / size, to_index, from_index, count = 0;
    const struct operand *to = operand_at(insn, 0, &to_index), *from = operand_at(insn, 1, &from_index);
    u8 packed[VECTOR_BYTES], result[VECTOR_BYTES] = {0};
    fpu_save(cpu);
    u64 mask = packed_mask(cpu, insn, elements);
    if (from->kind == OPERAND_MEMORY) {
        u64 present = ones((unsigned)__builtin_popcountll(mask));
        u64 linear = masked_linear(cpu, insn, from_index, size, present, ACCESS_READ);
        gather_masked_read(cpu, linear, packed, size, elements, present);
    } else {
        fpu_vector_read(cpu, from->reg, packed, insn->vector_length);
    }
    if (!insn->mask_zero)
        fpu_vector_read(cpu, to->reg, result, insn->vector_length);
    for (unsigned i = 0; i < elements; i++)
        if (mask >> i & 1)
            bytes_store(result + i * size, size, bytes_load(packed + count++ * size, size));
    fpu_vector_write(cpu, to->reg, result, insn->vector_length);
}

// ---- VEX masked moves ----

void insn_vmaskmov(struct cpu *cpu, const struct insn *insn)
{
    bool wide = insn->mnemonic == ZYDIS_MNEMONIC_VMASKMOVPD || insn->mnemonic == ZYDIS_MNEMONIC_VPMASKMOVQ;
    unsigned size = wide ? 8 : 4, elements = insn->vector_length / size;
    u8 select[32], data[32];
    fpu_save(cpu);
    fpu_vector_read(cpu, insn->operand[1].reg, select, insn->vector_length);
    u64 mask = sign_mask(select, size, elements);
    if (insn->operand[0].kind == OPERAND_MEMORY) {
        fpu_vector_read(cpu, insn->operand[2].reg, data, insn->vector_length);
        u64 linear = masked_linear(cpu, insn, 0, size, mask, ACCESS_WRITE);
        gather_masked_write(cpu, linear, data, size, elements, mask);
    } else {
        u64 linear = masked_linear(cpu, insn, 2, size, mask, ACCESS_READ);
        gather_masked_read(cpu, linear, data, size, elements, mask);
        fpu_vector_write(cpu, insn->operand[0].reg, data, insn->vector_length);
    }
}

void insn_movdir64b(struct cpu *cpu, const struct insn *insn)
{
    u8 line[64];
    u64 offset = gpr_read(cpu, insn->operand[0].reg, insn->address_size);
    u64 from = operand_linear(cpu, insn, 1, sizeof line, ACCESS_READ);
    access_read_block(cpu, from, line, sizeof line);
    u64 to = access_linear(cpu, SEG_ES, offset, sizeof line, ACCESS_WRITE);
    if (to & (sizeof line - 1))
        cpu_raise_code(cpu, VECTOR_GP, 0);
    access_write_block(cpu, to, line, sizeof line);
}
