// What moves a VM from state to state: starting it, stopping it, pausing, saving. Each is called with the VM's change
// lock held (vm_change_begin) and its draft, checks the transition, does the work, and leaves record and state as
// things are then. 0, or -1 with the reason in `error`: the VM is as it was before, unless the reason says otherwise.
#pragma once

#include "base/error.h"
#include "control/control.h"
#include "service/vm.h"

int power_start(struct vm *vm, struct vm_record *draft, struct error *error);
int power_turn_off(struct vm *vm, struct vm_record *draft, struct error *error); // discards a saved state, too
int power_save(struct vm *vm, struct vm_record *draft, struct error *error);
int power_pause(struct vm *vm, struct vm_record *draft, struct error *error);
int power_resume(struct vm *vm, struct vm_record *draft, struct error *error);
int power_reset(struct vm *vm, struct vm_record *draft, struct error *error);

// Asks the guest to shut down and waits; takes the change lock by itself where it needs it, so that another one can
// pull the plug meanwhile. `force`: what does not end in time is turned off. `gone` (may be NULL): nobody waits any
// more.
int power_shut_down(struct vm *vm, bool force, unsigned milliseconds, bool (*gone)(void *context), void *context,
                    struct error *error);

// Draws the dynamic addresses that are still lacking: at the first start, as Hyper-V does it, or when an adapter comes
// while it runs. -1: there are none left.
int power_addresses(struct service *service, struct vm_record *draft, struct error *error);
// The adapters in the words of the worker (control.h); `count` of them are to be freed, also on failure.
int power_adapters(struct service *service, struct control_adapter adapters[CONTROL_ADAPTERS], unsigned *count,
                   const struct vm_record *record, struct error *error);

enum { POWER_SHUT_DOWN_MS = 5 * 60 * 1000 }; // Hyper-V's five minutes

// For VMs that were found running, saved or removed.
void power_started(struct vm *vm, struct vm_record *draft); // its saved state is used up
void power_saved_path(struct service *service, struct vm_record *draft);
void power_saved_sweep(struct service *service, const struct vm_record *record); // of a VM that has none: leftovers
void power_runtime_remove(const char *directory);

// The host was started: whether the VM is to be, and when. -1: that cannot be stored.
int power_automatic_plan(struct vm *vm, struct error *error);
void power_automatic_start(struct vm *vm); // waits until then
void power_automatic_stop(struct vm *vm);
