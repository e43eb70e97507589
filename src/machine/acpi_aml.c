// See acpi_aml.h.
#include "machine/acpi_aml.h"

#include <string.h>

enum { NAME_OP = 0x08, BYTE_PREFIX = 0x0A, WORD_PREFIX = 0x0B, DWORD_PREFIX = 0x0C, QWORD_PREFIX = 0x0E,
       SCOPE_OP = 0x10, BUFFER_OP = 0x11, PACKAGE_OP = 0x12, METHOD_OP = 0x14,
       ROOT_CHAR = 0x5C, MULTI_NAME_PREFIX = 0x2F, EXT_PREFIX = 0x5B, REGION_OP = 0x80, FIELD_OP = 0x81,
       DEVICE_OP = 0x82, LOCAL0_OP = 0x60, STORE_OP = 0x70, AND_OP = 0x7B, NOTIFY_OP = 0x86, IF_OP = 0xA0 };
enum { TABLE_LENGTH = 4, TABLE_CHECKSUM = 9, TABLE_HEADER = 36 };
enum { LENGTH_BYTES = 3, BUFFER_SIZE_BYTES = 3 };

void acpi_put_bytes(struct acpi_aml *aml, const void *from, size_t bytes)
{
    if (bytes > aml->most - aml->used) {
        aml->overflow = true;
        return;
    }
    memcpy(aml->bytes + aml->used, from, bytes);
    aml->used += bytes;
}

void acpi_put(struct acpi_aml *aml, u64 value, unsigned bytes) { acpi_put_bytes(aml, &value, bytes); }

void acpi_patch(struct acpi_aml *aml, size_t at, u64 value, unsigned bytes)
{
    if (!aml->overflow)
        memcpy(aml->bytes + at, &value, bytes);
}

void acpi_checksum(struct acpi_aml *aml, size_t from, size_t bytes, size_t at)
{
    u8 sum = 0;
    acpi_patch(aml, at, 0, 1);
    for (size_t i = 0; !aml->overflow && i < bytes; i++)
        sum += aml->bytes[from + i];
    acpi_patch(aml, at, (u8)-sum, 1);
}

size_t acpi_table_begin(struct acpi_aml *aml, const char *signature, u8 revision)
{
    size_t table = aml->used;
    acpi_put_bytes(aml, signature, 4);
    acpi_put(aml, 0, 4);
    acpi_put(aml, revision, 1);
    acpi_put(aml, 0, 1);
    acpi_put_bytes(aml, "NIDUS ", 6);
    acpi_put_bytes(aml, "NIDUS   ", 8);
    acpi_put(aml, 1, 4);
    acpi_put_bytes(aml, "NIDU", 4);
    acpi_put(aml, 1, 4);
    return table;
}

void acpi_table_end(struct acpi_aml *aml, size_t table)
{
    acpi_patch(aml, table + TABLE_LENGTH, aml->used - table, 4);
    acpi_checksum(aml, table, aml->used - table, table + TABLE_CHECKSUM);
}

// PkgLength (20.2.4), always in its three-byte form so that it can be filled in later.
static struct acpi_aml_mark acpi_aml_length(struct acpi_aml *aml)
{
    struct acpi_aml_mark mark = {.at = aml->used};
    acpi_put(aml, 0, LENGTH_BYTES);
    return mark;
}

void acpi_aml_end(struct acpi_aml *aml, struct acpi_aml_mark mark)
{
    size_t length = aml->used - mark.at;
    acpi_patch(aml, mark.at, 2 << 6 | (length & 15) | (length >> 4) << 8, LENGTH_BYTES);
}

struct acpi_aml_mark acpi_aml_scope(struct acpi_aml *aml, const char *name)
{
    acpi_put(aml, SCOPE_OP, 1);
    struct acpi_aml_mark mark = acpi_aml_length(aml);
    acpi_put_bytes(aml, name, strlen(name));
    return mark;
}

struct acpi_aml_mark acpi_aml_device(struct acpi_aml *aml, const char *name)
{
    acpi_put(aml, EXT_PREFIX | DEVICE_OP << 8, 2);
    struct acpi_aml_mark mark = acpi_aml_length(aml);
    acpi_put_bytes(aml, name, 4);
    return mark;
}

