// A network adapter with three pairs of queues, a driver of our own on one side and a cable of our own on the other.
#pragma once

#include "virtio_driver.h"

#include "virtio/virtio_net.h"

enum { QUEUE_IN, QUEUE_OUT };
enum { HEADER = 12, PAIRS = 3, BUFFER = DRIVER_DATA, BUFFER_STRIDE = 0x1000, SEND = DRIVER_DATA + 0x80000 };
#define FEATURE_MRG_RXBUF ((u64)1 << 15)

// A cable: keeps the last frame sent, and has frames to receive, which it shows at the next doorbell and as soon as
// there is room.
struct cable {
    struct network_port port;
    pthread_mutex_t lock;
    pthread_cond_t taken;
    struct network_header sent_header;
    u8 sent[66000];
    size_t sent_bytes;
    unsigned sent_count, closed;
    u8 frame[66000];
    size_t frame_bytes;
    unsigned frames; // so many copies of `frame` are to be received
    bool refused;
    struct network_header header; // that they have
    bool owes_room, plug; // plug: the link shall change to `plugged`
    bool plugged;
    unsigned busy; // so many frames are refused before one is taken
};

static inline bool cable_send(struct network_port *port, const struct network_header *header,
                              const struct iovec *parts, unsigned count)
{
    struct cable *cable = CONTAINER_OF(port, struct cable, port);
    pthread_mutex_lock(&cable->lock);
    if (cable->busy) {
        cable->busy--;
        cable->owes_room = true;
        pthread_mutex_unlock(&cable->lock);
        return false;
    }
    cable->sent_header = *header;
    cable->sent_bytes = offload_bytes(parts, count);
    cable->sent_count++;
    offload_copy(parts, count, 0, cable->sent, sizeof cable->sent);
    pthread_mutex_unlock(&cable->lock);
    return true;
}

static inline void cable_prepare(struct network_port *port, struct pollset *set)
{
    struct cable *cable = CONTAINER_OF(port, struct cable, port);
    pthread_mutex_lock(&cable->lock);
    if ((cable->frames && !cable->refused) || cable->owes_room || cable->plug)
        pollset_within(set, 0);
    pthread_mutex_unlock(&cable->lock);
}

static inline void cable_receive(struct cable *cable)
{
    pthread_mutex_lock(&cable->lock);
    const struct iovec part = {.iov_base = cable->frame, .iov_len = cable->frame_bytes};
    cable->refused = false;
    while (cable->frames && !cable->refused) {
        cable->refused = network_receive(&cable->port, &cable->header, &part, 1) == OFFLOAD_REFUSED;
        cable->frames -= !cable->refused;
    }
    pthread_cond_broadcast(&cable->taken);
    pthread_mutex_unlock(&cable->lock);
}

static inline void cable_room(struct network_port *port) { cable_receive(CONTAINER_OF(port, struct cable, port)); }

static inline void cable_dispatch(struct network_port *port, const struct pollset *set)
{
    struct cable *cable = CONTAINER_OF(port, struct cable, port);
    (void)set;
    if (cable->owes_room) {
        cable->owes_room = false;
        network_room(port);
    }
    if (cable->plug) {
        cable->plug = false;
        network_link(port, cable->plugged);
    }
    if (!cable->refused)
        cable_receive(cable);
}

static inline void cable_close(struct network_port *port) { CONTAINER_OF(port, struct cable, port)->closed++; }

static const struct network_port_type cable_type = {
    .send = cable_send,
    .room = cable_room,
    .prepare = cable_prepare,
    .dispatch = cable_dispatch,
    .close = cable_close,
};

static const u8 mac[6] = {0x02, 0x11, 0x22, 0x33, 0x44, 0x55};

static inline void begin(struct driver *driver, struct network_port *port, u64 features)
{
    struct error error = {0};
    struct virtio_net_config config = {.port = port, .queue_pairs = PAIRS};
    memcpy(config.mac, mac, sizeof mac);
    driver_init(driver);
    driver_attach(driver, virtio_net_create(driver->memory, &config, &error));
    driver_messages_on(driver);
    driver_begin(driver, features);
}

static inline void add_receive_buffer(struct driver *driver, u32 bytes)
{
    u16 at = driver->queues[QUEUE_IN].next_descriptor;
    struct driver_buffer buffer = {BUFFER + at * (u64)BUFFER_STRIDE, bytes, true};
    driver_add(driver, QUEUE_IN, &buffer, 1);
}

static inline u8 *received(struct driver *driver, unsigned index)
{
    return memory_pointer(driver->memory, BUFFER + index * (u64)BUFFER_STRIDE, BUFFER_STRIDE);
}

static inline void arrive(struct driver *driver, struct cable *cable, size_t bytes, unsigned frames)
{
    pthread_mutex_lock(&cable->lock);
    cable->frame_bytes = bytes;
    cable->frames = frames;
    for (size_t i = 0; i < bytes; i++)
        cable->frame[i] = (u8)(i * 7 + i / 256);
    pthread_mutex_unlock(&cable->lock);
    driver_kick(driver, QUEUE_IN);
}

// Until the frames that arrive are the guest's, or lost.
static inline void wait_taken(struct cable *cable)
{
    struct timespec until = driver_deadline();
    int late = 0;
    pthread_mutex_lock(&cable->lock);
    while (cable->frames && !late)
        late = pthread_cond_timedwait(&cable->taken, &cable->lock, &until);
    pthread_mutex_unlock(&cable->lock);
    assert_int_equal(late, 0);
}

static inline void send_frame(struct driver *driver, const u8 *header, const void *frame, u32 bytes)
{
    driver_put(driver, SEND, header, HEADER);
    driver_put(driver, SEND + HEADER, frame, bytes);
    struct driver_buffer buffers[] = {{SEND, HEADER, false}, {SEND + HEADER, bytes, false}};
    driver_add(driver, QUEUE_OUT, buffers, 2);
    driver_kick(driver, QUEUE_OUT);
    driver_wait_used(driver, QUEUE_OUT);
    // Sent is what was returned before the lock was given back.
    pthread_mutex_lock(&driver->pci->virtio->lock);
    pthread_mutex_unlock(&driver->pci->virtio->lock);
}

static const u8 plain[HEADER];

static inline void cable_init(struct cable *cable)
{
    *cable = (struct cable){.port = {.type = &cable_type, .up = true}, .header = {.flags = NETWORK_DATA_VALID}};
    pthread_mutex_init(&cable->lock, NULL);
    pthread_cond_init(&cable->taken, NULL);
}
