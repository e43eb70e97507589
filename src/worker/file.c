// See file.h.
#include "worker/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int file_too_long(const char *option, const char *path, u64 most, struct error *error)
{
    return error_set(error, "%s %s: is longer than the VM's memory (%" PRIu64 " MiB): give the VM more with --memory",
                     option, path, most >> 20);
}

static int file_read(struct file *file, int fd, const char *option, const char *path, u64 most, struct error *error)
{
    u64 room = 0;
    while (true) {
        if (file->bytes == room) {
            if (room > most)
                return file_too_long(option, path, most, error);
            room = room ? room * 2 : KIB(64);
            u8 *data = realloc(file->data, room);
            if (!data)
                return error_set(error, "%s %s: out of memory", option, path);
            file->data = data;
        }
        ssize_t got = read(fd, file->data + file->bytes, room - file->bytes);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set(error, "%s %s: cannot be read: %s", option, path, strerror(errno));
        if (got == 0)
            break;
        file->bytes += (u64)got;
    }
    return file->bytes > most ? file_too_long(option, path, most, error) : 0;
}

static int file_load_open(struct file *file, int fd, const char *option, const char *path, u64 most,
                          struct error *error)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return error_set(error, "%s %s: %s", option, path, strerror(errno));
    if (S_ISDIR(status.st_mode))
        return error_set(error, "%s %s: is a directory: name a file", option, path);
    if (!S_ISREG(status.st_mode) || status.st_size == 0)
        return file_read(file, fd, option, path, most, error);
    if ((u64)status.st_size > most)
        return file_too_long(option, path, most, error);
    void *data = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED)
        return file_read(file, fd, option, path, most, error);
    *file = (struct file){.data = data, .bytes = (u64)status.st_size, .mapped = true};
    return 0;
}

int file_load(struct file *file, const char *option, const char *path, u64 most, struct error *error)
{
    *file = (struct file){.data = NULL};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(error, "%s %s: cannot be opened: %s", option, path, strerror(errno));
    int result = file_load_open(file, fd, option, path, most, error);
    close(fd);
    if (result)
        file_free(file);
    return result;
}

void file_rest(const struct file *file)
{
    if (file->mapped)
        madvise(file->data, file->bytes, MADV_DONTNEED);
}

void file_free(struct file *file)
{
    if (file->mapped)
        munmap(file->data, file->bytes);
    else
        free(file->data);
    *file = (struct file){.data = NULL};
}
