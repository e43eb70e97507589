// See message.h.
#include "control/message.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// What came with a read, as far as there is room for it. False: there is not, or the kernel had none.
static bool message_keep_descriptors(struct message_reader *reader, struct msghdr *header)
{
    bool kept = !(header->msg_flags & MSG_CTRUNC);
    for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part; part = CMSG_NXTHDR(header, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
            if (reader->fd_count < MESSAGE_DESCRIPTORS_WAIT) {
                reader->fds[reader->fd_count++] = fd;
            } else {
                close(fd);
                kept = false;
            }
        }
    }
    return kept;
}

int message_fill(struct message_reader *reader, int fd)
{
    if (reader->start) {
        memmove(reader->buffer, reader->buffer + reader->start, reader->end - reader->start);
        reader->end -= reader->start;
        reader->start = 0;
    }
    if (reader->end == sizeof reader->buffer)
        return -EMSGSIZE;
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(MESSAGE_DESCRIPTORS * sizeof(int))];
    struct iovec into = {reader->buffer + reader->end, sizeof reader->buffer - reader->end};
    struct msghdr header = {
        .msg_iov = &into, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t got;
    do
        got = recvmsg(fd, &header, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    if (!message_keep_descriptors(reader, &header))
        return -EMSGSIZE;
    reader->end += (size_t)got;
    return (int)got;
}

int message_take_descriptors(struct message_reader *reader, const json_t *message,
                             struct message_descriptors *descriptors, struct error *error)
{
    const json_int_t count = json_integer_value(json_object_get(message, "descriptors"));
    *descriptors = (struct message_descriptors){.count = 0};
    if (count < 0 || count > MESSAGE_DESCRIPTORS || count > reader->fd_count)
        return error_set(error, "a message came without the %lld descriptors it tells of", (long long)count);
    descriptors->count = (unsigned)count;
    memcpy(descriptors->fds, reader->fds, (size_t)count * sizeof(int));
    reader->fd_count -= descriptors->count;
    memmove(reader->fds, reader->fds + count, reader->fd_count * sizeof(int));
    return 0;
}

void message_close_descriptors(struct message_descriptors *descriptors)
{
    for (unsigned i = 0; i < descriptors->count; i++)
        if (descriptors->fds[i] >= 0)
            close(descriptors->fds[i]);
    descriptors->count = 0;
}

void message_reset(struct message_reader *reader)
{
    while (reader->fd_count)
        close(reader->fds[--reader->fd_count]);
    reader->start = reader->end = 0;
}

ssize_t message_send(int fd, const char *line, size_t bytes, const int *fds, unsigned fd_count)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(MESSAGE_DESCRIPTORS * sizeof(int))] = {0};
    struct iovec from = {(char *)(uintptr_t)line, bytes};
    struct msghdr header = {.msg_iov = &from, .msg_iovlen = 1};
    if (fd_count > MESSAGE_DESCRIPTORS) {
        errno = EINVAL;
        return -1;
    }
    if (fd_count) {
        header.msg_control = control;
        header.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *part = CMSG_FIRSTHDR(&header);
        *part = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(fd_count * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(part), fds, fd_count * sizeof(int));
    }
    return sendmsg(fd, &header, MSG_NOSIGNAL);
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
