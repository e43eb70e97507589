// Descriptors behind which interfaces of the kernel are (link.h): what needs privileges, done here so that the switch's
// process needs none.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service/link.h"

enum {
    PACKET_BUFFER = 4 << 20, // of a packet socket, in each direction
    TAP_HEADER = 12,   // the virtio-net header with its count of buffers
    TITLE_BYTES = 128, // of an alternative name: ALTIFNAMSIZ of <linux/if.h>, which does not go with <net/if.h>
};

// --- Alternative names -----------------------------------------------------------------------------------------------

static struct nl_msg *title_message(int type, int flags, unsigned index)
{
    struct nl_msg *message = nlmsg_alloc_simple(type, flags);
    struct ifinfomsg info = {.ifi_index = (int)index};
    if (message && nlmsg_append(message, &info, sizeof info, NLMSG_ALIGNTO) == 0)
        return message;
    nlmsg_free(message);
    return NULL;
}

static int title_change(struct nl_sock *socket, unsigned index, const char *title, bool add)
{
    struct nl_msg *message = title_message(add ? RTM_NEWLINKPROP : RTM_DELLINKPROP,
                                           NLM_F_ACK | (add ? NLM_F_CREATE | NLM_F_EXCL : 0), index);
    struct nlattr *list = message ? nla_nest_start(message, IFLA_PROP_LIST) : NULL;
    if (!list || nla_put_string(message, IFLA_ALT_IFNAME, title) < 0) {
        nlmsg_free(message);
        return -NLE_NOMEM;
    }
    nla_nest_end(message, list);
    return nl_send_sync(socket, message); // frees the message
}

struct titles {
    struct nl_sock *socket;
    unsigned index;
    const char *wanted;
    bool there;
    char others[8][TITLE_BYTES];
    unsigned count;
};

static int titles_read(struct nl_msg *message, void *context)
{
    struct titles *titles = context;
    struct nlattr *list = nlmsg_find_attr(nlmsg_hdr(message), sizeof(struct ifinfomsg), IFLA_PROP_LIST), *at;
    int left;
    if (!list)
        return NL_OK;
    nla_for_each_nested(at, list, left) {
        if (nla_type(at) != IFLA_ALT_IFNAME)
            continue;
        if (!strcmp(nla_get_string(at), titles->wanted))
            titles->there = true;
        else if (titles->count < 8)
            nla_strlcpy(titles->others[titles->count++], at, TITLE_BYTES);
    }
    return NL_OK;
}

// A kernel without alternative names (before 5.5) has everything else: no error.
static void title_set(unsigned index, const char *title)
{
    struct nl_sock *socket = nl_socket_alloc();
    char cut[TITLE_BYTES];
    struct titles titles = {.index = index, .wanted = cut};
    snprintf(cut, sizeof cut, "%s", title);
    struct nl_msg *question = title_message(RTM_GETLINK, 0, index);
    if (socket && question && nl_connect(socket, NETLINK_ROUTE) == 0) {
        nl_socket_modify_cb(socket, NL_CB_VALID, NL_CB_CUSTOM, titles_read, &titles);
        if (nl_send_auto(socket, question) >= 0 && nl_recvmsgs_default(socket) >= 0) {
            for (unsigned i = 0; i < titles.count; i++)
                title_change(socket, index, titles.others[i], false);
            if (!titles.there)
                title_change(socket, index, cut, true);
        }
    }
    nlmsg_free(question);
    nl_socket_free(socket);
}

// --- Tap -------------------------------------------------------------------------------------------------------------

static int tap_attach(const char *name, struct error *error)
{
    const unsigned offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
    const int header = TAP_HEADER;
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    if (fd < 0)
        return error_set(error, "'/dev/net/tun': %s", strerror(errno));
    if (ioctl(fd, TUNSETIFF, &request) == 0 && ioctl(fd, TUNSETVNETHDRSZ, &header) == 0 &&
        ioctl(fd, TUNSETOFFLOAD, (unsigned long)offloads) == 0 && ioctl(fd, TUNSETPERSIST, 1ul) == 0)
        return fd;
    const int reason = errno;
    close(fd);
    if (reason == EBUSY)
        return -EBUSY;
    return error_set(error, "interface %s: %s", name, strerror(reason));
}

