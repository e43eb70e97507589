// See memory.h. The blocks never change after creation, so translation needs no lock; the dirty bits are atomic words
// because vCPU threads and device threads set them while somebody else takes them.
#include "memory/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/engine.h"

struct memory {
    int fd;
    u8 *host; // the whole memfd, in order
    u64 bytes;
    unsigned blocks;
    struct memory_block block[MEMORY_BLOCKS];
    const struct engine *engine; // NULL until attached
    struct engine_vm *vm;
    atomic_bool logging;
    _Atomic(u64) *dirty[MEMORY_BLOCKS]; // allocated by the first memory_dirty_start, kept until destroy
};

static void memory_lay_out(struct memory *memory)
{
    u64 low = memory->bytes < MEMORY_HOLE ? memory->bytes : MEMORY_HOLE;
    memory->block[0] = (struct memory_block){.gpa = 0, .bytes = low, .offset = 0, .host = memory->host};
    memory->blocks = 1;
    if (memory->bytes > low)
        memory->block[memory->blocks++] = (struct memory_block){
            .gpa = MEMORY_HIGH, .bytes = memory->bytes - low, .offset = low, .host = memory->host + low};
}

struct memory *memory_create(u64 bytes, struct error *error)
{
    if (bytes < MEMORY_LEAST || bytes > MEMORY_MOST || bytes % PAGE_BYTES) {
        error_set(error, "guest memory of %lu bytes: must be whole pages, from %lu MiB to %lu GiB",
                  bytes, MEMORY_LEAST >> 20, MEMORY_MOST >> 30);
        return NULL;
    }
    struct memory *memory = calloc(1, sizeof *memory);
    if (!memory) {
        error_set(error, "guest memory: out of host memory");
        return NULL;
    }
    memory->bytes = bytes;
    memory->fd = memfd_create("guest-memory", MFD_CLOEXEC);
    if (memory->fd < 0 || ftruncate(memory->fd, (off_t)bytes)) {
        error_set(error, "guest memory of %lu MiB: memfd: %s", bytes >> 20, strerror(errno));
        memory_destroy(memory);
        return NULL;
    }
    void *host = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, memory->fd, 0);
    if (host == MAP_FAILED) {
        error_set(error, "guest memory of %lu MiB cannot be mapped: %s; give the VM less memory",
                  bytes >> 20, strerror(errno));
        memory_destroy(memory);
        return NULL;
    }
    memory->host = host;
    memory_lay_out(memory);
    return memory;
}

void memory_destroy(struct memory *memory)
{
    if (!memory)
        return;
    memory_detach(memory);
    if (memory->host)
        munmap(memory->host, memory->bytes);
    if (memory->fd >= 0)
        close(memory->fd);
    for (unsigned i = 0; i < MEMORY_BLOCKS; i++)
        free(memory->dirty[i]);
    free(memory);
}

static int memory_set_slot(struct memory *memory, unsigned slot, u64 bytes, u32 flags)
{
    const struct memory_block *block = &memory->block[slot];
    struct kvm_userspace_memory_region region = {
        .slot = slot,
        .flags = flags,
        .guest_phys_addr = block->gpa,
        .memory_size = bytes,
        .userspace_addr = (u64)(uintptr_t)block->host,
    };
    return memory->engine->vm_ioctl(memory->vm, KVM_SET_USER_MEMORY_REGION, &region);
}

int memory_attach(struct memory *memory, const struct engine *engine, struct engine_vm *vm, struct error *error)
{
    memory->engine = engine;
    memory->vm = vm;
    for (unsigned i = 0; i < memory->blocks; i++) {
        int result = memory_set_slot(memory, i, memory->block[i].bytes, 0);
        if (result < 0) {
            memory_detach(memory);
            return error_set(error, "guest memory of %lu MiB: the %s engine refuses it: %s",
                             memory->bytes >> 20, engine->name, strerror(-result));
        }
    }
    return 0;
}

void memory_detach(struct memory *memory)
{
    if (!memory->engine)
        return;
    for (unsigned i = 0; i < memory->blocks; i++)
        memory_set_slot(memory, i, 0, 0);
    memory->engine = NULL;
    memory->vm = NULL;
}

u64 memory_bytes(const struct memory *memory) { return memory->bytes; }
int memory_fd(const struct memory *memory) { return memory->fd; }

unsigned memory_blocks(const struct memory *memory, const struct memory_block **blocks)
{
    *blocks = memory->block;
    return memory->blocks;
}

// The block that holds gpa, or NULL.
static const struct memory_block *memory_find(const struct memory *memory, u64 gpa)
{
    for (unsigned i = 0; i < memory->blocks; i++)
        if (gpa - memory->block[i].gpa < memory->block[i].bytes)
            return &memory->block[i];
    return NULL;
}

u64 memory_run(const struct memory *memory, u64 gpa, u64 bytes)
{
    const struct memory_block *block = memory_find(memory, gpa);
    if (!block)
        return 0;
    u64 left = block->bytes - (gpa - block->gpa);
    return bytes < left ? bytes : left;
}

void *memory_pointer(const struct memory *memory, u64 gpa, u64 bytes)
{
    const struct memory_block *block = memory_find(memory, gpa);
    if (!block || bytes > block->bytes - (gpa - block->gpa))
        return NULL;
    return block->host + (gpa - block->gpa);
}

