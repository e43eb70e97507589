// The rules of nested virtualization, all of them here: which VM may have the extensions, what keeps it from starting
// with them, what is fixed while a hypervisor runs in it. The cmdlets ask; nobody else decides.
#pragma once

#include "base/error.h"
#include "service/vm.h"

enum nesting_extension { NESTING_NONE, NESTING_VTX, NESTING_AMDV };

const char *nesting_extension_name(enum nesting_extension extension); // "None", "VT-x", "AMD-V"

// Which extension the VM's processors have when it is exposed: its vendor's. `host_amd`: whether the host is AMD's.
enum nesting_extension nesting_offered(const struct vm_record *record, bool host_amd);
bool nesting_host_is_amd(void);
const char *nesting_host_engines(void); // what could run a nested VM here: "Soft", "Soft, KVM"

// The rules below: true if the rule stands in the way, with the reason and the way out in `reason`.

// Exposing the extensions: the configuration version must be new enough.
bool nesting_refuses_exposing(const struct vm_record *record, struct error *reason);
// Changing whether they are exposed: only while the VM is off.
bool nesting_refuses_state(const struct vm_view *view, struct error *reason);
// Starting as the record says. `host_locked`: the host's administrator forbids it for all VMs.
bool nesting_refuses_start(const struct vm_record *record, bool host_locked, struct error *reason);
// Changing the memory of a VM that runs, and letting dynamic memory change it.
bool nesting_fixes_memory(const struct vm_view *view, struct error *reason);

// What a hypervisor in the VM does right now.
enum nesting_extension nesting_running(const struct vm_view *view); // NESTING_NONE: none runs
s64 nesting_launched(const struct vm_view *view);
