// Frames in, sockets out. See slirp.h.
#include "host/slirp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <slirp/libslirp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "net/coalesce.h"

// No wire is under this network, so packets may be large: a transfer then costs a guest (whose every instruction may be
// translated) a tenth of the packets. But libslirp knows no window scaling, and a window of 64 KiB must hold several
// packets: with 65520 bytes each transfers were seen to stand still for a delayed acknowledgement per packet.
//
// In the other direction nothing has to be cut at all: libslirp knows no MTU of what it gets, and takes a guest's large
// segment for the packet that it looks like. What it makes itself in one go is put together for the guest (coalesce.h).
enum { SLIRP_TIMERS = 8, SLIRP_MTU = 16384 };

// On a switch there are others than us, and all keep to Ethernet's size.
enum { SLIRP_SWITCH_MTU = 1500 };

// libslirp cannot be told to wait in the middle of a packet, only not to read its sockets: frames that come for an
// adapter without room are kept, and no socket is looked at until they are gone. More than these are lost.
enum { SLIRP_BACKLOG = 512 };

enum { SLIRP_ARP_SENDER = FRAME_HEADER + 8 }; // where an ARP packet has its sender's MAC address

struct slirp_timer {
    SlirpTimerCb expire;
    void *context;
    s64 deadline_ms; // 0: not armed
    bool used;
};

struct slirp_frame {
    struct network_header header;
    u8 *bytes;
    size_t count;
};

struct slirp_port {
    struct network_port port;
    Slirp *slirp;
    bool on_switch;             // `config` is set
    struct slirp_config config;
    struct sockaddr_in outbound;
    unsigned sockets; // that it waited for last
    struct slirp_frame backlog[SLIRP_BACKLOG]; // a ring
    unsigned backlog_first, backlog_count;
    bool waiting;         // its sockets are in the set the thread sleeps on
    u8 frame[FRAME_MOST]; // to libslirp, in one piece
    u8 out[FRAME_MOST];   // from libslirp, to have its address changed
    struct coalesce held; // from libslirp, until it is done
    struct slirp_timer timers[SLIRP_TIMERS]; // libslirp has one, for router advertisements
    struct pollset *filling;                 // while libslirp lists its sockets
    const struct pollset *answering;         // while it asks what happened to them
};

static s64 slirp_now_ns(void *context)
{
    struct timespec now;
    (void)context;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (s64)now.tv_sec * 1000000000 + now.tv_nsec;
}

// False: no room for it.
static bool slirp_deliver(struct slirp_port *slirp, const struct slirp_frame *frame)
{
    const struct iovec part = {.iov_base = frame->bytes, .iov_len = frame->count};
    return network_receive(&slirp->port, &frame->header, &part, 1) != OFFLOAD_REFUSED;
}

// libslirp makes its router's address up; on a switch it is the one that the host's adapter there has.
static void slirp_put_address(const struct slirp_port *slirp, u8 *frame, size_t bytes)
{
    const bool arp = bytes >= SLIRP_ARP_SENDER + FRAME_MAC && frame[12] == 0x08 && frame[13] == 0x06;
    if (bytes < FRAME_HEADER)
        return;
    memcpy(frame + FRAME_MAC, slirp->config.mac, FRAME_MAC);
    if (arp)
        memcpy(frame + SLIRP_ARP_SENDER, slirp->config.mac, FRAME_MAC);
}

static void slirp_emit(struct slirp_port *slirp, struct slirp_frame frame)
{
    if (!slirp->backlog_count && slirp_deliver(slirp, &frame))
        return;
    u8 *copy = slirp->backlog_count < SLIRP_BACKLOG ? malloc(frame.count) : NULL;
    if (!copy)
        return;
    frame.bytes = memcpy(copy, frame.bytes, frame.count);
    slirp->backlog[(slirp->backlog_first + slirp->backlog_count++) % SLIRP_BACKLOG] = frame;
}

