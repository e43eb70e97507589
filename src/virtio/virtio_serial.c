// See virtio_serial.h. Section numbers are those of VIRTIO 1.2.
//
// There is one port, number 1: port 0 is a console where there is one, and drivers know that. Its queues are there,
// as the numbering wants them, and unused. What is to be said to the driver is a set of flags, not a list, so that a
// driver that asks and does not listen costs nothing.
#include "virtio/virtio_serial.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SERIAL_F_MULTIPORT ((u64)1 << 1)

// 5.3.2: ports' queues by pairs, those of the control messages after the first pair.
enum { QUEUE_CONTROL_IN = 2, QUEUE_CONTROL_OUT = 3, QUEUE_IN = 4, QUEUE_OUT = 5, SERIAL_QUEUES };
enum { SERIAL_QUEUE_SIZE = 64, SERIAL_PORT = 1, SERIAL_PORTS = 2, SERIAL_NAME = 64, SERIAL_PIECE = 4096 };
static_assert(SERIAL_QUEUES <= (int)VIRTIO_MAX_QUEUES, "virtio.h");

// 5.3.6.2
enum { CONTROL_DEVICE_READY = 0, CONTROL_DEVICE_ADD = 1, CONTROL_PORT_READY = 3, CONTROL_PORT_OPEN = 6,
       CONTROL_PORT_NAME = 7 };

struct serial_control {
    u32 port;
    u16 event, value;
};
static_assert(sizeof(struct serial_control) == 8, "VIRTIO 1.2, 5.3.6.2");

struct serial_configuration {
    u16 columns, rows;
    u32 ports;
    u32 emergency_write;
};
static_assert(sizeof(struct serial_configuration) == 12, "VIRTIO 1.2, 5.3.4");

// What the driver is yet to be told, in this order.
enum { TELL_ADD = 1 << 0, TELL_NAME = 1 << 1, TELL_OPEN = 1 << 2 };

struct virtio_serial {
    struct virtio virtio;
    struct virtio_pci pci;
    struct serial_configuration configuration;
    const char *name;
    struct channel *channel;
    u8 tell;
    u8 open;  // a program in the guest has the port open
    u64 sent; // of the chain at the head of the output queue, in bytes
    struct virtqueue_chain chain;
    u8 piece[SERIAL_PIECE];
};

static struct virtio_serial *serial_of(struct virtio *virtio)
{
    return CONTAINER_OF(virtio, struct virtio_serial, virtio);
}

// --- Control messages ---

// The next message, and its length; 0: there is none.
static size_t serial_next_message(struct virtio_serial *serial, u8 message[sizeof(struct serial_control) + SERIAL_NAME])
{
    struct serial_control control = {.port = SERIAL_PORT, .value = 1};
    size_t bytes = sizeof control;
    if (serial->tell & TELL_ADD) {
        control.event = CONTROL_DEVICE_ADD;
    } else if (serial->tell & TELL_NAME) {
        control.event = CONTROL_PORT_NAME;
        size_t name = strnlen(serial->name, SERIAL_NAME);
        memcpy(message + sizeof control, serial->name, name);
        bytes += name;
    } else if (serial->tell & TELL_OPEN) {
        control.event = CONTROL_PORT_OPEN;
    } else {
        return 0;
    }
    memcpy(message, &control, sizeof control);
    serial->tell &= (u8)(serial->tell - 1); // the lowest flag is the one that was answered
    return bytes;
}

static void serial_tell(struct virtio_serial *serial)
{
    struct virtio *virtio = &serial->virtio;
    struct virtqueue *queue = &virtio->queues[QUEUE_CONTROL_IN];
    u8 message[sizeof(struct serial_control) + SERIAL_NAME];
    if (!queue->state.enabled)
        return;
    do {
        while (serial->tell && virtio_take(virtio, QUEUE_CONTROL_IN, &serial->chain) == VIRTQUEUE_CHAIN) {
            size_t bytes = serial_next_message(serial, message);
            bytes = virtqueue_chain_write(&serial->chain, 0, message, bytes);
            virtqueue_return(queue, &serial->chain, (u32)bytes);
        }
        virtio_publish(virtio, QUEUE_CONTROL_IN);
    } while (serial->tell && virtio_listen(virtio, QUEUE_CONTROL_IN, 0));
}

static void serial_set_open(struct virtio_serial *serial, bool open)
{
    serial->open = open;
    serial->sent = 0;
    channel_guest_open(serial->channel, open);
}

static void serial_hear_one(struct virtio_serial *serial, const struct serial_control *control)
{
    if (control->event == CONTROL_DEVICE_READY && control->value == 1)
        serial->tell |= TELL_ADD;
    if (control->port != SERIAL_PORT)
        return;
    if (control->event == CONTROL_PORT_READY && control->value == 1)
        serial->tell |= TELL_NAME | TELL_OPEN;
    else if (control->event == CONTROL_PORT_OPEN)
        serial_set_open(serial, control->value == 1);
}

static void serial_hear(struct virtio_serial *serial)
{
    struct virtio *virtio = &serial->virtio;
    struct virtqueue *queue = &virtio->queues[QUEUE_CONTROL_OUT];
    if (!queue->state.enabled)
        return;
    virtqueue_deafen(queue);
    do {
        while (virtio_take(virtio, QUEUE_CONTROL_OUT, &serial->chain) == VIRTQUEUE_CHAIN) {
            struct serial_control control;
            if (virtqueue_chain_read(&serial->chain, 0, &control, sizeof control) == sizeof control)
                serial_hear_one(serial, &control);
            virtqueue_return(queue, &serial->chain, 0);
        }
        virtio_publish(virtio, QUEUE_CONTROL_OUT);
    } while (virtio_listen(virtio, QUEUE_CONTROL_OUT, 0));
}

