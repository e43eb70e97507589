// Descriptor tables, segment registers, and the instructions that ask about selectors. In 64-bit mode table
// pseudo-descriptors are 10 bytes whatever the operand size, elsewhere 6 (SDM 2A, LGDT). UMIP's #GP comes before any
// VM exit.
#include "engine/soft/access.h"
#include "engine/soft/insn_descriptor.h"
#include "engine/soft/intercept.h"
#include "engine/soft/segment.h"
#include "engine/soft/stack.h"

static _Noreturn void descriptor_fault(struct cpu *cpu, u32 code)
{
    cpu_raise_code(cpu, VECTOR_GP, code);
}

static void descriptor_check_umip(struct cpu *cpu)
{
    if (cpu->cr4 & CR4_UMIP && cpu->cpl)
        descriptor_fault(cpu, 0);
}

static struct descriptor_table descriptor_load_table(struct cpu *cpu, const struct insn *insn)
{
    unsigned bytes = insn->code64 ? 8 : 4;
    u64 linear = operand_linear(cpu, insn, 0, 2 + bytes, ACCESS_READ);
    u16 limit = access_read(cpu, linear, 2);
    u64 base = access_read(cpu, linear + 2, bytes);
    if (insn->code64 && !cpu_canonical(base))
        descriptor_fault(cpu, 0);
    if (!insn->code64 && insn->operand_size == 2)
        base &= 0xffffff;
    return (struct descriptor_table){.base = base, .limit = limit};
}

static void descriptor_store_table(struct cpu *cpu, const struct insn *insn, const struct descriptor_table *table)
{
    descriptor_check_umip(cpu);
    intercept_insn(cpu, insn, INTERCEPT_GDTR_IDTR);
    unsigned bytes = insn->code64 ? 8 : 4;
    u64 linear = operand_linear(cpu, insn, 0, 2 + bytes, ACCESS_WRITE);
    access_check(cpu, linear, 2 + bytes, ACCESS_WRITE);
    access_write(cpu, linear, 2, table->limit);
    access_write(cpu, linear + 2, bytes, table->base);
}

void insn_lgdt(struct cpu *cpu, const struct insn *insn) { cpu->gdt = descriptor_load_table(cpu, insn); }
void insn_lidt(struct cpu *cpu, const struct insn *insn) { cpu->idt = descriptor_load_table(cpu, insn); }
void insn_sgdt(struct cpu *cpu, const struct insn *insn) { descriptor_store_table(cpu, insn, &cpu->gdt); }
void insn_sidt(struct cpu *cpu, const struct insn *insn) { descriptor_store_table(cpu, insn, &cpu->idt); }

// SLDT, STR: a register gets the selector zero-extended, memory always 16 bits.
static void descriptor_store_selector(struct cpu *cpu, const struct insn *insn, enum segment_index index)
{
    descriptor_check_umip(cpu);
    intercept_insn(cpu, insn, INTERCEPT_LDTR_TR);
    operand_write(cpu, insn, 0, cpu->segment[index].selector);
}

void insn_sldt(struct cpu *cpu, const struct insn *insn) { descriptor_store_selector(cpu, insn, SEG_LDTR); }
void insn_str(struct cpu *cpu, const struct insn *insn) { descriptor_store_selector(cpu, insn, SEG_TR); }

// An LDT's or TSS's descriptor in the GDT, with the upper half of its base in IA-32e mode.
static struct segment descriptor_system(struct cpu *cpu, u16 selector, u64 raw)
{
    struct segment segment = segment_from_descriptor(selector, raw);
    if (cpu_long(cpu)) {
        segment.base |= segment_fetch_upper(cpu, selector, VECTOR_GP, 0) << 32;
        if (!cpu_canonical(segment.base))
            descriptor_fault(cpu, selector & 0xfffc);
    }
    return segment;
}

void insn_lldt(struct cpu *cpu, const struct insn *insn)
{
    u16 selector = operand_read(cpu, insn, 0);
    if (selector_null(selector)) {
        segment_set_null(cpu, SEG_LDTR, selector, 0);
        return;
    }
    if (selector & 4)
        descriptor_fault(cpu, selector & 0xfffc);
    u64 raw = segment_fetch(cpu, selector, VECTOR_GP, 0);
    if (descriptor_s(raw) || descriptor_type(raw) != DESCRIPTOR_LDT)
        descriptor_fault(cpu, selector & 0xfffc);
    if (!descriptor_present(raw))
        cpu_raise_code(cpu, VECTOR_NP, selector & 0xfffc);
    segment_set(cpu, SEG_LDTR, descriptor_system(cpu, selector, raw));
}

