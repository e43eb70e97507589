// Copies files that may be large: holes stay holes, whoever waits is told how far it is, and can have it ended.
#pragma once

#include "base/error.h"

struct copy_progress {
    // Bytes copied since the last call; false: nobody wants it any more. NULL: nobody looks.
    bool (*copied)(void *context, u64 bytes);
    void *context;
};

// From an open file (stays the caller's) to a new one, which is synced. Bytes that are not copied because they are a
// hole count as copied. -1 with the reason: there is no file `to`.
int copy_file(int from, const char *to, const struct copy_progress *progress, struct error *error);
