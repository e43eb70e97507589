// See client.h. One connection a request: on a Unix socket that costs nothing, and there is no state to lose. The
// service is ours, but its answers hold what guests and files say, so that every length is bounded all the same.
#include "shell/client.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/place.h"
#include "cmdlet/json.h"
#include "shell/remote.h"
#include "shell/start.h"

enum { CLIENT_LINE = 16 << 20, CLIENT_BUFFER = 64 << 10, START_STEP_MS = 50, LOOK_MS = 100 };

struct client {
    char socket[PLACE_BYTES];
    struct remote_server server; // no `url`: the socket
    struct remote *remote;       // TLS on `fd`, or NULL
    volatile sig_atomic_t fd; // -1: not connected
    volatile sig_atomic_t cancelled;
    bool (*stopped)(void *context); // may be NULL
    void *stopped_context;
    bool in_session; // we started it, in a login session
    char buffer[CLIENT_BUFFER];
    size_t at, filled;
};

struct client *client_create(const struct remote_server *server)
{
    struct client *client = value_allocate(sizeof *client);
    client->fd = -1;
    client->server = *server;
    place_socket(client->socket);
    return client;
}

bool client_is_remote(const struct client *client) { return client->server.url; }

static void client_disconnect(struct client *client)
{
    const int fd = client->fd;
    client->fd = -1;
    remote_end(client->remote);
    client->remote = NULL;
    if (fd >= 0)
        close(fd);
    client->at = client->filled = 0;
}

void client_destroy(struct client *client)
{
    client_disconnect(client);
    free(client);
}

void client_cancel(struct client *client)
{
    client->cancelled = 1;
    if (client->fd >= 0)
        shutdown(client->fd, SHUT_RDWR);
}

void client_stop_when(struct client *client, bool (*stopped)(void *context), void *context)
{
    client->stopped = stopped;
    client->stopped_context = context;
}

// --- Finding the service ---------------------------------------------------------------------------------------------
static int client_connect(struct client *client, struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(client->socket) >= sizeof address.sun_path)
        return error_set(error, "socket '%s': the name is too long, %zu bytes are the most", client->socket,
                         sizeof address.sun_path - 1);
    memcpy(address.sun_path, client->socket, strlen(client->socket) + 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set(error, "socket: %s", strerror(errno));
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        const int why = errno;
        close(fd);
        error_set(error, "no service answers at '%s': %s%s", client->socket, strerror(why),
                  why == EACCES ? "; it is another user's" : "");
        errno = why;
        return -1;
    }
    client->fd = fd;
    return 0;
}

static int client_start(struct client *client, struct error *error)
{
    const enum start_result result = start_service(client->socket, error);
    if (result == START_FAILED)
        return -1;
    client->in_session = result == START_SESSION;
    for (int tries = 0; tries < START_MS / START_STEP_MS; tries++) {
        if (client_connect(client, error) == 0)
            return 0;
        if (result != START_RACED)
            break;
        poll(NULL, 0, START_STEP_MS);
    }
    return -1;
}

static int client_connect_remote(struct client *client, struct error *error)
{
    client->fd = remote_connect(&client->server, error);
    client->remote = client->fd < 0 ? NULL : remote_begin(&client->server, client->fd, error);
    return client->remote ? 0 : -1;
}

static int client_reach(struct client *client, bool start, struct error *error)
{
    client_disconnect(client);
    client->cancelled = 0;
    if (client->server.url)
        return client_connect_remote(client, error);
    if (client_connect(client, error) == 0)
        return 0;
    return start && (errno == ENOENT || errno == ECONNREFUSED) ? client_start(client, error) : -1;
}

// --- HTTP ------------------------------------------------------------------------------------------------------------
static int client_send(struct client *client, const char *method, const char *path, const char *headers,
                       const char *body, struct error *error)
{
    char token[REMOTE_TOKEN + 1];
    if (remote_token(&client->server, token, error) < 0)
        return -1;
    char *text = value_text("%s %s HTTP/1.1\r\nHost: nidus\r\n%s%s%s%sContent-Length: %zu\r\n\r\n%s", method, path,
                            headers, token[0] ? "Authorization: Bearer " : "",
                            token, token[0] ? "\r\n" : "", strlen(body), body);
    size_t left = strlen(text);
    for (const char *at = text; left;) {
        const ssize_t sent = client->remote ? remote_send(client->remote, at, left)
                                            : send(client->fd, at, left, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR && !client->cancelled)
            continue;
        if (sent <= 0)
            break;
        at += sent;
        left -= (size_t)sent;
    }
    free(text);
    return left ? error_set(error, "the service hung up: %s", strerror(errno)) : 0;
}

