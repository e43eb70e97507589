// Serial ports, and the services of the guest's agent.
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "service/object/object.h"

enum { PORT_COUNT = 2 };

static char **port_path(struct vm_record *record, unsigned number)
{
    return number == 1 ? &record->com1_path : &record->com2_path;
}

static bool *port_debugger(struct vm_record *record, unsigned number)
{
    return number == 1 ? &record->com1_debugger : &record->com2_debugger;
}

static struct value *port_object(struct call *call, struct vm_record *record, unsigned number)
{
    char id[16];
    snprintf(id, sizeof id, "COM%u", number);
    struct value *object = call_part(call, "VMComPort", record, id);
    value_put(object, "Path", object_text(*port_path(record, number)));
    value_put(object, "DebuggerMode", value_string(*port_debugger(record, number) ? "On" : "Off"));
    value_put(object, "Name", value_format("COM %u", number));
    value_put(object, "Number", value_int(number));
    return object;
}

static void port_get(struct call *call)
{
    const s64 wanted = call_int(call, "Number", 0);
    struct vm_list list;
    call_vms(call, &list);
    for (size_t i = 0; i < list.count; i++) {
        struct vm_view view;
        vm_look(list.items[i], &view);
        for (unsigned number = 1; number <= PORT_COUNT; number++)
            if (!wanted || wanted == number)
                call_put(call, port_object(call, &view.record, number));
        vm_view_free(&view);
    }
    vm_list_free(&list);
}

// By -Number, or by the number of a port object of this VM.
static bool port_is_meant(const struct call *call, const char *id, unsigned number)
{
    const struct value *objects = call_value(call, "VMComPort");
    if (!objects)
        return call_int(call, "Number", 0) == number;
    for (size_t i = 0; i < value_count(objects); i++) {
        const struct value *object = value_item(objects, i);
        if (value_as_int(value_get(object, "Number"), 0) == number &&
            !strcasecmp(value_as_string(value_get(object, "VMId"), ""), id))
            return true;
    }
    return false;
}

static void port_set_one(struct call *call, struct vm *vm)
{
    struct vm_record *draft = call_change(call, vm, "Set-VMComPort");
    if (!draft)
        return;
    const enum vm_state state = vm_state(vm);
    const char *path = call_string(call, "Path", NULL);
    if (!vm_state_is_off(state)) {
        call_refuse(call, draft, "Serial Port", REFUSE_STATE,
                    "Serial ports can be changed only while '%s' is off, and it is %s: turn it off (Stop-VM) first.",
                    draft->name, vm_state_name(state));
        call_cancel(call, vm, draft);
        return;
    }
    if (path && *path && *path != '/') {
        call_refuse(call, draft, "Serial Port", REFUSE_VALUE,
                    "'%s' is no Unix socket's path: it must begin with a slash. Windows pipes do not exist here.",
                    path);
        call_cancel(call, vm, draft);
        return;
    }
    for (unsigned number = 1; number <= PORT_COUNT; number++) {
        if (!port_is_meant(call, vm_id(vm), number))
            continue;
        if (call_has(call, "Path"))
            record_text_set(port_path(draft, number), path && *path ? path : NULL);
        if (call_has(call, "DebuggerMode"))
            *port_debugger(draft, number) = !strcasecmp(call_string(call, "DebuggerMode", ""), "On");
    }
    if (call_commit(call, vm, draft) && call_switch(call, "Passthru"))
        port_get(call);
}

static void port_set(struct call *call)
{
    struct vm_list list;
    call_vms(call, &list);
    for (size_t i = 0; i < list.count; i++)
        port_set_one(call, list.items[i]);
    vm_list_free(&list);
}

// --- Integration services --------------------------------------------------------------------------------------------

struct service_row {
    const char *name, *id;
    size_t enabled; // where in the record
};

static const struct service_row service_rows[] = {
    {"Heartbeat", "84eaae65-2f2e-45f5-9bb5-0e857dc8eb47", offsetof(struct vm_record, service_heartbeat)},
    {"Shutdown", "9f8233ac-be49-4c79-8ee3-e7e1985b2077", offsetof(struct vm_record, service_shutdown)},
};

