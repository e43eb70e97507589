// See log.h.
#include "service/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/types.h"

enum { LOG_LINE = 4096 };

static const char *const levels[] = {[LOG_ERROR] = "error", [LOG_WARNING] = "warning", [LOG_INFO] = "info"};

static size_t log_put(char *line, size_t at, char character)
{
    if (at < LOG_LINE - 2)
        line[at++] = character;
    return at;
}

static size_t log_value(char *line, size_t at, const char *value)
{
    const bool plain = value[0] && !strpbrk(value, " \"\\=\t\n\r");
    bool control = false;
    for (const char *c = value; *c; c++)
        control |= (unsigned char)*c < 0x20 || *c == 0x7f;
    if (plain && !control) {
        while (*value)
            at = log_put(line, at, *value++);
        return at;
    }
    at = log_put(line, at, '"');
    for (; *value; value++) {
        if (*value == '"' || *value == '\\')
            at = log_put(line, at, '\\');
        at = log_put(line, at, (unsigned char)*value < 0x20 || *value == 0x7f ? ' ' : *value);
    }
    return log_put(line, at, '"');
}

void log_write(enum log_level level, const char *event, ...)
{
    char line[LOG_LINE];
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    size_t at = strftime(line, sizeof line, "time=%Y-%m-%dT%H:%M:%S", &parts);
    at += (size_t)snprintf(line + at, sizeof line - at, ".%03ldZ level=%s event=%s", now.tv_nsec / 1000000,
                           levels[level], event);
    va_list pairs;
    va_start(pairs, event);
    for (const char *key; (key = va_arg(pairs, const char *));) {
        const char *value = va_arg(pairs, const char *);
        if (!value)
            continue;
        at = log_put(line, at, ' ');
        while (*key)
            at = log_put(line, at, *key++);
        at = log_put(line, at, '=');
        at = log_value(line, at, value);
    }
    va_end(pairs);
    line[at++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, at); // one write: lines of several threads do not mix
    (void)written;
}
