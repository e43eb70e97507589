// See start.h. What a login session's processes start may end with them, at the latest when the host goes down, and
// before anybody can do what AutomaticStopAction says. So where systemd has the unit of the service, systemd starts it:
// the host's for root; for another user the one of that user's own systemd, if it stays when the user logs out
// (lingers). Elsewhere the service is a process of ours, which is all that a container or a rescue shell has.
#include "shell/start.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { NOT_INSTALLED = 5 /* systemctl's status for a unit that is not there */, NO_PROGRAM = 127, NOT_UP = -1 };

// --- Starting a program ----------------------------------------------------------------------------------------------
// What the child said on its standard error, until it ended or the time was up. Its exit status; NOT_UP.
static int child_wait(pid_t pid, int fd, char *text, size_t room)
{
    size_t filled = 0;
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (;;) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        const long left = START_MS - (now.tv_sec - start.tv_sec) * 1000;
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (left <= 0 || (poll(&wait, 1, (int)left) == 0)) {
            kill(pid, SIGKILL);
            snprintf(text, room, "it was not up within %d seconds", START_MS / 1000);
            waitpid(pid, NULL, 0);
            return NOT_UP;
        }
        char rest[512];
        const bool full = filled >= room - 1;
        const ssize_t got = full ? read(fd, rest, sizeof rest) : read(fd, text + filled, room - 1 - filled);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        filled += full ? 0 : (size_t)got;
    }
    text[filled] = 0;
    int status;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : NOT_UP;
}

static int child_run(const char *program, const char *const *words, char *text, size_t room)
{
    int pair[2];
    if (pipe2(pair, O_CLOEXEC) < 0) {
        snprintf(text, room, "%s", strerror(errno));
        return NOT_UP;
    }
    const pid_t pid = fork();
    if (pid == 0) {
        const int null = open("/dev/null", O_RDWR);
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        dup2(pair[1], STDERR_FILENO);
        execvp(program, (char *const *)words);
        _exit(NO_PROGRAM);
    }
    const int why = errno;
    close(pair[1]);
    const int status = pid > 0 ? child_wait(pid, pair[0], text, room) : NOT_UP;
    if (pid < 0)
        snprintf(text, room, "%s", strerror(why));
    close(pair[0]);
    text[strcspn(text, "\n")] = 0;
    return status;
}

// --- By systemd ------------------------------------------------------------------------------------------------------
static bool systemd_is_there(void) { return access("/run/systemd/system", F_OK) == 0; }

// A user's systemd ends with the user's last session, unless this file is there.
static bool user_lingers(void)
{
    char path[300];
    const struct passwd *user = getpwuid(geteuid());
    snprintf(path, sizeof path, "/var/lib/systemd/linger/%s", user ? user->pw_name : "");
    return user && access(path, F_OK) == 0;
}

// systemd's service is at the usual places; who names others means a service of their own.
static bool places_are_usual(void)
{
    static const char *const names[] = {"NIDUS_SOCKET", "NIDUS_RUNTIME_DIRECTORY", "NIDUS_STATE_DIRECTORY"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (getenv(names[i]))
            return false;
    return geteuid() == 0 || !getenv("XDG_STATE_HOME");
}

// False: it has no such unit, or does not talk to us.
static bool systemd_starts(char *text, size_t room, int *status)
{
    static const char *const host[] = {"systemctl", "--no-ask-password", "start", "nidus.service", NULL};
    static const char *const user[] = {"systemctl", "--user", "start", "nidus.service", NULL};
    const bool root = geteuid() == 0;
    if (!systemd_is_there() || !places_are_usual() || (!root && !(getenv("XDG_RUNTIME_DIR") && user_lingers())))
        return false;
    *status = child_run(host[0], root ? host : user, text, room);
    return *status != NOT_INSTALLED && *status != NO_PROGRAM;
}

// --- By ourselves ----------------------------------------------------------------------------------------------------
static bool session_is_login(void)
{
    char line[512];
    bool login = false;
    FILE *file = systemd_is_there() ? fopen("/proc/self/cgroup", "re") : NULL;
    while (file && !login && fgets(line, sizeof line, file))
        login = strstr(line, "/user.slice/");
    if (file)
        fclose(file);
    return login;
}

const char *start_session_words(void)
{
    return geteuid() == 0 ? "The service was started in this login session: its virtual machines may end with the "
                            "session, and end with the host whatever their AutomaticStopAction says. Install nidus "
                            "(make install, or the package), and have systemd start it (systemctl enable --now nidus)."
                          : "The service was started in this login session: its virtual machines may end with the "
                            "session, and end with the host whatever their AutomaticStopAction says. To keep them, have "
                            "your systemd stay (loginctl enable-linger) and start the service (systemctl --user enable "
                            "--now nidus).";
}

// `nidus daemon --background` returns when its socket answers. Several of us may do this at once: one daemon wins, the
// others find its lock taken, and all find its socket.
enum start_result start_service(const char *socket, struct error *error)
{
    char text[400] = "";
    int status = NOT_UP;
    const char *const words[] = {"nidus", "daemon", "--background", "--socket", socket, NULL};
    const bool systemd = systemd_starts(text, sizeof text, &status);
    if (!systemd)
        status = child_run("/proc/self/exe", words, text, sizeof text);
    if (status == 0)
        return !systemd && places_are_usual() && session_is_login() ? START_SESSION : START_DONE;
    if (!systemd && strstr(text, "another service"))
        return START_RACED;
    error_set(error, "the service cannot be started: %s%s", systemd ? "systemd: " : "",
              text[0] ? text : "it ended without a word");
    return START_FAILED;
}
