// The worker's end of the control channel. What is to be said goes into a bounded buffer, from any thread; a service
// that does not read it loses its connection, and may connect anew and ask for the state.
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/channel.h"
#include "control/message.h"

enum {
    SERVER_OUTPUT = 4 * CONTROL_LINE, // bytes a service may be behind
    SERVER_FAREWELL_MS = 1000,        // how long control_server_close waits for one that stands still
};

struct control_server {
    struct control_server_commands commands;
    int listener, wake;
    pthread_t thread;
    pthread_mutex_t lock; // all below but `reader`
    int fd;               // of the service, -1: none
    u64 connection;       // counts them
    bool stop;
    size_t output_bytes;
    char output[SERVER_OUTPUT];
    struct message_reader reader; // the thread's
};

static void server_wake(struct control_server *server)
{
    u64 one = 1;
    ssize_t result = write(server->wake, &one, sizeof one); // fails only if the thread is about to wake
    (void)result;
}

// With the lock held.
static void server_hang_up(struct control_server *server)
{
    if (server->fd >= 0)
        close(server->fd);
    server->fd = -1;
    server->output_bytes = 0;
}

// Takes over `message`; for this connection only, or for whoever is there (0).
static void server_say(struct control_server *server, u64 connection, json_t *message)
{
    size_t bytes = 0;
    char *line = message_line(message, &bytes);
    pthread_mutex_lock(&server->lock);
    if (line && server->fd >= 0 && (!connection || connection == server->connection)) {
        if (bytes > SERVER_OUTPUT - server->output_bytes) {
            server_hang_up(server);
        } else {
            memcpy(server->output + server->output_bytes, line, bytes);
            server->output_bytes += bytes;
        }
    }
    pthread_mutex_unlock(&server->lock);
    free(line);
    server_wake(server);
}

void control_server_answer(struct control_server *server, struct control_ticket ticket, json_t *result,
                           const struct error *error)
{
    json_t *message = json_object();
    json_object_set_new(message, "id", json_integer((json_int_t)ticket.id));
    if (error) {
        json_t *text = json_string(error->text);
        json_object_set_new(message, "error", text ? text : json_string("failed (its reason is not UTF-8)"));
        json_decref(result);
    } else {
        json_object_set_new(message, "result", result ? result : json_object());
    }
    server_say(server, ticket.connection, message);
}

void control_server_event(struct control_server *server, json_t *event) { server_say(server, 0, event); }

bool control_server_connected(struct control_server *server)
{
    pthread_mutex_lock(&server->lock);
    const bool connected = server->fd >= 0;
    pthread_mutex_unlock(&server->lock);
    return connected;
}

// --- The thread ---

static void server_accept(struct control_server *server)
{
    int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    pthread_mutex_lock(&server->lock);
    server_hang_up(server);
    server->fd = fd;
    server->connection++;
    pthread_mutex_unlock(&server->lock);
    message_reset(&server->reader);
}

static int server_take(struct control_server *server, u64 connection, const json_t *message)
{
    const json_t *id = json_object_get(message, "id"), *command = json_object_get(message, "command");
    if (!json_is_integer(id) || json_integer_value(id) < 0 || !json_is_string(command))
        return -1;
    const struct control_ticket ticket = {.connection = connection, .id = (u64)json_integer_value(id)};
    struct message_descriptors descriptors;
    if (message_take_descriptors(&server->reader, message, &descriptors, NULL))
        return -1;
    server->commands.command(server->commands.context, server, ticket, json_string_value(command), message,
                             &descriptors);
    message_close_descriptors(&descriptors);
    return 0;
}

// False: this service is gone, or does not keep the rules.
static bool server_read(struct control_server *server, int fd, u64 connection)
{
    int got = message_fill(&server->reader, fd);
    if (got <= 0)
        return got == -EAGAIN;
    json_t *message;
    int result;
    while (!(result = message_next(&server->reader, &message, NULL)) && message) {
        result = server_take(server, connection, message);
        json_decref(message);
        if (result)
            break;
    }
    return !result;
}

