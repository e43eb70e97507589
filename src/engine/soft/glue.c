// The code that every block shares: the way in, the ways out, and the calls to C. It is emitted rather than written as
// assembly so that the offsets of struct cpu have one source.
//
// RSP holds the guest's stack pointer while generated code runs, so nothing here pushes before the host's stack is
// back, and calls from blocks pass their return address in scratch[].
#include "engine/soft/block.h"
#include "engine/soft/run.h"
#include "engine/soft/slow.h"

#define CPU(field) offsetof(struct cpu, field)

static const u8 callee_saved[] = { RBX, RBP, R12, R13, R14, R15 };

static void push(struct emit *e, unsigned reg)
{
    emit_rex(e, WIDTH32, 0, 0, reg);
    emit8(e, (u8)(0x50 | (reg & 7)));
}

static void pop(struct emit *e, unsigned reg)
{
    emit_rex(e, WIDTH32, 0, 0, reg);
    emit8(e, (u8)(0x58 | (reg & 7)));
}

static void registers_load(struct emit *e)
{
    for (unsigned reg = 0; reg < R14; reg++)
        emit_gs(e, WIDTH64, X86_MOV_LOAD, reg, CPU(gpr) + 8 * reg);
}

static void registers_store(struct emit *e)
{
    for (unsigned reg = 0; reg < R14; reg++)
        emit_gs(e, WIDTH64, X86_MOV_STORE, reg, CPU(gpr) + 8 * reg);
}

static void jump_gs(struct emit *e, size_t offset)
{
    emit_bytes(e, (const u8[]){ 0x65, 0xff, 0x24, 0x25 }, 4);
    emit32(e, (u32)offset);
}

static void call_c(struct emit *e, const void *function)
{
    emit_mov_imm(e, RAX, (u64)function);
    emit_bytes(e, (const u8[]){ 0xff, 0xd0 }, 2);
}

// The CPU's address for C: gs points at its other mapping, so the canonical one is kept in the state itself.
static void load_cpu(struct emit *e, unsigned reg) { emit_gs(e, WIDTH64, X86_MOV_LOAD, reg, CPU(self)); }

static void emit_enter(struct emit *e)
{
    for (unsigned i = 0; i < sizeof callee_saved; i++)
        push(e, callee_saved[i]);
    emit_memory(e, WIDTH64, X86_LEA, RSP, RSP, INSN_NO_REGISTER, 1, -8); // 16-byte alignment at the calls to C
    emit_gs(e, WIDTH64, X86_MOV_STORE, RSP, CPU(host_rsp));
    emit_gs(e, WIDTH64, X86_MOV_STORE, RSI, CPU(scratch[1]));
    registers_load(e);
    jump_gs(e, CPU(scratch[1]));
}

static void emit_exit(struct emit *e)
{
    registers_store(e);
    emit_gs(e, WIDTH64, X86_MOV_LOAD, RSP, CPU(host_rsp));
    emit_memory(e, WIDTH64, X86_LEA, RSP, RSP, INSN_NO_REGISTER, 1, 8);
    for (unsigned i = sizeof callee_saved; i-- > 0;)
        pop(e, callee_saved[i]);
    emit8(e, 0xc3);
}

// function(cpu, R14, R15 as 32 bits); its result goes to R14. Goes on at scratch[1], which the function may have
// changed.
static void emit_call(struct emit *e, const void *function)
{
    registers_store(e);
    emit_gs(e, WIDTH64, X86_MOV_LOAD, RSP, CPU(host_rsp));
    load_cpu(e, RDI);
    emit_rr(e, WIDTH64, X86_MOV_LOAD, RSI, R14);
    emit_rr(e, WIDTH32, X86_MOV_LOAD, RDX, R15);
    call_c(e, function);
    emit_rr(e, WIDTH64, X86_MOV_LOAD, R14, RAX);
    registers_load(e);
    jump_gs(e, CPU(scratch[1]));
}

