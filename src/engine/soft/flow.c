// Branches and the stack. A direct branch within the page is an exit that can be linked to its target's block; any
// other goes through the jump cache, because blocks do not know what another virtual page maps to. Conditional branches
// leave by their taken side only: the block goes on along the fall-through path.
//
// Every cycle in the guest's flow contains either a backward branch within a page, where a poll is emitted (a load
// through cpu->jump, which a request makes fault), or a jump-cache lookup, which reads through the same pointer.
//
// Only for flat code segments with flat 32- or 64-bit stacks; the rest executes as C (branch.c).
#include "engine/soft/demand.h"
#include "engine/soft/translate.h"

#define CPU(field) offsetof(struct cpu, field)

static unsigned wide_of(const struct translation *t) { return t->mode & MODE_CODE64 ? WIDTH64 : WIDTH32; }
static unsigned word_of(const struct translation *t) { return t->mode & MODE_CODE64 ? 8 : 4; }

static bool within_page(s64 offset) { return offset >= 0 && offset < PAGE_BYTES; }

// reg = RIP of code_base + offset, truncated to the code size
static void load_rip(struct translation *t, unsigned reg, s64 offset)
{
    struct emit *e = &t->e;
    if (offset == (s32)offset) {
        emit_gs(e, WIDTH64, X86_MOV_LOAD, reg, CPU(code_base));
        emit_memory(e, wide_of(t), X86_LEA, reg, reg, INSN_NO_REGISTER, 1, (s32)offset);
    } else {
        emit_mov_imm(e, reg, (u64)offset);
        emit_gs(e, wide_of(t), X86_ADD_LOAD, reg, CPU(code_base));
    }
}

void flow_poll(struct translation *t, struct decoded *d)
{
    copy_release(t, R14);
    site_add(t, d, t->flags & FLAGS_LIVE);
    emit_gs(&t->e, WIDTH64, X86_MOV_LOAD, R14, CPU(jump));
    emit_memory(&t->e, WIDTH32, X86_MOV_LOAD, R14, R14, INSN_NO_REGISTER, 1, 0);
}

// To a known place in another page, flags in memory: the jump cache's lookup (glue.c), with the set worked out
// beforehand for where the code is now. The first way is enough here; elsewhere the glue looks.
static void jump_direct(struct translation *t, s64 offset)
{
    struct emit *e = &t->e;
    load_rip(t, R14, offset);
    if (!(t->mode & MODE_CODE64)) {
        emit_jump(e, EMIT_ALWAYS, t->code->glue.jump);
        return;
    }
    s32 set = (s32)(tlb_jump_index(t->page + (u64)offset) * sizeof(struct tlb_jump));
    site_add_branched(t);
    emit_gs(e, WIDTH64, X86_MOV_LOAD, R15, CPU(jump));
    emit_memory(e, WIDTH64, X86_CMP_LOAD, R14, R15, INSN_NO_REGISTER, 1, set + (s32)offsetof(struct tlb_jump, rip));
    emit_jump(e, 5, t->code->glue.jump);
    emit_alu_imm32(e, WIDTH64, 4, R14, (u32)-PAGE_BYTES);
    emit_gs(e, WIDTH64, X86_MOV_STORE, R14, CPU(code_base));
    emit_memory(e, WIDTH32, X86_JMP_MEMORY, 4, R15, INSN_NO_REGISTER, 1, set + (s32)offsetof(struct tlb_jump, code));
}

static struct block_exit *exit_direct(struct translation *t, unsigned condition, s64 offset)
{
    if (condition == EMIT_ALWAYS && !within_page(offset)) {
        flags_to_memory(t);
        jump_direct(t, offset);
        return NULL;
    }
    t->exit_dirty[t->exit_count] = t->dirty;
    struct block_exit *exit = &t->exit[t->exit_count++];
    *exit = (struct block_exit){ .offset = (s32)offset, .flags_live = t->flags & FLAGS_LIVE };
    exit->rel32 = emit_jump_forward(&t->e, condition, !t->dirty);
    return exit;
}

