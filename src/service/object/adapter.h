// What the cmdlets about network adapters share: their objects, and which of a VM's adapters a request means.
#pragma once

#include "service/object/object.h"

struct value *adapter_object(struct call *call, const struct vm_view *view, const struct vm_adapter *adapter);

// By -VMNetworkAdapter objects, or by name; `name_parameter` is "Name" or "VMNetworkAdapterName". No name: each.
bool adapter_is_meant(const struct call *call, const char *name_parameter, const struct vm_adapter *adapter);

// Tells that no adapter was meant, if `changed` is 0. True if it was told.
bool adapter_none(struct call *call, const struct vm_record *draft, const char *name_parameter, unsigned changed);

// Changes the adapters that are meant, of each VM all or none, and puts them out with -Passthru. `change` returns false
// if it has told an error.
void adapter_each(struct call *call, const char *operation, const char *name_parameter,
                  bool (*change)(struct call *call, struct vm_record *draft, struct vm_adapter *adapter));

// -ManagementOS: the host's adapters (host_adapter.c).
void host_adapter_get(struct call *call);
void host_adapter_set(struct call *call);
void host_adapter_add(struct call *call);
void host_adapter_remove(struct call *call);
void host_adapter_rename(struct call *call);
