// See disk_image.h. What is passed to the daemon is JSON and descriptors, never a file's name inside another syntax.
#include "host/disk_image.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <libnbd.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/confine.h"

#define IMAGE_DAEMON "qemu-storage-daemon"

enum {
    IMAGE_LISTENER = 3, // the daemon's descriptors
    IMAGE_MONITOR = 4,
    IMAGE_GOODBYE_MS = 10000,
    IMAGE_PIECE = 32 << 20, // NBD's most, in a request
};

// What we use of libnbd.
#define IMAGE_FUNCTIONS(f)                                                                                            \
    f(nbd_create) f(nbd_close) f(nbd_set_export_name) f(nbd_connect_socket) f(nbd_get_size) f(nbd_pread) f(nbd_pwrite) \
    f(nbd_flush) f(nbd_zero) f(nbd_trim) f(nbd_can_flush) f(nbd_can_zero) f(nbd_can_trim) f(nbd_shutdown)             \
    f(nbd_get_error) f(nbd_get_errno)

struct image {
    void *library;
    struct nbd_handle *nbd;
    int monitor; // closed by the daemon's end
    bool flushes, zeroes, trims;
#define IMAGE_FUNCTION(name) __typeof__(name) *name;
    IMAGE_FUNCTIONS(IMAGE_FUNCTION)
};

static int image_load_library(struct image *image, struct error *error)
{
    image->library = dlopen("libnbd.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!image->library)
        return error_set(error, "libnbd is needed for this format: install the package libnbd0 (%s)", dlerror());
    bool whole = true;
#define IMAGE_SYMBOL(name) whole &= (image->name = (__typeof__(name) *)dlsym(image->library, #name)) != NULL;
    IMAGE_FUNCTIONS(IMAGE_SYMBOL)
    return whole ? 0 : error_set(error, "libnbd lacks a function: install a newer package libnbd0");
}

// --- The daemon ---

struct image_launch {
    char directory[64], path[80]; // of the socket, for as long as it takes to connect
    int listener, connection, monitor[2], words[2];
    char *file, *driver, *export; // JSON
    u32 user; // 0: ours
};

static int launch_socket(struct image_launch *launch, struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(launch->directory, sizeof launch->directory, "/tmp/nidus-disk-XXXXXX");
    if (!mkdtemp(launch->directory)) {
        launch->directory[0] = 0;
        return error_set(error, "no place for a socket in /tmp: %s", strerror(errno));
    }
    snprintf(launch->path, sizeof launch->path, "%s/nbd", launch->directory);
    memcpy(address.sun_path, launch->path, strlen(launch->path));
    launch->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    launch->connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (launch->listener < 0 || launch->connection < 0 ||
        bind(launch->listener, (const struct sockaddr *)&address, sizeof address) < 0 ||
        listen(launch->listener, 1) < 0 ||
        connect(launch->connection, (const struct sockaddr *)&address, sizeof address) < 0)
        return error_set(error, "no socket for the storage daemon: %s", strerror(errno));
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, launch->monitor) < 0 ||
        pipe2(launch->words, O_CLOEXEC) < 0)
        return error_set(error, "no socket for the storage daemon: %s", strerror(errno));
    return 0;
}

static char *launch_json(json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}

static int launch_words(struct image_launch *launch, const struct disk_config *config, const char *format,
                        struct error *error)
{
    char *path = realpath(config->path, NULL);
    if (!path)
        return error_set(error, "%s", strerror(errno));
    launch->file = launch_json(json_pack("{s:s,s:s,s:s,s:s,s:b,s:s}", "driver", "file", "node-name", "file", "filename",
                                         path, "locking", "on", "read-only", config->readonly, "discard", "unmap"));
    launch->driver = launch_json(json_pack("{s:s,s:s,s:s,s:b,s:s}", "driver", format, "node-name", "disk", "file",
                                           "file", "read-only", config->readonly, "discard", "unmap"));
    launch->export = launch_json(json_pack("{s:s,s:s,s:s,s:s,s:b}", "type", "nbd", "id", "disk", "node-name", "disk",
                                           "name", "disk", "writable", !config->readonly));
    free(path);
    return launch->file && launch->driver && launch->export ? 0 : error_set(error, "its name is not UTF-8");
}

static void launch_end(struct image_launch *launch)
{
    const int fds[] = {launch->listener, launch->connection, launch->monitor[0], launch->monitor[1],
                       launch->words[0], launch->words[1]};
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    if (launch->path[0])
        unlink(launch->path);
    if (launch->directory[0])
        rmdir(launch->directory);
    free(launch->file);
    free(launch->driver);
    free(launch->export);
}

