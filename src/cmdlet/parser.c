// See syntax.h. Text to tree: statements. A recursive descent, because the grammar is one: each rule is a function, and
// what it expected is what its error says.
#include "cmdlet/format_text.h"
#include "cmdlet/parser_room.h"

#include <stdlib.h>
#include <string.h>

enum { PARSER_DEPTH = 500 };

struct token *parser_peek(struct parser *parser, enum lexer_mode mode)
{
    if (!parser->have || parser->token.mode != mode) {
        parser->lexer.at = parser->before;
        parser->token = lexer_next(&parser->lexer, mode);
        parser->have = true;
    }
    return &parser->token;
}

void parser_take(struct parser *parser)
{
    parser->have = false;
    parser->before = parser->last = parser->token.end;
}

void parser_jump(struct parser *parser, u32 at)
{
    parser->have = false;
    parser->before = parser->last = at;
}

bool parser_is(struct parser *parser, enum lexer_mode mode, enum token_kind kind)
{
    return parser_peek(parser, mode)->kind == kind;
}

bool parser_accept(struct parser *parser, enum lexer_mode mode, enum token_kind kind)
{
    if (!parser_is(parser, mode, kind))
        return false;
    parser_take(parser);
    return true;
}

bool parser_expect(struct parser *parser, enum token_kind kind, const char *id, const char *what)
{
    if (parser_accept(parser, LEXER_EXPRESSION, kind))
        return true;
    parser_unexpected(parser, LEXER_EXPRESSION, id, what);
    return false;
}

void parser_skip_lines(struct parser *parser)
{
    while (lexer_line_end(parser_look(parser)))
        parser_jump(parser, (u32)(parser_look(parser) + lexer_line_end(parser_look(parser)) - parser->lexer.text));
}

const char *parser_adjacent(const struct parser *parser) { return parser->lexer.text + parser->before; }

const char *parser_look(struct parser *parser)
{
    parser->have = false;
    parser->lexer.at = parser->before;
    lexer_skip(&parser->lexer);
    return parser->lexer.text + parser->lexer.at;
}

bool parser_failed(const struct parser *parser) { return parser->lexer.error->id != NULL; }

void parser_unexpected(struct parser *parser, enum lexer_mode mode, const char *id, const char *expected)
{
    if (parser_failed(parser))
        return;
    struct token *token = parser_peek(parser, mode);
    if (parser_failed(parser))
        return;
    if (token->kind == TOKEN_END) {
        lexer_fail(&parser->lexer, id, token->start, token->start, "The text ends where %s was expected.", expected);
        parser->lexer.error->incomplete = true;
    } else if (token->kind == TOKEN_NEWLINE) {
        lexer_fail(&parser->lexer, id, token->start, token->start, "The line ends where %s was expected.", expected);
    } else {
        u32 bytes = token->end - token->start;
        lexer_fail(&parser->lexer, id, token->start, token->end, "Unexpected '%.*s': %s was expected.",
                   bytes > 60 ? 60 : (int)bytes, parser->lexer.text + token->start, expected);
    }
}

bool parser_enter(struct parser *parser)
{
    if (++parser->depth <= PARSER_DEPTH)
        return true;
    lexer_fail(&parser->lexer, "ScriptTooComplicated", parser->before, parser->before,
               "The script is nested too deeply: at most %d levels.", PARSER_DEPTH);
    return false;
}

void parser_leave(struct parser *parser) { parser->depth--; }

struct node *parser_node(struct parser *parser, enum node_kind kind, u32 start)
{
    struct node *node = syntax_allocate(parser->syntax, sizeof *node);
    node->kind = kind;
    node->start = node->end = start;
    node->depth = 1;
    return node;
}

void parser_add(struct parser *parser, struct node *node, struct node *child)
{
    if (node->count == node->room) {
        u32 room = node->room ? 2 * node->room : 2;
        struct node **more = syntax_allocate(parser->syntax, room * sizeof *more);
        if (node->count)
            memcpy(more, node->child, node->count * sizeof *more);
        node->child = more;
        node->room = room;
    }
    node->child[node->count++] = child;
    if (child->depth >= node->depth)
        node->depth = child->depth + 1;
    if (node->depth > SYNTAX_DEPTH)
        lexer_fail(&parser->lexer, "ScriptTooComplicated", node->start, node->start,
                   "The expression is too long: at most %d operations one on another.", SYNTAX_DEPTH);
}

