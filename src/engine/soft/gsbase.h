// The host's gs base while generated code runs: where the current context's window is.
#pragma once

#include <signal.h>
#include <ucontext.h>

#include "engine/soft/cpu.h"

// How the base is changed on this host, from the best way to the worst.
enum gsbase_way {
    GSBASE_ANNOUNCED, // WRGSBASE, and the kernel keeps what it sets
    GSBASE_TRAPPED,   // WRGSBASE, and the kernel loses it when it switches threads
    GSBASE_SYSCALL,   // arch_prctl
};

enum gsbase_way gsbase_probe(void); // after signal_install

// KVM_RUN begins on this thread, for the first time or after another. False: no memory for the trap.
bool gsbase_thread(struct cpu *cpu);
void gsbase_set(struct cpu *cpu, u8 *window);
void gsbase_release(struct cpu *cpu); // when the vCPU goes

// In the signal handler: true if the fault was ours and the instruction is to be run again. `cpu`: the thread's, or NULL.
bool gsbase_recover(struct cpu *cpu, const siginfo_t *info, ucontext_t *context);
