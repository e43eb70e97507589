// See object.h.
#include "service/object/object.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmdlet/class.h"
#include "service/supervise.h"
#include "service/vm_room.h"

// One line a noun, in the order of the cmdlet table.
extern const struct handler object_vm[], object_vm_power[], object_firmware[], object_host[], object_processor[],
    object_memory[], object_security[], object_vhd[], object_drive[], object_port[], object_adapter[],
    object_capture[], object_port_rule[], object_switch[], object_nat[], object_nat_session[],
    object_ip[], object_version[], object_nested[], object_vm_work[], object_transfer[],
    object_console[];

const struct handler *const object_handlers[] = {
    object_vm,
    object_vm_power,
    object_vm_work,
    object_transfer,
    object_firmware,
    object_host,
    object_processor,
    object_memory,
    object_security,
    object_vhd,
    object_drive,
    object_port,
    object_adapter,
    object_capture,
    object_port_rule,
    object_switch,
    object_nat,
    object_nat_session,
    object_ip,
    object_version,
    object_nested,
    object_console,
    NULL,
};

enum { COMMAND_MS = 10000 };

static const struct handler *handler_find(const char *cmdlet)
{
    for (size_t i = 0; object_handlers[i]; i++)
        for (const struct handler *handler = object_handlers[i]; handler->cmdlet; handler++)
            if (!value_name_compare(handler->cmdlet, cmdlet))
                return handler;
    return NULL;
}

bool object_knows(const char *cmdlet) { return handler_find(cmdlet); }

void object_run(struct call *call)
{
    const struct handler *handler = handler_find(call->request->cmdlet->name);
    if (handler)
        handler->run(call);
    else
        call_error(call, CATEGORY_NOT_IMPLEMENTED, "NotImplemented", NULL, "nidus does not have the cmdlet %s.",
                   call->request->cmdlet->name);
}

// --- Parameters ------------------------------------------------------------------------------------------------------
struct value *call_value(const struct call *call, const char *name)
{
    return value_get(call->request->parameters, name);
}

bool call_has(const struct call *call, const char *name) { return call_value(call, name); }

bool call_switch(const struct call *call, const char *name) { return value_as_bool(call_value(call, name), false); }

s64 call_int(const struct call *call, const char *name, s64 fallback)
{
    return value_as_int(call_value(call, name), fallback);
}

const char *call_string(const struct call *call, const char *name, const char *fallback)
{
    const char *item = call_item(call, name, 0);
    return item ? item : fallback;
}

size_t call_count(const struct call *call, const char *name)
{
    const struct value *value = call_value(call, name);
    return !value ? 0 : value->kind == VALUE_ARRAY ? value_count(value) : 1;
}

// Of a list, or the one there is.
static struct value *call_entry(const struct call *call, const char *name, size_t index)
{
    struct value *value = call_value(call, name);
    if (value && value->kind != VALUE_ARRAY)
        return index ? NULL : value;
    return value ? value_item(value, index) : NULL;
}

const char *call_item(const struct call *call, const char *name, size_t index)
{
    return value_as_string(call_entry(call, name, index), NULL);
}

bool call_take_int(const struct call *call, const char *name, s64 *member)
{
    if (!call_has(call, name))
        return false;
    *member = call_int(call, name, *member);
    return true;
}

bool call_take_bool(const struct call *call, const char *name, bool *member)
{
    if (!call_has(call, name))
        return false;
    *member = value_as_bool(call_value(call, name), *member);
    return true;
}

bool call_take_text(const struct call *call, const char *name, char **member)
{
    if (!call_has(call, name))
        return false;
    const char *text = call_string(call, name, NULL);
    record_text_set(member, text && text[0] ? text : NULL);
    return true;
}

// --- Which VMs -------------------------------------------------------------------------------------------------------
static void vm_list_add(struct vm_list *list, struct vm *vm) // takes the reference over
{
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i] == vm) {
            vm_unref(vm);
            return;
        }
    list->items = value_reallocate(list->items, (list->count + 1) * sizeof *list->items);
    list->items[list->count++] = vm;
}

