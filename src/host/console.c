// See console.h. Output goes through a ring of bytes. While nobody is connected to the socket the ring keeps the newest
// output, and whoever connects sees it first.
#include "host/console.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "host/pollset.h"
#include "host/terminal.h"
#include "host/unix_socket.h"

enum {
    CONSOLE_RING = 256 << 10, // a power of two
    CONSOLE_INPUT = 4096,
    CONSOLE_CHUNK = 4096,     // PIPE_BUF: a pipe that polls writable takes it without blocking
    CONSOLE_PATIENCE_MS = 250, // how long console_put waits for a reader that stands still
    CONSOLE_FAREWELL_MS = 3000, // the same for console_close
};

struct console {
    struct console_config config;
    char *path; // of the socket, ours
    int in, out, listener, wake; // -1: none
    bool connected; // somebody may read what we write
    struct terminal terminal;

    pthread_mutex_t lock;
    pthread_cond_t drained; // room in the ring, or the writer finished
    bool writing;           // a thread is in write(2), outside the lock
    bool stalled;           // console_put lost patience, until something was written
    bool stop, started;
    u64 lost;               // bytes to own up to
    struct console_port *ports[CONSOLE_PORTS];
    unsigned port_count;
    struct console_port *speaker; // the port that wrote last
    struct console_port *called;  // the port our thread is in, outside the lock
    bool wanting[CONSOLE_PORTS];  // its console_write fell short
    u64 head, tail;               // the ring: bytes ever put in, ever taken out
    u8 ring[CONSOLE_RING];

    // The thread's own.
    u8 input[CONSOLE_INPUT];
    size_t input_start, input_end; // what the device has not taken yet
    bool input_refused;            // wait for console_ready
    bool escaped;                  // the escape key came, its command did not yet
    pthread_t thread;
};

static void console_wake(struct console *console)
{
    u64 one = 1;
    ssize_t result = write(console->wake, &one, sizeof one); // fails only if the thread is about to wake
    (void)result;
}

static size_t console_room(const struct console *console)
{
    return CONSOLE_RING - (size_t)(console->head - console->tail);
}

static void console_append(struct console *console, const u8 *bytes, size_t count)
{
    for (size_t done = 0; done < count;) {
        size_t at = console->head % CONSOLE_RING, part = CONSOLE_RING - at;
        if (part > count - done)
            part = count - done;
        memcpy(console->ring + at, bytes + done, part);
        console->head += part;
        done += part;
    }
    // Only reached with nobody listening: the newest output stays.
    if (console->head - console->tail > CONSOLE_RING)
        console->tail = console->head - CONSOLE_RING;
}

static void console_speaks(struct console_port *port)
{
    port->console->speaker = port;
}

size_t console_write(struct console_port *port, const u8 *bytes, size_t count)
{
    struct console *console = port->console;
    pthread_mutex_lock(&console->lock);
    console_speaks(port);
    size_t room = console->connected ? console_room(console) : SIZE_MAX, taken = count < room ? count : room;
    console_append(console, bytes, taken);
    for (unsigned i = 0; i < console->port_count; i++)
        if (console->ports[i] == port && taken < count)
            console->wanting[i] = true;
    pthread_mutex_unlock(&console->lock);
    console_wake(console);
    return taken;
}

// The other side is gone for good (a pipe), or for now (a socket).
static void console_hang_up(struct console *console)
{
    console->connected = false;
    while (console->writing) // somebody uses the descriptor, for CONSOLE_PATIENCE_MS at most
        pthread_cond_wait(&console->drained, &console->lock);
    if (console->listener >= 0 && console->out >= 0)
        close(console->out);
    if (console->in >= 0 && console->listener >= 0)
        console->in = -1;
    console->out = -1;
    console->escaped = false;
}

// Writes a part of the ring, outside the lock; returns with the lock held. False if nothing could be written.
static bool console_drain(struct console *console)
{
    u8 chunk[CONSOLE_CHUNK];
    size_t count = (size_t)(console->head - console->tail), at = console->tail % CONSOLE_RING;
    if (count > sizeof chunk)
        count = sizeof chunk;
    if (count > CONSOLE_RING - at)
        count = CONSOLE_RING - at;
    if (!count || console->out < 0 || console->writing)
        return false;
    memcpy(chunk, console->ring + at, count);
    console->writing = true;
    int fd = console->out;
    pthread_mutex_unlock(&console->lock);
    ssize_t put = write(fd, chunk, count);
    int reason = errno;
    pthread_mutex_lock(&console->lock);
    console->writing = false;
    if (put > 0) {
        console->tail += (u64)put;
        console->stalled = false;
    } else if (put < 0 && reason != EAGAIN && reason != EINTR) {
        console_hang_up(console);
    }
    pthread_cond_broadcast(&console->drained);
    return put > 0;
}

