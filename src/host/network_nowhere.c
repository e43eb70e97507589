// An adapter that is plugged into nothing. See network.h.
#include <stdlib.h>

#include "host/network.h"

static void nowhere_send(struct network_port *port, const void *frame, size_t bytes)
{
    (void)port, (void)frame, (void)bytes;
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
    if (port)
        port->type = &nowhere_type;
    else
        error_set(error, "out of memory");
    return port;
}
