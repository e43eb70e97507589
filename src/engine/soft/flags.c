// EFLAGS as instructions load and store it, time, translations, and doing nothing. CLI, STI, PUSHF and POPF bracket
// every critical section of a kernel: they touch the flags only, and ask the interrupt controller just when IF rises.
#include <sched.h>

#include "engine/soft/access.h"
#include "engine/soft/cpuid.h"
#include "engine/soft/insn_control.h"
#include "engine/soft/intercept.h"
#include "engine/soft/segment.h"
#include "engine/soft/stack.h"

// CPL above IOPL: real mode has CPL 0, virtual-8086 mode CPL 3.
static void flags_check_iopl(struct cpu *cpu)
{
    if (cpu->cpl > cpu_iopl(cpu))
        cpu_raise_code(cpu, VECTOR_GP, 0);
}

void insn_cli(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    flags_check_iopl(cpu);
    cpu->rflags &= ~FLAG_IF;
}

void insn_sti(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    flags_check_iopl(cpu);
    if (cpu->rflags & FLAG_IF)
        return;
    cpu->rflags |= FLAG_IF;
    cpu->interruptibility |= BLOCKING_STI;
    event_unmasked(cpu);
}

void insn_cld(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    cpu->rflags &= ~FLAG_DF;
}

void insn_std(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    cpu->rflags |= FLAG_DF;
}

static void flags_set_ac(struct cpu *cpu, u64 flag)
{
    if (cpu->cpl || !(cpu->features & FEATURE_SMAP))
        cpu_raise(cpu, VECTOR_UD);
    cpu->rflags = (cpu->rflags & ~FLAG_AC) | flag;
    tlb_switch(cpu);
}

void insn_clac(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    flags_set_ac(cpu, 0);
}

void insn_stac(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    flags_set_ac(cpu, FLAG_AC);
}

void insn_pushf(struct cpu *cpu, const struct insn *insn)
{
    if (cpu_v8086(cpu))
        flags_check_iopl(cpu);
    struct stack stack = stack_current(cpu, 0);
    stack_push(cpu, &stack, insn->operand_size, cpu->rflags & ~(FLAG_VM | FLAG_RF));
    cpu->gpr[RSP] = stack_rsp(&stack, cpu->gpr[RSP]);
}

void insn_popf(struct cpu *cpu, const struct insn *insn)
{
    if (cpu_v8086(cpu))
        flags_check_iopl(cpu);
    struct stack stack = stack_current(cpu, 0);
    u64 value = stack_pop(cpu, &stack, insn->operand_size);
    u64 writable = FLAGS_ARITHMETIC | FLAG_TF | FLAG_DF | FLAG_NT, cleared = FLAG_RF;
    if (cpu->cpl <= cpu_iopl(cpu))
        writable |= FLAG_IF;
    if (cpu->cpl == 0)
        writable |= FLAG_IOPL;
    if (insn->operand_size > 2) {
        writable |= FLAG_AC | FLAG_ID;
        if (cpu->cpl == 0)
            cleared |= FLAG_VIF | FLAG_VIP;
    }
    u64 old = cpu->rflags;
    cpu->rflags = (old & ~(writable | cleared)) | (value & writable) | FLAG_FIXED;
    cpu->gpr[RSP] = stack_rsp(&stack, cpu->gpr[RSP]);
    u64 changed = cpu->rflags ^ old;
    if (changed & (FLAG_TF | FLAG_AC))
        cpu_mode_update(cpu);
    if (changed & cpu->rflags & FLAG_IF)
        event_unmasked(cpu);
}

// HLT retires first: what ends it returns behind it.
void insn_hlt(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    cpu->mp_state = KVM_MP_STATE_HALTED;
    cpu_request(cpu, REQUEST_EVENT);
}

// A processor that spins waits for another one, whose thread may have no host CPU at the moment.
void insn_pause(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    enum { PAUSES_A_YIELD = 64 };
    if (++cpu->pauses % PAUSES_A_YIELD == 0 && cpu->vm->cpu_count > 1)
        sched_yield();
    else
        __builtin_ia32_pause();
}

