// See lexer.h. PowerShell's lexical grammar, with the typographic dashes and quotes that word processors and web pages
// put into commands: a line copied from a document must mean what it says there.
#include "cmdlet/lexer.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void lexer_fail(struct lexer *lexer, const char *id, u32 start, u32 end, const char *format, ...)
{
    if (lexer->error->id)
        return;
    lexer->error->id = id;
    lexer->error->start = start;
    lexer->error->end = end > start ? end : start + 1;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(lexer->error->text, sizeof lexer->error->text, format, arguments);
    va_end(arguments);
}

// U+2010 to U+201F are E2 80 90 to E2 80 9F.
static unsigned general_punctuation(const char *text)
{
    return (u8)text[0] == 0xe2 && (u8)text[1] == 0x80 ? (u8)text[2] : 0;
}

unsigned lexer_dash(const char *text)
{
    if (*text == '-')
        return 1;
    unsigned last = general_punctuation(text); // en dash, em dash, horizontal bar
    return last >= 0x93 && last <= 0x95 ? 3 : 0;
}

unsigned lexer_double_quote(const char *text)
{
    if (*text == '"')
        return 1;
    unsigned last = general_punctuation(text);
    return last >= 0x9c && last <= 0x9e ? 3 : 0;
}

unsigned lexer_single_quote(const char *text)
{
    if (*text == '\'')
        return 1;
    unsigned last = general_punctuation(text);
    return last >= 0x98 && last <= 0x9b ? 3 : 0;
}

unsigned lexer_space(const char *text)
{
    if (*text == ' ' || *text == '\t' || *text == '\v' || *text == '\f')
        return 1;
    return (u8)text[0] == 0xc2 && (u8)text[1] == 0xa0 ? 2 : 0; // no-break space, as web pages have it
}

unsigned lexer_line_end(const char *text)
{
    if (*text == '\n')
        return 1;
    return *text == '\r' ? text[1] == '\n' ? 2 : 1 : 0;
}

bool lexer_name_start(char character)
{
    return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') || character == '_' ||
           (u8)character >= 0x80;
}

static bool is_digit(char character) { return character >= '0' && character <= '9'; }

bool lexer_name_part(char character) { return lexer_name_start(character) || is_digit(character); }

bool lexer_word_end(const char *text)
{
    return !*text || lexer_space(text) || lexer_line_end(text) || strchr(";|&(){},<>", *text) != NULL;
}

unsigned lexer_escape(const char *text, char out[8])
{
    static const char names[] = "0abefnrtv", meanings[] = "\0\a\b\033\f\n\r\t\v";
    memset(out, 0, 8);
    unsigned line_end = lexer_line_end(text + 1);
    if (line_end)
        return 1 + line_end;
    if (!text[1])
        return 1;
    const char *name = strchr(names, text[1]);
    if (name) { // a zero byte has no place in a text: it stands for nothing
        out[0] = meanings[name - names];
        return 2;
    }
    unsigned bytes = 1;
    out[0] = text[1];
    while (((u8)text[1 + bytes] & 0xc0) == 0x80 && bytes < 4) {
        out[bytes] = text[1 + bytes];
        bytes++;
    }
    return 1 + bytes;
}

unsigned lexer_variable(const char *text, bool *braces)
{
    *braces = *text == '{';
    if (*braces) {
        unsigned bytes = 1;
        while (text[bytes] && text[bytes] != '}' && !lexer_line_end(text + bytes))
            bytes++;
        return text[bytes] == '}' && bytes > 1 ? bytes + 1 : 0;
    }
    if (*text == '?' || *text == '$' || *text == '^')
        return 1;
    unsigned bytes = 0;
    while (lexer_name_part(text[bytes])) {
        // Typographic signs are no letters.
        if (lexer_dash(text + bytes) || lexer_double_quote(text + bytes) || lexer_single_quote(text + bytes) ||
            lexer_space(text + bytes))
            break;
        bytes++;
        // A scope: $env:HOME, but not "$name: ".
        if (text[bytes] == ':' && lexer_name_part(text[bytes + 1]) && !memchr(text, ':', bytes))
            bytes++;
    }
    return bytes;
}

static s64 suffix_find(const char *text, const char **end)
{
    static const struct { char letter; unsigned shift; } suffixes[] = {
        {'k', 10}, {'m', 20}, {'g', 30}, {'t', 40}, {'p', 50},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(suffixes); i++)
        if ((*text | 32) == suffixes[i].letter && (text[1] | 32) == 'b') {
            *end = text + 2;
            return (s64)1 << suffixes[i].shift;
        }
    return 1;
}

