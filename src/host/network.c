// What is the same for all network ports. See network.h.
#include "host/network.h"

static bool network_give(void *context, const struct network_header *header, const struct iovec *parts, unsigned count)
{
    struct network_port *port = context;
    return port->type->send(port, header, parts, count);
}

enum offload_result network_send(struct network_port *port, const struct network_header *header,
                                 const struct iovec *parts, unsigned count)
{
    return offload_pass(header, parts, count, port->offloads, network_give, port);
}

enum offload_result network_receive(struct network_port *port, const struct network_header *header,
                                    const struct iovec *parts, unsigned count)
{
    const struct network_adapter *adapter = &port->adapter;
    if (!adapter->receive)
        return OFFLOAD_PASSED;
    return offload_pass(header, parts, count, adapter->offloads, adapter->receive, adapter->context);
}

void network_room(struct network_port *port)
{
    if (port->adapter.room)
        port->adapter.room(port->adapter.context);
}

void network_link(struct network_port *port, bool up)
{
    if (port->up == up)
        return;
    port->up = up;
    if (port->adapter.link)
        port->adapter.link(port->adapter.context, up);
}

void network_close(struct network_port *port)
{
    if (port)
        port->type->close(port);
}
