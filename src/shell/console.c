// See console.h. The terminal goes raw, so that every key is the guest's; Ctrl-] and another key is for us. Signals
// come in through the poll loop: whatever ends the view, the terminal is put back.
#include "shell/console.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "base/tail.h"
#include "shell/client.h"

enum { CONSOLE_KEY = 0x1D /* Ctrl-] */, CONSOLE_TAIL = 4096, CONSOLE_BUFFER = 4096, CONSOLE_OUTPUT = 32 << 10 };

static const char keys[] = "\r\nCtrl-] and then\r\n"
                           "  q       leaves; the VM runs on\r\n"
                           "  h       shows this\r\n"
                           "  Ctrl-]  sends one to the VM\r\n";

struct view_state {
    const char *name;
    struct client *client; // through the service, or NULL
    int socket, signals;
    bool terminal, escaped, input_ended;
    struct termios saved;
    char pending[CONSOLE_BUFFER]; // typed, not yet taken by the socket
    size_t pending_count;
};

static int console_connect(const char *name, const char *path, struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return error_set(error, "cannot connect to the console of '%s': its path is too long: %s", name, path);
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address)) {
        error_set(error, "cannot connect to the console of '%s' (%s): %s", name, path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

static void put_all(int fd, const char *bytes, size_t count)
{
    while (count) {
        ssize_t written = write(fd, bytes, count);
        if (written < 0 && errno == EAGAIN) {
            struct pollfd wait = {.fd = fd, .events = POLLOUT};
            poll(&wait, 1, -1);
        } else if (written < 0 && errno != EINTR) {
            return;
        } else if (written > 0) {
            bytes += written;
            count -= (size_t)written;
        }
    }
}

static void terminal_raw(struct view_state *view)
{
    view->terminal = isatty(STDIN_FILENO) && !tcgetattr(STDIN_FILENO, &view->saved);
    if (!view->terminal)
        return;
    struct termios raw = view->saved;
    cfmakeraw(&raw);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
    fprintf(stderr, "Connected to '%s': Ctrl-] and then h lists the keys.\r\n", view->name);
}

// One typed byte. false: the user leaves.
static bool type(struct view_state *view, char byte)
{
    if (view->escaped) {
        view->escaped = false;
        if (byte == 'q' || byte == 'Q')
            return false;
        if (byte == 'h' || byte == 'H' || byte == '?')
            put_all(STDERR_FILENO, keys, sizeof keys - 1);
        if (byte != CONSOLE_KEY)
            return true;
    } else if (view->terminal && byte == CONSOLE_KEY) {
        view->escaped = true;
        return true;
    }
    view->pending[view->pending_count++] = byte;
    return true;
}

static bool take_input(struct view_state *view)
{
    char bytes[CONSOLE_BUFFER];
    ssize_t count = read(STDIN_FILENO, bytes, sizeof bytes - view->pending_count);
    if (count <= 0) {
        view->input_ended = count == 0 || errno != EINTR;
        return true;
    }
    for (ssize_t i = 0; i < count; i++)
        if (!type(view, bytes[i]))
            return false;
    return true;
}

static bool send_pending(struct view_state *view)
{
    ssize_t sent = view->client ? client_console_send(view->client, view->pending, view->pending_count)
                                : send(view->socket, view->pending, view->pending_count, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0)
        return errno == EAGAIN || errno == EINTR;
    view->pending_count -= (size_t)sent;
    memmove(view->pending, view->pending + sent, view->pending_count);
    return true;
}

// false: the console ended.
static bool take_output(struct view_state *view)
{
    char bytes[CONSOLE_OUTPUT];
    ssize_t count = view->client ? client_console_receive(view->client, bytes, sizeof bytes)
                                 : recv(view->socket, bytes, sizeof bytes, MSG_DONTWAIT);
    if (count > 0)
        put_all(STDOUT_FILENO, bytes, (size_t)count);
    return count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR));
}