// Waits until somebody made room, or makes it; false after CONSOLE_PATIENCE_MS without any.
static bool console_make_room(struct console *console)
{
    u64 tail = console->tail;
    if (!console->writing) {
        struct pollfd out = {.fd = console->out, .events = POLLOUT};
        console->writing = true;
        pthread_mutex_unlock(&console->lock);
        int ready = poll(&out, 1, CONSOLE_PATIENCE_MS);
        pthread_mutex_lock(&console->lock);
        console->writing = false;
        pthread_cond_broadcast(&console->drained);
        if (ready > 0)
            console_drain(console);
    } else {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += CONSOLE_PATIENCE_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&console->drained, &console->lock, &until);
    }
    return console->tail != tail || !console->connected;
}

void console_put(struct console_port *port, const u8 *bytes, size_t count)
{
    struct console *console = port->console;
    pthread_mutex_lock(&console->lock);
    console_speaks(port);
    while (count) {
        size_t room = console->connected ? console_room(console) : count, part = count < room ? count : room;
        console_append(console, bytes, part);
        bytes += part;
        count -= part;
        if (!count)
            break;
        if (!console->stalled && !console_make_room(console))
            console->stalled = true;
        if (console->stalled) {
            console->lost += count;
            break;
        }
    }
    pthread_mutex_unlock(&console->lock);
    console_wake(console);
}

void console_ready(struct console_port *port)
{
    console_wake(port->console);
}

bool console_size(const struct console *console, u16 *columns, u16 *rows)
{
    return terminal_size(&console->terminal, columns, rows);
}

void console_resized(struct console *console)
{
    for (unsigned i = 0; i < console->port_count; i++)
        if (console->ports[i]->resized)
            console->ports[i]->resized(console->ports[i]->context);
}

// --- The thread ---

// Once there is room again: says what is missing, and tells the ports that wait. With the lock held; gives it up.
static void console_tell_room(struct console *console)
{
    if (console->lost && !console->stalled && console_room(console) >= CONSOLE_RING / 2) {
        char text[80];
        int count = snprintf(text, sizeof text, "\r\n[nidus: %llu bytes of console output were lost]\r\n",
                             (unsigned long long)console->lost);
        console_append(console, (u8 *)text, (size_t)count);
        console->lost = 0;
    }
    if (console->connected && console_room(console) < CONSOLE_RING / 2)
        return;
    for (unsigned i = 0; i < console->port_count; i++) {
        if (!console->wanting[i])
            continue;
        struct console_port *port = console->ports[i];
        console->wanting[i] = false;
        console->called = port;
        pthread_mutex_unlock(&console->lock);
        if (port->writable)
            port->writable(port->context);
        pthread_mutex_lock(&console->lock);
        console->called = NULL;
        pthread_cond_broadcast(&console->drained);
    }
}

// Takes the escape key and its command out of what was typed; returns how many bytes remain.
static size_t console_filter(struct console *console, u8 *bytes, size_t count)
{
    size_t kept = 0;
    if (!console->terminal.raw || !console->config.escape || !console->config.command)
        return count;
    for (size_t i = 0; i < count; i++) {
        bool is_escape = bytes[i] == console->config.escape;
        if (console->escaped && !is_escape)
            console->config.command(console->config.context, bytes[i]);
        else if (console->escaped || !is_escape)
            bytes[kept++] = bytes[i];
        console->escaped = !console->escaped && is_escape;
    }
    return kept;
}

// Offers the device what was typed.
static void console_deliver(struct console *console)
{
    size_t left = console->input_end - console->input_start;
    if (!left)
        return;
    pthread_mutex_lock(&console->lock);
    struct console_port *port = console->called = console->speaker;
    pthread_mutex_unlock(&console->lock);
    // A console without a device swallows what is typed.
    console->input_start += port ? port->receive(port->context, console->input + console->input_start, left) : left;
    console->input_refused = console->input_start != console->input_end;
    pthread_mutex_lock(&console->lock);
    console->called = NULL;
    pthread_cond_broadcast(&console->drained);
    pthread_mutex_unlock(&console->lock);
}

static void console_read(struct console *console)
{
    ssize_t got = read(console->in, console->input, sizeof console->input);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        pthread_mutex_lock(&console->lock);
        if (console->listener >= 0)
            console_hang_up(console);
        console->in = -1; // the end of a pipe: the guest runs on without input
        pthread_mutex_unlock(&console->lock);
        return;
    }
    console->input_start = 0;
    console->input_end = console_filter(console, console->input, (size_t)got);
    console_deliver(console);
}

