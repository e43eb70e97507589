// A VM's adapter at its switch: the switch core (net/switch.h) on one side, a wire on the other. A wire that breaks the
// rules, or whose other end is gone, is closed, and the port stays: its rules and counters are the adapter's, and
// another wire may come.
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "switch/exchange.h"

static_assert(CONTROL_DROPS == (int)SWITCH_DROPS, "all are told of, in the same order");
static_assert((int)WIRE_MOST == WIRE_HEADER + FRAME_MOST, "whatever the switch passes on fits a wire");

static bool port_send(void *context, const struct network_header *header, const struct iovec *parts, unsigned count)
{
    struct port *port = context;
    const bool sent = port->wire && wire_send(port->wire, header, parts, count);
    if (sent && port->capture)
        capture_frame(port->capture, CAPTURE_INBOUND, parts, count);
    return sent;
}

static void port_spoofed(void *context, const u8 *mac)
{
    struct port *port = context;
    char address[18];
    snprintf(address, sizeof address, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
    control_server_event(port->exchange->server,
                         json_pack("{s:s,s:s,s:s}", "event", "spoofed", "port", port->id, "address", address));
}

struct port *port_find(struct exchange *exchange, const char *id)
{
    for (int i = 0; i < exchange->port_count; i++)
        if (exchange->ports[i].used && !strcmp(exchange->ports[i].id, id))
            return &exchange->ports[i];
    return NULL;
}

static struct port *port_add(struct exchange *exchange, const char *id, const struct switch_rules *rules,
                             struct error *error)
{
    int place = 0;
    while (place < SWITCH_PORTS && exchange->ports[place].used)
        place++;
    struct port *port = &exchange->ports[place < SWITCH_PORTS ? place : 0];
    const struct switch_output output = {port, port_send, port_spoofed};
    const int number = place < SWITCH_PORTS ? switch_add(exchange->device, rules, &output) : -1;
    if (number < 0) {
        error_set(error, "switch '%s' has %d ports already", exchange->config.name, SWITCH_PORTS);
        return NULL;
    }
    *port = (struct port){.exchange = exchange, .used = true, .number = number, .bell = -1};
    snprintf(port->id, sizeof port->id, "%s", id);
    if (place >= exchange->port_count)
        exchange->port_count = place + 1;
    return port;
}

struct port *port_set(struct exchange *exchange, const struct control_port *config, struct error *error)
{
    struct switch_rules rules;
    if (rules_read(&rules, config, error))
        return NULL;
    struct port *port = port_find(exchange, config->id);
    if (!port)
        return port_add(exchange, config->id, &rules, error);
    switch_set_rules(exchange->device, port->number, &rules);
    return port;
}

static void port_unplug(struct port *port)
{
    wire_close(port->wire);
    port->wire = NULL;
}

int port_plug(struct port *port, int memory, int bell, struct error *error)
{
    struct wire *wire = wire_open(memory, bell, WIRE_SWITCH, error);
    if (!wire)
        return -1;
    port_unplug(port);
    port->wire = wire;
    return 0;
}

void port_remove(struct port *port)
{
    struct exchange *exchange = port->exchange;
    port_unplug(port);
    port_capture(port, NULL);
    switch_remove(exchange->device, port->number);
    port->used = false;
    while (exchange->port_count && !exchange->ports[exchange->port_count - 1].used)
        exchange->port_count--;
}

void port_capture(struct port *port, struct capture *capture)
{
    capture_close(port->capture);
    port->capture = capture;
}

// Before each sleep, so that who watches the file sees what has happened.
static void port_look_at_capture(struct port *port)
{
    capture_flush(port->capture);
    const struct capture_result *result = capture_get_result(port->capture);
    if (!result->over)
        return;
    control_server_event(port->exchange->server,
                         json_pack("{s:s,s:s,s:s,s:I,s:s}", "event", "capture-ended", "port", port->id, "path",
                                   capture_path(port->capture), "frames", (json_int_t)result->frames, "text",
                                   result->text));
    port_capture(port, NULL);
}

void port_prepare(struct port *port, struct pollset *set)
{
    port->bell = -1;
    if (port->used && port->capture)
        port_look_at_capture(port);
    if (!port->used || !port->wire)
        return;
    if (wire_is_broken(port->wire) || wire_is_hung_up(port->wire)) {
        port_unplug(port);
        return;
    }
    if (!wire_sleep(port->wire))
        pollset_within(set, 0);
    port->bell = pollset_add(set, wire_bell(port->wire), POLLIN);
}

void port_dispatch(struct port *port, const struct pollset *set, u64 now)
{
    const u8 *record;
    size_t bytes;
    if (!port->used || !port->wire)
        return;
    if (pollset_events(set, port->bell))
        wire_wake(port->wire);
    for (unsigned i = 0; i < EXCHANGE_BATCH && (bytes = wire_receive(port->wire, &record)); i++) {
        struct network_header header;
        memcpy(&header, record, sizeof header);
        const struct iovec frame = {(u8 *)(uintptr_t)record + WIRE_HEADER, bytes - WIRE_HEADER};
        if (port->capture)
            capture_frame(port->capture, CAPTURE_OUTBOUND, &frame, 1);
        switch_receive(port->exchange->device, port->number, &header, &frame, 1, now);
        wire_done(port->wire);
    }
}
static_assert(sizeof(struct network_header) == WIRE_HEADER, "a record begins with it");

void port_counters(const struct port *port, struct control_counters *counters)
{
    const struct switch_counters *from = switch_port_counters(port->exchange->device, port->number);
    *counters = (struct control_counters){
        .connected = port->wire && !wire_is_hung_up(port->wire),
        .frames_sent = from->frames_sent,
        .bytes_sent = from->bytes_sent,
        .frames_received = from->frames_received,
        .bytes_received = from->bytes_received,
    };
    memcpy(counters->id, port->id, sizeof counters->id);
    memcpy(counters->dropped, from->dropped, sizeof counters->dropped);
    memcpy(counters->last_spoofed, from->last_spoofed, sizeof counters->last_spoofed);
}
