// See message.h.
#include "control/message.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int message_fill(struct message_reader *reader, int fd)
{
    if (reader->start) {
        memmove(reader->buffer, reader->buffer + reader->start, reader->end - reader->start);
        reader->end -= reader->start;
        reader->start = 0;
    }
    if (reader->end == sizeof reader->buffer)
        return -EMSGSIZE;
    ssize_t got;
    do
        got = read(fd, reader->buffer + reader->end, sizeof reader->buffer - reader->end);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    reader->end += (size_t)got;
    return (int)got;
}

int message_next(struct message_reader *reader, json_t **message, struct error *error)
{
    char *line = reader->buffer + reader->start;
    size_t length = reader->end - reader->start;
    char *end = memchr(line, '\n', length);
    json_error_t reason;
    *message = NULL;
    if (!end)
        return length > CONTROL_LINE ? error_set(error, "a message is longer than %d bytes", CONTROL_LINE) : 0;
    json_t *json = json_loadb(line, (size_t)(end - line), JSON_REJECT_DUPLICATES, &reason);
    if (!json)
        return error_set(error, "a message is not JSON: %s", reason.text);
    if (!json_is_object(json)) {
        json_decref(json);
        return error_set(error, "a message is no JSON object");
    }
    reader->start += (size_t)(end - line) + 1;
    *message = json;
    return 0;
}

char *message_line(json_t *message, size_t *bytes)
{
    size_t length = message ? json_dumpb(message, NULL, 0, JSON_COMPACT) : 0;
    char *line = length && length < CONTROL_LINE ? malloc(length + 1) : NULL;
    if (line) {
        json_dumpb(message, line, length, JSON_COMPACT);
        line[length] = '\n';
        *bytes = length + 1;
    }
    json_decref(message);
    return line;
}
