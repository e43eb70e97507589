// One PCI function: configuration space, base address registers, capabilities, MSI-X and INTx. A device fills the upper
// part of the struct and attaches it to the board; everything below "State" belongs to pci.c. BARs are given addresses
// by the host bridge at attach (there is no firmware that would), and the guest may move them.
//
// Threads: configuration space and BAR handlers are called under the board's lock, except BARs marked `unlocked`, whose
// handlers may run on several vCPUs at once (doorbells). pci_msix_raise, pci_intx_set and pci_msix_enabled may be
// called by any thread, with or without the board's lock.
#pragma once

#include <pthread.h>

#include "base/error.h"
#include "device/device.h"

enum { PCI_BARS = 6, PCI_CONFIG_BYTES = 256, PCI_MSIX_MOST = 128 };

enum pci_bar_kind { PCI_BAR_NONE, PCI_BAR_IO, PCI_BAR_MEMORY32, PCI_BAR_MEMORY64 }; // 64: takes the next slot too

struct pci_bar {
    enum pci_bar_kind kind;
    u64 bytes; // a power of two; memory at least 4 KiB is kind to guests that pass functions through
    bool unlocked;
    // `context` is the function's. bytes: 1, 2, 4 or 8; the access lies inside the BAR; not necessarily aligned.
    u64 (*read)(void *context, u64 offset, unsigned bytes);
    void (*write)(void *context, u64 offset, unsigned bytes, u64 value);
};

struct pci_msix_entry {
    u64 address;
    u32 data;
    u32 control; // bit 0: masked
};

struct pci_function;

// What the host bridge does for its functions. `msi` may be called by any thread; `moved` under the board's lock.
struct pci_host_ops {
    void (*msi)(void *host, u64 address, u32 data);
    void (*intx)(void *host, const struct pci_function *function, bool level);
    void (*moved)(void *host, struct pci_function *function); // a BAR's address or the decode bits changed
};

struct pci_function {
    const char *name;
    void *context;
    u16 vendor, device, subsystem_vendor, subsystem;
    u32 class_code; // 24 bits: class, subclass, programming interface
    u8 revision;
    bool intx;             // has an interrupt pin
    struct pci_bar bars[PCI_BARS];
    unsigned msix_vectors; // 0: none
    u8 msix_bar;           // index of a MEMORY BAR slot left PCI_BAR_NONE above: pci.c builds it (table, then PBA)

    // Optional. The eventfd that a write to this place of an `unlocked` BAR rings, if that is all it does, or -1: so
    // that the engine can ring it. Called with the map lock held; it stays open until the function is detached.
    int (*doorbell)(void *context, unsigned bar, u64 offset);

    // Optional. For registers in configuration space that act (a capability's window into a BAR): `config_read` may
    // refresh pci_config bytes before they are read, `config_written` sees what was just written. Offsets are absolute.
    void (*config_read)(void *context, unsigned offset, unsigned bytes);
    void (*config_written)(void *context, unsigned offset, unsigned bytes);
    void (*reset)(void *context); // the bus was reset

    // State
    u8 config[PCI_CONFIG_BYTES];
    u8 writable[PCI_CONFIG_BYTES];
    unsigned slot; // device number on bus 0
    unsigned capabilities_end;
    u8 last_capability;
    u8 msix_capability;
    const struct pci_host_ops *host_ops;
    void *host;
    pthread_mutex_t lock; // MSI-X table, pending bits, INTx level
    struct pci_msix_entry msix[PCI_MSIX_MOST];
    u64 msix_pending[PCI_MSIX_MOST / 64];
    bool intx_level;
    bool intx_driven;
};

// Saved state. The function's identity and capabilities are in it too, to be compared: pci_restore refuses a state of
// another function. Wires are not driven, messages not sent: what is at their other end was saved too.
struct pci_state {
    u8 config[PCI_CONFIG_BYTES];
    struct pci_msix_entry msix[PCI_MSIX_MOST];
    u64 msix_pending[PCI_MSIX_MOST / 64];
    bool intx_level, intx_driven;
};
extern const struct state_section pci_section; // of a struct pci_state
void pci_save(struct pci_function *function, struct pci_state *state);
int pci_restore(struct pci_function *function, const struct pci_state *state, struct error *error); // board's lock held

// Builds configuration space from the description. -1 if the description cannot be.
int pci_init(struct pci_function *function, struct error *error);
void pci_destroy(struct pci_function *function);
void pci_reset(struct pci_function *function);

// Appends a capability after pci_init, before attach: `body` is what follows the two bytes of id and next pointer.
// `writable`, if not NULL, is a mask of the bits the guest can change. Returns the offset of the capability, or -1.
int pci_capability(struct pci_function *function, u8 id, const void *body, const void *writable, unsigned bytes,
                   struct error *error);

u32 pci_config_read(struct pci_function *function, unsigned offset, unsigned bytes);
void pci_config_write(struct pci_function *function, unsigned offset, unsigned bytes, u32 value);

// Where a BAR is now; false if it is not decoded.
bool pci_bar_address(const struct pci_function *function, unsigned bar, u64 *address);
void pci_bar_assign(struct pci_function *function, unsigned bar, u64 address);
u64 pci_bar_read(struct pci_function *function, unsigned bar, u64 offset, unsigned bytes);
void pci_bar_write(struct pci_function *function, unsigned bar, u64 offset, unsigned bytes, u64 value);

// Interrupts. A raise of a masked vector stays pending until it is unmasked; of one beyond the table, nothing.
bool pci_msix_enabled(struct pci_function *function);
void pci_msix_raise(struct pci_function *function, unsigned vector);
void pci_intx_set(struct pci_function *function, bool level);
