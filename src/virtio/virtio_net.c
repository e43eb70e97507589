// See virtio_net.h. Frames go between the guest's buffers and the port without being copied in between. A guest may
// leave transport checksums to us (what completes them is native code, faster than translated code), and need not
// verify those of frames that never crossed a wire. Section numbers are those of VIRTIO 1.2.
#include "virtio/virtio_net.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "virtio/net_filter.h"

#define NET_F_CSUM ((u64)1 << 0)
#define NET_F_GUEST_CSUM ((u64)1 << 1)
#define NET_F_CTRL_GUEST_OFFLOADS ((u64)1 << 2)
#define NET_F_MTU ((u64)1 << 3)
#define NET_F_MAC ((u64)1 << 5)
#define NET_F_GUEST_TSO4 ((u64)1 << 7)
#define NET_F_GUEST_TSO6 ((u64)1 << 8)
#define NET_F_GUEST_ECN ((u64)1 << 9)
#define NET_F_HOST_TSO4 ((u64)1 << 11)
#define NET_F_HOST_TSO6 ((u64)1 << 12)
#define NET_F_HOST_ECN ((u64)1 << 13)
#define NET_F_MRG_RXBUF ((u64)1 << 15)
#define NET_F_STATUS ((u64)1 << 16)
#define NET_F_CTRL_VQ ((u64)1 << 17)
#define NET_F_CTRL_RX ((u64)1 << 18)
#define NET_F_CTRL_VLAN ((u64)1 << 19)
#define NET_F_CTRL_RX_EXTRA ((u64)1 << 20)
#define NET_F_GUEST_ANNOUNCE ((u64)1 << 21)
#define NET_F_MQ ((u64)1 << 22)
#define NET_F_CTRL_MAC_ADDR ((u64)1 << 23)

#define NET_GUEST_OFFLOADS (NET_F_GUEST_CSUM | NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6 | NET_F_GUEST_ECN)
#define NET_HOST_OFFLOADS (NET_F_CSUM | NET_F_HOST_TSO4 | NET_F_HOST_TSO6 | NET_F_HOST_ECN)
#define NET_CONTROL                                                                                                    \
    (NET_F_CTRL_VQ | NET_F_CTRL_RX | NET_F_CTRL_VLAN | NET_F_CTRL_RX_EXTRA | NET_F_GUEST_ANNOUNCE |                    \
     NET_F_CTRL_MAC_ADDR | NET_F_CTRL_GUEST_OFFLOADS)
#define NET_FEATURES \
    (NET_F_MAC | NET_F_STATUS | NET_F_MRG_RXBUF | NET_GUEST_OFFLOADS | NET_HOST_OFFLOADS | NET_CONTROL)

enum { NET_STATUS_LINK_UP = 1, NET_STATUS_ANNOUNCE = 2 };
enum { NET_CONTROL_ANNOUNCE = 3, NET_CONTROL_MQ = 4, NET_CONTROL_OFFLOADS = 5, NET_CONTROL_HEADER = 2 };
enum { NET_OK, NET_ERROR };
enum {
    NET_QUEUE_SIZE = 256,
    NET_FRAME_BUFFERS = 64, // the most buffers one received frame is spread over
    NET_CONTROL_ROUND = 64, // commands a round
    NET_FLOWS = 256,        // a power of two
    NET_FLOW_HEAD = 128,    // bytes of a frame that tell its flow
};

// 5.1.4
struct net_configuration {
    u8 mac[6];
    u16 status;
    u16 queue_pairs;
    u16 mtu;
};

static_assert(sizeof(struct net_configuration) == 12, "VIRTIO 1.2, 5.1.4");
static_assert((int)VIRTQUEUE_MAX_SEGMENTS < (int)OFFLOAD_PARTS, "a chain is a frame");
static_assert(2 * (int)VIRTIO_NET_PAIRS + 1 <= (int)VIRTIO_MAX_QUEUES, "virtio.h");

