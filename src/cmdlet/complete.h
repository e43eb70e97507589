// What the Tab key means: given a line and where the cursor stands, the words that could stand there. One set of rules
// for the shell's prompt (complete_line) and for bash and zsh, which have split the words already (complete_words).
//
// Pure: names of objects, variables and files come from the caller. The scanner knows just enough of the language to
// find the command the cursor is in; a line that is half typed has no tree.
#pragma once

#include "base/types.h"

struct completion {
    char *text; // what replaces the word, quoted where it needs to be
    const char *help; // a sentence or NULL; the table's
};

struct completions {
    struct completion *items; // in order, none twice
    size_t count;
    size_t start; // the byte of the line from which the word is replaced
    bool path;    // they are files: a folder ends with a slash and wants to go on
};

// Each adds what it knows with complete_offer; NULL: knows nothing.
struct complete_source {
    void *context;
    void (*objects)(void *context, const char *class, struct completions *to); // names of a class's objects
    void (*variables)(void *context, struct completions *to);                  // without the dollar sign
    void (*paths)(void *context, const char *prefix, struct completions *to);  // all that start with it
};

void complete_line(const struct complete_source *source, const char *line, size_t cursor,
                   struct completions *completions);
// The last word is the one to complete. Nothing is quoted: the shell that asked does that.
void complete_words(const struct complete_source *source, int count, const char *const *words,
                    struct completions *completions);
void complete_offer(struct completions *completions, const char *text, const char *help);
void complete_free(struct completions *completions);
