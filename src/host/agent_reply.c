// See agent_reply.h. The protocol is described in QEMU's "QEMU Guest Agent Protocol Reference".
#include "host/agent_reply.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { AGENT_INTERFACES = 32, AGENT_ADDRESSES = 16 }; // looked at, of each interface

bool agent_lines_add(struct agent_lines *lines, u8 byte)
{
    if (lines->used && lines->text[lines->used - 1] == '\n')
        lines->used = 0; // the line that the last call told of
    if (byte == 0xFF) {
        lines->used = 0;
        lines->dropping = false;
        return false;
    }
    if (lines->used == sizeof lines->text) {
        lines->used = 0;
        lines->dropping = true;
    }
    if (lines->dropping) {
        lines->dropping = byte != '\n';
        return false;
    }
    lines->text[lines->used++] = (char)byte;
    return byte == '\n' && lines->used > 1;
}

size_t agent_request(char line[AGENT_REQUEST], enum agent_question question, u64 number)
{
    static const char *const names[] = {
        [AGENT_ASK_SYNC] = "guest-sync",
        [AGENT_ASK_PING] = "guest-ping",
        [AGENT_ASK_INFO] = "guest-info",
        [AGENT_ASK_SYSTEM] = "guest-get-osinfo",
        [AGENT_ASK_HOST_NAME] = "guest-get-host-name",
        [AGENT_ASK_INTERFACES] = "guest-network-get-interfaces",
        [AGENT_ASK_SHUTDOWN] = "guest-shutdown",
        [AGENT_ASK_SET_TIME] = "guest-set-time",
    };
    static const char *const modes[] = {"powerdown", "halt", "reboot"};
    char arguments[80] = "";
    if (question == AGENT_ASK_SYNC)
        snprintf(arguments, sizeof arguments, ",\"arguments\":{\"id\":%" PRIu64 "}", number);
    else if (question == AGENT_ASK_SHUTDOWN)
        snprintf(arguments, sizeof arguments, ",\"arguments\":{\"mode\":\"%s\"}", modes[number % ARRAY_SIZE(modes)]);
    else if (question == AGENT_ASK_SET_TIME)
        snprintf(arguments, sizeof arguments, ",\"arguments\":{\"time\":%" PRIu64 "}", number);
    return (size_t)snprintf(line, AGENT_REQUEST, "{\"execute\":\"%s\"%s}\n", names[question], arguments);
}

// A string of the guest's: cut to its place between characters of UTF-8 (which jansson has checked), without control
// characters.
static void agent_take(char *to, size_t bytes, const json_t *value)
{
    const char *from = json_string_value(value);
    size_t length = from ? strlen(from) : 0;
    if (length > bytes - 1)
        for (length = bytes - 1; length && ((u8)from[length] & 0xC0) == 0x80; length--)
            continue;
    for (size_t i = 0; i < length; i++)
        to[i] = (u8)from[i] < ' ' || from[i] == 0x7F ? '?' : from[i];
    to[length] = 0;
}

static bool agent_read_info(const json_t *value, struct agent_status *status)
{
    agent_take(status->version, sizeof status->version, json_object_get(value, "version"));
    return json_is_object(value);
}

static bool agent_read_system(const json_t *value, struct agent_status *status)
{
    agent_take(status->system, sizeof status->system, json_object_get(value, "pretty-name"));
    agent_take(status->kernel, sizeof status->kernel, json_object_get(value, "kernel-release"));
    return json_is_object(value);
}

static bool agent_read_host_name(const json_t *value, struct agent_status *status)
{
    agent_take(status->host_name, sizeof status->host_name, json_object_get(value, "host-name"));
    return json_is_object(value);
}

// An address is a word of hexadecimal digits, dots and colons; anything else is none.
static bool agent_is_address(const char *text)
{
    size_t length = text ? strlen(text) : 0;
    return length && length < 46 && strspn(text, "0123456789abcdefABCDEF.:") == length;
}

static void agent_add_address(struct agent_status *status, const char *address)
{
    size_t used = strlen(status->addresses), length = strlen(address);
    if (used + length + 2 > sizeof status->addresses)
        return;
    if (used)
        status->addresses[used++] = ' ';
    memcpy(status->addresses + used, address, length + 1);
}

static bool agent_read_interfaces(const json_t *value, struct agent_status *status)
{
    status->addresses[0] = 0;
    for (size_t i = 0; i < json_array_size(value) && i < AGENT_INTERFACES; i++) {
        const json_t *interface = json_array_get(value, i), *list = json_object_get(interface, "ip-addresses");
        const char *name = json_string_value(json_object_get(interface, "name"));
        for (size_t j = 0; j < json_array_size(list) && j < AGENT_ADDRESSES; j++) {
            const char *address = json_string_value(json_object_get(json_array_get(list, j), "ip-address"));
            if (agent_is_address(address) && !(name && !strcmp(name, "lo")))
                agent_add_address(status, address);
        }
    }
    return json_is_array(value);
}

static bool agent_read(const json_t *value, enum agent_question question, u64 number, struct agent_status *status)
{
    switch (question) {
    case AGENT_ASK_SYNC: return json_is_integer(value) && (u64)json_integer_value(value) == number;
    case AGENT_ASK_INFO: return agent_read_info(value, status);
    case AGENT_ASK_SYSTEM: return agent_read_system(value, status);
    case AGENT_ASK_HOST_NAME: return agent_read_host_name(value, status);
    case AGENT_ASK_INTERFACES: return agent_read_interfaces(value, status);
    default: return json_is_object(value);
    }
}

enum agent_answer agent_reply(const char *line, size_t bytes, enum agent_question question, u64 number,
                              struct agent_status *status)
{
    json_t *reply = json_loadb(line, bytes, 0, NULL);
    const json_t *value = json_object_get(reply, "return");
    enum agent_answer answer = AGENT_ANSWER_NONE;
    if (value && agent_read(value, question, number, status))
        answer = AGENT_ANSWER_YES;
    else if (!value && question != AGENT_ASK_SYNC && json_is_object(json_object_get(reply, "error")))
        answer = AGENT_ANSWER_ERROR;
    json_decref(reply);
    return answer;
}
