// See console_log.h.
#include "host/console_log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int console_log_open(struct console_log *log, const char *path, struct error *error)
{
    struct stat status;
    log->fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (log->fd < 0)
        return error_set(error, "console log '%s': %s", path, strerror(errno));
    if (fstat(log->fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        console_log_close(log);
        return error_set(error, "console log '%s': is no file", path);
    }
    log->bytes = (u64)status.st_size;
    return 0;
}

void console_log_close(struct console_log *log)
{
    if (log->fd >= 0)
        close(log->fd);
    log->fd = -1;
}

// The newer half moves to the beginning. It lies behind where it goes, so no byte is read after it was overwritten.
static void console_log_halve(struct console_log *log)
{
    u8 chunk[16 << 10];
    u64 from = log->bytes - CONSOLE_LOG_MOST / 2, to = 0;
    while (from < log->bytes) {
        ssize_t got = pread(log->fd, chunk, sizeof chunk, (off_t)from);
        ssize_t put = got > 0 ? pwrite(log->fd, chunk, (size_t)got, (off_t)to) : 0;
        if (put <= 0)
            break;
        from += (u64)put;
        to += (u64)put;
    }
    if (ftruncate(log->fd, (off_t)to) == 0)
        log->bytes = to;
}

void console_log_put(struct console_log *log, const u8 *bytes, size_t count)
{
    if (log->fd < 0)
        return;
    if (log->bytes + count > CONSOLE_LOG_MOST && log->bytes > CONSOLE_LOG_MOST / 2)
        console_log_halve(log);
    ssize_t put = pwrite(log->fd, bytes, count, (off_t)log->bytes);
    if (put > 0)
        log->bytes += (u64)put;
}
