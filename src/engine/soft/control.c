// Control and debug registers. What they have in common: consequences for the mode that guest code runs in. Every
// change ends in cpu_mode_update; the checks before it follow the MOV pages of SDM 2B, which the MSR, VMX and
// KVM_SET_SREGS code cannot share because theirs differ.
#include "engine/soft/access.h"
#include "engine/soft/control.h"
#include "engine/soft/cpuid.h"
#include "engine/soft/debug.h"
#include "engine/soft/fpu.h"
#include "engine/soft/insn_control.h"
#include "engine/soft/intercept.h"
#include "engine/soft/lapic.h"
#include "engine/soft/segment.h"
#include "engine/soft/vmx/vmx.h"

#define CR0_KNOWN (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)
#define CR3_NO_FLUSH (1ull << 63)

static _Noreturn void control_fault(struct cpu *cpu)
{
    cpu_raise_code(cpu, VECTOR_GP, 0);
}

bool control_read_pdptes(struct cpu *cpu, u64 cr3, u64 pdpte[4])
{
    u64 reserved = ~cpu->physical_mask | 0x1e6; // SDM 3A table 4-8
    for (unsigned i = 0; i < 4; i++) {
        pdpte[i] = access_read_guest_physical(cpu, (cr3 & 0xffffffe0) + i * 8, 8);
        if (pdpte[i] & 1 && pdpte[i] & reserved)
            return false;
    }
    return true;
}

// The page-directory-pointer registers are loaded when paging becomes PAE paging, or what governs it changes
// (SDM 3A 4.4.1).
static void control_load_pdptes(struct cpu *cpu, u64 cr0, u64 cr3, u64 cr4)
{
    u64 pdpte[4];
    if (!(cr0 & CR0_PG) || !(cr4 & CR4_PAE) || cpu_long(cpu))
        return;
    if (!control_read_pdptes(cpu, cr3, pdpte))
        control_fault(cpu);
    for (unsigned i = 0; i < 4; i++)
        cpu->pdpte[i] = pdpte[i];
}

// Setting PG with EFER.LME enters IA-32e mode, clearing it leaves (SDM 3A 4.1.2, 9.8.5).
static void control_check_paging_change(struct cpu *cpu, u64 value)
{
    if (value & CR0_PG && cpu->msr.efer & EFER_LME) {
        bool tss16 = (cpu->segment[SEG_TR].access & (AR_TYPE & ~2u)) == DESCRIPTOR_TSS16;
        if (!(cpu->cr4 & CR4_PAE) || cpu->segment[SEG_CS].access & AR_L || tss16)
            control_fault(cpu);
    }
    if (!(value & CR0_PG) && (cpu_code64(cpu) || cpu->cr4 & CR4_PCIDE))
        control_fault(cpu);
}

void control_set_cr0(struct cpu *cpu, u64 value)
{
    if (value >> 32 || (value & CR0_PG && !(value & CR0_PE)) || (value & CR0_NW && !(value & CR0_CD)))
        control_fault(cpu);
    value = (value & CR0_KNOWN) | CR0_ET;
    if (cpu->vmx && !vmx_cr0_allowed(cpu, value))
        control_fault(cpu);
    u64 changed = cpu->cr0 ^ value;
    if (changed & CR0_PG)
        control_check_paging_change(cpu, value);
    bool enters_long = value & changed & CR0_PG && cpu->msr.efer & EFER_LME;
    if (changed & (CR0_PG | CR0_CD | CR0_NW) && !enters_long)
        control_load_pdptes(cpu, value, cpu->cr3, cpu->cr4);
    if (changed & CR0_PG)
        cpu->msr.efer = enters_long ? cpu->msr.efer | EFER_LMA : cpu->msr.efer & ~EFER_LMA;
    cpu->cr0 = value;
    if (changed & (CR0_PG | CR0_PE)) // SDM 3A 4.10.4.1; WP selects another context instead
        tlb_flush_vpid(cpu, cpu->vpid, false);
    cpu_mode_update(cpu);
}