static void console_loop(struct view_state *view)
{
    bool ended = view->client && !take_output(view); // what came with the service's answer
    while (!ended) {
        bool room = view->pending_count < CONSOLE_BUFFER;
        struct pollfd events[] = {
            {.fd = view->socket, .events = POLLIN | (view->pending_count ? POLLOUT : 0)},
            {.fd = view->input_ended || !room ? -1 : STDIN_FILENO, .events = POLLIN},
            {.fd = view->signals, .events = POLLIN},
        };
        if (poll(events, ARRAY_SIZE(events), -1) < 0 && errno != EINTR)
            break;
        if (events[2].revents || (events[1].revents && !take_input(view)))
            break;
        ended = (view->pending_count && !send_pending(view)) ||
                (events[0].revents & (POLLIN | POLLHUP | POLLERR) && !take_output(view));
    }
    if (view->terminal)
        fprintf(stderr, ended ? "\r\nThe console of '%s' has ended.\r\n" : "\r\nLeft the console of '%s'.\r\n",
                view->name);
}

static void console_show(struct view_state *view, const char *log)
{
    sigset_t ending, before;
    sigemptyset(&ending);
    sigaddset(&ending, SIGINT);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGHUP);
    sigprocmask(SIG_BLOCK, &ending, &before);
    view->signals = signalfd(-1, &ending, SFD_CLOEXEC);
    terminal_raw(view);
    char tail[CONSOLE_TAIL];
    put_all(STDOUT_FILENO, tail, tail_read(log, tail, sizeof tail));
    console_loop(view);
    if (view->terminal)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &view->saved);
    struct signalfd_siginfo caught;
    bool signalled = view->signals >= 0 && poll(&(struct pollfd){.fd = view->signals, .events = POLLIN}, 1, 0) == 1 &&
                     read(view->signals, &caught, sizeof caught) == sizeof caught;
    if (view->signals >= 0)
        close(view->signals);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (signalled && caught.ssi_signo != SIGINT)
        raise((int)caught.ssi_signo); // as it would have ended us without a terminal to put back
}

// At the worker's own socket, so that the console outlives the service; else, from another host or as another user,
// through the service.
static int console_view(struct client *client, const struct value *console, struct error *error)
{
    struct view_state view = {.name = value_as_string(value_get(console, "VMName"), "")};
    struct error through;
    fflush(stdout);
    view.socket = client_is_remote(client)
                      ? -1 : console_connect(view.name, value_as_string(value_get(console, "Path"), ""), error);
    if (view.socket >= 0) {
        console_show(&view, value_as_string(value_get(console, "LogPath"), NULL));
        close(view.socket);
        return 0;
    }
    if (client_console(client, value_as_string(value_get(console, "VMId"), ""), &through) < 0)
        return error_set(error, "cannot connect to the console of '%s': %s", view.name, through.text);
    view.client = client;
    view.socket = client_console_fd(client);
    console_show(&view, NULL);
    client_console_end(client);
    return 0;
}

struct found {
    const struct reply *reply;
    struct value *console; // the first one
};

static void found_output(void *context, struct value *object)
{
    struct found *found = context;
    if (value_is_a(object, "VMConsole") && !found->console)
        found->console = value_ref(object);
}

static void pass_host(void *context, const char *text)
{
    struct found *found = context;
    if (found->reply->host)
        found->reply->host(found->reply->context, text);
}

static void pass_warning(void *context, const char *text)
{
    struct found *found = context;
    found->reply->warning(found->reply->context, text);
}

static void pass_verbose(void *context, const char *text)
{
    struct found *found = context;
    found->reply->verbose(found->reply->context, text);
}

static void pass_progress(void *context, const char *activity, const char *status, int percent)
{
    struct found *found = context;
    found->reply->progress(found->reply->context, activity, status, percent);
}

static void pass_what_if(void *context, const char *text)
{
    struct found *found = context;
    found->reply->what_if(found->reply->context, text);
}

static void pass_error(void *context, const struct cmdlet_error *error)
{
    struct found *found = context;
    found->reply->error(found->reply->context, error);
}

void console_invoke(struct client *client, const struct request *request, const struct reply *reply)
{
    struct found found = {.reply = reply};
    const struct reply between = {.context = &found, .output = found_output, .host = pass_host, .warning = pass_warning,
                                  .verbose = pass_verbose, .progress = pass_progress, .what_if = pass_what_if,
                                  .error = pass_error};
    client_invoke(client, request, &between, true);
    if (!found.console)
        return;
    struct error error;
    const char *name = value_as_string(value_get(found.console, "VMName"), "");
    if (console_view(client, found.console, &error) < 0) {
        const struct cmdlet_error failed = {.category = CATEGORY_CONNECTION_ERROR, .id = "OperationFailed",
                                            .target = name, .exception = "VirtualizationException",
                                            .message = error.text};
        reply->error(reply->context, &failed);
    }
    value_unref(found.console);
}
