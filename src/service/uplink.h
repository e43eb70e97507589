// What a switch's way out is, by its record: what its process is told (control/switch.h) and given.
#pragma once

#include "base/error.h"
#include "service/network.h"

struct json_t;

enum { UPLINK_DESCRIPTORS = 4 };

struct uplink_plan {
    const char *kind;      // of control/uplink.h, in `config`, too
    struct json_t *config; // struct control_uplink. Two plans with equal ones are the same uplink.
    bool network;          // it is made of the host's sockets
    bool keeps;            // it is there for the host itself: the switch's process runs without a VM, too
};

// 0, and the plan is to be freed; -1 with the reason.
int uplink_plan(struct service *service, const struct network_switch *network, struct uplink_plan *plan,
                struct error *error);
void uplink_plan_free(struct uplink_plan *plan);
// The descriptors that the plan's kind needs, the caller's then: how many, or -1 with the reason.
int uplink_open(struct service *service, const struct network_switch *network, const struct uplink_plan *plan,
                int fds[static UPLINK_DESCRIPTORS], struct error *error);