struct acpi_aml_mark acpi_aml_package(struct acpi_aml *aml, u8 elements)
{
    acpi_put(aml, PACKAGE_OP, 1);
    struct acpi_aml_mark mark = acpi_aml_length(aml);
    acpi_put(aml, elements, 1);
    return mark;
}

void acpi_aml_name(struct acpi_aml *aml, const char *name)
{
    acpi_put(aml, NAME_OP, 1);
    acpi_put_bytes(aml, name, strlen(name));
}

void acpi_aml_integer(struct acpi_aml *aml, u64 value)
{
    if (value <= 1) { // ZeroOp, OneOp
        acpi_put(aml, value, 1);
        return;
    }
    unsigned bytes = value <= UINT8_MAX ? 1 : value <= UINT16_MAX ? 2 : value <= UINT32_MAX ? 4 : 8;
    acpi_put(aml, bytes == 1 ? BYTE_PREFIX : bytes == 2 ? WORD_PREFIX : bytes == 4 ? DWORD_PREFIX : QWORD_PREFIX, 1);
    acpi_put(aml, value, bytes);
}

struct acpi_aml_mark acpi_aml_method(struct acpi_aml *aml, const char *name, unsigned arguments)
{
    acpi_put(aml, METHOD_OP, 1);
    struct acpi_aml_mark mark = acpi_aml_length(aml);
    acpi_put_bytes(aml, name, 4);
    acpi_put(aml, arguments, 1); // not serialized
    return mark;
}

void acpi_aml_io_region(struct acpi_aml *aml, const char *name, u16 port, u8 bytes)
{
    enum { SYSTEM_IO = 1 };
    acpi_put(aml, EXT_PREFIX | REGION_OP << 8, 2);
    acpi_put_bytes(aml, name, 4);
    acpi_put(aml, SYSTEM_IO, 1);
    acpi_aml_integer(aml, port);
    acpi_aml_integer(aml, bytes);
}

struct acpi_aml_mark acpi_aml_field32(struct acpi_aml *aml, const char *region)
{
    enum { DWORD_ACCESS = 3 }; // no lock, the rest is preserved: there is none
    acpi_put(aml, EXT_PREFIX | FIELD_OP << 8, 2);
    struct acpi_aml_mark mark = acpi_aml_length(aml);
    acpi_put_bytes(aml, region, 4);
    acpi_put(aml, DWORD_ACCESS, 1);
    return mark;
}

void acpi_aml_field32_member(struct acpi_aml *aml, const char *name)
{
    acpi_put_bytes(aml, name, 4);
    acpi_put(aml, 32, 1); // bits, as a PkgLength of one byte
}

void acpi_aml_load(struct acpi_aml *aml, const char *reg, unsigned local)
{
    acpi_put(aml, STORE_OP, 1);
    acpi_put_bytes(aml, reg, 4);
    acpi_put(aml, LOCAL0_OP + local, 1);
}

void acpi_aml_store(struct acpi_aml *aml, unsigned local, const char *reg)
{
    acpi_put(aml, STORE_OP, 1);
    acpi_put(aml, LOCAL0_OP + local, 1);
    acpi_put_bytes(aml, reg, 4);
}

void acpi_aml_store_integer(struct acpi_aml *aml, u64 value, const char *reg)
{
    acpi_put(aml, STORE_OP, 1);
    acpi_aml_integer(aml, value);
    acpi_put_bytes(aml, reg, 4);
}

struct acpi_aml_mark acpi_aml_if_bits(struct acpi_aml *aml, unsigned local, u64 bits)
{
    acpi_put(aml, IF_OP, 1);
    struct acpi_aml_mark mark = acpi_aml_length(aml);
    acpi_put(aml, AND_OP, 1);
    acpi_put(aml, LOCAL0_OP + local, 1);
    acpi_aml_integer(aml, bits);
    acpi_put(aml, 0, 1); // the result goes nowhere else
    return mark;
}

