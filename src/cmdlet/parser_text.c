// See parser_room.h. What has variables in the middle of text: "..." strings, here-strings, bare words.
#include "cmdlet/parser_room.h"

#include <stdlib.h>
#include <string.h>

// Text being collected, and the parts that are finished.
struct parts {
    struct parser *parser;
    struct node *node; // NODE_EXPANDABLE
    char *text;
    size_t bytes, room;
    bool quoted; // something was quoted or escaped: no number any more
};

static void parts_put(struct parts *parts, const char *text, size_t bytes)
{
    if (parts->room - parts->bytes <= bytes) {
        parts->room = 2 * parts->room + bytes + 16;
        parts->text = value_reallocate(parts->text, parts->room);
    }
    memcpy(parts->text + parts->bytes, text, bytes);
    parts->bytes += bytes;
    parts->text[parts->bytes] = 0;
}

static void parts_flush(struct parts *parts)
{
    if (!parts->bytes)
        return;
    parser_add(parts->parser, parts->node, parser_literal(parts->parser, parts->node->start,
                                                          value_string(parts->text)));
    parts->bytes = 0;
}

// At a dollar sign: a variable or $( ). False: it is a dollar sign.
static bool parts_expand(struct parts *parts, u32 *at)
{
    struct parser *parser = parts->parser;
    const char *text = parser->lexer.text + *at;
    if (text[1] == '(') {
        parts_flush(parts);
        struct node *node = parser_node(parser, NODE_SUBEXPRESSION, *at);
        parser_jump(parser, *at + 2);
        if (parser_enter(parser))
            parser_add(parser, node, parser_statements(parser, TOKEN_CLOSE));
        parser_leave(parser);
        *at = parser->last;
        parser_add(parser, parts->node, parser_end(parser, node));
        return true;
    }
    bool braces;
    unsigned bytes = lexer_variable(text + 1, &braces);
    if (!bytes || (!braces && strchr("^", text[1])))
        return false;
    parts_flush(parts);
    struct node *node = parser_node(parser, NODE_VARIABLE, *at);
    node->text = syntax_text(parser->syntax, text + 1 + braces, bytes - 2 * braces);
    *at += 1 + bytes;
    node->end = *at;
    parser_add(parser, parts->node, node);
    return true;
}

static void parts_escape(struct parts *parts, u32 *at)
{
    char out[8];
    *at += lexer_escape(parts->parser->lexer.text + *at, out);
    parts_put(parts, out, strlen(out));
    parts->quoted = true;
}

static struct node *parts_finish(struct parts *parts, u32 at)
{
    struct parser *parser = parts->parser;
    struct node *node = parts->node;
    const char *end = NULL;
    parser_jump(parser, at);
    if (!node->count) {
        struct value *number = NULL;
        if (!parts->quoted && parts->bytes)
            number = lexer_number(parts->text, &end);
        if (number && *end) {
            value_unref(number);
            number = NULL;
        }
        u32 start = node->start;
        node = parser_literal(parser, start, number ? number : value_string(parts->bytes ? parts->text : ""));
        if (number)
            node->text = syntax_text(parser->syntax, parts->text, parts->bytes);
    } else {
        parts_flush(parts);
    }
    free(parts->text);
    return parser_end(parser, node);
}

// Up to the closing quote, over what it encloses. `*at` behind it.
static void parts_quoted(struct parts *parts, u32 *at)
{
    struct parser *parser = parts->parser;
    const u32 start = *at;
    parts->quoted = true;
    while (!parser_failed(parser)) {
        const char *text = parser->lexer.text + *at;
        unsigned quote = lexer_double_quote(text);
        if (quote && !lexer_double_quote(text + quote)) {
            *at += quote;
            return;
        }
        if (quote) {
            parts_put(parts, text + quote, lexer_double_quote(text + quote));
            *at += quote + lexer_double_quote(text + quote);
        } else if (!*text) {
            lexer_fail(&parser->lexer, "TerminatorExpectedAtEndOfString", start ? start - 1 : 0, start,
                       "The string is missing the terminator: \".");
            parser->lexer.error->incomplete = true;
        } else if (*text == '`') {
            parts_escape(parts, at);
        } else if (*text != '$' || !parts_expand(parts, at)) {
            parts_put(parts, text, 1);
            ++*at;
        }
    }
}

// @"..."@ behind its header. The last line's end is not part of it.
static void parts_here(struct parts *parts, u32 *at)
{
    struct parser *parser = parts->parser;
    const u32 start = *at;
    parts->quoted = true;
    while (!parser_failed(parser)) {
        const char *text = parser->lexer.text + *at;
        unsigned line = *at == start ? 0 : lexer_line_end(text), quote = lexer_double_quote(text + line);
        if ((line || *at == start) && quote && text[line + quote] == '@') {
            *at += line + quote + 1;
            return;
        }
        if (!*text) {
            lexer_fail(&parser->lexer, "TerminatorExpectedAtEndOfString", parts->node->start, start,
                       "The here-string is missing the terminator: \"@.");
            parser->lexer.error->incomplete = true;
        } else if (*text == '`') {
            parts_escape(parts, at);
        } else if (*text != '$' || !parts_expand(parts, at)) {
            parts_put(parts, text, 1);
            ++*at;
        }
    }
}

static struct parts parts_make(struct parser *parser, u32 start)
{
    return (struct parts){.parser = parser, .node = parser_node(parser, NODE_EXPANDABLE, start)};
}

struct node *parser_quoted(struct parser *parser)
{
    struct parts parts = parts_make(parser, parser->token.start);
    u32 at = parser->token.end;
    if (parser->token.kind == TOKEN_HERE)
        parts_here(&parts, &at);
    else
        parts_quoted(&parts, &at);
    return parts_finish(&parts, at);
}

// '...' in the middle of a word: as it stands.
static void parts_verbatim(struct parts *parts, u32 *at)
{
    struct parser *parser = parts->parser;
    parser_jump(parser, *at);
    struct token *token = parser_peek(parser, LEXER_ARGUMENT);
    if (token->kind == TOKEN_STRING)
        parts_put(parts, token->text, strlen(token->text));
    parts->quoted = true;
    *at = token->end;
}

struct node *parser_word(struct parser *parser)
{
    struct parts parts = parts_make(parser, parser->token.start);
    u32 at = parser->token.start;
    while (!parser_failed(parser)) {
        const char *text = parser->lexer.text + at;
        if (lexer_word_end(text))
            break;
        if (lexer_double_quote(text)) {
            at += lexer_double_quote(text);
            parts_quoted(&parts, &at);
        } else if (lexer_single_quote(text)) {
            parts_verbatim(&parts, &at);
        } else if (*text == '`') {
            parts_escape(&parts, &at);
        } else if (*text != '$' || !parts_expand(&parts, &at)) {
            parts_put(&parts, text, 1);
            at++;
        }
    }
    return parts_finish(&parts, at);
}