static bool *service_enabled(struct vm_record *record, const struct service_row *row)
{
    return (bool *)((char *)record + row->enabled);
}

static const char *service_status(const struct vm_view *view)
{
    if (view->state != VM_STATE_RUNNING || !view->has_status)
        return "";
    switch (view->status.heartbeat) {
    case CONTROL_HEARTBEAT_OK:
        return "OK";
    case CONTROL_HEARTBEAT_LOST:
        return "Lost Communication";
    default:
        return "No Contact";
    }
}

static struct value *service_object(struct call *call, struct vm_view *view, const struct service_row *row)
{
    const bool enabled = *service_enabled(&view->record, row);
    const char *status = enabled ? service_status(view) : "";
    struct value *object = call_part(call, "VMIntegrationService", &view->record, row->id);
    value_put(object, "Name", value_string(row->name));
    value_put(object, "Enabled", value_bool(enabled));
    value_put(object, "PrimaryOperationalStatus", value_string(!strcmp(status, "OK") ? "Ok" : status));
    value_put(object, "PrimaryStatusDescription", value_string(status));
    value_put(object, "SecondaryOperationalStatus", value_string(""));
    value_put(object, "SecondaryStatusDescription", value_string(""));
    return object;
}

static bool service_is_meant(const struct call *call, const char *vm_id, const struct service_row *row)
{
    const struct value *objects = call_value(call, "VMIntegrationService");
    for (size_t i = 0; i < value_count(objects); i++) {
        const struct value *object = value_item(objects, i);
        if (!strcasecmp(value_as_string(value_get(object, "VMId"), ""), vm_id) &&
            !strcasecmp(value_as_string(value_get(object, "Name"), ""), row->name))
            return true;
    }
    if (objects)
        return false;
    const size_t names = call_count(call, "Name");
    for (size_t i = 0; i < names; i++)
        if (value_name_like(row->name, call_item(call, "Name", i)))
            return true;
    return !names;
}

static void service_put(struct call *call, struct vm *vm)
{
    struct vm_view view;
    vm_look(vm, &view);
    for (size_t i = 0; i < ARRAY_SIZE(service_rows); i++)
        if (service_is_meant(call, vm_id(vm), &service_rows[i]))
            call_put(call, service_object(call, &view, &service_rows[i]));
    vm_view_free(&view);
}

static void service_get(struct call *call)
{
    struct vm_list list;
    call_vms_of_parts(call, &list);
    for (size_t i = 0; i < list.count; i++)
        service_put(call, list.items[i]);
    vm_list_free(&list);
}

static void service_change(struct call *call, const char *operation, bool enable)
{
    struct vm_list list;
    call_vms_of_parts(call, &list);
    for (size_t i = 0; i < list.count; i++) {
        struct vm *vm = list.items[i];
        struct vm_record *draft = call_change(call, vm, operation);
        if (!draft)
            continue;
        bool any = false;
        for (size_t j = 0; j < ARRAY_SIZE(service_rows); j++) {
            if (!service_is_meant(call, vm_id(vm), &service_rows[j]))
                continue;
            *service_enabled(draft, &service_rows[j]) = enable;
            any = true;
        }
        if (!any) {
            call_refuse(call, draft, "Integration Service", REFUSE_VALUE,
                        "There is no integration service '%s'; there are Heartbeat and Shutdown.",
                        call_string(call, "Name", ""));
            call_cancel(call, vm, draft);
        } else if (call_commit(call, vm, draft) && call_switch(call, "Passthru")) {
            service_put(call, vm);
        }
    }
    vm_list_free(&list);
}

static void service_enable(struct call *call)
{
    service_change(call, "Enable-VMIntegrationService", true);
}
static void service_disable(struct call *call)
{
    service_change(call, "Disable-VMIntegrationService", false);
}

const struct handler object_port[] = {
    {"Get-VMComPort", port_get},
    {"Set-VMComPort", port_set},
    {"Get-VMIntegrationService", service_get},
    {"Enable-VMIntegrationService", service_enable},
    {"Disable-VMIntegrationService", service_disable},
    {0},
};
