// Get-VMMemory and Set-VMMemory. What can be changed while a VM runs is the worker's to do; what must not be, because a
// hypervisor runs in it, is nesting.c's to say.
#include <jansson.h>
#include <strings.h>

#include "service/nesting.h"
#include "service/object/object.h"

#define MEMORY_ID "4764334d-e001-4176-82ee-5594ec9b530e"

enum { MEMORY_UNIT = 2 << 20 /* bytes: Hyper-V's, and the size of a large page */ };

static struct value *memory_object(struct call *call, const struct vm_record *record)
{
    struct value *object = call_part(call, "VMMemory", record, MEMORY_ID);
    value_put(object, "ResourcePoolName", value_string("Primordial"));
    value_put(object, "Buffer", value_int(record->memory_buffer));
    value_put(object, "DynamicMemoryEnabled", value_bool(record->memory_dynamic));
    value_put(object, "Maximum", value_int(record->memory_maximum));
    value_put(object, "MaximumPerNumaNode",
              value_int((record->memory_per_numa_node ? record->memory_per_numa_node : record->memory_maximum) >> 20));
    value_put(object, "Minimum", value_int(record->memory_minimum));
    value_put(object, "Priority", value_int(record->memory_priority));
    value_put(object, "Startup", value_int(record->memory_startup));
    value_put(object, "Name", value_string("Memory"));
    return object;
}

static void memory_put(struct call *call, struct vm *vm)
{
    struct vm_view view;
    vm_look(vm, &view);
    call_put(call, memory_object(call, &view.record));
    vm_view_free(&view);
}

static void memory_get(struct call *call)
{
    struct vm_list list;
    call_vms(call, &list);
    for (size_t i = 0; i < list.count; i++)
        memory_put(call, list.items[i]);
    vm_list_free(&list);
}

static bool memory_resizes(const struct call *call)
{
    return call_has(call, "StartupBytes") || call_has(call, "MinimumBytes") || call_has(call, "MaximumBytes") ||
           call_has(call, "Buffer");
}

static bool refuse_unit(struct call *call, const struct vm_record *draft)
{
    static const char *const names[] = {"StartupBytes", "MinimumBytes", "MaximumBytes",
                                        "MaximumAmountPerNumaNodeBytes"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (call_int(call, names[i], 0) % MEMORY_UNIT) {
            call_refuse(call, draft, "Memory", REFUSE_VALUE, "-%s %lld is no multiple of 2 MB.", names[i],
                        (long long)call_int(call, names[i], 0));
            return true;
        }
    if (strcasecmp(call_string(call, "ResourcePoolName", "Primordial"), "Primordial")) {
        call_refuse(call, draft, "Memory", REFUSE_VALUE,
                    "There is no resource pool '%s'; there is one, named Primordial.",
                    call_string(call, "ResourcePoolName", ""));
        return true;
    }
    return false;
}

// While a VM is not off: what may be changed at all, and what a hypervisor in it forbids.
static bool refuse_state(struct call *call, const struct vm_view *view, const struct vm_record *draft)
{
    struct error reason;
    if (vm_state_is_off(view->state))
        return false;
    if (memory_resizes(call) && nesting_fixes_memory(view, &reason)) {
        call_refuse(call, draft, "Memory", REFUSE_STATE, "%s", reason.text);
        return true;
    }
    const bool fixed = call_has(call, "DynamicMemoryEnabled") || call_has(call, "MaximumAmountPerNumaNodeBytes") ||
                       (view->state != VM_STATE_RUNNING && memory_resizes(call)) ||
                       (draft->memory_dynamic && call_has(call, "StartupBytes"));
    if (!fixed)
        return false;
    call_refuse(call, draft, "Memory", REFUSE_STATE,
                "This can be changed only while '%s' is off, and it is %s: turn it off (Stop-VM) first.", draft->name,
                vm_state_name(view->state));
    return true;
}

static void memory_take(struct call *call, struct vm_record *draft)
{
    call_take_bool(call, "DynamicMemoryEnabled", &draft->memory_dynamic);
    call_take_int(call, "StartupBytes", &draft->memory_startup);
    call_take_int(call, "MinimumBytes", &draft->memory_minimum);
    call_take_int(call, "MaximumBytes", &draft->memory_maximum);
    call_take_int(call, "Buffer", &draft->memory_buffer);
    call_take_int(call, "Priority", &draft->memory_priority);
    call_take_int(call, "MaximumAmountPerNumaNodeBytes", &draft->memory_per_numa_node);
}

static bool refuse_order(struct call *call, const struct vm_record *draft)
{
    if (!draft->memory_dynamic ||
        (draft->memory_minimum <= draft->memory_startup && draft->memory_startup <= draft->memory_maximum))
        return false;
    call_refuse(
        call, draft, "Memory", REFUSE_VALUE,
        "With dynamic memory, minimum (%lld MB), startup (%lld MB) and maximum (%lld MB) must be in rising order.",
        (long long)(draft->memory_minimum >> 20), (long long)(draft->memory_startup >> 20),
        (long long)(draft->memory_maximum >> 20));
    return true;
}

// The running VM first: what it cannot take is not kept either.
static bool memory_apply(struct call *call, struct vm *vm, const struct vm_view *view, const struct vm_record *draft)
{
    if (view->state != VM_STATE_RUNNING || !memory_resizes(call))
        return true;
    struct error error;
    json_t *arguments = json_pack("{s:I, s:I, s:I, s:b, s:I}", "startup", (json_int_t)draft->memory_startup, "minimum",
                                  (json_int_t)draft->memory_minimum, "maximum", (json_int_t)draft->memory_maximum,
                                  "dynamic", draft->memory_dynamic, "buffer", (json_int_t)draft->memory_buffer);
    json_t *answer = object_command(vm, "memory", arguments, &error);
    json_decref(arguments);
    if (!answer) {
        call_refuse(call, draft, "Memory", REFUSE_STATE, "%s", error.text);
        return false;
    }
    json_decref(answer);
    return true;
}

static void memory_set_one(struct call *call, struct vm *vm)
{
    struct vm_view view;
    struct vm_record *draft = call_change(call, vm, "Set-VMMemory");
    if (!draft)
        return;
    vm_look(vm, &view);
    bool refused = refuse_unit(call, draft) || refuse_state(call, &view, draft);
    if (!refused) {
        memory_take(call, draft);
        refused = refuse_order(call, draft) || !memory_apply(call, vm, &view, draft);
    }
    vm_view_free(&view);
    if (refused)
        call_cancel(call, vm, draft);
    else if (call_commit(call, vm, draft) && call_switch(call, "Passthru"))
        memory_put(call, vm);
}

static void memory_set(struct call *call)
{
    struct vm_list list;
    call_vms(call, &list);
    for (size_t i = 0; i < list.count; i++)
        memory_set_one(call, list.items[i]);
    vm_list_free(&list);
}

const struct handler object_memory[] = {
    {"Get-VMMemory", memory_get},
    {"Set-VMMemory", memory_set},
    {0},
};
