// An adapter that is plugged into nothing. See network.h.
#include <stdlib.h>

#include "host/network.h"

static bool nowhere_send(struct network_port *port, const struct network_header *header, const struct iovec *parts,
                         unsigned count)
{
    (void)port, (void)header, (void)parts, (void)count;
    return true;
}

static void nowhere_prepare(struct network_port *port, struct pollset *set) { (void)port, (void)set; }

static void nowhere_dispatch(struct network_port *port, const struct pollset *set) { (void)port, (void)set; }

static void nowhere_close(struct network_port *port) { free(port); }

static const struct network_port_type nowhere_type = {
    .send = nowhere_send,
    .prepare = nowhere_prepare,
    .dispatch = nowhere_dispatch,
    .close = nowhere_close,
};

struct network_port *network_nowhere(struct error *error)
{
    struct network_port *port = calloc(1, sizeof *port);
    if (!port) {
        error_set(error, "out of memory");
        return NULL;
    }
    port->type = &nowhere_type;
    port->offloads = OFFLOAD_ALL;
    port->up = true;
    return port;
}
