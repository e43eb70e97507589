// See acpi.h. References are to the ACPI specification 6.4.
//
// The DSDT is names with constant values, so that little in it can be wrong at run time, but for the methods of the
// slots whose cards come and go: they are run when a card does, and say which one. Interrupt routing is for the APIC
// mode, the only one that current systems use with ACPI.
#include "machine/acpi.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/acpi_pm.h"
#include "device/pci_hotplug.h"
#include "machine/acpi_aml.h"
#include "machine/board.h"
#include "machine/pci_host.h"

enum { SCI_IRQ = 9, RTC_CENTURY = 0x32 };
enum { FADT_BYTES = 276, FACS_BYTES = 64, RSDP_BYTES = 36, RSDP_OLD_BYTES = 20 };
enum { FADT_WBINVD = 1 << 0, FADT_C1 = 1 << 2, FADT_NO_SLEEP_BUTTON = 1 << 5, FADT_NO_RTC_WAKE = 1 << 6,
       FADT_RESET_REGISTER = 1 << 10 };
enum { BOOT_LEGACY_DEVICES = 1 << 0, BOOT_NO_VGA = 1 << 2, BOOT_NO_ASPM = 1 << 4 };
enum { SPACE_IO = 1, ACCESS_BYTE = 1, ACCESS_WORD = 2, ACCESS_DWORD = 3 };

static void acpi_generic_address(struct acpi_aml *aml, u8 bits, u8 access, u64 port)
{
    acpi_put(aml, SPACE_IO, 1);
    acpi_put(aml, bits, 1);
    acpi_put(aml, 0, 1);
    acpi_put(aml, access, 1);
    acpi_put(aml, port, 8);
}

static void acpi_put_zeroes(struct acpi_aml *aml, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        acpi_put(aml, 0, 1);
}

static size_t acpi_align(struct acpi_aml *aml, size_t power_of_two)
{
    acpi_put_zeroes(aml, align_up(aml->used, power_of_two) - aml->used);
    return aml->used;
}

// --- DSDT ---

static void acpi_dsdt_id(struct acpi_aml *aml, const char *hid, unsigned uid)
{
    acpi_aml_name(aml, "_HID");
    acpi_aml_eisa(aml, hid);
    acpi_aml_name(aml, "_UID");
    acpi_aml_integer(aml, uid);
}

// _PRT (6.2.13): pin A of every slot to its line of the IOAPIC.
static void acpi_dsdt_routing(struct acpi_aml *aml)
{
    acpi_aml_name(aml, "_PRT");
    struct acpi_aml_mark table = acpi_aml_package(aml, PCI_HOST_SLOTS);
    for (unsigned slot = 0; slot < PCI_HOST_SLOTS; slot++) {
        struct acpi_aml_mark entry = acpi_aml_package(aml, 4);
        acpi_aml_integer(aml, (u64)slot << 16 | 0xFFFF);
        acpi_aml_integer(aml, 0);
        acpi_aml_integer(aml, 0);
        acpi_aml_integer(aml, pci_host_gsi(slot));
        acpi_aml_end(aml, entry);
    }
    acpi_aml_end(aml, table);
}

// --- Cards that come and go (device/pci_hotplug.h) ---

enum { NOTIFY_DEVICE_CHECK = 1, NOTIFY_EJECT_REQUEST = 3 };

// OperationRegion (PHPR, SystemIO, ...) and its three registers.
static void acpi_dsdt_plug_registers(struct acpi_aml *aml)
{
    acpi_aml_io_region(aml, "PHPR", PCI_HOTPLUG_PORT, PCI_HOTPLUG_PORTS);
    struct acpi_aml_mark field = acpi_aml_field32(aml, "PHPR");
    acpi_aml_field32_member(aml, "PHPL");
    acpi_aml_field32_member(aml, "PHLV");
    acpi_aml_field32_member(aml, "PHEJ");
    acpi_aml_end(aml, field);
    static_assert(PCI_HOTPLUG_PLUGGED == 0 && PCI_HOTPLUG_LEAVING == 4 && PCI_HOTPLUG_EJECT == 8, "in this order");
}

