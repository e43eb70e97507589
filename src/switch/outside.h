// The port behind which the rest of the world is, made from what the service says (control/uplink.h).
#pragma once

#include "control/uplink.h"
#include "host/network.h"

struct outside;

// Takes over `fd` (-1: none came) and the texts of `config`, whatever comes of it. NULL: the reason is in `error`.
struct outside *outside_open(struct control_uplink *config, int fd, struct error *error);
void outside_close(struct outside *outside); // NULL is allowed

struct network_port *outside_port(struct outside *outside); // NULL: of the kind "none"
const struct control_uplink *outside_config(const struct outside *outside);

// Becomes `config`, if that needs no new port: then connections live on. `config`'s texts are taken over. 1: done. 0: no,
// open a new one. -1: a mapping cannot be had; everything is as it was.
int outside_change(struct outside *outside, struct control_uplink *config, struct error *error);

// What is translated here, allocated; 0: nothing, or the kernel does it.
unsigned outside_sessions(struct outside *outside, struct control_session **sessions);
