// A DHCP server in front of another port: requests are answered here and go no further, all else passes through.
#pragma once

#include "host/network.h"
#include "net/dhcp.h"

// Takes `inner` over, whatever comes of it: NULL is returned with the reason in `error` and `inner` closed.
struct network_port *dhcp_port_open(struct network_port *inner, const struct dhcp_config *config, struct error *error);
struct network_port *dhcp_port_inner(struct network_port *port); // the port behind it; still the DHCP port's
