// User-mode NAT by libslirp: a router that is made of a process's own sockets, without any privilege. What a guest
// sends to other networks leaves as the host's own; the router's address also is the host's loopback.
#pragma once

#include <netinet/in.h>

#include "host/network.h"

enum { SLIRP_SESSIONS = 400 };

struct slirp_config {
    u8 mac[FRAME_MAC]; // the router's
    struct in_addr router;
    u8 bits;                    // of its network
    struct in_addr name_server; // in the network: answered with the host's name servers; 0: none
    struct in_addr external;    // the host's address that connections leave by; 0: whichever
    unsigned sockets;           // about so many at once; more connections are not begun. 0: no limit
    bool host_only;             // nothing is behind the router
};

// A port of the host's that leads to one of the guests.
struct slirp_forward {
    bool udp;
    struct in_addr external; // 0: all the host has
    u16 external_port;
    struct in_addr internal;
    u16 internal_port;
};

// A connection that is translated.
struct slirp_session {
    u8 protocol; // IP's: TCP, UDP, ICMP
    bool from_outside;
    struct in_addr internal, remote;
    u16 internal_port, external_port, remote_port; // external: the host's own end
};

// NULL as `config` is the network of a VM of its own: it gets 10.0.2.15 by DHCP, the router is 10.0.2.2, the name
// server 10.0.2.3, and IPv6 where the host has a route for it. Otherwise an IPv4 network whose guests know their addresses.
struct network_port *slirp_open(const struct slirp_config *config, struct error *error);

// All three: of a port of slirp_open's, on its thread.
int slirp_forward_add(struct network_port *port, const struct slirp_forward *forward, struct error *error);
void slirp_forward_remove(struct network_port *port, const struct slirp_forward *forward);
unsigned slirp_sessions(struct network_port *port, struct slirp_session sessions[SLIRP_SESSIONS]);
