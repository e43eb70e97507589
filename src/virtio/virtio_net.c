// See virtio_net.h. Frames go between the guest's buffers and the port without being copied in between. A guest may
// leave transport checksums to us (what completes them is native code, faster than translated code), and need not
// verify those of frames that never crossed a wire. Section numbers are those of VIRTIO 1.2.
#include "virtio/virtio_net.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define NET_F_CSUM ((u64)1 << 0)
#define NET_F_GUEST_CSUM ((u64)1 << 1)
#define NET_F_MTU ((u64)1 << 3)
#define NET_F_MAC ((u64)1 << 5)
#define NET_F_MRG_RXBUF ((u64)1 << 15)
#define NET_F_STATUS ((u64)1 << 16)

enum { NET_QUEUE_IN, NET_QUEUE_OUT, NET_QUEUES };
enum { NET_STATUS_LINK_UP = 1 };
enum {
    NET_QUEUE_SIZE = 256,
    NET_FRAME_BUFFERS = 64, // the most buffers one received frame is spread over
};

// 5.1.4
struct net_configuration {
    u8 mac[6];
    u16 status;
    u16 queue_pairs; // only there because the next is
    u16 mtu;
};

static_assert(sizeof(struct net_configuration) == 12, "VIRTIO 1.2, 5.1.4");
static_assert((int)VIRTQUEUE_MAX_SEGMENTS < (int)OFFLOAD_PARTS, "a chain is a frame");

struct virtio_net {
    struct virtio virtio;
    struct virtio_pci pci;
    struct network_port *port;
    struct net_configuration configuration;
    bool full;   // the guest had no buffers for a frame, which the port may have kept
    bool waits;  // the port had no room for the frame at the head of the queue
    struct virtqueue_chain first, chain; // received: the frame's first and its current buffer
    struct virtqueue_chain out;          // being sent
    struct iovec parts[VIRTQUEUE_MAX_SEGMENTS];
};

// --- Receiving ---

// Where in a frame's parts one has come to.
struct net_cursor {
    const struct iovec *parts;
    unsigned count;
    size_t offset; // in parts[0]
};

// 5.1.6.4.1: the flags are for a driver that took VIRTIO_NET_F_GUEST_CSUM.
static void net_write_header(struct virtio_net *net, const struct network_header *from, u16 buffers)
{
    struct network_header header = *from;
    if (!virtio_has(&net->virtio, NET_F_GUEST_CSUM))
        header.flags = 0;
    header.buffers = buffers;
    virtqueue_chain_write(&net->first, 0, &header, sizeof header);
}

// Copies what fits of the frame behind the first `skip` bytes of the buffer. Returns how much that was.
static size_t net_fill_buffer(const struct virtqueue_chain *chain, u64 skip, struct net_cursor *cursor)
{
    size_t done = 0;
    while (cursor->count && skip + done < chain->writable_bytes) {
        const size_t left = cursor->parts->iov_len - cursor->offset;
        const size_t put = virtqueue_chain_write(chain, skip + done, (u8 *)cursor->parts->iov_base + cursor->offset,
                                                 left);
        done += put;
        cursor->offset += put;
        if (put < left)
            break;
        cursor->parts++;
        cursor->count--;
        cursor->offset = 0;
    }
    return done;
}

// Fills buffers with a frame. False if there are not enough, and then it is as if nothing had happened, and `buffers`
// says how many there are. 5.1.6.4: the number of buffers goes into the first, which is why it is written last.
static bool net_fill(struct virtio_net *net, const struct network_header *header, const struct iovec *parts,
                     unsigned count, u16 *buffers)
{
    struct virtqueue *queue = &net->virtio.queues[NET_QUEUE_IN];
    struct net_cursor cursor = {.parts = parts, .count = count};
    unsigned most = virtio_has(&net->virtio, NET_F_MRG_RXBUF) ? NET_FRAME_BUFFERS : 1;
    for (*buffers = 0; cursor.count && *buffers < most; ++*buffers) {
        struct virtqueue_chain *chain = *buffers ? &net->chain : &net->first;
        u64 skip = *buffers ? 0 : sizeof *header;
        if (virtio_take(&net->virtio, NET_QUEUE_IN, chain) != VIRTQUEUE_CHAIN)
            break;
        if (chain->writable_bytes < skip) {
            virtio_break(&net->virtio, "5.1.6.3: a receive buffer without room for the header");
            return true;
        }
        virtqueue_return(queue, chain, (u32)(skip + net_fill_buffer(chain, skip, &cursor)));
    }
    if (cursor.count) {
        virtqueue_unreturn(queue, *buffers);
        virtqueue_untake(queue, *buffers);
        // What does not fit into the most buffers never will: lost.
        return *buffers == most;
    }
    net_write_header(net, header, *buffers);
    return true;
}

