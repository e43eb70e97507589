// Which process stands in our way: for error messages only.
#pragma once

#include "base/types.h"

// Writes "process 1234 (qemu-system-x86)" for the process that holds a lock on the file `fd` is open on, or words that
// say that it cannot be seen.
void process_describe_lock_owner(int fd, char *text, size_t bytes);