struct node *parser_end(struct parser *parser, struct node *node)
{
    if (parser->last > node->end)
        node->end = parser->last;
    return node;
}

struct node *parser_literal(struct parser *parser, u32 start, struct value *value)
{
    struct node *node = parser_node(parser, NODE_LITERAL, start);
    value_add(parser->syntax->literals, value);
    node->value = value;
    return parser_end(parser, node);
}

static struct node *empty_statements(struct parser *parser)
{
    return parser_node(parser, NODE_STATEMENTS, parser->before);
}

// The name at the front, if it is one of the words that statements start with.
static bool keyword_at(struct parser *parser, char *name, size_t room)
{
    static const char *const keywords[] = {"if", "while", "do", "for", "foreach", "switch", "try", "throw", "return",
                                           "break", "continue", "exit", "function", "filter", "param"};
    const char *text = parser_look(parser);
    size_t bytes = 0;
    while (bytes < room - 1 && lexer_name_part(text[bytes]))
        bytes++;
    memcpy(name, text, bytes);
    name[bytes] = 0;
    // "for-each" and "if.exe" are commands, "if(" is not.
    if (!bytes || (!lexer_word_end(text + bytes) && text[bytes] != '('))
        return false;
    for (unsigned i = 0; i < ARRAY_SIZE(keywords); i++)
        if (!value_name_compare(keywords[i], name))
            return true;
    return false;
}

static bool accept_name(struct parser *parser, const char *name)
{
    if (!lexer_name_start(*parser_look(parser)))
        return false;
    struct token *token = parser_peek(parser, LEXER_EXPRESSION);
    if (token->kind != TOKEN_NAME || value_name_compare(token->text, name) != 0)
        return false;
    parser_take(parser);
    return true;
}

// The same behind line ends, which stay where they are if it is not there.
static bool accept_name_below(struct parser *parser, const char *name)
{
    const u32 before = parser->before, last = parser->last;
    parser_skip_lines(parser);
    if (accept_name(parser, name))
        return true;
    parser_jump(parser, before);
    parser->last = last;
    return false;
}

static bool at_statement_end(struct parser *parser)
{
    const char *text = parser_look(parser);
    return !*text || lexer_line_end(text) || strchr(";})|", *text);
}

// { statements }: a body, not a value.
static struct node *parser_body(struct parser *parser)
{
    parser_skip_lines(parser);
    if (!parser_expect(parser, TOKEN_OPEN_BRACE, "MissingStatementBlock", "a block { }"))
        return empty_statements(parser);
    struct node *body = parser_statements(parser, TOKEN_CLOSE_BRACE);
    return parser_end(parser, body);
}

// ( statement )
static struct node *parser_condition(struct parser *parser)
{
    if (!parser_expect(parser, TOKEN_OPEN, "MissingOpenParenthesis", "a condition in parentheses"))
        return empty_statements(parser);
    parser_skip_lines(parser);
    struct node *condition = parser_pipeline(parser);
    parser_skip_lines(parser);
    parser_expect(parser, TOKEN_CLOSE, "MissingEndParenthesis", "')'");
    return condition;
}

static void parser_if(struct parser *parser, struct node *node)
{
    do {
        parser_add(parser, node, parser_condition(parser));
        parser_add(parser, node, parser_body(parser));
    } while (!parser_failed(parser) && accept_name_below(parser, "elseif"));
    if (accept_name_below(parser, "else"))
        parser_add(parser, node, parser_body(parser));
}

static void parser_do(struct parser *parser, struct node *node)
{
    parser_add(parser, node, parser_body(parser));
    bool until = accept_name_below(parser, "until");
    if (until)
        node->op = OPERATOR_NOT;
    else if (!accept_name_below(parser, "while"))
        parser_unexpected(parser, LEXER_EXPRESSION, "MissingWhileOrUntilInDoWhile", "'while' or 'until'");
    parser_add(parser, node, parser_condition(parser));
}

