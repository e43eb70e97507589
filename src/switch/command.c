// What the service may ask of a switch (control/switch.h). Commands are done between two rounds of the loop, on its
// thread, one after the other.
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "switch/exchange.h"

struct exchange_command {
    const char *name;
    // -1 with the reason; *result may be left alone.
    int (*act)(struct exchange *exchange, struct exchange_request *request, json_t **result, struct error *error);
};

static int command_status(struct exchange *exchange, struct exchange_request *request, json_t **result,
                          struct error *error)
{
    (void)request, (void)error;
    *result = json_pack("{s:s,s:s,s:b,s:O?}", "state", control_state_name(CONTROL_RUNNING), "jail", exchange->jail,
                        "network", exchange->config.network, "uplink", exchange->uplink.told);
    return 0;
}

static int command_port(struct exchange *exchange, struct exchange_request *request, json_t **result,
                        struct error *error)
{
    struct message_descriptors *descriptors = &request->descriptors;
    struct control_port config;
    (void)result;
    if (control_port_read(&config, request->message, error))
        return -1;
    struct port *port = port_set(exchange, &config, error);
    control_port_free(&config);
    if (!port)
        return -1;
    if (descriptors->count < CONTROL_WIRE_DESCRIPTORS)
        return 0;
    if (port_plug(port, descriptors->fds[CONTROL_WIRE_MEMORY], descriptors->fds[CONTROL_WIRE_BELL], error))
        return -1;
    descriptors->fds[CONTROL_WIRE_MEMORY] = descriptors->fds[CONTROL_WIRE_BELL] = -1;
    return 0;
}

static const char *command_text(const struct exchange_request *request, const char *key)
{
    const char *text = json_string_value(json_object_get(request->message, key));
    return text ? text : "";
}

static int command_remove(struct exchange *exchange, struct exchange_request *request, json_t **result,
                          struct error *error)
{
    struct port *port = port_find(exchange, command_text(request, "port"));
    (void)result, (void)error;
    if (port)
        port_remove(port);
    return 0;
}

static int command_counters(struct exchange *exchange, struct exchange_request *request, json_t **result,
                            struct error *error)
{
    const json_int_t first = json_integer_value(json_object_get(request->message, "first"));
    json_t *list = json_array();
    json_int_t at = 0;
    bool more = false;
    (void)error;
    for (int i = 0; i < exchange->port_count; i++) {
        struct control_counters counters;
        if (!exchange->ports[i].used || at++ < first)
            continue;
        more = json_array_size(list) == CONTROL_COUNTERS;
        if (more)
            break;
        port_counters(&exchange->ports[i], &counters);
        json_array_append_new(list, control_counters_write(&counters));
    }
    *result = json_pack("{s:o,s:b}", "ports", list, "more", more);
    return 0;
}

// What access rules that meter have counted, in the order of the port's rules.
static int command_meters(struct exchange *exchange, struct exchange_request *request, json_t **result,
                          struct error *error)
{
    const struct port *port = port_find(exchange, command_text(request, "port"));
    if (!port)
        return error_set(error, "it is not connected to the switch '%s'", exchange->config.name);
    const struct switch_rules *rules = switch_port_rules(exchange->device, port->number);
    json_t *list = json_array();
    for (unsigned i = 0; i < rules->acl_count; i++)
        json_array_append_new(list, json_integer((json_int_t)rules->acls[i].metered));
    *result = json_pack("{s:o}", "bytes", list);
    return 0;
}

static json_t *capture_json(const struct port *port)
{
    const struct capture_result *result = capture_get_result(port->capture);
    return json_pack("{s:s,s:s,s:I,s:I}", "port", port->id, "path", capture_path(port->capture), "frames",
                     (json_int_t)result->frames, "bytes", (json_int_t)result->bytes);
}

// With a file a capture begins, and the one there was ends; without, it ends.
static int command_capture(struct exchange *exchange, struct exchange_request *request, json_t **result,
                           struct error *error)
{
    struct message_descriptors *descriptors = &request->descriptors;
    const json_int_t limit = json_integer_value(json_object_get(request->message, "limit"));
    struct port *port = port_find(exchange, command_text(request, "port"));
    if (!port)
        return error_set(error, "it is not connected to the switch '%s'", exchange->config.name);
    if (!descriptors->count) {
        if (!port->capture)
            return error_set(error, "nothing is captured there");
        *result = capture_json(port);
        port_capture(port, NULL);
        return 0;
    }
    struct capture *capture = capture_open(descriptors->fds[0], limit > 0 ? (u64)limit : 0,
                                           command_text(request, "label"), command_text(request, "path"), error);
    if (!capture)
        return -1;
    descriptors->fds[0] = -1;
    port_capture(port, capture);
    return 0;
}

