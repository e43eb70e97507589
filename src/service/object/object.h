// How cmdlets are carried out: a handler each, one file a noun (object/NOUN.c beside cmdlet/table/NOUN.c), assembled in
// object.c. A handler runs on a thread of the pool, may block, and tells its caller what happens through the call; it
// returns when all is done. Errors concern the object at hand: a handler goes on with the next one.
//
//   static void set_processor(struct call *call)
//   {
//       struct vm_list list;
//       call_vms(call, &list);                         // -VMName, -VM, -VMProcessor, -Id: errors are told
//       for (size_t i = 0; i < list.count; i++) {
//           struct vm_record *draft = call_change(call, list.items[i], "Set-VMProcessor");
//           if (!draft)
//               continue;                              // what if, or gone: told
//           if (!vm_state_allows(vm_state(list.items[i]), VM_ACTION_CONFIGURE)) {
//               call_refuse(call, draft, "Processor", REFUSE_STATE, "...reason...");
//               call_cancel(call, list.items[i], draft);
//               continue;
//           }
//           call_take_int(call, "Count", &draft->processor_count);
//           if (call_commit(call, list.items[i], draft) && call_switch(call, "Passthru"))
//               put(call, list.items[i]);
//       }
//       vm_list_free(&list);
//   }
#pragma once

#include "cmdlet/request.h"
#include "service/service.h"
#include "service/vm.h"

struct call {
    struct service *service;
    const struct request *request;
    const struct reply *reply;
    bool (*gone)(void *context); // whether nobody waits for the answer any more: ends long waits; NULL: never
    void *gone_context;
    unsigned errors; // told so far
};

struct handler {
    const char *cmdlet;
    void (*run)(struct call *call);
};

// One table a file; each ends with a NULL name. The list of them is in object.c.
extern const struct handler *const object_handlers[];
void object_run(struct call *call);      // finds the handler of call->request and runs it
bool object_knows(const char *cmdlet); // whether there is one

// --- Parameters, as bound: of the types of the cmdlet's row ---------------------------------------------
bool call_has(const struct call *call, const char *name);
struct value *call_value(const struct call *call, const char *name); // borrowed; NULL: not given
bool call_switch(const struct call *call, const char *name);         // false: not given
s64 call_int(const struct call *call, const char *name, s64 fallback);
const char *call_string(const struct call *call, const char *name, const char *fallback); // a list's first item, too
size_t call_count(const struct call *call, const char *name);                   // of a list; 0: not given
const char *call_item(const struct call *call, const char *name, size_t index); // of a list of strings; NULL: no more
// Into a record, if given. True if so.
bool call_take_int(const struct call *call, const char *name, s64 *member);
bool call_take_bool(const struct call *call, const char *name, bool *member);
bool call_take_text(const struct call *call, const char *name, char **member); // "" becomes NULL

// --- Which VMs are meant --------------------------------------------------------------------------------
struct vm_list {
    struct vm **items;
    size_t count;
};

// By -VM, -Id/-VMId, -VMName or -Name (wildcards), or the part's own object (anything with a VMId), each of which may
// name several; each VM once. What is not there is told as Hyper-V does: `Hyper-V was unable to find a virtual machine
// with name "x".` No such parameter at all: every VM.
void call_vms(struct call *call, struct vm_list *list);
// The same when -Name is the name of the part (an adapter, a drive) and not the VM's.
void call_vms_of_parts(struct call *call, struct vm_list *list);
void vm_list_free(struct vm_list *list);

// --- Errors, in the families of Hyper-V's module --------------------------------------------------------
__attribute__((format(printf, 5, 6))) void call_error(struct call *call, enum error_category category, const char *id,
                                                      const char *target, const char *format, ...);
// "'lab' failed to modify device 'Processor'. (Virtual machine ID ...)": a setting that cannot be had. `device` is
// "Processor", "Memory", "Network Adapter"...; NULL: the VM itself ("'lab' failed to modify settings.").
enum refusal {
    REFUSE_UNSUPPORTED, // NotSupported: "Cannot modify property."
    REFUSE_STATE,       // InvalidState
    REFUSE_VALUE,       // InvalidParameter
};
__attribute__((format(printf, 5, 6))) void call_refuse(struct call *call, const struct vm_record *record,
                                                       const char *device, enum refusal why, const char *reason, ...);
// "'lab' failed to start. (Virtual machine ID ...)": an operation that failed. `verb` is "start", "change state".
__attribute__((format(printf, 6, 7))) void call_failed(struct call *call, const struct vm_record *record,
                                                       const char *verb, enum error_category category, const char *id,
                                                       const char *reason, ...);
// The operation cannot be done in the VM's current state; names the state and the way out.
void call_wrong_state(struct call *call, const struct vm_view *view, const char *verb);
__attribute__((format(printf, 2, 3))) void call_warning(struct call *call, const char *format, ...);
// A line for whoever watches, no part of the output (Write-Host).
__attribute__((format(printf, 2, 3))) void call_say(struct call *call, const char *format, ...);
__attribute__((format(printf, 2, 3))) void call_verbose(struct call *call, const char *format, ...);
void call_progress(struct call *call, const char *activity, const char *status, int percent);

// ShouldProcess: with -WhatIf says "Performing the operation "OPERATION" on target "TARGET"." and returns false; with
// -Verbose says the same and returns true.
bool call_should(struct call *call, const char *operation, const char *target);

// --- Output ---------------------------------------------------------------------------------------------
void call_put(struct call *call, struct value *object); // takes the reference over
// An object of a part of a VM, with Id, VMId, VMName, ComputerName, IsDeleted and the checkpoint's zeros, as far as its
// class has them.
struct value *call_part(struct call *call, const char *type, const struct vm_record *record, const char *id);
struct value *object_of_vm(struct service *service, const struct vm_view *view); // a VirtualMachine
// What Wait-VM does for one VM, by -For, -Timeout, -Delay and -Passthru. Tells when it was in vain. `since`: a vm_clock()
// at which it was told to start anew, before which nothing counts; 0: everything does.
void call_wait(struct call *call, struct vm *vm, u64 since);
// A text that may be NULL, as an empty string.
struct value *object_text(const char *text);

// --- Changes --------------------------------------------------------------------------------------------
// ShouldProcess and vm_change_begin in one. NULL: told, nothing is held.
struct vm_record *call_change(struct call *call, struct vm *vm, const char *operation);
bool call_commit(struct call *call, struct vm *vm, struct vm_record *draft); // false: told, nothing was changed
void call_cancel(struct call *call, struct vm *vm, struct vm_record *draft);

// After a change of the network's records: the host's interfaces, NAT and the switches' processes become what they say.
// -1: not all of it; the reason is in `error`.
int call_network_apply(struct call *call, struct error *error);

// --- A running VM's worker ------------------------------------------------------------------------------
struct json_t;
// Sends a command of control.h and waits for its answer: `arguments` (borrowed, may be NULL) are its members. The
// result is the caller's; NULL with the reason in `error`: the worker refused, or does not answer.
struct json_t *object_command(struct vm *vm, const char *command, const struct json_t *arguments, struct error *error);
