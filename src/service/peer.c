// See peer.h.
#include "service/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/place.h"
#include "cmdlet/value.h"
#include "control/message.h"
#include "service/log.h"
#include "service/words.h"

enum {
    START_MS = 120000,    // until the guest runs: a large saved state is read in that time, too
    ADOPT_MS = 3000,      // a peer that does not answer for so long is deaf, and tried again in its thread
    RECONNECT_MS = 500,
    SEND_MS = 5000,
    EVENTS_A_SECOND = 50, // of one that a guest may have taken over
    DESCRIPTORS = 10,     // where the peer's are kept before they go to their places
};

struct question {
    struct question *next;
    s64 id;
    json_t *answer;
    bool done;
};

struct peer {
    unsigned references; // atomic
    const struct peer_type *type;
    void *owner; // a reference
    char *directory;
    pid_t pid;
    int pidfd;
    pthread_mutex_t lock; // what follows; taken after no other lock
    pthread_cond_t told;
    int fd; // -1: not connected
    s64 last_id;
    struct question *questions;
    bool running, gone;
    struct peer_end end;
    json_t *greeting; // what the last `status` after a connection said, or NULL
    // Its thread's own
    char *line;
    size_t filled;
    u64 second;
    unsigned events;
};

struct peer *peer_ref(struct peer *peer)
{
    __atomic_add_fetch(&peer->references, 1, __ATOMIC_RELAXED);
    return peer;
}

void peer_unref(struct peer *peer)
{
    if (!peer || __atomic_sub_fetch(&peer->references, 1, __ATOMIC_ACQ_REL))
        return;
    if (peer->fd >= 0)
        close(peer->fd);
    if (peer->pidfd >= 0)
        close(peer->pidfd);
    peer->type->release(peer->owner);
    json_decref(peer->greeting);
    pthread_cond_destroy(&peer->told);
    pthread_mutex_destroy(&peer->lock);
    free(peer->directory);
    free(peer->line);
    free(peer);
}

static struct peer *peer_create(const struct peer_type *type, void *owner, const char *directory, pid_t pid,
                                int pidfd, int fd)
{
    struct peer *peer = value_allocate(sizeof *peer);
    *peer = (struct peer){.references = 1, .type = type, .owner = type->hold(owner),
                          .directory = value_text_copy(directory), .pid = pid,
                              .pidfd = pidfd, .fd = fd, .line = value_allocate(CONTROL_LINE)};
    pthread_mutex_init(&peer->lock, NULL);
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&peer->told, &clock);
    pthread_condattr_destroy(&clock);
    return peer;
}

void peer_kill(struct peer *peer) { pidfd_send_signal(peer->pidfd, SIGKILL, NULL, 0); }

static u64 peer_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (u64)now.tv_sec * 1000000000 + (u64)now.tv_nsec;
}

static struct timespec deadline(unsigned milliseconds)
{
    const u64 at = peer_clock() + milliseconds * 1000000ull;
    return (struct timespec){.tv_sec = (time_t)(at / 1000000000), .tv_nsec = (long)(at % 1000000000)};
}

// --- Asking ----------------------------------------------------------------------------------------------------------
// The whole line or nothing that counts: half a line would spoil the next one, so the connection is given up.
static int peer_send(struct peer *peer, const char *line, size_t bytes, const int *fds, unsigned fd_count)
{
    size_t sent = 0;
    while (sent < bytes) {
        const ssize_t now = message_send(peer->fd, line + sent, bytes - sent, fds, sent ? 0 : fd_count);
        if (now < 0 && errno == EINTR)
            continue;
        if (now <= 0) {
            shutdown(peer->fd, SHUT_RDWR);
            return -1;
        }
        sent += (size_t)now;
    }
    return 0;
}

