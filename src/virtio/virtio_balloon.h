// The memory balloon (VIRTIO 1.2, section 5.5): the guest is asked for pages and says which it does without, and the
// host has them until the guest takes them back. The same device reports pages that are free anyway (5.5.6.7), and
// what the guest's memory is used for (5.5.6.3). It gives way before the guest's system has to end programs
// (DEFLATE_ON_OOM).
#pragma once

#include "virtio/virtio_pci.h"

struct virtio_balloon_status {
    bool live;   // a driver runs
    u64 target;  // bytes it was asked for
    u64 held;    // bytes it says it does without
    u64 reports; // statistics that came so far; the rest below is the last one, 0 where it says nothing
    u64 total, free, available; // bytes: that the guest's system manages, unused, and to be had without swapping
};

struct virtio_pci *virtio_balloon_create(struct memory *memory, struct error *error);

// Any thread.
void virtio_balloon_ask(struct virtio_pci *pci, u64 bytes);  // how much the guest shall do without
void virtio_balloon_get(struct virtio_pci *pci, struct virtio_balloon_status *status);
void virtio_balloon_refresh(struct virtio_pci *pci);         // new statistics soon
void virtio_balloon_every(struct virtio_pci *pci, unsigned milliseconds); // and again and again; 0: no more

// Before virtio_start. `reported` is called after new statistics, on the device's thread with no lock held.
void virtio_balloon_listen(struct virtio_pci *pci, void (*reported)(void *context), void *context);
