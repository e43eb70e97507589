// RDRAND and RDSEED: the host's own, but a hypervisor in the VM may intercept them, so they are no plain copies.
#include "engine/soft/access.h"
#include "engine/soft/cpuid.h"
#include "engine/soft/insn_random.h"

static void random_result(struct cpu *cpu, const struct insn *insn, u64 value, bool ready)
{
    gpr_write(cpu, insn->operand[0].reg, insn->operand_size, ready ? value : 0);
    cpu->rflags = (cpu->rflags & ~FLAGS_ARITHMETIC) | (ready ? FLAG_CF : 0);
}

void insn_rdrand(struct cpu *cpu, const struct insn *insn)
{
    u64 value;
    bool ready;
    if (!(cpu->features & FEATURE_RDRAND))
        cpu_raise(cpu, VECTOR_UD);
    __asm__ volatile("rdrand %0; setc %1" : "=r"(value), "=qm"(ready) : : "cc");
    random_result(cpu, insn, value, ready);
}

void insn_rdseed(struct cpu *cpu, const struct insn *insn)
{
    u64 value;
    bool ready;
    if (!(cpu->features & FEATURE_RDSEED))
        cpu_raise(cpu, VECTOR_UD);
    __asm__ volatile("rdseed %0; setc %1" : "=r"(value), "=qm"(ready) : : "cc");
    random_result(cpu, insn, value, ready);
}
