// Text as a terminal counts it: a growing buffer, and how many columns a string takes. What comes from elsewhere
// (names, notes, a guest's words) may hold escape sequences and broken UTF-8; what is put into a cell is made harmless
// here.
//
// wcwidth knows wide characters only in a UTF-8 locale (setlocale is the program's business); without one, each
// character counts as one column.
#pragma once

#include "base/types.h"

struct text {
    char *bytes; // zero-terminated once anything was put; NULL before
    size_t length, room;
};

void text_put(struct text *text, const char *string);
void text_put_bytes(struct text *text, const char *bytes, size_t count);
void text_put_blanks(struct text *text, size_t count);
__attribute__((format(printf, 2, 3))) void text_printf(struct text *text, const char *format, ...);
char *text_take(struct text *text); // the caller frees; never NULL; the buffer is empty again
void text_free(struct text *text);

// One character at `string`, which is not at its end: its code point (U+FFFD if it is none) and its bytes, at least 1.
u32 text_character(const char *string, unsigned *bytes);
unsigned text_columns(const char *string);
// How many bytes of `string` fit into so many columns.
size_t text_fitting(const char *string, unsigned columns);

// A copy without control characters, for one line (`lines` false: line ends become blanks) or several. The caller
// frees.
char *text_harmless(const char *string, bool lines);
// `string` in exactly `columns` columns: cut with an ellipsis, or padded at the side away from where it stands.
void text_put_cell(struct text *text, const char *string, unsigned columns, bool right);
