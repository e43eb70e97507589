// The kernel's part of the network: forwarding between the host's adapters on switches and the outside, with the
// addresses translated (nftables). One table of ours holds all of it and is replaced as a whole; nothing else on the host
// is touched but the switch that lets the kernel forward at all (ip_forward), whose former position is noted beside the
// table, and put back with its end, or that of another service's which needs it still.
#pragma once

#include "base/error.h"
#include "base/types.h"

enum { FORWARDING_INTERFACE = 16, FORWARDING_TEXT = 64 };

// A network on a switch's adapter.
struct forwarding_network {
    char interface[FORWARDING_INTERFACE];
    char prefix[FORWARDING_TEXT];   // "192.168.100.0/24"; "": none is known
    char external[FORWARDING_TEXT]; // the address that it has outside; "": that of whatever adapter it leaves by
    bool nat;                       // otherwise it reaches the host, and nothing beyond
};

struct forwarding_mapping {
    bool udp;
    char external[FORWARDING_TEXT]; // "0.0.0.0": all the host has
    char remote[FORWARDING_TEXT];   // who may use it; "": everybody
    char internal[FORWARDING_TEXT];
    unsigned external_port, internal_port;
};

struct forwarding {
    const char *table;     // its name: one a service
    const char *directory; // for what is noted
    const struct forwarding_network *networks;
    size_t network_count;
    const struct forwarding_mapping *mappings;
    size_t mapping_count;
};

// Whether this process may, and the kernel can. If not, the reason is in `error`.
bool forwarding_possible(struct error *error);
// Whether there is something of ours, as far as this directory's notes tell.
bool forwarding_is_there(const char *directory);
// In force when it returns 0; without networks: nothing of ours is left. -1: it is as it was.
int forwarding_apply(const struct forwarding *forwarding, struct error *error);

// Each connection that the kernel translates for one of these networks. -1: it does not tell.
struct forwarding_session {
    unsigned protocol; // IP's
    char internal[FORWARDING_TEXT], remote[FORWARDING_TEXT], external[FORWARDING_TEXT];
    unsigned internal_port, remote_port, external_port;
    bool from_outside;
};
int forwarding_sessions(void (*each)(void *context, const struct forwarding_session *session), void *context,
                        struct error *error);
