// See virtio_pci.h. Section numbers are those of VIRTIO 1.2.
#include "virtio/virtio_pci.h"

#include <assert.h>
#include <string.h>

static_assert(offsetof(struct virtio_pci_common, status) == 0x14 &&
              offsetof(struct virtio_pci_common, queue_descriptors) == 0x20 &&
              sizeof(struct virtio_pci_common) == 0x38, "VIRTIO 1.2, 4.1.4.3");

enum { CAPABILITY_VENDOR = 0x09 };
enum { CAPABILITY_COMMON = 1, CAPABILITY_NOTIFY = 2, CAPABILITY_ISR = 3, CAPABILITY_DEVICE = 4, CAPABILITY_WINDOW = 5 };
enum { ISR_QUEUE = 1, ISR_CONFIG = 2 };

// 4.1.4, less the two bytes of id and next pointer.
struct virtio_pci_capability {
    u8 length;
    u8 type;
    u8 bar;
    u8 id;
    u8 padding[2];
    u32 offset;
    u32 bytes;
    u32 extra; // notify_off_multiplier, or the window's data
} __attribute__((packed));

static_assert(sizeof(struct virtio_pci_capability) == 18, "VIRTIO 1.2, 4.1.4");

// Queues, negotiation and status belong to the device and are under its lock.
static struct virtqueue *virtio_pci_selected(struct virtio_pci *pci)
{
    return pci->state.queue_select < pci->virtio->type->queues ? &pci->virtio->queues[pci->state.queue_select] : NULL;
}

static u32 virtio_pci_features(u64 features, u32 select)
{
    return select < 2 ? (u32)(features >> (32 * select)) : 0;
}

static struct virtio_pci_common virtio_pci_common(struct virtio_pci *pci)
{
    struct virtio *virtio = pci->virtio;
    struct virtqueue *queue = virtio_pci_selected(pci);
    struct virtio_pci_common common = {
        .device_feature_select = pci->state.device_feature_select,
        .device_feature = virtio_pci_features(virtio->features, pci->state.device_feature_select),
        .driver_feature_select = pci->state.driver_feature_select,
        .driver_feature = virtio_pci_features(virtio->driver_features, pci->state.driver_feature_select),
        .config_vector = virtio->config_vector,
        .queue_count = virtio->type->queues,
        .status = virtio->status,
        .config_generation = virtio->config_generation,
        .queue_select = pci->state.queue_select,
        .queue_vector = VIRTIO_NO_VECTOR,
    };
    if (queue) {
        common.queue_size = queue->state.size;
        common.queue_vector = queue->state.vector;
        common.queue_enable = queue->state.enabled;
        common.queue_doorbell = pci->state.queue_select;
        common.queue_descriptors = queue->state.descriptors;
        common.queue_driver = queue->state.driver;
        common.queue_device = queue->state.device;
    }
    return common;
}

static u64 virtio_pci_common_read(struct virtio_pci *pci, u64 offset, unsigned bytes)
{
    u64 value = 0;
    pthread_mutex_lock(&pci->virtio->lock);
    struct virtio_pci_common common = virtio_pci_common(pci);
    pthread_mutex_unlock(&pci->virtio->lock);
    if (offset + bytes <= sizeof common)
        memcpy(&value, (u8 *)&common + offset, bytes);
    return value;
}

// 4.1.5.1.2.1: a vector that does not exist reads back as none.
static u16 virtio_pci_vector(struct virtio_pci *pci, u64 value)
{
    return value < pci->function.msix_vectors ? (u16)value : VIRTIO_NO_VECTOR;
}

static void virtio_pci_write_features(struct virtio_pci *pci, u32 value)
{
    struct virtio *virtio = pci->virtio;
    u32 select = pci->state.driver_feature_select;
    // 3.1.1: negotiation is over once the device has agreed.
    if (select > 1 || (virtio->status & VIRTIO_STATUS_FEATURES_OK))
        return;
    virtio->driver_features &= ~((u64)UINT32_MAX << (32 * select));
    virtio->driver_features |= (u64)value << (32 * select);
}

