// The guest's side of virtio for tests: a driver small enough to be seen through, which can also break every rule. It
// talks to the device as a guest does: configuration space, BARs and rings in guest memory; interrupts arrive as
// messages.
#pragma once

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "virtio/virtio_pci.h"

enum { DRIVER_MEMORY = 8 << 20, DRIVER_RINGS = 0x10000, DRIVER_RING_STRIDE = 0x4000, DRIVER_DATA = 0x100000 };
enum { DRIVER_PATIENCE_S = 20 }; // only a test that fails waits so long

struct driver_queue {
    u64 descriptors, available, used; // guest addresses
    u16 size, next_descriptor, next_available, seen_used;
};

struct driver {
    struct memory *memory;
    struct virtio_pci *pci;
    struct driver_queue queues[VIRTIO_MAX_QUEUES];
    pthread_mutex_t lock;
    pthread_cond_t arrived;
    unsigned messages[VIRTIO_MAX_QUEUES + 1]; // per vector; the configuration's is the last of the device
    bool pin;
};

struct driver_buffer {
    u64 address;
    u32 bytes;
    bool write;
};

static inline void driver_msi(void *host, u64 address, u32 data)
{
    struct driver *driver = host;
    assert_int_equal(address, 0xFEE00000);
    pthread_mutex_lock(&driver->lock);
    driver->messages[data]++;
    pthread_cond_broadcast(&driver->arrived);
    pthread_mutex_unlock(&driver->lock);
}

static inline void driver_intx(void *host, const struct pci_function *function, bool level)
{
    struct driver *driver = host;
    (void)function;
    pthread_mutex_lock(&driver->lock);
    driver->pin = level;
    pthread_cond_broadcast(&driver->arrived);
    pthread_mutex_unlock(&driver->lock);
}

static inline void driver_moved(void *host, struct pci_function *function)
{
    (void)host, (void)function;
}

static const struct pci_host_ops driver_host_ops = {.msi = driver_msi, .intx = driver_intx, .moved = driver_moved};

static inline void driver_init(struct driver *driver)
{
    struct error error;
    *driver = (struct driver){.memory = memory_create(DRIVER_MEMORY, &error)};
    assert_non_null(driver->memory);
    pthread_mutex_init(&driver->lock, NULL);
    pthread_cond_init(&driver->arrived, NULL);
}

static inline void driver_attach(struct driver *driver, struct virtio_pci *pci)
{
    struct error error;
    assert_non_null(pci);
    driver->pci = pci;
    pci->function.host_ops = &driver_host_ops;
    pci->function.host = driver;
    assert_int_equal(virtio_start(pci->virtio, &error), 0);
}

static inline void driver_destroy(struct driver *driver)
{
    virtio_pci_destroy(driver->pci);
    memory_destroy(driver->memory);
    pthread_cond_destroy(&driver->arrived);
    pthread_mutex_destroy(&driver->lock);
}

#define DRIVER_COMMON(field) (VIRTIO_PCI_COMMON + offsetof(struct virtio_pci_common, field))

static inline u64 driver_read(struct driver *driver, u64 offset, unsigned bytes)
{
    return pci_bar_read(&driver->pci->function, VIRTIO_PCI_BAR_REGISTERS, offset, bytes);
}

static inline void driver_write(struct driver *driver, u64 offset, unsigned bytes, u64 value)
{
    pci_bar_write(&driver->pci->function, VIRTIO_PCI_BAR_REGISTERS, offset, bytes, value);
}

static inline u8 driver_status(struct driver *driver) { return (u8)driver_read(driver, DRIVER_COMMON(status), 1); }

static inline void driver_set_status(struct driver *driver, u8 status)
{
    driver_write(driver, DRIVER_COMMON(status), 1, status);
}

static inline u64 driver_offered(struct driver *driver)
{
    driver_write(driver, DRIVER_COMMON(device_feature_select), 4, 0);
    u64 low = driver_read(driver, DRIVER_COMMON(device_feature), 4);
    driver_write(driver, DRIVER_COMMON(device_feature_select), 4, 1);
    return low | driver_read(driver, DRIVER_COMMON(device_feature), 4) << 32;
}

