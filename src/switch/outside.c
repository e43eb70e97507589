// See outside.h.
#include "switch/outside.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/dhcp_port.h"
#include "host/interface.h"
#include "host/slirp.h"

static_assert((int)CONTROL_SESSIONS == (int)SLIRP_SESSIONS, "all of them can be told");

struct outside {
    struct control_uplink config;
    struct network_port *port;  // what the switch sees; NULL: nothing
    struct network_port *slirp; // what is behind DHCP, of the kind "user"
};

static struct in_addr outside_address(const char *text)
{
    struct in_addr address = {0};
    inet_pton(AF_INET, text, &address);
    return address;
}

static struct slirp_forward outside_forward(const struct control_mapping *mapping)
{
    return (struct slirp_forward){.udp = mapping->protocol == CONTROL_UDP,
                                  .external = outside_address(mapping->external),
                                  .external_port = (u16)mapping->external_port,
                                  .internal = outside_address(mapping->internal),
                                  .internal_port = (u16)mapping->internal_port};
}

static bool outside_mapping_equal(const struct control_mapping *left, const struct control_mapping *right)
{
    return left->protocol == right->protocol && left->external_port == right->external_port &&
           left->internal_port == right->internal_port && !strcmp(left->external, right->external) &&
           !strcmp(left->internal, right->internal);
}

static bool outside_has(const struct control_uplink *config, const struct control_mapping *mapping)
{
    for (unsigned i = 0; i < config->mapping_count; i++)
        if (outside_mapping_equal(&config->mappings[i], mapping))
            return true;
    return false;
}

static void outside_forward_without(struct outside *outside, const struct control_uplink *from, unsigned count,
                                   const struct control_uplink *kept)
{
    for (unsigned i = 0; i < count; i++) {
        const struct slirp_forward forward = outside_forward(&from->mappings[i]);
        if (!outside_has(kept, &from->mappings[i]))
            slirp_forward_remove(outside->slirp, &forward);
    }
}

// Those of `config` that are not among `there`. If one cannot be had, none is.
static int outside_forward_all(struct outside *outside, const struct control_uplink *config,
                              const struct control_uplink *there, struct error *error)
{
    for (unsigned i = 0; i < config->mapping_count; i++) {
        const struct slirp_forward forward = outside_forward(&config->mappings[i]);
        if (outside_has(there, &config->mappings[i]) || slirp_forward_add(outside->slirp, &forward, error) == 0)
            continue;
        outside_forward_without(outside, config, i, there);
        return -1;
    }
    return 0;
}

// A mapping whose port somebody else took meanwhile is no reason to be without the others.
static struct network_port *outside_open_user(struct outside *outside, struct error *error)
{
    const struct control_uplink *config = &outside->config;
    struct slirp_config slirp = {.router = outside_address(config->address),
                                 .bits = (u8)config->bits,
                                 .name_server = outside_address(config->name_server),
                                 .external = outside_address(config->external),
                                 .sockets = config->sockets,
                                 .host_only = !config->nat};
    memcpy(slirp.mac, config->mac, sizeof slirp.mac);
    outside->slirp = slirp_open(&slirp, error);
    for (unsigned i = 0; outside->slirp && i < config->mapping_count; i++) {
        const struct slirp_forward forward = outside_forward(&config->mappings[i]);
        slirp_forward_add(outside->slirp, &forward, NULL);
    }
    return outside->slirp;
}

static int outside_serve_dhcp(struct outside *outside, const struct control_uplink *config, struct error *error)
{
    struct dhcp_config dhcp;
    char servers[sizeof config->dhcp_servers], *save = NULL;
    unsigned count = 0;
    if (!*config->dhcp_first)
        return dhcp_port_serve(outside->port, NULL, error);
    memset(&dhcp, 0, sizeof dhcp); // padding, too: it is compared
    dhcp.router = ntohl(outside_address(config->address).s_addr);
    dhcp.bits = (u8)config->bits;
    dhcp.first = ntohl(outside_address(config->dhcp_first).s_addr);
    dhcp.last = ntohl(outside_address(config->dhcp_last).s_addr);
    memcpy(dhcp.mac, config->mac, sizeof dhcp.mac);
    snprintf(servers, sizeof servers, "%s", config->dhcp_servers);
    for (char *word = strtok_r(servers, " ", &save); word && count < DHCP_SERVERS; word = strtok_r(NULL, " ", &save))
        dhcp.servers[count++] = ntohl(outside_address(word).s_addr);
    return dhcp_port_serve(outside->port, &dhcp, error);
}

