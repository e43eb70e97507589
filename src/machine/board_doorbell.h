// Doorbells that the engine rings by itself (KVM_IOEVENTFD): a write there wakes the device's thread, and the vCPU goes
// on without having left KVM_RUN. For a VM on KVM within a VM of ours that saves the way through the inner host's user
// space, most of what a doorbell costs there.
//
// An address is handed to the engine when a vCPU first brings a write to it here, not when the BAR is placed: guests
// move BARs back and forth while they look for their size, a change makes KVM wait for all vCPUs, and most doorbells
// are never rung. All calls are made under the address maps' lock for writing, but board_doorbell_init.
#pragma once

#include "device/pci.h"
#include "engine/engine.h"

enum { BOARD_DOORBELLS = 64 }; // more are rung the long way

struct board_doorbell {
    const struct pci_function *function;
    u64 gpa;
    int fd;
};

struct board_doorbells {
    const struct engine *engine;
    struct engine_vm *vm;
    unsigned count, most; // most: that it takes; 0: it cannot
    struct board_doorbell rung[BOARD_DOORBELLS];
};

void board_doorbell_init(struct board_doorbells *doorbells, const struct engine *engine, struct engine_vm *vm);

static inline bool board_doorbell_room(const struct board_doorbells *doorbells)
{
    return doorbells->count < doorbells->most;
}

// From now on the engine's, if it can; `fd` is the eventfd to be rung.
void board_doorbell_hand_over(struct board_doorbells *doorbells, const struct pci_function *function, u64 gpa, int fd);

// The function's doorbells are elsewhere now, or nowhere.
void board_doorbell_take_back(struct board_doorbells *doorbells, const struct pci_function *function);
