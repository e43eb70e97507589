// See interface.h.
#include "host/interface.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    INTERFACE_BATCH = 64,        // frames read before the thread's other descriptors have their turn
    INTERFACE_PACKET_HEADER = 10, // of a packet socket: without the count of buffers
    INTERFACE_TAG = 4,
    INTERFACE_DOUBT_MS = 1000,
};

struct interface_port {
    struct network_port port;
    int fd;
    bool packet;         // a packet socket; else a tap descriptor
    int index;           // in the pollset of this round, -1: not in it
    bool full;           // a frame of ours found no room in the kernel
    bool gone;           // the interface was removed, and a new one of its name is another one
    bool doubted;        // a packet socket whose adapter went down: no word comes when it goes altogether
    size_t kept;         // bytes of a frame that found no room at the adapter, in `frame`; 0: none
    struct network_header header; // of that frame
    u8 frame[FRAME_MOST + INTERFACE_TAG];
};

static bool interface_would_block(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS;
}

// What the kernel refuses for good (an interface that is down, a frame that is too long) is lost, as on a wire.
static bool interface_send(struct network_port *port, const struct network_header *header, const struct iovec *parts,
                           unsigned count)
{
    struct interface_port *interface = CONTAINER_OF(port, struct interface_port, port);
    struct iovec all[OFFLOAD_PARTS + 1];
    if (count > OFFLOAD_PARTS)
        return true;
    all[0] = (struct iovec){(void *)header, interface->packet ? INTERFACE_PACKET_HEADER : sizeof *header};
    memcpy(all + 1, parts, count * sizeof *parts);
    const ssize_t sent = writev(interface->fd, all, (int)count + 1);
    interface->full = sent < 0 && interface_would_block();
    return !interface->full;
}

// The kernel takes VLAN tags out of what packet sockets get; back in with it.
static size_t interface_untake_tag(u8 *frame, size_t bytes, const struct msghdr *message)
{
    for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at; at = CMSG_NXTHDR((struct msghdr *)message, at)) {
        struct tpacket_auxdata data;
        if (at->cmsg_level != SOL_PACKET || at->cmsg_type != PACKET_AUXDATA || at->cmsg_len < CMSG_LEN(sizeof data))
            continue;
        memcpy(&data, CMSG_DATA(at), sizeof data);
        if (!(data.tp_status & TP_STATUS_VLAN_VALID) || bytes < 2 * FRAME_MAC)
            continue;
        const u16 type = data.tp_status & TP_STATUS_VLAN_TPID_VALID ? data.tp_vlan_tpid : 0x8100;
        const u8 tag[INTERFACE_TAG] = {(u8)(type >> 8), (u8)type, (u8)(data.tp_vlan_tci >> 8), (u8)data.tp_vlan_tci};
        memmove(frame + 2 * FRAME_MAC + INTERFACE_TAG, frame + 2 * FRAME_MAC, bytes - 2 * FRAME_MAC);
        memcpy(frame + 2 * FRAME_MAC, tag, sizeof tag);
        return bytes + INTERFACE_TAG;
    }
    return bytes;
}

