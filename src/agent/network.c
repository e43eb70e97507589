// The addresses of this system's network interfaces.
#include <errno.h>
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <stdio.h>
#include <string.h>

#include "agent/command.h"

static json_t *network_find(json_t *list, const char *name)
{
    size_t i;
    json_t *interface;
    json_array_foreach(list, i, interface)
        if (!strcmp(json_string_value(json_object_get(interface, "name")), name))
            return interface;
    interface = json_pack("{s:s, s:[]}", "name", name, "ip-addresses");
    json_array_append_new(list, interface);
    return interface;
}

static unsigned network_prefix(const void *mask, size_t bytes)
{
    unsigned prefix = 0;
    for (size_t i = 0; mask && i < bytes; i++)
        prefix += (unsigned)__builtin_popcount(((const u8 *)mask)[i]);
    return prefix;
}

static void network_add_address(json_t *interface, const struct ifaddrs *at)
{
    bool six = at->ifa_addr->sa_family == AF_INET6;
    const void *address = six ? (void *)&((struct sockaddr_in6 *)at->ifa_addr)->sin6_addr
                              : (void *)&((struct sockaddr_in *)at->ifa_addr)->sin_addr;
    const void *mask = !at->ifa_netmask ? NULL : six ? (void *)&((struct sockaddr_in6 *)at->ifa_netmask)->sin6_addr
                                                     : (void *)&((struct sockaddr_in *)at->ifa_netmask)->sin_addr;
    char text[INET6_ADDRSTRLEN];
    if (!inet_ntop(at->ifa_addr->sa_family, address, text, sizeof text))
        return;
    json_array_append_new(json_object_get(interface, "ip-addresses"),
                          json_pack("{s:s, s:s, s:i}", "ip-address", text, "ip-address-type", six ? "ipv6" : "ipv4",
                                    "prefix", (int)network_prefix(mask, six ? 16 : 4)));
}

static void network_add_hardware(json_t *interface, const struct sockaddr_ll *link)
{
    char text[18];
    const u8 *mac = link->sll_addr;
    if (link->sll_halen != 6)
        return;
    snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
    json_object_set_new(interface, "hardware-address", json_string(text));
}

json_t *network_interfaces(const json_t *arguments, struct error *error)
{
    struct ifaddrs *all;
    (void)arguments;
    if (getifaddrs(&all)) {
        error_set(error, "the system does not tell its addresses: %s", strerror(errno));
        return NULL;
    }
    json_t *list = json_array();
    for (const struct ifaddrs *at = all; at; at = at->ifa_next) {
        json_t *interface = network_find(list, at->ifa_name);
        if (!at->ifa_addr)
            continue;
        if (at->ifa_addr->sa_family == AF_PACKET)
            network_add_hardware(interface, (const struct sockaddr_ll *)at->ifa_addr);
        else if (at->ifa_addr->sa_family == AF_INET || at->ifa_addr->sa_family == AF_INET6)
            network_add_address(interface, at);
    }
    freeifaddrs(all);
    return list;
}