static void acpi_plug_name(char *name, unsigned slot) { snprintf(name, 5, "S%03X", slot & 0xFFF); }

// Device (Snnn) { _ADR, _SUN, Method (_EJ0, 1) { PHEJ = 1 << slot } }: an empty slot has one as well.
static void acpi_dsdt_plug(struct acpi_aml *aml, unsigned slot)
{
    char name[5];
    acpi_plug_name(name, slot);
    struct acpi_aml_mark device = acpi_aml_device(aml, name);
    acpi_aml_name(aml, "_ADR");
    acpi_aml_integer(aml, (u64)slot << 16);
    acpi_aml_name(aml, "_SUN");
    acpi_aml_integer(aml, slot);
    struct acpi_aml_mark eject = acpi_aml_method(aml, "_EJ0", 1);
    acpi_aml_store_integer(aml, (u64)1 << slot, "PHEJ");
    acpi_aml_end(aml, eject);
    acpi_aml_end(aml, device);
}

// Local = register; register = Local, which clears what was read and nothing that came since; then Notify the slots.
static void acpi_dsdt_plug_look(struct acpi_aml *aml, unsigned local, const char *reg, unsigned notification)
{
    char name[5];
    acpi_aml_load(aml, reg, local);
    acpi_aml_store(aml, local, reg);
    for (unsigned slot = PCI_HOST_PLUG_FIRST; slot < PCI_HOST_PLUG_FIRST + PCI_HOST_PLUGS; slot++) {
        acpi_plug_name(name, slot);
        struct acpi_aml_mark test = acpi_aml_if_bits(aml, local, (u64)1 << slot);
        acpi_aml_notify(aml, name, notification);
        acpi_aml_end(aml, test);
    }
}

static void acpi_dsdt_plugs(struct acpi_aml *aml)
{
    acpi_dsdt_plug_registers(aml);
    for (unsigned slot = PCI_HOST_PLUG_FIRST; slot < PCI_HOST_PLUG_FIRST + PCI_HOST_PLUGS; slot++)
        acpi_dsdt_plug(aml, slot);
    struct acpi_aml_mark look = acpi_aml_method(aml, "PHLK", 0);
    acpi_dsdt_plug_look(aml, 0, "PHLV", NOTIFY_EJECT_REQUEST);
    acpi_dsdt_plug_look(aml, 1, "PHPL", NOTIFY_DEVICE_CHECK);
    acpi_aml_end(aml, look);
}

// Scope (\_GPE) { Method (_E01) { \_SB.PCI0.PHLK () } }: edge-triggered, so that its status is cleared before it runs.
static void acpi_dsdt_events(struct acpi_aml *aml)
{
    static_assert(ACPI_PM_GPE_HOTPLUG == 1, "the method's name");
    struct acpi_aml_mark scope = acpi_aml_scope(aml, "\\_GPE");
    struct acpi_aml_mark method = acpi_aml_method(aml, "_E01", 0);
    acpi_aml_path3(aml, "_SB_", "PCI0", "PHLK");
    acpi_aml_end(aml, method);
    acpi_aml_end(aml, scope);
}

static void acpi_dsdt_pci(struct acpi_aml *aml)
{
    struct acpi_aml_mark device = acpi_aml_device(aml, "PCI0");
    acpi_dsdt_id(aml, "PNP0A08", 0);
    acpi_aml_name(aml, "_CID");
    acpi_aml_eisa(aml, "PNP0A03");
    acpi_aml_name(aml, "_BBN");
    acpi_aml_integer(aml, 0);
    acpi_aml_name(aml, "_SEG");
    acpi_aml_integer(aml, 0);
    struct acpi_aml_mark crs = acpi_crs_begin(aml);
    acpi_crs_window(aml, ACPI_WINDOW_BUS, 0, 0);
    acpi_crs_io(aml, 0xCF8, 8);
    acpi_crs_window(aml, ACPI_WINDOW_IO, 0, 0xCF7);
    acpi_crs_window(aml, ACPI_WINDOW_IO, 0xD00, 0xFFFF);
    acpi_crs_window(aml, ACPI_WINDOW_MEMORY, (u32)BOARD_PCI_WINDOW, (u32)BOARD_ECAM - 1);
    acpi_crs_end(aml, crs);
    acpi_dsdt_routing(aml);
    acpi_dsdt_plugs(aml);
    acpi_aml_end(aml, device);
}

