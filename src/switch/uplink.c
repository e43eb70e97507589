// The switch's way out: a network port (host/network.h) of whatever kind (outside.h), at which any address may be.
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "switch/exchange.h"

// From the switch. A frame for which the uplink has no room is lost, as on a wire.
static bool uplink_send(void *context, const struct network_header *header, const struct iovec *parts, unsigned count)
{
    struct exchange *exchange = context;
    return network_send(exchange->uplink.network, header, parts, count) == OFFLOAD_PASSED;
}

// To the switch.
static bool uplink_receive(void *context, const struct network_header *header, const struct iovec *parts,
                           unsigned count)
{
    struct exchange *exchange = context;
    switch_receive(exchange->device, exchange->uplink.number, header, parts, count, exchange_now());
    return true;
}

void uplink_close(struct exchange *exchange)
{
    struct uplink *uplink = &exchange->uplink;
    if (uplink->network)
        switch_remove(exchange->device, uplink->number);
    outside_close(uplink->outside);
    json_decref(uplink->told);
    *uplink = (struct uplink){.number = -1};
}

static int uplink_attach(struct exchange *exchange, struct outside *outside, struct error *error)
{
    struct network_port *network = outside_port(outside);
    const struct switch_rules rules = {.uplink = true, .vlan_mode = SWITCH_UNTAGGED};
    const struct switch_output output = {exchange, uplink_send, NULL};
    const int number = network ? switch_add(exchange->device, &rules, &output) : -1;
    if (network && number < 0)
        return error_set(error, "switch '%s' has %d ports already", exchange->config.name, SWITCH_PORTS);
    if (network)
        network->adapter = (struct network_adapter){
            .context = exchange, .receive = uplink_receive, .offloads = OFFLOAD_ALL};
    exchange->uplink = (struct uplink){.outside = outside, .network = network, .number = number};
    return 0;
}

// What can stay stays, and its connections with it. The new one takes the old one's place only when the old one is gone:
// both may need the same ports of the host.
int uplink_set(struct exchange *exchange, const json_t *json, struct message_descriptors *descriptors,
               struct error *error)
{
    struct control_uplink config;
    const int fd = descriptors->count ? descriptors->fds[0] : -1;
    if (control_uplink_read(&config, json, error))
        return -1;
    const int changed = exchange->uplink.outside ? outside_change(exchange->uplink.outside, &config, error) : 0;
    if (changed) {
        control_uplink_free(&config);
        if (changed > 0) {
            json_decref(exchange->uplink.told);
            exchange->uplink.told = json_incref((json_t *)(uintptr_t)json);
        }
        return changed < 0 ? -1 : 0;
    }
    uplink_close(exchange);
    if (descriptors->count)
        descriptors->fds[0] = -1;
    struct outside *outside = outside_open(&config, fd, error);
    if (!outside)
        return -1;
    if (uplink_attach(exchange, outside, error) == 0) {
        exchange->uplink.told = json_incref((json_t *)(uintptr_t)json);
        return 0;
    }
    outside_close(outside);
    return -1;
}

json_t *uplink_sessions(struct exchange *exchange)
{
    struct control_session *sessions = NULL;
    const unsigned count = exchange->uplink.outside ? outside_sessions(exchange->uplink.outside, &sessions) : 0;
    json_t *list = control_sessions_write(sessions, count);
    free(sessions);
    return list;
}

void uplink_prepare(struct exchange *exchange, struct pollset *set)
{
    struct network_port *network = exchange->uplink.network;
    if (network)
        network->type->prepare(network, set);
}

void uplink_dispatch(struct exchange *exchange, const struct pollset *set)
{
    struct network_port *network = exchange->uplink.network;
    if (network)
        network->type->dispatch(network, set);
}