static int command_captures(struct exchange *exchange, struct exchange_request *request, json_t **result,
                            struct error *error)
{
    json_t *list = json_array();
    (void)request, (void)error;
    for (int i = 0; i < exchange->port_count && json_array_size(list) < CONTROL_COUNTERS; i++)
        if (exchange->ports[i].used && exchange->ports[i].capture)
            json_array_append_new(list, capture_json(&exchange->ports[i]));
    *result = json_pack("{s:o}", "captures", list);
    return 0;
}

static int command_uplink(struct exchange *exchange, struct exchange_request *request, json_t **result,
                          struct error *error)
{
    (void)result;
    return uplink_set(exchange, json_object_get(request->message, "config"), &request->descriptors, error);
}

static int command_sessions(struct exchange *exchange, struct exchange_request *request, json_t **result,
                            struct error *error)
{
    (void)request, (void)error;
    *result = json_pack("{s:o}", "sessions", uplink_sessions(exchange));
    return 0;
}

static int command_end(struct exchange *exchange, struct exchange_request *request, json_t **result,
                       struct error *error)
{
    (void)request, (void)result, (void)error;
    exchange->over = true;
    return 0;
}

static const struct exchange_command exchange_commands[] = {
    {"status", command_status},     {"port", command_port},     {"remove", command_remove},
    {"counters", command_counters}, {"uplink", command_uplink}, {"sessions", command_sessions},
    {"meters", command_meters},     {"capture", command_capture},   {"captures", command_captures},
    {"end", command_end},
};

// Takes over the descriptors if there is room.
static int exchange_enqueue(struct exchange *exchange, const struct exchange_request *request)
{
    pthread_mutex_lock(&exchange->lock);
    const bool room = exchange->request_count < EXCHANGE_COMMANDS;
    if (room) {
        exchange->requests[exchange->request_count++] = *request;
        json_incref(request->message);
    }
    pthread_mutex_unlock(&exchange->lock);
    const u64 one = 1;
    ssize_t ignored = write(exchange->wake, &one, sizeof one); // fails only if the thread is about to wake
    (void)ignored;
    return room ? 0 : -1;
}

void exchange_on_command(void *context, struct control_server *server, struct control_ticket ticket, const char *name,
                         const json_t *message, struct message_descriptors *descriptors)
{
    struct exchange *exchange = context;
    struct exchange_request request = {
        .ticket = ticket, .message = (json_t *)(uintptr_t)message, .descriptors = *descriptors};
    struct error error;
    for (size_t i = 0; i < ARRAY_SIZE(exchange_commands); i++)
        if (!strcmp(exchange_commands[i].name, name))
            request.command = &exchange_commands[i];
    if (!request.command) {
        error_set(&error, "this switch knows no command '%.32s'", name);
    } else if (exchange_enqueue(exchange, &request)) {
        error_set(&error, "'%s' does not come: %d commands wait already", name, EXCHANGE_COMMANDS);
    } else {
        descriptors->count = 0;
        return;
    }
    control_server_answer(server, ticket, NULL, &error);
}

static bool exchange_dequeue(struct exchange *exchange, struct exchange_request *request)
{
    pthread_mutex_lock(&exchange->lock);
    const bool found = exchange->request_count != 0;
    if (found) {
        *request = exchange->requests[0];
        exchange->request_count--;
        memmove(exchange->requests, exchange->requests + 1,
                exchange->request_count * sizeof exchange->requests[0]);
    }
    pthread_mutex_unlock(&exchange->lock);
    return found;
}

void exchange_do_commands(struct exchange *exchange)
{
    struct exchange_request request;
    u64 count;
    ssize_t ignored = read(exchange->wake, &count, sizeof count);
    (void)ignored;
    while (exchange_dequeue(exchange, &request)) {
        struct error error;
        json_t *result = NULL;
        const int failed = request.command->act(exchange, &request, &result, &error);
        control_server_answer(exchange->server, request.ticket, result, failed ? &error : NULL);
        json_decref(request.message);
        message_close_descriptors(&request.descriptors);
    }
}
