// See copy.h.
#include "service/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COPY_STEP = 8 << 20, COPY_BUFFER = 128 << 10 };

// Where the kernel cannot copy between the two file systems. Fewer bytes than asked for: the end.
static ssize_t copy_plain(int from, off_t *at, int to, size_t bytes)
{
    char buffer[COPY_BUFFER];
    size_t done = 0;
    while (done < bytes) {
        const size_t wanted = bytes - done < sizeof buffer ? bytes - done : sizeof buffer;
        const ssize_t got = pread(from, buffer, wanted, *at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -1 : (ssize_t)done;
        for (ssize_t put = 0; put < got;) {
            const ssize_t written = pwrite(to, buffer + put, (size_t)(got - put), *at + put);
            if (written < 0 && errno != EINTR)
                return -1;
            put += written > 0 ? written : 0;
        }
        *at += got;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

static ssize_t copy_some(int from, off_t *at, int to, size_t bytes)
{
    off_t there = *at;
    const ssize_t copied = copy_file_range(from, at, to, &there, bytes, 0);
    const bool cannot = copied < 0 && (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP);
    return copied == 0 || cannot ? copy_plain(from, at, to, bytes) : copied;
}

static bool copy_tell(const struct copy_progress *progress, u64 bytes)
{
    return !progress || !progress->copied || progress->copied(progress->context, bytes);
}

// 0, or an error number; ECANCELED: nobody wants it.
static int copy_bytes(int from, int to, off_t size, const struct copy_progress *progress)
{
    for (off_t at = 0; at < size;) {
        off_t data = lseek(from, at, SEEK_DATA), end;
        if (data < 0)
            data = errno == ENXIO ? size : at; // only a hole; or the file system knows of none
        if (data > size)
            data = size;
        if (data > at && !copy_tell(progress, (u64)(data - at)))
            return ECANCELED;
        end = data < size ? lseek(from, data, SEEK_HOLE) : size;
        for (at = data, end = end <= data || end > size ? size : end; at < end;) {
            const ssize_t copied = copy_some(from, &at, to, (size_t)(end - at < COPY_STEP ? end - at : COPY_STEP));
            if (copied <= 0)
                return copied < 0 ? errno : EIO; // it became shorter
            if (!copy_tell(progress, (u64)copied))
                return ECANCELED;
        }
    }
    return ftruncate(to, size) < 0 || fsync(to) < 0 ? errno : 0;
}

int copy_file(int from, const char *to, const struct copy_progress *progress, struct error *error)
{
    struct stat status;
    if (fstat(from, &status) < 0)
        return error_set(error, "'%s': %s", to, strerror(errno));
    const int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(error, "'%s': %s", to, strerror(errno));
    const int why = copy_bytes(from, fd, status.st_size, progress);
    if (close(fd) == 0 && !why)
        return 0;
    unlink(to);
    return error_set(error, "'%s': %s", to, why == ECANCELED ? "the copy was cancelled" : strerror(why ? why : errno));
}
