// See memory.h. Where blocks are never changes after creation, and whether one is present is one atomic flag, so
// translation needs no lock; the dirty bits are atomic words because vCPU threads and device threads set them while
// somebody else takes them.
#include "memory/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/engine.h"

struct memory {
    int fd;
    u8 *host; // the memfd but for the region, in order
    u64 bytes;
    unsigned blocks;
    struct memory_block block[MEMORY_BLOCKS];
    atomic_bool present[MEMORY_BLOCKS];
    u64 region, reserved; // guest address and bytes
    u8 *region_host;
    u64 plugged[MEMORY_BLOCKS]; // bytes of each chunk
    pthread_mutex_t slots;      // what the engine is told: presence, logging
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
    for (unsigned i = 0; i < memory->blocks; i++)
        atomic_store(&memory->present[i], true);
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
    pthread_mutex_init(&memory->slots, NULL);
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
    if (memory->region_host)
        munmap(memory->region_host, memory->reserved);
    if (memory->fd >= 0)
        close(memory->fd);
    for (unsigned i = 0; i < MEMORY_BLOCKS; i++)
        free(memory->dirty[i]);
    pthread_mutex_destroy(&memory->slots);
    free(memory);
}

static void memory_lay_out_region(struct memory *memory)
{
    u64 chunk = align_up((memory->reserved + MEMORY_CHUNKS - 1) / MEMORY_CHUNKS, MEMORY_CHUNK_ALIGN);
    for (u64 at = 0; at < memory->reserved; at += chunk) {
        u64 left = memory->reserved - at;
        memory->block[memory->blocks++] = (struct memory_block){
            .gpa = memory->region + at, .bytes = left < chunk ? left : chunk, .offset = memory->bytes + at,
            .host = memory->region_host + at, .chunk = true};
    }
}

int memory_reserve(struct memory *memory, u64 bytes, struct error *error)
{
    const struct memory_block *last = &memory->block[memory->blocks - 1];
    if (!bytes || bytes % PAGE_BYTES || bytes > MEMORY_MOST || memory->reserved)
        return error_set(error, "%lu MiB of guest memory to be added later: must be whole pages, at most %lu GiB",
                         bytes >> 20, MEMORY_MOST >> 30);
    if (ftruncate(memory->fd, (off_t)(memory->bytes + bytes)))
        return error_set(error, "%lu MiB of guest memory to be added later: memfd: %s", bytes >> 20, strerror(errno));
    void *host = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, memory->fd,
                      (off_t)memory->bytes);
    if (host == MAP_FAILED)
        return error_set(error, "%lu MiB of guest memory to be added later cannot be mapped: %s; give the VM a smaller "
                                "maximum", bytes >> 20, strerror(errno));
    u64 end = last->gpa + last->bytes;
    memory->region = align_up(end < MEMORY_HIGH ? MEMORY_HIGH : end, MEMORY_REGION_ALIGN);
    memory->reserved = bytes;
    memory->region_host = host;
    memory_lay_out_region(memory);
    return 0;
}

