// Address space for the soft TLB. Generated code has one base register (gs) for both the CPU's state and the current
// context's entries, so every context's array has the state mapped once more right in front of it: a context is
// a window, and changing it changes gs.
#pragma once

#include "engine/soft/cpu.h"
#include "engine/soft/tlb.h"

enum { WINDOW_BYTES = CPU_WINDOW_TLB + (sizeof(struct tlb_entry) << TLB_MAX_BITS) };

struct cpu *window_create_cpu(void); // zeroed state in its own memfd; NULL with errno
void window_destroy_cpu(struct cpu *cpu);

// Reserves a window with room for the largest array. The array's memory reads as zeroes and costs nothing until
// touched.
u8 *window_map(const struct cpu *cpu); // NULL with errno
void window_unmap(u8 *window);

// Addresses as many as a window has, at which every access faults (gsbase.c). window_unmap gives them back.
u8 *window_reserve(void); // NULL with errno
