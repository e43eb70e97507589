// A DHCP server in front of another port: requests are answered here and go no further, all else passes through.
#pragma once

#include "host/network.h"
#include "net/dhcp.h"

// Without a server until dhcp_port_serve. Takes `inner` over, whatever comes of it: NULL is returned with the reason in
// `error` and `inner` closed.
struct network_port *dhcp_port_open(struct network_port *inner, struct error *error);
// Serves like this from now on, NULL: not at all. A server that is told what it does already keeps what it gave away.
int dhcp_port_serve(struct network_port *port, const struct dhcp_config *config, struct error *error);
