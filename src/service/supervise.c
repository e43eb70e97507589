// See supervise.h.
#include "service/supervise.h"

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

#include "cmdlet/value.h"
#include "service/log.h"
#include "service/vm_room.h"

enum {
    START_MS = 120000,    // until the guest runs: a large saved state is read in that time, too
    ADOPT_MS = 3000,      // a worker that does not answer for so long is deaf, and tried again in its thread
    RECONNECT_MS = 500,
    SEND_MS = 5000,
    EVENTS_A_SECOND = 50, // of a worker that a guest may have taken over
    DESCRIPTORS = 10,     // where the worker's are kept before they go to their places
};

struct question {
    struct question *next;
    s64 id;
    json_t *answer;
    bool done;
};

struct worker {
    unsigned references; // atomic
    struct vm *vm;       // a reference
    char *directory;
    pid_t pid;
    int pidfd;
    pthread_mutex_t lock; // what follows; taken after no other lock
    pthread_cond_t told;
    int fd; // -1: not connected
    s64 last_id;
    struct question *questions;
    bool running, gone;
    struct worker_end end;
    struct control_status status; // what the first answer after a connection said
    // Its thread's own
    char *line;
    size_t filled;
    u64 second;
    unsigned events;
};

struct worker *worker_ref(struct worker *worker)
{
    __atomic_add_fetch(&worker->references, 1, __ATOMIC_RELAXED);
    return worker;
}

void worker_unref(struct worker *worker)
{
    if (!worker || __atomic_sub_fetch(&worker->references, 1, __ATOMIC_ACQ_REL))
        return;
    if (worker->fd >= 0)
        close(worker->fd);
    if (worker->pidfd >= 0)
        close(worker->pidfd);
    vm_unref(worker->vm);
    pthread_cond_destroy(&worker->told);
    pthread_mutex_destroy(&worker->lock);
    free(worker->directory);
    free(worker->line);
    free(worker);
}

static struct worker *worker_create(struct vm *vm, const char *directory, pid_t pid, int pidfd, int fd)
{
    struct worker *worker = value_allocate(sizeof *worker);
    *worker = (struct worker){.references = 1, .vm = vm_ref(vm), .directory = value_text_copy(directory), .pid = pid,
                              .pidfd = pidfd, .fd = fd, .line = value_allocate(CONTROL_LINE)};
    pthread_mutex_init(&worker->lock, NULL);
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&worker->told, &clock);
    pthread_condattr_destroy(&clock);
    return worker;
}

void worker_kill(struct worker *worker) { pidfd_send_signal(worker->pidfd, SIGKILL, NULL, 0); }

static struct timespec deadline(unsigned milliseconds)
{
    const u64 at = vm_clock() + milliseconds * 1000000ull;
    return (struct timespec){.tv_sec = (time_t)(at / 1000000000), .tv_nsec = (long)(at % 1000000000)};
}

// --- Asking ----------------------------------------------------------------------------------------------------------
// The whole line or nothing that counts: half a line would spoil the next one, so the connection is given up.
static int worker_send(struct worker *worker, const char *line, size_t bytes)
{
    size_t sent = 0;
    while (sent < bytes) {
        const ssize_t now = send(worker->fd, line + sent, bytes - sent, MSG_NOSIGNAL);
        if (now < 0 && errno == EINTR)
            continue;
        if (now <= 0) {
            shutdown(worker->fd, SHUT_RDWR);
            return -1;
        }
        sent += (size_t)now;
    }
    return 0;
}

// With the lock held.
static int worker_ask(struct worker *worker, s64 id, const char *command, const json_t *arguments)
{
    json_t *message = json_pack("{s:I, s:s}", "id", (json_int_t)id, "command", command);
    if (arguments)
        json_object_update_missing(message, (json_t *)arguments);
    char *text = json_dumps(message, JSON_COMPACT);
    json_decref(message);
    char *line = value_text("%s\n", text);
    free(text);
    const int result = worker_send(worker, line, strlen(line));
    free(line);
    return result;
}

