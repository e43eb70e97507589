// Memory operands: effective address, segment, and the inline soft-TLB probe, with the slow path behind the block.
//
// The probe takes the linear address in R14 and leaves the host address there; R15 is its second register. With T the
// entry's tag for the wanted access, A - T is the offset in the page on a hit and huge on a miss, so that one unsigned
// compare with 4096 - size decides hit, miss and page crossing, and the slow path gets A back by adding T again.
//
// EFLAGS do not survive a probe. Flags that something still reads are saved before it (probe_flags) and brought back
// only when something reads them from EFLAGS (flags_to_live).
#include "engine/soft/translate.h"

#define CPU(field) offsetof(struct cpu, field)

void flags_to_memory(struct translation *t)
{
    if (t->flags == FLAGS_LIVE) {
        copy_release(t, R14);
        emit_flags_save(&t->e, R14);
        t->flags = FLAGS_BOTH;
    }
}

void flags_to_live(struct translation *t, unsigned scratch)
{
    if (t->flags == FLAGS_MEMORY) {
        copy_release(t, scratch);
        emit_flags_restore(&t->e, scratch);
        t->flags = FLAGS_BOTH;
    }
}

void probe_flags(struct translation *t, struct decoded *d)
{
    // What this instruction reads, or leaves for a later reader, has to outlive the probe.
    if (d->reads | (d->live_out & ~d->kills))
        flags_to_memory(t);
    t->flags = FLAGS_MEMORY;
}

static unsigned gpr_number(ZydisRegister reg)
{
    return reg == ZYDIS_REGISTER_NONE ? INSN_NO_REGISTER : (unsigned)ZydisRegisterGetId(reg);
}

// Whether a guest register of an address is in the host register of its name.
static bool address_in_host(const struct translation *t, unsigned number)
{
    return number < R14 || t->cached >> (number - R14) & 1;
}

// A guest register as a host register: itself, or for R14 and R15 in memory a copy in `scratch`.
static unsigned address_register(struct translation *t, unsigned number, unsigned scratch)
{
    if (number == INSN_NO_REGISTER || address_in_host(t, number))
        return number;
    emit_gs(&t->e, WIDTH64, X86_MOV_LOAD, scratch, CPU(gpr) + 8 * number);
    return scratch;
}

void probe_registers(struct translation *t, unsigned wide, unsigned base, unsigned index, unsigned scale,
                     s32 displacement)
{
    // Each may be where the other's copy would go.
    bool index_in_r14 = index == R14 && address_in_host(t, R14);
    bool base_in_r15 = base == R15 && !index_in_r14 && address_in_host(t, R15);
    base = address_register(t, base, index_in_r14 ? R15 : R14);
    index = address_register(t, index, base_in_r15 ? R14 : R15);
    if (index == INSN_NO_REGISTER && displacement == 0)
        emit_rr(&t->e, wide, X86_MOV_LOAD, R14, base);
    else
        emit_memory(&t->e, wide, X86_LEA, R14, base, index, scale ? scale : 1, displacement);
}

static void effective_rip(struct translation *t, struct decoded *d, s64 displacement)
{
    struct emit *e = &t->e;
    s64 offset = d->position + d->zydis.length + displacement;
    if (offset == (s32)offset) {
        emit_gs(e, WIDTH64, X86_MOV_LOAD, R14, CPU(code_base));
        if (offset)
            emit_memory(e, WIDTH64, X86_LEA, R14, R14, INSN_NO_REGISTER, 1, (s32)offset);
    } else {
        emit_mov_imm(e, R14, (u64)offset);
        emit_gs(e, WIDTH64, X86_MOV_LOAD, R15, CPU(code_base));
        emit_memory(e, WIDTH64, X86_LEA, R14, R14, R15, 1, 0);
    }
}

void probe_effective(struct translation *t, struct decoded *d, const ZydisDecodedOperand *op)
{
    struct emit *e = &t->e;
    unsigned width = d->zydis.address_width;
    s64 displacement = op->mem.disp.has_displacement ? op->mem.disp.value : 0;
    unsigned wide = width == 64 ? WIDTH64 : WIDTH32;

    if (op->mem.base == ZYDIS_REGISTER_RIP || op->mem.base == ZYDIS_REGISTER_EIP) {
        effective_rip(t, d, displacement);
        if (width == 32)
            emit_rr(e, WIDTH32, X86_MOV_LOAD, R14, R14);
        return;
    }
    bool has_base = op->mem.base != ZYDIS_REGISTER_NONE, has_index = op->mem.index != ZYDIS_REGISTER_NONE;
    if (!has_base && !has_index) {
        u64 address = (u64)displacement;
        emit_mov_imm(e, R14, width == 64 ? address : width == 32 ? (u32)address : (u16)address);
        return;
    }
    probe_registers(t, wide, gpr_number(op->mem.base), gpr_number(op->mem.index), op->mem.scale, (s32)displacement);
    if (width == 16)
        emit_rr(e, WIDTH32, X86_MOVZX16, R14, R14);
}

static unsigned segment_number(ZydisRegister segment)
{
    return segment == ZYDIS_REGISTER_NONE ? SEG_DS : (unsigned)ZydisRegisterGetId(segment);
}

static void segment_in_c(struct translation *t, struct decoded *d, unsigned segment, unsigned size, unsigned access)
{
    struct emit *e = &t->e;
    emit_gs_imm(e, WIDTH32, CPU(site), SITE(d->position, d->zydis.length, false));
    // lea r15, [rip + behind the jump]; mov gs:[scratch1], r15
    emit_bytes(e, (const u8[]){ 0x4c, 0x8d, 0x3d }, 3);
    u8 *rel32 = e->at;
    emit32(e, 0);
    emit_gs(e, WIDTH64, X86_MOV_STORE, R15, CPU(scratch) + 8);
    emit_mov_imm(e, R15, size | access << 8 | segment << 16);
    emit_jump(e, EMIT_ALWAYS, t->code->glue.linear);
    emit_patch(e, rel32, emit_address(e));
}

