// See format_text.h.
#include "cmdlet/format_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "cmdlet/value.h"

enum { TEXT_ROOM_LEAST = 256, REPLACEMENT = 0xfffd };

static const char ellipsis[] = "\u2026";

void text_put_bytes(struct text *text, const char *bytes, size_t count)
{
    if (text->length + count + 1 > text->room) {
        size_t room = text->room ? text->room : TEXT_ROOM_LEAST;
        while (room < text->length + count + 1)
            room *= 2;
        text->bytes = value_reallocate(text->bytes, room);
        text->room = room;
    }
    if (count)
        memcpy(text->bytes + text->length, bytes, count);
    text->length += count;
    text->bytes[text->length] = 0;
}

void text_put(struct text *text, const char *string) { text_put_bytes(text, string, strlen(string)); }

void text_put_blanks(struct text *text, size_t count)
{
    while (count--)
        text_put_bytes(text, " ", 1);
}

void text_printf(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *string = NULL;
    if (vasprintf(&string, format, arguments) >= 0)
        text_put(text, string);
    va_end(arguments);
    free(string);
}

char *text_take(struct text *text)
{
    char *bytes = text->bytes ? text->bytes : value_text_copy("");
    *text = (struct text){0};
    return bytes;
}

void text_free(struct text *text)
{
    free(text->bytes);
    *text = (struct text){0};
}

// RFC 3629: no overlong forms, no surrogates, nothing past U+10FFFF.
u32 text_character(const char *string, unsigned *bytes)
{
    static const u32 least[] = {0, 0, 0x80, 0x800, 0x10000};
    const u8 *at = (const u8 *)string;
    *bytes = 1;
    if (*at < 0x80)
        return *at;
    unsigned length = *at >= 0xf0 ? 4 : *at >= 0xe0 ? 3 : 2;
    if (*at < 0xc2 || *at > 0xf4)
        return REPLACEMENT;
    u32 character = *at & (0x7f >> length);
    for (unsigned i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return REPLACEMENT;
        character = character << 6 | (at[i] & 0x3f);
    }
    if (character < least[length] || character > 0x10ffff || (character >= 0xd800 && character < 0xe000))
        return REPLACEMENT;
    *bytes = length;
    return character;
}

static unsigned character_columns(u32 character)
{
    if (character < 0x7f)
        return 1;
    int width = wcwidth((wchar_t)character);
    return width < 0 ? 1 : (unsigned)width;
}

unsigned text_columns(const char *string)
{
    unsigned columns = 0, bytes;
    for (; *string; string += bytes)
        columns += character_columns(text_character(string, &bytes));
    return columns;
}

size_t text_fitting(const char *string, unsigned columns)
{
    size_t at = 0;
    unsigned used = 0, bytes;
    for (; string[at]; at += bytes) {
        used += character_columns(text_character(string + at, &bytes));
        if (used > columns)
            break;
    }
    return at;
}

static bool is_control(u32 character) { return character < 0x20 || (character >= 0x7f && character < 0xa0); }

char *text_harmless(const char *string, bool lines)
{
    struct text text = {0};
    unsigned bytes;
    for (; *string; string += bytes) {
        u32 character = text_character(string, &bytes);
        if (character == '\r' && string[1] == '\n')
            continue;
        if (character == '\n')
            text_put(&text, lines ? "\n" : " ");
        else if (character == '\t')
            text_put(&text, " ");
        else if (is_control(character) || (character == REPLACEMENT && bytes == 1))
            text_put(&text, "\ufffd");
        else
            text_put_bytes(&text, string, bytes);
    }
    return text_take(&text);
}

void text_put_cell(struct text *text, const char *string, unsigned columns, bool right)
{
    unsigned wanted = text_columns(string);
    if (wanted > columns) {
        size_t fitting = text_fitting(string, columns ? columns - 1 : 0);
        struct text cut = {0};
        text_put_bytes(&cut, string, fitting);
        if (columns)
            text_put(&cut, ellipsis);
        text_put(text, cut.bytes ? cut.bytes : "");
        // A wide character that did not fit leaves a column over.
        text_put_blanks(text, columns - text_columns(cut.bytes));
        text_free(&cut);
        return;
    }
    if (right)
        text_put_blanks(text, columns - wanted);
    text_put(text, string);
    if (!right)
        text_put_blanks(text, columns - wanted);
}
