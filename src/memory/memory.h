// Guest-physical memory. It is one memfd, mapped shared, because a later process of the same VM must be able to map it
// too, and because the engines want a stable host address for each slot. This is the only code that turns a guest
// address into a host pointer for devices: an address that comes from a guest means nothing until it was checked here.
//
// The layout is the PC's: RAM from 0 up to MEMORY_HOLE, then the hole that PCI and the interrupt controllers live in,
// then the rest of RAM from 4 GiB on.
#pragma once

#include "base/error.h"
#include "base/types.h"

struct engine;
struct engine_vm;
struct memory;

#define MEMORY_HOLE ((u64)0xC0000000) // RAM below ends here at the latest
#define MEMORY_HIGH GIB(4)            // and goes on here
#define MEMORY_LEAST MIB(1)
#define MEMORY_MOST GIB(1024)

enum { MEMORY_BLOCKS = 2 };

// A run of guest-physical addresses that is RAM, backed by consecutive bytes of the memfd.
struct memory_block {
    u64 gpa;
    u64 bytes;
    u64 offset; // in the memfd
    u8 *host;
};

// `bytes` is a multiple of the page size. Nothing is reserved or touched: pages appear as the guest uses them.
struct memory *memory_create(u64 bytes, struct error *error);
void memory_destroy(struct memory *memory);

// Tells the engine of every block (KVM_SET_USER_MEMORY_REGION, slot = block number) and remembers it for
// memory_written. Once per VM. memory_detach removes the slots again.
int memory_attach(struct memory *memory, const struct engine *engine, struct engine_vm *vm, struct error *error);
void memory_detach(struct memory *memory);

u64 memory_bytes(const struct memory *memory);
int memory_fd(const struct memory *memory);
unsigned memory_blocks(const struct memory *memory, const struct memory_block **blocks);

// Translation: a pointer to guest RAM [gpa, gpa+bytes), or NULL unless all of it is RAM of one block. Any thread. The
// guest may change the bytes at any time, so read a field once and check the copy. Whoever writes through the pointer
// calls memory_written afterwards, for code translations and dirty pages.
void *memory_pointer(const struct memory *memory, u64 gpa, u64 bytes);
void memory_written(struct memory *memory, u64 gpa, u64 bytes);

// The longest run of RAM that starts at `gpa`, at most `bytes` long: 0 if gpa is not RAM.
u64 memory_run(const struct memory *memory, u64 gpa, u64 bytes);

// Copies; false (nothing copied) unless the whole range is RAM. memory_write includes memory_written.
bool memory_read(const struct memory *memory, u64 gpa, void *to, u64 bytes);
bool memory_write(struct memory *memory, u64 gpa, const void *from, u64 bytes);
// The same for much, of whole pages that are not looked at soon: they are not mapped one by one, as by touching them.
bool memory_load(struct memory *memory, u64 gpa, const void *from, u64 bytes);
bool memory_fill(struct memory *memory, u64 gpa, u8 value, u64 bytes);

// Back to zeroes, and the host gets its pages back. Only while no vCPU runs.
int memory_clear(struct memory *memory, struct error *error);

// The host's page-table entries of this guest page go away and come back by the next access, contents unchanged: what
// a test device needs to provoke a fault in the middle of something.
void memory_unmap_page(struct memory *memory, u64 gpa);

// Dirty pages, one bit a page: those vCPUs wrote (the engine's log) and those devices wrote (memory_written).
// memory_dirty_take moves a block's bits since the last take into `bits`, (bytes / PAGE_BYTES + 63) / 64 words.
int memory_dirty_start(struct memory *memory, struct error *error);
void memory_dirty_stop(struct memory *memory);
int memory_dirty_take(struct memory *memory, unsigned block, u64 *bits, struct error *error);
