// See table.h. One noun a line, in the order Get-Command shows them.
#include "cmdlet/table/table.h"

#include <stddef.h>

const struct noun *const table_nouns[] = {
    &table_vm,
    &table_vm_work,
    &table_transfer,
    &table_host,
    &table_firmware,
    &table_console,
    &table_processor,
    &table_memory,
    &table_security,
    &table_adapter,
    &table_capture,
    &table_switch,
    &table_nat,
    &table_ip,
    &table_vhd,
    &table_drive,
    &table_port,
    &table_version,
    &table_nested,
    &table_utility,
    &table_script,
    &table_format,
    &table_help,
    &table_job,
    &table_absent,
    NULL,
};
