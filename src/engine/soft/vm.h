// The VM as the soft engine knows it: RAM slots, vCPUs, the code cache they share, and how they stop each other.
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "engine/engine.h"
#include "engine/soft/cpu.h"

struct block;
struct code_cache;
struct lapic_clock;

// Per physical page of RAM. `writers` is a superset of the vCPUs that may hold a write tag for it.
struct ram_page {
    _Atomic u64 writers;
    struct block *_Atomic blocks; // translations of its bytes (block.h); their list is guarded by the code cache's lock
};

struct ram_slot {
    u64 gpa, bytes;
    u8 *host;
    struct ram_page *pages;
    _Atomic u64 *dirty; // one bit a page, NULL: not logged
    u32 id, flags;      // KVM_MEM_*
};

enum { VM_SLOTS = 32 };

struct engine_vm {
    struct engine_config config;
    unsigned slot_count;
    struct ram_slot slot[VM_SLOTS]; // sorted by gpa; changed only while the world is stopped
    struct cpu *cpu[ENGINE_MAX_VCPUS];
    unsigned cpu_count;
    struct code_cache *code;

    pthread_mutex_t lock;       // slots, stop-the-world, routing
    pthread_cond_t resumed, stopped;
    unsigned stop_depth, running;

    struct kvm_irq_routing_entry *route;
    unsigned routes;
    struct lapic_clock *lapic_clock; // the timer thread of all local APICs (lapic_timer.c)
    u64 tsc_khz;
    u8 gsbase; // enum gsbase_way
};

struct ram_slot *ram_slot_find(struct engine_vm *vm, u64 gpa);        // NULL: not RAM
void *ram_pointer(struct engine_vm *vm, u64 gpa, u64 bytes);          // NULL: not RAM, or not all in one slot
struct ram_page *ram_page_find(struct engine_vm *vm, u64 gpa);        // NULL: not RAM
void ram_mark_dirty(struct engine_vm *vm, u64 gpa);                   // the dirty log

// Before bytes of a page with code are written by `cpu` (or, NULL, a device): drops the translations that overlap.
// Returns true when the block that `cpu` is executing was among them.
bool code_written(struct engine_vm *vm, struct cpu *cpu, u64 gpa, u64 bytes);
