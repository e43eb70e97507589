// The board's address maps: which chip or BAR answers a port or a guest-physical address that is not RAM. Ranges never
// overlap: the board's own chips are entered first and a BAR that a guest moves over something else simply does not
// answer. Sorted arrays, so that a look-up is a handful of compares whatever the number of devices.
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "device/device.h"
#include "device/pci.h"
#include "machine/board_doorbell.h"

enum { BOARD_BUS_RANGES = 256 };

struct board_range {
    u64 base, bytes;
    pthread_mutex_t *lock; // held around the handler; NULL: called with the map lock held for reading
    u8 widest;
    u8 bar;
    void *chip;
    device_read *read;
    device_write *write;
    struct pci_function *function; // not NULL: a BAR, and chip, read, write are unused
};

struct board_map {
    unsigned count;
    struct board_range ranges[BOARD_BUS_RANGES];
};

struct board_bus {
    pthread_rwlock_t lock;
    struct board_map ports, memory;
    struct board_doorbells doorbells;
    atomic_uint removals; // functions that were taken out
};

void board_bus_init(struct board_bus *bus, const struct engine *engine, struct engine_vm *vm);
void board_bus_destroy(struct board_bus *bus);

// All ranges of a chip; false if one of them does not fit in. `lock` is for all of them.
bool board_bus_add_chip(struct board_bus *bus, const struct device_model *model, void *chip, pthread_mutex_t *lock);

// Takes the function's BARs out and puts those that are decoded now back in.
void board_bus_update_function(struct board_bus *bus, struct pci_function *function, pthread_mutex_t *lock);

// Takes the function out: once nobody holds the lock of its ranges any more, it is not called again. The caller holds
// that lock.
void board_bus_remove_function(struct board_bus *bus, const struct pci_function *function);

// bytes: 1..8. Nothing there: all ones, ignored.
u64 board_bus_read(struct board_bus *bus, enum device_space space, u64 address, unsigned bytes);
void board_bus_write(struct board_bus *bus, enum device_space space, u64 address, unsigned bytes, u64 value);
