// The network adapters of this machine and their addresses, as Linux knows them (rtnetlink, through libnl). Reading
// needs no privilege; changing needs CAP_NET_ADMIN, and says so.
#pragma once

#include <net/if.h>

#include "base/error.h"
#include "service/prefix.h"

struct link {
    unsigned index;
    char name[IF_NAMESIZE];
    char alias[24];  // what Windows would call it: "Ethernet", "Ethernet 2"; "" for the loopback adapter
    u8 mac[6];
    bool up, running, loopback;
    bool hardware;   // a device stands behind it
    u64 megabits;    // a second; 0: not known
    unsigned mtu;
};

struct link_address {
    unsigned index; // of the link
    struct prefix address; // all its bits
    u8 bits;               // that name the network
    bool by_hand;          // not by DHCP, a router, or the kernel
};

enum { LINK_MOST = 256, LINK_ADDRESSES = 1024 };

// At most LINK_MOST, allocated; -1 with the reason in `error`.
int link_list(struct link **links, struct error *error);
// By name or alias, without regard to case. False: none.
bool link_find(const char *name, struct link *link);
int link_addresses(struct link_address **addresses, struct error *error);

int link_address_add(unsigned index, const struct prefix *address, u8 bits, struct error *error);
int link_address_remove(unsigned index, const struct prefix *address, u8 bits, struct error *error);
int link_gateway_add(unsigned index, const struct prefix *gateway, struct error *error);

// The host's own adapter on a switch, as a tap interface: made if it is not there, up, with this address, and `title` as
// its alternative name in place of others. It stays until it is removed, also without us. Returns the other end, for
// the switch (host/interface.h); -EBUSY if a switch's process has it already, which is no error; -1: the reason is in
// `error`.
//
// `beside`: another adapter of the host is on the same network. Then this one answers for its own addresses alone and
// takes no routes from routers there, so that it never draws to itself what comes to the host by the other one.
int link_tap(const char *name, const char *title, const u8 mac[6], bool beside, struct error *error);
void link_tap_remove(const char *name); // if it is there
// All that passes an adapter, which becomes promiscuous for as long as the descriptor lives.
int link_packets(const char *name, struct error *error);

// The name servers of this machine, one word each; adding writes resolv.conf anew, or asks systemd-resolved where that
// owns it.
int link_dns_add(const char *link, const char *server, struct error *error);
char *link_dns_list(void); // allocated, with blanks between; NULL if there are none
// Those of them that a guest could ask: IPv4, and not this machine's loopback. Behind systemd-resolved, what it asks.
char *link_dns_upstream(void); // allocated, with blanks between; NULL if there are none