// With the lock held.
static int peer_ask(struct peer *peer, s64 id, const char *command, const json_t *arguments, const int *fds,
                    unsigned fd_count)
{
    json_t *message = json_pack("{s:I, s:s}", "id", (json_int_t)id, "command", command);
    if (fd_count)
        json_object_set_new(message, "descriptors", json_integer(fd_count));
    if (arguments)
        json_object_update_missing(message, (json_t *)arguments);
    size_t bytes = 0;
    char *line = message_line(message, &bytes);
    const int result = line ? peer_send(peer, line, bytes, fds, fd_count) : -1;
    free(line);
    return result;
}

// With the lock held: asks, and waits for the answer.
static void peer_question(struct peer *peer, struct question *question, const char *command, const json_t *arguments,
                          const int *fds, unsigned fd_count, const struct timespec *until)
{
    question->id = ++peer->last_id;
    question->next = peer->questions;
    peer->questions = question;
    const bool asked = peer_ask(peer, question->id, command, arguments, fds, fd_count) == 0;
    while (asked && !question->done && !peer->gone)
        if (pthread_cond_timedwait(&peer->told, &peer->lock, until) == ETIMEDOUT)
            break;
    for (struct question **at = &peer->questions; *at; at = &(*at)->next)
        if (*at == question) {
            *at = question->next;
            break;
        }
}

struct json_t *peer_command_with(struct peer *peer, const char *command, const struct json_t *arguments,
                                 const int *fds, unsigned fd_count, unsigned milliseconds, struct error *error)
{
    const struct timespec until = deadline(milliseconds);
    struct question question = {0};
    pthread_mutex_lock(&peer->lock);
    if (peer->fd >= 0 && !peer->gone)
        peer_question(peer, &question, command, arguments, fds, fd_count, &until);
    const bool gone = peer->gone;
    pthread_mutex_unlock(&peer->lock);
    json_t *result = json_incref(json_object_get(question.answer, "result"));
    const char *refused = json_string_value(json_object_get(question.answer, "error"));
    if (!result && refused)
        error_set(error, "%s", refused);
    else if (!result && gone)
        error_set(error, "its %s has ended", peer->type->what);
    else if (!result)
        error_set(error, "its %s (%d) does not answer", peer->type->what, peer->pid);
    json_decref(question.answer);
    return result;
}

struct json_t *peer_command(struct peer *peer, const char *command, const struct json_t *arguments,
                            unsigned milliseconds, struct error *error)
{
    return peer_command_with(peer, command, arguments, NULL, 0, milliseconds, error);
}

struct json_t *peer_greeting(struct peer *peer)
{
    pthread_mutex_lock(&peer->lock);
    json_t *greeting = json_incref(peer->greeting);
    pthread_mutex_unlock(&peer->lock);
    return greeting;
}

// --- Listening -------------------------------------------------------------------------------------------------------
static const char *text_of(const json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));
    return text ? text : "";
}

static void peer_answered(struct peer *peer, json_t *message, s64 id)
{
    pthread_mutex_lock(&peer->lock);
    for (struct question *question = peer->questions; question; question = question->next)
        if (question->id == id && !question->done) {
            question->answer = json_incref(message);
            question->done = true;
        }
    pthread_cond_broadcast(&peer->told);
    pthread_mutex_unlock(&peer->lock);
}

// The answer to what is asked after each connection: how things stand.
static void peer_greeted(struct peer *peer, json_t *message)
{
    enum control_state state;
    json_t *status = json_object_get(message, "result");
    if (!control_state_find(text_of(status, "state"), &state))
        return;
    peer->type->greeted(peer->owner, status);
    pthread_mutex_lock(&peer->lock);
    json_decref(peer->greeting);
    peer->greeting = json_incref(status);
    peer->running |= state != CONTROL_STARTING;
    pthread_cond_broadcast(&peer->told);
    pthread_mutex_unlock(&peer->lock);
}

static void peer_state(struct peer *peer, const json_t *message)
{
    enum control_state state;
    if (!control_state_find(text_of(message, "state"), &state))
        return;
    pthread_mutex_lock(&peer->lock);
    peer->running |= state == CONTROL_RUNNING || state == CONTROL_PAUSED;
    pthread_cond_broadcast(&peer->told);
    pthread_mutex_unlock(&peer->lock);
    peer->type->event(peer->owner, message, "state");
}

