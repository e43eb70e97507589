// See tail.h.
#include "base/tail.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

size_t tail_read(const char *path, char *bytes, size_t room)
{
    struct stat status;
    const int fd = path && *path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    if (fd < 0)
        return 0;
    const off_t size = fstat(fd, &status) == 0 && S_ISREG(status.st_mode) ? status.st_size : 0;
    const off_t from = size > (off_t)room ? size - (off_t)room : 0;
    const ssize_t got = size ? pread(fd, bytes, room, from) : 0;
    close(fd);
    if (got <= 0)
        return 0;
    const char *line = from ? memchr(bytes, '\n', (size_t)got) : NULL;
    const size_t skipped = line ? (size_t)(line + 1 - bytes) : 0;
    memmove(bytes, bytes + skipped, (size_t)got - skipped);
    return (size_t)got - skipped;
}
