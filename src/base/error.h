// The host's kind of failure: an error that travels up to whoever asked and names the object, the cause and the way
// out. Functions that can fail take a `struct error *` last and return -1 (or NULL) after filling it.
#pragma once

#include "base/types.h"

struct error {
    char text[512];
};

// Fills `error` (which may be NULL) and returns -1, so that `return error_set(error, "...")` reads as it acts.
__attribute__((format(printf, 2, 3))) int error_set(struct error *error, const char *format, ...);

// Puts "CONTEXT: " before the text that is already there. Returns -1.
__attribute__((format(printf, 2, 3))) int error_prefix(struct error *error, const char *format, ...);