// An address field, written whole or by halves.
static void virtio_pci_write_address(u64 *address, u64 offset, unsigned bytes, u64 value)
{
    if (bytes == 8 && offset == 0)
        *address = value;
    else if (bytes == 4)
        memcpy((u8 *)address + offset, &value, 4);
}

// 4.1.4.3.2: a queue is configured before it is enabled, and it is not disabled but by a reset.
static void virtio_pci_queue_write(struct virtio_pci *pci, u64 offset, unsigned bytes, u64 value)
{
    struct virtqueue *queue = virtio_pci_selected(pci);
    if (!queue)
        return;
    struct virtqueue_state *state = &queue->state;
    if (offset == offsetof(struct virtio_pci_common, queue_vector)) {
        state->vector = virtio_pci_vector(pci, value);
        return;
    }
    if (state->enabled)
        return;
    switch (offset) {
    case offsetof(struct virtio_pci_common, queue_size):
        if (value && value <= pci->virtio->type->queue_size && !(value & (value - 1)))
            state->size = (u16)value;
        return;
    case offsetof(struct virtio_pci_common, queue_enable):
        state->enabled = value == 1;
        if (state->enabled && (pci->virtio->status & VIRTIO_STATUS_DRIVER_OK))
            virtio_break(pci->virtio, "3.1.1: a queue enabled after DRIVER_OK");
        return;
    case offsetof(struct virtio_pci_common, queue_descriptors):
    case offsetof(struct virtio_pci_common, queue_descriptors) + 4:
        virtio_pci_write_address(&state->descriptors, offset & 4, bytes, value);
        return;
    case offsetof(struct virtio_pci_common, queue_driver):
    case offsetof(struct virtio_pci_common, queue_driver) + 4:
        virtio_pci_write_address(&state->driver, offset & 4, bytes, value);
        return;
    case offsetof(struct virtio_pci_common, queue_device):
    case offsetof(struct virtio_pci_common, queue_device) + 4:
        virtio_pci_write_address(&state->device, offset & 4, bytes, value);
        return;
    }
}

static void virtio_pci_common_write(struct virtio_pci *pci, u64 offset, unsigned bytes, u64 value)
{
    struct virtio *virtio = pci->virtio;
    if (offset == offsetof(struct virtio_pci_common, status)) {
        virtio_set_status(virtio, (u8)value);
        return;
    }
    pthread_mutex_lock(&virtio->lock);
    switch (offset) {
    case offsetof(struct virtio_pci_common, device_feature_select):
        pci->state.device_feature_select = (u32)value;
        break;
    case offsetof(struct virtio_pci_common, driver_feature_select):
        pci->state.driver_feature_select = (u32)value;
        break;
    case offsetof(struct virtio_pci_common, driver_feature):
        virtio_pci_write_features(pci, (u32)value);
        break;
    case offsetof(struct virtio_pci_common, config_vector):
        virtio->config_vector = virtio_pci_vector(pci, value);
        break;
    case offsetof(struct virtio_pci_common, queue_select):
        pci->state.queue_select = (u16)value;
        break;
    default:
        virtio_pci_queue_write(pci, offset, bytes, value);
    }
    pthread_mutex_unlock(&virtio->lock);
}

// 4.1.4.5: reading takes the bits and the interrupt away.
static u8 virtio_pci_isr_read(struct virtio_pci *pci)
{
    pthread_mutex_lock(&pci->isr_lock);
    u8 isr = pci->state.isr;
    pci->state.isr = 0;
    if (isr)
        pci_intx_set(&pci->function, false);
    pthread_mutex_unlock(&pci->isr_lock);
    return isr;
}