struct virtio_net {
    struct virtio virtio;
    struct virtio_type type; // net_type with the number of queues
    struct virtio_pci pci;
    struct network_port *port;
    struct net_configuration configuration;
    u8 own_mac[6];      // what configuration.mac is until the driver wants another
    u16 pairs;          // in use
    u64 guest_offloads; // NET_GUEST_OFFLOADS the driver wants now, if it said so
    u8 offloads_said;   // by NET_CONTROL_OFFLOADS
    struct net_filter filter;
    bool announce;           // the driver shall be told to announce itself
    bool full;               // the guest had no buffers for a frame, which the port may have kept
    bool waits;              // the port had no room for the frame at the head of a queue
    u8 flow_pair[NET_FLOWS]; // which pair the guest sends a flow through, by the flow's hash
    struct virtqueue_chain first, chain; // received: the frame's first and its current buffer
    struct virtqueue_chain out;          // being sent, or a command
    struct iovec parts[VIRTQUEUE_MAX_SEGMENTS];
};

static unsigned net_queue_in(unsigned pair) { return 2 * pair; }

static unsigned net_queue_out(unsigned pair) { return 2 * pair + 1; }

// 5.1.2: behind all pairs for a driver that knows of them, else behind the first.
static unsigned net_queue_control(const struct virtio_net *net)
{
    return virtio_has(&net->virtio, NET_F_MQ) ? net->type.queues - 1u : 2;
}

// --- Flows: a received frame goes to the pair through which the guest sends what belongs to it (5.1.6.5.5) ---

// The same for both directions.
static unsigned net_flow(const struct iovec *parts, unsigned count)
{
    u8 head[NET_FLOW_HEAD];
    struct frame frame;
    u32 hash = 0;
    const size_t there = offload_copy(parts, count, 0, head, sizeof head);
    if (!frame_read(&frame, head, there, offload_bytes(parts, count)))
        return 0;
    for (unsigned i = 0; i < FRAME_ADDRESS; i += sizeof hash) {
        u32 from, to;
        memcpy(&from, frame.from + i, sizeof from);
        memcpy(&to, frame.to + i, sizeof to);
        hash ^= from ^ to;
    }
    hash ^= frame.source_port ^ frame.destination_port;
    return (hash * 0x9E3779B1u) >> 24;
}
static_assert(NET_FLOWS == 1 << 8, "net_flow");

static void net_learn_flow(struct virtio_net *net, unsigned pair, const struct iovec *parts, unsigned count)
{
    if (net->pairs > 1)
        net->flow_pair[net_flow(parts, count)] = (u8)pair;
}

