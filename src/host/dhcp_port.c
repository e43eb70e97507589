// See dhcp_port.h.
#include "host/dhcp_port.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DHCP_REQUEST = 1518 }; // bytes looked at: of an Ethernet frame

struct dhcp_port {
    struct network_port port;
    struct network_port *inner;
    struct dhcp *dhcp; // NULL: none serves
    struct dhcp_config config;
};

static u64 dhcp_port_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (u64)now.tv_sec * 1000000000 + (u64)now.tv_nsec;
}

// True: it was a request, answered or not. An answer that finds no room is lost, and asked for again.
static bool dhcp_port_serves(struct dhcp_port *dhcp, const struct iovec *parts, unsigned count)
{
    u8 bytes[DHCP_REQUEST], reply[DHCP_REPLY];
    const struct network_header header = {.flags = NETWORK_DATA_VALID};
    struct frame frame;
    const size_t all = offload_bytes(parts, count);
    if (!dhcp->dhcp || all > sizeof bytes || offload_copy(parts, count, 0, bytes, all) != all ||
        !frame_read(&frame, bytes, all, all) || !dhcp_is_request(&frame))
        return false;
    struct iovec part = {reply, dhcp_answer(dhcp->dhcp, &frame, dhcp_port_now(), reply)};
    if (part.iov_len)
        network_receive(&dhcp->port, &header, &part, 1);
    return true;
}

static bool dhcp_port_send(struct network_port *port, const struct network_header *header, const struct iovec *parts,
                           unsigned count)
{
    struct dhcp_port *dhcp = CONTAINER_OF(port, struct dhcp_port, port);
    return dhcp_port_serves(dhcp, parts, count) || dhcp->inner->type->send(dhcp->inner, header, parts, count);
}

static void dhcp_port_room(struct network_port *port)
{
    struct dhcp_port *dhcp = CONTAINER_OF(port, struct dhcp_port, port);
    if (dhcp->inner->type->room)
        dhcp->inner->type->room(dhcp->inner);
}

static void dhcp_port_prepare(struct network_port *port, struct pollset *set)
{
    struct dhcp_port *dhcp = CONTAINER_OF(port, struct dhcp_port, port);
    dhcp->inner->type->prepare(dhcp->inner, set);
}

static void dhcp_port_dispatch(struct network_port *port, const struct pollset *set)
{
    struct dhcp_port *dhcp = CONTAINER_OF(port, struct dhcp_port, port);
    dhcp->inner->type->dispatch(dhcp->inner, set);
}

static void dhcp_port_close(struct network_port *port)
{
    struct dhcp_port *dhcp = CONTAINER_OF(port, struct dhcp_port, port);
    network_close(dhcp->inner);
    dhcp_destroy(dhcp->dhcp);
    free(dhcp);
}

static const struct network_port_type dhcp_port_type = {
    .send = dhcp_port_send,
    .room = dhcp_port_room,
    .prepare = dhcp_port_prepare,
    .dispatch = dhcp_port_dispatch,
    .close = dhcp_port_close,
};

// The inner port's adapter is this one, which hands on.

static bool dhcp_port_receive(void *context, const struct network_header *header, const struct iovec *parts,
                              unsigned count)
{
    struct dhcp_port *dhcp = context;
    return network_receive(&dhcp->port, header, parts, count) != OFFLOAD_REFUSED;
}

static void dhcp_port_has_room(void *context)
{
    network_room(&((struct dhcp_port *)context)->port);
}

static void dhcp_port_link(void *context, bool up)
{
    network_link(&((struct dhcp_port *)context)->port, up);
}

struct network_port *dhcp_port_open(struct network_port *inner, struct error *error)
{
    struct dhcp_port *port = calloc(1, sizeof *port);
    if (!port) {
        error_set(error, "network: out of memory");
        network_close(inner);
        return NULL;
    }
    port->inner = inner;
    port->port =
        (struct network_port){.type = &dhcp_port_type, .mtu = inner->mtu, .offloads = inner->offloads, .up = inner->up};
    inner->adapter = (struct network_adapter){.context = port,
                                              .receive = dhcp_port_receive,
                                              .room = dhcp_port_has_room,
                                              .link = dhcp_port_link,
                                              .offloads = OFFLOAD_ALL};
    return &port->port;
}

int dhcp_port_serve(struct network_port *port, const struct dhcp_config *config, struct error *error)
{
    struct dhcp_port *dhcp = CONTAINER_OF(port, struct dhcp_port, port);
    if (dhcp->dhcp && config && !memcmp(&dhcp->config, config, sizeof *config))
        return 0;
    struct dhcp *server = config ? dhcp_create(config) : NULL;
    if (config && !server)
        return error_set(error, "network: out of memory");
    dhcp_destroy(dhcp->dhcp);
    dhcp->dhcp = server;
    if (config)
        memcpy(&dhcp->config, config, sizeof *config);
    return 0;
}