void acpi_aml_notify(struct acpi_aml *aml, const char *device, unsigned notification)
{
    acpi_put(aml, NOTIFY_OP, 1);
    acpi_put_bytes(aml, device, 4);
    acpi_aml_integer(aml, notification);
}

void acpi_aml_path3(struct acpi_aml *aml, const char *a, const char *b, const char *c)
{
    acpi_put(aml, ROOT_CHAR | MULTI_NAME_PREFIX << 8 | 3 << 16, 3);
    acpi_put_bytes(aml, a, 4);
    acpi_put_bytes(aml, b, 4);
    acpi_put_bytes(aml, c, 4);
}

static unsigned acpi_hex(char digit) { return digit <= '9' ? (unsigned)(digit - '0') : (unsigned)(digit - 'A' + 10); }

// EISAID (19.6.36): three letters of five bits, four hexadecimal digits, big-endian.
void acpi_aml_eisa(struct acpi_aml *aml, const char *id)
{
    u32 value = (u32)(id[0] - '@') << 26 | (u32)(id[1] - '@') << 21 | (u32)(id[2] - '@') << 16 | acpi_hex(id[3]) << 12 |
                acpi_hex(id[4]) << 8 | acpi_hex(id[5]) << 4 | acpi_hex(id[6]);
    acpi_put(aml, DWORD_PREFIX, 1);
    acpi_put(aml, __builtin_bswap32(value), 4);
}

struct acpi_aml_mark acpi_crs_begin(struct acpi_aml *aml)
{
    acpi_aml_name(aml, "_CRS");
    acpi_put(aml, BUFFER_OP, 1);
    struct acpi_aml_mark mark = acpi_aml_length(aml);
    acpi_put(aml, WORD_PREFIX, BUFFER_SIZE_BYTES);
    return mark;
}

void acpi_crs_end(struct acpi_aml *aml, struct acpi_aml_mark mark)
{
    acpi_put(aml, 0x0079, 2); // end tag; checksum 0 means "not checked"
    size_t data = mark.at + LENGTH_BYTES + BUFFER_SIZE_BYTES;
    acpi_patch(aml, mark.at + LENGTH_BYTES + 1, aml->used - data, 2);
    acpi_aml_end(aml, mark);
}

void acpi_crs_io(struct acpi_aml *aml, u16 base, u8 bytes)
{
    acpi_put(aml, 0x47 | 1 << 8, 2); // I/O port descriptor, decodes 16 bits (6.4.2.5)
    acpi_put(aml, base, 2);
    acpi_put(aml, base, 2);
    acpi_put(aml, 1, 1);
    acpi_put(aml, bytes, 1);
}

void acpi_crs_irq(struct acpi_aml *aml, unsigned irq)
{
    acpi_put(aml, 0x22, 1); // IRQ descriptor without flags (6.4.2.1)
    acpi_put(aml, (u64)1 << irq, 2);
}

void acpi_crs_memory(struct acpi_aml *aml, u32 base, u32 bytes)
{
    acpi_put(aml, 0x86 | 9 << 8, 3); // 32-bit fixed memory descriptor (6.4.3.4)
    acpi_put(aml, 1, 1);             // writeable
    acpi_put(aml, base, 4);
    acpi_put(aml, bytes, 4);
}

// Word (bus), or doubleword address space descriptors (6.4.3.5): produced by the bridge, both ends fixed, positive
// decode.
void acpi_crs_window(struct acpi_aml *aml, enum acpi_window kind, u32 first, u32 last)
{
    unsigned width = kind == ACPI_WINDOW_MEMORY ? 4 : 2;
    acpi_put(aml, width == 4 ? 0x87 : 0x88, 1);
    acpi_put(aml, 3 + 5 * width, 2);
    acpi_put(aml, kind, 1);
    acpi_put(aml, 0x0C, 1);
    acpi_put(aml, kind == ACPI_WINDOW_MEMORY ? 1 : kind == ACPI_WINDOW_IO ? 3 : 0, 1); // read-write; entire range
    acpi_put(aml, 0, width);
    acpi_put(aml, first, width);
    acpi_put(aml, last, width);
    acpi_put(aml, 0, width);
    acpi_put(aml, (u64)last - first + 1, width);
}
