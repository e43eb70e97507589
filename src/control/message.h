// Lines of JSON over a descriptor: what comes in is cut into lines of a bounded length, each an object or the end of
// the connection.
#pragma once

#include <sys/types.h>

#include "base/error.h"
#include "base/types.h"
#include "control/control.h"

struct json_t;

enum { MESSAGE_DESCRIPTORS = 4 /* of one message */, MESSAGE_DESCRIPTORS_WAIT = 4 * MESSAGE_DESCRIPTORS };

// Descriptors that came with a message. Whoever takes one puts -1 in its place; the rest is closed after the message.
struct message_descriptors {
    int fds[MESSAGE_DESCRIPTORS];
    unsigned count;
};

struct message_reader {
    size_t start, end; // what was read and not yet taken
    char buffer[CONTROL_LINE + 1];
    int fds[MESSAGE_DESCRIPTORS_WAIT]; // that came, and whose messages were not taken yet
    unsigned fd_count;
};

// Reads once from a socket. The number of bytes, 0 at the end, or a negative errno. -EAGAIN is none for a descriptor
// that would block.
int message_fill(struct message_reader *reader, int fd);

// The next whole line as an object, owned by the caller. 0: *message is set, or NULL: no whole line yet. -1: the other
// side does not keep the rules, and nothing it sends counts from here on.
int message_next(struct message_reader *reader, struct json_t **message, struct error *error);

// The descriptors that a message says it came with ("descriptors": how many). -1: they did not come.
int message_take_descriptors(struct message_reader *reader, const struct json_t *message,
                             struct message_descriptors *descriptors, struct error *error);
void message_close_descriptors(struct message_descriptors *descriptors);
void message_reset(struct message_reader *reader); // for the next connection: closes what came and was not taken

// Sends a line with descriptors, which stay the caller's. The number of bytes sent, which may be fewer, or -1 with
// errno.
ssize_t message_send(int fd, const char *line, size_t bytes, const int *fds, unsigned fd_count);

// The message as a line with its end, owned by the caller; takes over `message`. NULL: out of memory, or too long.
char *message_line(struct json_t *message, size_t *bytes);