void insn_ltr(struct cpu *cpu, const struct insn *insn)
{
    u16 selector = operand_read(cpu, insn, 0);
    if (selector_null(selector))
        descriptor_fault(cpu, 0);
    if (selector & 4)
        descriptor_fault(cpu, selector & 0xfffc);
    u64 raw = segment_fetch(cpu, selector, VECTOR_GP, 0);
    unsigned type = descriptor_type(raw);
    if (descriptor_s(raw) || (type != DESCRIPTOR_TSS32 && (type != DESCRIPTOR_TSS16 || cpu_long(cpu))))
        descriptor_fault(cpu, selector & 0xfffc);
    if (!descriptor_present(raw))
        cpu_raise_code(cpu, VECTOR_NP, selector & 0xfffc);
    struct segment tss = descriptor_system(cpu, selector, raw);
    segment_mark(cpu, selector, 2, 0); // busy
    tss.access |= 2;
    segment_set(cpu, SEG_TR, tss);
}

// VERR, VERW, LAR and LSL answer with ZF instead of faulting: the descriptor, or false when the selector reaches none.
static bool descriptor_look(struct cpu *cpu, u16 selector, u64 *raw)
{
    u64 linear;
    if (selector_null(selector) || !segment_locate(cpu, selector, 8, &linear))
        return false;
    *raw = access_read_system(cpu, linear, 8);
    return true;
}

static bool descriptor_reachable(const struct cpu *cpu, u16 selector, u64 raw)
{
    if (descriptor_code(raw) && descriptor_conforming(raw))
        return true;
    return descriptor_dpl(raw) >= cpu->cpl && descriptor_dpl(raw) >= selector_rpl(selector);
}

static void descriptor_answer(struct cpu *cpu, bool yes)
{
    cpu->rflags = yes ? cpu->rflags | FLAG_ZF : cpu->rflags & ~FLAG_ZF;
}

static void descriptor_verify(struct cpu *cpu, const struct insn *insn, bool write)
{
    u16 selector = operand_read(cpu, insn, 0);
    u64 raw;
    bool yes = descriptor_look(cpu, selector, &raw) && descriptor_s(raw) && descriptor_reachable(cpu, selector, raw);
    bool right = yes && raw >> 40 & AR_RW; // readable code, writable data
    if (yes)
        yes = descriptor_code(raw) ? !write && right : !write || right;
    descriptor_answer(cpu, yes);
}

void insn_verr(struct cpu *cpu, const struct insn *insn) { descriptor_verify(cpu, insn, false); }
void insn_verw(struct cpu *cpu, const struct insn *insn) { descriptor_verify(cpu, insn, true); }

// LAR and LSL know these system descriptors (SDM 2A tables 3-53 and 3-54); gates have no limit.
static bool descriptor_known(const struct cpu *cpu, u64 raw, bool gates)
{
    const u32 kinds = 1 << DESCRIPTOR_LDT | 1 << DESCRIPTOR_TSS32 | 1 << DESCRIPTOR_TSS32_BUSY;
    const u32 kinds16 = 1 << DESCRIPTOR_TSS16 | 1 << DESCRIPTOR_TSS16_BUSY;
    u32 known = kinds | (gates ? 1 << DESCRIPTOR_CALL32 : 0);
    if (!cpu_long(cpu))
        known |= kinds16 | (gates ? 1 << DESCRIPTOR_CALL16 | 1 << DESCRIPTOR_TASK : 0);
    return descriptor_s(raw) || known >> descriptor_type(raw) & 1;
}

static u16 descriptor_source(struct cpu *cpu, const struct insn *insn)
{
    const struct operand *operand = &insn->operand[1];
    if (operand->kind != OPERAND_MEMORY)
        return gpr_read(cpu, operand->reg, 2);
    return access_read(cpu, operand_linear(cpu, insn, 1, 2, ACCESS_READ), 2);
}

void insn_lar(struct cpu *cpu, const struct insn *insn)
{
    u16 selector = descriptor_source(cpu, insn);
    u64 raw;
    bool yes = descriptor_look(cpu, selector, &raw) && descriptor_known(cpu, raw, true) &&
        descriptor_reachable(cpu, selector, raw);
    descriptor_answer(cpu, yes);
    u32 mask = insn->operand_size == 2 ? 0xff00 : 0xffff00;
    if (yes)
        gpr_write(cpu, insn->operand[0].reg, insn->operand_size, raw >> 32 & mask);
}