static void parser_for(struct parser *parser, struct node *node)
{
    parser_expect(parser, TOKEN_OPEN, "MissingOpenParenthesis", "'('");
    for (unsigned part = 0; part < 3; part++) {
        parser_skip_lines(parser);
        bool empty = strchr(";)", *parser_look(parser)) != NULL;
        parser_add(parser, node, empty ? empty_statements(parser) : parser_statement(parser));
        if (part < 2)
            parser_accept(parser, LEXER_EXPRESSION, TOKEN_SEMICOLON);
    }
    parser_skip_lines(parser);
    parser_expect(parser, TOKEN_CLOSE, "MissingEndParenthesis", "')'");
    parser_add(parser, node, parser_body(parser));
}

static void parser_foreach(struct parser *parser, struct node *node)
{
    parser_expect(parser, TOKEN_OPEN, "MissingOpenParenthesis", "'('");
    struct token *token = parser_peek(parser, LEXER_EXPRESSION);
    if (token->kind != TOKEN_VARIABLE) {
        parser_unexpected(parser, LEXER_EXPRESSION, "MissingVariableNameAfterForeach", "a variable");
        return;
    }
    struct node *variable = parser_node(parser, NODE_VARIABLE, token->start);
    variable->text = token->text;
    parser_take(parser);
    parser_add(parser, node, parser_end(parser, variable));
    if (!accept_name(parser, "in"))
        parser_unexpected(parser, LEXER_EXPRESSION, "MissingInInForeach", "'in'");
    parser_skip_lines(parser);
    parser_add(parser, node, parser_pipeline(parser));
    parser_skip_lines(parser);
    parser_expect(parser, TOKEN_CLOSE, "MissingEndParenthesis", "')'");
    parser_add(parser, node, parser_body(parser));
}

static void parser_switch(struct parser *parser, struct node *node)
{
    node->op = OPERATOR_EQ;
    while (parser_is(parser, LEXER_ARGUMENT, TOKEN_PARAMETER)) {
        const char *name = parser->token.text;
        if (!value_name_compare(name, "Wildcard"))
            node->op = OPERATOR_LIKE;
        else if (!value_name_compare(name, "Regex"))
            node->op = OPERATOR_MATCH;
        else if (value_name_compare(name, "Exact") != 0)
            parser_unexpected(parser, LEXER_ARGUMENT, "InvalidSwitchFlag", "-Wildcard, -Regex or -Exact");
        parser_take(parser);
    }
    parser_add(parser, node, parser_condition(parser));
    parser_skip_lines(parser);
    parser_expect(parser, TOKEN_OPEN_BRACE, "MissingCurlyBraceInSwitchStatement", "'{'");
    for (;;) {
        while (parser_is(parser, LEXER_ARGUMENT, TOKEN_NEWLINE) || parser_is(parser, LEXER_ARGUMENT, TOKEN_SEMICOLON))
            parser_take(parser);
        if (parser_failed(parser) || parser_accept(parser, LEXER_ARGUMENT, TOKEN_CLOSE_BRACE))
            return;
        if (parser_is(parser, LEXER_ARGUMENT, TOKEN_END)) {
            parser_unexpected(parser, LEXER_ARGUMENT, "MissingEndCurlyBrace", "'}'");
            return;
        }
        parser_add(parser, node, parser_argument(parser));
        parser_add(parser, node, parser_body(parser));
    }
}

// The types of a catch, [a], [b]: with blanks between. NULL: it catches all.
static const char *parser_catch_types(struct parser *parser)
{
    struct text types = {0};
    while (!parser_failed(parser) && *parser_look(parser) == '[') {
        const char *text = parser_look(parser) + 1;
        const size_t bytes = strcspn(text, "] \t\r\n");
        if (!bytes || text[bytes] != ']') {
            parser_jump(parser, (u32)(text + bytes - parser->lexer.text));
            parser_unexpected(parser, LEXER_EXPRESSION, "MissingTypename", "a type's name in [ ]");
            break;
        }
        text_put(&types, types.length ? " " : "");
        text_put_bytes(&types, text, bytes);
        parser_jump(parser, (u32)(text + bytes + 1 - parser->lexer.text));
        parser_accept(parser, LEXER_EXPRESSION, TOKEN_COMMA);
        parser_skip_lines(parser);
    }
    const char *result = types.length ? syntax_text(parser->syntax, types.bytes, types.length) : NULL;
    text_free(&types);
    return result;
}

