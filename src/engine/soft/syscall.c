// The fast ways between user and kernel, which do not look at descriptors at all (SDM 3A 5.8.7, 5.8.8). SYSCALL,
// SYSRET and SWAPGS run once per system call of a guest: no memory access, flat segments written as constants.
#include "engine/soft/access.h"
#include "engine/soft/cpuid.h"
#include "engine/soft/insn_syscall.h"
#include "engine/soft/segment.h"

static struct segment syscall_code(u16 selector, unsigned dpl, bool code64)
{
    return (struct segment){
        .selector = selector, .limit = 0xffffffff,
        .access = AR_CODE | AR_RW | AR_ACCESSED | AR_S | AR_P | AR_G | dpl << AR_DPL_SHIFT | (code64 ? AR_L : AR_DB),
    };
}

static struct segment syscall_stack(u16 selector, unsigned dpl)
{
    return (struct segment){
        .selector = selector, .limit = 0xffffffff,
        .access = AR_RW | AR_ACCESSED | AR_S | AR_P | AR_G | AR_DB | dpl << AR_DPL_SHIFT,
    };
}

static void syscall_enter(struct cpu *cpu, u16 code, u16 stack, unsigned cpl, bool code64)
{
    cpu->segment[SEG_SS] = syscall_stack(stack, cpl);
    segment_set_code(cpu, syscall_code(code, cpl, code64), cpl);
}

void insn_syscall(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    if (!(cpu->msr.efer & EFER_SCE) || !cpu_code64(cpu)) // Intel has it in 64-bit mode only
        cpu_raise(cpu, VECTOR_UD);
    cpu->gpr[RCX] = cpu->next_rip;
    cpu->gpr[R11] = cpu->rflags & ~FLAG_RF;
    cpu->rflags = (cpu->rflags & ~(cpu->msr.sfmask | FLAG_RF)) | FLAG_FIXED;
    u16 selector = cpu->msr.star >> 32;
    cpu->next_rip = cpu->msr.lstar;
    syscall_enter(cpu, selector & 0xfffc, selector + 8, 0, true);
}

void insn_sysret(struct cpu *cpu, const struct insn *insn)
{
    if (!(cpu->msr.efer & EFER_SCE) || !cpu_code64(cpu))
        cpu_raise(cpu, VECTOR_UD);
    bool wide = insn->operand_size == 8;
    if (cpu->cpl || (wide && !cpu_canonical(cpu->gpr[RCX])))
        cpu_raise_code(cpu, VECTOR_GP, 0);
    const u64 loaded = 0x3c7fd7; // SDM 2B, SYSRET: RF and VM clear, the fixed bits fixed
    u64 old = cpu->rflags;
    cpu->rflags = (cpu->gpr[R11] & loaded) | FLAG_FIXED;
    u16 selector = cpu->msr.star >> 48;
    cpu->next_rip = wide ? cpu->gpr[RCX] : (u32)cpu->gpr[RCX];
    syscall_enter(cpu, (selector + (wide ? 16 : 0)) | 3, (selector + 8) | 3, 3, wide);
    if (cpu->rflags & ~old & FLAG_IF)
        event_unmasked(cpu);
}

void insn_sysenter(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    u16 selector = cpu->msr.sysenter_cs & 0xfffc;
    if (!cpu_protected(cpu) || !selector)
        cpu_raise_code(cpu, VECTOR_GP, 0);
    bool wide = cpu_long(cpu);
    cpu->rflags &= ~(FLAG_VM | FLAG_IF | FLAG_RF);
    cpu->gpr[RSP] = wide ? cpu->msr.sysenter_esp : (u32)cpu->msr.sysenter_esp;
    cpu->next_rip = wide ? cpu->msr.sysenter_eip : (u32)cpu->msr.sysenter_eip;
    syscall_enter(cpu, selector, selector + 8, 0, wide);
}

void insn_sysexit(struct cpu *cpu, const struct insn *insn)
{
    bool wide = insn->operand_size == 8;
    u16 selector = cpu->msr.sysenter_cs;
    u64 rip = cpu->gpr[RDX], rsp = cpu->gpr[RCX];
    if (!cpu_protected(cpu) || selector_null(selector) || cpu->cpl)
        cpu_raise_code(cpu, VECTOR_GP, 0);
    if (wide && (!cpu_canonical(rip) || !cpu_canonical(rsp)))
        cpu_raise_code(cpu, VECTOR_GP, 0);
    cpu->next_rip = wide ? rip : (u32)rip;
    cpu->gpr[RSP] = wide ? rsp : (u32)rsp;
    syscall_enter(cpu, (selector + (wide ? 32 : 16)) | 3, (selector + (wide ? 40 : 24)) | 3, 3, wide);
}

void insn_swapgs(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    u64 base = cpu->gs_base;
    segment_set_base(cpu, SEG_GS, cpu->msr.kernel_gs_base);
    cpu->msr.kernel_gs_base = base;
}

static void syscall_check_base(struct cpu *cpu)
{
    if (!(cpu->cr4 & CR4_FSGSBASE))
        cpu_raise(cpu, VECTOR_UD);
}

static void syscall_read_base(struct cpu *cpu, const struct insn *insn, u64 base)
{
    syscall_check_base(cpu);
    gpr_write(cpu, insn->operand[0].reg, insn->operand_size == 8 ? 8 : 4, base);
}

static void syscall_write_base(struct cpu *cpu, const struct insn *insn, enum segment_index index)
{
    syscall_check_base(cpu);
    u64 base = gpr_read(cpu, insn->operand[0].reg, insn->operand_size == 8 ? 8 : 4);
    if (!cpu_canonical(base))
        cpu_raise_code(cpu, VECTOR_GP, 0);
    segment_set_base(cpu, index, base);
}

void insn_rdfsbase(struct cpu *cpu, const struct insn *insn) { syscall_read_base(cpu, insn, cpu->fs_base); }
void insn_rdgsbase(struct cpu *cpu, const struct insn *insn) { syscall_read_base(cpu, insn, cpu->gs_base); }
void insn_wrfsbase(struct cpu *cpu, const struct insn *insn) { syscall_write_base(cpu, insn, SEG_FS); }
void insn_wrgsbase(struct cpu *cpu, const struct insn *insn) { syscall_write_base(cpu, insn, SEG_GS); }
