// Near branches and the stack as C: for 16-bit and segmented code, 16-bit operand sizes, and the rare forms that are
// not worth generated code. Flat 32- and 64-bit code has them inline (flow.c).
#include <Zydis/Zydis.h>

#include "engine/soft/access.h"
#include "engine/soft/insn_branch.h"
#include "engine/soft/segment.h"
#include "engine/soft/stack.h"

static void branch_to(struct cpu *cpu, const struct insn *insn, u64 rip)
{
    if (insn->operand_size < 8)
        rip &= insn->operand_size == 2 ? 0xffff : 0xffffffff;
    if (insn->code64 ? !cpu_canonical(rip) : rip > cpu->segment[SEG_CS].limit)
        cpu_raise_code(cpu, VECTOR_GP, 0);
    cpu->next_rip = rip;
}

static u64 relative_target(struct cpu *cpu, const struct insn *insn)
{
    return cpu->rip + insn->length + (u64)insn->operand[0].value;
}

static u64 near_target(struct cpu *cpu, const struct insn *insn)
{
    return insn->operand[0].kind == OPERAND_IMMEDIATE ? relative_target(cpu, insn) : operand_read(cpu, insn, 0);
}

void insn_jmp(struct cpu *cpu, const struct insn *insn) { branch_to(cpu, insn, near_target(cpu, insn)); }

static bool condition_holds(u64 flags, unsigned condition)
{
    bool cf = flags & FLAG_CF, zf = flags & FLAG_ZF, sf = flags & FLAG_SF, of = flags & FLAG_OF, pf = flags & FLAG_PF,
        holds;
    switch (condition >> 1) {
    case 0: holds = of; break;
    case 1: holds = cf; break;
    case 2: holds = zf; break;
    case 3: holds = cf || zf; break;
    case 4: holds = sf; break;
    case 5: holds = pf; break;
    case 6: holds = sf != of; break;
    default: holds = zf || sf != of; break;
    }
    return holds != (condition & 1);
}

// The condition is the opcode's low nibble: 7x, or 0F 8x.
static unsigned condition_of(const struct insn *insn)
{
    for (unsigned i = 0; i < insn->length; i++) {
        if ((insn->bytes[i] & 0xf0) == 0x70)
            return insn->bytes[i] & 0xf;
        if (insn->bytes[i] == 0x0f)
            return insn->bytes[i + 1] & 0xf;
    }
    return 0;
}

void insn_jcc(struct cpu *cpu, const struct insn *insn)
{
    if (condition_holds(cpu->rflags, condition_of(insn)))
        branch_to(cpu, insn, relative_target(cpu, insn));
}

void insn_call(struct cpu *cpu, const struct insn *insn)
{
    u64 target = near_target(cpu, insn), next = cpu->rip + insn->length;
    struct stack stack = stack_current(cpu, 0);
    stack_push(cpu, &stack, insn->operand_size, next); // stays written where the target is refused
    branch_to(cpu, insn, target);
    segment_set_rsp(cpu, stack.pointer);
}

void insn_ret(struct cpu *cpu, const struct insn *insn)
{
    struct stack stack = stack_current(cpu, 0);
    u64 target = stack_pop(cpu, &stack, insn->operand_size);
    if (insn->count)
        stack_skip(&stack, (u16)insn->operand[0].value);
    branch_to(cpu, insn, target);
    segment_set_rsp(cpu, stack.pointer);
}

void insn_loop(struct cpu *cpu, const struct insn *insn)
{
    u64 old = gpr_read(cpu, RCX, insn->address_size), count = old - 1;
    bool taken = old != 1;
    if (insn->mnemonic == ZYDIS_MNEMONIC_LOOPE)
        taken = taken && cpu->rflags & FLAG_ZF;
    else if (insn->mnemonic == ZYDIS_MNEMONIC_LOOPNE)
        taken = taken && !(cpu->rflags & FLAG_ZF);
    if (taken)
        branch_to(cpu, insn, relative_target(cpu, insn));
    gpr_write(cpu, RCX, insn->address_size, count);
}

void insn_jcxz(struct cpu *cpu, const struct insn *insn)
{
    if (!gpr_read(cpu, RCX, insn->address_size))
        branch_to(cpu, insn, relative_target(cpu, insn));
}

void insn_push(struct cpu *cpu, const struct insn *insn)
{
    u64 value = insn->operand[0].kind == OPERAND_IMMEDIATE ? (u64)insn->operand[0].value : operand_read(cpu, insn, 0);
    struct stack stack = stack_current(cpu, 0);
    stack_push(cpu, &stack, insn->operand_size, value);
    segment_set_rsp(cpu, stack.pointer);
}

// The address of a memory destination uses RSP as POP leaves it (SDM 2B POP); a fault restores it.
void insn_pop(struct cpu *cpu, const struct insn *insn)
{
    struct stack stack = stack_current(cpu, 0);
    u64 value = stack_pop(cpu, &stack, insn->operand_size);
    u64 rsp = cpu->gpr[RSP];
    segment_set_rsp(cpu, stack.pointer);
    if (insn->operand[0].kind == OPERAND_MEMORY) {
        u64 popped = cpu->gpr[RSP];
        u64 offset = operand_offset(cpu, insn, 0);
        cpu->gpr[RSP] = rsp;
        u64 linear = access_linear(cpu, insn->operand[0].segment, offset, insn->operand_size, ACCESS_WRITE);
        access_write(cpu, linear, insn->operand_size, value);
        cpu->gpr[RSP] = popped;
        return;
    }
    operand_write(cpu, insn, 0, value);
}

void insn_leave(struct cpu *cpu, const struct insn *insn)
{
    struct stack stack = stack_current(cpu, 0);
    stack.pointer = (stack.pointer & ~stack.mask) | (cpu->gpr[RBP] & stack.mask);
    u64 value = stack_pop(cpu, &stack, insn->operand_size);
    segment_set_rsp(cpu, stack.pointer);
    gpr_write(cpu, RBP, insn->operand_size, value);
}