// A chip at fixed ports with at most one line.
struct acpi_isa_device {
    const char *name, *hid;
    u16 port;
    u8 ports;
    s8 irq; // -1: none
};

static void acpi_dsdt_isa(struct acpi_aml *aml)
{
    static const struct acpi_isa_device devices[] = {
        {"PIC0", "PNP0000", 0x20, 2, 2},
        {"TMR0", "PNP0100", 0x40, 4, 0},
        {"RTC0", "PNP0B00", 0x70, 2, 8},
        {"COM1", "PNP0501", 0x3F8, 8, 4},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(devices); i++) {
        struct acpi_aml_mark device = acpi_aml_device(aml, devices[i].name);
        acpi_dsdt_id(aml, devices[i].hid, i + 1);
        struct acpi_aml_mark crs = acpi_crs_begin(aml);
        acpi_crs_io(aml, devices[i].port, devices[i].ports);
        if (devices[i].irq >= 0)
            acpi_crs_irq(aml, (unsigned)devices[i].irq);
        acpi_crs_end(aml, crs);
        acpi_aml_end(aml, device);
    }
}

// What belongs to the board and to no driver. Linux trusts MCFG only if the addresses are reserved here.
static void acpi_dsdt_board(struct acpi_aml *aml)
{
    struct acpi_aml_mark device = acpi_aml_device(aml, "MBRD");
    acpi_dsdt_id(aml, "PNP0C02", 0);
    struct acpi_aml_mark crs = acpi_crs_begin(aml);
    acpi_crs_memory(aml, (u32)BOARD_ECAM, (u32)BOARD_ECAM_BYTES);
    acpi_crs_io(aml, ACPI_PM_PORT, ACPI_PM_PORTS);
    acpi_crs_io(aml, PCI_HOTPLUG_PORT, PCI_HOTPLUG_PORTS);
    acpi_crs_io(aml, 0x4D0, 2);
    acpi_crs_end(aml, crs);
    acpi_aml_end(aml, device);
}

static void acpi_dsdt(struct acpi_aml *aml)
{
    size_t table = acpi_table_begin(aml, "DSDT", 2);
    struct acpi_aml_mark scope = acpi_aml_scope(aml, "\\_SB_");
    acpi_dsdt_board(aml);
    acpi_dsdt_pci(aml);
    acpi_dsdt_isa(aml);
    acpi_aml_end(aml, scope);
    acpi_dsdt_events(aml);
    acpi_aml_name(aml, "\\_S5_");
    struct acpi_aml_mark s5 = acpi_aml_package(aml, 4);
    acpi_aml_integer(aml, ACPI_PM_S5);
    acpi_aml_integer(aml, ACPI_PM_S5);
    acpi_aml_integer(aml, 0);
    acpi_aml_integer(aml, 0);
    acpi_aml_end(aml, s5);
    acpi_table_end(aml, table);
}

// --- The static tables ---

