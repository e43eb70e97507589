// What the command language needs of the world: files, the environment, the clock.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cmdlet/value.h"
#include "shell/shell.h"

enum { FILE_BYTES = 16 << 20 }; // a script or a list, not a disk image

static int io_write_file(void *context, const char *path, const char *text, bool append, struct error *error)
{
    (void)context;
    FILE *file = fopen(path, append ? "ae" : "we");
    if (!file)
        return error_set(error, "cannot write '%s': %s", path, strerror(errno));
    size_t bytes = strlen(text);
    bool failed = fwrite(text, 1, bytes, file) != bytes;
    failed = fclose(file) != 0 || failed;
    return failed ? error_set(error, "cannot write '%s': %s", path, strerror(errno)) : 0;
}

static char *read_stream(FILE *file, const char *path, struct error *error)
{
    size_t length = 0, room = 4096;
    char *text = value_allocate(room);
    for (size_t more; (more = fread(text + length, 1, room - length - 1, file)); length += more) {
        if (room - length - more > 1)
            continue;
        if (room > FILE_BYTES) {
            error_set(error, "'%s' has more than %d MiB", path, FILE_BYTES >> 20);
            free(text);
            return NULL;
        }
        text = value_reallocate(text, room *= 2);
    }
    text[length] = 0;
    if (ferror(file) || strlen(text) != length) {
        error_set(error, ferror(file) ? "cannot read '%s'" : "'%s' is no text: it has zero bytes", path);
        free(text);
        return NULL;
    }
    return text;
}

static char *io_read_file(void *context, const char *path, struct error *error)
{
    (void)context;
    FILE *file = strcmp(path, "-") ? fopen(path, "re") : stdin;
    if (!file) {
        error_set(error, "cannot read '%s': %s", path, strerror(errno));
        return NULL;
    }
    char *text = read_stream(file, path, error);
    if (file != stdin)
        fclose(file);
    return text;
}

static bool io_test_path(void *context, const char *path)
{
    (void)context;
    return !access(path, F_OK);
}

static const char *io_environment(void *context, const char *name)
{
    (void)context;
    return getenv(name);
}

static s64 io_now(void *context)
{
    (void)context;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (s64)now.tv_sec * VALUE_TICKS_SECOND + now.tv_nsec / 100;
}

// Ctrl-C interrupts it.
static void io_sleep(void *context, s64 ticks)
{
    (void)context;
    if (ticks <= 0)
        return;
    const struct timespec time = {.tv_sec = ticks / VALUE_TICKS_SECOND, .tv_nsec = ticks % VALUE_TICKS_SECOND * 100};
    nanosleep(&time, NULL);
}

void shell_io_fill(struct session_config *config)
{
    config->write_file = io_write_file;
    config->read_file = io_read_file;
    config->test_path = io_test_path;
    config->environment = io_environment;
    config->now = io_now;
    config->sleep = io_sleep;
}