void vm_list_free(struct vm_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        vm_unref(list->items[i]);
    free(list->items);
    *list = (struct vm_list){0};
}

static void vm_list_add_id(struct call *call, struct vm_list *list, const char *id, const char *name)
{
    struct vm *vm = service_vm_by_id(call->service, id);
    if (vm)
        vm_list_add(list, vm);
    else if (name)
        call_error(call, CATEGORY_OBJECT_NOT_FOUND, "InvalidParameter", name,
                   "Hyper-V was unable to find a virtual machine with name \"%s\".", name);
    else
        call_error(call, CATEGORY_OBJECT_NOT_FOUND, "InvalidParameter", id,
                   "Hyper-V was unable to find a virtual machine with ID \"%s\".", id);
}

static void vm_list_add_like(struct call *call, struct vm_list *list, const char *pattern)
{
    struct vm **vms;
    const size_t count = service_vms(call->service, &vms);
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        pthread_mutex_lock(&vms[i]->data);
        const bool like = value_name_like(vms[i]->record.name, pattern);
        pthread_mutex_unlock(&vms[i]->data);
        found |= like;
        if (like)
            vm_list_add(list, vms[i]);
        else
            vm_unref(vms[i]);
    }
    free(vms);
    if (!found && !value_has_wildcard(pattern)) // a pattern that matches nothing is no error, as in PowerShell
        call_error(call, CATEGORY_OBJECT_NOT_FOUND, "InvalidParameter", pattern,
                   "Hyper-V was unable to find a virtual machine with name \"%s\".", pattern);
}

static void vm_list_add_all(struct call *call, struct vm_list *list)
{
    struct vm **vms;
    const size_t count = service_vms(call->service, &vms);
    for (size_t i = 0; i < count; i++)
        vm_list_add(list, vms[i]);
    free(vms);
}

static void vm_list_add_names(struct call *call, struct vm_list *list, const char *parameter)
{
    for (size_t i = 0; i < call_count(call, parameter); i++)
        if (call_item(call, parameter, i))
            vm_list_add_like(call, list, call_item(call, parameter, i));
}

// An object through the pipeline or a variable: the VM's own, or a part's.
static void vm_list_add_object(struct call *call, struct vm_list *list, const struct value *object)
{
    const bool whole = value_is_a(object, "VirtualMachine");
    const char *id = value_as_string(value_get(object, whole ? "Id" : "VMId"), NULL);
    if (id)
        vm_list_add_id(call, list, id, value_as_string(value_get(object, whole ? "Name" : "VMName"), NULL));
}

static void call_vms_named(struct call *call, struct vm_list *list, const char *own_name)
{
    const struct value *parameters = call->request->parameters;
    bool selected = false;
    *list = (struct vm_list){0};
    static const char *const ids[] = {"Id", "VMId"};
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
        for (size_t j = 0; j < call_count(call, ids[i]); j++)
            if (call_item(call, ids[i], j)) {
                vm_list_add_id(call, list, call_item(call, ids[i], j), NULL);
                selected = true;
            }
    const char *const names[] = {"VMName", own_name};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (names[i] && call_has(call, names[i])) {
            vm_list_add_names(call, list, names[i]);
            selected = true;
        }
    for (const struct parameter *parameter = call->request->cmdlet->parameters; parameter && parameter->name;
         parameter++) {
        if (parameter->type != PARAMETER_OBJECT || !value_get(parameters, parameter->name))
            continue;
        for (size_t i = 0; i < call_count(call, parameter->name); i++)
            vm_list_add_object(call, list, call_entry(call, parameter->name, i));
        selected = true;
    }
    if (!selected)
        vm_list_add_all(call, list);
}

