// A guest that writes what it likes into rings, buffers, registers and configuration space of every virtio device.
// The devices run without their threads, so that an input always does the same; what is checked besides the
// sanitizers is that a chain never reaches outside guest memory and never exceeds its bounds.
//
// The input is a program: one byte names the device, then each step is an opcode byte and its operands.
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "virtio/virtio_balloon.h"
#include "virtio/virtio_blk.h"
#include "virtio/virtio_console.h"
#include "virtio/virtio_mem.h"
#include "virtio/virtio_net.h"
#include "virtio/virtio_rng.h"
#include "virtio/virtio_serial.h"

int LLVMFuzzerInitialize(int *count, char ***arguments);
int LLVMFuzzerTestOneInput(const u8 *data, size_t bytes);

enum { MEMORY = 1 << 20, RINGS = 0x1000, RING_STRIDE = 0x3000, STEPS = 200, DEVICES = 7 };
enum step {
    STEP_POKE, STEP_DESCRIBE, STEP_INDIRECT, STEP_OFFER, STEP_WORK, STEP_BEGIN, STEP_REGISTER_WRITE, STEP_REGISTER_READ,
    STEP_CONFIG_WRITE, STEP_CONFIG_READ, STEP_ARRIVE, STEP_RING_ONLY, STEP_SAVE,
    STEP_REQUEST, STEP_KINDS,
};

struct input {
    const u8 *data;
    size_t bytes;
};

struct fuzz {
    struct memory *memory;
    struct disk disk;
    struct console *console;
    struct channel *channel;
    struct network_port port;
    struct virtio_pci *devices[DEVICES];
    struct virtqueue queue; // for the reader alone
    struct virtqueue_chain chain;
    u16 available[VIRTIO_MAX_QUEUES];
};

static struct fuzz *the_fuzz; // libFuzzer hands no context to its callbacks

static u64 input_take(struct input *input, unsigned bytes)
{
    u64 value = 0;
    for (; bytes && input->bytes; bytes--, input->bytes--)
        value = value << 8 | *input->data++;
    return value;
}

// A loop-back plug, which now and then has no room. It copies, as whatever is between two adapters does: a guest's memory
// is not handed to the guest itself.
static bool port_send(struct network_port *port, const struct network_header *header, const struct iovec *parts,
                      unsigned count)
{
    static u8 frame[FRAME_MOST];
    if (offload_bytes(parts, count) % 61 == 0)
        return false;
    const struct iovec copy = {frame, offload_copy(parts, count, 0, frame, sizeof frame)};
    network_receive(port, header, &copy, 1);
    return true;
}

static void port_idle(struct network_port *port, struct pollset *set)
{
    (void)port, (void)set;
}

static void port_dispatch(struct network_port *port, const struct pollset *set)
{
    (void)set;
    network_room(port);
}

static const struct network_port_type port_type = {.send = port_send, .prepare = port_idle, .dispatch = port_dispatch};

static void host_msi(void *host, u64 address, u32 data)
{
    (void)host, (void)address, (void)data;
}

static void host_intx(void *host, const struct pci_function *function, bool level)
{
    (void)host, (void)function, (void)level;
}

static void host_moved(void *host, struct pci_function *function)
{
    (void)host, (void)function;
}

static const struct pci_host_ops host_ops = {.msi = host_msi, .intx = host_intx, .moved = host_moved};

