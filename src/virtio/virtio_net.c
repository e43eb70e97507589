// See virtio_net.h. Offloads: a guest may leave transport checksums to us (we complete them: native code does it
// faster than translated code), and need not verify those of frames it gets, because they never crossed a wire.
// Section numbers are those of VIRTIO 1.2.
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
enum { NET_HEADER_NEEDS_CSUM = 1, NET_HEADER_DATA_VALID = 2, NET_GSO_NONE = 0, NET_STATUS_LINK_UP = 1 };
enum {
    NET_QUEUE_SIZE = 256,
    NET_BACKLOG = 512,      // frames kept for a guest that has no buffers; what comes beyond is lost, as on a wire
    NET_FRAME_BUFFERS = 64, // the most buffers one received frame is spread over
};

// 5.1.4
struct net_configuration {
    u8 mac[6];
    u16 status;
    u16 queue_pairs; // only there because the next is
    u16 mtu;
};

// 5.1.6
struct net_header {
    u8 flags;
    u8 gso_type;
    u16 header_bytes;
    u16 gso_bytes;
    u16 checksum_start;
    u16 checksum_offset;
    u16 buffers;
};

static_assert(sizeof(struct net_configuration) == 12 && sizeof(struct net_header) == 12, "VIRTIO 1.2, 5.1");

struct net_frame {
    u8 *bytes;
    size_t count;
};

struct virtio_net {
    struct virtio virtio;
    struct virtio_pci pci;
    struct network_port *port;
    struct net_configuration configuration;
    bool waiting; // the port's descriptors are in the set the thread sleeps on
    struct net_frame backlog[NET_BACKLOG]; // a ring
    unsigned backlog_first, backlog_count;
    struct virtqueue_chain first, chain;
    u8 frame[NETWORK_FRAME_MOST]; // being sent: a copy, so that the guest cannot change it while it is looked at
};

// --- Receiving ---

static void net_write_header(struct virtio_net *net, const struct virtqueue_chain *chain, u16 buffers)
{
    struct net_header header = {
        .flags = virtio_has(&net->virtio, NET_F_GUEST_CSUM) ? NET_HEADER_DATA_VALID : 0,
        .gso_type = NET_GSO_NONE,
        .buffers = buffers,
    };
    virtqueue_chain_write(chain, 0, &header, sizeof header);
}

// Fills buffers with a frame. False if there are not enough, and then it is as if nothing had happened, and `buffers`
// says how many there are. 5.1.6.4: the number of buffers goes into the first, which is why it is written last.
static bool net_fill(struct virtio_net *net, const u8 *frame, size_t bytes, u16 *buffers)
{
    struct virtqueue *queue = &net->virtio.queues[NET_QUEUE_IN];
    unsigned most = virtio_has(&net->virtio, NET_F_MRG_RXBUF) ? NET_FRAME_BUFFERS : 1;
    size_t done = 0;
    for (*buffers = 0; done < bytes && *buffers < most; ++*buffers) {
        struct virtqueue_chain *chain = *buffers ? &net->chain : &net->first;
        u64 skip = *buffers ? 0 : sizeof(struct net_header);
        if (virtio_take(&net->virtio, NET_QUEUE_IN, chain) != VIRTQUEUE_CHAIN)
            break;
        if (chain->writable_bytes < skip) {
            virtio_break(&net->virtio, "5.1.6.3: a receive buffer without room for the header");
            return true;
        }
        size_t put = virtqueue_chain_write(chain, skip, frame + done, bytes - done);
        virtqueue_return(queue, chain, (u32)(skip + put));
        done += put;
    }
    if (done < bytes) {
        virtqueue_unreturn(queue, *buffers);
        virtqueue_untake(queue, *buffers);
        // What does not fit into the most buffers never will: lost.
        return *buffers == most;
    }
    net_write_header(net, &net->first, *buffers);
    return true;
}

// True if the frame is dealt with; false if it has to wait for buffers.
static bool net_deliver(struct virtio_net *net, const u8 *frame, size_t bytes)
{
    u16 buffers;
    while (virtio_live(&net->virtio)) {
        if (net_fill(net, frame, bytes, &buffers))
            return true;
        if (!virtio_listen(&net->virtio, NET_QUEUE_IN, buffers))
            return false;
    }
    return true;
}

static void net_receive(void *adapter, const void *frame, size_t bytes)
{
    struct virtio_net *net = adapter;
    if (!virtio_live(&net->virtio) || bytes > NETWORK_FRAME_MOST)
        return;
    if (!net->backlog_count && net_deliver(net, frame, bytes))
        return;
    u8 *copy = net->backlog_count < NET_BACKLOG ? malloc(bytes) : NULL;
    if (!copy)
        return;
    memcpy(copy, frame, bytes);
    unsigned last = (net->backlog_first + net->backlog_count++) % NET_BACKLOG;
    net->backlog[last] = (struct net_frame){.bytes = copy, .count = bytes};
}

