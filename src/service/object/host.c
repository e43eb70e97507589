// The host: Get-VMHost, Set-VMHost.
#include <strings.h>
#include <sys/sysinfo.h>

#include "base/version.h"
#include "service/mac.h"
#include "service/object/object.h"
#include "service/version.h"

static void host_put(struct call *call)
{
    struct host_record host;
    struct sysinfo info = {0};
    sysinfo(&info);
    service_host(call->service, &host);
    struct value *object = value_object("VMHost"), *versions = value_array();
    for (const struct version_row *row = version_rows; row->version; row++)
        value_add(versions, value_string(row->version));
    value_put(object, "Name", value_string(service_host_name(call->service)));
    value_put(object, "LogicalProcessorCount", value_int(get_nprocs()));
    value_put(object, "MemoryCapacity", value_int((s64)info.totalram * info.mem_unit));
    value_put(object, "VirtualMachinePath", object_text(host.machine_path));
    value_put(object, "VirtualHardDiskPath", object_text(host.disk_path));
    value_put(object, "MacAddressMinimum", object_text(host.mac_minimum));
    value_put(object, "MacAddressMaximum", object_text(host.mac_maximum));
    value_put(object, "MaximumStorageMigrations", value_int(host.maximum_storage_migrations));
    value_put(object, "MaximumVirtualMachineMigrations", value_int(host.maximum_vm_migrations));
    value_put(object, "UseAnyNetworkForMigration", value_bool(host.use_any_network_for_migration));
    value_put(object, "VirtualMachineMigrationAuthenticationType", object_text(host.migration_authentication));
    value_put(object, "VirtualMachineMigrationPerformanceOption", object_text(host.migration_performance));
    value_put(object, "EnableEnhancedSessionMode", value_bool(host.enhanced_session_mode));
    value_put(object, "NumaSpanningEnabled", value_bool(host.numa_spanning));
    value_put(object, "DeviceGuardLock", value_bool(host.device_guard_lock));
    value_put(object, "NetworkBackend", value_string(host.network_backend ? host.network_backend : "Auto"));
    value_put(object, "SupportedVmVersions", versions);
    value_put(object, "Version", value_string(NIDUS_VERSION));
    value_put(object, "ComputerName", value_string(service_host_name(call->service)));
    call_put(call, object);
    record_host_free(&host);
}

static void get_host(struct call *call) { host_put(call); }

static bool mac_take(struct call *call, const char *name, char **text)
{
    const char *given = call_string(call, name, NULL);
    u8 mac[MAC_BYTES] = {0};
    char normal[MAC_TEXT];
    if (!given)
        return true;
    if (!mac_read(given, mac)) {
        call_error(call, CATEGORY_INVALID_ARGUMENT, "InvalidParameter", given,
                   "'%s' is no network address. One looks like 00155D020600.", given);
        return false;
    }
    mac_write(mac, normal);
    record_text_set(text, normal);
    return true;
}

static void host_take(struct call *call, struct host_record *host)
{
    call_take_text(call, "VirtualHardDiskPath", &host->disk_path);
    call_take_text(call, "VirtualMachinePath", &host->machine_path);
    call_take_bool(call, "EnableEnhancedSessionMode", &host->enhanced_session_mode);
    call_take_bool(call, "NumaSpanningEnabled", &host->numa_spanning);
    call_take_int(call, "MaximumStorageMigrations", &host->maximum_storage_migrations);
    call_take_int(call, "MaximumVirtualMachineMigrations", &host->maximum_vm_migrations);
    call_take_bool(call, "UseAnyNetworkForMigration", &host->use_any_network_for_migration);
    call_take_text(call, "VirtualMachineMigrationAuthenticationType", &host->migration_authentication);
    call_take_text(call, "VirtualMachineMigrationPerformanceOption", &host->migration_performance);
    call_take_bool(call, "DeviceGuardLock", &host->device_guard_lock);
    call_take_text(call, "NetworkBackend", &host->network_backend);
}

static void set_host(struct call *call)
{
    struct host_record host;
    struct error error;
    if (!call_should(call, "Set-VMHost", service_host_name(call->service)))
        return;
    service_host(call->service, &host);
    if (mac_take(call, "MacAddressMinimum", &host.mac_minimum) &&
        mac_take(call, "MacAddressMaximum", &host.mac_maximum)) {
        host_take(call, &host);
        if (strcasecmp(host.mac_minimum, host.mac_maximum) > 0)
            call_error(call, CATEGORY_INVALID_ARGUMENT, "InvalidParameter", NULL,
                       "The first address, %s, is above the last one, %s.", host.mac_minimum, host.mac_maximum);
        else if (service_host_set(call->service, &host, &error) < 0)
            call_error(call, CATEGORY_WRITE_ERROR, "OperationFailed", NULL,
                       "The host's settings were not changed.\n%s.", error.text);
        else if (call_has(call, "NetworkBackend") && call_network_apply(call, &error) < 0)
            call_error(call, CATEGORY_RESOURCE_UNAVAILABLE, "OperationFailed", NULL, "The host's network: %s.",
                       error.text);
        else if (call_switch(call, "Passthru"))
            host_put(call);
    }
    record_host_free(&host);
}

const struct handler object_host[] = {{"Get-VMHost", get_host}, {"Set-VMHost", set_host}, {0}};