void call_vms(struct call *call, struct vm_list *list) { call_vms_named(call, list, "Name"); }
void call_vms_of_parts(struct call *call, struct vm_list *list) { call_vms_named(call, list, NULL); }

// --- Errors ----------------------------------------------------------------------------------------------------------
static void call_tell(struct call *call, enum error_category category, const char *id, const char *exception,
                      const char *target, const char *message)
{
    call->errors++;
    call->reply->error(call->reply->context,
                       &(struct cmdlet_error){.category = category, .id = id, .exception = exception, .target = target,
                                              .message = message});
}

__attribute__((format(printf, 1, 0))) static char *text_of(const char *format, va_list arguments)
{
    char *text = NULL;
    if (vasprintf(&text, format, arguments) < 0)
        text = value_text_copy(format);
    return text;
}

// Hyper-V's module throws its own exceptions; the network modules are CIM's.
static const char *call_exception(const struct call *call)
{
    return strcmp(call->request->cmdlet->module, "Hyper-V") ? "CimException" : "VirtualizationException";
}

void call_error(struct call *call, enum error_category category, const char *id, const char *target, const char *format,
                ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *message = text_of(format, arguments);
    va_end(arguments);
    call_tell(call, category, id, call_exception(call), target, message);
    free(message);
}

void call_refuse(struct call *call, const struct vm_record *record, const char *device, enum refusal why,
                 const char *format, ...)
{
    static const struct {
        enum error_category category;
        const char *id, *line;
    } refusals[] = {
        [REFUSE_UNSUPPORTED] = {CATEGORY_INVALID_OPERATION, "NotSupported", "Cannot modify property.\n"},
        [REFUSE_STATE] = {CATEGORY_INVALID_OPERATION, "InvalidState", ""},
        [REFUSE_VALUE] = {CATEGORY_INVALID_ARGUMENT, "InvalidParameter", ""},
    };
    va_list arguments;
    va_start(arguments, format);
    char *reason = text_of(format, arguments);
    va_end(arguments);
    char *message =
        device ? value_text("Failed to modify device '%s'.\n%s'%s' failed to modify device '%s'. "
                            "(Virtual machine ID %s)\n%s", device, refusals[why].line, record->name, device,
                            record->id, reason)
               : value_text("Failed to modify settings.\n%s'%s' failed to modify settings. (Virtual machine ID %s)\n%s",
                            refusals[why].line, record->name, record->id, reason);
    call_tell(call, refusals[why].category, refusals[why].id, "VirtualizationException", NULL, message);
    free(message);
    free(reason);
}

void call_failed(struct call *call, const struct vm_record *record, const char *verb, enum error_category category,
                 const char *id, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *reason = text_of(format, arguments);
    va_end(arguments);
    char *message = value_text("'%s' failed to %s. (Virtual machine ID %s)\n%s", record->name, verb, record->id,
                               reason);
    call_tell(call, category, id, "VirtualizationException", NULL, message);
    free(message);
    free(reason);
}

void call_wrong_state(struct call *call, const struct vm_view *view, const char *verb)
{
    const char *way = vm_state_is_off(view->state)       ? "Start it first: Start-VM."
                      : view->state == VM_STATE_SAVED    ? "Start it, or discard its saved state: Stop-VM -TurnOff."
                      : view->state == VM_STATE_PAUSED   ? "Resume it (Resume-VM), or turn it off (Stop-VM -TurnOff)."
                      : view->state == VM_STATE_RUNNING  ? "Turn it off first: Stop-VM."
                                                        : "Wait until it has arrived, or turn it off (Stop-VM -TurnOff).";
    call_failed(call, &view->record, verb, CATEGORY_INVALID_OPERATION, "InvalidState",
                "The operation cannot be performed while the virtual machine is in its current state (%s). %s",
                vm_state_name(view->state), way);
}

void call_warning(struct call *call, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = text_of(format, arguments);
    va_end(arguments);
    call->reply->warning(call->reply->context, text);
    free(text);
}

