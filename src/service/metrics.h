// Numbers about the service and its VMs, in Prometheus' text form.
#pragma once

#include "base/types.h"

struct service;

struct metrics_counts {
    u64 requests, errors; // cmdlets carried out, and the errors they told
};

char *metrics_write(struct service *service, const struct metrics_counts *counts); // the caller frees