// Takes over `fd` and puts -1 in its place if it comes to use.
static int outside_make_port(struct outside *outside, int *fd, struct error *error)
{
    const struct control_uplink *config = &outside->config;
    const bool descriptor = config->kind == CONTROL_UPLINK_HOST || config->kind == CONTROL_UPLINK_PHYSICAL;
    if (descriptor && *fd < 0)
        return error_set(error, "uplink: its descriptor did not come");
    switch (config->kind) {
    case CONTROL_UPLINK_NONE:
        return 0;
    case CONTROL_UPLINK_USER:
        outside->port = outside_open_user(outside, error);
        break;
    case CONTROL_UPLINK_HOST:
        outside->port = tap_open(*fd, error);
        break;
    case CONTROL_UPLINK_PHYSICAL:
        outside->port = packet_open(*fd, error);
        break;
    }
    if (outside->port && descriptor)
        *fd = -1;
    if (outside->port)
        outside->port = dhcp_port_open(outside->port, error);
    return outside->port ? outside_serve_dhcp(outside, config, error) : -1;
}

struct outside *outside_open(struct control_uplink *config, int fd, struct error *error)
{
    struct outside *outside = calloc(1, sizeof *outside);
    if (outside)
        outside->config = *config;
    else
        control_uplink_free(config);
    *config = (struct control_uplink){0};
    const int result = outside ? outside_make_port(outside, &fd, error) : error_set(error, "uplink: out of memory");
    if (fd >= 0)
        close(fd);
    if (result == 0)
        return outside;
    outside_close(outside);
    return NULL;
}

void outside_close(struct outside *outside)
{
    if (!outside)
        return;
    network_close(outside->port);
    control_uplink_free(&outside->config);
    free(outside);
}

struct network_port *outside_port(struct outside *outside)
{
    return outside->port;
}

const struct control_uplink *outside_config(const struct outside *outside)
{
    return &outside->config;
}

int outside_change(struct outside *outside, struct control_uplink *config, struct error *error)
{
    const struct control_uplink *old = &outside->config;
    if (config->kind != old->kind || strcmp(config->interface, old->interface) || strcmp(config->host, old->host))
        return 0;
    if (outside->slirp &&
        (memcmp(config->mac, old->mac, sizeof old->mac) || strcmp(config->address, old->address) ||
         config->bits != old->bits || config->nat != old->nat || strcmp(config->name_server, old->name_server) ||
         strcmp(config->external, old->external)))
        return 0;
    if (outside->slirp) {
        if (outside_forward_all(outside, config, old, error) < 0)
            return -1;
        outside_forward_without(outside, old, old->mapping_count, config);
    }
    if (outside->port && outside_serve_dhcp(outside, config, error) < 0)
        return -1;
    control_uplink_free(&outside->config);
    outside->config = *config;
    *config = (struct control_uplink){0};
    return 1;
}

static struct control_session outside_session(const struct slirp_session *from)
{
    struct control_session session = {.protocol = from->protocol,
                                      .from_outside = from->from_outside,
                                      .internal_port = from->internal_port,
                                      .external_port = from->external_port,
                                      .remote_port = from->remote_port};
    inet_ntop(AF_INET, &from->internal, session.internal, sizeof session.internal);
    inet_ntop(AF_INET, &from->remote, session.remote, sizeof session.remote);
    return session;
}

unsigned outside_sessions(struct outside *outside, struct control_session **sessions)
{
    struct slirp_session *all = outside->slirp ? calloc(SLIRP_SESSIONS, sizeof *all) : NULL;
    const unsigned count = all ? slirp_sessions(outside->slirp, all) : 0;
    *sessions = calloc(count + 1, sizeof **sessions);
    for (unsigned i = 0; *sessions && i < count; i++)
        (*sessions)[i] = outside_session(&all[i]);
    free(all);
    return *sessions ? count : 0;
}