static void console_accept(struct console *console)
{
    int fd = accept4(console->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    pthread_mutex_lock(&console->lock);
    console->in = console->out = fd;
    console->connected = true;
    pthread_mutex_unlock(&console->lock);
}

struct console_waits {
    int in, out, listener;
};

static struct console_waits console_prepare(struct console *console, struct pollset *set)
{
    struct console_waits waits = {.in = -1, .out = -1, .listener = -1};
    pollset_begin(set);
    pollset_add(set, console->wake, POLLIN);
    if (console->in >= 0 && console->input_start == console->input_end)
        waits.in = pollset_add(set, console->in, POLLIN);
    if (console->out >= 0 && console->head != console->tail && !console->writing)
        waits.out = pollset_add(set, console->out, POLLOUT);
    if (console->listener >= 0 && !console->connected)
        waits.listener = pollset_add(set, console->listener, POLLIN);
    return waits;
}

static void console_round(struct console *console, struct pollset *set)
{
    struct console_waits waits = console_prepare(console, set);
    pthread_mutex_unlock(&console->lock);
    pollset_wait(set);
    u64 wakes;
    ssize_t result = read(console->wake, &wakes, sizeof wakes);
    (void)result;
    if (pollset_events(set, waits.listener))
        console_accept(console);
    if (pollset_events(set, waits.in))
        console_read(console);
    else if (console->input_refused)
        console_deliver(console);
    pthread_mutex_lock(&console->lock);
    if (pollset_events(set, waits.out))
        console_drain(console);
    console_tell_room(console);
}

static void *console_thread(void *context)
{
    struct console *console = context;
    struct pollset set = {0};
    pthread_setname_np(pthread_self(), "console");
    pthread_mutex_lock(&console->lock);
    while (!console->stop)
        console_round(console, &set);
    pthread_mutex_unlock(&console->lock);
    pollset_free(&set);
    return NULL;
}

// --- Open and close ---

struct console *console_open(const struct console_config *config, struct error *error)
{
    struct console *console = calloc(1, sizeof *console);
    if (!console) {
        error_set(error, "console: out of memory");
        return NULL;
    }
    *console = (struct console){.config = *config, .in = -1, .out = -1, .listener = -1, .wake = -1};
    pthread_mutex_init(&console->lock, NULL);
    pthread_cond_init(&console->drained, NULL);
    // That the reader of a pipe went away is an error of write(2), not the end of the VM.
    signal(SIGPIPE, SIG_IGN);
    console->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (console->wake < 0) {
        error_set(error, "console: %s", strerror(errno));
        console_close(console);
        return NULL;
    }
    if (!config->socket) {
        terminal_open(&console->terminal, &console->in, &console->out);
        console->connected = true;
        return console;
    }
    console->path = strdup(config->socket);
    console->listener = console->path ? unix_socket_listen(console->path, "console", error) : -1;
    if (console->listener < 0) {
        console_close(console);
        return NULL;
    }
    return console;
}

int console_attach(struct console *console, struct console_port *port, struct error *error)
{
    int result = 0;
    pthread_mutex_lock(&console->lock);
    if (console->port_count == CONSOLE_PORTS) {
        result = error_set(error, "console: no more than %d devices can share one", CONSOLE_PORTS);
    } else {
        port->console = console;
        console->wanting[console->port_count] = false;
        console->ports[console->port_count++] = port;
        if (!console->speaker)
            console->speaker = port;
    }
    pthread_mutex_unlock(&console->lock);
    return result;
}

void console_detach(struct console_port *port)
{
    struct console *console = port->console;
    if (!console)
        return;
    pthread_mutex_lock(&console->lock);
    while (console->called == port)
        pthread_cond_wait(&console->drained, &console->lock);
    unsigned kept = 0;
    for (unsigned i = 0; i < console->port_count; i++) {
        if (console->ports[i] == port)
            continue;
        console->wanting[kept] = console->wanting[i];
        console->ports[kept++] = console->ports[i];
    }
    console->port_count = kept;
    if (console->speaker == port)
        console->speaker = kept ? console->ports[0] : NULL;
    port->console = NULL;
    pthread_mutex_unlock(&console->lock);
}

int console_start(struct console *console, struct error *error)
{
    terminal_enter_raw(&console->terminal);
    // Signals are for the threads that know what to do with them.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(&console->thread, NULL, console_thread, console);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result) {
        terminal_leave_raw(&console->terminal);
        return error_set(error, "console: cannot start its thread: %s", strerror(result));
    }
    console->started = true;
    return 0;
}

static void console_farewell(struct console *console)
{
    while (console->out >= 0 && console->head != console->tail) {
        struct pollfd out = {.fd = console->out, .events = POLLOUT};
        if (poll(&out, 1, CONSOLE_FAREWELL_MS) <= 0)
            return;
        pthread_mutex_lock(&console->lock);
        console_drain(console);
        pthread_mutex_unlock(&console->lock);
    }
}

void console_close(struct console *console)
{
    if (!console)
        return;
    if (console->started) {
        pthread_mutex_lock(&console->lock);
        console->stop = true;
        pthread_mutex_unlock(&console->lock);
        console_wake(console);
        pthread_join(console->thread, NULL);
        console_farewell(console);
    }
    terminal_close(&console->terminal);
    if (console->listener >= 0) {
        pthread_mutex_lock(&console->lock);
        console_hang_up(console);
        pthread_mutex_unlock(&console->lock);
        close(console->listener);
        unlink(console->path);
    }
    if (console->wake >= 0)
        close(console->wake);
    pthread_cond_destroy(&console->drained);
    pthread_mutex_destroy(&console->lock);
    free(console->path);
    free(console);
}
