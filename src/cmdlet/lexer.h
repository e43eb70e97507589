// The tokens of the command language. What a character means depends on where it stands: in an expression `-`
// subtracts, among a command's arguments it starts a parameter's name, and almost anything is a word. So the parser
// asks for one token at a time and says which grammar holds; strings with variables in them, and words, it takes apart
// itself.
#pragma once

#include "cmdlet/syntax.h"

enum lexer_mode { LEXER_EXPRESSION, LEXER_ARGUMENT };

enum token_kind {
    TOKEN_END,
    TOKEN_NEWLINE,
    TOKEN_SEMICOLON,
    TOKEN_PIPE,
    TOKEN_AMPERSAND,
    TOKEN_COMMA,
    TOKEN_DOT,
    TOKEN_STATIC, // ::
    TOKEN_OPEN, TOKEN_CLOSE,                  // ( )
    TOKEN_OPEN_BRACE, TOKEN_CLOSE_BRACE,      // { }
    TOKEN_OPEN_BRACKET, TOKEN_CLOSE_BRACKET,  // [ ]
    TOKEN_OPEN_ARRAY, TOKEN_OPEN_MAP, TOKEN_OPEN_SUB, // @( @{ $(
    TOKEN_VARIABLE,  // `text`: name
    TOKEN_SPLAT,     // `text`: name
    TOKEN_NUMBER,    // `value`
    TOKEN_STRING,    // `text`: '...' and @'...'@
    TOKEN_QUOTE,     // opens "...": the token is the quote alone
    TOKEN_HERE,      // opens @"..."@: the token is all of the first line
    TOKEN_NAME,      // an identifier, in an expression
    TOKEN_WORD,      // starts a bare word, among arguments: the token is its first byte
    TOKEN_PARAMETER, // -Name or -Name: (`colon`)
    TOKEN_OPERATOR,  // `op`
    TOKEN_ASSIGN,    // `op`: OPERATOR_ASSIGN, or what is done before
    TOKEN_REDIRECT,  // `text`: stream; `append`; `merge`: 2>&1
    TOKEN_BAD,       // the lexer's error is set
};

struct token {
    enum token_kind kind;
    enum lexer_mode mode;
    u32 start, end;
    bool spaced; // white space before it
    enum operator op;
    bool sensitive, colon, append, merge;
    const char *text;
    struct value *value; // the tree's
};

struct lexer {
    struct syntax *syntax; // what texts are allocated in
    const char *text;
    u32 at;
    struct syntax_error *error;
};

struct token lexer_next(struct lexer *lexer, enum lexer_mode mode);
// Goes over white space, comments and continued lines. True if there was any.
bool lexer_skip(struct lexer *lexer);
// Fills the error (the first one stays).
__attribute__((format(printf, 5, 6))) void lexer_fail(struct lexer *lexer, const char *id, u32 start, u32 end,
                                                      const char *format, ...);

// Bytes of the dash, quote or white space at `text`, 0 if there is none. Typographic forms count.
unsigned lexer_dash(const char *text);
unsigned lexer_double_quote(const char *text);
unsigned lexer_single_quote(const char *text);
unsigned lexer_space(const char *text);
// Bytes of the line end at `text`, 0 if there is none.
unsigned lexer_line_end(const char *text);
// What the escape ` at `text` stands for, into `out` (up to 4 bytes and a zero); returns the bytes it takes.
unsigned lexer_escape(const char *text, char out[8]);
// Bytes of a variable's name at `text` (behind the dollar sign), 0 if there is none. `braces`: ${...}.
unsigned lexer_variable(const char *text, bool *braces);
bool lexer_name_start(char character);
bool lexer_name_part(char character);
// Whether a bare word ends at `text`.
bool lexer_word_end(const char *text);
// The number that starts at `text`, with its suffix; `*end` behind it. NULL: none. The caller's.
struct value *lexer_number(const char *text, const char **end);
