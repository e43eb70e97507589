// See local.h. The list of cmdlets that run in the shell, a file a theme.
#include "cmdlet/local/local.h"

const struct local_cmdlet *const local_cmdlets[] = {
    local_filter, local_shape, local_convert, local_csv, local_write, local_state, local_script, local_netsh,
    local_format, local_help, local_job, local_connect, NULL,
};