// A frame from the port. A guest without a driver, or with a broken one, loses it.
static bool net_receive(void *context, const struct network_header *header, const struct iovec *parts, unsigned count)
{
    struct virtio_net *net = context;
    u16 buffers;
    while (virtio_live(&net->virtio)) {
        if (net_fill(net, header, parts, count, &buffers))
            return true;
        if (!virtio_listen(&net->virtio, NET_QUEUE_IN, buffers)) {
            net->full = true;
            return false;
        }
    }
    return true;
}

// The guest may have added buffers.
static void net_look_for_buffers(struct virtio_net *net)
{
    if (!net->full)
        return;
    net->full = false;
    if (net->port->type->room)
        net->port->type->room(net->port);
}

// --- Sending ---

static void net_port_has_room(void *context)
{
    struct virtio_net *net = context;
    net->waits = false;
}

// The frame without the device's header, which is read once. Returns the number of parts; 0 if there is no header.
static unsigned net_split(struct virtio_net *net, struct network_header *header)
{
    const struct virtqueue_chain *chain = &net->out;
    size_t skip = sizeof *header;
    unsigned count = 0;
    if (virtqueue_chain_read(chain, 0, header, sizeof *header) < sizeof *header)
        return 0;
    header->flags &= NETWORK_NEEDS_CHECKSUM;
    for (unsigned i = 0; i < chain->readable; i++) {
        const struct iovec *segment = &chain->segments[i];
        const size_t skipped = segment->iov_len < skip ? segment->iov_len : skip;
        skip -= skipped;
        net->parts[count] = (struct iovec){.iov_base = (u8 *)segment->iov_base + skipped,
                                           .iov_len = segment->iov_len - skipped};
        count += segment->iov_len > skipped;
    }
    return count;
}

// Whether the driver was offered what it leaves to us (5.1.6.2); the port could do more than the guest knows.
static bool net_may_send(const struct virtio_net *net, const struct network_header *header)
{
    return header->gso_type == NETWORK_GSO_NONE &&
           (!(header->flags & NETWORK_NEEDS_CHECKSUM) || virtio_has(&net->virtio, NET_F_CSUM));
}

// One frame. False if the port has no room for it.
static bool net_send_one(struct virtio_net *net)
{
    struct virtqueue *queue = &net->virtio.queues[NET_QUEUE_OUT];
    struct network_header header;
    if (net->out.readable_bytes < sizeof header) {
        virtio_break(&net->virtio, "5.1.6.2: a frame without header");
        return true;
    }
    const unsigned count = net_split(net, &header);
    if (count && net_may_send(net, &header) &&
        network_send(net->port, &header, net->parts, count) == OFFLOAD_REFUSED) {
        virtqueue_untake(queue, 1);
        return false;
    }
    virtqueue_return(queue, &net->out, 0);
    return true;
}

static void net_send(struct virtio_net *net)
{
    struct virtio *virtio = &net->virtio;
    do {
        while (!net->waits && virtio_live(virtio) &&
               virtio_take(virtio, NET_QUEUE_OUT, &net->out) == VIRTQUEUE_CHAIN)
            net->waits = !net_send_one(net);
        virtio_publish(virtio, NET_QUEUE_OUT);
    } while (!net->waits && virtio_live(virtio) && virtio_listen(virtio, NET_QUEUE_OUT, 0));
}

static void net_work(struct virtio *virtio)
{
    struct virtio_net *net = CONTAINER_OF(virtio, struct virtio_net, virtio);
    net_look_for_buffers(net);
    virtqueue_deafen(&virtio->queues[NET_QUEUE_OUT]);
    net_send(net);
    virtio_publish(virtio, NET_QUEUE_IN);
}

