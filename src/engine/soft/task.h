// Hardware task switches (SDM 3A chapter 8).
#pragma once

#include "engine/soft/cpu.h"

enum task_source { TASK_CALL, TASK_IRET, TASK_JUMP, TASK_GATE }; // numbered as in the VM exit's qualification

// `selector` names a TSS descriptor whose privilege was checked. On return cpu->next_rip is the new task's, or the
// vCPU was unwound with a fault. `return_rip` is what the old task's TSS keeps. `ext`: EXT bit of the error codes.
void task_switch(struct cpu *cpu, u16 selector, enum task_source source, u64 return_rip, unsigned ext,
                 bool has_error, u32 error);