static void virtio_pci_raise(void *context, u16 vector, bool config)
{
    struct virtio_pci *pci = context;
    if (pci_msix_enabled(&pci->function)) {
        if (vector != VIRTIO_NO_VECTOR)
            pci_msix_raise(&pci->function, vector);
        return;
    }
    pthread_mutex_lock(&pci->isr_lock);
    pci->state.isr |= config ? ISR_CONFIG : ISR_QUEUE;
    pci_intx_set(&pci->function, true);
    pthread_mutex_unlock(&pci->isr_lock);
}

static u64 virtio_pci_config_read(struct virtio *virtio, u64 offset, unsigned bytes)
{
    u64 value = 0;
    pthread_mutex_lock(&virtio->lock);
    if (offset < virtio->type->config_bytes) {
        u64 there = virtio->type->config_bytes - offset;
        memcpy(&value, (const u8 *)virtio->config + offset, bytes < there ? bytes : there);
    }
    pthread_mutex_unlock(&virtio->lock);
    return value;
}

static void virtio_pci_config_write(struct virtio *virtio, u64 offset, unsigned bytes, u64 value)
{
    if (!virtio->type->config_write || offset + bytes > virtio->type->config_bytes)
        return;
    pthread_mutex_lock(&virtio->lock);
    virtio->type->config_write(virtio, (u32)offset, &value, bytes);
    pthread_mutex_unlock(&virtio->lock);
}

static u64 virtio_pci_read(void *context, u64 offset, unsigned bytes)
{
    struct virtio_pci *pci = context;
    if (offset >= VIRTIO_PCI_CONFIG)
        return virtio_pci_config_read(pci->virtio, offset - VIRTIO_PCI_CONFIG, bytes);
    if (offset == VIRTIO_PCI_ISR)
        return virtio_pci_isr_read(pci);
    return virtio_pci_common_read(pci, offset, bytes);
}

static void virtio_pci_write(void *context, u64 offset, unsigned bytes, u64 value)
{
    struct virtio_pci *pci = context;
    if (offset >= VIRTIO_PCI_CONFIG)
        virtio_pci_config_write(pci->virtio, offset - VIRTIO_PCI_CONFIG, bytes, value);
    else if (offset < sizeof(struct virtio_pci_common))
        virtio_pci_common_write(pci, offset, bytes, value);
}

static u64 virtio_pci_doorbell_read(void *context, u64 offset, unsigned bytes)
{
    (void)context, (void)offset, (void)bytes;
    return 0;
}

// Which queue is meant does not matter: the thread looks at all it has, which is cheaper than to remember.
static void virtio_pci_doorbell_write(void *context, u64 offset, unsigned bytes, u64 value)
{
    struct virtio_pci *pci = context;
    (void)bytes, (void)value;
    if (offset < (u64)VIRTIO_PCI_DOORBELL_STRIDE * pci->virtio->type->queues)
        virtio_notify(pci->virtio);
}

static int virtio_pci_doorbell(void *context, unsigned bar, u64 offset)
{
    struct virtio_pci *pci = context;
    const bool queue = offset < (u64)VIRTIO_PCI_DOORBELL_STRIDE * pci->virtio->type->queues &&
                       offset % VIRTIO_PCI_DOORBELL_STRIDE == 0;
    return bar == VIRTIO_PCI_BAR_DOORBELLS && queue ? pci->virtio->doorbell : -1;
}

// 4.1.4.9: configuration space as a way to the BARs, for software that cannot map them. What it asks for is in the
// capability itself; false if that is not an access we can make.
static bool virtio_pci_window(struct virtio_pci *pci, struct virtio_pci_capability *window)
{
    memcpy(window, pci->function.config + pci->window + 2, sizeof *window);
    u64 most = window->bar == VIRTIO_PCI_BAR_REGISTERS   ? VIRTIO_PCI_REGISTERS_BYTES
               : window->bar == VIRTIO_PCI_BAR_DOORBELLS ? VIRTIO_PCI_DOORBELLS_BYTES
                                                         : 0;
    return (window->bytes == 1 || window->bytes == 2 || window->bytes == 4) && window->offset % window->bytes == 0 &&
           window->offset < most;
}

