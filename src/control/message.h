// Lines of JSON over a descriptor: what comes in is cut into lines of a bounded length, each an object or the end of
// the connection.
#pragma once

#include "base/error.h"
#include "base/types.h"
#include "control/control.h"

struct json_t;

struct message_reader {
    size_t start, end; // what was read and not yet taken
    char buffer[CONTROL_LINE + 1];
};

// Reads once. The number of bytes, 0 at the end, or a negative errno. -EAGAIN is none for a descriptor that would
// block.
int message_fill(struct message_reader *reader, int fd);

// The next whole line as an object, owned by the caller. 0: *message is set, or NULL: no whole line yet. -1: the other
// side does not keep the rules, and nothing it sends counts from here on.
int message_next(struct message_reader *reader, struct json_t **message, struct error *error);

// The message as a line with its end, owned by the caller; takes over `message`. NULL: out of memory, or too long.
char *message_line(struct json_t *message, size_t *bytes);