void probe_segment(struct translation *t, struct decoded *d, const ZydisDecodedOperand *op, unsigned size,
                   unsigned access)
{
    struct emit *e = &t->e;
    unsigned segment = segment_number(op->mem.segment);
    if (t->mode & MODE_CODE64) {
        if (segment == SEG_FS || segment == SEG_GS)
            emit_gs(e, WIDTH64, X86_ADD_LOAD, R14, segment == SEG_FS ? CPU(fs_base) : CPU(gs_base));
        return;
    }
    bool fs_or_gs = segment == SEG_FS || segment == SEG_GS;
    if (fs_or_gs && t->mode & (segment == SEG_FS ? MODE_FS : MODE_GS))
        emit_gs(e, WIDTH32, X86_ADD_LOAD, R14, segment == SEG_FS ? CPU(fs_base) : CPU(gs_base));
    else if (fs_or_gs || !(t->mode & MODE_FLAT) || (segment == SEG_CS && access & SLOW_WRITE))
        segment_in_c(t, d, segment, size, access);
}

void probe_address(struct translation *t, struct decoded *d, const ZydisDecodedOperand *op, unsigned size,
                   unsigned access)
{
    probe_effective(t, d, op);
    probe_segment(t, d, op, size, access);
}

void probe_compare(struct translation *t, unsigned size, enum access tag)
{
    struct emit *e = &t->e;
    emit_rr(e, WIDTH32, X86_MOV_LOAD, R15, R14);
    emit_shift_imm(e, WIDTH32, 5, R15, PAGE_BITS - 5);
    emit_gs(e, WIDTH32, X86_AND_LOAD, R15, CPU(tlb_mask));
    emit_gs_based(e, WIDTH64, X86_SUB_LOAD, R14, R15, CPU_WINDOW_TLB + offsetof(struct tlb_entry, tag) + 8 * tag);
    emit_alu_imm32(e, WIDTH64, 7, R14, PAGE_BYTES - size);
}

void probe_translate(struct translation *t)
{
    emit_gs_based(&t->e, WIDTH64, X86_ADD_LOAD, R14, R15, CPU_WINDOW_TLB + offsetof(struct tlb_entry, host));
}

void probe_emit(struct translation *t, struct decoded *d, unsigned size, unsigned access)
{
    struct emit *e = &t->e;
    unsigned tag = access & SLOW_WRITE ? ACCESS_WRITE : ACCESS_READ;
    probe_compare(t, size, tag);
    u8 *miss = emit_jump_forward(e, 7, false);
    probe_translate(t);
    if (t->slow_count == TRANSLATE_SLOW) {
        e->full = true; // cannot happen: translate.c ends the block before
        return;
    }
    t->slow[t->slow_count++] = (struct slow_path){
        .from = miss, .resume = emit_address(e), .decoded = d, .size = (u8)size, .access = (u8)access,
        .flags_before = t->flags,
    };
}

struct slow_path *probe_last(struct translation *t) { return &t->slow[t->slow_count - 1]; }

static u8 *lea_forward(struct translation *t, size_t field)
{
    struct emit *e = &t->e;
    emit_bytes(e, (const u8[]){ 0x4c, 0x8d, 0x3d }, 3); // lea r15, [rip + rel32]
    u8 *rel32 = e->at;
    emit32(e, 0);
    emit_gs(e, WIDTH64, X86_MOV_STORE, R15, field);
    return rel32;
}

static void slow_path_emit(struct translation *t, struct slow_path *slow)
{
    struct emit *e = &t->e;
    struct decoded *d = slow->decoded;
    unsigned tag = slow->access & SLOW_WRITE ? ACCESS_WRITE : ACCESS_READ;
    emit_patch(e, slow->from, emit_address(e));
    emit_gs_based(e, WIDTH64, X86_ADD_LOAD, R14, R15, CPU_WINDOW_TLB + offsetof(struct tlb_entry, tag) + 8 * tag);
    emit_gs_imm(e, WIDTH32, CPU(site), SITE(d->position, d->zydis.length, slow->flags_after == FLAGS_LIVE));
    emit_patch(e, lea_forward(t, CPU(scratch) + 8), slow->resume);
    u8 *bounced = slow->access & SLOW_WRITE ? lea_forward(t, CPU(scratch) + 16) : NULL;
    emit_mov_imm(e, R15, slow->size | (u32)slow->access << 8 | (u32)slow->mask << 16);
    emit_jump(e, EMIT_ALWAYS, t->code->glue.slow);
    if (!bounced)
        return;
    // The instruction again, on the bounce buffer, and C to write that back.
    emit_patch(e, bounced, emit_address(e));
    enum flags_place flags = t->flags;
    t->flags = slow->flags_before;
    site_add(t, d, false);
    slow->operation(t, d);
    t->flags = flags;
    emit_patch(e, lea_forward(t, CPU(scratch) + 8), slow->done);
    emit_jump(e, EMIT_ALWAYS, t->code->glue.commit);
}

void probe_slow_paths(struct translation *t)
{
    t->keeps_r15 = false; // C is between the block and what stands here
    t->cached = t->dirty = 0;
    for (unsigned i = 0; i < t->slow_count; i++)
        slow_path_emit(t, &t->slow[i]);
}
