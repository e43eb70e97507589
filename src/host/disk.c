// See disk.h. The lock is an open-file-description lock over the whole file, because it goes away with the descriptor
// (however the process ends) and because QEMU takes the same kind on the bytes it cares about: the two programs keep
// each other off an image. The price is that the kernel does not say who holds such a lock; disk_lock_owner finds out.
#include "host/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/disk_image.h"
#include "base/process.h"

static int disk_lock(struct disk *disk, const char *path, struct error *error)
{
    struct flock lock = {.l_type = (short)(disk->readonly ? F_RDLCK : F_WRLCK), .l_whence = SEEK_SET};
    if (fcntl(disk->fd, F_OFD_SETLK, &lock) == 0)
        return 0;
    if (errno != EAGAIN && errno != EACCES) {
        // Nobody can hold a lock where there are none, and a reader does no harm to others.
        if (disk->readonly)
            return 0;
        return error_set(error, "disk '%s': cannot be locked: %s; keep the image on a file system with locks, "
                         "or use it readonly", path, strerror(errno));
    }
    char owner[160];
    process_describe_lock_owner(disk->fd, owner, sizeof owner);
    return error_set(error, "disk '%s': in use by %s; end that first%s", path, owner,
                     disk->readonly ? "" : ", or let both open the disk readonly");
}

// The size and transfer unit of what was opened.
static int disk_measure(struct disk *disk, const char *path, struct error *error)
{
    struct stat status;
    if (fstat(disk->fd, &status) < 0)
        return error_set(error, "disk '%s': %s", path, strerror(errno));
    if (S_ISBLK(status.st_mode)) {
        unsigned physical = 0;
        disk->device = true;
        if (ioctl(disk->fd, BLKGETSIZE64, &disk->file_bytes) < 0)
            return error_set(error, "disk '%s': cannot read the block device's size: %s", path, strerror(errno));
        disk->block = ioctl(disk->fd, BLKPBSZGET, &physical) == 0 ? physical : DISK_SECTOR;
    } else if (S_ISREG(status.st_mode)) {
        disk->file_bytes = (u64)status.st_size;
        disk->block = PAGE_BYTES;
    } else {
        return error_set(error, "disk '%s': neither a file nor a block device", path);
    }
    disk->bytes = align_up(disk->file_bytes, DISK_SECTOR);
    if (!disk->bytes)
        return error_set(error, "disk '%s': empty; give it a size first: truncate -s 8G '%s'", path, path);
    disk_identify(disk, &status);
    return 0;
}

void disk_identify(struct disk *disk, const struct stat *status)
{
    char identity[sizeof disk->identity + 1];
    bool device = S_ISBLK(status->st_mode);
    snprintf(identity, sizeof identity, "%x-%llx", (unsigned)(device ? status->st_rdev : status->st_dev),
             device ? 0ULL : (unsigned long long)status->st_ino);
    memcpy(disk->identity, identity, sizeof disk->identity);
}

static int disk_open_file(const struct disk_config *config, struct error *error)
{
    // Without O_NONBLOCK, opening a named pipe by mistake would wait for its other end.
    int flags = O_CLOEXEC | O_NONBLOCK | (config->readonly ? O_RDONLY : O_RDWR);
    struct stat status;
    // On a block device O_EXCL asks that nothing on the host has it mounted.
    if (!config->readonly && stat(config->path, &status) == 0 && S_ISBLK(status.st_mode))
        flags |= O_EXCL;
    int fd = open(config->path, flags);
    if (fd >= 0)
        return fd;
    switch (errno) {
    case ENOENT:
        return error_set(error, "disk '%s': no such file; create one with: truncate -s 8G '%s'", config->path,
                         config->path);
    case EBUSY:
        return error_set(error, "disk '%s': the host itself uses this block device (mounted?); unmount it first",
                         config->path);
    case EACCES: case EPERM: case EROFS:
        return error_set(error, "disk '%s': %s%s", config->path, strerror(errno),
                         config->readonly ? "" : "; append ',readonly' if reading is enough");
    default:
        return error_set(error, "disk '%s': %s", config->path, strerror(errno));
    }
}

// Skips `bytes` of the segments and returns how many segments are used up.
static unsigned raw_advance(struct iovec *segments, unsigned count, u64 bytes)
{
    unsigned done = 0;
    while (done < count && bytes >= segments[done].iov_len)
        bytes -= segments[done++].iov_len;
    if (done < count) {
        segments[done].iov_base = (char *)segments[done].iov_base + bytes;
        segments[done].iov_len -= bytes;
    }
    return done;
}

// The end of the last sector, where the file has none.
static int raw_read_past_end(struct iovec *segments, unsigned count, u64 bytes)
{
    if (bytes >= DISK_SECTOR)
        return -EIO; // the file shrank under us
    for (unsigned i = 0; i < count; i++)
        memset(segments[i].iov_base, 0, segments[i].iov_len);
    return 0;
}