static void launch_child(const struct image_launch *launch, pid_t parent)
{
    char *const words[] = {IMAGE_DAEMON, "--blockdev", launch->file, "--blockdev", launch->driver, "--nbd-server",
                           "addr.type=fd,addr.str=3", "--chardev", "socket,id=monitor,fd=4", "--monitor",
                           "chardev=monitor", "--export", launch->export, NULL};
    sigset_t none;
    const int confined = launch->user ? confine_program(launch->user) : 0;
    // With us, however we end: it writes what it holds and goes. A change of user would have cleared this.
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(1);
    int null = open("/dev/null", O_RDWR);
    int listener = fcntl(launch->listener, F_DUPFD_CLOEXEC, 10);
    int monitor = fcntl(launch->monitor[1], F_DUPFD_CLOEXEC, 10);
    int errors = fcntl(launch->words[1], F_DUPFD_CLOEXEC, 10);
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    dup2(errors, STDERR_FILENO);
    dup2(listener, IMAGE_LISTENER);
    dup2(monitor, IMAGE_MONITOR);
    setsid(); // the terminal's Ctrl-C is not for it
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (confined) {
        dprintf(STDERR_FILENO, "cannot become user %u: %s\n", launch->user, strerror(-confined));
        _exit(1);
    }
    execvp(IMAGE_DAEMON, words);
    int reason = errno;
    dprintf(STDERR_FILENO, "%s", reason == ENOENT ? IMAGE_DAEMON " is needed for this format: install the package "
                                                    "qemu-system-common\n" : strerror(reason));
    _exit(1);
}

// The last line of what the daemon said before it ended, without its name.
static int launch_failed(struct image_launch *launch, struct error *error)
{
    char text[4096];
    size_t used = 0;
    ssize_t got;
    while (used < sizeof text - 1 && (got = read(launch->words[0], text + used, sizeof text - 1 - used)) > 0)
        used += (size_t)got;
    while (used && text[used - 1] == '\n')
        used--;
    text[used] = 0;
    char *line = strrchr(text, '\n') ? strrchr(text, '\n') + 1 : text;
    if (!strncmp(line, IMAGE_DAEMON ": ", sizeof IMAGE_DAEMON + 1))
        line += sizeof IMAGE_DAEMON + 1;
    char *last = strstr(line, "}: "); // it repeats the JSON it was given
    return error_set(error, "%.300s", last ? last + 3 : *line ? line : "the storage daemon ended without a word");
}

static int launch_daemon(struct image_launch *launch, struct image *image, struct error *error)
{
    pid_t parent = getpid(), child = fork();
    if (child == 0)
        launch_child(launch, parent);
    if (child < 0)
        return error_set(error, "the storage daemon cannot be started: %s", strerror(errno));
    // Only it holds these now: its end is theirs.
    close(launch->listener);
    close(launch->monitor[1]);
    close(launch->words[1]);
    launch->listener = launch->monitor[1] = launch->words[1] = -1;
    int connection = launch->connection;
    launch->connection = -1; // libnbd's
    if (image->nbd_set_export_name(image->nbd, "disk") < 0 || image->nbd_connect_socket(image->nbd, connection) < 0) {
        launch_failed(launch, error);
        waitpid(child, NULL, 0);
        return -1;
    }
    image->monitor = launch->monitor[0];
    launch->monitor[0] = -1;
    return 0;
}

static int image_start(struct image *image, const struct disk_config *config, const char *format, struct error *error)
{
    struct image_launch launch = {.listener = -1, .connection = -1, .monitor = {-1, -1}, .words = {-1, -1},
                                  .user = geteuid() == 0 ? config->user : 0};
    int result = launch_socket(&launch, error) || launch_words(&launch, config, format, error) ||
                         launch_daemon(&launch, image, error)
                     ? -1
                     : 0;
    launch_end(&launch);
    return result;
}

// --- The back end ---

static int image_result(const struct image *image, int result)
{
    int reason = result < 0 ? image->nbd_get_errno() : 0;
    return result < 0 ? -(reason ? reason : EIO) : 0;
}

static int image_transfer(const struct image *image, void *at, size_t bytes, u64 offset, bool write)
{
    return image_result(image, write ? image->nbd_pwrite(image->nbd, at, bytes, offset, 0)
                                     : image->nbd_pread(image->nbd, at, bytes, offset, 0));
}

// Between the segments' next bytes and one buffer; the segments advance.
static void image_copy_sector(struct iovec *segments, unsigned *next, u8 *sector, bool from_segments)
{
    for (size_t done = 0; done < DISK_SECTOR;) {
        struct iovec *segment = &segments[*next];
        size_t part = segment->iov_len < DISK_SECTOR - done ? segment->iov_len : DISK_SECTOR - done;
        if (from_segments)
            memcpy(sector + done, segment->iov_base, part);
        else
            memcpy(segment->iov_base, sector + done, part);
        segment->iov_base = (u8 *)segment->iov_base + part;
        segment->iov_len -= part;
        done += part;
        *next += segment->iov_len == 0;
    }
}

