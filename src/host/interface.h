// Network interfaces of the host's kernel as ports: a tap interface's other end, and a packet socket on an interface that
// is there already. Both speak the virtio-net header, so what one kernel left undone in a frame the other one does.
//
// Whoever has the right to opens the descriptor (service/link_open.c); here it is only used.
#pragma once

#include "host/network.h"

// A tap descriptor: no packet information, a virtio-net header of 12 bytes, non-blocking. Taken over if it succeeds.
struct network_port *tap_open(int fd, struct error *error);
// A packet socket that is bound to its interface: PACKET_VNET_HDR, PACKET_AUXDATA, non-blocking. Taken over likewise.
struct network_port *packet_open(int fd, struct error *error);
