// The VM-exit instruction-information field (SDM 3C 28.2.5, tables 28-8 to 28-15), made from the decoded instruction.
// The tables agree about where the parts of a memory operand go; the callers add what is theirs.
#include "engine/soft/vmx/vmx.h"

static u32 information_scale(unsigned scale)
{
    return scale == 8 ? 3 : scale == 4 ? 2 : scale == 2 ? 1 : 0;
}

static u32 information_address_size(const struct insn *insn)
{
    return insn->address_size == 8 ? 2u << 7 : insn->address_size == 4 ? 1u << 7 : 0;
}

u32 vmx_information_memory(const struct insn *insn, unsigned memory, int reg)
{
    const struct operand *operand = &insn->operand[memory];
    u32 information = information_address_size(insn);
    if (operand->kind == OPERAND_GPR) {
        information |= 1u << 10 | (u32)operand->reg << 3;
    } else {
        information |= (u32)operand->segment << 15;
        if (operand->index == INSN_NO_REGISTER)
            information |= 1u << 22;
        else
            information |= information_scale(operand->scale) | (u32)operand->index << 18;
        if (operand->base == INSN_NO_REGISTER || operand->base == INSN_RIP)
            information |= 1u << 27;
        else
            information |= (u32)operand->base << 23;
    }
    return reg < 0 ? information : information | (u32)reg << 28;
}

u32 vmx_information_string(const struct insn *insn, unsigned memory)
{
    return information_address_size(insn) | (u32)insn->operand[memory].segment << 15;
}

u32 vmx_information_register(const struct insn *insn)
{
    u32 size = insn->operand_size == 8 ? 2 : insn->operand_size == 4 ? 1 : 0;
    return (u32)insn->operand[0].reg << 3 | size << 11;
}

u64 vmx_displacement(const struct cpu *cpu, const struct insn *insn, unsigned memory)
{
    const struct operand *operand = &insn->operand[memory];
    if (operand->kind != OPERAND_MEMORY)
        return 0;
    return operand->value + (operand->base == INSN_RIP ? cpu->next_rip : 0);
}

const char *vmx_reason_name(u32 reason)
{
    static const char *const name[] = {
        [REASON_EXCEPTION_NMI] = "exception or NMI", [REASON_EXTERNAL_INTERRUPT] = "external interrupt",
        [REASON_TRIPLE_FAULT] = "triple fault", [REASON_INIT] = "INIT", [REASON_SIPI] = "SIPI",
        [REASON_INTERRUPT_WINDOW] = "interrupt window", [REASON_NMI_WINDOW] = "NMI window",
        [REASON_TASK_SWITCH] = "task switch", [REASON_CPUID] = "CPUID", [REASON_HLT] = "HLT", [REASON_INVD] = "INVD",
        [REASON_INVLPG] = "INVLPG", [REASON_RDPMC] = "RDPMC", [REASON_RDTSC] = "RDTSC", [REASON_VMCALL] = "VMCALL",
        [REASON_VMCLEAR] = "VMCLEAR", [REASON_VMLAUNCH] = "VMLAUNCH", [REASON_VMPTRLD] = "VMPTRLD",
        [REASON_VMPTRST] = "VMPTRST", [REASON_VMREAD] = "VMREAD", [REASON_VMRESUME] = "VMRESUME",
        [REASON_VMWRITE] = "VMWRITE", [REASON_VMXOFF] = "VMXOFF", [REASON_VMXON] = "VMXON",
        [REASON_CR] = "control register", [REASON_DR] = "MOV DR", [REASON_IO] = "I/O", [REASON_RDMSR] = "RDMSR",
        [REASON_WRMSR] = "WRMSR", [REASON_MWAIT] = "MWAIT", [REASON_MONITOR_TRAP] = "monitor trap",
        [REASON_MONITOR] = "MONITOR", [REASON_PAUSE] = "PAUSE", [REASON_TPR_THRESHOLD] = "TPR below threshold",
        [REASON_APIC_ACCESS] = "APIC access", [REASON_EOI] = "virtualized EOI", [REASON_GDTR_IDTR] = "GDTR or IDTR",
        [REASON_LDTR_TR] = "LDTR or TR", [REASON_EPT_VIOLATION] = "EPT violation",
        [REASON_EPT_MISCONFIGURATION] = "EPT misconfiguration", [REASON_INVEPT] = "INVEPT", [REASON_RDTSCP] = "RDTSCP",
        [REASON_PREEMPTION_TIMER] = "preemption timer", [REASON_INVVPID] = "INVVPID", [REASON_WBINVD] = "WBINVD",
        [REASON_XSETBV] = "XSETBV", [REASON_APIC_WRITE] = "APIC write", [REASON_RDRAND] = "RDRAND",
        [REASON_INVPCID] = "INVPCID", [REASON_VMFUNC] = "VMFUNC", [REASON_RDSEED] = "RDSEED",
        [REASON_PML_FULL] = "page-modification log full", [REASON_XSAVES] = "XSAVES", [REASON_XRSTORS] = "XRSTORS",
    };
    return reason < ARRAY_SIZE(name) && name[reason] ? name[reason] : "?";
}
