// See nesting.h.
#include "service/nesting.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "service/version.h"

const char *nesting_extension_name(enum nesting_extension extension)
{
    static const char *const names[] = {[NESTING_NONE] = "None", [NESTING_VTX] = "VT-x", [NESTING_AMDV] = "AMD-V"};
    return names[extension];
}

bool nesting_host_is_amd(void)
{
    char line[256];
    bool amd = false;
    FILE *file = fopen("/proc/cpuinfo", "re");
    if (!file)
        return false;
    while (fgets(line, sizeof line, file))
        if (!strncmp(line, "vendor_id", 9)) {
            amd = strstr(line, "AuthenticAMD") || strstr(line, "HygonGenuine");
            break;
        }
    fclose(file);
    return amd;
}

// Whether the host's KVM module nests; which VMs it really can run is the engine's to ask KVM when one starts.
const char *nesting_host_engines(void)
{
    static const char *const parameters[] = {"/sys/module/kvm_intel/parameters/nested",
                                             "/sys/module/kvm_amd/parameters/nested"};
    for (size_t i = 0; i < ARRAY_SIZE(parameters); i++) {
        char text[2] = "";
        FILE *file = fopen(parameters[i], "re");
        if (!file)
            continue;
        const bool read = fgets(text, sizeof text, file) != NULL;
        fclose(file);
        if (read && (*text == 'Y' || *text == '1'))
            return "Soft, KVM";
    }
    return "Soft";
}

enum nesting_extension nesting_offered(const struct vm_record *record, bool host_amd)
{
    if (!strcasecmp(record->vendor, "AMD"))
        return NESTING_AMDV;
    // nidus's own CPU is an Intel one unless it is told otherwise, whatever the host is.
    if (!strcasecmp(record->vendor, "Intel") || strcasecmp(record->engine, "KVM"))
        return NESTING_VTX;
    return host_amd ? NESTING_AMDV : NESTING_VTX;
}

bool nesting_refuses_exposing(const struct vm_record *record, struct error *reason)
{
    const enum nesting_extension extension = nesting_offered(record, nesting_host_is_amd());
    const char *needed = extension == NESTING_AMDV ? VERSION_NESTED_AMDV : VERSION_NESTED_VTX;
    if (version_compare(record->version, needed) >= 0)
        return false;
    error_set(reason,
              "Exposing %s needs virtual machine configuration version %s or later, and '%s' has %s. "
              "Update it while it is off: Update-VMVersion '%s'",
              nesting_extension_name(extension), needed, record->name, record->version, record->name);
    return true;
}

static const char *way_to_off(enum vm_state state)
{
    if (state == VM_STATE_SAVED || state == VM_STATE_SAVED_CRITICAL)
        return "discard its saved state (Remove-VMSavedState), or start it and shut it down";
    return "turn it off (Stop-VM)";
}

bool nesting_refuses_state(const struct vm_view *view, struct error *reason)
{
    if (vm_state_is_off(view->state))
        return false;
    error_set(reason,
              "The virtualization extensions of '%s' can be changed only while it is off, and it is %s: %s first.",
              view->record.name, vm_state_name(view->state), way_to_off(view->state));
    return true;
}

bool nesting_refuses_start(const struct vm_record *record, bool host_locked, struct error *reason)
{
    if (!record->expose_virtualization_extensions)
        return false;
    if (nesting_refuses_exposing(record, reason))
        return true;
    if (host_locked) {
        error_set(reason,
                  "This host does not let virtual machines have virtualization extensions (Device Guard). Lift that "
                  "with Set-VMHost -DeviceGuardLock $false, or hide them: Set-VMProcessor '%s' "
                  "-ExposeVirtualizationExtensions $false",
                  record->name);
        return true;
    }
    if (record->vbs_enabled && !record->vbs_opt_out) {
        error_set(reason,
                  "Virtualization based security is enabled in '%s', which excludes nested virtualization. Opt out: "
                  "Set-VMSecurity '%s' -VirtualizationBasedSecurityOptOut $true",
                  record->name, record->name);
        return true;
    }
    return false;
}

enum nesting_extension nesting_running(const struct vm_view *view)
{
    if (!view->has_status || !view->status.nested_running)
        return NESTING_NONE;
    return !strcmp(view->status.nested_extension, "svm") ? NESTING_AMDV : NESTING_VTX;
}

s64 nesting_launched(const struct vm_view *view)
{
    return view->has_status ? (s64)view->status.nested_launched : 0;
}

bool nesting_fixes_memory(const struct vm_view *view, struct error *reason)
{
    const enum nesting_extension extension = nesting_running(view);
    if (extension == NESTING_NONE)
        return false;
    error_set(reason,
              "A hypervisor is running in '%s' (it uses %s): its memory cannot be changed until it is turned off "
              "or the hypervisor ends.",
              view->record.name, nesting_extension_name(extension));
    return true;
}
