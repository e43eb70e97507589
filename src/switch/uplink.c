// The switch's way out: a network port (host/network.h) of whatever kind, at which any address may be. Kinds differ in
// what opens them; each brings the descriptors it needs with the command, for this process can open nothing by itself.
#include <jansson.h>
#include <string.h>

#include "switch/exchange.h"

struct uplink_kind {
    const char *name;
    // Takes over the descriptors it uses (puts -1 in their place), if it succeeds.
    struct network_port *(*open)(const json_t *config, struct message_descriptors *descriptors, struct error *error);
};

static struct network_port *uplink_open_slirp(const json_t *config, struct message_descriptors *descriptors,
                                              struct error *error)
{
    (void)config, (void)descriptors;
    return slirp_open(error);
}

static const struct uplink_kind uplink_kinds[] = {
    {"slirp", uplink_open_slirp},
};

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
    if (uplink->network) {
        switch_remove(exchange->device, uplink->number);
        network_close(uplink->network);
    }
    *uplink = (struct uplink){.number = -1};
}

static int uplink_attach(struct exchange *exchange, struct network_port *network, struct error *error)
{
    const struct switch_rules rules = {.uplink = true, .vlan_mode = SWITCH_UNTAGGED};
    const struct switch_output output = {exchange, uplink_send, NULL};
    const int number = switch_add(exchange->device, &rules, &output);
    if (number < 0)
        return error_set(error, "switch '%s' has %d ports already", exchange->config.name, SWITCH_PORTS);
    network->adapter = (struct network_adapter){
        .context = exchange, .receive = uplink_receive, .offloads = OFFLOAD_ALL};
    exchange->uplink = (struct uplink){.network = network, .number = number};
    return 0;
}

int uplink_set(struct exchange *exchange, const char *kind, const json_t *config,
               struct message_descriptors *descriptors, struct error *error)
{
    const struct uplink_kind *found = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(uplink_kinds); i++)
        if (!strcmp(uplink_kinds[i].name, kind))
            found = &uplink_kinds[i];
    if (!found && strcmp(kind, "none"))
        return error_set(error, "there is no uplink of the kind '%.32s'", kind);
    struct network_port *network = found ? found->open(config, descriptors, error) : NULL;
    if (found && !network)
        return -1;
    uplink_close(exchange);
    if (!network || !uplink_attach(exchange, network, error))
        return 0;
    network_close(network);
    return -1;
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
