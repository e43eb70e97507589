// A byte builder for ACPI tables and the little AML that the DSDT needs (ACPI specification 6.4, chapter 20). It writes
// into a buffer of the caller's and remembers when that was too small, so that only the end has to be checked.
#pragma once

#include "base/types.h"

struct acpi_aml {
    u8 *bytes;
    size_t used, most;
    bool overflow;
};

// Where a length is filled in later: what the _begin functions return and acpi_aml_end takes.
struct acpi_aml_mark {
    size_t at;
    size_t elements; // packages: where the element count is
};

void acpi_put(struct acpi_aml *aml, u64 value, unsigned bytes);
void acpi_put_bytes(struct acpi_aml *aml, const void *from, size_t bytes);
void acpi_patch(struct acpi_aml *aml, size_t at, u64 value, unsigned bytes);

// A system description table: header now, length and checksum at the end.
size_t acpi_table_begin(struct acpi_aml *aml, const char *signature, u8 revision);
void acpi_table_end(struct acpi_aml *aml, size_t table);
void acpi_checksum(struct acpi_aml *aml, size_t from, size_t bytes, size_t at);

void acpi_aml_end(struct acpi_aml *aml, struct acpi_aml_mark mark);
struct acpi_aml_mark acpi_aml_scope(struct acpi_aml *aml, const char *name);  // "\\_SB_" or four characters
struct acpi_aml_mark acpi_aml_device(struct acpi_aml *aml, const char *name); // four characters
struct acpi_aml_mark acpi_aml_package(struct acpi_aml *aml, u8 elements);

void acpi_aml_name(struct acpi_aml *aml, const char *name); // Name (NAME, ...the next object...)
void acpi_aml_integer(struct acpi_aml *aml, u64 value);
void acpi_aml_eisa(struct acpi_aml *aml, const char *id); // "PNP0A08"

// Methods and what they are made of. Locals are Local0 to Local7; registers are members of a field.
struct acpi_aml_mark acpi_aml_method(struct acpi_aml *aml, const char *name, unsigned arguments);
void acpi_aml_io_region(struct acpi_aml *aml, const char *name, u16 port, u8 bytes);
struct acpi_aml_mark acpi_aml_field32(struct acpi_aml *aml, const char *region); // accessed by whole doublewords
void acpi_aml_field32_member(struct acpi_aml *aml, const char *name);
void acpi_aml_load(struct acpi_aml *aml, const char *reg, unsigned local);
void acpi_aml_store(struct acpi_aml *aml, unsigned local, const char *reg);
void acpi_aml_store_integer(struct acpi_aml *aml, u64 value, const char *reg);
struct acpi_aml_mark acpi_aml_if_bits(struct acpi_aml *aml, unsigned local, u64 bits); // If (Local & bits)
void acpi_aml_notify(struct acpi_aml *aml, const char *device, unsigned notification);
void acpi_aml_path3(struct acpi_aml *aml, const char *a, const char *b, const char *c); // \\a.b.c; a call, in a method

// Resource templates: Name (_CRS, ResourceTemplate () { ... }).
struct acpi_aml_mark acpi_crs_begin(struct acpi_aml *aml);
void acpi_crs_end(struct acpi_aml *aml, struct acpi_aml_mark mark);
void acpi_crs_io(struct acpi_aml *aml, u16 base, u8 bytes);
void acpi_crs_irq(struct acpi_aml *aml, unsigned irq); // edge, high, exclusive
void acpi_crs_memory(struct acpi_aml *aml, u32 base, u32 bytes);
enum acpi_window { ACPI_WINDOW_MEMORY = 0, ACPI_WINDOW_IO = 1, ACPI_WINDOW_BUS = 2 };
void acpi_crs_window(struct acpi_aml *aml, enum acpi_window kind, u32 first, u32 last);