// With the lock held.
static void server_write(struct control_server *server)
{
    ssize_t put = send(server->fd, server->output, server->output_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (put < 0 && errno != EAGAIN && errno != EINTR)
        server_hang_up(server);
    if (put <= 0)
        return;
    memmove(server->output, server->output + put, server->output_bytes - (size_t)put);
    server->output_bytes -= (size_t)put;
}

// Only this thread accepts and reads; others may hang up on a service that is behind, so the descriptor read from is
// duplicated for as long as it is used outside the lock.
static void server_round(struct control_server *server)
{
    pthread_mutex_lock(&server->lock);
    int fd = server->fd >= 0 ? fcntl(server->fd, F_DUPFD_CLOEXEC, 0) : -1;
    u64 connection = server->connection;
    short output = server->output_bytes ? POLLOUT : 0;
    pthread_mutex_unlock(&server->lock);
    struct pollfd fds[] = {
        {.fd = server->wake, .events = POLLIN},
        {.fd = server->listener, .events = POLLIN},
        {.fd = fd, .events = (short)(POLLIN | output)},
    };
    if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
        fds[0].revents = fds[1].revents = fds[2].revents = 0;
    u64 wakes;
    ssize_t result = read(server->wake, &wakes, sizeof wakes);
    (void)result;
    bool good = !(fds[2].revents & (POLLIN | POLLHUP | POLLERR)) || server_read(server, fd, connection);
    if (fd >= 0)
        close(fd);
    pthread_mutex_lock(&server->lock);
    if (!good) {
        server_hang_up(server);
        message_reset(&server->reader);
    }
    if (server->fd >= 0 && server->output_bytes)
        server_write(server);
    pthread_mutex_unlock(&server->lock);
    if (fds[1].revents)
        server_accept(server);
}

static void *server_thread(void *context)
{
    struct control_server *server = context;
    pthread_setname_np(pthread_self(), "control");
    pthread_mutex_lock(&server->lock);
    while (!server->stop) {
        pthread_mutex_unlock(&server->lock);
        server_round(server);
        pthread_mutex_lock(&server->lock);
    }
    pthread_mutex_unlock(&server->lock);
    return NULL;
}

// --- Open and close ---

static int server_start(struct control_server *server)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(&server->thread, NULL, server_thread, server);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

struct control_server *control_server_open(int listener, int service, const struct control_server_commands *commands,
                                           struct error *error)
{
    struct control_server *server = calloc(1, sizeof *server);
    int wake = server ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
    if (wake < 0) {
        free(server);
        error_set(error, "control channel: %s", strerror(errno));
        return NULL;
    }
    server->commands = *commands;
    server->listener = listener;
    server->wake = wake;
    server->fd = service;
    server->connection = 1;
    if (service >= 0)
        fcntl(service, F_SETFL, fcntl(service, F_GETFL) | O_NONBLOCK);
    pthread_mutex_init(&server->lock, NULL);
    int result = server_start(server);
    if (!result)
        return server;
    pthread_mutex_destroy(&server->lock);
    close(wake);
    free(server);
    error_set(error, "no thread for the control channel: %s", strerror(result));
    return NULL;
}

static void server_farewell(struct control_server *server)
{
    while (server->fd >= 0 && server->output_bytes) {
        struct pollfd ready = {.fd = server->fd, .events = POLLOUT};
        if (poll(&ready, 1, SERVER_FAREWELL_MS) <= 0)
            return;
        server_write(server);
    }
}

void control_server_close(struct control_server *server)
{
    if (!server)
        return;
    pthread_mutex_lock(&server->lock);
    server->stop = true;
    pthread_mutex_unlock(&server->lock);
    server_wake(server);
    pthread_join(server->thread, NULL);
    server_farewell(server);
    server_hang_up(server);
    message_reset(&server->reader);
    close(server->listener);
    close(server->wake);
    pthread_mutex_destroy(&server->lock);
    free(server);
}