u64 memory_reserved(const struct memory *memory, u64 *gpa)
{
    *gpa = memory->region;
    return memory->reserved;
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
        int result = memory_present(memory, i) ? memory_set_slot(memory, i, memory->block[i].bytes, 0) : 0;
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
        if (memory_present(memory, i))
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

bool memory_present(const struct memory *memory, unsigned block)
{
    return atomic_load_explicit(&memory->present[block], memory_order_acquire);
}

// The block that holds gpa, present or not, or NULL.
static const struct memory_block *memory_find_any(const struct memory *memory, u64 gpa)
{
    for (unsigned i = 0; i < memory->blocks; i++)
        if (gpa - memory->block[i].gpa < memory->block[i].bytes)
            return &memory->block[i];
    return NULL;
}

static const struct memory_block *memory_find(const struct memory *memory, u64 gpa)
{
    const struct memory_block *block = memory_find_any(memory, gpa);
    return block && memory_present(memory, (unsigned)(block - memory->block)) ? block : NULL;
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

// The memfd's bytes, and with them what all mappings show, become holes: entries of soft TLBs stay valid, as they
// name places in a mapping.
static int memory_punch(struct memory *memory, u64 offset, u64 bytes)
{
    int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    return fallocate(memory->fd, mode, (off_t)offset, (off_t)bytes) ? -errno : 0;
}

int memory_clear(struct memory *memory, struct error *error)
{
    int result = memory_punch(memory, 0, memory->bytes + memory->reserved);
    if (result < 0)
        return error_set(error, "guest memory cannot be cleared: %s", strerror(-result));
    for (unsigned i = 0; i < memory->blocks; i++)
        memory_written(memory, memory->block[i].gpa, memory->block[i].bytes);
    return 0;
}

int memory_release(struct memory *memory, u64 gpa, u64 bytes)
{
    const struct memory_block *block = memory_find(memory, gpa);
    if (!block || (gpa | bytes) % PAGE_BYTES || !bytes || bytes > block->bytes - (gpa - block->gpa))
        return -1;
    if (memory_punch(memory, block->offset + (gpa - block->gpa), bytes) < 0)
        return -1;
    memory_written(memory, gpa, bytes);
    return 0;
}

// --- The region ---

// First the engine, so that no device is given a page that processors do not know; and the other way round.
static int memory_add_chunk(struct memory *memory, unsigned chunk, struct error *error)
{
    u32 flags = atomic_load(&memory->logging) ? KVM_MEM_LOG_DIRTY_PAGES : 0;
    int result = memory->engine ? memory_set_slot(memory, chunk, memory->block[chunk].bytes, flags) : 0;
    if (result < 0)
        return error_set(error, "%lu MiB more of guest memory: the %s engine refuses them: %s",
                         memory->block[chunk].bytes >> 20, memory->engine->name, strerror(-result));
    atomic_store_explicit(&memory->present[chunk], true, memory_order_release);
    return 0;
}

static void memory_remove_chunk(struct memory *memory, unsigned chunk)
{
    atomic_store_explicit(&memory->present[chunk], false, memory_order_release);
    if (memory->engine)
        memory_set_slot(memory, chunk, 0, 0);
}

// The next part of [gpa, gpa+bytes) that lies in one chunk; NULL: it is not in the region.
static struct memory_block *memory_chunk(struct memory *memory, u64 gpa, u64 bytes, u64 *part)
{
    const struct memory_block *block = memory_find_any(memory, gpa);
    if (!block || !block->chunk || bytes > memory->region + memory->reserved - gpa)
        return NULL;
    u64 left = block->bytes - (gpa - block->gpa);
    *part = bytes < left ? bytes : left;
    return &memory->block[block - memory->block];
}

static void memory_unplug_locked(struct memory *memory, u64 gpa, u64 bytes)
{
    for (u64 part; bytes; gpa += part, bytes -= part) {
        struct memory_block *block = memory_chunk(memory, gpa, bytes, &part);
        if (!block)
            return;
        unsigned chunk = (unsigned)(block - memory->block);
        memory->plugged[chunk] -= part;
        if (!memory->plugged[chunk])
            memory_remove_chunk(memory, chunk);
        memory_punch(memory, block->offset + (gpa - block->gpa), part);
        memory_written(memory, gpa, part);
    }
}

void memory_unplug(struct memory *memory, u64 gpa, u64 bytes)
{
    pthread_mutex_lock(&memory->slots);
    memory_unplug_locked(memory, gpa, bytes);
    pthread_mutex_unlock(&memory->slots);
}

int memory_plug(struct memory *memory, u64 gpa, u64 bytes, struct error *error)
{
    u64 at = gpa, end = gpa + bytes;
    int result = 0;
    pthread_mutex_lock(&memory->slots);
    for (u64 part; at < end; at += part) {
        struct memory_block *block = memory_chunk(memory, at, end - at, &part);
        unsigned chunk = block ? (unsigned)(block - memory->block) : 0;
        if (!block)
            result = error_set(error, "guest address 0x%lx is not in the region that memory is added to", at);
        else if (!memory->plugged[chunk])
            result = memory_add_chunk(memory, chunk, error);
        if (result)
            break;
        memory->plugged[chunk] += part;
    }
    if (result)
        memory_unplug_locked(memory, gpa, at - gpa);
    pthread_mutex_unlock(&memory->slots);
    return result;
}

// The first chunk's block.
static unsigned memory_first_chunk(const struct memory *memory)
{
    unsigned block = 0;
    while (block < memory->blocks && !memory->block[block].chunk)
        block++;
    return block;
}

void memory_get_plugged(struct memory *memory, struct memory_plugged *plugged)
{
    *plugged = (struct memory_plugged){.reserved = memory->reserved};
    unsigned first = memory_first_chunk(memory);
    pthread_mutex_lock(&memory->slots);
    for (unsigned block = first; block < memory->blocks; block++)
        plugged->chunks[block - first] = memory->plugged[block];
    pthread_mutex_unlock(&memory->slots);
}

int memory_set_plugged(struct memory *memory, const struct memory_plugged *plugged, struct error *error)
{
    unsigned first = memory_first_chunk(memory);
    if (plugged->reserved != memory->reserved)
        return error_set(error, "%lu MiB can be added to its memory, and %lu MiB to this VM's: give it the same "
                                "maximum", plugged->reserved >> 20, memory->reserved >> 20);
    for (unsigned i = 0; i < MEMORY_CHUNKS; i++) {
        u64 bytes = plugged->chunks[i];
        const struct memory_block *block = first + i < memory->blocks ? &memory->block[first + i] : NULL;
        if (bytes && (!block || bytes > block->bytes || bytes % PAGE_BYTES))
            return error_set(error, "chunk %u of the memory that can be added cannot have %lu bytes", i, bytes);
        if (bytes && memory_plug(memory, block->gpa, bytes, error))
            return -1;
    }
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

static int memory_dirty_allocate(struct memory *memory, struct error *error)
{
    for (unsigned i = 0; i < memory->blocks; i++) {
        u64 words = memory_words(&memory->block[i]);
        if (!memory->dirty[i] && !(memory->dirty[i] = calloc(words, sizeof(u64))))
            return error_set(error, "dirty bits of guest memory: out of host memory");
        for (u64 word = 0; word < words; word++)
            atomic_store_explicit(&memory->dirty[i][word], 0, memory_order_relaxed);
    }
    return 0;
}

// Tells the engine of every block that it has anew. 0 or a negative errno.
static int memory_set_logging(struct memory *memory, bool logging)
{
    int result = 0;
    atomic_store_explicit(&memory->logging, logging, memory_order_release);
    for (unsigned i = 0; memory->engine && result >= 0 && i < memory->blocks; i++)
        if (memory_present(memory, i))
            result = memory_set_slot(memory, i, memory->block[i].bytes, logging ? KVM_MEM_LOG_DIRTY_PAGES : 0);
    return result;
}

int memory_dirty_start(struct memory *memory, struct error *error)
{
    if (memory_dirty_allocate(memory, error))
        return -1;
    pthread_mutex_lock(&memory->slots);
    int result = memory_set_logging(memory, true);
    if (result < 0)
        memory_set_logging(memory, false);
    pthread_mutex_unlock(&memory->slots);
    return result >= 0 ? 0 : error_set(error, "the %s engine cannot log dirty pages: %s", memory->engine->name,
                                       strerror(-result));
}

void memory_dirty_stop(struct memory *memory)
{
    pthread_mutex_lock(&memory->slots);
    memory_set_logging(memory, false);
    pthread_mutex_unlock(&memory->slots);
}

int memory_dirty_take(struct memory *memory, unsigned block, u64 *bits, struct error *error)
{
    if (block >= memory->blocks || !memory->dirty[block])
        return error_set(error, "guest memory block %u: dirty pages are not being logged", block);
    u64 words = memory_words(&memory->block[block]);
    memset(bits, 0, words * sizeof *bits);
    if (memory->engine) {
        struct kvm_dirty_log log = {.slot = block, .dirty_bitmap = bits};
        pthread_mutex_lock(&memory->slots);
        int result = memory_present(memory, block) ? memory->engine->vm_ioctl(memory->vm, KVM_GET_DIRTY_LOG, &log) : 0;
        pthread_mutex_unlock(&memory->slots);
        if (result < 0)
            return error_set(error, "guest memory block %u: dirty log: %s", block, strerror(-result));
    }
    for (u64 word = 0; word < words; word++)
        bits[word] |= atomic_exchange(&memory->dirty[block][word], 0);
    return 0;
}
