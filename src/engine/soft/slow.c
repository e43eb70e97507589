// See slow.h. Called on the host's stack with all guest registers stored; flags are in memory, because the probe has used
// EFLAGS. Faults unwind to the run loop from here and leave the block behind.
#include "engine/soft/slow.h"

#include "engine/soft/access.h"
#include "engine/soft/intercept.h"
#include "engine/soft/translate.h"

static void instruction_start(struct cpu *cpu)
{
    cpu->rip = cpu->code_base + SITE_POSITION(cpu->site);
    cpu->next_rip = cpu->rip + SITE_LENGTH(cpu->site);
    if (!cpu_code64(cpu)) {
        cpu->rip = (u32)cpu->rip;
        cpu->next_rip = (u32)cpu->next_rip;
    }
}

void *slow_access(struct cpu *cpu, u64 linear, u32 what)
{
    instruction_start(cpu);
    flags_from_memory(cpu);
    void *host = access_slow(cpu, linear, what & 0xff, what >> 8);
    cpu->tlb_mask = cpu->tlb->mask; // filling may have grown it
    if (cpu->loan.data && what >> 8 & SLOW_WRITE)
        cpu->scratch[1] = cpu->scratch[2];
    return host;
}

void slow_commit(struct cpu *cpu, u64 eflags)
{
    struct access_loan *loan = &cpu->loan;
    bool device = !loan->host[0] || (loan->size > loan->first && !loan->host[1]);
    instruction_start(cpu);
    if (SITE_FLAGS_LIVE(cpu->site))
        cpu->rflags = (cpu->rflags & ~FLAGS_ARITHMETIC) | (eflags & FLAGS_ARITHMETIC);
    else
        flags_from_memory(cpu);
    access_commit(cpu);
    if (!device && !cpu->code_changed)
        return;
    // A device may have been told something that matters now, or the running block is gone.
    cpu->rip = cpu->next_rip;
    if (cpu->stepping)
        cpu->pending_debug |= 1 << 14;
    if (UNLIKELY(cpu->guest_mode))
        intercept_retired(cpu);
    cpu->code_changed = false;
    cpu_resume(cpu);
}

u64 slow_linear(struct cpu *cpu, u64 offset, u32 what)
{
    instruction_start(cpu);
    flags_from_memory(cpu);
    return access_linear(cpu, what >> 16, offset, what & 0xff, what >> 8 & SLOW_WRITE ? ACCESS_WRITE : ACCESS_READ);
}