static void net_drop_first(struct virtio_net *net)
{
    free(net->backlog[net->backlog_first].bytes);
    net->backlog_first = (net->backlog_first + 1) % NET_BACKLOG;
    net->backlog_count--;
}

static void net_deliver_backlog(struct virtio_net *net)
{
    while (net->backlog_count) {
        const struct net_frame *frame = &net->backlog[net->backlog_first];
        if (!net_deliver(net, frame->bytes, frame->count))
            return;
        net_drop_first(net);
    }
}

// --- Sending ---

// 5.1.6.2: the guest put the pseudo header's sum into the field; the rest of the one's complement sum is ours.
static bool net_complete_checksum(u8 *frame, size_t bytes, u32 start, u32 offset)
{
    u64 sum = 0;
    if (start + offset + 2 > bytes)
        return false;
    for (size_t i = start; i + 1 < bytes; i += 2)
        sum += (u32)frame[i] << 8 | frame[i + 1];
    if ((bytes - start) % 2)
        sum += (u32)frame[bytes - 1] << 8;
    while (sum >> 16)
        sum = (sum & 0xFFFF) + (sum >> 16);
    u16 checksum = (u16)~sum;
    if (!checksum)
        checksum = 0xFFFF; // for UDP 0 means "none", for the others the two are the same
    frame[start + offset] = (u8)(checksum >> 8);
    frame[start + offset + 1] = (u8)checksum;
    return true;
}

// Takes the frame out of the chain and returns its length; 0 if there is nothing to send.
static size_t net_gather(struct virtio_net *net)
{
    const struct virtqueue_chain *chain = &net->chain;
    struct net_header header;
    if (virtqueue_chain_read(chain, 0, &header, sizeof header) < sizeof header) {
        virtio_break(&net->virtio, "5.1.6.2: a frame without header");
        return 0;
    }
    // Frames no Ethernet has, and offloads that were not offered, are lost.
    u64 bytes = chain->readable_bytes - sizeof header;
    if (bytes < NETWORK_FRAME_LEAST || bytes > sizeof net->frame || header.gso_type != NET_GSO_NONE)
        return 0;
    virtqueue_chain_read(chain, sizeof header, net->frame, bytes);
    if ((header.flags & NET_HEADER_NEEDS_CSUM) &&
        !net_complete_checksum(net->frame, bytes, header.checksum_start, header.checksum_offset))
        return 0;
    return bytes;
}

static void net_work(struct virtio *virtio)
{
    struct virtio_net *net = CONTAINER_OF(virtio, struct virtio_net, virtio);
    struct virtqueue *queue = &virtio->queues[NET_QUEUE_OUT];
    net_deliver_backlog(net);
    virtqueue_deafen(queue);
    do {
        while (virtio_live(virtio) && virtio_take(virtio, NET_QUEUE_OUT, &net->chain) == VIRTQUEUE_CHAIN) {
            size_t bytes = net_gather(net);
            // Sending may deliver an answer at once, which uses net->chain: so return it first.
            virtqueue_return(queue, &net->chain, 0);
            if (bytes)
                net->port->type->send(net->port, net->frame, bytes);
        }
        virtio_publish(virtio, NET_QUEUE_OUT);
    } while (virtio_live(virtio) && virtio_listen(virtio, NET_QUEUE_OUT, 0));
    virtio_publish(virtio, NET_QUEUE_IN);
}

static void net_prepare(struct virtio *virtio, struct pollset *set)
{
    struct virtio_net *net = CONTAINER_OF(virtio, struct virtio_net, virtio);
    net->waiting = !net->backlog_count;
    if (net->waiting)
        net->port->type->prepare(net->port, set);
}

static void net_dispatch(struct virtio *virtio, const struct pollset *set)
{
    struct virtio_net *net = CONTAINER_OF(virtio, struct virtio_net, virtio);
    if (net->waiting)
        net->port->type->dispatch(net->port, set);
    virtio_publish(virtio, NET_QUEUE_IN);
}

static void net_reset(struct virtio *virtio)
{
    struct virtio_net *net = CONTAINER_OF(virtio, struct virtio_net, virtio);
    while (net->backlog_count)
        net_drop_first(net);
}

static void net_destroy(struct virtio *virtio)
{
    struct virtio_net *net = CONTAINER_OF(virtio, struct virtio_net, virtio);
    net_reset(virtio);
    if (net->port->adapter == net)
        net->port->receive = NULL;
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
    .reset = net_reset,
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
    net->configuration.status = NET_STATUS_LINK_UP;
    net->configuration.queue_pairs = 1;
    net->configuration.mtu = config->port->mtu;
    net->port = config->port;
    net->port->receive = net_receive;
    net->port->adapter = net;
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