static inline void driver_accept(struct driver *driver, u64 features)
{
    for (unsigned i = 0; i < 2; i++) {
        driver_write(driver, DRIVER_COMMON(driver_feature_select), 4, i);
        driver_write(driver, DRIVER_COMMON(driver_feature), 4, (u32)(features >> (32 * i)));
    }
}

// Bus master and memory decoding on, MSI-X on with vector n sending n.
static inline void driver_messages_on(struct driver *driver)
{
    struct pci_function *function = &driver->pci->function;
    pci_config_write(function, 0x04, 2, 6);
    for (unsigned i = 0; i < function->msix_vectors; i++) {
        pci_bar_write(function, VIRTIO_PCI_BAR_MSIX, i * 16 + 0, 4, 0xFEE00000);
        pci_bar_write(function, VIRTIO_PCI_BAR_MSIX, i * 16 + 4, 4, 0);
        pci_bar_write(function, VIRTIO_PCI_BAR_MSIX, i * 16 + 8, 4, i);
        pci_bar_write(function, VIRTIO_PCI_BAR_MSIX, i * 16 + 12, 4, 0);
    }
    u32 control = pci_config_read(function, function->msix_capability + 2u, 2);
    pci_config_write(function, function->msix_capability + 2u, 2, control | 0x8000);
}

static inline void driver_write_address(struct driver *driver, u64 offset, u64 value)
{
    driver_write(driver, offset, 4, (u32)value);
    driver_write(driver, offset + 4, 4, value >> 32);
}

static inline void driver_setup_queue(struct driver *driver, u16 number, u16 size)
{
    u64 base = DRIVER_RINGS + (u64)number * DRIVER_RING_STRIDE;
    driver->queues[number] = (struct driver_queue){
        .descriptors = base, .available = base + 0x1000, .used = base + 0x2000, .size = size};
    memory_fill(driver->memory, base, 0, DRIVER_RING_STRIDE);
    driver_write(driver, DRIVER_COMMON(queue_select), 2, number);
    driver_write(driver, DRIVER_COMMON(queue_size), 2, size);
    driver_write(driver, DRIVER_COMMON(queue_vector), 2, number);
    driver_write_address(driver, DRIVER_COMMON(queue_descriptors), base);
    driver_write_address(driver, DRIVER_COMMON(queue_driver), base + 0x1000);
    driver_write_address(driver, DRIVER_COMMON(queue_device), base + 0x2000);
    driver_write(driver, DRIVER_COMMON(queue_enable), 2, 1);
}

// The sequence of 3.1.1, up to DRIVER_OK. `features`: what to accept of the offer.
static inline void driver_begin(struct driver *driver, u64 features)
{
    driver_set_status(driver, 0);
    assert_int_equal(driver_status(driver), 0);
    driver_set_status(driver, 1);
    driver_set_status(driver, 3);
    driver_accept(driver, driver_offered(driver) & features);
    driver_set_status(driver, 11);
    assert_int_equal(driver_status(driver), 11);
    u16 queues = (u16)driver_read(driver, DRIVER_COMMON(queue_count), 2);
    driver_write(driver, DRIVER_COMMON(config_vector), 2, queues);
    for (u16 i = 0; i < queues; i++)
        driver_setup_queue(driver, i, 16);
    driver_set_status(driver, 15);
    assert_int_equal(driver_status(driver), 15);
}

static inline void driver_put(struct driver *driver, u64 gpa, const void *from, u64 bytes)
{
    assert_true(memory_write(driver->memory, gpa, from, bytes));
}

static inline void driver_put16(struct driver *driver, u64 gpa, u16 value) { driver_put(driver, gpa, &value, 2); }

