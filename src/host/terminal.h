// Standard input and output as a guest's console: raw if they are a terminal in whose foreground we are, and without
// blocking where that can be had without changing the mode of a file description that others share.
#pragma once

#include <termios.h>

#include "base/types.h"

struct terminal {
    bool is_terminal;        // standard input is one, and we may read from it
    bool raw;                // `before` is to be restored
    int reopened_in, reopened_out; // descriptors of our own, or -1
    struct termios before;
};

// What to read from and write to; `in` is -1 where reading is not allowed (a background job).
void terminal_open(struct terminal *terminal, int *in, int *out);
void terminal_enter_raw(struct terminal *terminal);
void terminal_leave_raw(struct terminal *terminal);
void terminal_close(struct terminal *terminal);
bool terminal_size(const struct terminal *terminal, u16 *columns, u16 *rows);