void call_say(struct call *call, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = text_of(format, arguments);
    va_end(arguments);
    if (call->reply->host)
        call->reply->host(call->reply->context, text);
    free(text);
}

void call_verbose(struct call *call, const char *format, ...)
{
    if (!call->request->verbose)
        return;
    va_list arguments;
    va_start(arguments, format);
    char *text = text_of(format, arguments);
    va_end(arguments);
    call->reply->verbose(call->reply->context, text);
    free(text);
}

void call_progress(struct call *call, const char *activity, const char *status, int percent)
{
    call->reply->progress(call->reply->context, activity, status, percent);
}

bool call_should(struct call *call, const char *operation, const char *target)
{
    char *text = value_text("Performing the operation \"%s\" on target \"%s\".", operation, target);
    if (call->request->what_if)
        call->reply->what_if(call->reply->context, text);
    else if (call->request->verbose)
        call->reply->verbose(call->reply->context, text);
    free(text);
    return !call->request->what_if;
}

// --- Output ----------------------------------------------------------------------------------------------------------
void call_put(struct call *call, struct value *object)
{
    call->reply->output(call->reply->context, object);
    value_unref(object);
}

struct value *object_text(const char *text) { return value_string(text ? text : ""); }

struct value *call_part(struct call *call, const char *type, const struct vm_record *record, const char *id)
{
    static const char zeros[] = "00000000-0000-0000-0000-000000000000";
    const struct {
        const char *name, *text;
    } texts[] = {
        {"Id", id}, {"VMId", record->id}, {"VMName", record->name}, {"VMSnapshotId", zeros}, {"VMSnapshotName", ""},
        {"VMCheckpointId", zeros}, {"VMCheckpointName", ""}, {"ComputerName", service_host_name(call->service)},
        {"CimSession", "CimSession: ."},
    };
    const struct class *class = class_find(type);
    struct value *object = value_object(type);
    // Every property has its place from the start, in the class's order; the caller fills in the others.
    for (const struct property *property = class ? class->properties : NULL; property && property->name; property++) {
        struct value *value = NULL;
        for (size_t i = 0; i < ARRAY_SIZE(texts) && !value; i++)
            if (!value_name_compare(texts[i].name, property->name))
                value = object_text(texts[i].text);
        if (!value_name_compare(property->name, "IsDeleted"))
            value = value_bool(false);
        value_put(object, property->name, value ? value : value_null());
    }
    return object;
}

// --- Changes ---------------------------------------------------------------------------------------------------------
struct vm_record *call_change(struct call *call, struct vm *vm, const char *operation)
{
    struct vm_record *draft = vm_change_begin(vm);
    if (!draft) {
        call_error(call, CATEGORY_OBJECT_NOT_FOUND, "InvalidParameter", vm_id(vm),
                   "The virtual machine with ID \"%s\" was removed meanwhile.", vm_id(vm));
        return NULL;
    }
    if (call_should(call, operation, draft->name))
        return draft;
    vm_change_cancel(vm, draft);
    return NULL;
}

bool call_commit(struct call *call, struct vm *vm, struct vm_record *draft)
{
    struct error error;
    if (vm_change_store(vm, draft, &error) == 0) {
        vm_change_cancel(vm, draft);
        return true;
    }
    call_failed(call, draft, "modify settings", CATEGORY_WRITE_ERROR, "OperationFailed", "%s.", error.text);
    vm_change_cancel(vm, draft);
    return false;
}

void call_cancel(struct call *call, struct vm *vm, struct vm_record *draft)
{
    (void)call;
    vm_change_cancel(vm, draft);
}

struct json_t *object_command(struct vm *vm, const char *command, const struct json_t *arguments, struct error *error)
{
    struct peer *worker = vm_worker(vm);
    struct json_t *result = worker ? peer_command(worker, command, arguments, COMMAND_MS, error) : NULL;
    if (!worker)
        error_set(error, "it does not run");
    peer_unref(worker);
    return result;
}