// Goes on at scratch[1] with EFLAGS as they were, or leaves through slow_commit's unwinding.
static void emit_commit(struct emit *e)
{
    registers_store(e);
    emit_gs(e, WIDTH64, X86_MOV_LOAD, RSP, CPU(host_rsp));
    emit8(e, 0x9c); // pushfq
    emit_bytes(e, (const u8[]){ 0x48, 0x8b, 0x34, 0x24 }, 4); // mov rsi, [rsp]
    emit_memory(e, WIDTH64, X86_LEA, RSP, RSP, INSN_NO_REGISTER, 1, -8);
    load_cpu(e, RDI);
    call_c(e, slow_commit);
    emit_memory(e, WIDTH64, X86_LEA, RSP, RSP, INSN_NO_REGISTER, 1, 8);
    emit8(e, 0x9d); // popfq
    registers_load(e);
    jump_gs(e, CPU(scratch[1]));
}

// R14 = linear target, which is the RIP too (blocks of other code segments leave to C instead). Clobbers EFLAGS: the
// guest's are in memory. A request makes cpu->jump point at nothing, so the first compare faults, and the signal
// handler finds the target in R14.
static void emit_jump_hit(struct emit *e, unsigned way)
{
    emit_alu_imm32(e, WIDTH64, 4, R14, (u32)-PAGE_BYTES);
    emit_gs(e, WIDTH64, X86_MOV_STORE, R14, CPU(code_base));
    emit_bytes(e, (const u8[]){ 0x41, 0xff, 0x67,
                                (u8)(way * sizeof(struct tlb_jump) + offsetof(struct tlb_jump, code)) }, 4);
}

static void emit_jump_cache(struct emit *e, const u8 *exit)
{
    static_assert(sizeof(struct tlb_jump) * TLB_JUMP_WAYS == 32, "shifted by 5");
    emit_rr(e, WIDTH32, X86_MOV_LOAD, R15, R14);
    emit_shift_imm(e, WIDTH32, 5, R15, TLB_JUMP_SHIFT);
    emit_alu_imm32(e, WIDTH32, 4, R15, TLB_JUMP_FOLD);
    emit_rr(e, WIDTH32, X86_XOR_LOAD, R15, R14);
    emit_alu_imm32(e, WIDTH32, 4, R15, TLB_JUMP_SETS - 1);
    emit_shift_imm(e, WIDTH32, 4, R15, 5);
    emit_gs(e, WIDTH64, X86_ADD_LOAD, R15, CPU(jump));
    emit_memory(e, WIDTH64, X86_CMP_LOAD, R14, R15, INSN_NO_REGISTER, 1, offsetof(struct tlb_jump, rip));
    u8 *other = emit_jump_forward(e, 5, false);
    emit_jump_hit(e, 0);
    emit_patch(e, other, emit_address(e));
    emit_memory(e, WIDTH64, X86_CMP_LOAD, R14, R15, INSN_NO_REGISTER, 1,
                sizeof(struct tlb_jump) + offsetof(struct tlb_jump, rip));
    u8 *miss = emit_jump_forward(e, 5, false);
    emit_jump_hit(e, 1);
    emit_patch(e, miss, emit_address(e));
    emit_gs(e, WIDTH64, X86_MOV_STORE, R14, CPU(scratch[0]));
    emit_gs_imm(e, WIDTH32, CPU(exit_kind), EXIT_JUMP);
    emit_jump(e, EMIT_ALWAYS, exit);
}

// Loads the guest's stack pointer behind the kernel's back (signal.c).
static void emit_resume(struct emit *e)
{
    emit_gs(e, WIDTH64, X86_MOV_LOAD, RSP, CPU(resume_rsp));
    jump_gs(e, CPU(resume_rip));
}

void glue_emit(struct code_cache *code)
{
    struct emit *e = &code->emit;
    code->glue.enter = emit_address(e);
    emit_enter(e);
    code->glue.exit = emit_address(e);
    emit_exit(e);
    code->glue.slow = emit_address(e);
    emit_call(e, slow_access);
    code->glue.commit = emit_address(e);
    emit_commit(e);
    code->glue.linear = emit_address(e);
    emit_call(e, slow_linear);
    code->glue.system = emit_address(e);
    emit_call(e, run_inline);
    code->glue.jump = emit_address(e);
    emit_jump_cache(e, code->glue.exit);
    code->glue.jump_end = emit_address(e);
    code->glue.resume = emit_address(e);
    emit_resume(e);
    code->glue.resume_end = emit_address(e);
    assert(!e->full);
}
