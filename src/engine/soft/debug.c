// Breakpoints cost nothing while none is armed: generated code does not look at DR7. With one armed, the run loop
// executes instruction by instruction and asks here, and pages with watched data stay out of the soft TLB, so that
// each access to them takes the slow path and is compared (SDM 3B 18.2). Execution breakpoints are faults; those on
// data and ports are traps, collected in cpu->pending_debug until the instruction has retired.
#include "engine/soft/debug.h"

enum { DEBUG_EXECUTE = 0, DEBUG_WRITE = 1, DEBUG_PORT = 2, DEBUG_ACCESS = 3 };

void debug_record(struct cpu *cpu, u64 dr6_bits)
{
    cpu->dr[6] = (cpu->dr[6] & ~0xfull) | DR6_FIXED | dr6_bits;
    cpu->dr[7] &= ~DR7_GD;
    cpu->msr.debugctl &= ~1ull; // LBR recording stops (SDM 3B 18.4.4)
}

static unsigned debug_kind(const struct cpu *cpu, unsigned index)
{
    return cpu->dr[7] >> (16 + index * 4) & 3;
}

static u64 debug_length(const struct cpu *cpu, unsigned index)
{
    static const u8 length[] = {1, 2, 8, 4};
    return length[cpu->dr[7] >> (18 + index * 4) & 3];
}

// DR6 bits of the armed breakpoints that overlap [address, address+size). An access reports every one that matches
// (SDM 3B 18.2.3: bits of breakpoints that are not enabled are left clear here, as processors may).
static u64 debug_match(const struct cpu *cpu, unsigned kinds, u64 address, u64 size)
{
    u64 bits = 0;
    for (unsigned i = 0; i < 4; i++) {
        u64 length = debug_length(cpu, i), start = cpu->dr[i] & ~(length - 1);
        bool enabled = cpu->dr[7] >> (i * 2) & 3;
        if (enabled && kinds >> debug_kind(cpu, i) & 1 && start < address + size && address < start + length)
            bits |= 1ull << i;
    }
    return bits;
}

static void debug_execute(struct cpu *cpu)
{
    u64 linear = cpu_code64(cpu) ? cpu->rip : (u32)(cpu->segment[SEG_CS].base + cpu->rip);
    u64 bits = debug_match(cpu, 1 << DEBUG_EXECUTE, linear, 1);
    if (bits)
        cpu_raise_debug(cpu, bits, false);
}

// What the breakpoint registers are is compared here instead of caught where they are written, since VM entries,
// exits and the VM's owner write them too.
static bool debug_changed(struct cpu *cpu)
{
    static const u8 number[] = {0, 1, 2, 3, 7};
    bool changed = false;
    for (unsigned i = 0; i < ARRAY_SIZE(number); i++) {
        changed |= cpu->watched[i] != cpu->dr[number[i]];
        cpu->watched[i] = cpu->dr[number[i]];
    }
    return changed;
}

bool debug_prepare_armed(struct cpu *cpu)
{
    if (!debug_armed(cpu)) {
        cpu->watched[4] = 0; // what fills the TLB from now on is not watched
        return false;
    }
    if (debug_changed(cpu))
        tlb_flush_all(cpu);
    // An instruction that is made again with a device's answer has been looked at, and the one behind MOV SS is not
    // (SDM 3A 6.8.3).
    if (!(cpu->rflags & FLAG_RF) && !cpu->mmio_reads && !(cpu->interruptibility & BLOCKING_MOV_SS))
        debug_execute(cpu);
    return true;
}

bool debug_watch_armed(struct cpu *cpu, u64 linear, unsigned size, enum access access)
{
    const unsigned both = 1 << DEBUG_ACCESS | 1 << DEBUG_WRITE;
    if (access == ACCESS_EXECUTE)
        return false;
    if (size)
        cpu->pending_debug |= debug_match(cpu, access == ACCESS_WRITE ? both : 1 << DEBUG_ACCESS, linear, size);
    return debug_match(cpu, both, align_down(linear, PAGE_BYTES), PAGE_BYTES);
}

void debug_io(struct cpu *cpu, u16 port, unsigned size)
{
    if (cpu->cr4 & CR4_DE)
        cpu->pending_debug |= debug_match(cpu, 1 << DEBUG_PORT, port, size);
}