struct value *lexer_number(const char *text, const char **end)
{
    bool negative = *text == '-', whole = true;
    const char *at = text + (*text == '-' || *text == '+'), *first = at;
    bool hexadecimal = at[0] == '0' && (at[1] | 32) == 'x';
    if (hexadecimal) {
        at += 2;
        if (!strchr("0123456789abcdefABCDEF", *at) || !*at)
            return NULL;
        at += strspn(at, "0123456789abcdefABCDEF");
    } else {
        const char *digits = at;
        at += strspn(at, "0123456789");
        if (*at == '.' && is_digit(at[1])) {
            whole = false;
            at += 1 + strspn(at + 1, "0123456789");
        }
        if (at == digits)
            return NULL;
        if ((*at | 32) == 'e' && (is_digit(at[1]) || ((at[1] == '-' || at[1] == '+') && is_digit(at[2])))) {
            whole = false;
            at += 2 + strspn(at + 2, "0123456789");
        }
    }
    *end = at;
    if (((*at | 32) == 'l' || (*at | 32) == 'd') && !hexadecimal && !lexer_name_part(at[1]))
        *end = ++at;
    s64 factor = suffix_find(at, end), product;
    errno = 0;
    if (whole) {
        s64 integer = hexadecimal ? (s64)strtoull(first, NULL, 16) : strtoll(first, NULL, 10);
        if (!errno && !__builtin_mul_overflow(negative ? -integer : integer, factor, &product))
            return value_int(product);
    }
    double real = strtod(first, NULL) * (double)factor;
    if (!whole && factor > 1 && fabs(real) < 9e18 && !(real < floor(real)) && !(real > floor(real)))
        return value_int((s64)(negative ? -real : real)); // 1.5GB is a whole number of bytes
    return value_real(negative ? -real : real);
}

bool lexer_skip(struct lexer *lexer)
{
    const u32 start = lexer->at;
    for (;;) {
        const char *text = lexer->text + lexer->at;
        unsigned bytes = lexer_space(text);
        if (!bytes && *text == '`' && lexer_line_end(text + 1))
            bytes = 1 + lexer_line_end(text + 1);
        if (!bytes && *text == '#')
            while (text[bytes] && !lexer_line_end(text + bytes))
                bytes++;
        if (!bytes && text[0] == '<' && text[1] == '#') {
            const char *close = strstr(text + 2, "#>");
            if (!close) {
                lexer_fail(lexer, "MissingTerminatorMultiLineComment", lexer->at, lexer->at + 2,
                           "The comment that starts with <# is not closed: #> is missing.");
                lexer->error->incomplete = true;
                bytes = (unsigned)strlen(text);
            } else {
                bytes = (unsigned)(close + 2 - text);
            }
        }
        if (!bytes)
            return lexer->at > start;
        lexer->at += bytes;
    }
}

static void token_bad(struct lexer *lexer, struct token *token, const char *id, bool incomplete, const char *says)
{
    lexer_fail(lexer, id, token->start, token->start + 1, "%s", says);
    lexer->error->incomplete |= incomplete;
    token->kind = TOKEN_BAD;
    lexer->at = token->start + (lexer->text[token->start] ? 1 : 0);
}

// '...': two quotes stand for one.
static void token_string(struct lexer *lexer, struct token *token, unsigned quote)
{
    const char *text = lexer->text + lexer->at + quote, *end = text;
    unsigned bytes;
    while (*end && (!(bytes = lexer_single_quote(end)) || lexer_single_quote(end + bytes)))
        end += bytes ? bytes + lexer_single_quote(end + bytes) : 1;
    if (*end) {
        char *put = syntax_allocate(lexer->syntax, (size_t)(end - text) + 1);
        token->kind = TOKEN_STRING;
        token->text = put;
        lexer->at = (u32)(end + lexer_single_quote(end) - lexer->text);
        while (text < end) {
            text += lexer_single_quote(text); // of two the second one stays
            unsigned second = lexer_single_quote(text);
            for (unsigned i = 0; i < (second ? second : 1); i++)
                *put++ = *text++;
        }
        return;
    }
    token_bad(lexer, token, "TerminatorExpectedAtEndOfString", true, "The string is missing the terminator: '.");
}

