// The control channel's foreign text: configurations, and lines of messages and what is in them. The first byte picks
// one.
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/control.h"
#include "control/message.h"
#include "control/uplink.h"
#include "switch/exchange.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// What was taken is written, and what was written is taken.
static void fuzz_config(const char *text, size_t bytes)
{
    struct control_config config;
    struct error error;
    if (control_config_read(&config, text, bytes, &error))
        return;
    char *written = control_config_write(&config);
    control_config_free(&config);
    if (!written || control_config_read(&config, written, strlen(written), &error))
        abort();
    control_config_free(&config);
    free(written);
}

static void fuzz_uplink(const json_t *json)
{
    struct control_uplink uplink;
    struct control_session *sessions;
    struct error error;
    unsigned count;
    if (control_sessions_read(&sessions, &count, json_object_get(json, "sessions"), &error) == 0)
        free(sessions);
    if (control_uplink_read(&uplink, json, &error))
        return;
    json_t *written = control_uplink_write(&uplink);
    control_uplink_free(&uplink);
    if (!written || control_uplink_read(&uplink, written, &error))
        abort();
    control_uplink_free(&uplink);
    json_decref(written);
}

static void fuzz_switch(const json_t *message)
{
    struct control_port port;
    struct switch_rules rules;
    struct control_counters counters;
    struct error error;
    control_counters_read(&counters, message, &error);
    if (control_port_read(&port, message, &error))
        return;
    rules_read(&rules, &port, &error);
    json_decref(control_port_write(&port));
    control_port_free(&port);
}

static void fuzz_messages(const uint8_t *data, size_t size)
{
    static struct message_reader reader;
    struct control_status status;
    struct error error;
    json_t *message;
    int ends[2];
    if (size > 32768 || socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) // what one takes without a reader
        return;
    reader.start = reader.end = 0;
    if (write(ends[1], data, size) != (ssize_t)size)
        abort();
    close(ends[1]);
    while (message_fill(&reader, ends[0]) > 0)
        while (!message_next(&reader, &message, &error) && message) {
            control_status_read(&status, message, &error);
            fuzz_uplink(message);
            fuzz_switch(message);
            json_decref(message);
        }
    close(ends[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    if (data[0] & 1)
        fuzz_config((const char *)data + 1, size - 1);
    else
        fuzz_messages(data + 1, size - 1);
    return 0;
}
