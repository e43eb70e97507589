// See table.h.
#include "cmdlet/table/table.h"

#include <stddef.h>

const struct noun *const table_nouns[] = {
    NULL,
};
