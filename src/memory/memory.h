// Guest-physical memory. It is one memfd, mapped shared, because a later process of the same VM must be able to map it
// too, and because the engines want a stable host address for each slot. This is the only code that turns a guest
// address into a host pointer for devices: an address that comes from a guest means nothing until it was checked here.
//
// The layout is the PC's: RAM from 0 up to MEMORY_HOLE, then the hole that PCI and the interrupt controllers live in,
// then the rest of RAM from 4 GiB on, and above that the region, if any, that RAM is added to while the VM runs.
//
// The host's side of all of it is mapped for good, present or not: what is no RAM (any more) for guest and devices may
// still be written through a pointer that was taken before, at worst to the guest's own loss.
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

#define MEMORY_REGION_ALIGN GIB(2) // the largest unit in which a Linux guest adds memory
#define MEMORY_CHUNK_ALIGN MIB(128)

// No table of the firmware's tells of the region: Linux's driver of virtio-mem needs none, and where the SRAT says that
// memory above 4 GiB can be added, Linux sets 64 MiB of a small guest aside for devices that cannot reach it, of which
// there are none.
//
// It is told to the engine by chunks, because a slot cannot grow while processors run; a chunk is there while any
// byte of it is plugged.
enum { MEMORY_FIXED_BLOCKS = 2, MEMORY_CHUNKS = 16, MEMORY_BLOCKS = MEMORY_FIXED_BLOCKS + MEMORY_CHUNKS };

// A run of guest-physical addresses that is RAM, backed by consecutive bytes of the memfd.
struct memory_block {
    u64 gpa;
    u64 bytes;
    u64 offset; // in the memfd
    u8 *host;
    bool chunk; // of the region: RAM only while memory_present
};

// `bytes` is a multiple of the page size. Nothing is reserved or touched: pages appear as the guest uses them.
struct memory *memory_create(u64 bytes, struct error *error);
void memory_destroy(struct memory *memory);

// Tells the engine of every block (KVM_SET_USER_MEMORY_REGION, slot = block number) and remembers it for
// memory_written. Once per VM. memory_detach removes the slots again.
int memory_attach(struct memory *memory, const struct engine *engine, struct engine_vm *vm, struct error *error);
void memory_detach(struct memory *memory);

// Sets a region of `bytes` aside for memory_plug. Once, before memory_attach. Nothing of it is RAM yet.
int memory_reserve(struct memory *memory, u64 bytes, struct error *error);
u64 memory_reserved(const struct memory *memory, u64 *gpa); // how large it is, 0: there is none

// [gpa, gpa+bytes) of the region, whole pages, becomes RAM that reads as zeroes, or ceases to be and goes back to the
// host. One caller, which never plugs what is plugged nor unplugs what is not; processors and devices run on. -1:
// that is not in the region, or the engine refuses; nothing has changed.
int memory_plug(struct memory *memory, u64 gpa, u64 bytes, struct error *error);
void memory_unplug(struct memory *memory, u64 gpa, u64 bytes);

// The region as saved state: what each chunk has plugged. Set once, before anything else is plugged; -1: this region is
// another one, or a chunk cannot have so much.
struct memory_plugged {
    u64 reserved;
    u64 chunks[MEMORY_CHUNKS]; // bytes
};
void memory_get_plugged(struct memory *memory, struct memory_plugged *plugged);
int memory_set_plugged(struct memory *memory, const struct memory_plugged *plugged, struct error *error);

u64 memory_bytes(const struct memory *memory); // without the region
int memory_fd(const struct memory *memory);
unsigned memory_blocks(const struct memory *memory, const struct memory_block **blocks); // the region's chunks last
bool memory_present(const struct memory *memory, unsigned block);

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

// The guest does without the contents of [gpa, gpa+bytes), whole pages of RAM: they read as zeroes from now on, and
// the host has its pages back until they are touched again. Any thread. -1 if that is no RAM of one block, or the
// host refuses.
int memory_release(struct memory *memory, u64 gpa, u64 bytes);

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