struct json_t *worker_command(struct worker *worker, const char *command, const struct json_t *arguments,
                              unsigned milliseconds, struct error *error)
{
    const struct timespec until = deadline(milliseconds);
    struct question question = {0};
    pthread_mutex_lock(&worker->lock);
    bool asked = false;
    if (worker->fd >= 0 && !worker->gone) {
        question.id = ++worker->last_id;
        question.next = worker->questions;
        worker->questions = &question;
        asked = worker_ask(worker, question.id, command, arguments) == 0;
        while (asked && !question.done && !worker->gone)
            if (pthread_cond_timedwait(&worker->told, &worker->lock, &until) == ETIMEDOUT)
                break;
        for (struct question **at = &worker->questions; *at; at = &(*at)->next)
            if (*at == &question) {
                *at = question.next;
                break;
            }
    }
    const bool gone = worker->gone;
    pthread_mutex_unlock(&worker->lock);
    json_t *result = json_incref(json_object_get(question.answer, "result"));
    const char *refused = json_string_value(json_object_get(question.answer, "error"));
    if (!result && refused)
        error_set(error, "%s", refused);
    else if (!result)
        error_set(error, gone ? "its worker process has ended" : "its worker process (%d) does not answer",
                  worker->pid);
    json_decref(question.answer);
    return result;
}

int worker_status(struct worker *worker, struct control_status *status, unsigned milliseconds, struct error *error)
{
    struct json_t *json = worker_command(worker, "status", NULL, milliseconds, error);
    if (!json)
        return -1;
    const int result = control_status_read(status, json, error);
    json_decref(json);
    return result;
}

// --- Listening -------------------------------------------------------------------------------------------------------
static const char *text_of(const json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));
    return text ? text : "";
}

static void worker_answered(struct worker *worker, json_t *message, s64 id)
{
    pthread_mutex_lock(&worker->lock);
    for (struct question *question = worker->questions; question; question = question->next)
        if (question->id == id && !question->done) {
            question->answer = json_incref(message);
            question->done = true;
        }
    pthread_cond_broadcast(&worker->told);
    pthread_mutex_unlock(&worker->lock);
}

// The answer to what is asked after each connection: how things stand.
static void worker_greeted(struct worker *worker, const json_t *message)
{
    struct control_status status;
    if (control_status_read(&status, json_object_get(message, "result"), NULL) < 0)
        return;
    vm_worker_told(worker->vm, &status);
    if (status.state != CONTROL_STARTING)
        vm_worker_state(worker->vm, status.state);
    pthread_mutex_lock(&worker->lock);
    worker->status = status;
    worker->running |= status.state != CONTROL_STARTING;
    pthread_cond_broadcast(&worker->told);
    pthread_mutex_unlock(&worker->lock);
}

static void worker_state(struct worker *worker, const char *name)
{
    enum control_state state;
    if (!control_state_find(name, &state))
        return;
    pthread_mutex_lock(&worker->lock);
    worker->running |= state == CONTROL_RUNNING || state == CONTROL_PAUSED;
    pthread_cond_broadcast(&worker->told);
    pthread_mutex_unlock(&worker->lock);
    vm_worker_state(worker->vm, state);
}

static void worker_end_read(struct worker_end *end, const json_t *message)
{
    end->known = control_ending_find(text_of(message, "ending"), &end->ending);
    snprintf(end->text, sizeof end->text, "%s", text_of(message, "text"));
}

static void worker_event(struct worker *worker, const json_t *message, const char *event)
{
    const u64 second = vm_clock() / 1000000000;
    if (second != worker->second) {
        worker->second = second;
        worker->events = 0;
    }
    if (!strcmp(event, "ended")) {
        pthread_mutex_lock(&worker->lock);
        worker_end_read(&worker->end, message);
        pthread_mutex_unlock(&worker->lock);
    } else if (worker->events++ > EVENTS_A_SECOND) {
        return; // nobody needs to hear a guest that often
    } else if (!strcmp(event, "state")) {
        worker_state(worker, text_of(message, "state"));
    } else if (!strcmp(event, "nested")) {
        vm_worker_nested(worker->vm, text_of(message, "extension"), json_is_true(json_object_get(message, "running")),
                         (u64)json_integer_value(json_object_get(message, "launched")));
    } else if (!strcmp(event, "heartbeat")) {
        vm_worker_heartbeat(worker->vm, text_of(message, "heartbeat"));
    }
}

static void worker_line(struct worker *worker, const char *line, size_t bytes)
{
    json_t *message = json_loadb(line, bytes, JSON_REJECT_DUPLICATES, NULL);
    const json_t *id = json_object_get(message, "id");
    const char *event = json_string_value(json_object_get(message, "event"));
    if (event)
        worker_event(worker, message, event);
    else if (json_is_integer(id) && !json_integer_value(id))
        worker_greeted(worker, message);
    else if (json_is_integer(id))
        worker_answered(worker, message, json_integer_value(id));
    json_decref(message);
}