// Waits until there is something to read. TLS keeps nothing back: the buffer has room for its longest record.
static void client_wait(struct client *client)
{
    struct pollfd wait = {.fd = client->fd, .events = POLLIN};
    while (client->stopped && !client->cancelled && client->fd >= 0 && poll(&wait, 1, LOOK_MS) <= 0)
        client->cancelled = client->stopped(client->stopped_context);
}

// The next byte; -1: there is none any more.
static int client_byte(struct client *client)
{
    while (client->at == client->filled) {
        client_wait(client);
        if (client->stopped && client->cancelled)
            return -1;
        const ssize_t got = client->fd < 0   ? 0
                            : client->remote ? remote_receive(client->remote, client->buffer, sizeof client->buffer)
                                             : recv(client->fd, client->buffer, sizeof client->buffer, 0);
        if (got < 0 && errno == EINTR && !client->cancelled)
            continue;
        if (got <= 0)
            return -1;
        client->at = 0;
        client->filled = (size_t)got;
    }
    return (unsigned char)client->buffer[client->at++];
}

static int header_line(struct client *client, char *line, size_t room)
{
    size_t at = 0;
    for (int byte; (byte = client_byte(client)) != '\n';) {
        if (byte < 0)
            return -1;
        if (byte != '\r' && at < room - 1)
            line[at++] = (char)byte;
    }
    line[at] = 0;
    return (int)at;
}

// The body, in chunks or to the end of the connection.
struct body {
    struct client *client;
    bool chunked;
    bool first, over;
    size_t left; // of the chunk
    int status;
};

static int body_begin(struct body *body, struct client *client, struct error *error)
{
    char line[1024];
    *body = (struct body){.client = client, .first = true};
    if (header_line(client, line, sizeof line) < 0 || sscanf(line, "HTTP/1.%*d %d", &body->status) != 1)
        return error_set(error, client->cancelled ? "it was cancelled" : "the service hung up without an answer");
    for (int headers = 0, length; (length = header_line(client, line, sizeof line)); headers++) {
        if (length < 0 || headers > 100)
            return error_set(error, "the service's answer is no HTTP");
        body->chunked |= !strcasecmp(line, "Transfer-Encoding: chunked");
    }
    return 0;
}

static int body_byte(struct body *body)
{
    if (!body->chunked)
        return client_byte(body->client);
    while (!body->left && !body->over) {
        char line[64];
        if (!body->first && header_line(body->client, line, sizeof line) != 0)
            return -1;
        body->first = false;
        if (header_line(body->client, line, sizeof line) <= 0)
            return -1;
        body->left = strtoul(line, NULL, 16);
        body->over = !body->left;
    }
    if (body->over)
        return -1;
    body->left--;
    return client_byte(body->client);
}

// The next line without its end, the caller's; NULL: there is none.
static char *body_line(struct body *body)
{
    size_t room = 4096, at = 0;
    char *line = value_allocate(room);
    int byte;
    while ((byte = body_byte(body)) >= 0 && byte != '\n' && at < CLIENT_LINE) {
        if (at + 1 == room)
            line = value_reallocate(line, room *= 2);
        line[at++] = (char)byte;
    }
    line[at] = 0;
    if (at)
        return line;
    free(line);
    return NULL;
}

// --- Answers ---------------------------------------------------------------------------------------------------------
static void tell(const struct reply *reply, enum error_category category, const char *id, const char *message)
{
    reply->error(reply->context, &(struct cmdlet_error){.category = category, .id = id, .message = message,
                                                        .exception = "ServiceException"});
}

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void tell_error(const struct reply *reply, const json_t *error)
{
    const char *category = text_of(error, "category"), *message = text_of(error, "message");
    reply->error(reply->context, &(struct cmdlet_error){
        .category = category ? error_category_find(category) : CATEGORY_NOT_SPECIFIED, .id = text_of(error, "id"),
        .exception = text_of(error, "exception"), .target = text_of(error, "target"),
        .message = message ? message : "The service told no reason."});
}

static void tell_output(const struct reply *reply, const json_t *output)
{
    struct error error;
    struct value *object = json_to_value(output, &error);
    if (!object) {
        tell(reply, CATEGORY_READ_ERROR, "ServiceAnswer", error.text);
        return;
    }
    reply->output(reply->context, object);
    value_unref(object);
}

// True: it was the last piece.
static bool tell_piece(const struct reply *reply, const json_t *piece)
{
    const json_t *output = json_object_get(piece, "output"), *error = json_object_get(piece, "error");
    const json_t *progress = json_object_get(piece, "progress");
    const struct {
        const char *kind;
        void (*told)(void *context, const char *text);
    } texts[] = {{"warning", reply->warning}, {"verbose", reply->verbose}, {"whatIf", reply->what_if},
                 {"host", reply->host}};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        if (text_of(piece, texts[i].kind) && texts[i].told)
            texts[i].told(reply->context, text_of(piece, texts[i].kind));
    if (output)
        tell_output(reply, output);
    if (error)
        tell_error(reply, error);
    if (progress && reply->progress)
        reply->progress(reply->context, text_of(progress, "activity"), text_of(progress, "status"),
                        (int)json_integer_value(json_object_get(progress, "percent")));
    return json_object_get(piece, "end");
}

