// The states of a VM, Hyper-V's VMState with its numbers, and which of them may follow which. The table stands in
// vm_state.c; nobody else decides.
#pragma once

#include "base/types.h"

enum vm_state {
    VM_STATE_RUNNING = 2,
    VM_STATE_OFF = 3,
    VM_STATE_STOPPING = 32774,
    VM_STATE_SAVED = 32769,
    VM_STATE_PAUSED = 32768,
    VM_STATE_STARTING = 32770,
    VM_STATE_RESET = 10,
    VM_STATE_SAVING = 32773,
    VM_STATE_PAUSING = 32776,
    VM_STATE_RESUMING = 32777,
    VM_STATE_RUNNING_CRITICAL = 32781, // its worker does not answer
    VM_STATE_OFF_CRITICAL = 32782,     // its worker died; it can be started again
    VM_STATE_SAVED_CRITICAL = 32784,   // its saved state cannot be read
    VM_STATE_PAUSED_CRITICAL = 32785,
};

// What is asked of a VM.
enum vm_action {
    VM_ACTION_START,
    VM_ACTION_TURN_OFF,  // the plug is pulled
    VM_ACTION_SHUT_DOWN, // the guest is asked
    VM_ACTION_SAVE,
    VM_ACTION_PAUSE,
    VM_ACTION_RESUME,
    VM_ACTION_RESET,
    VM_ACTION_REMOVE,
    VM_ACTION_DISCARD, // throw the saved state away
    VM_ACTION_CONFIGURE, // what a VM without a worker only may have changed
};

const char *vm_state_name(enum vm_state state); // "Off", "OffCritical"
bool vm_state_find(const char *name, enum vm_state *state);

// Whether `action` may begin in `state`.
bool vm_state_allows(enum vm_state state, enum vm_action action);
// The state while the action is under way, and after it succeeded.
enum vm_state vm_state_during(enum vm_state state, enum vm_action action);
enum vm_state vm_state_after(enum vm_state state, enum vm_action action);
// Whether a worker process belongs to the state.
bool vm_state_has_worker(enum vm_state state);
// Off and its like: nothing of a running guest is kept anywhere.
bool vm_state_is_off(enum vm_state state);
