// What the parser's files share: parser.c has statements, parser_command.c pipelines and commands, parser_expression.c
// expressions, parser_text.c strings and words.
#pragma once

#include "cmdlet/lexer.h"

struct parser {
    struct lexer lexer;
    struct syntax *syntax;
    struct token token; // looked at, not taken
    bool have;
    u32 before;     // where the next token's white space starts
    u32 last;       // where the last taken token ended
    unsigned depth; // of recursion
};

// Tokens. Looking again in another mode reads the text again.
struct token *parser_peek(struct parser *parser, enum lexer_mode mode);
void parser_take(struct parser *parser);
bool parser_is(struct parser *parser, enum lexer_mode mode, enum token_kind kind); // looks
bool parser_accept(struct parser *parser, enum lexer_mode mode, enum token_kind kind); // takes it if it is there
bool parser_expect(struct parser *parser, enum token_kind kind, const char *id, const char *what);
void parser_skip_lines(struct parser *parser);  // line ends
void parser_jump(struct parser *parser, u32 at); // goes on there
// The text right behind the last token, and behind the white space that follows it.
const char *parser_adjacent(const struct parser *parser);
const char *parser_look(struct parser *parser);
bool parser_failed(const struct parser *parser);
// The error for a token that cannot stand here.
void parser_unexpected(struct parser *parser, enum lexer_mode mode, const char *id, const char *expected);

// Recursion. False, with the error set, where it gets too deep.
bool parser_enter(struct parser *parser);
void parser_leave(struct parser *parser);

// Nodes. A child is never NULL; what an error left unmade is an empty literal.
struct node *parser_node(struct parser *parser, enum node_kind kind, u32 start);
void parser_add(struct parser *parser, struct node *node, struct node *child);
struct node *parser_end(struct parser *parser, struct node *node); // sets where it ends: here
struct node *parser_literal(struct parser *parser, u32 start, struct value *value); // takes the value over

struct node *parser_statements(struct parser *parser, enum token_kind end);
struct node *parser_statement(struct parser *parser);
struct node *parser_pipeline(struct parser *parser);
struct node *parser_argument(struct parser *parser);
struct node *parser_expression(struct parser *parser);
struct node *parser_primary(struct parser *parser, enum lexer_mode mode);
struct node *parser_postfix(struct parser *parser, struct node *node);
struct node *parser_block(struct parser *parser);
// param( ... ), with [CmdletBinding()] before it: a block without statements that has the parameters. NULL: none stands
// here.
struct node *parser_param(struct parser *parser); // at {
struct node *parser_parameters(struct parser *parser, struct node *block); // behind (
struct node *parser_quoted(struct parser *parser); // at TOKEN_QUOTE or TOKEN_HERE
struct node *parser_word(struct parser *parser);   // at TOKEN_WORD
