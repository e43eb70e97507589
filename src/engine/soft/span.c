// Spans: several accesses of a block that lie around one base register, or one base and index, share one probe.
// Functions spill to their stack, save registers and restore them, walk through structures, and loops (loop.c) through
// arrays: [rsp+8], [rsp+16], push, push, [rdi], [rdi+4], [rdi+rcx*8]. Where the registers stay the same, or change by
// constants that add up, the first of them (the leader) probes for the whole range they cover, in one page and with the
// strongest access any of them needs, and leaves the host address of the range in cpu->span[]. The others load it from
// there: no probe, and no flags are lost.
//
// A range that the soft TLB does not have as a whole (a page's first use, a range across two pages, a read-only page
// that a later access would write to) may not make anything fault that the accesses themselves would not. So the leader
// then leaves the block for another translation of what follows, in MODE_PLAIN, where each access has its own probe. It
// is made only when it is wanted.
//
// What the leader found holds to the end of the block: translations are taken away by this processor's own system
// instructions, which end spans, or with the world stopped, which generated code only notices between blocks.
#include "engine/soft/translate.h"

#define CPU(field) offsetof(struct cpu, field)

enum { SPAN_BYTES = 1024 };

struct span_plan {
    u8 open[TRANSLATE_SPAN_SLOTS];   // index + 1 in t->span of what is open in that slot
    s32 bias[TRANSLATE_SPAN_SLOTS];  // base + index * scale now, less that at the leader
    u8 members[TRANSLATE_SPAN_SLOTS];
};

static void span_close(struct translation *t, struct span_plan *plan, unsigned slot)
{
    if (!plan->open[slot])
        return;
    if (plan->members[slot] < 2)
        t->insn[t->span[plan->open[slot] - 1].leader].span = 0;
    plan->open[slot] = 0;
}

static void span_close_all(struct translation *t, struct span_plan *plan)
{
    for (unsigned slot = 0; slot < TRANSLATE_SPAN_SLOTS; slot++)
        span_close(t, plan, slot);
}

static const struct span_key span_key_stack = { .base = RSP, .index = INSN_NO_REGISTER, .scale = 1 };

// The slot of the span open for a key, or -1.
static int span_slot(const struct translation *t, const struct span_plan *plan, struct span_key key)
{
    for (unsigned slot = 0; slot < TRANSLATE_SPAN_SLOTS; slot++) {
        if (!plan->open[slot])
            continue;
        struct span_key open = t->span[plan->open[slot] - 1].key;
        if (open.base == key.base && open.index == key.index && open.scale == key.scale)
            return (int)slot;
    }
    return -1;
}

static void span_open(struct translation *t, struct span_plan *plan, struct span_key key, s32 at, unsigned size,
                      unsigned insn, bool write)
{
    unsigned slot = 0;
    while (slot < TRANSLATE_SPAN_SLOTS && plan->open[slot])
        slot++;
    if (slot == TRANSLATE_SPAN_SLOTS || t->span_count == TRANSLATE_SPANS)
        return;
    t->span[t->span_count++] = (struct span){
        .low = at, .high = at + (s32)size, .leader = (u16)insn, .key = key, .slot = (u8)slot, .write = write,
    };
    plan->open[slot] = (u8)t->span_count;
    plan->bias[slot] = 0;
    plan->members[slot] = 1;
    t->insn[insn].span = (u8)t->span_count;
    t->insn[insn].span_at = at;
}

static void span_access(struct translation *t, struct span_plan *plan, struct span_key key, s64 displacement,
                        unsigned size, unsigned insn, bool write)
{
    if (displacement != (s16)displacement)
        return;
    int slot = span_slot(t, plan, key);
    if (slot >= 0) {
        struct span *span = &t->span[plan->open[slot] - 1];
        s32 at = (s32)displacement + plan->bias[slot], end = at + (s32)size;
        s32 low = at < span->low ? at : span->low, high = end > span->high ? end : span->high;
        if (high - low <= SPAN_BYTES) {
            span->low = low;
            span->high = high;
            span->write |= write;
            plan->members[slot]++;
            t->insn[insn].span = plan->open[slot];
            t->insn[insn].span_at = at;
            return;
        }
        span_close(t, plan, (unsigned)slot);
    }
    span_open(t, plan, key, (s32)displacement, size, insn, write);
}

static bool span_is_gpr64(ZydisRegister reg) { return ZydisRegisterGetClass(reg) == ZYDIS_REGCLASS_GPR64; }

// A memory operand that is a base, maybe an index, and a displacement.
static void span_operand(struct translation *t, struct span_plan *plan, unsigned insn)
{
    struct decoded *d = &t->insn[insn];
    const ZydisDecodedOperand *op = copy_may_span(d) ? copy_memory_operand(d) : NULL;
    if (!op || !span_is_gpr64(op->mem.base))
        return;
    bool indexed = op->mem.index != ZYDIS_REGISTER_NONE;
    if (indexed && !span_is_gpr64(op->mem.index))
        return;
    if (op->size == 0 || op->size > 512 || op->mem.segment == ZYDIS_REGISTER_FS || op->mem.segment == ZYDIS_REGISTER_GS)
        return;
    struct span_key key = {
        .base = (u8)ZydisRegisterGetId(op->mem.base),
        .index = indexed ? (u8)ZydisRegisterGetId(op->mem.index) : INSN_NO_REGISTER,
        .scale = indexed ? op->mem.scale : 1,
    };
    span_access(t, plan, key, op->mem.disp.has_displacement ? op->mem.disp.value : 0, op->size / 8, insn,
                copy_access(d, op) & SLOW_WRITE);
}

