// What the two halves of completion share: the command the cursor is in (complete_scan.c finds it, complete.c answers).
#pragma once

#include "cmdlet/cmdlet.h"
#include "cmdlet/complete.h"

enum { COMPLETE_WORDS = 64 };

// The command up to the cursor, without quotes. The last word is the one to complete, which may be empty.
struct complete_command {
    char *words[COMPLETE_WORDS];
    unsigned count;
    size_t start;     // where the last word's replacement begins: behind its last comma, at its quote
    char quote;       // the last word's open quote, or 0
    bool expression;  // what the command starts with is no command: $_.State -eq ...
    const struct cmdlet *upstream; // whose objects come in, NULL: not known
};

void complete_scan(const char *line, size_t cursor, struct complete_command *command);
void complete_command_free(struct complete_command *command);