static int raw_read(struct disk *disk, struct iovec *segments, unsigned count, u64 bytes, u64 offset)
{
    while (bytes) {
        unsigned batch = count < DISK_MAX_SEGMENTS ? count : DISK_MAX_SEGMENTS;
        ssize_t got = preadv(disk->fd, segments, (int)batch, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            return raw_read_past_end(segments, count, bytes);
        unsigned used = raw_advance(segments, count, (u64)got);
        segments += used;
        count -= used;
        bytes -= (u64)got;
        offset += (u64)got;
    }
    return 0;
}

static int raw_write(struct disk *disk, struct iovec *segments, unsigned count, u64 bytes, u64 offset)
{
    while (bytes) {
        unsigned batch = count < DISK_MAX_SEGMENTS ? count : DISK_MAX_SEGMENTS;
        ssize_t put = pwritev(disk->fd, segments, (int)batch, (off_t)offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put < 0 ? -errno : -EIO;
        unsigned used = raw_advance(segments, count, (u64)put);
        segments += used;
        count -= used;
        bytes -= (u64)put;
        offset += (u64)put;
    }
    return 0;
}

static int raw_flush(struct disk *disk)
{
    return fdatasync(disk->fd) < 0 ? -errno : 0;
}

static int raw_allocate(struct disk *disk, int mode, u64 offset, u64 bytes)
{
    int result;
    do
        result = fallocate(disk->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)bytes);
    while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : 0;
}

static int raw_zero(struct disk *disk, u64 offset, u64 bytes, bool unmap)
{
    if (unmap && raw_allocate(disk, FALLOC_FL_PUNCH_HOLE, offset, bytes) == 0)
        return 0;
    return raw_allocate(disk, FALLOC_FL_ZERO_RANGE, offset, bytes);
}

static int raw_discard(struct disk *disk, u64 offset, u64 bytes)
{
    return raw_allocate(disk, FALLOC_FL_PUNCH_HOLE, offset, bytes);
}

static void raw_close(struct disk *disk)
{
    if (disk->fd >= 0)
        close(disk->fd);
    disk->fd = -1;
}

static const struct disk_type raw_type = {
    .read = raw_read,
    .write = raw_write,
    .flush = raw_flush,
    .zero = raw_zero,
    .discard = raw_discard,
    .close = raw_close,
};

static int raw_open(struct disk *disk, const struct disk_config *config, struct error *error)
{
    disk->fd = disk_open_file(config, error);
    if (disk->fd < 0)
        return -1;
    disk->type = &raw_type;
    if (!disk_measure(disk, config->path, error) && !disk_lock(disk, config->path, error))
        return 0;
    raw_close(disk);
    return -1;
}

// --- All types ---

static const struct {
    const char *ending, *format;
} disk_formats[] = {
    {".qcow2", "qcow2"}, {".vhdx", "vhdx"}, {".avhdx", "vhdx"}, {".vhd", "vpc"}, {".avhd", "vpc"}, {"", "raw"},
};

const char *disk_format(const char *path)
{
    size_t length = strlen(path);
    for (size_t i = 0; i < ARRAY_SIZE(disk_formats); i++) {
        size_t ending = strlen(disk_formats[i].ending);
        if (length >= ending && !strcasecmp(path + length - ending, disk_formats[i].ending))
            return disk_formats[i].format;
    }
    return "raw";
}

bool disk_format_known(const char *format)
{
    for (size_t i = 0; i < ARRAY_SIZE(disk_formats); i++)
        if (!strcmp(format, disk_formats[i].format))
            return true;
    return false;
}

int disk_open(struct disk *disk, const struct disk_config *config, struct error *error)
{
    const char *format = config->format ? config->format : disk_format(config->path);
    *disk = (struct disk){.fd = -1, .readonly = config->readonly};
    int result = strcmp(format, "raw") ? disk_image_open(disk, config, format, error) : raw_open(disk, config, error);
    if (result)
        disk->type = NULL;
    return result;
}

void disk_close(struct disk *disk)
{
    if (disk->type)
        disk->type->close(disk);
    disk->type = NULL;
}

int disk_read(struct disk *disk, struct iovec *segments, unsigned count, u64 bytes, u64 offset)
{
    return disk->type->read(disk, segments, count, bytes, offset);
}

int disk_write(struct disk *disk, struct iovec *segments, unsigned count, u64 bytes, u64 offset)
{
    return disk->readonly ? -EROFS : disk->type->write(disk, segments, count, bytes, offset);
}

int disk_flush(struct disk *disk) { return disk->readonly ? 0 : disk->type->flush(disk); }

static int disk_write_zeros(struct disk *disk, u64 offset, u64 bytes)
{
    static const char zeros[64 << 10];
    for (u64 part; bytes; bytes -= part, offset += part) {
        part = bytes < sizeof zeros ? bytes : sizeof zeros;
        struct iovec segment = {.iov_base = (void *)zeros, .iov_len = part};
        int result = disk->type->write(disk, &segment, 1, part, offset);
        if (result < 0)
            return result;
    }
    return 0;
}

int disk_zero(struct disk *disk, u64 offset, u64 bytes, bool unmap)
{
    if (disk->readonly)
        return -EROFS;
    // What cannot be had by the short way (a file system without holes, VHDX) can by the long one.
    return disk->type->zero(disk, offset, bytes, unmap) == 0 ? 0 : disk_write_zeros(disk, offset, bytes);
}

int disk_discard(struct disk *disk, u64 offset, u64 bytes)
{
    return disk->readonly ? -EROFS : disk->type->discard(disk, offset, bytes);
}
