// See link.h.
#include "service/link.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/if_arp.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/route.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static struct nl_sock *link_open(struct error *error)
{
    struct nl_sock *socket = nl_socket_alloc();
    int code = socket ? nl_connect(socket, NETLINK_ROUTE) : -NLE_NOMEM;
    if (code >= 0)
        return socket;
    nl_socket_free(socket);
    error_set(error, "the kernel's network configuration cannot be reached: %s", nl_geterror(code));
    return NULL;
}

// What the kernel refused, and what to do where that is known.
static int link_refused(struct error *error, int code, const char *what)
{
    if (code == -NLE_PERM || code == -NLE_NOACCESS)
        return error_set(error, "%s: permission denied; the service needs root (or CAP_NET_ADMIN) for that", what);
    return error_set(error, "%s: %s", what, nl_geterror(code));
}

static u64 link_speed(const char *name)
{
    char path[64];
    long long megabits = 0;
    snprintf(path, sizeof path, "/sys/class/net/%s/speed", name);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    const int read = fscanf(file, "%lld", &megabits);
    fclose(file);
    return read == 1 && megabits > 0 ? (u64)megabits : 0;
}

static bool link_hardware(const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/sys/class/net/%s/device", name);
    return access(path, F_OK) == 0;
}

static void link_fill(struct link *link, struct rtnl_link *from)
{
    const struct nl_addr *mac = rtnl_link_get_addr(from);
    *link = (struct link){.index = (unsigned)rtnl_link_get_ifindex(from), .mtu = rtnl_link_get_mtu(from)};
    snprintf(link->name, sizeof link->name, "%s", rtnl_link_get_name(from));
    if (mac && nl_addr_get_len(mac) == sizeof link->mac)
        memcpy(link->mac, nl_addr_get_binary_addr(mac), sizeof link->mac);
    const unsigned flags = rtnl_link_get_flags(from);
    link->up = flags & IFF_UP;
    link->running = flags & IFF_RUNNING;
    link->loopback = flags & IFF_LOOPBACK;
    link->hardware = link_hardware(link->name);
    link->megabits = link_speed(link->name);
}

static int link_order(const void *left, const void *right)
{
    const struct link *l = left, *r = right;
    return l->index < r->index ? -1 : l->index > r->index;
}

// Windows counts its adapters, the first is "Ethernet", then "Ethernet 2": hardware before what is made of software.
static void link_name(struct link *links, int count)
{
    unsigned number = 0;
    qsort(links, (size_t)count, sizeof *links, link_order);
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < count; i++) {
            if (links[i].loopback || links[i].hardware != !pass)
                continue;
            if (++number == 1)
                snprintf(links[i].alias, sizeof links[i].alias, "Ethernet");
            else
                snprintf(links[i].alias, sizeof links[i].alias, "Ethernet %u", number);
        }
}

int link_list(struct link **links, struct error *error)
{
    struct nl_cache *cache = NULL;
    struct nl_sock *socket = link_open(error);
    int count = 0;
    *links = NULL;
    if (!socket)
        return -1;
    int code = rtnl_link_alloc_cache(socket, AF_UNSPEC, &cache);
    if (code < 0) {
        nl_socket_free(socket);
        return link_refused(error, code, "adapters cannot be listed");
    }
    *links = calloc(LINK_MOST, sizeof **links);
    for (struct nl_object *at = nl_cache_get_first(cache); *links && at && count < LINK_MOST;
         at = nl_cache_get_next(at))
        link_fill(&(*links)[count++], (struct rtnl_link *)at);
    nl_cache_free(cache);
    nl_socket_free(socket);
    if (!*links)
        return error_set(error, "out of memory for the list of adapters");
    link_name(*links, count);
    return count;
}

bool link_find(const char *name, struct link *link)
{
    struct link *links;
    const int count = link_list(&links, NULL);
    bool found = false;
    for (int i = 0; i < count && !found; i++)
        if (!strcasecmp(links[i].name, name) || (*links[i].alias && !strcasecmp(links[i].alias, name))) {
            *link = links[i];
            found = true;
        }
    free(links);
    return found;
}

static bool link_address_fill(struct link_address *address, struct rtnl_addr *from)
{
    const struct nl_addr *local = rtnl_addr_get_local(from);
    const int family = rtnl_addr_get_family(from);
    if (!local || (family != AF_INET && family != AF_INET6))
        return false;
    *address = (struct link_address){.index = (unsigned)rtnl_addr_get_ifindex(from),
                                     .bits = (u8)rtnl_addr_get_prefixlen(from)};
    address->address.ipv6 = family == AF_INET6;
    address->address.bits = family == AF_INET6 ? 128 : 32;
    memcpy(address->address.bytes, nl_addr_get_binary_addr(local), nl_addr_get_len(local));
    address->by_hand = rtnl_addr_get_flags(from) & IFA_F_PERMANENT;
    return true;
}

