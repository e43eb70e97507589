// Waiting for virtual machines, measuring them, throwing their saved state away; the host's NUMA nodes.
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "service/nesting.h"
#include "service/object/object.h"
#include "service/power.h"
#include "service/vm_room.h"
#include "service/switchboard.h"
#include "service/vhd.h"

// --- Remove-VMSavedState ---------------------------------------------------------------------------------------------
static void discard_one(struct call *call, struct vm *vm)
{
    struct error error;
    struct vm_record *draft = call_change(call, vm, "Remove-VMSavedState");
    if (!draft)
        return;
    if (!vm_state_allows(vm_state(vm), VM_ACTION_DISCARD))
        call_failed(call, draft, "remove its saved state", CATEGORY_INVALID_OPERATION, "InvalidState",
                    "It has none: it is %s.", vm_state_name(vm_state(vm)));
    else if (power_turn_off(vm, draft, &error) < 0)
        call_failed(call, draft, "remove its saved state", CATEGORY_WRITE_ERROR, "OperationFailed", "%s.", error.text);
    call_cancel(call, vm, draft);
}

static void discard(struct call *call)
{
    struct vm_list list;
    call_vms(call, &list);
    for (size_t i = 0; i < list.count; i++)
        discard_one(call, list.items[i]);
    vm_list_free(&list);
}

// --- Wait-VM ---------------------------------------------------------------------------------------------------------
// `since`: what was before that does not count; 0: all does.
static bool wait_is_over(const struct vm_view *view, const char *what, s64 uptime, u64 since)
{
    const bool anew = !since || view->status.uptime_ns <= vm_clock() - since;
    const bool running = view->state == VM_STATE_RUNNING && view->has_status && anew;
    struct error reason;
    if (!strcasecmp(what, "Off"))
        return vm_state_is_off(view->state);
    if (!strcasecmp(what, "IPAddress"))
        return running && *view->status.addresses;
    if (!strcasecmp(what, "MemoryOperations"))
        return running && !nesting_fixes_memory(view, &reason);
    if (!strcasecmp(what, "Reboot"))
        return running && (s64)view->status.uptime_ns < uptime;
    return running && view->status.heartbeat == CONTROL_HEARTBEAT_OK;
}

static s64 wait_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void call_wait(struct call *call, struct vm *vm, u64 since)
{
    const char *what = call_string(call, "For", "Heartbeat");
    const s64 deadline = wait_now() + 1000 * call_int(call, "Timeout", INT32_MAX);
    const struct timespec delay = {.tv_nsec = call_has(call, "Delay") ? 0 : 200 * 1000 * 1000,
                                   .tv_sec = call_int(call, "Delay", 0)};
    struct vm_view view;
    vm_look(vm, &view);
    s64 uptime = view.has_status ? (s64)view.status.uptime_ns : 0;
    while (!wait_is_over(&view, what, uptime, since) && !view.deleted && wait_now() < deadline &&
           !(call->gone && call->gone(call->gone_context))) {
        uptime = view.has_status && (s64)view.status.uptime_ns > uptime ? (s64)view.status.uptime_ns : uptime;
        vm_view_free(&view);
        nanosleep(&delay, NULL);
        vm_look(vm, &view);
    }
    if (!wait_is_over(&view, what, uptime, since))
        call_failed(call, &view.record, "get there in time", CATEGORY_OPERATION_TIMEOUT, "OperationTimeout",
                    "It was waited for -For %s; the virtual machine is %s.", what, vm_state_name(view.state));
    else if (call_switch(call, "Passthru"))
        call_put(call, object_of_vm(call->service, &view));
    vm_view_free(&view);
}

static void wait_vm(struct call *call)
{
    struct vm_list list;
    call_vms(call, &list);
    for (size_t i = 0; i < list.count; i++)
        call_wait(call, list.items[i], 0);
    vm_list_free(&list);
}

// --- Measure-VM ------------------------------------------------------------------------------------------------------
static u64 disk_allocation(const struct vm_record *record)
{
    u64 bytes = 0;
    for (size_t i = 0; i < record->drive_count; i++) {
        struct vhd_info info;
        if (!record->drives[i].dvd && record->drives[i].path && vhd_read(&info, record->drives[i].path, NULL) == 0)
            bytes += info.file_bytes;
    }
    return bytes;
}

