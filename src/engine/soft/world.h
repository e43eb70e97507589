// Stopping the world: every other vCPU of the VM is brought out of guest code and held, for the few changes that
// generated code must not see half made (code cache flush, a page becoming code while others may write to it, memory
// slots).
#pragma once

#include "engine/soft/vm.h"

// self: the calling vCPU, or NULL. Nests; one stopper at a time
void world_stop(struct engine_vm *vm, struct cpu *self);
void world_resume(struct engine_vm *vm);
void world_enter(struct cpu *cpu); // KVM_RUN begins: counts as running from here on; waits while the world is stopped
void world_leave(struct cpu *cpu); // ... and ends, or waits for something
void world_pause(struct cpu *cpu); // a safe point: lets a stopper through