// What the port may leave undone in frames for this guest: what its driver takes.
static u32 net_guest_offloads(const struct virtio_net *net)
{
    return virtio_has(&net->virtio, NET_F_GUEST_CSUM) ? OFFLOAD_CHECKSUM : 0;
}

static void net_prepare(struct virtio *virtio, struct pollset *set)
{
    struct virtio_net *net = CONTAINER_OF(virtio, struct virtio_net, virtio);
    net->port->adapter.offloads = net_guest_offloads(net);
    net->port->type->prepare(net->port, set);
}

static void net_dispatch(struct virtio *virtio, const struct pollset *set)
{
    struct virtio_net *net = CONTAINER_OF(virtio, struct virtio_net, virtio);
    net->port->type->dispatch(net->port, set);
    virtio_publish(virtio, NET_QUEUE_IN);
}

static void net_link(void *context, bool up)
{
    struct virtio_net *net = context;
    net->configuration.status = up ? NET_STATUS_LINK_UP : 0;
    if (virtio_has(&net->virtio, NET_F_STATUS) && virtio_live(&net->virtio))
        virtio_config_changed(&net->virtio);
}

static void net_destroy(struct virtio *virtio)
{
    struct virtio_net *net = CONTAINER_OF(virtio, struct virtio_net, virtio);
    if (net->port->adapter.context == net)
        net->port->adapter = (struct network_adapter){0};
    virtio_close(virtio);
    free(net);
}

// The address is the guest's for good, whatever the VM's adapter is called now. Frames that wait are lost, as on a
// wire.
static const struct state_field net_fields[] = {
    STATE_ARRAY(struct virtio_net, configuration.mac),
    STATE_FIELD(struct virtio_net, configuration.status),
};

static const struct state_section net_state = STATE_SECTION("virtio-net", 1, net_fields);
static_assert(offsetof(struct virtio_net, virtio) == 0, "virtio_type.state");

static const struct virtio_type net_type = {
    .name = "net",
    .id = VIRTIO_ID_NET,
    .queues = NET_QUEUES,
    .queue_size = NET_QUEUE_SIZE,
    .class_code = 0x020000,
    .config_bytes = sizeof(struct net_configuration),
    .work = net_work,
    .state = &net_state,
    .prepare = net_prepare,
    .dispatch = net_dispatch,
    .destroy = net_destroy,
};

static bool net_choose_mac(u8 mac[6], const u8 wanted[6])
{
    static const u8 none[6];
    memcpy(mac, wanted, 6);
    if (memcmp(mac, none, 6) != 0)
        return true;
    if (getrandom(mac, 6, 0) != 6)
        return false;
    mac[0] = (u8)((mac[0] & 0xFC) | 2); // unicast, locally administered
    return true;
}

struct virtio_pci *virtio_net_create(struct memory *memory, const struct virtio_net_config *config,
                                     struct error *error)
{
    struct virtio_net *net = calloc(1, sizeof *net);
    if (!net || !net_choose_mac(net->configuration.mac, config->mac)) {
        free(net);
        error_set(error, "virtio net: out of memory or randomness");
        return NULL;
    }
    net->configuration.status = config->port->up ? NET_STATUS_LINK_UP : 0;
    net->configuration.queue_pairs = 1;
    net->configuration.mtu = config->port->mtu;
    net->port = config->port;
    net->port->adapter = (struct network_adapter){
        .context = net,
        .receive = net_receive,
        .room = net_port_has_room,
        .link = net_link,
    };
    net->virtio.type = &net_type;
    net->virtio.memory = memory;
    net->virtio.config = &net->configuration;
    net->virtio.features = NET_F_MAC | NET_F_STATUS | NET_F_MRG_RXBUF | NET_F_CSUM | NET_F_GUEST_CSUM |
                           (config->port->mtu ? NET_F_MTU : 0);
    if (virtio_open(&net->virtio, error) < 0) {
        free(net);
        return NULL;
    }
    if (virtio_pci_init(&net->pci, &net->virtio, error) < 0) {
        net_destroy(&net->virtio);
        return NULL;
    }
    return &net->pci;
}