static void fail(const char *what, const struct error *error)
{
    fprintf(stderr, "%s: %s\n", what, error->text);
    abort();
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    (void)count, (void)arguments;
    struct fuzz *fuzz = the_fuzz = calloc(1, sizeof *fuzz);
    struct error error = {0};
    char path[64];
    int image = memfd_create("disk", 0);
    if (!(fuzz->memory = memory_create(MEMORY, &error)) || memory_reserve(fuzz->memory, MIB(64), &error) || image < 0 ||
        ftruncate(image, 64 << 10) < 0) fail("memory", &error);
    snprintf(path, sizeof path, "/proc/self/fd/%d", image);
    if (disk_open(&fuzz->disk, &(struct disk_config){.path = path}, &error) < 0)
        fail("disk", &error);
    snprintf(path, sizeof path, "/tmp/nidus-fuzz-console-%d", getpid());
    if (!(fuzz->console = console_open(&(struct console_config){.socket = path}, &error)))
        fail("console", &error);
    unlink(path);
    fuzz->port.type = &port_type;
    const struct virtio_blk_config blk = {.disk = &fuzz->disk};
    const struct virtio_net_config net = {.port = &fuzz->port, .queue_pairs = 2};
    const struct virtio_console_config console = {.console = fuzz->console};
    const struct virtio_rng_config rng = {.bytes_per_second = UINT32_MAX};
    fuzz->devices[0] = virtio_blk_create(fuzz->memory, &blk, &error);
    fuzz->devices[1] = virtio_net_create(fuzz->memory, &net, &error);
    fuzz->devices[2] = virtio_console_create(fuzz->memory, &console, &error);
    fuzz->devices[3] = virtio_rng_create(fuzz->memory, &rng, &error);
    if (!(fuzz->channel = channel_create(&error)))
        fail("channel", &error);
    const struct virtio_serial_config serial = {.name = "port", .channel = fuzz->channel};
    fuzz->devices[4] = virtio_balloon_create(fuzz->memory, &error);
    fuzz->devices[5] = virtio_mem_create(fuzz->memory, &error);
    fuzz->devices[6] = virtio_serial_create(fuzz->memory, &serial, &error);
    for (unsigned i = 0; i < DEVICES; i++) {
        if (!fuzz->devices[i])
            fail("device", &error);
        fuzz->devices[i]->function.host_ops = &host_ops;
    }
    return 0;
}

static void put(struct fuzz *fuzz, u64 gpa, const void *from, u64 bytes)
{
    memory_write(fuzz->memory, gpa, from, bytes);
}

static u64 ring_base(unsigned queue) { return RINGS + queue * (u64)RING_STRIDE; }

// Brings the device up as a good driver would, so that the input need not find out how.
static void begin(struct fuzz *fuzz, struct virtio_pci *pci, u64 features, u16 size)
{
    struct virtio *virtio = pci->virtio;
    virtio_reset(virtio);
    virtio->driver_features = (features & virtio->features) | VIRTIO_F_VERSION_1;
    for (unsigned i = 0; i < virtio->type->queues; i++) {
        struct virtqueue_state *state = &virtio->queues[i].state;
        *state = (struct virtqueue_state){.descriptors = ring_base(i), .driver = ring_base(i) + 0x1000,
                                          .device = ring_base(i) + 0x2000, .size = size, .enabled = true};
        u32 zero = 0;
        put(fuzz, state->driver, &zero, 4);
        put(fuzz, state->device, &zero, 4);
        fuzz->available[i] = 0;
    }
    virtio_set_status(virtio, 11);
    virtio_set_status(virtio, 15);
}

static void work(struct virtio *virtio)
{
    struct pollset set = {0};
    pthread_mutex_lock(&virtio->lock);
    virtio->budget = 64;
    pollset_begin(&set);
    if (virtio_live(virtio) && virtio->type->prepare)
        virtio->type->prepare(virtio, &set);
    if (virtio_live(virtio) && virtio->type->dispatch)
        virtio->type->dispatch(virtio, &set);
    if (virtio_live(virtio))
        virtio->type->work(virtio);
    pthread_mutex_unlock(&virtio->lock);
    pollset_free(&set);
}

static void check_chain(struct fuzz *fuzz, const struct virtqueue_chain *chain)
{
    u64 totals[2] = {0};
    const u8 *start = memory_pointer(fuzz->memory, 0, MEMORY);
    unsigned count = (unsigned)chain->readable + chain->writable;
    assert(count <= VIRTQUEUE_MAX_SEGMENTS);
    for (unsigned i = 0; i < count; i++) {
        const struct iovec *segment = &chain->segments[i];
        const u8 *from = segment->iov_base;
        assert(segment->iov_len && from >= start && segment->iov_len <= MEMORY);
        assert(from + segment->iov_len <= start + MEMORY);
        assert((u64)(from - start) == chain->addresses[i]);
        totals[i >= chain->readable] += segment->iov_len;
    }
    assert(totals[0] == chain->readable_bytes && totals[1] == chain->writable_bytes);
}