void flow_plain(struct translation *t, struct decoded *d)
{
    t->exit_dirty[t->exit_count] = 0;
    struct block_exit *exit = &t->exit[t->exit_count++];
    *exit = (struct block_exit){ .offset = d->position, .plain = true };
    exit->rel32 = emit_jump_forward(&t->e, 7, true);
}

// What an exit has to store before it may go anywhere stands out of the way, and the jump to be linked behind it.
static void exit_store(struct translation *t, struct block_exit *exit, u8 dirty)
{
    struct emit *e = &t->e;
    emit_patch(e, exit->rel32, emit_address(e));
    for (unsigned reg = R14; reg <= R15; reg++)
        if (dirty >> (reg - R14) & 1)
            copy_store_gpr(t, reg, reg);
    exit->rel32 = emit_jump_forward(e, EMIT_ALWAYS, true);
}

void flow_exits(struct translation *t)
{
    struct emit *e = &t->e;
    for (unsigned i = 0; i < t->exit_count; i++) {
        struct block_exit *exit = &t->exit[i];
        if (t->exit_dirty[i])
            exit_store(t, exit, t->exit_dirty[i]);
        exit->unlinked = emit_address(e);
        emit_patch(e, exit->rel32, exit->unlinked);
        if (exit->flags_live)
            emit_flags_save(e, R14);
        if (!within_page(exit->offset)) {
            jump_direct(t, exit->offset);
            exit->rel32 = NULL; // never linked
            continue;
        }
        emit_gs_imm(e, WIDTH32, CPU(exit_argument), t->code->exit_count + i);
        emit_gs_imm(e, WIDTH32, CPU(exit_kind), EXIT_LINK);
        emit_jump(e, EMIT_ALWAYS, t->code->glue.exit);
    }
}

void flow_fallthrough(struct translation *t, unsigned position) { exit_direct(t, EMIT_ALWAYS, position); }

void flow_leave(struct translation *t, struct decoded *d, enum exit_kind kind, u32 argument)
{
    struct emit *e = &t->e;
    copy_spill(t);
    flags_to_memory(t);
    emit_gs_imm(e, WIDTH32, CPU(site), SITE(d->position, d->zydis.length, false));
    emit_gs_imm(e, WIDTH32, CPU(exit_argument), argument);
    emit_gs_imm(e, WIDTH32, CPU(exit_kind), kind);
    emit_jump(e, EMIT_ALWAYS, t->code->glue.exit);
    t->ended = true;
}

void flow_call(struct translation *t, struct decoded *d, u32 insn_id)
{
    struct emit *e = &t->e;
    flags_to_memory(t);
    t->flags = FLAGS_MEMORY;
    emit_gs_imm(e, WIDTH32, CPU(site), SITE(d->position, d->zydis.length, false));
    emit_bytes(e, (const u8[]){ 0x4c, 0x8d, 0x3d }, 3); // lea r15, [rip + behind the jump]
    u8 *rel32 = e->at;
    emit32(e, 0);
    emit_gs(e, WIDTH64, X86_MOV_STORE, R15, CPU(scratch) + 8);
    emit_mov_imm(e, R14, insn_id);
    emit_jump(e, EMIT_ALWAYS, t->code->glue.system);
    emit_patch(e, rel32, emit_address(e));
}

s64 flow_target(const struct decoded *d)
{
    return d->position + d->zydis.length + d->operand[0].imm.value.s;
}

u32 flow_return_extra(const struct decoded *d)
{
    const ZydisDecodedOperand *op = &d->operand[0];
    bool has = op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && op->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT;
    return has ? (u32)op->imm.value.u : 0;
}

