// A VM as the service knows it: its record, its state, its worker. Others hold references; who looks gets a copy, who
// changes holds the VM's change lock and works on a draft, so that a change that fails has changed nothing.
//
//   change lock   one change at a time: from the first check to the end of what is done, a start or a save included
//   data lock     inside vm.c only, for as long as it takes to copy
#pragma once

#include "base/error.h"
#include "control/control.h"
#include "service/record.h"
#include "service/vm_state.h"

struct service;
struct vm;

// Everything about a VM at one moment. Free with vm_view_free.
struct vm_view {
    struct vm_record record;
    enum vm_state state;
    bool deleted;
    bool has_status; // the worker has told `status`
    struct control_status status;
    unsigned cpu_usage; // percent of its virtual processors, over the last seconds
};

struct vm *vm_ref(struct vm *vm);
void vm_unref(struct vm *vm); // NULL is allowed

void vm_look(struct vm *vm, struct vm_view *view);
void vm_glance(struct vm *vm, struct vm_view *view); // the same without asking its worker how things stand
void vm_view_free(struct vm_view *view);
enum vm_state vm_state(struct vm *vm);
const char *vm_id(const struct vm *vm); // never changes
bool vm_once(struct vm *vm);            // true the first time it is asked of this VM

// The lock is held until commit or cancel. NULL if the VM was removed meanwhile (no lock is held then). The draft
// belongs to the change; it may be edited freely.
struct vm_record *vm_change_begin(struct vm *vm);
// Stores the draft and makes it the VM's record, or does neither. Gives the lock back either way.
int vm_change_commit(struct vm *vm, struct vm_record *draft, struct error *error);
void vm_change_cancel(struct vm *vm, struct vm_record *draft);
// The same for a change that goes on: stores, and keeps the lock and the draft.
int vm_change_store(struct vm *vm, struct vm_record *draft, struct error *error);