static unsigned net_choose_pair(const struct virtio_net *net, const struct iovec *parts, unsigned count)
{
    return net->pairs > 1 ? net->flow_pair[net_flow(parts, count)] % net->pairs : 0;
}

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
static bool net_fill(struct virtio_net *net, unsigned in, const struct network_header *header,
                     const struct iovec *parts, unsigned count, u16 *buffers)
{
    struct virtqueue *queue = &net->virtio.queues[in];
    struct net_cursor cursor = {.parts = parts, .count = count};
    unsigned most = virtio_has(&net->virtio, NET_F_MRG_RXBUF) ? NET_FRAME_BUFFERS : 1;
    for (*buffers = 0; cursor.count && *buffers < most; ++*buffers) {
        struct virtqueue_chain *chain = *buffers ? &net->chain : &net->first;
        u64 skip = *buffers ? 0 : sizeof *header;
        if (virtio_take(&net->virtio, in, chain) != VIRTQUEUE_CHAIN)
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

static bool net_wants(const struct virtio_net *net, const struct iovec *parts, unsigned count)
{
    u8 head[NET_FILTER_HEAD];
    if (net->filter.modes[NET_RX_PROMISCUOUS])
        return true;
    const size_t bytes = offload_copy(parts, count, 0, head, sizeof head);
    return net_filter_wants(&net->filter, net->configuration.mac, virtio_has(&net->virtio, NET_F_CTRL_VLAN), head,
                            bytes);
}

// A frame from the port. A guest without a driver, or with a broken one, loses it.
static bool net_receive(void *context, const struct network_header *header, const struct iovec *parts, unsigned count)
{
    struct virtio_net *net = context;
    u16 buffers;
    if (!net_wants(net, parts, count))
        return true;
    const unsigned in = net_queue_in(net_choose_pair(net, parts, count));
    while (virtio_live(&net->virtio)) {
        if (net_fill(net, in, header, parts, count, &buffers))
            return true;
        if (!virtio_listen(&net->virtio, in, buffers)) {
            net->full = true;
            return false;
        }
    }
    return true;
}

static void net_publish_received(struct virtio_net *net)
{
    for (unsigned pair = 0; pair < net->pairs; pair++)
        virtio_publish(&net->virtio, net_queue_in(pair));
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

// Whether the driver took what it now leaves to us (5.1.6.2); the port may do more than the guest knows.
static bool net_may_send(const struct virtio_net *net, const struct network_header *header)
{
    u64 needs = header->flags & NETWORK_NEEDS_CHECKSUM ? NET_F_CSUM : 0;
    switch (header->gso_type & (u8)~NETWORK_GSO_ECN) {
    case NETWORK_GSO_NONE: break;
    case NETWORK_GSO_TCP4: needs |= NET_F_HOST_TSO4; break;
    case NETWORK_GSO_TCP6: needs |= NET_F_HOST_TSO6; break;
    default: return false;
    }
    needs |= header->gso_type & NETWORK_GSO_ECN ? NET_F_HOST_ECN : 0;
    return !(needs & ~net->virtio.driver_features);
}

// One frame. False if the port has no room for it.
static bool net_send_one(struct virtio_net *net, unsigned pair)
{
    struct virtqueue *queue = &net->virtio.queues[net_queue_out(pair)];
    struct network_header header;
    if (net->out.readable_bytes < sizeof header) {
        virtio_break(&net->virtio, "5.1.6.2: a frame without header");
        return true;
    }
    const unsigned count = net_split(net, &header);
    net_learn_flow(net, pair, net->parts, count);
    if (count && net_may_send(net, &header) &&
        network_send(net->port, &header, net->parts, count) == OFFLOAD_REFUSED) {
        virtqueue_untake(queue, 1);
        return false;
    }
    virtqueue_return(queue, &net->out, 0);
    return true;
}

static void net_send(struct virtio_net *net, unsigned pair)
{
    struct virtio *virtio = &net->virtio;
    const unsigned out = net_queue_out(pair);
    virtqueue_deafen(&virtio->queues[out]);
    do {
        while (!net->waits && virtio_live(virtio) && virtio_take(virtio, out, &net->out) == VIRTQUEUE_CHAIN)
            net->waits = !net_send_one(net, pair);
        virtio_publish(virtio, out);
    } while (!net->waits && virtio_live(virtio) && virtio_listen(virtio, out, 0));
}

// --- The control queue (5.1.6.5) ---

static bool net_set_mac(struct virtio_net *net, const u8 *data, size_t bytes)
{
    if (bytes < sizeof net->configuration.mac || !virtio_has(&net->virtio, NET_F_CTRL_MAC_ADDR))
        return false;
    memcpy(net->configuration.mac, data, sizeof net->configuration.mac);
    return true;
}

static bool net_set_pairs(struct virtio_net *net, u8 command, const u8 *data, size_t bytes)
{
    u16 pairs;
    if (command || bytes < sizeof pairs || !virtio_has(&net->virtio, NET_F_MQ))
        return false;
    memcpy(&pairs, data, sizeof pairs);
    if (!pairs || pairs > net->configuration.queue_pairs)
        return false;
    net_publish_received(net); // of pairs that will not be looked at any more
    net->pairs = pairs;
    return true;
}

static bool net_set_offloads(struct virtio_net *net, u8 command, const u8 *data, size_t bytes)
{
    u64 offloads;
    if (command || bytes < sizeof offloads || !virtio_has(&net->virtio, NET_F_CTRL_GUEST_OFFLOADS))
        return false;
    memcpy(&offloads, data, sizeof offloads);
    if (offloads & ~(net->virtio.driver_features & NET_GUEST_OFFLOADS))
        return false;
    net->guest_offloads = offloads;
    net->offloads_said = true;
    return true;
}

static bool net_command(struct virtio_net *net, u8 class, u8 command, const u8 *data, size_t bytes, size_t total)
{
    switch (class) {
    case NET_CONTROL_MAC:
        if (command == NET_MAC_ADDRESS_SET)
            return net_set_mac(net, data, bytes);
        break;
    case NET_CONTROL_ANNOUNCE:
        if (command)
            return false;
        net->configuration.status &= (u16)~NET_STATUS_ANNOUNCE;
        return true;
    case NET_CONTROL_MQ:
        return net_set_pairs(net, command, data, bytes);
    case NET_CONTROL_OFFLOADS:
        return net_set_offloads(net, command, data, bytes);
    }
    return net_filter_command(&net->filter, class, command, data, bytes, total);
}

static void net_control_one(struct virtio_net *net, struct virtqueue *queue)
{
    u8 bytes[NET_CONTROL_HEADER + NET_COMMAND_BYTES];
    const struct virtqueue_chain *chain = &net->out;
    const size_t read = virtqueue_chain_read(chain, 0, bytes, sizeof bytes);
    if (read < NET_CONTROL_HEADER || !chain->writable_bytes) {
        virtio_break(&net->virtio, "5.1.6.5: a command without header, or without room for its answer");
        return;
    }
    const u8 ack = net_command(net, bytes[0], bytes[1], bytes + NET_CONTROL_HEADER, read - NET_CONTROL_HEADER,
                               chain->readable_bytes - NET_CONTROL_HEADER)
                       ? NET_OK
                       : NET_ERROR;
    virtqueue_chain_write(chain, 0, &ack, sizeof ack);
    virtqueue_return(queue, chain, sizeof ack);
}

static void net_control(struct virtio_net *net)
{
    struct virtio *virtio = &net->virtio;
    const unsigned control = net_queue_control(net);
    struct virtqueue *queue = &virtio->queues[control];
    if (!virtio_has(virtio, NET_F_CTRL_VQ))
        return;
    do {
        for (unsigned i = 0; i < NET_CONTROL_ROUND && virtio_live(virtio); i++) {
            if (virtio_take(virtio, control, &net->out) != VIRTQUEUE_CHAIN)
                break;
            net_control_one(net, queue);
        }
        virtio_publish(virtio, control);
    } while (virtio_live(virtio) && virtio_listen(virtio, control, 0));
}

// --- The device ---

static void net_work(struct virtio *virtio)
{
    struct virtio_net *net = CONTAINER_OF(virtio, struct virtio_net, virtio);
    net_control(net);
    net_look_for_buffers(net);
    for (unsigned pair = 0; pair < net->pairs && virtio_live(virtio); pair++)
        net_send(net, pair);
    net_publish_received(net);
}

// What the port may leave undone in frames for this guest: what its driver takes. Segments without GUEST_CSUM make no
// sense (5.1.3.1).
static u32 net_guest_offloads(const struct virtio_net *net)
{
    const u64 takes = net->offloads_said ? net->guest_offloads : net->virtio.driver_features;
    if (!(takes & NET_F_GUEST_CSUM))
        return 0;
    return OFFLOAD_CHECKSUM | (takes & NET_F_GUEST_TSO4 ? OFFLOAD_TSO4 : 0) |
           (takes & NET_F_GUEST_TSO6 ? OFFLOAD_TSO6 : 0) | (takes & NET_F_GUEST_ECN ? OFFLOAD_ECN : 0);
}

// 5.1.6.5.4: the guest is somewhere else now, and only frames from it tell the switches where. The link may have
// changed on the way, too.
static void net_announce(struct virtio_net *net)
{
    net->announce = false;
    if (!virtio_has(&net->virtio, NET_F_STATUS))
        return;
    if (virtio_has(&net->virtio, NET_F_GUEST_ANNOUNCE) && (net->configuration.status & NET_STATUS_LINK_UP))
        net->configuration.status |= NET_STATUS_ANNOUNCE;
    virtio_config_changed(&net->virtio);
}

static void net_prepare(struct virtio *virtio, struct pollset *set)
{
    struct virtio_net *net = CONTAINER_OF(virtio, struct virtio_net, virtio);
    if (net->announce)
        net_announce(net);
    net->port->adapter.offloads = net_guest_offloads(net);
    net->port->type->prepare(net->port, set);
    net_publish_received(net); // the last moment at which the port gives what it has
}

static void net_dispatch(struct virtio *virtio, const struct pollset *set)
{
    struct virtio_net *net = CONTAINER_OF(virtio, struct virtio_net, virtio);
    net->port->type->dispatch(net->port, set);
    net_publish_received(net);
}

static void net_link(void *context, bool up)
{
    struct virtio_net *net = context;
    net->configuration.status &= (u16)~(NET_STATUS_LINK_UP | NET_STATUS_ANNOUNCE);
    net->configuration.status |= up ? NET_STATUS_LINK_UP : 0;
    net->announce = up;
    if (virtio_has(&net->virtio, NET_F_STATUS) && virtio_live(&net->virtio))
        virtio_config_changed(&net->virtio);
}

// 5.1.5: a driver finds the device as it was made.
static void net_reset(struct virtio *virtio)
{
    struct virtio_net *net = CONTAINER_OF(virtio, struct virtio_net, virtio);
    memcpy(net->configuration.mac, net->own_mac, sizeof net->own_mac);
    net->configuration.status = net->port->up ? NET_STATUS_LINK_UP : 0;
    net->pairs = 1;
    net->offloads_said = false;
    net->guest_offloads = 0;
    net->announce = false;
    memset(net->flow_pair, 0, sizeof net->flow_pair);
    net_filter_reset(&net->filter);
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
// wire. Whether the link is up is the port's to say.
static const struct state_field net_fields[] = {
    STATE_ARRAY(struct virtio_net, configuration.mac),
    STATE_ARRAY(struct virtio_net, own_mac),
    STATE_RANGE(struct virtio_net, pairs, 1, VIRTIO_NET_PAIRS),
    STATE_BOOL(struct virtio_net, offloads_said),
    STATE_FIELD(struct virtio_net, guest_offloads),
    STATE_STRUCT(struct virtio_net, filter, net_filter_fields, NET_FILTER_FIELDS),
};

static int net_loaded(void *object, struct error *error)
{
    struct virtio_net *net = object;
    if (net->pairs > net->configuration.queue_pairs)
        return error_set(error, "virtio net: its driver uses %u queue pairs, and the device has %u", net->pairs,
                         net->configuration.queue_pairs);
    net->announce = true;
    return 0;
}

static const struct state_section net_state = STATE_SECTION("virtio-net", 2, net_fields, .post_load = net_loaded);
static_assert(offsetof(struct virtio_net, virtio) == 0, "virtio_type.state");

static const struct virtio_type net_type = {
    .name = "net",
    .batch = true,
    .id = VIRTIO_ID_NET,
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

static void net_init(struct virtio_net *net, struct memory *memory, const struct virtio_net_config *config)
{
    const unsigned pairs = config->queue_pairs ? config->queue_pairs : 1;
    net->type = net_type;
    net->type.queues = (u16)(2 * pairs + 1);
    net->configuration.queue_pairs = (u16)pairs;
    net->configuration.mtu = config->port->mtu;
    net->port = config->port;
    net->port->adapter = (struct network_adapter){
        .context = net,
        .receive = net_receive,
        .room = net_port_has_room,
        .link = net_link,
    };
    net->virtio.type = &net->type;
    net->virtio.memory = memory;
    net->virtio.config = &net->configuration;
    net->virtio.features = NET_FEATURES | (config->port->mtu ? NET_F_MTU : 0) | (pairs > 1 ? NET_F_MQ : 0);
    net_reset(&net->virtio);
}

struct virtio_pci *virtio_net_create(struct memory *memory, const struct virtio_net_config *config,
                                     struct error *error)
{
    struct virtio_net *net = calloc(1, sizeof *net);
    if (!net || !net_choose_mac(net->own_mac, config->mac)) {
        free(net);
        error_set(error, "virtio net: out of memory or randomness");
        return NULL;
    }
    net_init(net, memory, config);
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