static void acpi_fadt(struct acpi_aml *aml, u64 facs, u64 dsdt)
{
    size_t table = acpi_table_begin(aml, "FACP", 6);
    acpi_put(aml, facs, 4);
    acpi_put(aml, dsdt, 4);
    acpi_put(aml, 0, 1);
    acpi_put(aml, 1, 1); // preferred profile: desktop
    acpi_put(aml, SCI_IRQ, 2);
    acpi_put_zeroes(aml, 8); // no SMI command port: the machine is in ACPI mode from power-on
    acpi_put(aml, ACPI_PM_PORT + ACPI_PM_EVENT, 4);
    acpi_put(aml, 0, 4);
    acpi_put(aml, ACPI_PM_PORT + ACPI_PM_CONTROL, 4);
    acpi_put_zeroes(aml, 8);
    acpi_put(aml, ACPI_PM_PORT + ACPI_PM_TIMER, 4);
    acpi_put(aml, ACPI_PM_PORT + ACPI_PM_GPE, 4);
    acpi_put(aml, 0, 4);
    acpi_put(aml, 4, 1); // lengths: PM1 event, PM1 control, PM2, PM timer, GPE0, GPE1
    acpi_put(aml, 2, 1);
    acpi_put(aml, 0, 1);
    acpi_put(aml, 4, 1);
    acpi_put(aml, ACPI_PM_GPE_BYTES, 1);
    acpi_put_zeroes(aml, 3);
    acpi_put(aml, 0xFFF, 2); // no C2, no C3
    acpi_put(aml, 0xFFF, 2);
    acpi_put_zeroes(aml, 8);
    acpi_put(aml, RTC_CENTURY, 1);
    acpi_put(aml, BOOT_LEGACY_DEVICES | BOOT_NO_VGA | BOOT_NO_ASPM, 2);
    acpi_put(aml, 0, 1);
    acpi_put(aml, FADT_WBINVD | FADT_C1 | FADT_NO_SLEEP_BUTTON | FADT_NO_RTC_WAKE | FADT_RESET_REGISTER, 4);
    acpi_generic_address(aml, 8, ACCESS_BYTE, PCI_HOST_RESET_PORT);
    acpi_put(aml, PCI_HOST_RESET_VALUE, 1);
    acpi_put(aml, 0, 2);
    acpi_put(aml, 4, 1); // minor revision: 6.4
    acpi_put(aml, 0, 8); // the 32-bit FACS address counts
    acpi_put(aml, dsdt, 8);
    acpi_generic_address(aml, 32, ACCESS_WORD, ACPI_PM_PORT + ACPI_PM_EVENT);
    acpi_put_zeroes(aml, 12);
    acpi_generic_address(aml, 16, ACCESS_WORD, ACPI_PM_PORT + ACPI_PM_CONTROL);
    acpi_put_zeroes(aml, 24);
    acpi_generic_address(aml, 32, ACCESS_DWORD, ACPI_PM_PORT + ACPI_PM_TIMER);
    acpi_generic_address(aml, ACPI_PM_GPE_BYTES * 8, ACCESS_BYTE, ACPI_PM_PORT + ACPI_PM_GPE);
    acpi_put_zeroes(aml, FADT_BYTES - (aml->used - table));
    acpi_table_end(aml, table);
}

static void acpi_facs(struct acpi_aml *aml)
{
    size_t at = aml->used;
    acpi_put_bytes(aml, "FACS", 4);
    acpi_put(aml, FACS_BYTES, 4);
    acpi_put_zeroes(aml, 24);
    acpi_put(aml, 2, 1); // version
    acpi_put_zeroes(aml, FACS_BYTES - (aml->used - at));
}

// An ISA line that does not arrive at the pin of its number, or not edge-triggered and high (5.2.12.5).
static void acpi_madt_override(struct acpi_aml *aml, u8 irq, u32 gsi, u16 flags)
{
    acpi_put(aml, 2 | 10 << 8, 2);
    acpi_put(aml, 0, 1);
    acpi_put(aml, irq, 1);
    acpi_put(aml, gsi, 4);
    acpi_put(aml, flags, 2);
}

