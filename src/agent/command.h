// The guest agent's commands: a line in, a line out.
#pragma once

#include <jansson.h>

#include "base/error.h"

struct command {
    const char *name;
    bool silent; // no answer when it succeeds
    // A new reference to what "return" is to be, NULL with the reason in `error`. `arguments` may be NULL.
    json_t *(*run)(const json_t *arguments, struct error *error);
};

// The answer to one line, without its end; the caller frees it. NULL: none is due.
char *command_answer(const char *line, size_t bytes);

// Parts of the answers, each in its file.
json_t *system_information(const json_t *arguments, struct error *error);    // system.c
json_t *system_host_name(const json_t *arguments, struct error *error);
json_t *system_shutdown(const json_t *arguments, struct error *error);
json_t *system_get_time(const json_t *arguments, struct error *error);
json_t *system_set_time(const json_t *arguments, struct error *error);
json_t *network_interfaces(const json_t *arguments, struct error *error);    // network.c