static void parser_try(struct parser *parser, struct node *node)
{
    struct node *catches = parser_node(parser, NODE_STATEMENTS, parser->before);
    parser_add(parser, node, parser_body(parser));
    while (!parser_failed(parser) && accept_name_below(parser, "catch")) {
        const char *types = parser_catch_types(parser);
        struct node *body = parser_body(parser);
        body->type = types;
        parser_add(parser, catches, body);
    }
    const bool finally = accept_name_below(parser, "finally");
    parser_add(parser, node, finally ? parser_body(parser) : empty_statements(parser));
    for (u32 i = 0; i < catches->count; i++)
        parser_add(parser, node, catches->child[i]);
    if (!catches->count && !finally)
        parser_unexpected(parser, LEXER_EXPRESSION, "MissingCatchOrFinally", "'catch' or 'finally'");
}

static void parser_function(struct parser *parser, struct node *node)
{
    struct token *token = parser_peek(parser, LEXER_ARGUMENT);
    struct node *name = token->kind == TOKEN_WORD ? parser_word(parser) : NULL;
    if (!name || name->kind != NODE_LITERAL) {
        parser_unexpected(parser, LEXER_ARGUMENT, "MissingNameAfterKeyword", "a function's name");
        return;
    }
    char *text = value_to_text(name->value);
    node->text = syntax_text(parser->syntax, text, strlen(text));
    free(text);
    struct node *parameters = NULL;
    if (*parser_look(parser) == '(') {
        parser_take((parser_peek(parser, LEXER_EXPRESSION), parser));
        parameters = parser_parameters(parser, parser_node(parser, NODE_BLOCK, parser->before));
    }
    parser_skip_lines(parser);
    if (!parser_is(parser, LEXER_EXPRESSION, TOKEN_OPEN_BRACE)) {
        parser_unexpected(parser, LEXER_EXPRESSION, "MissingFunctionBody", "'{'");
        return;
    }
    struct node *block = parser_block(parser);
    for (u32 i = 0; parameters && i < parameters->count; i++)
        parser_add(parser, block, parameters->child[i]);
    parser_add(parser, node, block);
}

// What stands behind return and throw, if anything.
static void parser_tail(struct parser *parser, struct node *node)
{
    if (!at_statement_end(parser))
        parser_add(parser, node, parser_pipeline(parser));
}

static const struct {
    const char *name;
    enum node_kind kind;
    void (*parse)(struct parser *parser, struct node *node);
} statements[] = {
    {"if", NODE_IF, parser_if},
    {"do", NODE_DO, parser_do},
    {"for", NODE_FOR, parser_for},
    {"foreach", NODE_FOREACH, parser_foreach},
    {"switch", NODE_SWITCH, parser_switch},
    {"try", NODE_TRY, parser_try},
    {"function", NODE_FUNCTION, parser_function},
    {"throw", NODE_THROW, parser_tail},
    {"return", NODE_RETURN, parser_tail},
    {"exit", NODE_EXIT, parser_tail},
    {"break", NODE_BREAK, NULL},
    {"continue", NODE_CONTINUE, NULL},
};

static struct node *parser_keyword(struct parser *parser, const char *name)
{
    struct token *token = parser_peek(parser, LEXER_EXPRESSION);
    u32 start = token->start;
    parser_take(parser);
    if (!value_name_compare(name, "while")) {
        struct node *node = parser_node(parser, NODE_WHILE, start);
        parser_add(parser, node, parser_condition(parser));
        parser_add(parser, node, parser_body(parser));
        return parser_end(parser, node);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(statements); i++)
        if (!value_name_compare(statements[i].name, name)) {
            struct node *node = parser_node(parser, statements[i].kind, start);
            if (statements[i].parse)
                statements[i].parse(parser, node);
            return parser_end(parser, node);
        }
    lexer_fail(&parser->lexer, "UnexpectedToken", start, parser->last, "'%s' cannot stand here.", name);
    return empty_statements(parser);
}

struct node *parser_statement(struct parser *parser)
{
    struct node *node = NULL;
    char name[16];
    if (parser_enter(parser))
        node = keyword_at(parser, name, sizeof name) ? parser_keyword(parser, name) : parser_pipeline(parser);
    parser_leave(parser);
    return node ? node : empty_statements(parser);
}

