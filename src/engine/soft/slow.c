// See slow.h. Called on the host's stack with all guest registers stored; flags are in memory, because the probe has
// used EFLAGS. Faults unwind to the run loop from here and leave the block behind.
#include "engine/soft/slow.h"

#include "engine/soft/access.h"
#include "engine/soft/demand.h"
#include "engine/soft/insn_gather.h"
#include "engine/soft/intercept.h"
#include "engine/soft/translate.h"

enum { FSW_ES = 1 << 7 };

static void instruction_start(struct cpu *cpu)
{
    cpu->rip = cpu->code_base + SITE_POSITION(cpu->site);
    cpu->next_rip = cpu->rip + SITE_LENGTH(cpu->site);
    if (!cpu_code64(cpu)) {
        cpu->rip = (u32)cpu->rip;
        cpu->next_rip = (u32)cpu->next_rip;
    }
}

static void slow_x87(struct cpu *cpu, unsigned kind)
{
    u16 status;
    if (!(kind & SLOW_X87))
        return;
    __asm__ volatile("fnstsw %0" : "=a"(status));
    if (status & FSW_ES && cpu->cr0 & CR0_NE)
        cpu_raise(cpu, VECTOR_MF);
}

// The faults that come before paging has its say.
static void slow_demands(struct cpu *cpu, u64 linear, unsigned size, unsigned kind)
{
    slow_x87(cpu, kind);
    if (kind & SLOW_ALIGNED && linear & (size - 1))
        cpu_raise_code(cpu, VECTOR_GP, 0);
    if (kind & SLOW_STACK && cpu_code64(cpu) && (!cpu_canonical(linear) || !cpu_canonical(linear + size - 1)))
        cpu_raise_code(cpu, VECTOR_SS, 0);
}

static u64 opmask(unsigned reg)
{
    u64 value;
#define OPMASK(n) case n: __asm__ volatile("kmovq %%k" #n ", %0" : "=r"(value)); break
    switch (reg) {
    OPMASK(1);
    OPMASK(2);
    OPMASK(3);
    OPMASK(4);
    OPMASK(5);
    OPMASK(6);
    default: __asm__ volatile("kmovq %%k7, %0" : "=r"(value)); break;
    }
#undef OPMASK
    return value;
}

// An operand of which the opmask spares some elements: those are not touched, so the instruction gets a bounce buffer
// with the others. NULL: all of it is accessed, as usual.
static void *slow_masked(struct cpu *cpu, u64 linear, unsigned size, unsigned kind, u32 demand)
{
    unsigned count = DEMAND_MASK_COUNT(demand), element = DEMAND_MASK_ELEMENT(demand);
    u64 all = ~0ull >> (64 - count), mask = 0, bits = opmask(DEMAND_MASK_REGISTER(demand));
    for (unsigned i = 0; i < DEMAND_MASK_COPIES(demand); i++)
        mask |= bits >> i * count & all;
    if (mask == all)
        return NULL;
    u8 *data = cpu->bounce + (linear & 63);
    cpu->loan.data = NULL;
    cpu->code_changed = false;
    if (!mask)
        return data;
    slow_demands(cpu, linear, size, kind);
    if (!(kind & SLOW_WRITE)) {
        gather_masked_read(cpu, linear, data, element, count, mask);
        return data;
    }
    for (unsigned i = 0; i < count; i++)
        if (mask >> i & 1)
            access_check(cpu, linear + i * element, element, ACCESS_WRITE);
    cpu->loan = (struct access_loan){
        .linear = linear, .data = data, .size = (u8)size, .write = true, .element = (u8)element, .mask = mask,
    };
    return data;
}

void *slow_access(struct cpu *cpu, u64 linear, u32 what)
{
    unsigned size = what & 0xff, kind = what >> 8 & 0xff;
    instruction_start(cpu);
    flags_from_memory(cpu);
    void *host = kind & SLOW_MASKED ? slow_masked(cpu, linear, size, kind, what >> 16) : NULL;
    if (!host) {
        slow_demands(cpu, linear, size, kind);
        host = access_slow(cpu, linear, size, kind & (SLOW_READ | SLOW_WRITE));
    }
    cpu->loan.push = kind & SLOW_PUSH;
    cpu->loan.call = kind & SLOW_CALL;
    cpu->tlb_mask = cpu->tlb->mask; // filling may have grown it
    if (cpu->loan.data && kind & SLOW_WRITE)
        cpu->scratch[1] = cpu->scratch[2];
    return host;
}

void slow_commit(struct cpu *cpu, u64 eflags)
{
    struct access_loan *loan = &cpu->loan;
    bool device = !loan->element && (!loan->host[0] || (loan->size > loan->first && !loan->host[1]));
    instruction_start(cpu);
    if (SITE_FLAGS_LIVE(cpu->site))
        cpu->rflags = (cpu->rflags & ~FLAGS_ARITHMETIC) | (eflags & FLAGS_ARITHMETIC);
    else
        flags_from_memory(cpu);
    if (loan->element) {
        gather_masked_write(cpu, loan->linear, loan->data, loan->element, loan->size / loan->element, loan->mask);
        loan->data = NULL;
        device = cpu->mmio_writes;
    } else {
        access_commit(cpu);
    }
    if (!device && !cpu->code_changed)
        return;
    // A call is not done before generated code has changed RSP and gone to its target, and there the block ends. Writes
    // to a device are sent before its next read all the same (mmio.c).
    if (UNLIKELY(loan->call)) {
        cpu_request(cpu, REQUEST_EVENT);
        return;
    }
    if (loan->push)
        cpu->gpr[RSP] = loan->linear; // flat code
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
    unsigned segment = what >> 16, kind = what >> 8 & 0xff, size = what & 0xff;
    slow_x87(cpu, kind);
    if (kind & SLOW_ALIGNED && (cpu->segment[segment].base + offset) & (size - 1))
        cpu_raise_code(cpu, VECTOR_GP, 0); // before the limit is looked at
    return access_linear(cpu, segment, offset, size, kind & SLOW_WRITE ? ACCESS_WRITE : ACCESS_READ);
}