// False: the connection is of no use any more.
static bool worker_read(struct worker *worker)
{
    const ssize_t got = recv(worker->fd, worker->line + worker->filled, CONTROL_LINE - worker->filled, MSG_DONTWAIT);
    if (got < 0 && (errno == EINTR || errno == EAGAIN))
        return true;
    if (got <= 0)
        return false;
    worker->filled += (size_t)got;
    char *start = worker->line, *end;
    while ((end = memchr(start, '\n', worker->filled - (size_t)(start - worker->line)))) {
        worker_line(worker, start, (size_t)(end - start));
        start = end + 1;
    }
    worker->filled -= (size_t)(start - worker->line);
    memmove(worker->line, start, worker->filled);
    return worker->filled < CONTROL_LINE;
}

static void worker_disconnect(struct worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    close(worker->fd);
    worker->fd = -1;
    worker->filled = 0;
    for (struct question *question = worker->questions; question; question = question->next)
        question->done = true; // without an answer
    pthread_cond_broadcast(&worker->told);
    pthread_mutex_unlock(&worker->lock);
}

static bool worker_connect(struct worker *worker)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (snprintf(address.sun_path, sizeof address.sun_path, "%s/control", worker->directory) >=
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
    pthread_mutex_lock(&worker->lock);
    worker->fd = fd;
    worker_ask(worker, 0, "status", NULL);
    pthread_mutex_unlock(&worker->lock);
    return true;
}

static bool end_file_read(const char *directory, struct worker_end *end)
{
    char *path = value_text("%s/ended", directory);
    json_t *message = json_load_file(path, 0, NULL);
    free(path);
    if (message)
        worker_end_read(end, message);
    json_decref(message);
    return message && end->known;
}

// The process is gone: what it said last, or what the kernel says of it.
static void worker_reap(struct worker *worker)
{
    siginfo_t info = {0};
    const bool ours = waitid(P_PIDFD, (id_t)worker->pidfd, &info, WEXITED) == 0; // an adopted one is init's
    if (!worker->end.known)
        end_file_read(worker->directory, &worker->end);
    if (!worker->end.known && ours && info.si_code == CLD_EXITED)
        snprintf(worker->end.text, sizeof worker->end.text, "exit status %d, see '%s/worker.log'", info.si_status,
                 worker->directory);
    else if (!worker->end.known && ours)
        snprintf(worker->end.text, sizeof worker->end.text, "signal %d (%s)", info.si_status,
                 strsignal(info.si_status));
}

static void *worker_thread(void *context)
{
    struct worker *worker = context;
    for (bool gone = false; !gone;) {
        struct pollfd wait[2] = {{.fd = worker->pidfd, .events = POLLIN}, {.fd = worker->fd, .events = POLLIN}};
        if (poll(wait, 2, worker->fd < 0 ? RECONNECT_MS : -1) < 0 && errno != EINTR)
            break;
        if (worker->fd >= 0 && wait[1].revents && !worker_read(worker)) {
            worker_disconnect(worker);
            if (!(wait[0].revents & POLLIN) && poll(wait, 1, RECONNECT_MS) == 0)
                vm_worker_deaf(worker->vm); // it lives, and hung up on us
        }
        gone = wait[0].revents & POLLIN;
        while (gone && worker->fd >= 0 && worker_read(worker)) {
            struct pollfd rest = {.fd = worker->fd, .events = POLLIN};
            if (poll(&rest, 1, 0) <= 0)
                break; // a child of the worker holds the other end open
        }
        if (!gone && worker->fd < 0)
            worker_connect(worker);
    }
    worker_reap(worker);
    pthread_mutex_lock(&worker->lock);
    worker->gone = true;
    const struct worker_end end = worker->end;
    pthread_cond_broadcast(&worker->told);
    pthread_mutex_unlock(&worker->lock);
    vm_worker_ended(worker->vm, worker, &end);
    worker_unref(worker);
    return NULL;
}

// The VM gets the worker, and the worker its thread.
static int worker_begin(struct worker *worker, struct error *error)
{
    pthread_t thread;
    vm_worker_set(worker->vm, worker_ref(worker));
    const int result = pthread_create(&thread, NULL, worker_thread, worker_ref(worker));
    if (result) {
        worker_unref(worker);
        vm_worker_set(worker->vm, NULL);
        return error_set(error, "no thread for its worker: %s", strerror(result));
    }
    pthread_detach(thread);
    return 0;
}

// Waits until the guest runs, or the process is gone.
static bool worker_wait(struct worker *worker, unsigned milliseconds)
{
    const struct timespec until = deadline(milliseconds);
    pthread_mutex_lock(&worker->lock);
    while (!worker->running && !worker->gone)
        if (pthread_cond_timedwait(&worker->told, &worker->lock, &until) == ETIMEDOUT)
            break;
    const bool running = worker->running && !worker->gone;
    pthread_mutex_unlock(&worker->lock);
    return running;
}

