// What is behind the switches, from the records: the host's own adapters, the networks on them, NAT, DHCP, physical
// adapters. Two ways lead there, with the same results:
//
//   Kernel   the host's adapter on an Internal switch is a real interface ("vEthernet (NAME)"), and the kernel forwards
//            and translates. Taken where the service may (CAP_NET_ADMIN) and the kernel can.
//   User     all of it is made of the sockets of the switch's own process (libslirp), without any privilege. Taken
//            otherwise, and where the host's setting says so (Set-VMHost -NetworkBackend User).
#pragma once

#include "base/error.h"
#include "control/uplink.h"
#include "service/network.h"
#include "service/prefix.h"

// Of the switch that is there without having been made; the same on every host, as Windows has it.
#define UPLINK_DEFAULT_SWITCH "c08cb7b8-9b3c-408e-8e30-5e16a3aeb444"

enum { UPLINK_DESCRIPTORS = 4 };

struct json_t;
struct uplinks; // one a service: what it knows about the kernel, and a lock

struct uplinks *uplinks_create(void); // NULL: out of memory
void uplinks_destroy(struct uplinks *uplinks);

// Any thread, all below.

// The Default Switch is in the records, with a network that nobody else has.
int uplink_default_switch(struct service *service, struct error *error);
bool uplink_is_default(const struct network_switch *network);

bool uplink_is_kernel(struct service *service);           // the way that is taken
const char *uplink_backend(struct service *service, const struct network_switch *network); // "Kernel", "User", "None"
void uplink_interface(struct service *service, const char *switch_id, char name[CONTROL_INTERFACE + 1]);
// Whether the host has an adapter of its own on the switch, "vEthernet (NAME)": on an Internal one, and on an External
// one that it shares where the kernel can make one.
bool uplink_has_host(struct service *service, const struct network_switch *network);
// The host's first address at an adapter of its own, `text` gets it; IPv6's of the link alone do not count. False:
// none.
bool uplink_host_uses(const char *adapter, char text[PREFIX_TEXT]);

// What a switch's process is to be told, by the records.
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
// The descriptors that the plan's kind needs, the caller's then: how many, or -1 with the reason. None is right where
// the switch's process has it already. What the kernel has of the switch is made if it is not there.
int uplink_open(struct service *service, const struct network_switch *network, const struct uplink_plan *plan,
                int fds[static UPLINK_DESCRIPTORS], struct error *error);

// After a change of the records: the kernel's interfaces, addresses and rules become what they say. -1: not all of it;
// the reason is in `error`.
int uplink_apply(struct service *service, struct error *error);
// A switch is gone from the records, or is to be made of sockets from now on.
void uplink_remove(struct service *service, const char *switch_id);

// Whether a network is in use on one of the host's own adapters; `owner` gets its name.
bool uplink_is_taken(struct service *service, const struct prefix *network, char *owner, size_t bytes);

// The address of this host's own that a NAT with this external prefix has outside; false: none of its adapters has one.
bool uplink_external(const struct prefix *prefix, char address[CONTROL_ADDRESS + 1]);
