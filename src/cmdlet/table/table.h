// The table of cmdlets and classes, noun by noun: each file of this folder defines one `struct noun`, and table.c lists
// them. A cmdlet of the file NOUN.c that the service carries out has its handler in src/service/object/NOUN.c.
#pragma once

#include "cmdlet/class.h"
#include "cmdlet/cmdlet.h"

struct noun {
    const struct cmdlet *cmdlets; // ends with a NULL name; NULL: none
    const struct class *classes;  // ends with a NULL name; NULL: none
};

extern const struct noun *const table_nouns[]; // NULL past the last

extern const struct noun table_vm;
extern const struct noun table_vm_work;
extern const struct noun table_transfer;
extern const struct noun table_host;
extern const struct noun table_firmware;
extern const struct noun table_console;
extern const struct noun table_processor;
extern const struct noun table_memory;
extern const struct noun table_security;
extern const struct noun table_adapter;
extern const struct noun table_capture;
extern const struct noun table_switch;
extern const struct noun table_nat;
extern const struct noun table_ip;
extern const struct noun table_vhd;
extern const struct noun table_drive;
extern const struct noun table_port;
extern const struct noun table_version;
extern const struct noun table_nested;
extern const struct noun table_format;
extern const struct noun table_help;
extern const struct noun table_job;
extern const struct noun table_utility;
extern const struct noun table_script;
extern const struct noun table_absent;