static void peer_end_read(struct peer_end *end, const json_t *message)
{
    end->known = control_ending_find(text_of(message, "ending"), &end->ending);
    words_of_cmdlets(end->text, sizeof end->text, text_of(message, "text"));
}

static void peer_event(struct peer *peer, const json_t *message, const char *event)
{
    const u64 second = peer_clock() / 1000000000;
    if (second != peer->second) {
        peer->second = second;
        peer->events = 0;
    }
    if (!strcmp(event, "ended")) {
        pthread_mutex_lock(&peer->lock);
        peer_end_read(&peer->end, message);
        pthread_mutex_unlock(&peer->lock);
    } else if (peer->events++ > EVENTS_A_SECOND) {
        return; // nobody needs to hear a guest that often
    } else if (!strcmp(event, "state")) {
        peer_state(peer, message);
    } else {
        peer->type->event(peer->owner, message, event);
    }
}

static void peer_line(struct peer *peer, const char *line, size_t bytes)
{
    json_t *message = json_loadb(line, bytes, JSON_REJECT_DUPLICATES, NULL);
    const json_t *id = json_object_get(message, "id");
    const char *event = json_string_value(json_object_get(message, "event"));
    if (event)
        peer_event(peer, message, event);
    else if (json_is_integer(id) && !json_integer_value(id))
        peer_greeted(peer, message);
    else if (json_is_integer(id))
        peer_answered(peer, message, json_integer_value(id));
    json_decref(message);
}

// False: the connection is of no use any more.
static bool peer_read(struct peer *peer)
{
    const ssize_t got = recv(peer->fd, peer->line + peer->filled, CONTROL_LINE - peer->filled, MSG_DONTWAIT);
    if (got < 0 && (errno == EINTR || errno == EAGAIN))
        return true;
    if (got <= 0)
        return false;
    peer->filled += (size_t)got;
    char *start = peer->line, *end;
    while ((end = memchr(start, '\n', peer->filled - (size_t)(start - peer->line)))) {
        peer_line(peer, start, (size_t)(end - start));
        start = end + 1;
    }
    peer->filled -= (size_t)(start - peer->line);
    memmove(peer->line, start, peer->filled);
    return peer->filled < CONTROL_LINE;
}

static void peer_disconnect(struct peer *peer)
{
    pthread_mutex_lock(&peer->lock);
    close(peer->fd);
    peer->fd = -1;
    peer->filled = 0;
    for (struct question *question = peer->questions; question; question = question->next)
        question->done = true; // without an answer
    pthread_cond_broadcast(&peer->told);
    pthread_mutex_unlock(&peer->lock);
}

static bool peer_connect(struct peer *peer)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (snprintf(address.sun_path, sizeof address.sun_path, "%s/control", peer->directory) >=
        (int)sizeof address.sun_path)
        return false;
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    const struct timeval limit = {.tv_sec = SEND_MS / 1000};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit); // connect waits no longer either
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        close(fd);
        return false;
    }
    pthread_mutex_lock(&peer->lock);
    peer->fd = fd;
    peer_ask(peer, 0, "status", NULL, NULL, 0);
    pthread_mutex_unlock(&peer->lock);
    return true;
}

static bool end_file_read(const char *directory, struct peer_end *end)
{
    char *path = value_text("%s/ended", directory);
    json_t *message = json_load_file(path, 0, NULL);
    free(path);
    if (message)
        peer_end_read(end, message);
    json_decref(message);
    return message && end->known;
}

