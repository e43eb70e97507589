// See console.h. Output goes into a ring of bytes. A terminal or pipe empties it, and a guest that is faster waits; of
// sockets each viewer has its own place in it, the newest output stays, and whoever connects sees that first.
#include "host/console.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "host/console_log.h"
#include "host/console_ring.h"
#include "host/console_viewers.h"
#include "host/pollset.h"
#include "host/terminal.h"

enum {
    CONSOLE_INPUT = 4096,
    CONSOLE_CHUNK = 4096,     // PIPE_BUF: a pipe that polls writable takes it without blocking
    CONSOLE_PATIENCE_MS = 250, // how long console_put waits for a reader that stands still
    CONSOLE_FAREWELL_MS = 3000, // the same for console_close
};

struct console {
    struct console_config config;
    int in, out, wake; // -1: none
    bool connected; // standard output is there: what is not written is kept for it
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
    struct console_ring ring;
    u64 tail;                     // what standard output got
    struct console_viewers viewers;

    u64 logged; // what the log got; the thread's, as are the rest
    struct console_log log;
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
    return CONSOLE_RING - (size_t)(console->ring.head - console->tail);
}

static void console_append(struct console *console, const u8 *bytes, size_t count)
{
    console_ring_put(&console->ring, bytes, count);
    // Only reached with nobody at standard output.
    if (console->ring.head - console->tail > CONSOLE_RING)
        console->tail = console_ring_oldest(&console->ring);
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

// The reader of the pipe is gone.
static void console_hang_up(struct console *console)
{
    console->connected = false;
    console->out = -1;
}

// Writes a part of the ring, outside the lock; returns with the lock held. False if nothing could be written.
static bool console_drain(struct console *console)
{
    u8 chunk[CONSOLE_CHUNK];
    if (console->out < 0 || console->writing)
        return false;
    size_t count = console_ring_copy(&console->ring, console->tail, chunk, sizeof chunk);
    if (!count)
        return false;
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

static void console_take_input(struct console *console, size_t count)
{
    console->input_start = 0;
    console->input_end = console_filter(console, console->input, count);
    console_deliver(console);
}

static void console_read(struct console *console)
{
    ssize_t got = read(console->in, console->input, sizeof console->input);
    if (got > 0) {
        console_take_input(console, (size_t)got);
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        pthread_mutex_lock(&console->lock);
        console->in = -1; // the end of a pipe: the guest runs on without input
        pthread_mutex_unlock(&console->lock);
    }
}

// One viewer's at a time: the next one's waits in its socket.
static void console_read_viewers(struct console *console, const struct pollset *set)
{
    if (console->input_start != console->input_end)
        return;
    pthread_mutex_lock(&console->lock);
    size_t got = console_viewers_read(&console->viewers, set, console->input, sizeof console->input);
    pthread_mutex_unlock(&console->lock);
    if (got)
        console_take_input(console, got);
}

// With the lock held, which it gives up while it writes.
static void console_keep_log(struct console *console)
{
    u8 chunk[CONSOLE_CHUNK];
    if (console->log.fd < 0)
        return;
    while (console->logged != console->ring.head) {
        if (console->logged < console_ring_oldest(&console->ring))
            console->logged = console_ring_oldest(&console->ring);
        size_t count = console_ring_copy(&console->ring, console->logged, chunk, sizeof chunk);
        console->logged += count;
        pthread_mutex_unlock(&console->lock);
        console_log_put(&console->log, chunk, count);
        pthread_mutex_lock(&console->lock);
    }
}

struct console_waits {
    int in, out;
};

static struct console_waits console_prepare(struct console *console, struct pollset *set)
{
    struct console_waits waits = {.in = -1, .out = -1};
    bool room = console->input_start == console->input_end;
    pollset_begin(set);
    pollset_add(set, console->wake, POLLIN);
    if (console->in >= 0 && room)
        waits.in = pollset_add(set, console->in, POLLIN);
    if (console->out >= 0 && console->ring.head != console->tail && !console->writing)
        waits.out = pollset_add(set, console->out, POLLOUT);
    console_viewers_prepare(&console->viewers, &console->ring, set, room);
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
    if (pollset_events(set, waits.in))
        console_read(console);
    else if (console->input_refused)
        console_deliver(console);
    console_read_viewers(console, set);
    pthread_mutex_lock(&console->lock);
    if (pollset_events(set, waits.out))
        console_drain(console);
    console_viewers_accept(&console->viewers, &console->ring, set);
    console_viewers_write(&console->viewers, &console->ring);
    console_keep_log(console);
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
    *console = (struct console){.config = *config, .in = -1, .out = -1, .wake = -1, .log.fd = -1};
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
    int result = config->log ? console_log_open(&console->log, config->log, error) : 0;
    if (!result && config->socket)
        result = console_viewers_listen(&console->viewers, config->socket, error);
    if (!result && config->socket_too)
        result = console_viewers_listen(&console->viewers, config->socket_too, error);
    if (result) {
        console_close(console);
        return NULL;
    }
    if (!config->socket) {
        terminal_open(&console->terminal, &console->in, &console->out);
        console->connected = true;
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
    while (console->out >= 0 && console->ring.head != console->tail) {
        struct pollfd out = {.fd = console->out, .events = POLLOUT};
        if (poll(&out, 1, CONSOLE_FAREWELL_MS) <= 0)
            return;
        pthread_mutex_lock(&console->lock);
        console_drain(console);
        pthread_mutex_unlock(&console->lock);
    }
}

// All viewers together have the time that standard output has for itself.
static void console_farewell_viewers(struct console *console)
{
    struct pollset set = {0};
    struct timespec now, end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += CONSOLE_FAREWELL_MS / 1000;
    do {
        console_viewers_write(&console->viewers, &console->ring);
        if (!console_viewers_behind(&console->viewers, &console->ring))
            break;
        pollset_begin(&set);
        console_viewers_prepare(&console->viewers, &console->ring, &set, false);
        pollset_within(&set, CONSOLE_FAREWELL_MS);
        pollset_wait(&set);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec < end.tv_sec);
    pollset_free(&set);
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
        pthread_mutex_lock(&console->lock);
        console_keep_log(console);
        console_farewell_viewers(console);
        pthread_mutex_unlock(&console->lock);
    }
    terminal_close(&console->terminal);
    console_viewers_close(&console->viewers);
    console_log_close(&console->log);
    if (console->wake >= 0)
        close(console->wake);
    pthread_cond_destroy(&console->drained);
    pthread_mutex_destroy(&console->lock);
    free(console);
}
