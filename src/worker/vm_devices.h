// The PCI functions of a VM, from its options. Network adapters are cards that come and go; the rest stays.
#pragma once

#include "machine/board.h"
#include "machine/saved_state.h"
#include "worker/host.h"
#include "worker/memory_control.h"
#include "worker/run_options.h"

struct vm_devices;

// Creates them and attaches them to the board. NULL with the reason in `error`.
struct vm_devices *vm_devices_create(const struct run_options *options, struct host *host, struct board *board,
                                     struct error *error);
// One more adapter, at its place; `paused`: it begins with the others. And what a card leaves behind that is out of the
// board.
int vm_devices_plug(struct vm_devices *devices, unsigned place, struct host *host, struct board *board, bool paused,
                    struct error *error);
void vm_devices_unplugged(struct vm_devices *devices, unsigned place);
int vm_devices_start(struct vm_devices *devices, struct error *error);
void vm_devices_pause(struct vm_devices *devices); // until vm_devices_resume, none touches guest memory or the board
void vm_devices_resume(struct vm_devices *devices);
struct memory_control *vm_devices_memory(struct vm_devices *devices);
unsigned vm_devices_count(const struct vm_devices *devices);
int vm_devices_save(struct vm_devices *devices, struct state_writer *writer, struct error *error); // while paused
int vm_devices_restore(struct vm_devices *devices, struct board *board, struct state_reader *reader,
                       struct error *error);
void vm_devices_stop(struct vm_devices *devices);    // afterwards none touches guest memory or the board
void vm_devices_destroy(struct vm_devices *devices); // after the board
