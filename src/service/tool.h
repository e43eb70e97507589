// Runs a program of the host's (qemu-img) and reads what it says. The program's words are foreign: their length is
// bounded, and so is the time when a deadline is given.
#pragma once

#include "base/error.h"
#include "base/types.h"

enum { TOOL_OUTPUT = 1 << 20 };

struct tool {
    const char *const *words; // argv, NULL past the last; words[0] is looked up in PATH
    const char *package;      // Debian's, for the error when the program is not there
    // For each line of the standard output, ended by a newline or (progress) a carriage return. May be NULL.
    void (*line)(void *context, const char *line);
    void *context;
};

// The standard output as text, which the caller frees; NULL with the reason in `error`: the last line of the program's
// standard error if it failed. Blocks its thread until the program ends.
char *tool_run(const struct tool *tool, struct error *error);