static int condition_of(ZydisMnemonic mnemonic)
{
    switch (mnemonic) {
    case ZYDIS_MNEMONIC_JO: return 0;
    case ZYDIS_MNEMONIC_JNO: return 1;
    case ZYDIS_MNEMONIC_JB: return 2;
    case ZYDIS_MNEMONIC_JNB: return 3;
    case ZYDIS_MNEMONIC_JZ: return 4;
    case ZYDIS_MNEMONIC_JNZ: return 5;
    case ZYDIS_MNEMONIC_JBE: return 6;
    case ZYDIS_MNEMONIC_JNBE: return 7;
    case ZYDIS_MNEMONIC_JS: return 8;
    case ZYDIS_MNEMONIC_JNS: return 9;
    case ZYDIS_MNEMONIC_JP: return 10;
    case ZYDIS_MNEMONIC_JNP: return 11;
    case ZYDIS_MNEMONIC_JL: return 12;
    case ZYDIS_MNEMONIC_JNL: return 13;
    case ZYDIS_MNEMONIC_JLE: return 14;
    case ZYDIS_MNEMONIC_JNLE: return 15;
    default: return -1;
    }
}

bool flow_keeps_registers(const struct decoded *d)
{
    if (d->opcode->class != OPCODE_FLOW)
        return false;
    return condition_of(d->zydis.mnemonic) >= 0 ? d->through || flow_target(d) > d->position : d->through;
}

bool flow_is_backward_condition(const struct decoded *d)
{
    return d->opcode->class == OPCODE_FLOW && condition_of(d->zydis.mnemonic) >= 0 && flow_target(d) <= d->position;
}

static void jcc_emit(struct translation *t, struct decoded *d, unsigned condition)
{
    s64 offset = flow_target(d);
    flags_to_live(t, R15);
    if (d->through) {
        exit_direct(t, condition ^ 1, d->position + d->zydis.length);
        return;
    }
    if (offset <= d->position && !t->polled)
        flow_poll(t, d);
    struct block_exit *exit = exit_direct(t, condition, offset);
    exit->loop = loop_closes(t, d);
}

static void jmp_direct(struct translation *t, struct decoded *d)
{
    s64 offset = flow_target(d);
    if (d->through)
        return;
    if (within_page(offset) && offset <= d->position)
        flow_poll(t, d);
    struct block_exit *exit = exit_direct(t, EMIT_ALWAYS, offset);
    if (exit)
        exit->loop = loop_closes(t, d);
    t->ended = true;
}

// LOOP and JRCXZ leave flags alone, and so do LEA and the host's JRCXZ.
static void loop_emit(struct translation *t, struct decoded *d)
{
    struct emit *e = &t->e;
    bool loop = d->zydis.mnemonic == ZYDIS_MNEMONIC_LOOP, wide = d->zydis.address_width == 64;
    s64 offset = flow_target(d);
    if (offset <= d->position)
        flow_poll(t, d);
    if (loop)
        emit_memory(e, wide, X86_LEA, RCX, RCX, INSN_NO_REGISTER, 1, -1);
    if (!wide)
        emit8(e, 0x67);
    emit8(e, 0xe3);
    u8 *rel8 = e->at;
    emit8(e, 0);
    u8 *start = e->at;
    enum flags_place flags = t->flags; // of the path around this exit too
    exit_direct(t, EMIT_ALWAYS, loop ? offset : d->position + d->zydis.length);
    t->flags = flags;
    if (!e->full)
        *rel8 = (u8)(e->at - start);
    if (!loop) {
        exit_direct(t, EMIT_ALWAYS, offset);
        t->ended = true;
    }
}

// Reads a branch target or pushed value into R14: a register, or memory through a probe.
static void operand_to_r14(struct translation *t, struct decoded *d, const ZydisDecodedOperand *op)
{
    struct emit *e = &t->e;
    if (op->type == ZYDIS_OPERAND_TYPE_REGISTER) {
        unsigned guest = (unsigned)ZydisRegisterGetId(op->reg.value);
        if (guest >= R14)
            emit_gs(e, wide_of(t), X86_MOV_LOAD, R14, CPU(gpr) + 8 * guest);
        else
            emit_rr(e, wide_of(t), X86_MOV_LOAD, R14, guest);
        return;
    }
    unsigned access = SLOW_READ | demand_access(d, op);
    probe_address(t, d, op, word_of(t), access);
    probe_emit(t, d, word_of(t), access);
    emit_memory(e, wide_of(t), X86_MOV_LOAD, R14, R14, INSN_NO_REGISTER, 1, 0);
}