// --- Starting --------------------------------------------------------------------------------------------------------
// What the child needs, in the order of its descriptors from 0 on.
struct launch {
    int descriptors[CONTROL_FD_SERVICE + 1];
    const char *program;
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

static int launch_config(struct launch *launch, const struct control_config *config, struct error *error)
{
    char *text = control_config_write(config);
    const int fd = memfd_create("nidus-config", MFD_CLOEXEC);
    const size_t bytes = strlen(text);
    const bool written = fd >= 0 && write(fd, text, bytes) == (ssize_t)bytes;
    free(text);
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

static int launch_lock(struct launch *launch, const char *directory, struct error *error)
{
    char *path = value_text("%s/lock", directory);
    int result = launch_open(launch, CONTROL_FD_LOCK, path, O_RDWR | O_CREAT, error);
    free(path);
    if (result == 0 && flock(launch->descriptors[CONTROL_FD_LOCK], LOCK_EX | LOCK_NB) < 0)
        result = error_set(error, "another worker process of this virtual machine (%d) still lives; end it first",
                           lock_owner(launch->descriptors[CONTROL_FD_LOCK]));
    return result;
}

static int launch_prepare(struct launch *launch, const struct control_config *config, struct error *error)
{
    if (mkdir(config->directory, 0700) < 0 && errno != EEXIST)
        return error_set(error, "'%s': %s", config->directory, strerror(errno));
    if (launch_lock(launch, config->directory, error) < 0 || launch_config(launch, config, error) < 0)
        return -1;
    supervise_forget(config->directory);
    char *log = value_text("%s/worker.log", config->directory);
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
    char *const words[] = {(char *)"nidus", (char *)"worker", NULL};
    execv(launch->program, words);
    _exit(127);
}

int supervise_start(struct vm *vm, const struct control_config *config, const char *program, struct error *error)
{
    struct launch launch = {.descriptors = {-1, -1, -1, -1, -1, -1}, .program = program};
    const int fd = launch_prepare(&launch, config, error);
    const pid_t pid = fd < 0 ? -1 : fork();
    if (pid == 0)
        launch_child(&launch);
    if (fd >= 0 && pid < 0)
        error_set(error, "its worker process: %s", strerror(errno));
    launch_close(&launch); // the lock is the child's now
    if (pid < 0) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    struct worker *worker = worker_create(vm, config->directory, pid, pidfd_open(pid, 0), fd);
    int result = worker_begin(worker, error);
    if (result < 0) {
        worker_kill(worker);
        waitpid(pid, NULL, 0);
    } else if (!worker_wait(worker, START_MS)) {
        worker_kill(worker);
        vm_wait_end(vm, START_MS, NULL, NULL, NULL);
        result = worker->end.known ? error_set(error, "%s", worker->end.text)
               : worker->gone      ? error_set(error, "its worker process ended: %s", worker->end.text)
                                   : error_set(error, "its worker process did not start it within %d seconds",
                                               START_MS / 1000);
    }
    worker_unref(worker);
    return result;
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

enum adopt supervise_adopt(struct vm *vm, const char *directory, struct control_status *status, struct worker_end *end)
{
    pid_t pid = 0;
    *end = (struct worker_end){0};
    const int pidfd = lock_holder(directory, &pid);
    if (pidfd < 0)
        return end_file_read(directory, end) ? ADOPT_ENDED : ADOPT_NONE;
    struct worker *worker = worker_create(vm, directory, pid, pidfd, -1);
    struct error error;
    enum adopt adopt = ADOPT_DEAF;
    worker_connect(worker);
    if (worker_begin(worker, &error) < 0)
        log_write(LOG_ERROR, "adopt", "id", vm_id(vm), "reason", error.text, NULL);
    else if (worker_wait(worker, ADOPT_MS))
        adopt = ADOPT_RUNNING;
    pthread_mutex_lock(&worker->lock);
    if (worker->gone) {
        *end = worker->end;
        adopt = ADOPT_ENDED;
    }
    *status = worker->status;
    pthread_mutex_unlock(&worker->lock);
    worker_unref(worker);
    return adopt;
}

bool supervise_end_orphan(const char *directory)
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

void supervise_forget(const char *directory)
{
    static const char *const names[] = {"ended", "control"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        char *path = value_text("%s/%s", directory, names[i]);
        unlink(path);
        free(path);
    }
}
