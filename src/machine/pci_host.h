// The PCI host bridge: bus 0, reached through ports 0xCF8/0xCFC and through memory (ECAM), and what firmware would do
// to it: giving every BAR an address. The last slots are for cards that come and go (device/pci_hotplug.h); their BARs
// are the guest's to place when they come late. Port 0xCF9, in the middle of the first, is the reset control register
// that ACPI names.
#pragma once

#include "device/device.h"
#include "device/pci.h"
#include "machine/board_bus.h"

enum { PCI_HOST_SLOTS = 32, PCI_HOST_INTX_GSI = 16, PCI_HOST_INTX_LINES = 8, PCI_HOST_RESET_PORT = 0xCF9,
       PCI_HOST_RESET_VALUE = 0x06, PCI_HOST_PLUG_FIRST = 24, PCI_HOST_PLUGS = 8 };

struct pci_host {
    struct board_bus *bus;
    pthread_mutex_t *lock; // for BAR handlers
    void *context;
    void (*message)(void *context, u64 address, u32 data);
    void (*intx)(void *context, unsigned gsi, unsigned slot, bool level);
    void (*reset_machine)(void *context);

    struct pci_function bridge; // slot 0
    struct pci_function *functions[PCI_HOST_SLOTS];
    u32 address; // last dword written to 0xCF8
    u8 reset_control;
};

extern const struct device_model pci_host_model;

int pci_host_init(struct pci_host *host, struct error *error);
void pci_host_destroy(struct pci_host *host);
// In the first slot that is free and not for such cards, or in this one.
int pci_host_attach(struct pci_host *host, struct pci_function *function, struct error *error);
int pci_host_attach_at(struct pci_host *host, struct pci_function *function, unsigned slot, struct error *error);
// Under the board's lock. The function that was there, which may raise interrupts for as long as it likes to; or NULL.
struct pci_function *pci_host_detach(struct pci_host *host, unsigned slot);

// Resets every function and gives the BARs their addresses.
int pci_host_assign(struct pci_host *host, struct error *error);

static inline unsigned pci_host_gsi(unsigned slot) { return PCI_HOST_INTX_GSI + slot % PCI_HOST_INTX_LINES; }
