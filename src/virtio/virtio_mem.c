// See virtio_mem.h. Section numbers are those of VIRTIO 1.2.
//
// Which blocks are plugged is a bitmap of fixed size, so that it is state like any other; large regions have larger
// blocks.
#include "virtio/virtio_mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define MEM_F_UNPLUGGED_INACCESSIBLE ((u64)1 << 1)

enum { MEM_QUEUE_SIZE = 32 };
enum { REQUEST_PLUG = 0, REQUEST_UNPLUG = 1, REQUEST_UNPLUG_ALL = 2, REQUEST_STATE = 3 };
enum { RESPONSE_ACK = 0, RESPONSE_NACK = 1, RESPONSE_BUSY = 2, RESPONSE_ERROR = 3 };
enum { STATE_PLUGGED = 0, STATE_UNPLUGGED = 1, STATE_MIXED = 2 };

// 5.15.4
struct mem_configuration {
    u64 block_size;
    u16 node;
    u8 padding[6];
    u64 address, region_size, usable_size, plugged_size, requested_size;
};
static_assert(sizeof(struct mem_configuration) == 56, "VIRTIO 1.2, 5.15.4");

// 5.15.6
struct mem_request {
    u16 type, padding[3];
    u64 address;
    u16 blocks, padding2[3];
};
static_assert(sizeof(struct mem_request) == 24, "VIRTIO 1.2, 5.15.6");

struct mem_response {
    u16 type, padding[3];
    u16 state;
} __attribute__((packed));
static_assert(sizeof(struct mem_response) == 10, "VIRTIO 1.2, 5.15.6");

struct virtio_mem {
    struct virtio virtio;
    struct virtio_pci pci;
    struct mem_configuration configuration;
    u64 plugged[VIRTIO_MEM_BLOCKS / 64]; // a bit a block
    bool asked;   // requested_size changed: the driver is to be told
    bool changed; // plugged_size did
    void (*listener)(void *context);
    void *context;
    struct virtqueue_chain chain;
};

static struct virtio_mem *mem_of(struct virtio *virtio) { return CONTAINER_OF(virtio, struct virtio_mem, virtio); }

static bool mem_is_plugged(const struct virtio_mem *mem, u64 block)
{
    return mem->plugged[block / 64] >> block % 64 & 1;
}

// How many of `count` blocks are plugged.
static u64 mem_count(const struct virtio_mem *mem, u64 first, u64 count)
{
    u64 found = 0;
    for (u64 block = first; block < first + count; block++)
        found += mem_is_plugged(mem, block);
    return found;
}

static void mem_mark(struct virtio_mem *mem, u64 first, u64 count, bool plugged)
{
    for (u64 block = first; block < first + count; block++)
        if (plugged)
            mem->plugged[block / 64] |= (u64)1 << block % 64;
        else
            mem->plugged[block / 64] &= ~((u64)1 << block % 64);
    u64 bytes = count * mem->configuration.block_size;
    mem->configuration.plugged_size += plugged ? bytes : -bytes;
    mem->changed = true;
}

// 5.15.6.2: the blocks that a request names; false if they are not all in the region.
static bool mem_range(const struct virtio_mem *mem, const struct mem_request *request, u64 *first)
{
    const struct mem_configuration *configuration = &mem->configuration;
    u64 offset = request->address - configuration->address;
    *first = offset / configuration->block_size;
    return request->blocks && offset % configuration->block_size == 0 && offset < configuration->usable_size &&
           request->blocks <= (configuration->usable_size - offset) / configuration->block_size;
}

static u16 mem_plug(struct virtio_mem *mem, const struct mem_request *request)
{
    struct mem_configuration *configuration = &mem->configuration;
    u64 first, bytes = request->blocks * configuration->block_size;
    struct error error;
    if (!mem_range(mem, request, &first) || mem_count(mem, first, request->blocks))
        return RESPONSE_ERROR;
    if (configuration->plugged_size + bytes > configuration->requested_size)
        return RESPONSE_NACK;
    if (memory_plug(mem->virtio.memory, request->address, bytes, &error))
        return RESPONSE_BUSY;
    mem_mark(mem, first, request->blocks, true);
    return RESPONSE_ACK;
}

