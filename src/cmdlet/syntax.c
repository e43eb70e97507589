// See syntax.h. The memory of a tree: chunks that are given back together, and the literals' values.
#include "cmdlet/syntax.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 8 << 10 };

struct syntax_chunk {
    struct syntax_chunk *next;
    size_t used, room;
    _Alignas(16) char data[];
};

void *syntax_allocate(struct syntax *syntax, size_t bytes)
{
    bytes = align_up(bytes, 16);
    struct syntax_chunk *chunk = syntax->chunks;
    if (!chunk || chunk->room - chunk->used < bytes) {
        size_t room = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
        chunk = value_allocate(sizeof *chunk + room);
        chunk->room = room;
        chunk->next = syntax->chunks;
        syntax->chunks = chunk;
    }
    void *memory = chunk->data + chunk->used;
    chunk->used += bytes;
    return memory;
}

char *syntax_text(struct syntax *syntax, const char *text, size_t bytes)
{
    char *copy = syntax_allocate(syntax, bytes + 1);
    memcpy(copy, text, bytes);
    return copy;
}

struct syntax *syntax_ref(struct syntax *syntax)
{
    syntax->references++;
    return syntax;
}

void syntax_unref(struct syntax *syntax)
{
    if (!syntax || --syntax->references)
        return;
    for (struct syntax_chunk *chunk = syntax->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    value_unref(syntax->literals);
    free(syntax->name);
    free(syntax->text);
    free(syntax);
}
