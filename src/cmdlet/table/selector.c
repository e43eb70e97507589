// See selector.h.
#include "cmdlet/table/selector.h"

const struct parameter selector_vms[] = {SELECTOR_VMS, {0}};
