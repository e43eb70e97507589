// A file with what a console said last: it grows to CONSOLE_LOG_MOST bytes and then keeps the newer half. It is
// rewritten in place, through a descriptor that was opened at the start: a worker can create and rename no file.
#pragma once

#include "base/error.h"
#include "base/types.h"

enum { CONSOLE_LOG_MOST = 1 << 20 };

struct console_log {
    int fd; // -1: none
    u64 bytes;
};

int console_log_open(struct console_log *log, const char *path, struct error *error);
void console_log_close(struct console_log *log);

// What cannot be written (a full disk) is not in it.
void console_log_put(struct console_log *log, const u8 *bytes, size_t count);
