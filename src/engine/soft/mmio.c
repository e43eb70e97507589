// See mmio.h. What makes this simple: the board's answer is kept with its address and size, so that executing the
// instruction again finds it by asking the same question; nothing about the instruction itself has to be remembered.
#include "engine/soft/mmio.h"

#include "engine/soft/intercept.h"
#include "engine/soft/lapic.h"

#define APIC_BASE_ENABLE (1ull << 11)
#define APIC_BASE_X2APIC (1ull << 10)
#define APIC_BASE_ADDRESS 0x000ffffffffff000ull

bool mmio_is_lapic(const struct cpu *cpu, u64 gpa)
{
    u64 base = cpu->msr.apic_base;
    return (base & (APIC_BASE_ENABLE | APIC_BASE_X2APIC)) == APIC_BASE_ENABLE &&
           ((gpa ^ base) & APIC_BASE_ADDRESS) == 0;
}

static void mmio_leave(struct cpu *cpu, enum mmio_exit kind, const struct mmio_fragment *fragment)
{
    struct kvm_run *run = cpu->run;
    run->exit_reason = KVM_EXIT_MMIO;
    run->mmio.phys_addr = fragment->gpa;
    run->mmio.len = fragment->size;
    run->mmio.is_write = kind == MMIO_WRITE;
    __builtin_memcpy(run->mmio.data, &fragment->data, 8);
    cpu->mmio_exit = kind;
}

// The instruction will be executed again when KVM_RUN is called with what this exit asked for.
_Noreturn static void mmio_abandon(struct cpu *cpu)
{
    cpu->mmio_reads_used = 0;
    cpu->mmio_rip = cpu->rip;
    cpu->leave = true;
    cpu->leave_result = 0;
    cpu_resume(cpu);
}

static u64 mmio_read_lapic(struct cpu *cpu, u64 gpa, unsigned size)
{
    // Registers are 32 bits at multiples of 16; what lies between reads as zero here (SDM 3A 11.4.1: undefined).
    unsigned offset = gpa & (PAGE_BYTES - 1);
    if ((offset & 15) + size > 4 && !(size == 8 && !(offset & 15)))
        return 0;
    return (u64)lapic_mmio_read(cpu, offset & ~15u) >> 8 * (offset & 3) & (~0ull >> (64 - 8 * size));
}

u64 mmio_read(struct cpu *cpu, u64 gpa, unsigned size)
{
    if (mmio_is_lapic(cpu, gpa))
        return mmio_read_lapic(cpu, gpa, size);
    if (cpu->mmio_reads_used < cpu->mmio_reads) {
        const struct mmio_fragment *known = &cpu->mmio_read[cpu->mmio_reads_used];
        cpu->mmio_exit = MMIO_NONE;
        if (known->gpa == gpa && known->size == size) {
            cpu->mmio_reads_used++;
            return known->data;
        }
        cpu->mmio_reads = cpu->mmio_reads_used; // a repeated instruction has gone on to its next element
    }
    if (cpu->mmio_writes_sent < cpu->mmio_writes) {
        mmio_leave(cpu, MMIO_WRITE, &cpu->mmio_write[cpu->mmio_writes_sent]); // earlier elements' writes go first
        mmio_abandon(cpu);
    }
    if (cpu->mmio_reads == CPU_MMIO_FRAGMENTS)
        return ~0ull >> (64 - 8 * size); // no instruction that makes sense reads a device that often
    struct mmio_fragment fragment = {.gpa = gpa, .size = (u8)size};
    cpu->mmio_read[cpu->mmio_reads] = fragment;
    mmio_leave(cpu, MMIO_READ, &fragment);
    mmio_abandon(cpu);
}

void mmio_write(struct cpu *cpu, u64 gpa, unsigned size, u64 value)
{
    if (mmio_is_lapic(cpu, gpa)) {
        unsigned offset = gpa & (PAGE_BYTES - 1);
        if (size >= 4 && !(offset & 15))
            lapic_mmio_write(cpu, offset, (u32)value);
        return;
    }
    if (cpu->mmio_writes == CPU_MMIO_FRAGMENTS)
        return;
    cpu->mmio_write[cpu->mmio_writes++] = (struct mmio_fragment){.gpa = gpa, .data = value, .size = (u8)size};
}

static bool mmio_send(struct cpu *cpu)
{
    if (cpu->mmio_writes_sent < cpu->mmio_writes) {
        mmio_leave(cpu, MMIO_WRITE, &cpu->mmio_write[cpu->mmio_writes_sent]);
        return true;
    }
    cpu->mmio_writes = cpu->mmio_writes_sent = 0;
    return false;
}

bool mmio_complete(struct cpu *cpu)
{
    enum mmio_exit kind = cpu->mmio_exit;
    cpu->mmio_exit = MMIO_NONE;
    if (kind == MMIO_READ) {
        struct mmio_fragment *fragment = &cpu->mmio_read[cpu->mmio_reads++];
        __builtin_memcpy(&fragment->data, cpu->run->mmio.data, 8);
        fragment->data &= ~0ull >> (64 - 8 * fragment->size);
        cpu->mmio_exit = MMIO_REPLAY;
    }
    if (kind != MMIO_WRITE)
        return false;
    cpu->mmio_writes_sent++;
    return mmio_send(cpu);
}

bool mmio_retire(struct cpu *cpu)
{
    if (UNLIKELY(cpu->mmio_exit == MMIO_REPLAY)) {
        if (cpu->rip == cpu->mmio_rip)
            return false;
        cpu->mmio_exit = MMIO_NONE; // it went another way the second time
    }
    cpu->mmio_reads = cpu->mmio_reads_used = 0;
    return cpu->mmio_writes && mmio_send(cpu);
}