static void slirp_flush(struct slirp_port *slirp)
{
    struct slirp_frame frame = {.bytes = slirp->held.bytes};
    frame.count = coalesce_take(&slirp->held, &frame.header);
    if (!frame.count)
        return;
    if (slirp->on_switch)
        slirp_put_address(slirp, frame.bytes, frame.count);
    slirp_emit(slirp, frame);
}

// libslirp made the checksums.
static ssize_t slirp_to_guest(const void *bytes, size_t count, void *context)
{
    struct slirp_port *slirp = context;
    if (coalesce_add(&slirp->held, bytes, count))
        return (ssize_t)count;
    slirp_flush(slirp);
    if (count > sizeof slirp->out || coalesce_add(&slirp->held, bytes, count))
        return (ssize_t)count;
    struct slirp_frame frame = {.header.flags = NETWORK_DATA_VALID, .bytes = (u8 *)(uintptr_t)bytes, .count = count};
    if (slirp->on_switch) {
        frame.bytes = memcpy(slirp->out, bytes, count);
        slirp_put_address(slirp, frame.bytes, count);
    }
    slirp_emit(slirp, frame);
    return (ssize_t)count;
}

static void slirp_drop_first(struct slirp_port *slirp)
{
    free(slirp->backlog[slirp->backlog_first].bytes);
    slirp->backlog_first = (slirp->backlog_first + 1) % SLIRP_BACKLOG;
    slirp->backlog_count--;
}

static void slirp_room(struct network_port *port)
{
    struct slirp_port *slirp = CONTAINER_OF(port, struct slirp_port, port);
    while (slirp->backlog_count) {
        if (!slirp_deliver(slirp, &slirp->backlog[slirp->backlog_first]))
            return;
        slirp_drop_first(slirp);
    }
}

// The guest sent something malformed: its problem, and no news for anybody.
static void slirp_guest_error(const char *text, void *context)
{
    (void)text, (void)context;
}

static void *slirp_timer_new(SlirpTimerCb expire, void *expire_context, void *context)
{
    struct slirp_port *slirp = context;
    for (unsigned i = 0; i < SLIRP_TIMERS; i++) {
        struct slirp_timer *timer = &slirp->timers[i];
        if (timer->used)
            continue;
        *timer = (struct slirp_timer){.expire = expire, .context = expire_context, .used = true};
        return timer;
    }
    return NULL;
}

static void slirp_timer_free(void *timer, void *context)
{
    (void)context;
    if (timer)
        *(struct slirp_timer *)timer = (struct slirp_timer){0};
}

static void slirp_timer_set(void *timer, s64 deadline_ms, void *context)
{
    (void)context;
    if (timer)
        ((struct slirp_timer *)timer)->deadline_ms = deadline_ms;
}

static void slirp_ignore_fd(int fd, void *context)
{
    (void)fd, (void)context;
}

// Everything happens on one thread, between its sleeps, and what to wait for is asked before each: no need to be woken.
static void slirp_ignore_notify(void *context)
{
    (void)context;
}

static const SlirpCb slirp_callbacks = {
    .send_packet = slirp_to_guest,
    .guest_error = slirp_guest_error,
    .clock_get_ns = slirp_now_ns,
    .timer_new = slirp_timer_new,
    .timer_free = slirp_timer_free,
    .timer_mod = slirp_timer_set,
    .register_poll_fd = slirp_ignore_fd,
    .unregister_poll_fd = slirp_ignore_fd,
    .notify = slirp_ignore_notify,
};

static int slirp_add_poll(int fd, int events, void *context)
{
    struct slirp_port *slirp = context;
    slirp->sockets++;
    short wanted = (short)((events & SLIRP_POLL_IN ? POLLIN : 0) | (events & SLIRP_POLL_OUT ? POLLOUT : 0) |
                           (events & SLIRP_POLL_PRI ? POLLPRI : 0));
    return pollset_add(slirp->filling, fd, wanted);
}

