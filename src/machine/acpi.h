// The ACPI tables: RSDP, XSDT, FADT, FACS, MADT, MCFG and DSDT. They say what is on the board and nothing more; the
// numbers come from the headers of the chips they describe.
#pragma once

#include "base/error.h"
#include "memory/memory.h"

// Writes the tables to guest memory from BOARD_ACPI on. The RSDP is the first byte, where BIOS-minded software finds it
// too.
int acpi_write(struct memory *memory, unsigned cpus, struct error *error);