static void run_ring(struct fuzz *fuzz, u16 size, u8 features)
{
    struct virtqueue *queue = &fuzz->queue;
    virtqueue_reset(queue, size);
    queue->state.descriptors = ring_base(0);
    queue->state.driver = ring_base(0) + 0x1000;
    queue->state.device = ring_base(0) + 0x2000;
    queue->event_index = features & 1;
    queue->indirect = features & 2;
    if (!virtqueue_start(queue, fuzz->memory))
        return;
    for (unsigned i = 0; i < 300 && virtqueue_take(queue, &fuzz->chain) == VIRTQUEUE_CHAIN; i++) {
        check_chain(fuzz, &fuzz->chain);
        virtqueue_return(queue, &fuzz->chain, (u32)fuzz->chain.writable_bytes);
        virtqueue_publish(queue);
    }
    virtqueue_deafen(queue);
    virtqueue_listen(queue, 0);
}

static void describe(struct fuzz *fuzz, struct input *input, u64 table)
{
    struct virtqueue_descriptor descriptor;
    u8 index = (u8)input_take(input, 1);
    descriptor.address = input_take(input, 3);
    descriptor.bytes = (u32)input_take(input, 3);
    descriptor.flags = (u16)input_take(input, 1);
    descriptor.next = (u16)input_take(input, 1);
    put(fuzz, table + index * 16u, &descriptor, sizeof descriptor);
}

static void offer(struct fuzz *fuzz, unsigned queue, u16 size, u16 head)
{
    u16 index = ++fuzz->available[queue];
    put(fuzz, ring_base(queue) + 0x1000 + 4 + (u16)(index - 1) % size * 2u, &head, 2);
    put(fuzz, ring_base(queue) + 0x1000 + 2, &index, 2);
}

// A request with a form: 16 bytes that both a block request and a frame may begin with, data, and a byte for the
// status.
static void request(struct fuzz *fuzz, struct input *input, unsigned queue)
{
    enum { AT = 0x30000 };
    struct {
        u32 type, reserved;
        u64 sector;
    } header = {.type = (u32)input_take(input, 1), .sector = input_take(input, 1)};
    u16 first = (u16)(input_take(input, 1) % 14), write = input_take(input, 1) % 2 ? VIRTQUEUE_DESCRIPTOR_WRITE : 0;
    const struct virtqueue_descriptor chain[3] = {
        {AT, sizeof header, VIRTQUEUE_DESCRIPTOR_NEXT, (u16)(first + 1)},
        {AT + 0x1000, (u32)input_take(input, 1) * 16, VIRTQUEUE_DESCRIPTOR_NEXT | write, (u16)(first + 2)},
        {AT + 0x800, 1, VIRTQUEUE_DESCRIPTOR_WRITE, 0},
    };
    put(fuzz, AT, &header, sizeof header);
    put(fuzz, ring_base(queue) + first * 16u, chain, sizeof chain);
    offer(fuzz, queue, 16, first);
}

static void save(struct virtio *virtio, struct input *input)
{
    struct virtio_state state;
    virtio_save(virtio, &state);
    u16 at = (u16)input_take(input, 2);
    if (at < sizeof state)
        ((u8 *)&state)[at] ^= (u8)input_take(input, 1);
    virtio_restore(virtio, &state, NULL);
}

static void poke(struct fuzz *fuzz, struct input *input)
{
    u64 at = input_take(input, 3);
    size_t bytes = input_take(input, 1);
    bytes = bytes < input->bytes ? bytes : input->bytes;
    put(fuzz, at, input->data, bytes);
    input->data += bytes;
    input->bytes -= bytes;
}

