// See wire_port.h. The adapter's thread alone uses the cable; others leave a new one in `next`, under a lock, and
// wake the thread.
#include "host/wire_port.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "net/wire.h"

enum { WIRE_PORT_BATCH = 256 /* frames to the adapter before its thread looks at anything else */ };

struct wire_port {
    struct network_port port;
    struct wire *wire; // NULL: none
    bool awaited;      // no cable was there yet, and one will be
    bool refused;      // a frame of the adapter: it waits to hear of room
    bool full;         // the adapter refused a frame, which is still in the ring
    int bell, woken;   // in the set the thread sleeps on
    int wake;          // eventfd: `next` changed

    pthread_mutex_t lock; // what follows
    bool changed;
    struct wire *next; // NULL: pulled
};

static struct wire_port *wire_port_of(struct network_port *port) { return CONTAINER_OF(port, struct wire_port, port); }

static bool wire_port_send(struct network_port *port, const struct network_header *header, const struct iovec *parts,
                           unsigned count)
{
    struct wire_port *self = wire_port_of(port);
    self->refused |= self->awaited;
    if (self->awaited)
        return false;
    if (!self->wire || wire_is_hung_up(self->wire) || wire_is_broken(self->wire))
        return true; // lost, as on a cable that leads nowhere
    const size_t bytes = WIRE_HEADER + offload_bytes(parts, count);
    if (bytes < WIRE_LEAST || bytes > WIRE_MOST)
        return true; // no Ethernet has it
    const bool sent = wire_send(self->wire, header, parts, count);
    if (sent)
        wire_flush(self->wire); // the switch works while the guest goes on
    self->refused |= !sent;
    return sent;
}

// What has come, as far as the adapter takes it.
static void wire_port_deliver(struct wire_port *self)
{
    const u8 *record;
    size_t bytes;
    for (unsigned i = 0; i < WIRE_PORT_BATCH && self->wire && (bytes = wire_receive(self->wire, &record)); i++) {
        struct network_header header;
        memcpy(&header, record, sizeof header);
        const struct iovec frame = {(u8 *)(uintptr_t)record + WIRE_HEADER, bytes - WIRE_HEADER};
        self->full = network_receive(&self->port, &header, &frame, 1) == OFFLOAD_REFUSED;
        if (self->full)
            return;
        wire_done(self->wire);
    }
}
static_assert(sizeof(struct network_header) == WIRE_HEADER, "a record begins with it");

static void wire_port_room(struct network_port *port)
{
    struct wire_port *self = wire_port_of(port);
    self->full = false;
    wire_port_deliver(self);
}

static void wire_port_change(struct wire_port *self)
{
    u64 count;
    ssize_t ignored = read(self->wake, &count, sizeof count);
    (void)ignored;
    pthread_mutex_lock(&self->lock);
    const bool changed = self->changed;
    struct wire *next = self->next;
    self->changed = false;
    self->next = NULL;
    pthread_mutex_unlock(&self->lock);
    if (!changed)
        return;
    wire_close(self->wire);
    self->wire = next;
    self->awaited = self->full = false;
    network_link(&self->port, next != NULL);
    if (self->refused) {
        self->refused = false;
        network_room(&self->port);
    }
}

static void wire_port_prepare(struct network_port *port, struct pollset *set)
{
    struct wire_port *self = wire_port_of(port);
    self->woken = pollset_add(set, self->wake, POLLIN);
    self->bell = -1;
    if (!self->wire || wire_bell(self->wire) < 0)
        return;
    if (self->full)
        wire_flush(self->wire); // only of room for what it sends does it want to hear
    else if (!wire_sleep(self->wire))
        pollset_within(set, 0);
    self->bell = pollset_add(set, wire_bell(self->wire), POLLIN);
}

static void wire_port_dispatch(struct network_port *port, const struct pollset *set)
{
    struct wire_port *self = wire_port_of(port);
    if (pollset_events(set, self->woken))
        wire_port_change(self);
    else if (self->wire && pollset_events(set, self->bell))
        wire_wake(self->wire);
    if (!self->wire)
        return;
    if (self->refused) {
        self->refused = false;
        network_room(&self->port);
    }
    if (!self->full)
        wire_port_deliver(self);
}

static void wire_port_close(struct network_port *port)
{
    struct wire_port *self = wire_port_of(port);
    wire_close(self->wire);
    wire_close(self->next);
    close(self->wake);
    pthread_mutex_destroy(&self->lock);
    free(self);
}

static const struct network_port_type wire_port_type = {
    .send = wire_port_send,
    .room = wire_port_room,
    .prepare = wire_port_prepare,
    .dispatch = wire_port_dispatch,
    .close = wire_port_close,
};

struct network_port *wire_port_create(bool awaited, struct error *error)
{
    struct wire_port *self = calloc(1, sizeof *self);
    const int wake = self ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
    if (wake < 0) {
        error_set(error, "network adapter: %s", strerror(errno));
        free(self);
        return NULL;
    }
    self->port = (struct network_port){.type = &wire_port_type, .offloads = OFFLOAD_ALL, .up = awaited};
    self->awaited = awaited;
    self->wake = wake;
    pthread_mutex_init(&self->lock, NULL);
    return &self->port;
}

void wire_port_begin(struct network_port *port)
{
    struct wire_port *self = wire_port_of(port);
    self->full = self->refused = false;
}

static void wire_port_set(struct wire_port *self, struct wire *next)
{
    const u64 one = 1;
    pthread_mutex_lock(&self->lock);
    struct wire *before = self->next;
    self->next = next;
    self->changed = true;
    pthread_mutex_unlock(&self->lock);
    wire_close(before);
    ssize_t ignored = write(self->wake, &one, sizeof one); // fails only when it is readable anyway
    (void)ignored;
}

int wire_port_plug(struct network_port *port, int memory, int bell, struct error *error)
{
    struct wire *wire = wire_open(memory, bell, WIRE_ADAPTER, error);
    if (!wire)
        return -1;
    wire_port_set(wire_port_of(port), wire);
    return 0;
}

void wire_port_pull(struct network_port *port) { wire_port_set(wire_port_of(port), NULL); }