// Only what differs is set: a change of the address of an interface that is up would be an event for everybody.
static int tap_configure(const char *name, const u8 mac[6], struct error *error)
{
    struct ifreq request = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), result = fd < 0 ? -1 : 0;
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    if (result == 0)
        result = ioctl(fd, SIOCGIFHWADDR, &request);
    if (result == 0 && memcmp(request.ifr_hwaddr.sa_data, mac, 6)) {
        memcpy(request.ifr_hwaddr.sa_data, mac, 6);
        result = ioctl(fd, SIOCSIFHWADDR, &request);
    }
    if (result == 0)
        result = ioctl(fd, SIOCGIFFLAGS, &request);
    if (result == 0 && !(request.ifr_flags & IFF_UP)) {
        request.ifr_flags |= IFF_UP;
        result = ioctl(fd, SIOCSIFFLAGS, &request);
    }
    if (result < 0)
        error_set(error, "interface %s: %s", name, strerror(errno));
    if (fd >= 0)
        close(fd);
    return result;
}

static int tap_setting(const char *family, const char *name, const char *setting, const char *value,
                       struct error *error)
{
    char file[128];
    snprintf(file, sizeof file, "/proc/sys/net/%s/conf/%s/%s", family, name, setting);
    const int fd = open(file, O_WRONLY | O_CLOEXEC);
    const ssize_t written = fd < 0 ? -1 : write(fd, value, strlen(value));
    const int reason = errno;
    if (fd >= 0)
        close(fd);
    if (written >= 0 || reason == ENOENT) // a kernel without IPv6
        return 0;
    return error_set(error, "'%s': %s", file, strerror(reason));
}

// Before it is up.
static int tap_stand_beside(const char *name, struct error *error)
{
    const int result = tap_setting("ipv4", name, "arp_ignore", "1\n", error) |
                       tap_setting("ipv4", name, "arp_announce", "2\n", error) |
                       tap_setting("ipv6", name, "accept_ra", "0\n", error);
    return result ? -1 : 0;
}

int link_tap(const char *name, const char *title, const u8 mac[6], bool beside, struct error *error)
{
    const int fd = tap_attach(name, error);
    if (fd == -1)
        return -1;
    if ((beside && tap_stand_beside(name, error) < 0) || tap_configure(name, mac, error) < 0) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    title_set(if_nametoindex(name), title);
    return fd;
}

void link_tap_remove(const char *name)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    if (!if_nametoindex(name))
        return;
    // Through netlink, because a switch's process may still hold the other end.
    struct nl_sock *socket = nl_socket_alloc();
    struct nl_msg *message = title_message(RTM_DELLINK, NLM_F_ACK, if_nametoindex(name));
    if (socket && message && nl_connect(socket, NETLINK_ROUTE) == 0)
        nl_send_sync(socket, message);
    else
        nlmsg_free(message);
    nl_socket_free(socket);
}

// --- Packet socket ---------------------------------------------------------------------------------------------------

// Bound last, so that nothing arrives before it is all set; and without what the host itself sends, which would reach
// the switch as if it came from outside.
// A segment of TCP that is not cut up yet takes 64 KiB and more, and the kernel's defaults hold three of them: what is
// lost for that makes TCP slow down. Without CAP_NET_ADMIN it is as much as the host allows anybody.
static void link_enlarge(int fd)
{
    static const int options[][2] = {{SO_RCVBUFFORCE, SO_RCVBUF}, {SO_SNDBUFFORCE, SO_SNDBUF}};
    const int bytes = PACKET_BUFFER;
    for (unsigned i = 0; i < ARRAY_SIZE(options); i++)
        if (setsockopt(fd, SOL_SOCKET, options[i][0], &bytes, sizeof bytes) < 0)
            setsockopt(fd, SOL_SOCKET, options[i][1], &bytes, sizeof bytes);
}

int link_packets(const char *name, struct error *error)
{
    const int on = 1;
    const struct sockaddr_ll address = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(name)};
    const struct packet_mreq promiscuous = {.mr_ifindex = address.sll_ifindex, .mr_type = PACKET_MR_PROMISC};
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) == 0 &&
        setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof on) == 0 &&
        setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) == 0 &&
        bind(fd, (const struct sockaddr *)&address, sizeof address) == 0 &&
        setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof promiscuous) == 0) {
        link_enlarge(fd);
        return fd;
    }
    const int reason = errno;
    if (fd >= 0)
        close(fd);
    if (reason == EPERM || reason == EACCES)
        return error_set(error, "'%s': permission denied; an External switch needs root (or CAP_NET_RAW)", name);
    return error_set(error, "'%s': %s%s", name, strerror(reason),
                     reason == EAFNOSUPPORT ? "; the kernel has no packet sockets (module af_packet)" : "");
}