void insn_lsl(struct cpu *cpu, const struct insn *insn)
{
    u16 selector = descriptor_source(cpu, insn);
    u64 raw;
    bool yes = descriptor_look(cpu, selector, &raw) && descriptor_known(cpu, raw, false) &&
        descriptor_reachable(cpu, selector, raw);
    descriptor_answer(cpu, yes);
    if (yes)
        gpr_write(cpu, insn->operand[0].reg, insn->operand_size, segment_from_descriptor(selector, raw).limit);
}

void insn_arpl(struct cpu *cpu, const struct insn *insn)
{
    u16 destination = operand_read(cpu, insn, 0), source = operand_read(cpu, insn, 1);
    bool raise = selector_rpl(destination) < selector_rpl(source);
    if (raise)
        operand_write(cpu, insn, 0, (destination & ~3u) | selector_rpl(source));
    descriptor_answer(cpu, raise);
}

// Loading SS holds back interrupts and debug traps for one instruction, so that SS and RSP change together (SDM 3A
// 6.8.3).
static void descriptor_load_segment(struct cpu *cpu, unsigned index, u16 selector, bool shadow)
{
    segment_load(cpu, index, selector);
    if (shadow && index == SEG_SS)
        cpu->interruptibility |= BLOCKING_MOV_SS;
}

void insn_mov_sreg(struct cpu *cpu, const struct insn *insn)
{
    const struct operand *to = &insn->operand[0], *from = &insn->operand[1];
    if (to->kind == OPERAND_SEGMENT) {
        if (to->reg == SEG_CS || to->reg > SEG_GS)
            cpu_raise(cpu, VECTOR_UD);
        u16 selector = from->kind == OPERAND_MEMORY ?
            access_read(cpu, operand_linear(cpu, insn, 1, 2, ACCESS_READ), 2) : gpr_read(cpu, from->reg, 2);
        descriptor_load_segment(cpu, to->reg, selector, true);
        return;
    }
    if (from->reg > SEG_GS)
        cpu_raise(cpu, VECTOR_UD);
    u16 selector = cpu->segment[from->reg].selector;
    if (to->kind == OPERAND_MEMORY)
        access_write(cpu, operand_linear(cpu, insn, 0, 2, ACCESS_WRITE), 2, selector);
    else
        gpr_write(cpu, to->reg, insn->operand_size, selector);
}

// Only 16 bits of the slot are written, as processors of today do.
void insn_push_sreg(struct cpu *cpu, const struct insn *insn)
{
    struct stack stack = stack_current(cpu, 0);
    unsigned size = insn->operand_size, index = insn->operand[0].reg;
    u16 selector = cpu->segment[index].selector;
    if (size == 8) {
        stack_push(cpu, &stack, 8, selector);
    } else {
        stack_skip(&stack, -(u64)size + 2);
        stack_push(cpu, &stack, 2, selector);
    }
    cpu->gpr[RSP] = stack_rsp(&stack, cpu->gpr[RSP]);
}

void insn_pop_sreg(struct cpu *cpu, const struct insn *insn)
{
    struct stack stack = stack_current(cpu, 0);
    unsigned size = insn->operand_size, index = insn->operand[0].reg;
    u16 selector = stack_peek(cpu, &stack, 0, size == 8 ? 8 : 2);
    stack_skip(&stack, size);
    u64 rsp = stack_rsp(&stack, cpu->gpr[RSP]);
    descriptor_load_segment(cpu, index, selector, true);
    cpu->gpr[RSP] = rsp;
}

static void descriptor_load_pointer(struct cpu *cpu, const struct insn *insn, enum segment_index index)
{
    unsigned size = insn->operand_size;
    u64 linear = operand_linear(cpu, insn, 1, size + 2, ACCESS_READ);
    u64 offset = access_read(cpu, linear, size);
    u16 selector = access_read(cpu, linear + size, 2);
    descriptor_load_segment(cpu, index, selector, false);
    gpr_write(cpu, insn->operand[0].reg, size, offset);
}

void insn_lds(struct cpu *cpu, const struct insn *insn) { descriptor_load_pointer(cpu, insn, SEG_DS); }
void insn_les(struct cpu *cpu, const struct insn *insn) { descriptor_load_pointer(cpu, insn, SEG_ES); }
void insn_lfs(struct cpu *cpu, const struct insn *insn) { descriptor_load_pointer(cpu, insn, SEG_FS); }
void insn_lgs(struct cpu *cpu, const struct insn *insn) { descriptor_load_pointer(cpu, insn, SEG_GS); }
void insn_lss(struct cpu *cpu, const struct insn *insn) { descriptor_load_pointer(cpu, insn, SEG_SS); }
