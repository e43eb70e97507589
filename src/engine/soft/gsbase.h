// Changing the gs base that generated code finds its context by (gsbase.c).
#pragma once

#include "engine/soft/cpu.h"

enum gsbase_way {
    GSBASE_CALL,  // arch_prctl: always right
    GSBASE_PLAIN, // WRGSBASE: the kernel keeps what it wrote
    GSBASE_TRAP,  // WRGSBASE: the kernel forgets what it wrote whenever it schedules the thread
};

// What this host offers. SIGILL must be signal.c's already (signal_install).
enum gsbase_way gsbase_probe(void);

// KVM_RUN begins on this thread.
void gsbase_enter(struct cpu *cpu);

// The gs base of the calling thread, which runs `cpu`, becomes `window`.
void gsbase_set(struct cpu *cpu, u8 *window);

// Signal handlers. Whether the fault at `address` of generated code was one of a base that the kernel forgot; the base
// is right again then, and the instruction may run once more.
bool gsbase_trapped(struct cpu *cpu, u64 address);

// Signal handlers: where an illegal instruction at `rip` goes on, or 0 when it is not the probe's.
u64 gsbase_illegal(u64 rip);