void control_set_cr3(struct cpu *cpu, u64 value)
{
    bool pcide = cpu->cr4 & CR4_PCIDE, keep = pcide && value & CR3_NO_FLUSH;
    if (cpu_long(cpu)) {
        if (pcide)
            value &= ~CR3_NO_FLUSH;
        if (value & ~cpu->physical_mask)
            control_fault(cpu);
    } else {
        value = (u32)value;
        control_load_pdptes(cpu, cpu->cr0, value, cpu->cr4);
    }
    cpu->cr3 = value;
    tlb_switch(cpu);
    if (!keep)
        tlb_flush_pcid(cpu, cpu->vpid, pcide ? value & 0xfff : 0, true);
}

void control_set_cr4(struct cpu *cpu, u64 value)
{
    u64 changed = cpu->cr4 ^ value;
    if (value & ~cpu->cr4_allowed || (cpu_long(cpu) && !(value & CR4_PAE)))
        control_fault(cpu);
    if (value & changed & CR4_PCIDE && (!cpu_long(cpu) || cpu->cr3 & 0xfff))
        control_fault(cpu);
    if (cpu->vmx && !vmx_cr4_allowed(cpu, value))
        control_fault(cpu);
    if (changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP))
        control_load_pdptes(cpu, cpu->cr0, cpu->cr3, value);
    cpu->cr4 = value;
    if (changed & (CR4_PAE | CR4_PGE | CR4_PSE) || changed & ~value & CR4_PCIDE || changed & value & CR4_SMEP)
        tlb_flush_vpid(cpu, cpu->vpid, false);
    cpu_mode_update(cpu);
}

static void control_write(struct cpu *cpu, const struct insn *insn)
{
    unsigned cr = insn->operand[0].reg, gpr = insn->operand[1].reg;
    u64 value = gpr_read(cpu, gpr, insn->code64 ? 8 : 4);
    if (cr == 8 && value >> 4) // reserved bits come before the exit, which virtualizes the register as it is
        control_fault(cpu);
    if (cpu->guest_mode)
        value = intercept_cr_write(cpu, insn, cr, gpr, value);
    switch (cr) {
    case 0:
        control_set_cr0(cpu, value);
        break;
    case 2:
        cpu->cr2 = value;
        break;
    case 3:
        control_set_cr3(cpu, value);
        break;
    case 4:
        control_set_cr4(cpu, value);
        break;
    case 8:
        if (!intercept_cr8_write(cpu, value))
            lapic_set_cr8(cpu, value);
        event_unmasked(cpu);
        break;
    default:
        cpu_raise(cpu, VECTOR_UD);
    }
}

static u64 control_value(const struct cpu *cpu, unsigned cr)
{
    switch (cr) {
    case 0: return cpu->cr0;
    case 2: return cpu->cr2;
    case 3: return cpu->cr3;
    case 4: return cpu->cr4;
    default: return lapic_cr8(cpu);
    }
}

void insn_mov_cr(struct cpu *cpu, const struct insn *insn)
{
    if (insn->operand[0].kind == OPERAND_CONTROL) {
        control_write(cpu, insn);
        return;
    }
    unsigned cr = insn->operand[1].reg, gpr = insn->operand[0].reg;
    if (cr > 4 && cr != 8)
        cpu_raise(cpu, VECTOR_UD);
    u64 value = cpu->guest_mode && cr != 2 ? intercept_cr_read(cpu, insn, cr, gpr) : control_value(cpu, cr);
    gpr_write(cpu, gpr, insn->code64 ? 8 : 4, value);
}

void insn_lmsw(struct cpu *cpu, const struct insn *insn)
{
    u16 source = operand_read(cpu, insn, 0);
    u64 loadable = CR0_MP | CR0_EM | CR0_TS; // and PE can be set, not cleared
    u64 value = (cpu->cr0 & ~loadable) | (source & (loadable | CR0_PE));
    if (cpu->guest_mode)
        value = intercept_lmsw(cpu, insn, source);
    control_set_cr0(cpu, value);
}

