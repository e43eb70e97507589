// Slots of the PCI bus whose cards come and go while the machine runs. What comes and goes is told by an event (a GPE,
// whose method in the DSDT reads these registers and notifies the slots' devices, ACPI 6.4, 5.6.6), and the guest lets
// a card go by writing to EJECT (_EJ0, 6.3.3). ACPI's way rather than PCI Express's own: the functions sit on the root
// bus without a port before each, so that an empty slot is a few bytes of AML and nothing else.
//
// Registers, 32 bits each, a bit for a slot:
//   0x0  PLUGGED  read: slots into which a card came; write 1 to clear
//   0x4  LEAVING  read: slots whose card the guest is to let go of, or which has been pulled; write 1 to clear. To be
//                 looked at before PLUGGED, where another card may have come since.
//   0x8  EJECT    write: the guest has let go of the slots' cards. Only of those it was asked for: which cards there
//                 are is the host's to say.
// A guest that does not let go in PCI_HOTPLUG_PATIENCE loses the card by surprise, for what the host takes away is
// taken away, and is told once more by LEAVING: Linux looks for a card that is gone only where one is to go.
#pragma once

#include "device/device.h"
#include "device/timer.h"

enum { PCI_HOTPLUG_PORT = 0x620, PCI_HOTPLUG_PORTS = 12 };
enum { PCI_HOTPLUG_PLUGGED = 0x0, PCI_HOTPLUG_LEAVING = 0x4, PCI_HOTPLUG_EJECT = 0x8 };
#define PCI_HOTPLUG_PATIENCE (10 * NS_PER_S) // of guest time, from the last card that was asked for

struct pci_hotplug {
    u32 slots; // that can be plugged
    void *context;
    void (*event)(void *context);
    // The card leaves its slot now. `let_go`: the guest said so, otherwise it is pulled. May be called for slots
    // that are empty.
    void (*leave)(void *context, unsigned slot, bool let_go);
    struct timer patience;

    u32 plugged, leaving;
    u32 asked; // the guest was asked and has not ejected yet
};

extern const struct device_model pci_hotplug_model;

void pci_hotplug_init(struct pci_hotplug *hotplug, struct timer_list *timers);
void pci_hotplug_plug(struct pci_hotplug *hotplug, unsigned slot); // a card is there now
void pci_hotplug_ask(struct pci_hotplug *hotplug, unsigned slot);  // the guest is to let go of the card
void pci_hotplug_pull(struct pci_hotplug *hotplug, unsigned slot); // at once: calls `leave`
