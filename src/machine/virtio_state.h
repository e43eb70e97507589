// A virtio device in a saved state: its PCI function, transport and status, queues, and what its type has besides.
// While the device is paused and no vCPU runs.
#pragma once

#include "machine/board.h"
#include "machine/saved_state.h"
#include "virtio/virtio_pci.h"

int virtio_state_save(struct virtio_pci *pci, struct state_writer *writer, struct error *error);

// Into a device that was just created and attached.
int virtio_state_restore(struct virtio_pci *pci, struct board *board, struct state_reader *reader, struct error *error);