static void acpi_madt(struct acpi_aml *aml, unsigned cpus)
{
    enum { ACTIVE_HIGH_LEVEL = 0x0D };
    size_t table = acpi_table_begin(aml, "APIC", 5);
    acpi_put(aml, BOARD_LAPIC, 4);
    acpi_put(aml, 1, 4); // the 8259s are there too
    for (unsigned cpu = 0; cpu < cpus; cpu++) {
        acpi_put(aml, 0 | 8 << 8, 2);
        acpi_put(aml, cpu, 1);
        acpi_put(aml, cpu, 1);
        acpi_put(aml, 1, 4);
    }
    acpi_put(aml, 1 | 12 << 8, 2); // the IOAPIC
    acpi_put(aml, 0, 2);
    acpi_put(aml, BOARD_IOAPIC, 4);
    acpi_put(aml, 0, 4);
    acpi_madt_override(aml, 0, 2, 0);
    acpi_madt_override(aml, SCI_IRQ, SCI_IRQ, ACTIVE_HIGH_LEVEL);
    acpi_put(aml, 4 | 6 << 8, 2); // NMI at LINT1 of every local APIC
    acpi_put(aml, 0xFF, 1);
    acpi_put(aml, 0, 2);
    acpi_put(aml, 1, 1);
    acpi_table_end(aml, table);
}

static void acpi_mcfg(struct acpi_aml *aml)
{
    size_t table = acpi_table_begin(aml, "MCFG", 1);
    acpi_put_zeroes(aml, 8);
    acpi_put(aml, BOARD_ECAM, 8);
    acpi_put(aml, 0, 2); // segment 0, buses 0 to 0
    acpi_put(aml, 0, 2);
    acpi_put(aml, 0, 4);
    acpi_table_end(aml, table);
}

static void acpi_rsdp(struct acpi_aml *aml, u64 xsdt)
{
    acpi_put_bytes(aml, "RSD PTR ", 8);
    acpi_put(aml, 0, 1);
    acpi_put_bytes(aml, "NIDUS ", 6);
    acpi_put(aml, 2, 1);
    acpi_put(aml, 0, 4); // no RSDT
    acpi_put(aml, RSDP_BYTES, 4);
    acpi_put(aml, xsdt, 8);
    acpi_put_zeroes(aml, 4);
    acpi_checksum(aml, 0, RSDP_OLD_BYTES, 8);
    acpi_checksum(aml, 0, RSDP_BYTES, 32);
}

static void acpi_build(struct acpi_aml *aml, unsigned cpus)
{
    enum { TABLES = 3, XSDT = 64 };
    acpi_put_zeroes(aml, XSDT); // the RSDP comes last, when addresses are known
    size_t xsdt = acpi_table_begin(aml, "XSDT", 1);
    size_t entries = aml->used;
    acpi_put_zeroes(aml, TABLES * 8);
    size_t facs = acpi_align(aml, 64);
    acpi_facs(aml);
    size_t dsdt = acpi_align(aml, 16);
    acpi_dsdt(aml);
    size_t tables[TABLES];
    tables[0] = acpi_align(aml, 16);
    acpi_fadt(aml, BOARD_ACPI + facs, BOARD_ACPI + dsdt);
    tables[1] = acpi_align(aml, 16);
    acpi_madt(aml, cpus);
    tables[2] = acpi_align(aml, 16);
    acpi_mcfg(aml);
    size_t end = aml->used;
    for (unsigned i = 0; i < TABLES; i++)
        acpi_patch(aml, entries + i * 8, BOARD_ACPI + tables[i], 8);
    aml->used = entries + TABLES * 8;
    acpi_table_end(aml, xsdt);
    aml->used = 0;
    acpi_rsdp(aml, BOARD_ACPI + xsdt);
    aml->used = end;
}

int acpi_write(struct memory *memory, unsigned cpus, struct error *error)
{
    size_t most = BOARD_ACPI_END - BOARD_ACPI;
    struct acpi_aml aml = {.bytes = calloc(1, most), .most = most};
    if (!aml.bytes)
        return error_set(error, "ACPI tables: out of host memory");
    acpi_build(&aml, cpus);
    bool written = !aml.overflow && memory_write(memory, BOARD_ACPI, aml.bytes, aml.used);
    free(aml.bytes);
    return written ? 0 : error_set(error, "ACPI tables for %u processors do not fit below 1 MiB", cpus);
}
