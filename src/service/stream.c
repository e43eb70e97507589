// See stream.h. Either side may be slow, and neither may fill our memory: while one does not take what it is sent, the
// other is not read.
#include "service/stream.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/tail.h"
#include "cmdlet/value.h"

enum { STREAM_WAITING = 64 << 10, STREAM_TAIL = 4096, STREAM_IDLE_SECONDS = 600 /* without taking anything */ };

struct stream {
    struct evhttp_connection *connection;
    struct bufferevent *client; // the connection's
    struct bufferevent *console;
    bool ending; // the console has ended; the client gets what there is
};

static void stream_end(struct stream *stream)
{
    bufferevent_free(stream->console);
    evhttp_connection_free(stream->connection); // and `client`, and the request
    free(stream);
}

static size_t waiting(struct bufferevent *side) { return evbuffer_get_length(bufferevent_get_output(side)); }

// From one side to the other.
static void stream_read(struct bufferevent *from, void *context)
{
    const struct stream *stream = context;
    struct bufferevent *to = from == stream->client ? stream->console : stream->client;
    bufferevent_write_buffer(to, bufferevent_get_input(from));
    if (waiting(to) > STREAM_WAITING)
        bufferevent_disable(from, EV_READ);
}

// All was taken: the other side is read again.
static void stream_written(struct bufferevent *side, void *context)
{
    struct stream *stream = context;
    if (stream->ending)
        stream_end(stream);
    else
        bufferevent_enable(side == stream->client ? stream->console : stream->client, EV_READ);
}

static void stream_event(struct bufferevent *side, short what, void *context)
{
    struct stream *stream = context;
    if (what & BEV_EVENT_CONNECTED)
        return;
    stream->ending = side == stream->console;
    if (!stream->ending || !waiting(stream->client))
        stream_end(stream);
    else
        bufferevent_disable(stream->console, EV_READ | EV_WRITE);
}

static int console_connect(const char *path, struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return error_set(error, "the console's path is too long: %s", path);
    memcpy(address.sun_path, path, strlen(path));
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    error_set(error, "its console does not answer: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

int stream_begin(struct event_base *base, struct evhttp_request *http, const char *socket, const char *log,
                 struct error *error)
{
    static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                                 "Upgrade: " STREAM_PROTOCOL "\r\n\r\n";
    const struct timeval limit = {.tv_sec = STREAM_IDLE_SECONDS};
    char tail[STREAM_TAIL];
    const int fd = console_connect(socket, error);
    if (fd < 0)
        return -1;
    struct stream *stream = value_allocate(sizeof *stream);
    *stream = (struct stream){.connection = evhttp_request_get_connection(http),
                              .console = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE)};
    if (!stream->console)
        abort(); // out of memory
    stream->client = evhttp_connection_get_bufferevent(stream->connection);
    struct bufferevent *const sides[] = {stream->client, stream->console};
    bufferevent_write(stream->client, answer, sizeof answer - 1);
    bufferevent_write(stream->client, tail, tail_read(log, tail, sizeof tail));
    for (size_t i = 0; i < ARRAY_SIZE(sides); i++) {
        bufferevent_setcb(sides[i], stream_read, stream_written, stream_event, stream);
        bufferevent_setwatermark(sides[i], EV_READ, 0, STREAM_WAITING);
        bufferevent_set_timeouts(sides[i], NULL, &limit);
        bufferevent_enable(sides[i], EV_READ | EV_WRITE);
    }
    return 0;
}