// Some formats take whole sectors only, and a guest may cut a sector where it likes: such a one goes through a buffer.
static int image_move(struct disk *disk, struct iovec *segments, u64 bytes, u64 offset, bool write)
{
    const struct image *image = disk->state;
    unsigned next = 0;
    while (bytes) {
        u8 sector[DISK_SECTOR];
        struct iovec *segment = &segments[next];
        size_t part = align_down(segment->iov_len < IMAGE_PIECE ? segment->iov_len : IMAGE_PIECE, DISK_SECTOR);
        int result;
        if (part) {
            result = image_transfer(image, segment->iov_base, part, offset, write);
            segment->iov_base = (u8 *)segment->iov_base + part;
            segment->iov_len -= part;
            next += segment->iov_len == 0;
        } else {
            part = DISK_SECTOR;
            if (write)
                image_copy_sector(segments, &next, sector, true);
            result = image_transfer(image, sector, part, offset, write);
            if (!write && !result)
                image_copy_sector(segments, &next, sector, false);
        }
        if (result)
            return result;
        offset += part;
        bytes -= part;
    }
    return 0;
}

static int image_read(struct disk *disk, struct iovec *segments, unsigned count, u64 bytes, u64 offset)
{
    (void)count;
    return image_move(disk, segments, bytes, offset, false);
}

static int image_write(struct disk *disk, struct iovec *segments, unsigned count, u64 bytes, u64 offset)
{
    (void)count;
    return image_move(disk, segments, bytes, offset, true);
}

static int image_flush(struct disk *disk)
{
    const struct image *image = disk->state;
    return image->flushes ? image_result(image, image->nbd_flush(image->nbd, 0)) : 0;
}

static int image_zero(struct disk *disk, u64 offset, u64 bytes, bool unmap)
{
    const struct image *image = disk->state;
    if (!image->zeroes)
        return -EOPNOTSUPP;
    for (u64 part; bytes; bytes -= part, offset += part) {
        part = bytes < IMAGE_PIECE ? bytes : IMAGE_PIECE;
        u32 flags = unmap ? 0 : LIBNBD_CMD_FLAG_NO_HOLE;
        int result = image_result(image, image->nbd_zero(image->nbd, part, offset, flags));
        if (result)
            return result;
    }
    return 0;
}

static int image_discard(struct disk *disk, u64 offset, u64 bytes)
{
    const struct image *image = disk->state;
    if (!image->trims)
        return -EOPNOTSUPP;
    for (u64 part; bytes; bytes -= part, offset += part) {
        part = bytes < IMAGE_PIECE ? bytes : IMAGE_PIECE;
        int result = image_result(image, image->nbd_trim(image->nbd, part, offset, 0));
        if (result)
            return result;
    }
    return 0;
}

// Tells the daemon to end and waits until it has, because until then it holds the image's lock. The filter of the jail
// allows neither a signal nor wait(2): the monitor's connection serves for both.
static void image_end_daemon(const struct image *image)
{
    static const char quit[] = "{\"execute\":\"qmp_capabilities\"}{\"execute\":\"quit\"}\n";
    char words[512];
    if (image->monitor < 0)
        return;
    struct pollfd ready = {.fd = image->monitor, .events = POLLIN};
    if (send(image->monitor, quit, sizeof quit - 1, MSG_NOSIGNAL) > 0)
        while (poll(&ready, 1, IMAGE_GOODBYE_MS) > 0 && read(image->monitor, words, sizeof words) > 0)
            ;
    close(image->monitor);
}

static void image_close(struct disk *disk)
{
    struct image *image = disk->state;
    if (!image)
        return;
    if (image->nbd) {
        if (image->monitor >= 0)
            image->nbd_shutdown(image->nbd, 0);
        image->nbd_close(image->nbd);
    }
    image_end_daemon(image);
    if (image->library)
        dlclose(image->library);
    free(image);
    disk->state = NULL;
}

static const struct disk_type image_type = {
    .read = image_read,
    .write = image_write,
    .flush = image_flush,
    .zero = image_zero,
    .discard = image_discard,
    .close = image_close,
};

static int image_describe(struct disk *disk, struct image *image, const struct disk_config *config, struct error *error)
{
    struct stat status;
    s64 bytes = image->nbd_get_size(image->nbd);
    if (bytes <= 0 || stat(config->path, &status) < 0)
        return error_set(error, "it has no size");
    image->flushes = image->nbd_can_flush(image->nbd) > 0;
    image->zeroes = image->nbd_can_zero(image->nbd) > 0;
    image->trims = image->nbd_can_trim(image->nbd) > 0;
    disk->bytes = align_down((u64)bytes, DISK_SECTOR);
    disk->block = PAGE_BYTES;
    disk_identify(disk, &status);
    return 0;
}

int disk_image_open(struct disk *disk, const struct disk_config *config, const char *format, struct error *error)
{
    struct image *image = calloc(1, sizeof *image);
    if (!image)
        return error_set(error, "out of memory");
    image->monitor = -1;
    disk->type = &image_type;
    disk->state = image;
    int result = image_load_library(image, error);
    if (!result && !(image->nbd = image->nbd_create()))
        result = error_set(error, "%s", image->nbd_get_error());
    if (!result)
        result = image_start(image, config, format, error);
    if (!result)
        result = image_describe(disk, image, config, error);
    if (result)
        image_close(disk);
    return result ? error_prefix(error, "disk '%s': %s image", config->path, format) : 0;
}