static char *request_text(const struct request *request)
{
    json_t *body = json_object();
    json_object_set_new(body, "parameters", json_from_value(request->parameters, true));
    json_object_set_new(body, "whatIf", json_boolean(request->what_if));
    json_object_set_new(body, "verbose", json_boolean(request->verbose));
    if (request->directory)
        json_object_set_new(body, "directory", json_string(request->directory));
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    return text ? text : value_text_copy("{}");
}

static int client_ask(struct client *client, struct body *body, bool start, const char *method, const char *path,
                      const char *text, struct error *error)
{
    static const char headers[] = "Connection: close\r\nContent-Type: application/json\r\n";
    if (client_reach(client, start, error) < 0 || client_send(client, method, path, headers, text, error) < 0)
        return -1;
    return body_begin(body, client, error);
}

void client_invoke(struct client *client, const struct request *request, const struct reply *reply, bool start)
{
    struct error error;
    struct body body;
    char *path = value_text("/v1/cmdlets/%s", request->cmdlet->name), *text = request_text(request);
    const int asked = client_ask(client, &body, start, "POST", path, text, &error);
    free(path);
    free(text);
    if (asked < 0) {
        char *message = value_text("%c%s.", error.text[0] >= 'a' && error.text[0] <= 'z' ? error.text[0] - 32
                                                                                         : error.text[0],
                                   error.text + !!error.text[0]);
        tell(reply, CATEGORY_CONNECTION_ERROR, "ServiceNotReached", message);
        free(message);
        client_disconnect(client);
        return;
    }
    if (client->in_session && reply->warning)
        reply->warning(reply->context, start_session_words());
    client->in_session = false;
    bool ended = false;
    for (char *line; !ended && (line = body_line(&body)); free(line)) {
        json_t *piece = json_loads(line, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
        ended = tell_piece(reply, piece) || body.status != 200;
        json_decref(piece);
    }
    if (!ended && client->cancelled)
        tell(reply, CATEGORY_OPERATION_TIMEOUT, "Cancelled", "It was cancelled. What had begun may go on.");
    else if (!ended)
        tell(reply, CATEGORY_CONNECTION_ERROR, "ServiceLost",
             "The service ended before it was done. Look at what came of it, and try again.");
    client_disconnect(client);
}

int client_listen(struct client *client, bool (*heard)(void *context, const char *line), void *context,
                  struct error *error)
{
    struct body body;
    if (client_ask(client, &body, true, "GET", "/v1/events", "", error) < 0)
        return -1;
    bool more = true;
    for (char *line; more && (line = body_line(&body)); free(line))
        more = heard(context, line);
    client_disconnect(client);
    return more ? error_set(error, "the service ended") : 0;
}

// --- A console -------------------------------------------------------------------------------------------------------
int client_console(struct client *client, const char *id, struct error *error)
{
    static const char headers[] = "Connection: Upgrade\r\nUpgrade: nidus-console\r\n";
    struct body body;
    char *path = value_text("/v1/vms/%s/console", id);
    const int asked = client_reach(client, false, error) < 0 || client_send(client, "GET", path, headers, "", error) < 0 ||
                              body_begin(&body, client, error) < 0
                          ? -1 : 0;
    free(path);
    if (asked == 0 && body.status == 101) {
        if (client->remote)
            remote_hurry(client->remote);
        return 0;
    }
    char *line = asked == 0 ? body_line(&body) : NULL;
    json_t *answer = line ? json_loads(line, JSON_REJECT_DUPLICATES, NULL) : NULL;
    const char *reason = text_of(json_object_get(answer, "error"), "message");
    if (asked == 0)
        error_set(error, "%s", reason ? reason : "the service is an older one, and shows no consoles");
    json_decref(answer);
    free(line);
    client_disconnect(client);
    return -1;
}

int client_console_fd(const struct client *client) { return client->fd; }

ssize_t client_console_receive(struct client *client, void *bytes, size_t room)
{
    const size_t held = client->filled - client->at, count = held < room ? held : room;
    if (count) {
        memcpy(bytes, client->buffer + client->at, count);
        client->at += count;
        return (ssize_t)count;
    }
    return client->remote ? remote_receive(client->remote, bytes, room) : recv(client->fd, bytes, room, MSG_DONTWAIT);
}

ssize_t client_console_send(struct client *client, const void *bytes, size_t count)
{
    return client->remote ? remote_send(client->remote, bytes, count)
                          : send(client->fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void client_console_end(struct client *client) { client_disconnect(client); }