static int slirp_get_events(int index, void *context)
{
    struct slirp_port *slirp = context;
    short events = pollset_events(slirp->answering, index);
    return (events & POLLIN ? SLIRP_POLL_IN : 0) | (events & POLLOUT ? SLIRP_POLL_OUT : 0) |
           (events & POLLPRI ? SLIRP_POLL_PRI : 0) | (events & POLLERR ? SLIRP_POLL_ERR : 0) |
           (events & POLLHUP ? SLIRP_POLL_HUP : 0);
}

// Each connection is a socket, and whoever has none left can do nothing for anybody, not even be told what to do: what
// may begin a connection is dropped before that. Connections that are there live on.
static bool slirp_may_pass(struct slirp_port *slirp, const struct frame *frame)
{
    const u8 *ip = frame->bytes + frame->payload;
    const size_t flags = 4u * (ip[0] & 15) + 13;
    const bool begins = frame->protocol == IPPROTO_TCP
                            ? frame->payload + flags < frame->count && (ip[flags] & 0x12) == 0x02 // SYN without ACK
                            : frame->protocol == IPPROTO_UDP || frame->protocol == IPPROTO_ICMP;
    if (!begins || !slirp->config.sockets)
        return true;
    if (slirp->sockets >= slirp->config.sockets)
        return false;
    slirp->sockets++; // until it is counted again
    return true;
}

// libslirp takes every packet for the router's, whatever address it was sent to: what the switch floods is held back.
static bool slirp_is_for_router(struct slirp_port *slirp, const u8 *bytes, size_t count)
{
    struct frame frame;
    if (!frame_read(&frame, bytes, count, count) || frame.tagged)
        return false;
    if (frame.network == FRAME_ARP)
        return frame_is_group(frame.destination) || !memcmp(frame.destination, slirp->config.mac, FRAME_MAC);
    return frame.network == FRAME_IPV4 && !memcmp(frame.destination, slirp->config.mac, FRAME_MAC) &&
           (!slirp->config.host_only || !memcmp(frame.to, &slirp->config.router, sizeof slirp->config.router)) &&
           slirp_may_pass(slirp, &frame);
}

// libslirp copies what it keeps. What is looked at first is copied first, for the guest may write to it meanwhile.
static bool slirp_send(struct network_port *port, const struct network_header *header, const struct iovec *parts,
                       unsigned count)
{
    struct slirp_port *slirp = CONTAINER_OF(port, struct slirp_port, port);
    (void)header;
    if (count == 1 && !slirp->on_switch) {
        slirp_input(slirp->slirp, parts->iov_base, (int)parts->iov_len);
        return true;
    }
    const size_t bytes = offload_copy(parts, count, 0, slirp->frame, sizeof slirp->frame);
    if (!slirp->on_switch || slirp_is_for_router(slirp, slirp->frame, bytes))
        slirp_input(slirp->slirp, slirp->frame, (int)bytes);
    return true;
}

static void slirp_prepare(struct network_port *port, struct pollset *set)
{
    struct slirp_port *slirp = CONTAINER_OF(port, struct slirp_port, port);
    u32 timeout = UINT32_MAX;
    slirp_flush(slirp);
    slirp->waiting = !slirp->backlog_count;
    if (!slirp->waiting)
        return;
    slirp->filling = set;
    slirp->sockets = 0;
    slirp_pollfds_fill(slirp->slirp, &timeout, slirp_add_poll, slirp);
    slirp->filling = NULL;
    slirp_flush(slirp);
    if (timeout != UINT32_MAX)
        pollset_within(set, timeout);
    s64 now = slirp_now_ns(NULL) / 1000000;
    for (unsigned i = 0; i < SLIRP_TIMERS; i++)
        if (slirp->timers[i].deadline_ms)
            pollset_within(set, slirp->timers[i].deadline_ms > now ? (u64)(slirp->timers[i].deadline_ms - now) : 0);
}