static void stack_probe(struct translation *t, struct decoded *d,
                        void (*operation)(struct translation *, struct decoded *))
{
    struct emit *e = &t->e;
    if (span_emit(t, d)) {
        site_add(t, d, t->flags & FLAGS_LIVE);
        operation(t, d);
        t->displacement = 0;
        emit_memory(e, WIDTH64, X86_LEA, RSP, RSP, INSN_NO_REGISTER, 1, -8);
        return;
    }
    emit_memory(e, wide_of(t), X86_LEA, R14, RSP, INSN_NO_REGISTER, 1, -(s32)word_of(t));
    bool call = d->zydis.mnemonic == ZYDIS_MNEMONIC_CALL;
    probe_emit(t, d, word_of(t), SLOW_WRITE | SLOW_STACK | (call ? SLOW_CALL : SLOW_PUSH));
    struct slow_path *slow = probe_last(t);
    slow->operation = operation;
    site_add(t, d, false);
    operation(t, d);
    slow->done = emit_address(e);
    slow->flags_after = FLAGS_MEMORY;
    emit_memory(e, wide_of(t), X86_LEA, RSP, RSP, INSN_NO_REGISTER, 1, -(s32)word_of(t));
}

// R14 = what RSP points at
static void stack_read(struct translation *t, struct decoded *d)
{
    struct emit *e = &t->e;
    if (!span_emit(t, d)) {
        emit_rr(e, wide_of(t), X86_MOV_LOAD, R14, RSP);
        probe_emit(t, d, word_of(t), SLOW_READ | SLOW_STACK);
    }
    emit_memory(e, wide_of(t), X86_MOV_LOAD, R14, R14, INSN_NO_REGISTER, 1, t->displacement);
    t->displacement = 0;
    t->r14_slot = 0;
}

static void push_return(struct translation *t, struct decoded *d)
{
    load_rip(t, R15, d->position + d->zydis.length);
    emit_memory(&t->e, wide_of(t), X86_MOV_STORE, R15, R14, INSN_NO_REGISTER, 1, t->displacement);
}

static void push_register(struct translation *t, struct decoded *d)
{
    unsigned reg = (unsigned)ZydisRegisterGetId(d->operand[0].reg.value);
    if (reg >= R14) {
        copy_load_gpr(t, R15, reg);
        reg = R15;
    }
    emit_memory(&t->e, wide_of(t), X86_MOV_STORE, reg, R14, INSN_NO_REGISTER, 1, t->displacement);
}

static void push_immediate(struct translation *t, struct decoded *d)
{
    emit_mov_imm(&t->e, R15, (u64)d->operand[0].imm.value.s);
    emit_memory(&t->e, wide_of(t), X86_MOV_STORE, R15, R14, INSN_NO_REGISTER, 1, t->displacement);
}

static void push_scratch(struct translation *t, struct decoded *d)
{
    (void)d;
    emit_gs(&t->e, WIDTH64, X86_MOV_LOAD, R15, CPU(scratch));
    emit_memory(&t->e, wide_of(t), X86_MOV_STORE, R15, R14, INSN_NO_REGISTER, 1, t->displacement);
}

// To R14. Whether the target is canonical is asked where it is not in the jump cache (branch_astray); the fault is the
// branch's then (SDM 2B RET, JMP; 2A CALL), and what it did to RSP has to be taken back.
static void jump_indirect(struct translation *t, const struct decoded *d, s32 rsp)
{
    if (t->mode & MODE_CODE64)
        emit_gs_imm(&t->e, WIDTH32, CPU(site), SITE_BRANCH(d->position, d->zydis.length, rsp));
    emit_jump(&t->e, EMIT_ALWAYS, t->code->glue.jump);
    t->ended = true;
}

