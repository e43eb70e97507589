// REP MOVS and REP STOS in generated code. Programs copy and clear a few bytes with them at every turn (a shell does so
// dozens of times a line), and what the call to C around that costs is more than the copy. So: 64-bit code, no segment of
// its own, upwards, and each side within a page that the soft TLB has; then the host's instruction does it on the
// host's addresses, and registers move as far as it went. Everything else is the same instruction in C (string.c).
#include "engine/soft/translate.h"

#define CPU(field) offsetof(struct cpu, field)

enum { REPEAT_PREFIX = 0xf3, REX_W = 8, TEST_GS_IMM8 = 0xf6 };

// log2 of an element's size; -1: not of this kind. F3 and perhaps REX, in this order and alone.
static int repeat_shift(const struct translation *t, const struct decoded *d)
{
    const u8 *bytes = d->bytes, opcode = bytes[d->zydis.length - 1];
    const bool rex = d->zydis.length == 3 && (bytes[1] & 0xf0) == 0x40;
    const bool known = (opcode & 0xfe) == 0xa4 || (opcode & 0xfe) == 0xaa;
    if (!(t->mode & MODE_CODE64) || t->mode & MODE_STEP || bytes[0] != REPEAT_PREFIX || !known ||
        (d->zydis.length != 2 && !rex))
        return -1;
    return !(opcode & 1) ? 0 : rex && bytes[1] & REX_W ? 3 : 2;
}

static void repeat_unless(struct translation *t, struct slow_call *call, unsigned condition)
{
    call->from[call->count++] = emit_jump_forward(&t->e, condition, false);
}

// R14 = host address of what `reg` points at. RCX elements lie in that page, or it is left to C: a guest's page begins
// where the host's does, so the room in it is seen from either address.
static void repeat_side(struct translation *t, struct slow_call *call, unsigned reg, enum access tag, int shift)
{
    struct emit *e = &t->e;
    emit_rr(e, WIDTH64, X86_MOV_LOAD, R14, reg);
    probe_compare(t, 1, tag);
    repeat_unless(t, call, 7);
    probe_translate(t);
    emit_rr(e, WIDTH64, X86_MOV_LOAD, R15, R14);
    emit_alu_imm32(e, WIDTH64, 1, R15, (u32)-PAGE_BYTES);
    emit_bytes(e, (const u8[]){0x49, 0xf7, 0xdf}, 3); // neg r15
    if (shift)
        emit_shift_imm(e, WIDTH64, 5, R15, (u8)shift);
    emit_rr(e, WIDTH64, X86_CMP_LOAD, RCX, R15);
    repeat_unless(t, call, 7);
}

// A pointer becomes the host's, from R14, and R15 what it has to be given back afterwards.
static void repeat_exchange(struct translation *t, unsigned reg)
{
    struct emit *e = &t->e;
    emit_rr(e, WIDTH64, X86_MOV_LOAD, R15, reg);
    emit_rr(e, WIDTH64, X86_SUB_LOAD, R15, R14);
    emit_rr(e, WIDTH64, X86_MOV_LOAD, reg, R14);
}

static void repeat_movs(struct translation *t, const struct decoded *d, struct slow_call *call, int shift)
{
    struct emit *e = &t->e;
    repeat_side(t, call, RSI, ACCESS_READ, shift);
    emit_gs(e, WIDTH64, X86_MOV_STORE, R14, CPU(scratch));
    repeat_side(t, call, RDI, ACCESS_WRITE, shift);
    repeat_exchange(t, RDI);
    emit_gs(e, WIDTH64, X86_MOV_STORE, R15, CPU(scratch) + 16);
    emit_gs(e, WIDTH64, X86_MOV_LOAD, R14, CPU(scratch));
    repeat_exchange(t, RSI);
    emit_bytes(e, d->bytes, d->zydis.length);
    emit_rr(e, WIDTH64, X86_ADD_LOAD, RSI, R15);
    emit_gs(e, WIDTH64, X86_ADD_LOAD, RDI, CPU(scratch) + 16);
}

static void repeat_stos(struct translation *t, const struct decoded *d, struct slow_call *call, int shift)
{
    struct emit *e = &t->e;
    repeat_side(t, call, RDI, ACCESS_WRITE, shift);
    repeat_exchange(t, RDI);
    emit_bytes(e, d->bytes, d->zydis.length);
    emit_rr(e, WIDTH64, X86_ADD_LOAD, RDI, R15);
}

bool repeat_emit(struct translation *t, struct decoded *d)
{
    struct emit *e = &t->e;
    const int shift = repeat_shift(t, d);
    if (shift < 0 || t->call_count == TRANSLATE_CALLS)
        return false;
    struct slow_call *call = &t->call[t->call_count++];
    *call = (struct slow_call){.decoded = d};
    flags_to_memory(t);
    t->flags = FLAGS_MEMORY;
    // test byte gs:[rflags + 1], DF
    emit_bytes(e, (const u8[]){0x65, TEST_GS_IMM8, 0x04, 0x25}, 4);
    emit32(e, CPU(rflags) + 1);
    emit8(e, FLAG_DF >> 8);
    repeat_unless(t, call, 5);
    if (d->bytes[d->zydis.length - 1] & 8)
        repeat_stos(t, d, call, shift);
    else
        repeat_movs(t, d, call, shift);
    call->resume = emit_address(e);
    return true;
}

void repeat_slow_calls(struct translation *t)
{
    struct emit *e = &t->e;
    for (unsigned i = 0; i < t->call_count; i++) {
        const struct slow_call *call = &t->call[i];
        for (unsigned k = 0; k < call->count; k++)
            emit_patch(e, call->from[k], emit_address(e));
        t->flags = FLAGS_MEMORY;
        flow_system(t, call->decoded);
        emit_jump(e, EMIT_ALWAYS, call->resume);
    }
}