// Bytes of the frame, 0: not a whole one, -1: none.
static ssize_t interface_read(struct interface_port *interface)
{
    union {
        struct cmsghdr align;
        u8 bytes[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
    } control;
    struct network_header *header = &interface->header;
    *header = (struct network_header){0};
    struct iovec parts[2] = {{header, interface->packet ? INTERFACE_PACKET_HEADER : sizeof *header},
                             {interface->frame, FRAME_MOST}};
    struct msghdr message = {
        .msg_iov = parts, .msg_iovlen = 2, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    ssize_t got = interface->packet ? recvmsg(interface->fd, &message, 0) : readv(interface->fd, parts, 2);
    if (got < 0)
        return errno == EINVAL || errno == EINTR ? 0 : -1; // EINVAL: what no header can say; it is taken off the queue
    if ((size_t)got < parts[0].iov_len + FRAME_HEADER || (interface->packet && message.msg_flags & MSG_TRUNC))
        return 0;
    got -= (ssize_t)parts[0].iov_len;
    if (!interface->packet)
        return got;
    const size_t tagged = interface_untake_tag(interface->frame, (size_t)got, &message);
    if (tagged != (size_t)got) {
        header->header_bytes += INTERFACE_TAG;
        header->checksum_start += INTERFACE_TAG;
    }
    return (ssize_t)tagged;
}

static bool interface_deliver(struct interface_port *interface)
{
    const struct iovec part = {interface->frame, interface->kept};
    if (network_receive(&interface->port, &interface->header, &part, 1) == OFFLOAD_REFUSED)
        return false;
    interface->kept = 0;
    return true;
}

static void interface_take(struct interface_port *interface)
{
    for (unsigned i = 0; i < INTERFACE_BATCH && !interface->kept; i++) {
        const ssize_t bytes = interface_read(interface);
        if (bytes < 0)
            return;
        interface->kept = (size_t)bytes;
        interface->doubted = false;
        if (bytes && !interface_deliver(interface))
            return;
    }
}

static void interface_room(struct network_port *port)
{
    struct interface_port *interface = CONTAINER_OF(port, struct interface_port, port);
    if (interface->kept)
        interface_deliver(interface);
}

static void interface_leave(struct interface_port *interface)
{
    interface->gone = true;
    network_link(&interface->port, false);
}

// A packet socket tells by its own address that its adapter is no more.
static bool interface_is_left(const struct interface_port *interface)
{
    struct sockaddr_ll address;
    socklen_t bytes = sizeof address;
    return getsockname(interface->fd, (struct sockaddr *)&address, &bytes) == 0 && address.sll_ifindex <= 0;
}

static void interface_prepare(struct network_port *port, struct pollset *set)
{
    struct interface_port *interface = CONTAINER_OF(port, struct interface_port, port);
    const short events = (short)((interface->kept ? 0 : POLLIN) | (interface->full ? POLLOUT : 0));
    interface->index = events && !interface->gone ? pollset_add(set, interface->fd, events) : -1;
    if (interface->doubted)
        pollset_within(set, INTERFACE_DOUBT_MS);
}

static void interface_dispatch(struct network_port *port, const struct pollset *set)
{
    struct interface_port *interface = CONTAINER_OF(port, struct interface_port, port);
    const short events = pollset_events(set, interface->index);
    if (interface->full && events & POLLOUT) {
        interface->full = false;
        network_room(port);
    }
    interface->doubted |= events & POLLERR && interface->packet;
    if (events & POLLIN || (events & POLLERR && interface->packet)) // a packet socket's error is read away
        interface_take(interface);
    else if (events & POLLERR)
        interface_leave(interface);
    if (interface->doubted && !interface->gone && interface_is_left(interface))
        interface_leave(interface);
}

static void interface_close(struct network_port *port)
{
    struct interface_port *interface = CONTAINER_OF(port, struct interface_port, port);
    close(interface->fd);
    free(interface);
}

static const struct network_port_type interface_type = {
    .send = interface_send,
    .room = interface_room,
    .prepare = interface_prepare,
    .dispatch = interface_dispatch,
    .close = interface_close,
};

static struct network_port *interface_open(int fd, bool packet, struct error *error)
{
    struct interface_port *interface = calloc(1, sizeof *interface);
    if (!interface) {
        error_set(error, "network: out of memory");
        return NULL;
    }
    interface->port =
        (struct network_port){.type = &interface_type, .mtu = 1500, .offloads = OFFLOAD_ALL, .up = true};
    interface->fd = fd;
    interface->packet = packet;
    interface->index = -1;
    return &interface->port;
}

struct network_port *tap_open(int fd, struct error *error)
{
    return interface_open(fd, false, error);
}

struct network_port *packet_open(int fd, struct error *error)
{
    return interface_open(fd, true, error);
}