static u16 mem_unplug(struct virtio_mem *mem, const struct mem_request *request)
{
    u64 first;
    if (!mem_range(mem, request, &first) || mem_count(mem, first, request->blocks) != request->blocks)
        return RESPONSE_ERROR;
    memory_unplug(mem->virtio.memory, request->address, request->blocks * mem->configuration.block_size);
    mem_mark(mem, first, request->blocks, false);
    return RESPONSE_ACK;
}

static u16 mem_unplug_all(struct virtio_mem *mem)
{
    const struct mem_configuration *configuration = &mem->configuration;
    u64 blocks = configuration->region_size / configuration->block_size;
    for (u64 first = 0, count; first < blocks; first += count) {
        for (count = 0; first + count < blocks && mem_is_plugged(mem, first + count); count++)
            continue;
        if (count) {
            memory_unplug(mem->virtio.memory, configuration->address + first * configuration->block_size,
                          count * configuration->block_size);
            mem_mark(mem, first, count, false);
        } else {
            count = 1;
        }
    }
    return RESPONSE_ACK;
}

static u16 mem_state(const struct virtio_mem *mem, const struct mem_request *request, u16 *state)
{
    u64 first;
    if (!mem_range(mem, request, &first))
        return RESPONSE_ERROR;
    u64 plugged = mem_count(mem, first, request->blocks);
    *state = !plugged ? STATE_UNPLUGGED : plugged == request->blocks ? STATE_PLUGGED : STATE_MIXED;
    return RESPONSE_ACK;
}

static struct mem_response mem_answer(struct virtio_mem *mem, const struct mem_request *request)
{
    struct mem_response response = {.type = RESPONSE_ERROR};
    u16 state = 0;
    switch (request->type) {
    case REQUEST_PLUG: response.type = mem_plug(mem, request); break;
    case REQUEST_UNPLUG: response.type = mem_unplug(mem, request); break;
    case REQUEST_UNPLUG_ALL: response.type = mem_unplug_all(mem); break;
    case REQUEST_STATE: response.type = mem_state(mem, request, &state); break;
    default: break;
    }
    response.state = state;
    return response;
}

static void mem_tell(struct virtio_mem *mem)
{
    u32 epoch = mem->virtio.epoch;
    mem->changed = false;
    if (!mem->listener)
        return;
    virtio_host_begin(&mem->virtio);
    mem->listener(mem->context);
    virtio_host_end(&mem->virtio, epoch);
}

static void mem_work(struct virtio *virtio)
{
    struct virtio_mem *mem = mem_of(virtio);
    struct virtqueue *queue = &virtio->queues[0];
    if (mem->asked) {
        mem->asked = false;
        virtio_config_changed(virtio);
    }
    virtqueue_deafen(queue);
    do {
        while (virtio_take(virtio, 0, &mem->chain) == VIRTQUEUE_CHAIN) {
            struct mem_request request = {0};
            // A request of another type may be as short as its type.
            if (virtqueue_chain_read(&mem->chain, 0, &request, sizeof request) < sizeof request.type) {
                virtio_break(virtio, "5.15.6: a request without a type");
                return;
            }
            struct mem_response response = mem_answer(mem, &request);
            virtqueue_return(queue, &mem->chain,
                             (u32)virtqueue_chain_write(&mem->chain, 0, &response, sizeof response));
        }
        virtio_publish(virtio, 0);
    } while (virtio_listen(virtio, 0, 0));
    if (mem->changed)
        mem_tell(mem);
}

static void mem_destroy(struct virtio *virtio)
{
    virtio_close(virtio);
    free(mem_of(virtio));
}

// The memory has what it had when the state was saved (memory_set_plugged): both must tell the same of every chunk.
static int mem_loaded(void *object, struct error *error)
{
    struct virtio_mem *mem = object;
    struct mem_configuration *configuration = &mem->configuration;
    const struct memory_block *blocks;
    struct memory_plugged plugged;
    unsigned count = memory_blocks(mem->virtio.memory, &blocks);
    memory_get_plugged(mem->virtio.memory, &plugged);
    configuration->plugged_size = 0;
    for (unsigned i = 0, chunk = 0; i < count; i++) {
        if (!blocks[i].chunk)
            continue;
        u64 first = (blocks[i].gpa - configuration->address) / configuration->block_size;
        u64 bytes = mem_count(mem, first, blocks[i].bytes / configuration->block_size) * configuration->block_size;
        if (bytes != plugged.chunks[chunk++])
            return error_set(error, "it has plugged other blocks than its memory");
        configuration->plugged_size += bytes;
    }
    if (configuration->requested_size > configuration->region_size ||
        configuration->requested_size % configuration->block_size)
        return error_set(error, "it cannot have been asked for %lu bytes", configuration->requested_size);
    return 0;
}

