// Get-VMProcessor and Set-VMProcessor.
#include <string.h>
#include <strings.h>

#include "service/nesting.h"
#include "service/object/object.h"

#define PROCESSOR_ID "b637f346-6a0e-4dec-af52-bd70cb80a21d"

// As nobody asked for 0 of them: what NUMA limits mean that were never set.
static s64 numa_limit(s64 limit, s64 all)
{
    return limit ? limit : all;
}

static void put_hidden(struct value *object)
{
    static const char *const absent[] = {"EnablePerfmonPmu", "EnablePerfmonLbr",     "EnablePerfmonPebs",
                                         "EnablePerfmonIpt", "EnableLegacyApicMode", "AllowACountMCount"};
    for (size_t i = 0; i < ARRAY_SIZE(absent); i++)
        value_put(object, absent[i], value_bool(false));
}

static struct value *processor_object(struct call *call, const struct vm_view *view)
{
    const struct vm_record *record = &view->record;
    struct value *object = value_object("VMProcessor");
    value_put(object, "ResourcePoolName", value_string("Primordial"));
    value_put(object, "Count", value_int(record->processor_count));
    value_put(object, "CompatibilityForMigrationEnabled", value_bool(record->compatibility_for_migration));
    value_put(object, "CompatibilityForMigrationMode", value_string("MinimumFeatureSet"));
    value_put(object, "CompatibilityForOlderOperatingSystemsEnabled",
              value_bool(record->compatibility_for_older_systems));
    value_put(object, "HwThreadCountPerCore", value_int(record->hw_thread_count_per_core));
    value_put(object, "ExposeVirtualizationExtensions", value_bool(record->expose_virtualization_extensions));
    put_hidden(object);
    value_put(object, "ApicMode", value_string("Default"));
    value_put(object, "CpuBrandString", value_string(""));
    value_put(object, "PerfCpuFreqCapMhz", value_int(0));
    value_put(object, "Maximum", value_int(record->processor_maximum));
    value_put(object, "Reserve", value_int(record->processor_reserve));
    value_put(object, "RelativeWeight", value_int(record->processor_weight));
    value_put(object, "MaximumCountPerNumaNode",
              value_int(numa_limit(record->maximum_count_per_numa_node, record->processor_count)));
    value_put(object, "MaximumCountPerNumaSocket", value_int(numa_limit(record->maximum_count_per_numa_socket, 1)));
    value_put(object, "EnableHostResourceProtection", value_bool(record->host_resource_protection));
    value_put(object, "Vendor", value_string(record->vendor));
    value_put(object, "Engine", value_string(record->engine));
    value_put(object, "RunningEngine", object_text(view->has_status ? view->status.engine : NULL));
    const enum nesting_extension running = nesting_running(view);
    value_put(object, "HypervisorRunning", value_bool(running != NESTING_NONE));
    value_put(object, "VirtualizationExtension", value_string(nesting_extension_name(running)));
    value_put(object, "NestedGuestsLaunched", value_int(nesting_launched(view)));
    struct value *part = call_part(call, "VMProcessor", record, PROCESSOR_ID);
    static const char *const tail[] = {
        "OperationalStatus", "StatusDescription", "Name",       "Id",           "VMId",      "VMName",
        "VMSnapshotId",      "VMSnapshotName",    "CimSession", "ComputerName", "IsDeleted", "VMCheckpointId",
        "VMCheckpointName"};
    value_put(part, "Name", value_string("Processor"));
    value_put(part, "OperationalStatus", value_array());
    value_put(part, "StatusDescription", value_array());
    value_add(value_get(part, "OperationalStatus"), value_string("Ok"));
    value_add(value_get(part, "StatusDescription"), value_string("OK"));
    for (size_t i = 0; i < ARRAY_SIZE(tail); i++) {
        struct value *item = value_get(part, tail[i]);
        value_put(object, tail[i], item ? value_ref(item) : value_string(""));
    }
    value_unref(part);
    return object;
}

static void processor_put(struct call *call, struct vm *vm)
{
    struct vm_view view;
    vm_look(vm, &view);
    call_put(call, processor_object(call, &view));
    vm_view_free(&view);
}

static void processor_get(struct call *call)
{
    struct vm_list list;
    call_vms(call, &list);
    for (size_t i = 0; i < list.count; i++)
        processor_put(call, list.items[i]);
    vm_list_free(&list);
}