// What the host asks of the devices that it asks something of.
static void host_side(struct fuzz *fuzz, struct virtio_pci *pci, struct input *input)
{
    u8 bytes[256];
    if (pci == fuzz->devices[4]) {
        virtio_balloon_ask(pci, input_take(input, 2) * PAGE_BYTES);
        virtio_balloon_refresh(pci);
    } else if (pci == fuzz->devices[5]) {
        virtio_mem_request(pci, input_take(input, 1) * MIB(1));
    } else if (pci == fuzz->devices[6]) {
        channel_read(fuzz->channel, bytes, sizeof bytes);
        channel_write(fuzz->channel, input->data, input->bytes);
    }
}

static void arrive(struct fuzz *fuzz, struct input *input)
{
    struct network_header header = {0};
    struct iovec part = {.iov_base = (void *)input->data, .iov_len = input->bytes};
    if (input->bytes > 64 && input->data[0] % 2) {
        memcpy(&header, input->data, sizeof header);
        part = (struct iovec){(void *)(input->data + sizeof header), input->bytes - sizeof header};
    }
    network_room(&fuzz->port);
    network_receive(&fuzz->port, &header, &part, 1);
}

static void run_step(struct fuzz *fuzz, struct virtio_pci *pci, struct input *input)
{
    static const u8 widths[] = {1, 2, 4, 8};
    u8 opcode = (u8)input_take(input, 1), variant = opcode / STEP_KINDS;
    unsigned queue = variant % pci->virtio->type->queues, bar = variant % 2, width = widths[variant / 2 % 4];
    switch ((enum step)(opcode % STEP_KINDS)) {
    case STEP_POKE: poke(fuzz, input); break;
    case STEP_DESCRIBE: describe(fuzz, input, ring_base(queue)); break;
    case STEP_INDIRECT: describe(fuzz, input, 0x20000); break;
    case STEP_OFFER: offer(fuzz, queue, 16, (u16)input_take(input, 1)); break;
    case STEP_WORK: work(pci->virtio); break;
    case STEP_BEGIN: begin(fuzz, pci, input_take(input, 5), 16); break;
    case STEP_REGISTER_WRITE: {
        u64 offset = input_take(input, 2) % (0x1000 - 8);
        pci_bar_write(&pci->function, bar, offset, width, input_take(input, width));
        break;
    }
    case STEP_REGISTER_READ: pci_bar_read(&pci->function, bar, input_take(input, 2) % (0x1000 - 8), width); break;
    case STEP_CONFIG_WRITE: {
        unsigned offset = (unsigned)input_take(input, 1) & ~3u;
        pci_config_write(&pci->function, offset, width > 4 ? 4 : width, (u32)input_take(input, 4));
        break;
    }
    case STEP_CONFIG_READ:
        pci_config_read(&pci->function, (unsigned)input_take(input, 1) & ~3u, width > 4 ? 4 : width);
        break;
    case STEP_ARRIVE:
        pthread_mutex_lock(&pci->virtio->lock);
        pci->virtio->budget = 64;
        if (pci == fuzz->devices[1])
            arrive(fuzz, input);
        pthread_mutex_unlock(&pci->virtio->lock);
        host_side(fuzz, pci, input);
        break;
    case STEP_RING_ONLY: run_ring(fuzz, (u16)(1 << variant % 10), (u8)input_take(input, 1)); break;
    case STEP_SAVE: save(pci->virtio, input); break;
    case STEP_REQUEST: request(fuzz, input, queue); break;
    case STEP_KINDS: break;
    }
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t bytes)
{
    struct fuzz *fuzz = the_fuzz;
    struct input input = {.data = data, .bytes = bytes};
    struct error error;
    if (memory_clear(fuzz->memory, &error) < 0)
        fail("clear", &error);
    struct virtio_pci *pci = fuzz->devices[input_take(&input, 1) % DEVICES];
    pci_reset(&pci->function);
    begin(fuzz, pci, UINT64_MAX, 16);
    for (unsigned i = 0; i < STEPS && input.bytes; i++)
        run_step(fuzz, pci, &input);
    work(pci->virtio);
    return 0;
}