// --- Bytes ---

// Offers the channel what the chain holds from byte `sent` on; true if that was all.
static bool serial_send_chain(struct virtio_serial *serial)
{
    size_t bytes;
    while ((bytes = virtqueue_chain_read(&serial->chain, serial->sent, serial->piece, sizeof serial->piece))) {
        // A closed port has no reader: what comes late is dropped, so that the driver's queue does not fill.
        size_t taken = serial->open ? channel_from_guest(serial->channel, serial->piece, bytes) : bytes;
        serial->sent += taken;
        if (taken < bytes)
            return false;
    }
    serial->sent = 0;
    return true;
}

static void serial_send(struct virtio_serial *serial)
{
    struct virtio *virtio = &serial->virtio;
    struct virtqueue *queue = &virtio->queues[QUEUE_OUT];
    if (!queue->state.enabled)
        return;
    virtqueue_deafen(queue);
    do {
        while (virtio_take(virtio, QUEUE_OUT, &serial->chain) == VIRTQUEUE_CHAIN) {
            if (!serial_send_chain(serial)) {
                virtqueue_untake(queue, 1);
                virtio_publish(virtio, QUEUE_OUT);
                return; // the channel wakes us
            }
            virtqueue_return(queue, &serial->chain, 0);
        }
        virtio_publish(virtio, QUEUE_OUT);
    } while (virtio_listen(virtio, QUEUE_OUT, 0));
}

static void serial_receive(struct virtio_serial *serial)
{
    struct virtio *virtio = &serial->virtio;
    struct virtqueue *queue = &virtio->queues[QUEUE_IN];
    size_t bytes = 1;
    if (!queue->state.enabled || !serial->open)
        return;
    do {
        while (bytes && virtio_take(virtio, QUEUE_IN, &serial->chain) == VIRTQUEUE_CHAIN) {
            u64 room = serial->chain.writable_bytes;
            bytes = channel_to_guest(serial->channel, serial->piece, room < SERIAL_PIECE ? room : SERIAL_PIECE);
            virtqueue_chain_write(&serial->chain, 0, serial->piece, bytes);
            if (bytes || !room)
                virtqueue_return(queue, &serial->chain, (u32)bytes);
            else
                virtqueue_untake(queue, 1);
        }
        virtio_publish(virtio, QUEUE_IN);
    } while (bytes && virtio_listen(virtio, QUEUE_IN, 0));
}

static void serial_work(struct virtio *virtio)
{
    struct virtio_serial *serial = serial_of(virtio);
    if (!virtio_has(virtio, SERIAL_F_MULTIPORT))
        return; // a driver without it knows port 0 only
    serial_hear(serial);
    if (virtio_live(virtio))
        serial_tell(serial);
    if (virtio_live(virtio))
        serial_send(serial);
    if (virtio_live(virtio))
        serial_receive(serial);
}

static void serial_wake(void *context) { virtio_notify(context); }

static void serial_reset(struct virtio *virtio)
{
    struct virtio_serial *serial = serial_of(virtio);
    serial->tell = 0;
    serial_set_open(serial, false);
}

static void serial_destroy(struct virtio *virtio)
{
    struct virtio_serial *serial = serial_of(virtio);
    channel_attach(serial->channel, NULL, NULL);
    virtio_close(virtio);
    free(serial);
}

// The bytes that were in the channel are lost, as when the port is closed and opened again.
static int serial_loaded(void *object, struct error *error)
{
    struct virtio_serial *serial = object;
    (void)error;
    channel_guest_open(serial->channel, serial->open);
    return 0;
}

static const struct state_field serial_fields[] = {
    STATE_RANGE(struct virtio_serial, tell, 0, TELL_ADD | TELL_NAME | TELL_OPEN),
    STATE_BOOL(struct virtio_serial, open),
    STATE_FIELD(struct virtio_serial, sent),
};

static const struct state_section serial_state =
    STATE_SECTION("virtio-serial", 1, serial_fields, .post_load = serial_loaded);
static_assert(offsetof(struct virtio_serial, virtio) == 0, "virtio_type.state");

static const struct virtio_type serial_type = {
    .name = "serial",
    .id = VIRTIO_ID_CONSOLE,
    .queues = SERIAL_QUEUES,
    .queue_size = SERIAL_QUEUE_SIZE,
    .class_code = 0x078000,
    .config_bytes = sizeof(struct serial_configuration),
    .work = serial_work,
    .state = &serial_state,
    .reset = serial_reset,
    .destroy = serial_destroy,
};

struct virtio_pci *virtio_serial_create(struct memory *memory, const struct virtio_serial_config *config,
                                        struct error *error)
{
    struct virtio_serial *serial = calloc(1, sizeof *serial);
    if (!serial) {
        error_set(error, "virtio serial: out of memory");
        return NULL;
    }
    serial->name = config->name;
    serial->channel = config->channel;
    serial->configuration.ports = SERIAL_PORTS;
    serial->virtio.type = &serial_type;
    serial->virtio.memory = memory;
    serial->virtio.config = &serial->configuration;
    serial->virtio.features = SERIAL_F_MULTIPORT;
    if (virtio_open(&serial->virtio, error) < 0) {
        free(serial);
        return NULL;
    }
    if (virtio_pci_init(&serial->pci, &serial->virtio, error) < 0) {
        virtio_close(&serial->virtio);
        free(serial);
        return NULL;
    }
    channel_attach(serial->channel, serial_wake, &serial->virtio);
    return &serial->pci;
}
