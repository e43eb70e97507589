// See virtio_console.h. Nothing is buffered here: what the host's side does not take stays in the guest's buffers, what
// the guest has no buffer for stays with the host's console.
#include "virtio/virtio_console.h"

#include <assert.h>
#include <stdlib.h>

#define CONSOLE_F_SIZE ((u64)1 << 0)

enum { CONSOLE_QUEUE_IN, CONSOLE_QUEUE_OUT, CONSOLE_QUEUES };
enum { CONSOLE_QUEUE_SIZE = 128 };

// 5.3.4
struct console_configuration {
    u16 columns, rows;
    u32 ports;
    u32 emergency_write;
};

static_assert(sizeof(struct console_configuration) == 12, "VIRTIO 1.2, 5.3.4");

struct virtio_console {
    struct virtio virtio;
    struct virtio_pci pci;
    struct console_port port;
    struct console_configuration configuration;
    bool refused;        // the host's console has input that we had no buffer for
    u64 sent;            // of the chain at the head of the output queue, in bytes
    struct virtqueue_chain chain;
};

// Offers the host what the chain holds from byte `sent` on; true if that was all.
static bool console_send_chain(struct virtio_console *console)
{
    const struct virtqueue_chain *chain = &console->chain;
    u64 skip = console->sent;
    for (unsigned i = 0; i < chain->readable; i++) {
        const struct iovec *segment = &chain->segments[i];
        if (skip >= segment->iov_len) {
            skip -= segment->iov_len;
            continue;
        }
        size_t left = segment->iov_len - skip;
        size_t taken = console_write(&console->port, (u8 *)segment->iov_base + skip, left);
        console->sent += taken;
        if (taken < left)
            return false;
        skip = 0;
    }
    console->sent = 0;
    return true;
}

static void console_work(struct virtio *virtio)
{
    struct virtio_console *console = CONTAINER_OF(virtio, struct virtio_console, virtio);
    struct virtqueue *queue = &virtio->queues[CONSOLE_QUEUE_OUT];
    if (console->refused) {
        console->refused = false;
        console_ready(&console->port);
    }
    virtqueue_deafen(queue);
    do {
        while (virtio_take(virtio, CONSOLE_QUEUE_OUT, &console->chain) == VIRTQUEUE_CHAIN) {
            if (!console_send_chain(console)) {
                virtqueue_untake(queue, 1);
                virtio_publish(virtio, CONSOLE_QUEUE_OUT);
                return; // console_port.writable wakes us
            }
            virtqueue_return(queue, &console->chain, 0);
        }
        virtio_publish(virtio, CONSOLE_QUEUE_OUT);
    } while (virtio_listen(virtio, CONSOLE_QUEUE_OUT, 0));
}

// On the console's thread.
static size_t console_receive(void *context, const u8 *bytes, size_t count)
{
    struct virtio_console *console = context;
    struct virtio *virtio = &console->virtio;
    struct virtqueue *queue = &virtio->queues[CONSOLE_QUEUE_IN];
    size_t done = 0;
    pthread_mutex_lock(&virtio->lock);
    virtio->budget = VIRTIO_ROUND_CHAINS;
    while (done < count && virtio_active(virtio)) {
        enum virtqueue_result result = virtio_take(virtio, CONSOLE_QUEUE_IN, &console->chain);
        if (result == VIRTQUEUE_EMPTY && virtio_listen(virtio, CONSOLE_QUEUE_IN, 0))
            continue;
        if (result != VIRTQUEUE_CHAIN)
            break;
        size_t put = virtqueue_chain_write(&console->chain, 0, bytes + done, count - done);
        virtqueue_return(queue, &console->chain, (u32)put);
        done += put;
    }
    if (done)
        virtio_publish(virtio, CONSOLE_QUEUE_IN);
    console->refused = done < count;
    pthread_mutex_unlock(&virtio->lock);
    return done;
}

static void console_writable(void *context)
{
    struct virtio_console *console = context;
    virtio_notify(&console->virtio);
}

static bool console_get_size(struct virtio_console *console, const struct console *host)
{
    u16 columns, rows;
    if (!console_size(host, &columns, &rows))
        return false;
    console->configuration.columns = columns;
    console->configuration.rows = rows;
    return true;
}

static void console_port_resized(void *context)
{
    struct virtio_console *console = context;
    struct virtio *virtio = &console->virtio;
    pthread_mutex_lock(&virtio->lock);
    if (console_get_size(console, console->port.console) && virtio_active(virtio) && virtio_has(virtio, CONSOLE_F_SIZE))
        virtio_config_changed(virtio);
    pthread_mutex_unlock(&virtio->lock);
}

static void console_reset(struct virtio *virtio)
{
    struct virtio_console *console = CONTAINER_OF(virtio, struct virtio_console, virtio);
    console->sent = 0;
}

static void console_destroy(struct virtio *virtio)
{
    struct virtio_console *console = CONTAINER_OF(virtio, struct virtio_console, virtio);
    console_detach(&console->port);
    virtio_close(virtio);
    free(console);
}

static const struct state_field console_fields[] = {
    STATE_FIELD(struct virtio_console, sent),
};

static const struct state_section console_state = STATE_SECTION("virtio-console", 1, console_fields);
static_assert(offsetof(struct virtio_console, virtio) == 0, "virtio_type.state");

static const struct virtio_type console_type = {
    .name = "console",
    .id = VIRTIO_ID_CONSOLE,
    .queues = CONSOLE_QUEUES,
    .queue_size = CONSOLE_QUEUE_SIZE,
    .class_code = 0x078000,
    .config_bytes = sizeof(struct console_configuration),
    .work = console_work,
    .state = &console_state,
    .reset = console_reset,
    .destroy = console_destroy,
};

struct virtio_pci *virtio_console_create(struct memory *memory, const struct virtio_console_config *config,
                                         struct error *error)
{
    struct virtio_console *console = calloc(1, sizeof *console);
    if (!console) {
        error_set(error, "virtio console: out of memory");
        return NULL;
    }
    console->port = (struct console_port){
        .context = console,
        .receive = console_receive,
        .writable = console_writable,
        .resized = console_port_resized,
    };
    console->configuration.ports = 1;
    console->virtio.type = &console_type;
    console->virtio.memory = memory;
    console->virtio.config = &console->configuration;
    console->virtio.features = console_get_size(console, config->console) ? CONSOLE_F_SIZE : 0;
    if (virtio_open(&console->virtio, error) < 0) {
        free(console);
        return NULL;
    }
    if (virtio_pci_init(&console->pci, &console->virtio, error) < 0) {
        console_destroy(&console->virtio);
        return NULL;
    }
    if (console_attach(config->console, &console->port, error) < 0) {
        virtio_pci_destroy(&console->pci);
        return NULL;
    }
    return &console->pci;
}
