// See unix_socket.h.
#include "host/unix_socket.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

// Nobody answers behind the socket at `address`.
static bool unix_socket_is_stale(const struct sockaddr_un *address)
{
    struct stat status;
    if (lstat(address->sun_path, &status) < 0 || !S_ISSOCK(status.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    bool stale = connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 && errno == ECONNREFUSED;
    close(fd);
    return stale;
}

static int unix_socket_bind(int fd, const struct sockaddr_un *address)
{
    mode_t before = umask(0177);
    int result = bind(fd, (const struct sockaddr *)address, sizeof *address) < 0 ? -errno : 0;
    umask(before);
    return result;
}

int unix_socket_listen(const char *path, const char *what, struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (!length || length >= sizeof address.sun_path)
        return error_set(error, "%s: socket path '%s' must have 1 to %zu characters", what, path,
                         sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, length);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_set(error, "%s: socket '%s': %s", what, path, strerror(errno));
    int result = unix_socket_bind(fd, &address);
    if (result == -EADDRINUSE && unix_socket_is_stale(&address) && unlink(path) == 0)
        result = unix_socket_bind(fd, &address);
    if (result == 0 && listen(fd, 1) < 0)
        result = -errno;
    if (result == 0)
        return fd;
    close(fd);
    if (result == -EADDRINUSE)
        return error_set(error, "%s: socket '%s' is in use, or is another kind of file; choose another path", what,
                         path);
    return error_set(error, "%s: socket '%s': %s", what, path, strerror(-result));
}