// The process is gone: what it said last, or what the kernel says of it.
static void peer_reap(struct peer *peer)
{
    siginfo_t info = {0};
    const bool ours = waitid(P_PIDFD, (id_t)peer->pidfd, &info, WEXITED) == 0; // an adopted one is init's
    if (!peer->end.known)
        end_file_read(peer->directory, &peer->end);
    if (!peer->end.known && ours && info.si_code == CLD_EXITED)
        snprintf(peer->end.text, sizeof peer->end.text, "exit status %d, see '%s/%s'", info.si_status, peer->directory,
                 peer->type->log);
    else if (!peer->end.known && ours)
        snprintf(peer->end.text, sizeof peer->end.text, "signal %d (%s)", info.si_status,
                 strsignal(info.si_status));
}

static void *peer_thread(void *context)
{
    struct peer *peer = context;
    for (bool gone = false; !gone;) {
        struct pollfd wait[2] = {{.fd = peer->pidfd, .events = POLLIN}, {.fd = peer->fd, .events = POLLIN}};
        if (poll(wait, 2, peer->fd < 0 ? RECONNECT_MS : -1) < 0 && errno != EINTR)
            break;
        if (peer->fd >= 0 && wait[1].revents && !peer_read(peer)) {
            peer_disconnect(peer);
            if (!(wait[0].revents & POLLIN) && poll(wait, 1, RECONNECT_MS) == 0)
                peer->type->deaf(peer->owner);
        }
        gone = wait[0].revents & POLLIN;
        while (gone && peer->fd >= 0 && peer_read(peer)) {
            struct pollfd rest = {.fd = peer->fd, .events = POLLIN};
            if (poll(&rest, 1, 0) <= 0)
                break; // a child of the peer holds the other end open
        }
        if (!gone && peer->fd < 0)
            peer_connect(peer);
    }
    peer_reap(peer);
    pthread_mutex_lock(&peer->lock);
    peer->gone = true;
    const struct peer_end end = peer->end;
    pthread_cond_broadcast(&peer->told);
    pthread_mutex_unlock(&peer->lock);
    peer->type->ended(peer->owner, peer, &end);
    peer_unref(peer);
    return NULL;
}

// The owner gets the peer, and the peer its thread.
static int peer_begin(struct peer *peer, struct error *error)
{
    pthread_t thread;
    peer->type->set(peer->owner, peer_ref(peer));
    const int result = pthread_create(&thread, NULL, peer_thread, peer_ref(peer));
    if (result) {
        peer_unref(peer);
        peer->type->set(peer->owner, NULL);
        return error_set(error, "no thread for its peer: %s", strerror(result));
    }
    pthread_detach(thread);
    return 0;
}

// Waits until the guest runs, or the process is gone.
static bool peer_wait(struct peer *peer, unsigned milliseconds)
{
    const struct timespec until = deadline(milliseconds);
    pthread_mutex_lock(&peer->lock);
    while (!peer->running && !peer->gone)
        if (pthread_cond_timedwait(&peer->told, &peer->lock, &until) == ETIMEDOUT)
            break;
    const bool running = peer->running && !peer->gone;
    pthread_mutex_unlock(&peer->lock);
    return running;
}

// --- Starting --------------------------------------------------------------------------------------------------------
// What the child needs, in the order of its descriptors from 0 on.
struct launch {
    const struct peer_type *type;
    const char *directory, *config, *program;
    int descriptors[CONTROL_FD_SERVICE + 1];
};

static int launch_open(struct launch *launch, int descriptor, const char *path, int flags, struct error *error)
{
    const int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(error, "'%s': %s", path, strerror(errno));
    launch->descriptors[descriptor] = fcntl(fd, F_DUPFD_CLOEXEC, DESCRIPTORS);
    close(fd);
    return launch->descriptors[descriptor] < 0 ? error_set(error, "'%s': %s", path, strerror(errno)) : 0;
}

static int launch_config(struct launch *launch, struct error *error)
{
    const int fd = memfd_create("nidus-config", MFD_CLOEXEC);
    const size_t bytes = strlen(launch->config);
    const bool written = fd >= 0 && write(fd, launch->config, bytes) == (ssize_t)bytes;
    if (written)
        launch->descriptors[CONTROL_FD_CONFIG] = fcntl(fd, F_DUPFD_CLOEXEC, DESCRIPTORS);
    if (fd >= 0)
        close(fd);
    return launch->descriptors[CONTROL_FD_CONFIG] < 0 ? error_set(error, "its configuration: %s", strerror(errno)) : 0;
}