static inline u16 driver_get16(struct driver *driver, u64 gpa)
{
    u16 *place = memory_pointer(driver->memory, gpa, 2);
    assert_non_null(place);
    return __atomic_load_n(place, __ATOMIC_ACQUIRE);
}

static inline void driver_describe(struct driver *driver, u16 queue, u16 index, struct virtqueue_descriptor descriptor)
{
    driver_put(driver, driver->queues[queue].descriptors + index * 16u, &descriptor, sizeof descriptor);
}

// Shows the device `head`. Neither checks nor rings.
static inline void driver_offer(struct driver *driver, u16 number, u16 head)
{
    struct driver_queue *queue = &driver->queues[number];
    driver_put16(driver, queue->available + 4 + (queue->next_available % queue->size) * 2u, head);
    u16 *index = memory_pointer(driver->memory, queue->available + 2, 2);
    __atomic_store_n(index, ++queue->next_available, __ATOMIC_SEQ_CST);
}

// Adds a chain of buffers, from descriptors in turn; returns its head.
static inline u16 driver_add(struct driver *driver, u16 number, const struct driver_buffer *buffers, unsigned count)
{
    struct driver_queue *queue = &driver->queues[number];
    u16 head = queue->next_descriptor;
    for (unsigned i = 0; i < count; i++) {
        u16 at = (u16)((head + i) % queue->size), next = (u16)((at + 1) % queue->size);
        u16 flags = (u16)((buffers[i].write ? VIRTQUEUE_DESCRIPTOR_WRITE : 0) |
                          (i + 1 < count ? VIRTQUEUE_DESCRIPTOR_NEXT : 0));
        driver_describe(driver, number, at, (struct virtqueue_descriptor){
            .address = buffers[i].address, .bytes = buffers[i].bytes, .flags = flags, .next = next});
    }
    queue->next_descriptor = (u16)((head + count) % queue->size);
    driver_offer(driver, number, head);
    return head;
}

static inline void driver_kick(struct driver *driver, u16 number)
{
    u64 offset = number * (u64)VIRTIO_PCI_DOORBELL_STRIDE;
    pci_bar_write(&driver->pci->function, VIRTIO_PCI_BAR_DOORBELLS, offset, 2, number);
}

static inline struct timespec driver_deadline(void)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += DRIVER_PATIENCE_S;
    return until;
}

// Waits for a message until `done` of the driver is true.
#define DRIVER_WAIT(driver, done)                                                                                     \
    do {                                                                                                              \
        struct timespec until_ = driver_deadline();                                                                   \
        pthread_mutex_lock(&(driver)->lock);                                                                          \
        int late_ = 0;                                                                                                \
        while (!(done) && !late_)                                                                                     \
            late_ = pthread_cond_timedwait(&(driver)->arrived, &(driver)->lock, &until_);                             \
        pthread_mutex_unlock(&(driver)->lock);                                                                        \
        assert_int_equal(late_, 0);                                                                                   \
    } while (0)

// Waits for the next used element, the way a driver with interrupts does.
static inline struct virtqueue_used_element driver_wait_used(struct driver *driver, u16 number)
{
    struct driver_queue *queue = &driver->queues[number];
    struct virtqueue_used_element element;
    // With the event index: an interrupt for the very next element, please.
    u16 *event = memory_pointer(driver->memory, queue->available + 4 + queue->size * 2u, 2);
    __atomic_store_n(event, queue->seen_used, __ATOMIC_SEQ_CST);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    DRIVER_WAIT(driver, driver_get16(driver, queue->used + 2) != queue->seen_used);
    assert_true(memory_read(driver->memory, queue->used + 4 + (queue->seen_used % queue->size) * 8u, &element, 8));
    queue->seen_used++;
    return element;
}

static inline void driver_wait_needs_reset(struct driver *driver)
{
    unsigned vector = driver->pci->virtio->type->queues;
    DRIVER_WAIT(driver, driver->messages[vector] > 0);
    assert_true(driver_status(driver) & VIRTIO_STATUS_NEEDS_RESET);
}
