// The end of a text file: what stood on a screen.
#pragma once

#include <stddef.h>

// Bytes of `path`, from the beginning of a line unless there is none, `room` at most; 0 if it cannot be read. NULL is
// allowed.
size_t tail_read(const char *path, char *bytes, size_t room);
