// See command.h. The commands, and how they fail, are those of QEMU's "QEMU Guest Agent Protocol Reference".
#include "agent/command.h"

#include <stdlib.h>
#include <string.h>

#include "base/version.h"

static json_t *command_sync(const json_t *arguments, struct error *error)
{
    const json_t *id = json_object_get(arguments, "id");
    if (json_is_integer(id))
        return json_integer(json_integer_value(id));
    error_set(error, "guest-sync: expected an integer 'id'");
    return NULL;
}

static json_t *command_ping(const json_t *arguments, struct error *error)
{
    (void)arguments, (void)error;
    return json_object();
}

static json_t *command_information(const json_t *arguments, struct error *error);

static const struct command commands[] = {
    {.name = "guest-sync", .run = command_sync},
    {.name = "guest-sync-delimited", .run = command_sync},
    {.name = "guest-ping", .run = command_ping},
    {.name = "guest-info", .run = command_information},
    {.name = "guest-shutdown", .silent = true, .run = system_shutdown},
    {.name = "guest-get-osinfo", .run = system_information},
    {.name = "guest-get-host-name", .run = system_host_name},
    {.name = "guest-network-get-interfaces", .run = network_interfaces},
    {.name = "guest-get-time", .run = system_get_time},
    {.name = "guest-set-time", .run = system_set_time},
};

static json_t *command_information(const json_t *arguments, struct error *error)
{
    (void)arguments, (void)error;
    json_t *list = json_array();
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        json_array_append_new(list, json_pack("{s:s, s:b, s:b}", "name", commands[i].name, "enabled", 1,
                                              "success-response", !commands[i].silent));
    return json_pack("{s:s, s:o}", "version", NIDUS_VERSION, "supported_commands", list);
}

static const struct command *command_find(const char *name)
{
    for (size_t i = 0; name && i < ARRAY_SIZE(commands); i++)
        if (!strcmp(commands[i].name, name))
            return &commands[i];
    return NULL;
}

static json_t *command_error(const char *class, const char *text)
{
    return json_pack("{s:{s:s, s:s}}", "error", "class", class, "desc", text);
}

// `delimited` becomes true if the answer begins with the byte 0xFF.
static json_t *command_run(const json_t *request, bool *delimited)
{
    const char *name = json_string_value(json_object_get(request, "execute"));
    const struct command *command = command_find(name);
    struct error error = {0};
    if (!name)
        return command_error("GenericError", "expected a JSON object with 'execute'");
    if (!command) {
        error_set(&error, "The command %s has not been found", name);
        return command_error("CommandNotFound", error.text);
    }
    json_t *result = command->run(json_object_get(request, "arguments"), &error);
    if (!result)
        return command_error("GenericError", error.text[0] ? error.text : "out of memory");
    *delimited = !strcmp(name, "guest-sync-delimited");
    if (!command->silent)
        return json_pack("{s:o}", "return", result);
    json_decref(result);
    return NULL;
}

char *command_answer(const char *line, size_t bytes)
{
    bool delimited = false;
    json_t *request = json_loadb(line, bytes, 0, NULL);
    json_t *answer = command_run(request, &delimited);
    char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
    if (text && delimited) {
        size_t length = strlen(text) + 1;
        char *longer = realloc(text, length + 1);
        if (!longer)
            free(text);
        else
            memmove(longer + 1, longer, length), longer[0] = (char)0xFF;
        text = longer;
    }
    json_decref(request);
    json_decref(answer);
    return text;
}