static bool virtio_pci_is_window_data(const struct virtio_pci *pci, unsigned offset, unsigned bytes)
{
    unsigned data = pci->window + 2 + offsetof(struct virtio_pci_capability, extra);
    return pci->window && offset < data + 4 && offset + bytes > data;
}

static void virtio_pci_window_read(void *context, unsigned offset, unsigned bytes)
{
    struct virtio_pci *pci = context;
    struct virtio_pci_capability window;
    if (!virtio_pci_is_window_data(pci, offset, bytes) || !virtio_pci_window(pci, &window))
        return;
    u32 value = (u32)pci_bar_read(&pci->function, window.bar, window.offset, window.bytes);
    u8 *data = pci->function.config + pci->window + 2 + offsetof(struct virtio_pci_capability, extra);
    memcpy(data, &value, sizeof value);
}

static void virtio_pci_window_written(void *context, unsigned offset, unsigned bytes)
{
    struct virtio_pci *pci = context;
    struct virtio_pci_capability window;
    if (!virtio_pci_is_window_data(pci, offset, bytes) || !virtio_pci_window(pci, &window))
        return;
    u32 value = window.extra & (window.bytes == 4 ? UINT32_MAX : (1u << (8 * window.bytes)) - 1);
    pci_bar_write(&pci->function, window.bar, window.offset, window.bytes, value);
}

static void virtio_pci_reset(void *context)
{
    struct virtio_pci *pci = context;
    virtio_reset(pci->virtio);
    virtio_pci_isr_read(pci);
    pci->state = (struct virtio_pci_state){0};
}

static int virtio_pci_add_capability(struct virtio_pci *pci, u8 type, u8 bar, u32 offset, u32 bytes,
                                     struct error *error)
{
    bool extra = type == CAPABILITY_NOTIFY || type == CAPABILITY_WINDOW;
    unsigned length = offsetof(struct virtio_pci_capability, extra) + (extra ? 4 : 0);
    struct virtio_pci_capability body = {
        .length = (u8)(length + 2),
        .type = type,
        .bar = bar,
        .offset = offset,
        .bytes = bytes,
        .extra = type == CAPABILITY_NOTIFY ? VIRTIO_PCI_DOORBELL_STRIDE : 0,
    };
    const struct virtio_pci_capability window = {.bar = 0xFF, .offset = ~0u, .bytes = ~0u, .extra = ~0u};
    const void *writable = type == CAPABILITY_WINDOW ? &window : NULL;
    return pci_capability(&pci->function, CAPABILITY_VENDOR, &body, writable, length, error);
}

static int virtio_pci_add_capabilities(struct virtio_pci *pci, struct error *error)
{
    const struct virtio_type *type = pci->virtio->type;
    if (virtio_pci_add_capability(pci, CAPABILITY_COMMON, VIRTIO_PCI_BAR_REGISTERS, VIRTIO_PCI_COMMON,
                                  sizeof(struct virtio_pci_common), error) < 0 ||
        virtio_pci_add_capability(pci, CAPABILITY_ISR, VIRTIO_PCI_BAR_REGISTERS, VIRTIO_PCI_ISR, 1, error) < 0 ||
        virtio_pci_add_capability(pci, CAPABILITY_NOTIFY, VIRTIO_PCI_BAR_DOORBELLS, 0,
                                  (u32)VIRTIO_PCI_DOORBELL_STRIDE * type->queues, error) < 0)
        return -1;
    // 4.1.4.6: only for a device that has a configuration.
    if (type->config_bytes && virtio_pci_add_capability(pci, CAPABILITY_DEVICE, VIRTIO_PCI_BAR_REGISTERS,
                                                        VIRTIO_PCI_CONFIG, type->config_bytes, error) < 0)
        return -1;
    int window = virtio_pci_add_capability(pci, CAPABILITY_WINDOW, 0, 0, 0, error);
    pci->window = window < 0 ? 0 : (unsigned)window;
    return window < 0 ? -1 : 0;
}

