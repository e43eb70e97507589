// Start-VM and its kin: a transition each (power.h), told in Hyper-V's words.
#include <string.h>
#include <strings.h>

#include "service/object/object.h"
#include "service/power.h"
#include "service/vm_room.h"

// What the states say a VM "failed to" do, and what does it.
struct transition {
    enum vm_action action;
    const char *verb;
    int (*act)(struct vm *vm, struct vm_record *draft, struct error *error);
};

static const struct transition starting = {VM_ACTION_START, "start", power_start};
static const struct transition turning_off = {VM_ACTION_TURN_OFF, "turn off", power_turn_off};
static const struct transition saving = {VM_ACTION_SAVE, "save", power_save};
static const struct transition pausing = {VM_ACTION_PAUSE, "pause", power_pause};
static const struct transition resuming = {VM_ACTION_RESUME, "resume", power_resume};
static const struct transition resetting = {VM_ACTION_RESET, "reset", power_reset};

static void power_put(struct call *call, struct vm *vm)
{
    if (!call_switch(call, "Passthru"))
        return;
    struct vm_view view;
    vm_look(vm, &view);
    call_put(call, object_of_vm(call->service, &view));
    vm_view_free(&view);
}

static bool power_one(struct call *call, struct vm *vm, const struct transition *transition, enum vm_state there)
{
    const char *cmdlet = call->request->cmdlet->name;
    struct vm_record *draft = call_change(call, vm, cmdlet);
    if (!draft)
        return false;
    struct error error;
    const enum vm_state state = vm_state(vm);
    if (state == there || (there == VM_STATE_OFF && state == VM_STATE_OFF_CRITICAL)) { // as Hyper-V: a warning, and no error
        call_warning(call, "The virtual machine is already in the specified state.");
        call_cancel(call, vm, draft);
        return true;
    }
    const bool discards = transition == &turning_off && vm_state_allows(state, VM_ACTION_DISCARD);
    if (!vm_state_allows(state, transition->action) && !discards) {
        call_cancel(call, vm, draft);
        struct vm_view view;
        vm_look(vm, &view);
        call_wrong_state(call, &view, transition->verb);
        vm_view_free(&view);
        return false;
    }
    const bool done = transition->act(vm, draft, &error) == 0;
    if (!done)
        call_failed(call, draft, transition->verb, CATEGORY_NOT_SPECIFIED, "OperationFailed", "%s.", error.text);
    call_cancel(call, vm, draft);
    return done;
}

static void power_all(struct call *call, const struct transition *transition, enum vm_state there)
{
    struct vm_list list;
    call_vms(call, &list);
    for (size_t i = 0; i < list.count; i++)
        if (power_one(call, list.items[i], transition, there))
            power_put(call, list.items[i]);
    vm_list_free(&list);
}

// Who exposes virtualization extensions is told once where they come from, if it is not from the host.
static void start_tell(struct call *call, struct vm *vm)
{
    struct vm_view view;
    vm_look(vm, &view);
    if (view.has_status && !strcmp(view.status.engine, "soft") && view.record.expose_virtualization_extensions &&
        !strcasecmp(view.record.engine, "Auto") && vm_once(vm))
        call_warning(call, "'%s' runs on nidus's own processor (Soft): this platform's KVM does not support nested "
                           "virtualization. Set-VMProcessor -Engine Soft says that this is meant.", view.record.name);
    vm_view_free(&view);
}

static void start_vm(struct call *call)
{
    struct vm_list list;
    call_vms(call, &list);
    for (size_t i = 0; i < list.count; i++)
        if (power_one(call, list.items[i], &starting, VM_STATE_RUNNING)) {
            start_tell(call, list.items[i]);
            power_put(call, list.items[i]);
        }
    vm_list_free(&list);
}
static void suspend_vm(struct call *call) { power_all(call, &pausing, VM_STATE_PAUSED); }
static void resume_vm(struct call *call) { power_all(call, &resuming, VM_STATE_RUNNING); }
static void save_vm(struct call *call) { power_all(call, &saving, VM_STATE_SAVED); }

// Waits for the guest; the change lock is free meanwhile, so that -TurnOff from elsewhere gets through.
static bool shut_down(struct call *call, struct vm *vm, bool force)
{
    struct vm_view view;
    struct error error;
    bool done = false;
    vm_look(vm, &view);
    if (vm_state_is_off(view.state)) {
        call_warning(call, "The virtual machine is already in the specified state.");
        done = true;
    } else if (!vm_state_allows(view.state, VM_ACTION_SHUT_DOWN) && !force) {
        call_wrong_state(call, &view, "shut down");
    } else if (call_should(call, call->request->cmdlet->name, view.record.name)) {
        call_progress(call, "Stop-VM", view.record.name, -1);
        done = power_shut_down(vm, force, POWER_SHUT_DOWN_MS, call->gone, call->gone_context, &error) == 0;
        if (!done)
            call_failed(call, &view.record, "shut down", CATEGORY_OPERATION_TIMEOUT, "OperationFailed", "%s.",
                        error.text);
    }
    vm_view_free(&view);
    return done;
}

static void stop_vm(struct call *call)
{
    struct vm_list list;
    if (call_switch(call, "TurnOff")) {
        power_all(call, &turning_off, VM_STATE_OFF);
        return;
    }
    if (call_switch(call, "Save")) {
        power_all(call, &saving, VM_STATE_SAVED);
        return;
    }
    call_vms(call, &list);
    for (size_t i = 0; i < list.count; i++)
        if (shut_down(call, list.items[i], call_switch(call, "Force")))
            power_put(call, list.items[i]);
    vm_list_free(&list);
}

static bool restart_one(struct call *call, struct vm *vm)
{
    if (strcmp(call_string(call, "Type", "Reset"), "Reboot"))
        return power_one(call, vm, &resetting, (enum vm_state)0);
    return shut_down(call, vm, true) && !call->request->what_if &&
           power_one(call, vm, &starting, VM_STATE_RUNNING);
}

static void restart_vm(struct call *call)
{
    struct vm_list list;
    call_vms(call, &list);
    for (size_t i = 0; i < list.count; i++) {
        const u64 since = vm_clock();
        if (!restart_one(call, list.items[i]))
            continue;
        if (call_switch(call, "Wait"))
            call_wait(call, list.items[i], since);
        else
            power_put(call, list.items[i]);
    }
    vm_list_free(&list);
}

const struct handler object_vm_power[] = {
    {"Start-VM", start_vm},   {"Stop-VM", stop_vm},     {"Restart-VM", restart_vm}, {"Suspend-VM", suspend_vm},
    {"Resume-VM", resume_vm}, {"Save-VM", save_vm},     {0},
};