// @'...'@ and the start of @"..."@: the quote ends its line; the end stands at the start of a line.
static void token_here(struct lexer *lexer, struct token *token, unsigned quote, bool expands)
{
    const char *text = lexer->text + lexer->at + 1 + quote;
    while (lexer_space(text))
        text += lexer_space(text);
    if (!lexer_line_end(text)) {
        token_bad(lexer, token, "UnexpectedCharactersAfterHereStringHeader", !*text,
                  "Nothing may follow the header of a here-string on its line.");
        return;
    }
    text += lexer_line_end(text);
    if (expands) {
        token->kind = TOKEN_HERE;
        lexer->at = (u32)(text - lexer->text);
        return;
    }
    for (const char *line = text; *line; line++) {
        unsigned close = lexer_single_quote(line);
        bool at_start = line == text || line[-1] == '\n' || line[-1] == '\r';
        if (!close || !at_start || line[close] != '@')
            continue;
        const char *last = line;
        if (last > text) // without the last line's end
            last -= last - text >= 2 && last[-1] == '\n' && last[-2] == '\r' ? 2 : 1;
        token->kind = TOKEN_STRING;
        token->text = syntax_text(lexer->syntax, text, (size_t)(last - text));
        lexer->at = (u32)(line + close + 1 - lexer->text);
        return;
    }
    token_bad(lexer, token, "TerminatorExpectedAtEndOfString", true, "The here-string is missing the terminator: '@.");
}

static bool token_dollar(struct lexer *lexer, struct token *token)
{
    const char *text = lexer->text + lexer->at;
    if (text[1] == '(') {
        token->kind = TOKEN_OPEN_SUB;
        lexer->at += 2;
        return true;
    }
    bool braces;
    unsigned bytes = lexer_variable(text + 1, &braces);
    if (!bytes)
        return false;
    token->kind = TOKEN_VARIABLE;
    token->text = syntax_text(lexer->syntax, text + 1 + braces, bytes - 2 * braces);
    lexer->at += 1 + bytes;
    return true;
}

static bool token_at(struct lexer *lexer, struct token *token)
{
    const char *text = lexer->text + lexer->at;
    if (text[1] == '(' || text[1] == '{') {
        token->kind = text[1] == '(' ? TOKEN_OPEN_ARRAY : TOKEN_OPEN_MAP;
        lexer->at += 2;
    } else if (lexer_double_quote(text + 1)) {
        token_here(lexer, token, lexer_double_quote(text + 1), true);
    } else if (lexer_single_quote(text + 1)) {
        token_here(lexer, token, lexer_single_quote(text + 1), false);
    } else {
        bool braces;
        unsigned bytes = lexer_variable(text + 1, &braces);
        if (!bytes || braces)
            return false;
        token->kind = TOKEN_SPLAT;
        token->text = syntax_text(lexer->syntax, text + 1, bytes);
        lexer->at += 1 + bytes;
    }
    return true;
}

// > >> 2> 2>> *> 2>&1
static bool token_redirect(struct lexer *lexer, struct token *token)
{
    const char *text = lexer->text + lexer->at;
    unsigned bytes = 0;
    char stream[2] = "1";
    if ((is_digit(*text) || *text == '*') && text[1] == '>')
        stream[0] = text[bytes++];
    if (text[bytes] != '>')
        return false;
    bytes++;
    token->append = text[bytes] == '>';
    bytes += token->append;
    token->merge = text[bytes] == '&' && text[bytes + 1] == '1';
    bytes += token->merge ? 2 : 0;
    token->kind = TOKEN_REDIRECT;
    token->text = syntax_text(lexer->syntax, stream, 1);
    lexer->at += bytes;
    return true;
}