int virtio_pci_init(struct virtio_pci *pci, struct virtio *virtio, struct error *error)
{
    *pci = (struct virtio_pci){.virtio = virtio};
    pci->function = (struct pci_function){
        .name = virtio->type->name,
        .context = pci,
        .vendor = VIRTIO_PCI_VENDOR,
        .device = (u16)(VIRTIO_PCI_DEVICE + virtio->type->id),
        .subsystem_vendor = VIRTIO_PCI_VENDOR,
        .subsystem = (u16)(VIRTIO_PCI_DEVICE + virtio->type->id),
        .class_code = virtio->type->class_code,
        .revision = 1, // 4.1.2.1: at least 1 for the modern interface
        .intx = true,
        .bars[VIRTIO_PCI_BAR_REGISTERS] = {.kind = PCI_BAR_MEMORY32, .bytes = VIRTIO_PCI_REGISTERS_BYTES,
                                           .read = virtio_pci_read, .write = virtio_pci_write},
        .bars[VIRTIO_PCI_BAR_DOORBELLS] = {.kind = PCI_BAR_MEMORY32, .bytes = VIRTIO_PCI_DOORBELLS_BYTES,
                                           .unlocked = true, .read = virtio_pci_doorbell_read,
                                           .write = virtio_pci_doorbell_write},
        .msix_vectors = virtio->type->queues + 1u, // one each, and one for changes of the configuration
        .msix_bar = VIRTIO_PCI_BAR_MSIX,
        .doorbell = virtio_pci_doorbell,
        .config_read = virtio_pci_window_read,
        .config_written = virtio_pci_window_written,
        .reset = virtio_pci_reset,
    };
    if (pci_init(&pci->function, error) < 0)
        return -1;
    pthread_mutex_init(&pci->isr_lock, NULL);
    if (virtio_pci_add_capabilities(pci, error) < 0) {
        pci_destroy(&pci->function);
        pthread_mutex_destroy(&pci->isr_lock);
        return -1;
    }
    virtio->interrupt = (struct virtio_interrupt){.raise = virtio_pci_raise, .context = pci};
    return 0;
}

void virtio_pci_destroy(struct virtio_pci *pci)
{
    if (!pci)
        return;
    struct virtio *virtio = pci->virtio;
    virtio_stop(virtio);
    pci_destroy(&pci->function);
    pthread_mutex_destroy(&pci->isr_lock);
    virtio->type->destroy(virtio);
}

static const struct state_field virtio_pci_fields[] = {
    STATE_FIELD(struct virtio_pci_saved, transport.device_feature_select),
    STATE_FIELD(struct virtio_pci_saved, transport.driver_feature_select),
    STATE_FIELD(struct virtio_pci_saved, transport.queue_select),
    STATE_RANGE(struct virtio_pci_saved, transport.isr, 0, ISR_QUEUE | ISR_CONFIG),
    STATE_FIELD(struct virtio_pci_saved, device.status),
    STATE_FIELD(struct virtio_pci_saved, device.config_generation),
    STATE_FIELD(struct virtio_pci_saved, device.config_vector),
    STATE_FIELD(struct virtio_pci_saved, device.driver_features),
};

const struct state_section virtio_pci_section = STATE_SECTION("virtio", 1, virtio_pci_fields);

void virtio_pci_save(struct virtio_pci *pci, struct virtio_pci_saved *saved)
{
    virtio_save(pci->virtio, &saved->device);
    pthread_mutex_lock(&pci->isr_lock);
    saved->transport = pci->state;
    pthread_mutex_unlock(&pci->isr_lock);
}

int virtio_pci_restore(struct virtio_pci *pci, const struct virtio_pci_saved *saved, struct error *error)
{
    if (virtio_restore(pci->virtio, &saved->device, error))
        return -1;
    pthread_mutex_lock(&pci->isr_lock);
    pci->state = saved->transport;
    pthread_mutex_unlock(&pci->isr_lock);
    return 0;
}