static void call_emit(struct translation *t, struct decoded *d)
{
    struct emit *e = &t->e;
    bool direct = d->operand[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
    if (!d->span) // never a leader: nothing follows it
        probe_flags(t, d);
    if (!direct) {
        operand_to_r14(t, d, &d->operand[0]);
        emit_gs(e, WIDTH64, X86_MOV_STORE, R14, CPU(scratch));
    }
    stack_probe(t, d, push_return);
    if (direct) {
        exit_direct(t, EMIT_ALWAYS, flow_target(d));
        t->ended = true;
        return;
    }
    emit_gs(e, WIDTH64, X86_MOV_LOAD, R14, CPU(scratch));
    jump_indirect(t, d, -(s32)word_of(t));
}

static void ret_emit(struct translation *t, struct decoded *d)
{
    s32 pops = (s32)(word_of(t) + flow_return_extra(d));
    probe_flags(t, d);
    stack_read(t, d);
    emit_memory(&t->e, wide_of(t), X86_LEA, RSP, RSP, INSN_NO_REGISTER, 1, pops);
    jump_indirect(t, d, pops);
}

static void jmp_indirect(struct translation *t, struct decoded *d)
{
    probe_flags(t, d);
    operand_to_r14(t, d, &d->operand[0]);
    jump_indirect(t, d, 0);
}

void flow_emit(struct translation *t, struct decoded *d)
{
    int condition = condition_of(d->zydis.mnemonic);
    bool direct = d->operand[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
    if (condition >= 0)
        jcc_emit(t, d, (unsigned)condition);
    else if (d->zydis.mnemonic == ZYDIS_MNEMONIC_JMP && direct)
        jmp_direct(t, d);
    else if (d->zydis.mnemonic == ZYDIS_MNEMONIC_JMP)
        jmp_indirect(t, d);
    else if (d->zydis.mnemonic == ZYDIS_MNEMONIC_CALL)
        call_emit(t, d);
    else if (d->zydis.mnemonic == ZYDIS_MNEMONIC_RET)
        ret_emit(t, d);
    else
        loop_emit(t, d);
}

static void pop_register(struct translation *t, struct decoded *d)
{
    struct emit *e = &t->e;
    unsigned reg = (unsigned)ZydisRegisterGetId(d->operand[0].reg.value);
    if (d->span && reg < R14 && reg != RSP) {
        span_emit(t, d);
        emit_memory(e, WIDTH64, X86_MOV_LOAD, reg, R14, INSN_NO_REGISTER, 1, t->displacement);
        t->displacement = 0;
        emit_memory(e, WIDTH64, X86_LEA, RSP, RSP, INSN_NO_REGISTER, 1, 8);
        return;
    }
    stack_read(t, d);
    emit_memory(e, wide_of(t), X86_LEA, RSP, RSP, INSN_NO_REGISTER, 1, (s32)word_of(t));
    copy_store_gpr(t, R14, reg);
}

static void leave_emit(struct translation *t, struct decoded *d)
{
    struct emit *e = &t->e;
    emit_rr(e, wide_of(t), X86_MOV_LOAD, R14, RBP);
    probe_emit(t, d, word_of(t), SLOW_READ | SLOW_STACK);
    emit_memory(e, wide_of(t), X86_MOV_LOAD, R14, R14, INSN_NO_REGISTER, 1, 0);
    emit_memory(e, wide_of(t), X86_LEA, RSP, RBP, INSN_NO_REGISTER, 1, (s32)word_of(t));
    emit_rr(e, wide_of(t), X86_MOV_LOAD, RBP, R14);
}

void stack_emit(struct translation *t, struct decoded *d)
{
    const ZydisDecodedOperand *op = &d->operand[0];
    if (!d->span)
        probe_flags(t, d);
    if (d->zydis.mnemonic == ZYDIS_MNEMONIC_LEAVE) {
        leave_emit(t, d);
    } else if (d->zydis.mnemonic == ZYDIS_MNEMONIC_POP) {
        pop_register(t, d);
    } else if (op->type == ZYDIS_OPERAND_TYPE_MEMORY) {
        operand_to_r14(t, d, op);
        emit_gs(&t->e, WIDTH64, X86_MOV_STORE, R14, CPU(scratch));
        stack_probe(t, d, push_scratch);
    } else {
        stack_probe(t, d, op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE ? push_immediate : push_register);
    }
}