static void measure_network(struct call *call, const struct vm_record *record, struct value *object)
{
    u64 in = 0, out = 0;
    for (size_t i = 0; i < record->adapter_count; i++) {
        struct control_counters counters;
        if (!switchboard_counters(service_switchboard(call->service), record->adapters[i].id, &counters))
            continue;
        in += counters.bytes_received;
        out += counters.bytes_sent;
    }
    value_put(object, "NetworkInbound", value_int((s64)(in >> 20)));
    value_put(object, "NetworkOutbound", value_int((s64)(out >> 20)));
}

static void measure_one(struct call *call, struct vm *vm)
{
    struct vm_view view;
    vm_look(vm, &view);
    const struct vm_record *record = &view.record;
    const u64 uptime = view.has_status ? view.status.uptime_ns : 0, used = view.has_status ? view.status.cpu_ns : 0;
    const u64 assigned = view.has_status ? view.status.memory_assigned : 0;
    const u64 most = (u64)(record->memory_dynamic ? record->memory_maximum : record->memory_startup);
    struct value *object = value_object("VMMeteringReport");
    value_put(object, "VMId", value_string(record->id));
    value_put(object, "VMName", value_string(record->name));
    value_put(object, "ComputerName", value_string(service_host_name(call->service)));
    value_put(object, "MeteringDuration", value_timespan((s64)(uptime / 100)));
    value_put(object, "AverageProcessorUsage",
              value_int(uptime ? (s64)(used * 100 / uptime / (u64)record->processor_count) : 0));
    value_put(object, "ProcessorTime", value_timespan((s64)(used / 100)));
    value_put(object, "AverageMemoryUsage", value_int((s64)(assigned >> 20)));
    value_put(object, "MaximumMemoryUsage", value_int((s64)(most >> 20)));
    value_put(object, "TotalDiskAllocation", value_int((s64)(disk_allocation(record) >> 20)));
    measure_network(call, record, object);
    call_put(call, object);
    vm_view_free(&view);
}

static void measure(struct call *call)
{
    struct vm_list list;
    call_vms(call, &list);
    for (size_t i = 0; i < list.count; i++)
        measure_one(call, list.items[i]);
    vm_list_free(&list);
}

// --- Get-VMHostNumaNode ----------------------------------------------------------------------------------------------
// The rest of the line of a node's file behind `word`, "" for the first line; "" if there is none.
static void node_line(unsigned node, const char *file, const char *word, char *rest, size_t bytes)
{
    char path[96], line[256];
    *rest = 0;
    snprintf(path, sizeof path, "/sys/devices/system/node/node%u/%s", node, file);
    FILE *from = fopen(path, "re");
    while (from && !*rest && fgets(line, sizeof line, from)) {
        const char *at = strstr(line, word);
        line[strcspn(line, "\n")] = 0;
        if (at)
            snprintf(rest, bytes, "%s", at + strlen(word));
    }
    if (from)
        fclose(from);
}

static s64 node_mebibytes(unsigned node, const char *word)
{
    char text[64];
    node_line(node, "meminfo", word, text, sizeof text);
    return strtoll(text, NULL, 10) >> 10;
}

static void node_put(struct call *call, unsigned node)
{
    char processors[256];
    node_line(node, "cpulist", "", processors, sizeof processors);
    struct value *object = value_object("VMHostNumaNode");
    value_put(object, "NodeId", value_int(node));
    value_put(object, "ProcessorsAvailability", value_string(processors));
    value_put(object, "MemoryAvailable", value_int(node_mebibytes(node, "MemFree:")));
    value_put(object, "MemoryTotal", value_int(node_mebibytes(node, "MemTotal:")));
    value_put(object, "ComputerName", value_string(service_host_name(call->service)));
    call_put(call, object);
}

static void nodes(struct call *call)
{
    const s64 wanted = call_int(call, "Id", -1);
    DIR *directory = opendir("/sys/devices/system/node");
    unsigned node, put = 0;
    for (struct dirent *entry; directory && (entry = readdir(directory));)
        if (sscanf(entry->d_name, "node%u", &node) == 1 && (wanted < 0 || wanted == node)) {
            node_put(call, node);
            put++;
        }
    if (directory)
        closedir(directory);
    else if (wanted <= 0) { // a kernel without NUMA: one node has all
        node_put(call, 0);
        put++;
    }
    if (!put)
        call_error(call, CATEGORY_OBJECT_NOT_FOUND, "ObjectNotFound", NULL, "The host has no NUMA node %lld.",
                   (long long)wanted);
}

const struct handler object_vm_work[] = {
    {"Remove-VMSavedState", discard},
    {"Wait-VM", wait_vm},
    {"Measure-VM", measure},
    {"Get-VMHostNumaNode", nodes},
    {0},
};