static void slirp_dispatch(struct network_port *port, const struct pollset *set)
{
    struct slirp_port *slirp = CONTAINER_OF(port, struct slirp_port, port);
    if (!slirp->waiting)
        return;
    slirp->answering = set;
    slirp_pollfds_poll(slirp->slirp, 0, slirp_get_events, slirp);
    slirp->answering = NULL;
    s64 now = slirp_now_ns(NULL) / 1000000;
    for (unsigned i = 0; i < SLIRP_TIMERS; i++) {
        struct slirp_timer *timer = &slirp->timers[i];
        if (!timer->deadline_ms || timer->deadline_ms > now)
            continue;
        timer->deadline_ms = 0; // it may arm itself again
        timer->expire(timer->context);
    }
    slirp_flush(slirp);
}

static void slirp_close(struct network_port *port)
{
    struct slirp_port *slirp = CONTAINER_OF(port, struct slirp_port, port);
    slirp->port.adapter = (struct network_adapter){0};
    slirp_cleanup(slirp->slirp);
    while (slirp->backlog_count)
        slirp_drop_first(slirp);
    free(slirp);
}

static const struct network_port_type slirp_type = {
    .send = slirp_send,
    .room = slirp_room,
    .prepare = slirp_prepare,
    .dispatch = slirp_dispatch,
    .close = slirp_close,
};

// A guest that is offered IPv6 prefers it, and waits in vain where the host has no route. Connecting a datagram socket
// asks the routing table and sends nothing.
static bool slirp_host_has_ipv6(void)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(53)};
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    inet_pton(AF_INET6, "2001:4860:4860::8888", &address.sin6_addr);
    bool routed = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return routed;
}

static void slirp_own_network(SlirpConfig *config)
{
    config->in6_enabled = slirp_host_has_ipv6();
    config->if_mtu = config->if_mru = SLIRP_MTU;
    inet_pton(AF_INET, "10.0.2.0", &config->vnetwork);
    inet_pton(AF_INET, "255.255.255.0", &config->vnetmask);
    inet_pton(AF_INET, "10.0.2.2", &config->vhost);
    inet_pton(AF_INET, "10.0.2.15", &config->vdhcp_start);
    inet_pton(AF_INET, "10.0.2.3", &config->vnameserver);
    inet_pton(AF_INET6, "fec0::", &config->vprefix_addr6);
    inet_pton(AF_INET6, "fec0::2", &config->vhost6);
    inet_pton(AF_INET6, "fec0::3", &config->vnameserver6);
}

// DHCP on a switch is answered before it gets here (dhcp_port.h).
static void slirp_switch_network(SlirpConfig *config, const struct slirp_config *ours, struct sockaddr_in *outbound)
{
    const u32 mask = ours->bits ? UINT32_MAX << (32 - ours->bits) : 0;
    config->version = 4;
    config->disable_dhcp = true;
    config->if_mtu = config->if_mru = SLIRP_SWITCH_MTU;
    config->vnetmask.s_addr = htonl(mask);
    config->vnetwork.s_addr = ours->router.s_addr & config->vnetmask.s_addr;
    config->vhost = ours->router;
    config->vnameserver = ours->name_server;
    *outbound = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = ours->external};
    config->outbound_addr = ours->external.s_addr ? outbound : NULL;
}

struct network_port *slirp_open(const struct slirp_config *ours, struct error *error)
{
    struct slirp_port *slirp = calloc(1, sizeof *slirp);
    if (!slirp) {
        error_set(error, "network: out of memory");
        return NULL;
    }
    SlirpConfig config = {.version = 1, .in_enabled = true, .vprefix_len = 64, .vhostname = "nidus"};
    if (ours) {
        slirp->on_switch = true;
        slirp->config = *ours;
        slirp_switch_network(&config, ours, &slirp->outbound); // libslirp keeps the pointer
    } else {
        slirp_own_network(&config);
    }
    slirp->port.type = &slirp_type;
    slirp->port.mtu = (u16)config.if_mtu;
    slirp->port.offloads = OFFLOAD_TSO4 | OFFLOAD_TSO6 | OFFLOAD_ECN;
    slirp->port.up = true;
    slirp->slirp = slirp_new(&config, &slirp_callbacks, slirp);
    if (!slirp->slirp) {
        free(slirp);
        error_set(error, "network: libslirp %s refuses its configuration", slirp_version_string());
        return NULL;
    }
    return &slirp->port;
}