void insn_smsw(struct cpu *cpu, const struct insn *insn)
{
    if (cpu->cr4 & CR4_UMIP && cpu->cpl > 0)
        control_fault(cpu);
    u64 value = cpu->guest_mode ? intercept_cr_read(cpu, insn, 0, -1) : cpu->cr0;
    operand_write(cpu, insn, 0, value);
}

void insn_clts(struct cpu *cpu, const struct insn *insn)
{
    if (cpu->guest_mode) {
        intercept_clts(cpu, insn);
        if (intercept_clts_keeps_ts(cpu))
            return;
    }
    cpu->cr0 &= ~CR0_TS;
    cpu_mode_update(cpu);
}

static void control_debug_write(struct cpu *cpu, unsigned dr, u64 value)
{
    if (dr >= 6 && value >> 32)
        control_fault(cpu);
    if (dr == 6) {
        cpu->dr[6] = (value & 0xe00f) | DR6_FIXED | (1ull << 16);
    } else if (dr == 7) {
        cpu->dr[7] = (value & 0xffff23ff) | DR7_FIXED;
        cpu_mode_update(cpu);
    } else {
        cpu->dr[dr] = value;
    }
}

void insn_mov_dr(struct cpu *cpu, const struct insn *insn)
{
    bool write = insn->operand[0].kind == OPERAND_DEBUG;
    unsigned dr = insn->operand[!write].reg, gpr = insn->operand[write].reg, size = insn->code64 ? 8 : 4;
    if (dr > 7 || ((dr == 4 || dr == 5) && cpu->cr4 & CR4_DE))
        cpu_raise(cpu, VECTOR_UD);
    if (cpu->cpl)
        control_fault(cpu);
    if (cpu->guest_mode)
        intercept_dr(cpu, insn, dr, gpr, write);
    if (cpu->dr[7] & DR7_GD)
        cpu_raise_debug(cpu, DR6_BD, false);
    if (dr == 4 || dr == 5)
        dr += 2;
    if (write)
        control_debug_write(cpu, dr, gpr_read(cpu, gpr, size));
    else
        gpr_write(cpu, gpr, size, cpu->dr[dr]);
}

static u64 control_xinuse(const struct cpu *cpu)
{
    if (!cpu->vector_live)
        return fpu_area((struct cpu *)cpu)->xstate_bv;
    u32 low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(1));
    return low | (u64)high << 32;
}

void insn_xgetbv(struct cpu *cpu, const struct insn *insn)
{
    (void)insn;
    if (!(cpu->cr4 & CR4_OSXSAVE))
        cpu_raise(cpu, VECTOR_UD);
    u32 index = cpu->gpr[RCX];
    if (index > 1 || (index == 1 && !(cpu->features & FEATURE_XGETBV1)))
        control_fault(cpu);
    u64 value = index ? control_xinuse(cpu) & cpu->xcr0 : cpu->xcr0;
    cpu->gpr[RAX] = (u32)value;
    cpu->gpr[RDX] = value >> 32;
}

bool control_xcr0_valid(const struct cpu *cpu, u64 value)
{
    const u64 x87 = 1, sse = 2, avx = 4, avx512 = 0xe0;
    u32 out[4];
    cpuid_read(cpu, 0xd, 0, out);
    u64 offered = out[CPUID_EAX] | (u64)out[CPUID_EDX] << 32;
    if (!(value & x87) || value & ~offered || (value & avx && !(value & sse)))
        return false;
    return !(value & avx512) || ((value & avx512) == avx512 && value & avx);
}

void insn_xsetbv(struct cpu *cpu, const struct insn *insn)
{
    if (!(cpu->cr4 & CR4_OSXSAVE))
        cpu_raise(cpu, VECTOR_UD);
    if (cpu->cpl)
        control_fault(cpu);
    intercept_insn(cpu, insn, INTERCEPT_XSETBV);
    u64 value = (u32)cpu->gpr[RAX] | cpu->gpr[RDX] << 32;
    if ((u32)cpu->gpr[RCX] || !control_xcr0_valid(cpu, value))
        control_fault(cpu);
    cpu->xcr0 = value;
    cpu_mode_update(cpu);
}
