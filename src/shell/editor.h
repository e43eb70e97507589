// Line editing at the prompt: libedit, with history in a file and the Tab key wired to a function. libedit is loaded
// when a prompt is opened and not linked: `nidus Get-VM` would pay more for the linking than for the work, and a copy
// of nidus in a guest does without. Where it is not installed, lines are read as the terminal gives them.
#pragma once

#include "base/types.h"
#include "cmdlet/complete.h"

struct editor;

struct editor_config {
    void *context;
    // What could stand before the cursor of `line`; the completions are the editor's to free.
    void (*complete)(void *context, const char *line, size_t cursor, struct completions *completions);
    const char *history; // file, or NULL: kept only while it runs
};

struct editor *editor_open(const struct editor_config *config);
void editor_close(struct editor *editor);
// The next line without its end, borrowed until the next call; NULL at the end of input. `*cancelled`: Ctrl-C.
const char *editor_read(struct editor *editor, const char *prompt, bool *cancelled);
void editor_remember(struct editor *editor, const char *line);