int slirp_forward_add(struct network_port *port, const struct slirp_forward *forward, struct error *error)
{
    struct slirp_port *slirp = CONTAINER_OF(port, struct slirp_port, port);
    if (slirp_add_hostfwd(slirp->slirp, forward->udp, forward->external, forward->external_port, forward->internal,
                          forward->internal_port) == 0)
        return 0;
    const int reason = errno;
    char address[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &forward->external, address, sizeof address);
    return error_set(error, "port %u/%s of %s: %s", forward->external_port, forward->udp ? "UDP" : "TCP", address,
                     strerror(reason));
}

void slirp_forward_remove(struct network_port *port, const struct slirp_forward *forward)
{
    struct slirp_port *slirp = CONTAINER_OF(port, struct slirp_port, port);
    slirp_remove_hostfwd(slirp->slirp, forward->udp, forward->external, forward->external_port);
}

// The host's own end of a session, from its socket.
static u16 slirp_own_port(int fd)
{
    struct sockaddr_in address = {0};
    socklen_t length = sizeof address;
    return getsockname(fd, (struct sockaddr *)&address, &length) == 0 && address.sin_family == AF_INET
               ? ntohs(address.sin_port)
               : 0;
}

static u16 slirp_peer(int fd, struct in_addr *peer)
{
    struct sockaddr_in address = {0};
    socklen_t length = sizeof address;
    if (getpeername(fd, (struct sockaddr *)&address, &length) < 0 || address.sin_family != AF_INET)
        return 0;
    *peer = address.sin_addr;
    return ntohs(address.sin_port);
}

// A line as libslirp writes it for people: "  TCP[ESTABLISHED]  12  10.0.0.2 33000  192.0.2.1  80  0  0". Connections
// from outside have the socket's own address first and the guest's second.
static bool slirp_session_read(const char *line, const struct slirp_config *config, struct slirp_session *session)
{
    char protocol[8], state[32], from[20], to[20];
    int fd;
    unsigned from_port, to_port;
    struct in_addr source, destination;
    if (sscanf(line, " %7[A-Z][%31[^]]] %d %19s %u %19s %u", protocol, state, &fd, from, &from_port, to, &to_port) !=
            7 ||
        !strcmp(state, "HOST_FORWARD") || inet_pton(AF_INET, to, &destination) != 1)
        return false;
    const u32 mask = config->bits ? htonl(UINT32_MAX << (32 - config->bits)) : 0;
    *session = (struct slirp_session){.protocol = !strcmp(protocol, "TCP")   ? IPPROTO_TCP
                                                  : !strcmp(protocol, "UDP") ? IPPROTO_UDP
                                                                             : IPPROTO_ICMP,
                                      .external_port = slirp_own_port(fd)};
    session->from_outside = inet_pton(AF_INET, from, &source) != 1 ||
                            (source.s_addr & mask) != (config->router.s_addr & mask);
    if (session->from_outside) {
        session->internal = destination;
        session->internal_port = (u16)to_port;
        session->remote_port = slirp_peer(fd, &session->remote);
    } else {
        session->internal = source;
        session->internal_port = (u16)from_port;
        session->remote = destination;
        session->remote_port = (u16)to_port;
    }
    return true;
}

unsigned slirp_sessions(struct network_port *port, struct slirp_session sessions[SLIRP_SESSIONS])
{
    struct slirp_port *slirp = CONTAINER_OF(port, struct slirp_port, port);
    char *text = slirp_connection_info(slirp->slirp), *save = NULL;
    unsigned count = 0;
    for (char *line = text ? strtok_r(text, "\r\n", &save) : NULL; line && count < SLIRP_SESSIONS;
         line = strtok_r(NULL, "\r\n", &save))
        count += slirp_session_read(line, &slirp->config, &sessions[count]);
    free(text); // GLib's memory is malloc's
    return count;
}