// Settings that a VM may have changed while it runs: shares of the host, which the next time slice takes up.
static bool changes_more_than_shares(const struct call *call)
{
    static const char *const fixed[] = {"Count",
                                        "ExposeVirtualizationExtensions",
                                        "Vendor",
                                        "Engine",
                                        "CompatibilityForMigrationEnabled",
                                        "CompatibilityForOlderOperatingSystemsEnabled",
                                        "HwThreadCountPerCore",
                                        "MaximumCountPerNumaNode",
                                        "MaximumCountPerNumaSocket",
                                        "EnableHostResourceProtection"};
    for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
        if (call_has(call, fixed[i]))
            return true;
    return false;
}

static bool refuse_absent(struct call *call, const struct vm_record *draft)
{
    const char *pool = call_string(call, "ResourcePoolName", "Primordial");
    if (strcasecmp(pool, "Primordial")) {
        call_refuse(call, draft, "Processor", REFUSE_VALUE,
                    "There is no resource pool '%s'; there is one, named Primordial.", pool);
        return true;
    }
    if (call_count(call, "Perfmon")) {
        call_refuse(call, draft, "Processor", REFUSE_UNSUPPORTED,
                    "The virtual processors have no performance-monitoring features to expose.");
        return true;
    }
    return false;
}

static bool refuse_state(struct call *call, const struct vm_view *view, const struct vm_record *draft)
{
    struct error reason;
    if (!changes_more_than_shares(call) || vm_state_is_off(view->state))
        return false;
    if (call_has(call, "ExposeVirtualizationExtensions") && nesting_refuses_state(view, &reason))
        call_refuse(call, draft, "Processor", REFUSE_STATE, "%s", reason.text);
    else
        call_refuse(call, draft, "Processor", REFUSE_STATE,
                    "This can be changed only while '%s' is off, and it is %s: turn it off (Stop-VM) first.",
                    draft->name, vm_state_name(view->state));
    return true;
}

static void processor_take(struct call *call, struct vm_record *draft)
{
    call_take_int(call, "Count", &draft->processor_count);
    call_take_bool(call, "CompatibilityForMigrationEnabled", &draft->compatibility_for_migration);
    call_take_bool(call, "CompatibilityForOlderOperatingSystemsEnabled", &draft->compatibility_for_older_systems);
    call_take_int(call, "HwThreadCountPerCore", &draft->hw_thread_count_per_core);
    call_take_int(call, "Maximum", &draft->processor_maximum);
    call_take_int(call, "Reserve", &draft->processor_reserve);
    call_take_int(call, "RelativeWeight", &draft->processor_weight);
    call_take_int(call, "MaximumCountPerNumaNode", &draft->maximum_count_per_numa_node);
    call_take_int(call, "MaximumCountPerNumaSocket", &draft->maximum_count_per_numa_socket);
    call_take_bool(call, "EnableHostResourceProtection", &draft->host_resource_protection);
    call_take_text(call, "Vendor", &draft->vendor);
    call_take_text(call, "Engine", &draft->engine);
    call_take_bool(call, "ExposeVirtualizationExtensions", &draft->expose_virtualization_extensions);
}

// What the draft as a whole must not be.
static bool refuse_result(struct call *call, const struct vm_record *draft)
{
    struct error reason;
    if (draft->expose_virtualization_extensions && nesting_refuses_exposing(draft, &reason)) {
        call_refuse(call, draft, "Processor", REFUSE_UNSUPPORTED, "%s", reason.text);
        return true;
    }
    if (draft->processor_reserve > draft->processor_maximum) {
        call_refuse(call, draft, "Processor", REFUSE_VALUE, "The reserve of %lld %% is above the maximum of %lld %%.",
                    (long long)draft->processor_reserve, (long long)draft->processor_maximum);
        return true;
    }
    return false;
}

static void processor_set_one(struct call *call, struct vm *vm)
{
    struct vm_view view;
    struct vm_record *draft = call_change(call, vm, "Set-VMProcessor");
    if (!draft)
        return;
    vm_look(vm, &view);
    bool refused = refuse_absent(call, draft) || refuse_state(call, &view, draft);
    vm_view_free(&view);
    if (!refused) {
        processor_take(call, draft);
        refused = refuse_result(call, draft);
    }
    if (refused)
        call_cancel(call, vm, draft);
    else if (call_commit(call, vm, draft) && call_switch(call, "Passthru"))
        processor_put(call, vm);
}

static void processor_set(struct call *call)
{
    struct vm_list list;
    call_vms(call, &list);
    for (size_t i = 0; i < list.count; i++)
        processor_set_one(call, list.items[i]);
    vm_list_free(&list);
}

const struct handler object_processor[] = {
    {"Get-VMProcessor", processor_get},
    {"Set-VMProcessor", processor_set},
    {0},
};
