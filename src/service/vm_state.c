// See vm_state.h.
#include "service/vm_state.h"

#include <stddef.h>

#include "cmdlet/value.h"

static const struct {
    enum vm_state state;
    const char *name;
    bool worker;
} states[] = {
    {VM_STATE_RUNNING, "Running", true},
    {VM_STATE_OFF, "Off", false},
    {VM_STATE_STOPPING, "Stopping", true},
    {VM_STATE_SAVED, "Saved", false},
    {VM_STATE_PAUSED, "Paused", true},
    {VM_STATE_STARTING, "Starting", true},
    {VM_STATE_RESET, "Reset", true},
    {VM_STATE_SAVING, "Saving", true},
    {VM_STATE_PAUSING, "Pausing", true},
    {VM_STATE_RESUMING, "Resuming", true},
    {VM_STATE_RUNNING_CRITICAL, "RunningCritical", true},
    {VM_STATE_OFF_CRITICAL, "OffCritical", false},
    {VM_STATE_SAVED_CRITICAL, "SavedCritical", false},
    {VM_STATE_PAUSED_CRITICAL, "PausedCritical", true},
};

// A row is one arrow: what may be asked in which state, what the VM is called meanwhile, and where it arrives. What is
// not here is refused.
static const struct transition {
    enum vm_state from;
    enum vm_action action;
    enum vm_state during, after;
} transitions[] = {
    {VM_STATE_OFF, VM_ACTION_START, VM_STATE_STARTING, VM_STATE_RUNNING},
    {VM_STATE_OFF_CRITICAL, VM_ACTION_START, VM_STATE_STARTING, VM_STATE_RUNNING},
    {VM_STATE_SAVED, VM_ACTION_START, VM_STATE_STARTING, VM_STATE_RUNNING},
    {VM_STATE_SAVED_CRITICAL, VM_ACTION_START, VM_STATE_STARTING, VM_STATE_RUNNING},

    {VM_STATE_RUNNING, VM_ACTION_TURN_OFF, VM_STATE_STOPPING, VM_STATE_OFF},
    {VM_STATE_PAUSED, VM_ACTION_TURN_OFF, VM_STATE_STOPPING, VM_STATE_OFF},
    {VM_STATE_RUNNING_CRITICAL, VM_ACTION_TURN_OFF, VM_STATE_STOPPING, VM_STATE_OFF},
    {VM_STATE_PAUSED_CRITICAL, VM_ACTION_TURN_OFF, VM_STATE_STOPPING, VM_STATE_OFF},
    {VM_STATE_STOPPING, VM_ACTION_TURN_OFF, VM_STATE_STOPPING, VM_STATE_OFF}, // it was asked, and is not waited for
    {VM_STATE_RUNNING, VM_ACTION_SHUT_DOWN, VM_STATE_STOPPING, VM_STATE_OFF},

    {VM_STATE_RUNNING, VM_ACTION_SAVE, VM_STATE_SAVING, VM_STATE_SAVED},
    {VM_STATE_PAUSED, VM_ACTION_SAVE, VM_STATE_SAVING, VM_STATE_SAVED},
    {VM_STATE_RUNNING, VM_ACTION_PAUSE, VM_STATE_PAUSING, VM_STATE_PAUSED},
    {VM_STATE_PAUSED, VM_ACTION_RESUME, VM_STATE_RESUMING, VM_STATE_RUNNING},
    {VM_STATE_RUNNING, VM_ACTION_RESET, VM_STATE_RESET, VM_STATE_RUNNING},
    {VM_STATE_PAUSED, VM_ACTION_RESET, VM_STATE_RESET, VM_STATE_RUNNING},

    {VM_STATE_SAVED, VM_ACTION_DISCARD, VM_STATE_STOPPING, VM_STATE_OFF},
    {VM_STATE_SAVED_CRITICAL, VM_ACTION_DISCARD, VM_STATE_STOPPING, VM_STATE_OFF},

    {VM_STATE_OFF, VM_ACTION_REMOVE, VM_STATE_OFF, VM_STATE_OFF},
    {VM_STATE_OFF_CRITICAL, VM_ACTION_REMOVE, VM_STATE_OFF_CRITICAL, VM_STATE_OFF},
    {VM_STATE_SAVED, VM_ACTION_REMOVE, VM_STATE_SAVED, VM_STATE_OFF},
    {VM_STATE_SAVED_CRITICAL, VM_ACTION_REMOVE, VM_STATE_SAVED_CRITICAL, VM_STATE_OFF},

    {VM_STATE_OFF, VM_ACTION_CONFIGURE, VM_STATE_OFF, VM_STATE_OFF},
    {VM_STATE_OFF_CRITICAL, VM_ACTION_CONFIGURE, VM_STATE_OFF_CRITICAL, VM_STATE_OFF_CRITICAL},
};

static const struct transition *transition_find(enum vm_state from, enum vm_action action)
{
    for (size_t i = 0; i < ARRAY_SIZE(transitions); i++)
        if (transitions[i].from == from && transitions[i].action == action)
            return &transitions[i];
    return NULL;
}

const char *vm_state_name(enum vm_state state)
{
    for (size_t i = 0; i < ARRAY_SIZE(states); i++)
        if (states[i].state == state)
            return states[i].name;
    return "Other";
}

bool vm_state_find(const char *name, enum vm_state *state)
{
    for (size_t i = 0; i < ARRAY_SIZE(states); i++)
        if (!value_name_compare(states[i].name, name)) {
            *state = states[i].state;
            return true;
        }
    return false;
}

bool vm_state_allows(enum vm_state state, enum vm_action action) { return transition_find(state, action); }

enum vm_state vm_state_during(enum vm_state state, enum vm_action action)
{
    const struct transition *transition = transition_find(state, action);
    return transition ? transition->during : state;
}

enum vm_state vm_state_after(enum vm_state state, enum vm_action action)
{
    const struct transition *transition = transition_find(state, action);
    return transition ? transition->after : state;
}

bool vm_state_has_worker(enum vm_state state)
{
    for (size_t i = 0; i < ARRAY_SIZE(states); i++)
        if (states[i].state == state)
            return states[i].worker;
    return false;
}

bool vm_state_is_off(enum vm_state state) { return state == VM_STATE_OFF || state == VM_STATE_OFF_CRITICAL; }
