// Finds the command the cursor is in: over quotes, pipes and brackets, and back out of those that are closed again.
#include <stdlib.h>
#include <string.h>

#include "cmdlet/complete_room.h"
#include "cmdlet/format_text.h"
#include "cmdlet/value.h"

enum { SCAN_DEPTH = 16 };

struct level {
    char *words[COMPLETE_WORDS];
    unsigned count;
    const struct cmdlet *upstream; // of the command
};

struct scan {
    const char *line;
    size_t cursor, at;
    struct level levels[SCAN_DEPTH];
    unsigned depth;
    struct text word; // being read, since its last comma for the last word
    size_t start;     // of that
    bool inside;      // a word has begun
    char quote;
};

static struct level *level(struct scan *scan) { return &scan->levels[scan->depth]; }

static void word_end(struct scan *scan)
{
    if (scan->inside && level(scan)->count + 1 < COMPLETE_WORDS)
        level(scan)->words[level(scan)->count++] = text_take(&scan->word);
    text_free(&scan->word);
    scan->inside = false;
}

static void level_clear(struct level *cleared)
{
    for (unsigned i = 0; i < cleared->count; i++)
        free(cleared->words[i]);
    *cleared = (struct level){0};
}

// `|`: what the command puts out comes in to the next; a cmdlet that only passes objects on does not change what they
// are.
static void pipe_on(struct scan *scan)
{
    struct level *now = level(scan);
    const struct cmdlet *cmdlet = now->count ? cmdlet_find(now->words[0]) : NULL;
    const struct cmdlet *upstream = cmdlet && !cmdlet->output && cmdlet->flags & CMDLET_LOCAL ? now->upstream : cmdlet;
    level_clear(now);
    now->upstream = upstream;
}

// `{` and `(`: another command begins inside. In a block, $_ is what comes in outside.
static void open_level(struct scan *scan, bool block)
{
    const struct cmdlet *upstream = block ? level(scan)->upstream : NULL;
    if (scan->depth + 1 < SCAN_DEPTH)
        scan->depth++;
    level_clear(level(scan));
    level(scan)->upstream = upstream;
}

static void close_level(struct scan *scan)
{
    level_clear(level(scan));
    if (scan->depth)
        scan->depth--;
}

static void quoted(struct scan *scan)
{
    char quote = scan->line[scan->at++];
    if (!scan->inside)
        scan->start = scan->at - 1;
    scan->inside = true;
    scan->quote = quote;
    while (scan->at < scan->cursor) {
        char character = scan->line[scan->at++];
        if (character == quote && scan->at < scan->cursor && scan->line[scan->at] == quote) {
            scan->at++;
        } else if (character == quote) {
            scan->quote = 0;
            return;
        } else if (character == '`' && quote == '"' && scan->at < scan->cursor) {
            character = scan->line[scan->at++];
        }
        text_put_bytes(&scan->word, &character, 1);
    }
}

static void plain(struct scan *scan, char character)
{
    if (!scan->inside)
        scan->start = scan->at;
    scan->inside = true;
    if (character == '`' && scan->at + 1 < scan->cursor)
        character = scan->line[++scan->at];
    scan->at++;
    text_put_bytes(&scan->word, &character, 1);
}

// A comma begins another item of the same argument: it stays in the words as nothing, for they count as one.
static void comma(struct scan *scan)
{
    text_free(&scan->word);
    scan->inside = true;
    scan->start = ++scan->at;
    while (scan->at < scan->cursor && scan->line[scan->at] == ' ')
        scan->start = ++scan->at;
}

static void step(struct scan *scan)
{
    char character = scan->line[scan->at];
    switch (character) {
    case '"':
    case '\'':
        quoted(scan);
        return;
    case ' ': case '\t':
        word_end(scan);
        break;
    case '|':
        word_end(scan);
        pipe_on(scan);
        break;
    case ';': case '\n': case '&': case '=':
        if (character == '=' && level(scan)->count + scan->inside > 1)
            break; // address=1.2.3.4
        word_end(scan);
        level_clear(level(scan));
        break;
    case '{': case '(':
        word_end(scan);
        open_level(scan, character == '{');
        break;
    case '}': case ')':
        word_end(scan);
        close_level(scan);
        scan->inside = true; // what was inside counts as a word of the outer command
        scan->start = scan->at + 1;
        break;
    case ',':
        comma(scan);
        return;
    default:
        plain(scan, character);
        return;
    }
    scan->at++;
}

void complete_scan(const char *line, size_t cursor, struct complete_command *command)
{
    struct scan *scan = value_allocate(sizeof *scan);
    *scan = (struct scan){.line = line, .cursor = strnlen(line, cursor), .start = cursor};
    while (scan->at < scan->cursor)
        step(scan);
    if (!scan->inside)
        scan->start = scan->cursor;
    struct level *now = level(scan);
    *command = (struct complete_command){.start = scan->start, .quote = scan->quote, .upstream = now->upstream};
    memcpy(command->words, now->words, now->count * sizeof *now->words);
    command->count = now->count;
    command->words[command->count++] = text_take(&scan->word);
    now->count = 0;
    command->expression = command->count > 1 && strchr("$'\"@[", *command->words[0]) && *command->words[0];
    for (unsigned i = 0; i < SCAN_DEPTH; i++)
        level_clear(&scan->levels[i]);
    free(scan);
}

void complete_command_free(struct complete_command *command)
{
    for (unsigned i = 0; i < command->count; i++)
        free(command->words[i]);
}
