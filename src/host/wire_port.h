// A network adapter's port whose cable leads to a switch in another process (net/wire.h). The cable can be plugged and
// pulled while the adapter is in use; without one the port's link is down and frames are lost. A cable whose other end
// is gone or lies keeps the link as it is, for the switch comes back with another: the guest shall not notice more than
// lost frames.
#pragma once

#include "base/error.h"
#include "host/network.h"

// `awaited`: somebody will plug a cable in at once, or pull what is not there. So long the link is up, and frames wait:
// a guest that goes on elsewhere announces itself, and notices nothing else.
struct network_port *wire_port_create(bool awaited, struct error *error);

// Another adapter has the port now (a VM was reset): nothing of the old one's waits.
void wire_port_begin(struct network_port *port);

// Any thread: takes effect when the adapter's thread next comes by. Plugging takes over both descriptors (net/wire.h)
// if it succeeds, and replaces what was there.
int wire_port_plug(struct network_port *port, int memory, int bell, struct error *error);
void wire_port_pull(struct network_port *port);