// Stores are checked against translated code as they are made, so there is no prefetched code to drop.
void insn_serialize(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    if (!(cpu->features & FEATURE_SERIALIZE))
        cpu_raise(cpu, VECTOR_UD);
}

// The guest's caches are the host's and coherent; there is nothing a guest can tell apart.
void insn_wbinvd(struct cpu *cpu, const struct insn *insn)
{
    (void)cpu;
    (void)insn;
}

void insn_invd(struct cpu *cpu, const struct insn *insn)
{
    (void)cpu;
    (void)insn;
}

void insn_invlpg(struct cpu *cpu, const struct insn *insn)
{
    const struct operand *operand = &insn->operand[0];
    u64 linear = operand_offset(cpu, insn, 0);
    if (!insn->code64)
        linear = (u32)(linear + cpu->segment[operand->segment].base);
    else if (operand->segment == SEG_FS || operand->segment == SEG_GS)
        linear += cpu->segment[operand->segment].base;
    if (cpu_canonical(linear))
        tlb_flush_page(cpu, cpu->vpid, linear, -1);
}

void insn_invpcid(struct cpu *cpu, const struct insn *insn)
{
    if (!(cpu->features & FEATURE_INVPCID))
        cpu_raise(cpu, VECTOR_UD);
    u64 type = gpr_read(cpu, insn->operand[0].reg, insn->code64 ? 8 : 4);
    u64 linear = operand_linear(cpu, insn, 1, 16, ACCESS_READ);
    u64 pcid = access_read(cpu, linear, 8), address = access_read(cpu, linear + 8, 8);
    bool bad = type > 3 || (type < 2 && pcid >> 12) || (type < 2 && pcid && !(cpu->cr4 & CR4_PCIDE)) ||
        (type == 0 && !cpu_canonical(address));
    if (bad)
        cpu_raise_code(cpu, VECTOR_GP, 0);
    switch (type) {
    case 0:
        tlb_flush_page(cpu, cpu->vpid, address, pcid);
        break;
    case 1:
        tlb_flush_pcid(cpu, cpu->vpid, pcid, true);
        break;
    default:
        tlb_flush_vpid(cpu, cpu->vpid, type == 3);
    }
}

static void flags_read_tsc(struct cpu *cpu)
{
    u64 tsc = cpu_tsc(cpu);
    cpu->gpr[RAX] = (u32)tsc;
    cpu->gpr[RDX] = tsc >> 32;
}

// CR4.TSD's fault comes before the VM exit (SDM 3C 26.1.1), and TSD does not exist in real mode, where CPL is 0 anyway.
static void flags_check_tsd(struct cpu *cpu)
{
    if (cpu->cr4 & CR4_TSD && cpu->cpl)
        cpu_raise_code(cpu, VECTOR_GP, 0);
}

void insn_rdtsc(struct cpu *cpu, const struct insn *insn)
{
    flags_check_tsd(cpu);
    intercept_insn(cpu, insn, INTERCEPT_RDTSC);
    flags_read_tsc(cpu);
}

void insn_rdtscp(struct cpu *cpu, const struct insn *insn)
{
    if (!(cpu->features & FEATURE_RDTSCP))
        cpu_raise(cpu, VECTOR_UD);
    flags_check_tsd(cpu);
    intercept_insn(cpu, insn, INTERCEPT_RDTSCP);
    flags_read_tsc(cpu);
    cpu->gpr[RCX] = (u32)cpu->msr.tsc_aux;
}

void insn_rdpid(struct cpu *cpu, const struct insn *insn)
{
    if (!(cpu->features & FEATURE_RDPID))
        cpu_raise(cpu, VECTOR_UD);
    gpr_write(cpu, insn->operand[0].reg, insn->code64 ? 8 : 4, (u32)cpu->msr.tsc_aux);
}

// There are no performance counters (CPUID leaf 0AH is zero), so every index is out of range.
void insn_rdpmc(struct cpu *cpu, const struct insn *insn)
{
    if (cpu->cpl && !(cpu->cr4 & CR4_PCE))
        cpu_raise_code(cpu, VECTOR_GP, 0);
    intercept_insn(cpu, insn, INTERCEPT_RDPMC);
    cpu_raise_code(cpu, VECTOR_GP, 0);
}