static const struct state_field mem_fields[] = {
    STATE_FIELD(struct virtio_mem, configuration.requested_size),
    STATE_ARRAY(struct virtio_mem, plugged),
};

static const struct state_section mem_state_section =
    STATE_SECTION("virtio-mem", 1, mem_fields, .post_load = mem_loaded);
static_assert(offsetof(struct virtio_mem, virtio) == 0, "virtio_type.state");

// 5.15.5.1: a reset of the device leaves plugged what is plugged: the guest's system may live in it.
static const struct virtio_type mem_type = {
    .name = "mem",
    .id = VIRTIO_ID_MEMORY,
    .queues = 1,
    .queue_size = MEM_QUEUE_SIZE,
    .class_code = 0x00FF00,
    .config_bytes = sizeof(struct mem_configuration),
    .work = mem_work,
    .state = &mem_state_section,
    .destroy = mem_destroy,
};

u64 virtio_mem_block(u64 region)
{
    u64 block = VIRTIO_MEM_LEAST_BLOCK;
    while ((region + block - 1) / block > VIRTIO_MEM_BLOCKS)
        block *= 2;
    return block;
}

struct virtio_pci *virtio_mem_create(struct memory *memory, struct error *error)
{
    u64 address, region = memory_reserved(memory, &address), block = virtio_mem_block(region);
    if (!region || region % block) {
        error_set(error, "virtio mem: the memory that can be added (%lu MiB) must be a multiple of %lu MiB",
                  region >> 20, block >> 20);
        return NULL;
    }
    struct virtio_mem *mem = calloc(1, sizeof *mem);
    if (!mem) {
        error_set(error, "virtio mem: out of memory");
        return NULL;
    }
    mem->configuration = (struct mem_configuration){
        .block_size = block, .address = address, .region_size = region, .usable_size = region};
    mem->virtio.type = &mem_type;
    mem->virtio.memory = memory;
    mem->virtio.config = &mem->configuration;
    mem->virtio.features = MEM_F_UNPLUGGED_INACCESSIBLE;
    if (virtio_open(&mem->virtio, error) < 0) {
        free(mem);
        return NULL;
    }
    if (virtio_pci_init(&mem->pci, &mem->virtio, error) < 0) {
        mem_destroy(&mem->virtio);
        return NULL;
    }
    return &mem->pci;
}

// --- For the host ---

void virtio_mem_request(struct virtio_pci *pci, u64 bytes)
{
    struct virtio_mem *mem = mem_of(pci->virtio);
    struct mem_configuration *configuration = &mem->configuration;
    u64 requested = bytes < configuration->region_size ? align_up(bytes, configuration->block_size)
                                                       : configuration->region_size;
    pthread_mutex_lock(&pci->virtio->lock);
    mem->asked |= requested != configuration->requested_size;
    configuration->requested_size = requested;
    pthread_mutex_unlock(&pci->virtio->lock);
    virtio_ring(pci->virtio);
}

void virtio_mem_get(struct virtio_pci *pci, struct virtio_mem_status *status)
{
    const struct mem_configuration *configuration = &mem_of(pci->virtio)->configuration;
    pthread_mutex_lock(&pci->virtio->lock);
    *status = (struct virtio_mem_status){
        .live = virtio_live(pci->virtio),
        .region = configuration->region_size,
        .block = configuration->block_size,
        .requested = configuration->requested_size,
        .plugged = configuration->plugged_size,
    };
    pthread_mutex_unlock(&pci->virtio->lock);
}

void virtio_mem_listen(struct virtio_pci *pci, void (*changed)(void *context), void *context)
{
    struct virtio_mem *mem = mem_of(pci->virtio);
    mem->listener = changed;
    mem->context = context;
}