// What means the same everywhere.
static bool token_common(struct lexer *lexer, struct token *token)
{
    static const struct { char character; enum token_kind kind; } singles[] = {
        {';', TOKEN_SEMICOLON}, {',', TOKEN_COMMA}, {'(', TOKEN_OPEN}, {')', TOKEN_CLOSE},
        {'{', TOKEN_OPEN_BRACE}, {'}', TOKEN_CLOSE_BRACE}, {'|', TOKEN_PIPE}, {'&', TOKEN_AMPERSAND},
    };
    const char *text = lexer->text + lexer->at;
    unsigned bytes;
    if (!*text) {
        token->kind = TOKEN_END;
        return true;
    }
    if ((bytes = lexer_line_end(text))) {
        token->kind = TOKEN_NEWLINE;
        lexer->at += bytes;
        return true;
    }
    if ((bytes = lexer_single_quote(text))) {
        token_string(lexer, token, bytes);
        return true;
    }
    if ((bytes = lexer_double_quote(text))) {
        token->kind = TOKEN_QUOTE;
        lexer->at += bytes;
        return true;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(singles); i++)
        if (*text == singles[i].character) {
            token->kind = singles[i].kind;
            lexer->at++;
            return true;
        }
    if (*text == '$')
        return token_dollar(lexer, token);
    if (*text == '@')
        return token_at(lexer, token);
    return token_redirect(lexer, token);
}

enum operator operator_find(const char *name, bool *sensitive)
{
    static const struct { const char *name; enum operator op; bool cased; } operators[] = {
        {"eq", OPERATOR_EQ, true}, {"ne", OPERATOR_NE, true}, {"gt", OPERATOR_GT, true}, {"ge", OPERATOR_GE, true},
        {"lt", OPERATOR_LT, true}, {"le", OPERATOR_LE, true}, {"like", OPERATOR_LIKE, true},
        {"notlike", OPERATOR_NOTLIKE, true}, {"match", OPERATOR_MATCH, true}, {"notmatch", OPERATOR_NOTMATCH, true},
        {"contains", OPERATOR_CONTAINS, true}, {"notcontains", OPERATOR_NOTCONTAINS, true}, {"in", OPERATOR_IN, true},
        {"notin", OPERATOR_NOTIN, true}, {"replace", OPERATOR_REPLACE, true}, {"split", OPERATOR_SPLIT, true},
        {"join", OPERATOR_JOIN, false}, {"is", OPERATOR_IS, false}, {"isnot", OPERATOR_ISNOT, false},
        {"as", OPERATOR_AS, false}, {"and", OPERATOR_AND, false}, {"or", OPERATOR_OR, false},
        {"xor", OPERATOR_XOR, false}, {"not", OPERATOR_NOT, false}, {"f", OPERATOR_FORMAT, false},
        {"band", OPERATOR_BAND, false}, {"bor", OPERATOR_BOR, false}, {"bxor", OPERATOR_BXOR, false},
    };
    *sensitive = false;
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < ARRAY_SIZE(operators); i++)
            if ((!pass || operators[i].cased) && !value_name_compare(operators[i].name, name))
                return operators[i].op;
        if ((*name | 32) != 'c' && (*name | 32) != 'i')
            break;
        *sensitive = (*name | 32) == 'c';
        name++;
    }
    return OPERATOR_NONE;
}

static void token_dash(struct lexer *lexer, struct token *token, unsigned dash)
{
    const char *text = lexer->text + lexer->at + dash;
    char name[16];
    unsigned bytes = 0;
    while (bytes < sizeof name - 1 && ((text[bytes] | 32) >= 'a' && (text[bytes] | 32) <= 'z'))
        bytes++;
    memcpy(name, text, bytes);
    name[bytes] = 0;
    token->kind = TOKEN_OPERATOR;
    if (bytes && (token->op = operator_find(name, &token->sensitive)) != OPERATOR_NONE) {
        lexer->at += dash + bytes;
    } else if (bytes) {
        lexer_fail(lexer, "UnexpectedToken", token->start, token->start + dash + bytes,
                   "'-%s' is no operator: one like -eq, -like or -and was expected here.", name);
        token->kind = TOKEN_BAD;
    } else if (*text == '=') {
        token->kind = TOKEN_ASSIGN;
        token->op = OPERATOR_SUBTRACT;
        lexer->at += dash + 1;
    } else if (lexer_dash(text)) {
        token->op = OPERATOR_DECREMENT;
        lexer->at += dash + lexer_dash(text);
    } else {
        token->op = OPERATOR_SUBTRACT;
        lexer->at += dash;
    }
}

