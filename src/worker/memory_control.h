// How much memory a VM has while it runs: one number, the target, made true by two devices. Below the startup memory
// the balloon takes pages from the guest; above it virtio-mem gives the guest blocks, up to the most that was
// reserved when the VM was created. The guest's drivers carry it out when they can, so `assigned` follows the target
// in its own time.
//
// A policy says what the target is. With minimum = maximum it is that number. Otherwise memory is dynamic: the target
// is what the guest needs (its demand) and `buffer` percent of it besides, between the two. The guest's statistics
// are then read once a second; an idle VM with fixed memory is left alone. While a hypervisor runs in the VM, dynamic
// memory stays what it is, as on Hyper-V: what its guests need cannot be seen in its statistics.
#pragma once

#include "base/error.h"
#include "base/types.h"

struct memory_control;
struct virtio_pci;

struct memory_policy {
    u64 minimum, maximum; // bytes
    unsigned buffer;      // percent
};

struct memory_status {
    u64 startup;  // bytes; what the VM was started with
    u64 most;     // what it can have at most
    u64 assigned; // what it has: startup, less what the balloon holds, plus what is plugged
    u64 target;   // what it shall have
    u64 demand;   // what its system and programs use; 0 while the guest does not tell
    u64 available; // what the guest could give to programs without swapping; 0 while it does not tell
    bool balloon; // the guest has a driver of the balloon: it can shrink below `startup`
    bool hotplug; // ... of virtio-mem: it can grow above
};

// For vm_devices.c. The functions are attached to the board by their creator, and outlive this. `hotplug` is NULL where
// `most` is `startup`.
struct memory_control *memory_control_create(u64 startup, u64 most, struct virtio_pci *balloon,
                                             struct virtio_pci *hotplug, struct error *error);
void memory_control_destroy(struct memory_control *control); // after the devices were stopped; NULL is allowed

// Before the devices are started: asks `held` at each report, on a device's thread. While it says so, dynamic memory
// stays as it is.
void memory_control_hold(struct memory_control *control, bool (*held)(void *context), void *context);

// Any thread. -1, with nothing changed: the policy makes no sense, or asks for more than `most`.
int memory_control_set(struct memory_control *control, const struct memory_policy *policy, struct error *error);
void memory_control_get(struct memory_control *control, struct memory_policy *policy);
void memory_control_status(struct memory_control *control, struct memory_status *status);
