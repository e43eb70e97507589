// See tool.h.
#include "service/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

// What the program writes to one of its two outputs.
struct tool_stream {
    int fd;
    char *text;
    size_t bytes, line; // line: where the line begins that is being read
    bool cut;
};

static int tool_pipe(struct tool_stream *stream, int *child)
{
    int ends[2];
    *stream = (struct tool_stream){.fd = -1, .text = calloc(1, TOOL_OUTPUT + 1)};
    if (!stream->text || pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    stream->fd = ends[0];
    *child = ends[1];
    return 0;
}

static void tool_close(int fd)
{
    if (fd >= 0)
        close(fd);
}

static void tool_lines(struct tool_stream *stream, const struct tool *tool)
{
    while (stream->line < stream->bytes) {
        char *begin = stream->text + stream->line;
        size_t length = strcspn(begin, "\r\n");
        if (stream->line + length >= stream->bytes)
            return;
        const char end = begin[length];
        begin[length] = 0;
        tool->line(tool->context, begin);
        begin[length] = end;
        stream->line += length + 1;
    }
}

// False at the end of the stream. What does not fit is read and dropped, so that the program is not held up.
static bool tool_read(struct tool_stream *stream)
{
    char rest[4096];
    const bool room = stream->bytes < TOOL_OUTPUT;
    ssize_t got = room ? read(stream->fd, stream->text + stream->bytes, TOOL_OUTPUT - stream->bytes)
                       : read(stream->fd, rest, sizeof rest);
    if (got < 0)
        return errno == EINTR;
    if (room)
        stream->bytes += (size_t)got;
    stream->cut = stream->cut || (!room && got > 0);
    return got > 0;
}

static void tool_collect(struct tool_stream streams[2], const struct tool *tool)
{
    while (streams[0].fd >= 0 || streams[1].fd >= 0) {
        struct pollfd fds[2] = {{.fd = streams[0].fd, .events = POLLIN}, {.fd = streams[1].fd, .events = POLLIN}};
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return;
        for (unsigned i = 0; i < 2; i++) {
            if (!fds[i].revents || tool_read(&streams[i]))
                continue;
            close(streams[i].fd);
            streams[i].fd = -1;
        }
        if (tool->line)
            tool_lines(&streams[0], tool);
    }
}

static int tool_spawn(const struct tool *tool, int out, int err, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    posix_spawn_file_actions_adddup2(&actions, err, 2);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    int result = posix_spawnp(pid, tool->words[0], &actions, &attributes, (char *const *)tool->words, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return result;
}

static const char *tool_last_line(struct tool_stream *stream)
{
    while (stream->bytes && strchr("\r\n ", stream->text[stream->bytes - 1]))
        stream->text[--stream->bytes] = 0;
    const char *newline = strrchr(stream->text, '\n');
    return newline ? newline + 1 : stream->text;
}

static int tool_result(const struct tool *tool, int status, struct tool_stream streams[2], struct error *error)
{
    if (streams[0].cut)
        return error_set(error, "%s: more than %d bytes of output", tool->words[0], TOOL_OUTPUT);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (WIFSIGNALED(status))
        return error_set(error, "%s: ended by signal %d", tool->words[0], WTERMSIG(status));
    const char *reason = tool_last_line(&streams[1]);
    return *reason ? error_set(error, "%s", reason)
                   : error_set(error, "%s: ended with status %d", tool->words[0], WEXITSTATUS(status));
}

static int tool_work(const struct tool *tool, struct tool_stream streams[2], struct error *error)
{
    int ends[2] = {-1, -1}, status = 0;
    pid_t pid = -1;
    if (tool_pipe(&streams[0], &ends[0]) < 0 || tool_pipe(&streams[1], &ends[1]) < 0) {
        tool_close(ends[0]);
        return error_set(error, "%s cannot be started: %s", tool->words[0], strerror(errno));
    }
    int failed = tool_spawn(tool, ends[0], ends[1], &pid);
    close(ends[0]);
    close(ends[1]);
    if (failed == ENOENT)
        return error_set(error, "the program %s is not installed; Debian's package %s has it", tool->words[0],
                         tool->package);
    if (failed)
        return error_set(error, "%s cannot be started: %s", tool->words[0], strerror(failed));
    tool_collect(streams, tool);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return tool_result(tool, status, streams, error);
}

char *tool_run(const struct tool *tool, struct error *error)
{
    struct tool_stream streams[2] = {{.fd = -1}, {.fd = -1}};
    int result = tool_work(tool, streams, error);
    for (unsigned i = 0; i < 2; i++)
        tool_close(streams[i].fd);
    free(streams[1].text);
    if (!result)
        return streams[0].text;
    free(streams[0].text);
    return NULL;
}
