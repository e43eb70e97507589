// The switch's way out: a network port (host/network.h) of whatever kind (outside.h), at which any address may be; and,
// where that is a physical adapter which the host shares, another one to the host itself.
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/interface.h"
#include "switch/exchange.h"

// From the switch. A frame for which the way has no room is lost, as on a wire.
static bool way_send(void *context, const struct network_header *header, const struct iovec *parts, unsigned count)
{
    struct way *way = context;
    return network_send(way->network, header, parts, count) == OFFLOAD_PASSED;
}

// To the switch.
static bool way_receive(void *context, const struct network_header *header, const struct iovec *parts, unsigned count)
{
    struct way *way = context;
    switch_receive(way->exchange->device, way->number, header, parts, count, exchange_now());
    return true;
}

// `network` NULL: there is none.
static int way_open(struct way *way, struct exchange *exchange, struct network_port *network, struct error *error)
{
    const struct switch_rules rules = {.uplink = true, .vlan_mode = SWITCH_UNTAGGED};
    const struct switch_output output = {way, way_send, NULL};
    const int number = network ? switch_add(exchange->device, &rules, &output) : -1;
    if (!network)
        return 0;
    if (number < 0)
        return error_set(error, "switch '%s' has %d ports already", exchange->config.name, SWITCH_PORTS);
    network->adapter = (struct network_adapter){.context = way, .receive = way_receive, .offloads = OFFLOAD_ALL};
    *way = (struct way){.exchange = exchange, .network = network, .number = number};
    return 0;
}

static void way_close(struct way *way)
{
    if (way->network)
        switch_remove(way->exchange->device, way->number);
    *way = (struct way){0};
}

void uplink_close(struct exchange *exchange)
{
    struct uplink *uplink = &exchange->uplink;
    struct network_port *host = uplink->host.network;
    way_close(&uplink->host);
    network_close(host);
    way_close(&uplink->out);
    outside_close(uplink->outside);
    json_decref(uplink->told);
    *uplink = (struct uplink){0};
}

// The host's adapter that was to come but did not is no reason to be without the outside. Takes over `fd`; -1: none.
static void uplink_open_host(struct exchange *exchange, int fd)
{
    struct error error;
    struct network_port *host = fd >= 0 ? tap_open(fd, &error) : NULL;
    if (fd >= 0 && !host)
        close(fd);
    if (host && way_open(&exchange->uplink.host, exchange, host, &error) < 0)
        network_close(host);
}

static int descriptor_take(struct message_descriptors *descriptors, unsigned index)
{
    const int fd = index < descriptors->count ? descriptors->fds[index] : -1;
    if (fd >= 0)
        descriptors->fds[index] = -1;
    return fd;
}

// What can stay stays, and its connections with it. The new one takes the old one's place only when the old one is
// gone: both may need the same ports of the host.
int uplink_set(struct exchange *exchange, const json_t *json, struct message_descriptors *descriptors,
               struct error *error)
{
    struct control_uplink config;
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
    const bool shared = *config.host;
    struct outside *outside = outside_open(&config, descriptor_take(descriptors, 0), error);
    if (!outside)
        return -1;
    if (way_open(&exchange->uplink.out, exchange, outside_port(outside), error) < 0) {
        outside_close(outside);
        return -1;
    }
    exchange->uplink.outside = outside;
    exchange->uplink.told = json_incref((json_t *)(uintptr_t)json);
    if (shared)
        uplink_open_host(exchange, descriptor_take(descriptors, 1));
    return 0;
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
    struct network_port *ways[] = {exchange->uplink.out.network, exchange->uplink.host.network};
    for (unsigned i = 0; i < ARRAY_SIZE(ways); i++)
        if (ways[i])
            ways[i]->type->prepare(ways[i], set);
}

// Its interface was taken away, by whomever. The service can make another; here nothing is left of it.
static void uplink_lose(struct exchange *exchange, const struct way *way)
{
    const struct control_uplink *config = outside_config(exchange->uplink.outside);
    char text[64 + CONTROL_INTERFACE];
    snprintf(text, sizeof text, "its interface %s is gone",
             way == &exchange->uplink.host ? config->host : config->interface);
    control_server_event(exchange->server, json_pack("{s:s,s:s}", "event", "uplink-lost", "text", text));
    uplink_close(exchange);
}

void uplink_dispatch(struct exchange *exchange, const struct pollset *set)
{
    const struct way *ways[] = {&exchange->uplink.out, &exchange->uplink.host}, *lost = NULL;
    for (unsigned i = 0; i < ARRAY_SIZE(ways); i++) {
        struct network_port *network = ways[i]->network;
        if (network)
            network->type->dispatch(network, set);
        if (network && !network->up)
            lost = ways[i];
    }
    if (lost)
        uplink_lose(exchange, lost);
}