static bool ends_itself(const struct node *node)
{
    return node->kind >= NODE_IF && node->kind <= NODE_FUNCTION && node->kind != NODE_THROW &&
           node->kind != NODE_RETURN && node->kind != NODE_EXIT && node->kind != NODE_BREAK &&
           node->kind != NODE_CONTINUE && node->kind != NODE_DO;
}

struct node *parser_statements(struct parser *parser, enum token_kind end)
{
    struct node *node = parser_node(parser, NODE_STATEMENTS, parser->before);
    for (;;) {
        for (const char *text; *(text = parser_look(parser)) == ';' || lexer_line_end(text);)
            parser_jump(parser, (u32)(text - parser->lexer.text) + (*text == ';' ? 1 : lexer_line_end(text)));
        if (parser_failed(parser))
            return node;
        const char *text = parser_look(parser);
        if (!*text || *text == ')' || *text == '}') {
            if (!parser_accept(parser, LEXER_EXPRESSION, end))
                parser_unexpected(parser, LEXER_EXPRESSION,
                                  end == TOKEN_CLOSE_BRACE ? "MissingEndCurlyBrace"
                                  : end == TOKEN_CLOSE     ? "MissingEndParenthesisInExpression"
                                                           : "UnexpectedToken",
                                  end == TOKEN_CLOSE_BRACE ? "'}'" : end == TOKEN_CLOSE ? "')'" : "a statement");
            return parser_end(parser, node);
        }
        struct node *statement = parser_statement(parser);
        parser_add(parser, node, statement);
        text = parser_look(parser);
        if (!parser_failed(parser) && *text && !lexer_line_end(text) && !strchr(";)}", *text) &&
            !ends_itself(statement)) {
            parser_unexpected(parser, LEXER_ARGUMENT, "UnexpectedToken", "the end of the statement");
            return node;
        }
    }
}

size_t syntax_utf8_length(const char *text)
{
    const u8 *at = (const u8 *)text;
    while (*at) {
        unsigned more = *at < 0x80 ? 0 : *at >= 0xc2 && *at < 0xe0 ? 1 : *at >= 0xe0 && *at < 0xf0 ? 2
                      : *at >= 0xf0 && *at < 0xf5 ? 3 : 4;
        bool bad = more == 4 || (*at == 0xe0 && at[1] < 0xa0) || (*at == 0xed && at[1] > 0x9f) ||
                   (*at == 0xf0 && at[1] < 0x90) || (*at == 0xf4 && at[1] > 0x8f);
        for (unsigned i = 1; !bad && i <= more; i++)
            bad = (at[i] & 0xc0) != 0x80;
        if (bad)
            break;
        at += 1 + more;
    }
    return (size_t)(at - (const u8 *)text);
}

struct syntax *syntax_parse(const char *name, const char *text, struct syntax_error *error)
{
    *error = (struct syntax_error){0};
    struct parser parser = {.lexer = {.error = error}};
    if (!strncmp(text, "\xef\xbb\xbf", 3))
        text += 3; // a byte order mark
    size_t bytes = strlen(text), good = syntax_utf8_length(text);
    if (bytes > SYNTAX_BYTES) {
        lexer_fail(&parser.lexer, "ScriptTooComplicated", 0, 0, "The script is longer than %d bytes.", SYNTAX_BYTES);
        return NULL;
    }
    if (good < bytes) {
        lexer_fail(&parser.lexer, "InvalidEncoding", (u32)good, (u32)good, "The script is not UTF-8 at byte %zu.",
                   good);
        return NULL;
    }
    struct syntax *syntax = value_allocate(sizeof *syntax);
    syntax->references = 1;
    syntax->name = name ? value_text_copy(name) : NULL;
    syntax->text = value_text_copy(text);
    syntax->literals = value_array();
    parser.syntax = parser.lexer.syntax = syntax;
    parser.lexer.text = syntax->text;
    syntax->parameters = parser_param(&parser);
    syntax->root = parser_statements(&parser, TOKEN_END);
    if (!parser_failed(&parser))
        return syntax;
    syntax_unref(syntax);
    return NULL;
}