static bool token_sign(struct lexer *lexer, struct token *token)
{
    static const struct { char sign[3]; enum token_kind kind; enum operator op; } signs[] = {
        {"..", TOKEN_OPERATOR, OPERATOR_RANGE}, {"::", TOKEN_STATIC, 0}, {"++", TOKEN_OPERATOR, OPERATOR_INCREMENT},
        {"+=", TOKEN_ASSIGN, OPERATOR_ADD}, {"*=", TOKEN_ASSIGN, OPERATOR_MULTIPLY},
        {"/=", TOKEN_ASSIGN, OPERATOR_DIVIDE}, {"%=", TOKEN_ASSIGN, OPERATOR_REMAINDER},
        {"+", TOKEN_OPERATOR, OPERATOR_ADD}, {"*", TOKEN_OPERATOR, OPERATOR_MULTIPLY},
        {"/", TOKEN_OPERATOR, OPERATOR_DIVIDE}, {"%", TOKEN_OPERATOR, OPERATOR_REMAINDER},
        {"!", TOKEN_OPERATOR, OPERATOR_NOT}, {"=", TOKEN_ASSIGN, OPERATOR_ASSIGN}, {".", TOKEN_DOT, 0},
        {"[", TOKEN_OPEN_BRACKET, 0}, {"]", TOKEN_CLOSE_BRACKET, 0},
    };
    const char *text = lexer->text + lexer->at;
    for (unsigned i = 0; i < ARRAY_SIZE(signs); i++) {
        size_t bytes = strlen(signs[i].sign);
        if (strncmp(text, signs[i].sign, bytes) != 0)
            continue;
        token->kind = signs[i].kind;
        token->op = signs[i].op;
        lexer->at += (u32)bytes;
        return true;
    }
    return false;
}

static bool token_number(struct lexer *lexer, struct token *token)
{
    const char *text = lexer->text + lexer->at, *end;
    if (!is_digit(*text) && !(*text == '.' && is_digit(text[1])))
        return false;
    struct value *number = lexer_number(text, &end);
    if (!number)
        return false;
    value_add(lexer->syntax->literals, number);
    token->value = number;
    token->kind = TOKEN_NUMBER;
    token->text = syntax_text(lexer->syntax, text, (size_t)(end - text));
    lexer->at = (u32)(end - lexer->text);
    return true;
}

static void token_expression(struct lexer *lexer, struct token *token)
{
    const char *text = lexer->text + lexer->at;
    if (lexer_dash(text)) {
        token_dash(lexer, token, lexer_dash(text));
    } else if (lexer_name_start(*text)) {
        unsigned bytes = 0;
        while (lexer_name_part(text[bytes]) && !lexer_dash(text + bytes) && !lexer_double_quote(text + bytes) &&
               !lexer_single_quote(text + bytes) && !lexer_space(text + bytes))
            bytes++;
        token->kind = TOKEN_NAME;
        token->text = syntax_text(lexer->syntax, text, bytes);
        lexer->at += bytes;
    } else if (!token_number(lexer, token) && !token_sign(lexer, token)) {
        lexer_fail(lexer, "UnexpectedToken", token->start, token->start + 1, "Unexpected '%.1s' here.", text);
        token->kind = TOKEN_BAD;
        lexer->at++;
    }
}

static void token_argument(struct lexer *lexer, struct token *token)
{
    const char *text = lexer->text + lexer->at;
    unsigned dash = lexer_dash(text);
    if (dash && (lexer_name_start(text[dash]) || text[dash] == '?') && !lexer_dash(text + dash) &&
        !lexer_space(text + dash)) {
        unsigned bytes = 1;
        const char *name = text + dash;
        while (lexer_name_part(name[bytes]) && !lexer_space(name + bytes))
            bytes++;
        token->kind = TOKEN_PARAMETER;
        token->text = syntax_text(lexer->syntax, name, bytes);
        token->colon = name[bytes] == ':';
        lexer->at += dash + bytes + token->colon;
        return;
    }
    if (*text == '<') {
        lexer_fail(lexer, "RedirectionNotSupported", token->start, token->start + 1,
                   "'<' has no meaning yet: put quotes around text that contains it.");
        token->kind = TOKEN_BAD;
        lexer->at++;
        return;
    }
    token->kind = TOKEN_WORD;
    lexer->at++;
}

struct token lexer_next(struct lexer *lexer, enum lexer_mode mode)
{
    struct token token = {.mode = mode};
    token.spaced = lexer_skip(lexer) || lexer->at == 0;
    token.start = lexer->at;
    if (!token_common(lexer, &token)) {
        if (mode == LEXER_ARGUMENT)
            token_argument(lexer, &token);
        else
            token_expression(lexer, &token);
    }
    token.end = lexer->at;
    if (lexer->error->id)
        token.kind = TOKEN_BAD;
    return token;
}
