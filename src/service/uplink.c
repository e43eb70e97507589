// See uplink.h.
#include "service/uplink.h"

#include <jansson.h>
#include <strings.h>

#include "control/uplink.h"

int uplink_plan(struct service *service, const struct network_switch *network, struct uplink_plan *plan,
                struct error *error)
{
    (void)service;
    const bool nat = !strcasecmp(network->type, "Internal");
    const struct control_uplink user = {.kind = CONTROL_UPLINK_USER, .address = "10.0.2.2", .bits = 24, .nat = true,
                                        .dhcp_first = "10.0.2.15", .dhcp_last = "10.0.2.254",
                                        .dhcp_servers = "10.0.2.3", .name_server = "10.0.2.3"};
    const struct control_uplink none = {.kind = CONTROL_UPLINK_NONE};
    *plan = (struct uplink_plan){.kind = nat ? "user" : "none", .network = nat,
                                 .config = control_uplink_write(nat ? &user : &none)};
    return plan->config ? 0 : error_set(error, "out of memory");
}

void uplink_plan_free(struct uplink_plan *plan)
{
    json_decref(plan->config);
    *plan = (struct uplink_plan){0};
}

int uplink_open(struct service *service, const struct network_switch *network, const struct uplink_plan *plan,
                int fds[static UPLINK_DESCRIPTORS], struct error *error)
{
    (void)service, (void)network, (void)plan, (void)fds, (void)error;
    return 0;
}