// Pushes and pops, calls and returns.
static void span_stack(struct translation *t, struct span_plan *plan, unsigned insn)
{
    const struct decoded *d = &t->insn[insn];
    bool memory = d->operand[0].type == ZYDIS_OPERAND_TYPE_MEMORY &&
                  d->operand[0].visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT;
    switch (d->zydis.mnemonic) {
    case ZYDIS_MNEMONIC_PUSH:
        if (!memory)
            span_access(t, plan, span_key_stack, -8, 8, insn, true);
        break;
    case ZYDIS_MNEMONIC_CALL:
        if (d->operand[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
            span_access(t, plan, span_key_stack, -8, 8, insn, true);
        break;
    case ZYDIS_MNEMONIC_POP: case ZYDIS_MNEMONIC_RET:
        span_access(t, plan, span_key_stack, 0, 8, insn, false);
        break;
    default:
        break;
    }
}

// What an instruction adds to a register, when that is a constant.
static bool span_adds(const struct decoded *d, unsigned reg, s64 *amount)
{
    const ZydisDecodedOperand *to = &d->operand[0], *from = &d->operand[1];
    if (d->opcode->class == OPCODE_STACK && reg == RSP) {
        *amount = d->zydis.mnemonic == ZYDIS_MNEMONIC_PUSH ? -8 : 8;
        bool into = d->zydis.mnemonic == ZYDIS_MNEMONIC_POP && to->type == ZYDIS_OPERAND_TYPE_REGISTER &&
                    to->reg.value == ZYDIS_REGISTER_RSP;
        return !into && d->zydis.mnemonic != ZYDIS_MNEMONIC_LEAVE;
    }
    if (d->opcode->class != OPCODE_COPY || to->type != ZYDIS_OPERAND_TYPE_REGISTER || !span_is_gpr64(to->reg.value))
        return false;
    bool immediate = from->type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
    switch (d->zydis.mnemonic) {
    case ZYDIS_MNEMONIC_ADD:
        *amount = from->imm.value.s;
        return immediate;
    case ZYDIS_MNEMONIC_SUB:
        *amount = -from->imm.value.s;
        return immediate;
    case ZYDIS_MNEMONIC_INC:
        *amount = 1;
        return true;
    case ZYDIS_MNEMONIC_DEC:
        *amount = -1;
        return true;
    case ZYDIS_MNEMONIC_LEA:
        *amount = from->mem.disp.has_displacement ? from->mem.disp.value : 0;
        return from->mem.base == to->reg.value && from->mem.index == ZYDIS_REGISTER_NONE &&
               d->zydis.address_width == 64;
    default:
        return false;
    }
}

// A register of the span in that slot changes.
static void span_change(struct translation *t, struct span_plan *plan, unsigned slot, const struct decoded *d,
                        unsigned reg)
{
    struct span_key key = t->span[plan->open[slot] - 1].key;
    s64 factor = (key.base == reg ? 1 : 0) + (key.index == reg ? key.scale : 0), amount;
    if (!factor)
        return;
    if (span_adds(d, reg, &amount) && amount == (s16)amount && plan->bias[slot] == (s16)plan->bias[slot])
        plan->bias[slot] += (s32)(amount * factor);
    else
        span_close(t, plan, slot);
}

// Registers that the instruction changes: spans around them go on or end.
static void span_changes(struct translation *t, struct span_plan *plan, const struct decoded *d)
{
    for (unsigned i = 0; i < d->zydis.operand_count; i++) {
        const ZydisDecodedOperand *op = &d->operand[i];
        if (op->type != ZYDIS_OPERAND_TYPE_REGISTER || !(op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
            continue;
        ZydisRegister whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, op->reg.value);
        if (!span_is_gpr64(whole))
            continue;
        for (unsigned slot = 0; slot < TRANSLATE_SPAN_SLOTS; slot++)
            if (plan->open[slot])
                span_change(t, plan, slot, d, (unsigned)ZydisRegisterGetId(whole));
    }
}

void span_plan(struct translation *t)
{
    struct span_plan plan = { 0 };
    t->span_count = 0;
    for (unsigned i = 0; i < t->count; i++)
        t->insn[i].span = 0;
    if (!(t->mode & MODE_CODE64) || t->mode & (MODE_STEP | MODE_PLAIN))
        return;
    for (unsigned i = 0; i < t->count; i++) {
        const struct decoded *d = &t->insn[i];
        bool flow = d->opcode->class == OPCODE_FLOW || d->opcode->class == OPCODE_STACK;
        if (d->opcode->class == OPCODE_COPY)
            span_operand(t, &plan, i);
        else if (flow && flow_inline(t, d))
            span_stack(t, &plan, i);
        else
            span_close_all(t, &plan);
        span_changes(t, &plan, d);
    }
    span_close_all(t, &plan);
}

static void span_lead(struct translation *t, struct decoded *d, const struct span *span)
{
    struct emit *e = &t->e;
    probe_flags(t, d);
    probe_registers(t, WIDTH64, span->key.base, span->key.index, span->key.scale, span->low);
    probe_compare(t, (unsigned)(span->high - span->low), span->write ? ACCESS_WRITE : ACCESS_READ);
    flow_plain(t, d);
    probe_translate(t);
    emit_gs(e, WIDTH64, X86_MOV_STORE, R14, CPU(span) + 8 * span->slot);
}

bool span_emit(struct translation *t, struct decoded *d)
{
    if (!d->span)
        return false;
    const struct span *span = &t->span[d->span - 1];
    if (d == &t->insn[span->leader])
        span_lead(t, d, span);
    else if (t->r14_slot != span->slot + 1)
        emit_gs(&t->e, WIDTH64, X86_MOV_LOAD, R14, CPU(span) + 8 * span->slot);
    t->r14_slot = (u8)(span->slot + 1);
    t->displacement = d->span_at - span->low;
    return true;
}
