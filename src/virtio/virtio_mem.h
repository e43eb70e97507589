// The memory device (VIRTIO 1.2, section 5.15): a region of guest-physical memory whose blocks the guest plugs and
// unplugs when the host asks it to grow or shrink. The region is the one that memory_reserve set aside; what is
// plugged is RAM (memory_plug), the rest does not exist, for processors and devices alike.
#pragma once

#include "virtio/virtio_pci.h"

enum { VIRTIO_MEM_BLOCKS = 8192 };           // at most; the block size follows from it
#define VIRTIO_MEM_LEAST_BLOCK MIB(2)

struct virtio_mem_status {
    bool live;     // a driver runs
    u64 region;    // bytes in all
    u64 block;     // bytes of a block
    u64 requested; // what shall be plugged
    u64 plugged;   // what is
};

// The memory must have a region (memory_reserve), whole blocks long (virtio_mem_block).
struct virtio_pci *virtio_mem_create(struct memory *memory, struct error *error);

u64 virtio_mem_block(u64 region); // the block size for a region of so many bytes

// Any thread. Rounds up to whole blocks; no more than the region.
void virtio_mem_request(struct virtio_pci *pci, u64 bytes);
void virtio_mem_get(struct virtio_pci *pci, struct virtio_mem_status *status);

// Before virtio_start. `changed` is called after the guest plugged or unplugged something, on the device's thread
// with no lock held.
void virtio_mem_listen(struct virtio_pci *pci, void (*changed)(void *context), void *context);