static pid_t lock_owner(int fd)
{
    char text[24] = "";
    const ssize_t got = pread(fd, text, sizeof text - 1, 0);
    return got > 0 ? (pid_t)strtol(text, NULL, 10) : 0;
}

static int launch_lock(struct launch *launch, struct error *error)
{
    char *path = value_text("%s/lock", launch->directory);
    int result = launch_open(launch, CONTROL_FD_LOCK, path, O_RDWR | O_CREAT, error);
    free(path);
    if (result == 0 && flock(launch->descriptors[CONTROL_FD_LOCK], LOCK_EX | LOCK_NB) < 0)
        result = error_set(error, "another %s of it (%d) still lives; end it first", launch->type->what,
                           lock_owner(launch->descriptors[CONTROL_FD_LOCK]));
    return result;
}

static int launch_prepare(struct launch *launch, struct error *error)
{
    char *above = value_text("%.*s", (int)(strrchr(launch->directory, '/') - launch->directory), launch->directory);
    const int made = place_make(above, error) < 0 ? -1 : place_make(launch->directory, error);
    free(above);
    if (made < 0)
        return -1;
    if (launch_lock(launch, error) < 0 || launch_config(launch, error) < 0)
        return -1;
    peer_forget(launch->directory);
    char *log = value_text("%s/%s", launch->directory, launch->type->log);
    const int result = launch_open(launch, STDERR_FILENO, log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, error);
    free(log);
    if (result < 0 || launch_open(launch, STDIN_FILENO, "/dev/null", O_RDONLY, error) < 0)
        return -1;
    launch->descriptors[STDOUT_FILENO] = fcntl(launch->descriptors[STDERR_FILENO], F_DUPFD_CLOEXEC, DESCRIPTORS);
    int pair[2];
    if (launch->descriptors[STDOUT_FILENO] < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return error_set(error, "its control connection: %s", strerror(errno));
    launch->descriptors[CONTROL_FD_SERVICE] = fcntl(pair[1], F_DUPFD_CLOEXEC, DESCRIPTORS);
    close(pair[1]);
    const struct timeval limit = {.tv_sec = SEND_MS / 1000};
    setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (launch->descriptors[CONTROL_FD_SERVICE] < 0) {
        close(pair[0]);
        return error_set(error, "its control connection: %s", strerror(errno));
    }
    return pair[0];
}

static void launch_close(struct launch *launch)
{
    for (size_t i = 0; i < ARRAY_SIZE(launch->descriptors); i++)
        if (launch->descriptors[i] >= 0)
            close(launch->descriptors[i]);
}

// In the child, between fork and exec in a process that had threads: system calls only.
static void launch_child(const struct launch *launch)
{
    char text[24];
    size_t at = sizeof text;
    text[--at] = '\n';
    for (pid_t pid = getpid(); pid; pid /= 10)
        text[--at] = (char)('0' + pid % 10);
    setsid();
    const int lock = launch->descriptors[CONTROL_FD_LOCK];
    if (ftruncate(lock, 0) < 0 || pwrite(lock, text + at, sizeof text - at, 0) < 0)
        _exit(126);
    for (int i = 0; i <= CONTROL_FD_SERVICE; i++)
        if (dup2(launch->descriptors[i], i) < 0)
            _exit(126);
    close_range(CONTROL_FD_SERVICE + 1, ~0u, 0);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    char *const words[] = {(char *)"nidus", (char *)(uintptr_t)launch->type->word, NULL};
    execv(launch->program, words);
    _exit(127);
}

// The process, which does not say yet that it runs.
static struct peer *launch(struct launch *launch, void *owner, struct error *error)
{
    const int fd = launch_prepare(launch, error);
    const pid_t pid = fd < 0 ? -1 : fork();
    if (pid == 0)
        launch_child(launch);
    if (fd >= 0 && pid < 0)
        error_set(error, "its %s: %s", launch->type->what, strerror(errno));
    launch_close(launch); // the lock is the child's now
    if (pid < 0) {
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    struct peer *peer = peer_create(launch->type, owner, launch->directory, pid, pidfd_open(pid, 0), fd);
    if (peer_begin(peer, error) == 0)
        return peer;
    peer_kill(peer);
    waitpid(pid, NULL, 0);
    peer_unref(peer);
    return NULL;
}

struct peer *peer_start(const struct peer_type *type, void *owner, const char *directory, const char *config,
                        const char *program, struct error *error)
{
    struct launch begin = {.type = type, .directory = directory, .config = config, .program = program,
                           .descriptors = {-1, -1, -1, -1, -1, -1}};
    struct peer *peer = launch(&begin, owner, error);
    if (!peer || peer_wait(peer, START_MS))
        return peer;
    peer_kill(peer);
    pthread_mutex_lock(&peer->lock);
    const bool told = peer->gone;
    while (!peer->gone)
        pthread_cond_wait(&peer->told, &peer->lock);
    if (!told)
        error_set(error, "its %s did not start it within %d seconds", type->what, START_MS / 1000);
    else if (peer->end.known)
        error_set(error, "%s", peer->end.text);
    else
        error_set(error, "its %s ended: %s", type->what, peer->end.text);
    pthread_mutex_unlock(&peer->lock);
    peer_unref(peer);
    return NULL;
}

// --- Finding again ---------------------------------------------------------------------------------------------------
// The process that holds the directory's lock, as a pidfd; -1: nobody does.
static int lock_holder(const char *directory, pid_t *pid)
{
    char *path = value_text("%s/lock", directory);
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    free(path);
    if (fd < 0)
        return -1;
    int pidfd = -1;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        *pid = lock_owner(fd);
        pidfd = *pid > 0 ? pidfd_open(*pid, 0) : -1;
        // Still locked after the process was pinned: the number in the file is not of one that is gone.
        if (pidfd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0) {
            close(pidfd);
            pidfd = -1;
        }
    }
    close(fd);
    return pidfd;
}

enum peer_found peer_adopt(const struct peer_type *type, void *owner, const char *directory, struct peer **peer,
                           struct peer_end *end)
{
    pid_t pid = 0;
    *end = (struct peer_end){0};
    *peer = NULL;
    const int pidfd = lock_holder(directory, &pid);
    if (pidfd < 0)
        return end_file_read(directory, end) ? PEER_ENDED : PEER_NONE;
    struct peer *adopted = peer_create(type, owner, directory, pid, pidfd, -1);
    struct error error;
    enum peer_found found = PEER_DEAF;
    peer_connect(adopted);
    if (peer_begin(adopted, &error) < 0)
        log_write(LOG_ERROR, "adopt", "directory", directory, "reason", error.text, NULL);
    else if (peer_wait(adopted, ADOPT_MS))
        found = PEER_RUNNING;
    pthread_mutex_lock(&adopted->lock);
    if (adopted->gone) {
        *end = adopted->end;
        found = PEER_ENDED;
    }
    pthread_mutex_unlock(&adopted->lock);
    if (found == PEER_ENDED)
        peer_unref(adopted);
    else
        *peer = adopted;
    return found;
}

bool peer_end_orphan(const char *directory)
{
    pid_t pid = 0;
    const int pidfd = lock_holder(directory, &pid);
    if (pidfd < 0)
        return false;
    pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
    struct pollfd wait = {.fd = pidfd, .events = POLLIN};
    poll(&wait, 1, SEND_MS);
    close(pidfd);
    return true;
}

void peer_forget(const char *directory)
{
    static const char *const names[] = {"ended", "control"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        char *path = value_text("%s/%s", directory, names[i]);
        unlink(path);
        free(path);
    }
}