void memory_written(struct memory *memory, u64 gpa, u64 bytes)
{
    bytes = memory_run(memory, gpa, bytes);
    if (!bytes)
        return;
    if (memory->engine && memory->engine->memory_written)
        memory->engine->memory_written(memory->vm, gpa, bytes);
    if (!atomic_load_explicit(&memory->logging, memory_order_acquire))
        return;
    const struct memory_block *block = memory_find(memory, gpa);
    u64 last = (gpa + bytes - 1 - block->gpa) / PAGE_BYTES;
    for (u64 page = (gpa - block->gpa) / PAGE_BYTES; page <= last; page++)
        atomic_fetch_or(&memory->dirty[block - memory->block][page / 64], (u64)1 << page % 64);
}

bool memory_read(const struct memory *memory, u64 gpa, void *to, u64 bytes)
{
    const void *from = memory_pointer(memory, gpa, bytes);
    if (!from)
        return false;
    memcpy(to, from, bytes);
    return true;
}

bool memory_write(struct memory *memory, u64 gpa, const void *from, u64 bytes)
{
    void *to = memory_pointer(memory, gpa, bytes);
    if (!to)
        return false;
    memcpy(to, from, bytes);
    memory_written(memory, gpa, bytes);
    return true;
}

bool memory_load(struct memory *memory, u64 gpa, const void *from, u64 bytes)
{
    const struct memory_block *block = memory_find(memory, gpa);
    if (!block || bytes > block->bytes - (gpa - block->gpa))
        return false;
    for (u64 done = 0; done < bytes;) {
        ssize_t put = pwrite(memory->fd, (const u8 *)from + done, bytes - done,
                             (off_t)(block->offset + (gpa - block->gpa) + done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) // no memory: touching it would have been the end of us
            return false;
        done += (u64)put;
    }
    memory_written(memory, gpa, bytes);
    return true;
}

bool memory_fill(struct memory *memory, u64 gpa, u8 value, u64 bytes)
{
    void *to = memory_pointer(memory, gpa, bytes);
    if (!to)
        return false;
    memset(to, value, bytes);
    memory_written(memory, gpa, bytes);
    return true;
}

int memory_clear(struct memory *memory, struct error *error)
{
    if (fallocate(memory->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)memory->bytes))
        return error_set(error, "guest memory cannot be cleared: %s", strerror(errno));
    for (unsigned i = 0; i < memory->blocks; i++)
        memory_written(memory, memory->block[i].gpa, memory->block[i].bytes);
    return 0;
}

void memory_unmap_page(struct memory *memory, u64 gpa)
{
    // On a shared mapping this drops page-table entries only; the page itself stays in the memfd.
    void *page = memory_pointer(memory, align_down(gpa, PAGE_BYTES), PAGE_BYTES);
    if (page)
        madvise(page, PAGE_BYTES, MADV_DONTNEED);
}

static u64 memory_words(const struct memory_block *block) { return (block->bytes / PAGE_BYTES + 63) / 64; }

int memory_dirty_start(struct memory *memory, struct error *error)
{
    for (unsigned i = 0; i < memory->blocks; i++) {
        u64 words = memory_words(&memory->block[i]);
        if (!memory->dirty[i] && !(memory->dirty[i] = calloc(words, sizeof(u64))))
            return error_set(error, "dirty bits of guest memory: out of host memory");
        for (u64 word = 0; word < words; word++)
            atomic_store_explicit(&memory->dirty[i][word], 0, memory_order_relaxed);
    }
    atomic_store_explicit(&memory->logging, true, memory_order_release);
    for (unsigned i = 0; memory->engine && i < memory->blocks; i++) {
        int result = memory_set_slot(memory, i, memory->block[i].bytes, KVM_MEM_LOG_DIRTY_PAGES);
        if (result < 0) {
            memory_dirty_stop(memory);
            return error_set(error, "the %s engine cannot log dirty pages: %s", memory->engine->name,
                             strerror(-result));
        }
    }
    return 0;
}

void memory_dirty_stop(struct memory *memory)
{
    atomic_store_explicit(&memory->logging, false, memory_order_release);
    for (unsigned i = 0; memory->engine && i < memory->blocks; i++)
        memory_set_slot(memory, i, memory->block[i].bytes, 0);
}

int memory_dirty_take(struct memory *memory, unsigned block, u64 *bits, struct error *error)
{
    if (block >= memory->blocks || !memory->dirty[block])
        return error_set(error, "guest memory block %u: dirty pages are not being logged", block);
    u64 words = memory_words(&memory->block[block]);
    memset(bits, 0, words * sizeof *bits);
    if (memory->engine) {
        struct kvm_dirty_log log = {.slot = block, .dirty_bitmap = bits};
        int result = memory->engine->vm_ioctl(memory->vm, KVM_GET_DIRTY_LOG, &log);
        if (result < 0)
            return error_set(error, "guest memory block %u: dirty log: %s", block, strerror(-result));
    }
    for (u64 word = 0; word < words; word++)
        bits[word] |= atomic_exchange(&memory->dirty[block][word], 0);
    return 0;
}
