// The board: memory, every chip, the PCI bus, and the wires between them; the only place that knows every part. The
// worker gives it an engine VM, lets it answer the exits of the vCPU threads, and sleeps on its timer descriptor.
//
// Locks: one for the chips, one for the interrupt controllers (so that any thread can raise a line), one reader-writer
// lock for the address maps. BARs marked `unlocked` (doorbells) are called with the map lock held for reading only.
// Call-backs in `struct board_events` are made with locks held: they take note (set a flag, write an eventfd, kick a
// vCPU) and return; they never call the board.
#pragma once

#include "base/error.h"
#include "device/device.h"
#include "device/pci.h"
#include "device/uart.h"
#include "engine/engine.h"
#include "memory/memory.h"

struct board;

// Guest-physical places that others need to know.
#define BOARD_ECAM ((u64)0xE0000000)        // configuration space of bus 0
#define BOARD_ECAM_BYTES MIB(1)
#define BOARD_PCI_WINDOW ((u64)0xC0000000)  // BARs, up to BOARD_ECAM
#define BOARD_IOAPIC ((u64)0xFEC00000)
#define BOARD_LAPIC ((u64)0xFEE00000)
#define BOARD_ACPI ((u64)0xE0000)           // RSDP and all tables, below 1 MiB
#define BOARD_ACPI_END ((u64)0x100000)
#define BOARD_EBDA ((u64)0x9FC00)           // conventional memory ends here
enum { BOARD_IOAPIC_PINS = 24, BOARD_SLOTS = 32, BOARD_PLACES = 8 };

struct board_events {
    void *context;
    void (*shutdown)(void *context);                     // ACPI S5
    void (*reset)(void *context);                        // keyboard controller, port 0x92, 0xCF9, ACPI reset register
    void (*debug_exit)(void *context, unsigned status);  // isa-debug-exit: (value << 1) | 1
    // A card is out of its place and not called any more; board_plug put it there. `let_go`: the guest said so.
    void (*unplugged)(void *context, unsigned place, bool let_go);
    void (*extint)(void *context);                       // the PIC wants vCPU 0: kick it out of KVM_RUN
};

struct board_config {
    const struct engine *engine;
    struct engine_vm *vm;
    u64 memory_bytes;
    u64 memory_most; // what can be plugged besides (memory_reserve), up to this in all; 0: nothing
    unsigned cpus;
    bool debug; // isa-debug-exit and pc-testdev, what kvm-unit-tests need
    struct uart_backend console;
    struct board_events events;
    const struct clock *clock; // NULL: the host's monotonic clock, from 0 at creation
    s64 wall_s;                // seconds since 1970 at guest time 0, for the RTC; 0: ask the host
};

// Memory is created and attached to the engine; the engine VM must already be open. ACPI tables are written by
// board_finish, after the last board_attach; board_finish also resets, so it is the last call before the first KVM_RUN.
struct board *board_create(const struct board_config *config, struct error *error);
int board_attach(struct board *board, struct pci_function *function, struct error *error); // slots in order, from 1
int board_finish(struct board *board, struct error *error);

// Cards that come and go: any thread, before board_finish or after it, while paused or not. A place is one of
// BOARD_PLACES, and always the same slot, so that a saved state finds its cards where they were. board_unplug asks the
// guest to let go of the card and pulls it when that takes too long (device/pci_hotplug.h); without `ask` it is pulled
// at once. `events.unplugged` says when it is out; then its owner stops it, which ends its interrupts, calls
// pci_intx_set(function, false), and frees it.
int board_plug(struct board *board, struct pci_function *function, unsigned place, struct error *error);
void board_unplug(struct board *board, unsigned place, bool ask);

void board_destroy(struct board *board); // vCPUs are gone; attached functions still live

// Chips, PCI functions and tables as at power-on. No vCPU may be running. RAM is left as it is (except the tables).
int board_reset(struct board *board, struct error *error);

struct memory *board_memory(struct board *board);

// What a boot protocol tells the guest about addresses: e820 types. Returns how many entries there are (at most
// `most`).
enum { BOARD_MAP_RAM = 1, BOARD_MAP_RESERVED = 2, BOARD_MAP_ACPI = 3, BOARD_MAP_MOST = 16 };
struct board_map_entry {
    u64 gpa;
    u64 bytes;
    u32 type;
};
unsigned board_map(const struct board *board, struct board_map_entry *entries, unsigned most);
u64 board_rsdp(const struct board *board);

// vCPU threads. board_exit answers KVM_EXIT_IO, KVM_EXIT_MMIO and KVM_EXIT_IOAPIC_EOI and returns true; false for
// any other reason. Reads of what is not there give all ones.
bool board_exit(struct board *board, struct kvm_run *run);

// The PIC's ExtINT, before each KVM_RUN of vCPU 0: injects it with KVM_INTERRUPT when
// run->ready_for_interrupt_injection says so, otherwise asks for a window (run->request_interrupt_window). 0 or a
// negative errno.
int board_before_run(struct board *board, struct engine_vcpu *vcpu, struct kvm_run *run);

// Single accesses, what board_exit is made of; also for tests and fuzzing. bytes: 1..8.
u64 board_read(struct board *board, enum device_space space, u64 address, unsigned bytes);
void board_write(struct board *board, enum device_space space, u64 address, unsigned bytes, u64 value);

// Any thread: drive a GSI (0..23; the ISA lines are 0..15, the PIT is 0 and arrives at IOAPIC pin 2).
void board_irq(struct board *board, unsigned gsi, bool level);

// The host's side of COM1: how many bytes were taken; more after `room`.
size_t board_console_receive(struct board *board, const u8 *bytes, size_t count);

void board_power_button(struct board *board);

// Stops guest time and everything that moves by itself: timers, the console's input, the power button, the event
// of a card that came or was pulled, which all wait.
// The vCPUs are outside KVM_RUN and the attached functions are quiet, until after board_resume. Pausing twice is
// pausing.
void board_pause(struct board *board);
void board_resume(struct board *board);

// Saved state of all chips, guest time and the host bridge; attached functions are their owners' to save. While paused.
// board_restore: into a board that was finished and paused, and stays paused.
struct state_writer;
struct state_reader;
int board_save(struct board *board, struct state_writer *writer, struct error *error);
int board_restore(struct board *board, struct state_reader *reader, struct error *error);
int board_restore_function(struct board *board, struct pci_function *function, const struct pci_state *state,
                           struct error *error);

// A timerfd, readable when board_timers must be called (any one thread). It keeps itself armed.
int board_timer_fd(const struct board *board);
void board_timers(struct board *board);
