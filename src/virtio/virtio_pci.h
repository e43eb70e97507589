// Virtio over PCI, the modern transport only (VIRTIO 1.2, section 4.1): a guest older than 2016 is not among those that
// nidus is for, and the legacy interface would be a second reader of rings.
//
// Registers and doorbells are in separate BARs, so that a doorbell, the one access that is hot, takes no lock.
//
// This is also what the rest of nidus holds of a device. Its life: virtio_TYPE_create; board_attach(&pci->function);
// virtio_start(pci->virtio); ... virtio_stop(pci->virtio); board_destroy; virtio_pci_destroy. The thread must be
// stopped before the board goes, for it raises interrupts there.
#pragma once

#include "device/pci.h"
#include "virtio/virtio.h"

enum {
    VIRTIO_PCI_VENDOR = 0x1AF4,
    VIRTIO_PCI_DEVICE = 0x1040, // plus the device's id

    VIRTIO_PCI_BAR_REGISTERS = 0,
    VIRTIO_PCI_BAR_DOORBELLS = 1,
    VIRTIO_PCI_BAR_MSIX = 2,

    // In BAR_REGISTERS.
    VIRTIO_PCI_COMMON = 0x000,
    VIRTIO_PCI_ISR = 0x100,
    VIRTIO_PCI_CONFIG = 0x200,
    VIRTIO_PCI_REGISTERS_BYTES = 0x1000,

    VIRTIO_PCI_DOORBELL_STRIDE = 4, // notify_off_multiplier: queue n's doorbell is at 4 * n
    VIRTIO_PCI_DOORBELLS_BYTES = 0x1000,
};

// 4.1.4.3, what the guest sees at VIRTIO_PCI_COMMON.
struct virtio_pci_common {
    u32 device_feature_select;
    u32 device_feature;
    u32 driver_feature_select;
    u32 driver_feature;
    u16 config_vector;
    u16 queue_count;
    u8 status;
    u8 config_generation;
    u16 queue_select;
    u16 queue_size;
    u16 queue_vector;
    u16 queue_enable;
    u16 queue_doorbell;
    u64 queue_descriptors;
    u64 queue_driver;
    u64 queue_device;
};

// What a saved state needs beside the PCI function's and the device's.
struct virtio_pci_state {
    u32 device_feature_select, driver_feature_select;
    u16 queue_select;
    u8 isr;
};

struct virtio_pci {
    struct pci_function function; // to be attached to the board
    struct virtio *virtio;
    struct virtio_pci_state state; // all but `isr` only under the board's lock
    unsigned window; // offset of the capability through which configuration space reaches the BARs
    pthread_mutex_t isr_lock; // ISR and the level of the pin change together
};

// All that the transport and what every device has need to be saved; the queues, and what the type has besides, are
// sections of their own. While the device is paused.
struct virtio_pci_saved {
    struct virtio_pci_state transport;
    struct virtio_state device;
};
extern const struct state_section virtio_pci_section; // of a struct virtio_pci_saved, less its queues
void virtio_pci_save(struct virtio_pci *pci, struct virtio_pci_saved *saved);
int virtio_pci_restore(struct virtio_pci *pci, const struct virtio_pci_saved *saved, struct error *error);

// For the create functions of devices: wraps a device that virtio_open has filled, and becomes its interrupt.
int virtio_pci_init(struct virtio_pci *pci, struct virtio *virtio, struct error *error);

// Stops the thread if it runs, and frees the whole device. NULL is allowed.
void virtio_pci_destroy(struct virtio_pci *pci);
