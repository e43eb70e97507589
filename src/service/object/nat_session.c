// Get-NetNatSession: what is translated now, as the kernel's connection tracking tells, or the switches' processes.
#include <jansson.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/uplink.h"
#include "service/forwarding.h"
#include "service/network.h"
#include "service/object/object.h"
#include "service/prefix.h"
#include "service/switchboard.h"
#include "service/uplink.h"

struct session_nat {
    char *name;
    struct prefix prefix;
};

struct session_call {
    struct call *call;
    struct session_nat *nats;
    size_t nat_count;
};

static bool session_nat_is_meant(const struct call *call, const char *name)
{
    const size_t count = call_count(call, "NatName");
    for (size_t i = 0; i < count; i++)
        if (value_name_like(name, call_item(call, "NatName", i)))
            return true;
    return !count;
}

static void session_nat(void *context, const struct network_nat *nat)
{
    struct session_call *sessions = context;
    struct prefix prefix;
    if (!nat->internal_prefix || prefix_read(&prefix, nat->internal_prefix, NULL) < 0 ||
        !session_nat_is_meant(sessions->call, nat->name))
        return;
    sessions->nats = value_reallocate(sessions->nats, (sessions->nat_count + 1) * sizeof *sessions->nats);
    sessions->nats[sessions->nat_count++] = (struct session_nat){value_text_copy(nat->name), prefix};
}

static const char *session_nat_of(const struct session_call *sessions, const char *address)
{
    struct prefix one;
    if (prefix_read(&one, address, NULL) < 0)
        return NULL;
    for (size_t i = 0; i < sessions->nat_count; i++)
        if (prefix_contains(&sessions->nats[i].prefix, &one))
            return sessions->nats[i].name;
    return NULL;
}

static struct value *session_protocol(unsigned protocol)
{
    return protocol == IPPROTO_TCP    ? value_string("TCP")
           : protocol == IPPROTO_UDP  ? value_string("UDP")
           : protocol == IPPROTO_ICMP ? value_string("ICMP")
                                      : value_format("%u", protocol);
}

static void session_put(void *context, const struct forwarding_session *session)
{
    struct session_call *sessions = context;
    const char *nat = session_nat_of(sessions, session->internal);
    if (!nat)
        return;
    struct value *object = value_object("NetNatSession");
    value_put(object, "NatName", value_string(nat));
    value_put(object, "InternalRoutingDomainId", value_string("{00000000-0000-0000-0000-000000000000}"));
    value_put(object, "Protocol", session_protocol(session->protocol));
    value_put(object, "InternalSourceAddress", value_string(session->internal));
    value_put(object, "InternalSourcePort", value_int(session->internal_port));
    value_put(object, "InternalDestinationAddress", value_string(session->remote));
    value_put(object, "InternalDestinationPort", value_int(session->remote_port));
    value_put(object, "ExternalSourceAddress", value_string(session->external));
    value_put(object, "ExternalSourcePort", value_int(session->external_port));
    value_put(object, "ExternalDestinationAddress", value_string(session->remote));
    value_put(object, "ExternalDestinationPort", value_int(session->remote_port));
    call_put(sessions->call, object);
}

static void session_of_switch(void *context, const struct network_switch *network)
{
    const struct session_call *sessions = context;
    json_t *answer = switchboard_question(service_switchboard(sessions->call->service), network->id, "sessions");
    struct control_session *all;
    unsigned count;
    if (control_sessions_read(&all, &count, json_object_get(answer, "sessions"), NULL) == 0) {
        for (unsigned i = 0; i < count; i++) {
            struct forwarding_session session = {.protocol = all[i].protocol,
                                                 .internal_port = all[i].internal_port,
                                                 .remote_port = all[i].remote_port,
                                                 .external_port = all[i].external_port,
                                                 .from_outside = all[i].from_outside};
            snprintf(session.internal, sizeof session.internal, "%s", all[i].internal);
            snprintf(session.remote, sizeof session.remote, "%s", all[i].remote);
            session_put(context, &session);
        }
        free(all);
    }
    json_decref(answer);
}

static void session_get(struct call *call)
{
    struct session_call sessions = {.call = call};
    struct error error;
    network_nats(call->service, session_nat, &sessions, NULL);
    if (!uplink_is_kernel(call->service))
        network_switches(call->service, session_of_switch, &sessions, NULL);
    else if (forwarding_sessions(session_put, &sessions, &error) < 0)
        call_error(call, CATEGORY_READ_ERROR, "Windows System Error 50", NULL, "The request is not supported.\n%s",
                   error.text);
    for (size_t i = 0; i < sessions.nat_count; i++)
        free(sessions.nats[i].name);
    free(sessions.nats);
}

const struct handler object_nat_session[] = {{"Get-NetNatSession", session_get}, {0}};