int link_addresses(struct link_address **addresses, struct error *error)
{
    struct nl_cache *cache = NULL;
    struct nl_sock *socket = link_open(error);
    int count = 0;
    *addresses = NULL;
    if (!socket)
        return -1;
    int code = rtnl_addr_alloc_cache(socket, &cache);
    if (code < 0) {
        nl_socket_free(socket);
        return link_refused(error, code, "addresses cannot be listed");
    }
    *addresses = calloc(LINK_ADDRESSES, sizeof **addresses);
    for (struct nl_object *at = nl_cache_get_first(cache); *addresses && at && count < LINK_ADDRESSES;
         at = nl_cache_get_next(at))
        count += link_address_fill(&(*addresses)[count], (struct rtnl_addr *)at);
    nl_cache_free(cache);
    nl_socket_free(socket);
    return *addresses ? count : error_set(error, "out of memory for the list of addresses");
}

static struct nl_addr *link_nl_address(const struct prefix *address)
{
    return nl_addr_build(address->ipv6 ? AF_INET6 : AF_INET, address->bytes, address->ipv6 ? 16 : 4);
}

static int link_address_change(unsigned index, const struct prefix *address, u8 bits, bool add, struct error *error)
{
    struct nl_sock *socket = link_open(error);
    if (!socket)
        return -1;
    struct rtnl_addr *change = rtnl_addr_alloc();
    struct nl_addr *local = link_nl_address(address);
    rtnl_addr_set_ifindex(change, (int)index);
    rtnl_addr_set_family(change, address->ipv6 ? AF_INET6 : AF_INET);
    rtnl_addr_set_local(change, local);
    rtnl_addr_set_prefixlen(change, bits);
    const int code = add ? rtnl_addr_add(socket, change, 0) : rtnl_addr_delete(socket, change, 0);
    nl_addr_put(local);
    rtnl_addr_put(change);
    nl_socket_free(socket);
    return code < 0 ? link_refused(error, code, add ? "the address cannot be added" : "the address cannot be removed")
                    : 0;
}

int link_address_add(unsigned index, const struct prefix *address, u8 bits, struct error *error)
{
    return link_address_change(index, address, bits, true, error);
}

int link_address_remove(unsigned index, const struct prefix *address, u8 bits, struct error *error)
{
    return link_address_change(index, address, bits, false, error);
}

// A router is of use only on an adapter that is up.
static int link_up(struct nl_sock *socket, unsigned index)
{
    struct rtnl_link *old = rtnl_link_alloc(), *changed = rtnl_link_alloc();
    rtnl_link_set_ifindex(old, (int)index);
    rtnl_link_set_flags(changed, IFF_UP);
    const int code = rtnl_link_change(socket, old, changed, 0);
    rtnl_link_put(old);
    rtnl_link_put(changed);
    return code;
}

int link_gateway_add(unsigned index, const struct prefix *gateway, struct error *error)
{
    static const u8 anywhere[16];
    struct nl_sock *socket = link_open(error);
    if (!socket)
        return -1;
    const int family = gateway->ipv6 ? AF_INET6 : AF_INET;
    struct rtnl_route *route = rtnl_route_alloc();
    struct rtnl_nexthop *hop = rtnl_route_nh_alloc();
    struct nl_addr *to = nl_addr_build(family, anywhere, gateway->ipv6 ? 16 : 4), *via = link_nl_address(gateway);
    nl_addr_set_prefixlen(to, 0);
    rtnl_route_set_family(route, (u8)family);
    rtnl_route_set_dst(route, to);
    rtnl_route_nh_set_ifindex(hop, (int)index);
    rtnl_route_nh_set_gateway(hop, via);
    rtnl_route_add_nexthop(route, hop); // owns it from now on
    int code = link_up(socket, index);
    if (code >= 0)
        code = rtnl_route_add(socket, route, NLM_F_CREATE | NLM_F_REPLACE);
    nl_addr_put(to);
    nl_addr_put(via);
    rtnl_route_put(route);
    nl_socket_free(socket);
    return code < 0 ? link_refused(error, code, "the default gateway cannot be set") : 0;
}
