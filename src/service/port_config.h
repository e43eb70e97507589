// An adapter's record as what its switch is told of its port (control/switch.h).
#pragma once

#include "base/error.h"
#include "service/record.h"

struct json_t;

// The adapter has an address. NULL with the reason.
struct json_t *port_config_write(const struct vm_adapter *adapter, struct error *error);
