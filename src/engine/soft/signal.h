// Host signals that generated code causes on behalf of its guest (signal.c).
#pragma once

#include "engine/soft/cpu.h"

int signal_install(void);                   // process-wide; 0 or -errno. Again does no harm
void signal_thread_enter(struct cpu *cpu);  // KVM_RUN begins on this thread: its signal stack, and whose code it runs
void signal_thread_leave(void);

// Where cpu->jump points while a request is pending: never mapped, so that the next poll faults.
#define SIGNAL_NO_JUMPS ((struct tlb_jump *)0)

void signal_stack_release(struct cpu *cpu); // when the vCPU goes
