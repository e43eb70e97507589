// See parser_room.h. Pipelines, commands and their arguments.
#include "cmdlet/parser_room.h"

#include <string.h>

// A value that text follows without white space is the start of a word: $folder/disk.img, $(name)-1.
static struct node *argument_join(struct parser *parser, struct node *first)
{
    const char *text = parser_adjacent(parser);
    if (lexer_word_end(text) || (first->kind != NODE_VARIABLE && first->kind != NODE_SUBEXPRESSION))
        return first;
    parser->token.start = parser->before;
    struct node *rest = parser_word(parser);
    struct node *node = parser_node(parser, NODE_EXPANDABLE, first->start);
    parser_add(parser, node, first);
    parser_add(parser, node, rest);
    return parser_end(parser, node);
}

struct node *parser_argument(struct parser *parser)
{
    struct token *token = parser_peek(parser, LEXER_ARGUMENT);
    if (token->kind == TOKEN_WORD)
        return parser_word(parser);
    return argument_join(parser, parser_primary(parser, LEXER_ARGUMENT));
}

// a, b, c: one argument.
static struct node *argument_list(struct parser *parser)
{
    struct node *first = parser_argument(parser);
    if (parser_failed(parser) || !parser_is(parser, LEXER_ARGUMENT, TOKEN_COMMA))
        return first;
    struct node *list = parser_node(parser, NODE_LIST, first->start);
    parser_add(parser, list, first);
    while (!parser_failed(parser) && parser_accept(parser, LEXER_ARGUMENT, TOKEN_COMMA)) {
        parser_skip_lines(parser);
        parser_add(parser, list, parser_argument(parser));
    }
    return parser_end(parser, list);
}

static struct node *parser_option(struct parser *parser)
{
    struct token token = parser->token;
    struct node *option = parser_node(parser, NODE_OPTION, token.start);
    option->text = token.text;
    parser_take(parser);
    if (token.colon)
        parser_add(parser, option, argument_list(parser));
    else
        option->end = token.end;
    return parser_end(parser, option);
}

static struct node *parser_redirect(struct parser *parser)
{
    struct token token = parser->token;
    struct node *redirect = parser_node(parser, NODE_REDIRECT, token.start);
    redirect->text = token.text;
    redirect->append = token.append;
    parser_take(parser);
    if (!token.merge)
        parser_add(parser, redirect, parser_argument(parser));
    return parser_end(parser, redirect);
}

static void parser_elements(struct parser *parser, struct node *command)
{
    while (!parser_failed(parser)) {
        struct token *token = parser_peek(parser, LEXER_ARGUMENT);
        switch (token->kind) {
        case TOKEN_END:
        case TOKEN_NEWLINE:
        case TOKEN_SEMICOLON:
        case TOKEN_PIPE:
        case TOKEN_AMPERSAND:
        case TOKEN_CLOSE:
        case TOKEN_CLOSE_BRACE:
            return;
        case TOKEN_PARAMETER:
            parser_add(parser, command, parser_option(parser));
            break;
        case TOKEN_REDIRECT:
            parser_add(parser, command, parser_redirect(parser));
            break;
        case TOKEN_SPLAT: {
            struct node *splat = parser_node(parser, NODE_SPLAT, token->start);
            splat->text = token->text;
            parser_take(parser);
            parser_add(parser, command, parser_end(parser, splat));
            break;
        }
        default:
            parser_add(parser, command, argument_list(parser));
            break;
        }
    }
}

// Whether what follows is a command's name rather than an expression.
static bool at_command(struct parser *parser)
{
    const char *text = parser_look(parser);
    if (*text == '&')
        return true;
    if (*text == '.')
        return lexer_space(text + 1) || strchr("/\\.", text[1]);
    if (*text && strchr("?%~\\/", *text))
        return true;
    return lexer_name_start(*text) && !lexer_dash(text) && !lexer_double_quote(text) && !lexer_single_quote(text);
}

static struct node *parser_command(struct parser *parser)
{
    const char *text = parser_look(parser);
    struct node *command = parser_node(parser, NODE_COMMAND, (u32)(text - parser->lexer.text));
    if (*text == '&' || (*text == '.' && lexer_space(text + 1))) {
        command->op = *text == '&' ? OPERATOR_CALL : OPERATOR_SOURCE;
        parser_jump(parser, command->start + 1);
        if (lexer_word_end(parser_look(parser)) && !strchr("{(", *parser_look(parser)))
            parser_unexpected(parser, LEXER_ARGUMENT, "MissingExpression", "what to call");
    }
    parser_add(parser, command, parser_argument(parser));
    parser_elements(parser, command);
    return parser_end(parser, command);
}

static bool can_be_assigned(const struct node *node)
{
    switch (node->kind) {
    case NODE_VARIABLE:
    case NODE_MEMBER:
    case NODE_INDEX:
        return true;
    case NODE_CAST:
        return node->count && can_be_assigned(node->child[0]);
    case NODE_LIST:
        for (u32 i = 0; i < node->count; i++)
            if (!can_be_assigned(node->child[i]))
                return false;
        return true;
    default:
        return false;
    }
}

static struct node *parser_assignment(struct parser *parser, struct node *target)
{
    struct node *node = parser_node(parser, NODE_ASSIGN, target->start);
    node->op = parser->token.op;
    if (!can_be_assigned(target)) {
        lexer_fail(&parser->lexer, "InvalidLeftHandSide", target->start, target->end,
                   "The left side of an assignment must be a variable, a property or an element.");
        return node;
    }
    parser_take(parser);
    parser_skip_lines(parser);
    parser_add(parser, node, target);
    parser_add(parser, node, parser_statement(parser));
    return parser_end(parser, node);
}

// An expression that starts a pipeline; what is written behind it goes on: "text" > file.
static struct node *parser_first(struct parser *parser)
{
    struct node *node = parser_expression(parser);
    if (parser_failed(parser) || !parser_is(parser, LEXER_EXPRESSION, TOKEN_REDIRECT))
        return node;
    struct node *pipeline = parser_node(parser, NODE_PIPELINE, node->start);
    parser_add(parser, pipeline, node);
    while (!parser_failed(parser) && parser_is(parser, LEXER_EXPRESSION, TOKEN_REDIRECT))
        parser_add(parser, pipeline, parser_redirect(parser));
    return parser_end(parser, pipeline);
}

static void parser_stages(struct parser *parser, struct node *pipeline)
{
    while (!parser_failed(parser) && *parser_look(parser) == '|') {
        parser_jump(parser, (u32)(parser_look(parser) - parser->lexer.text) + 1);
        if (*parser_adjacent(parser) == '|')
            parser_unexpected(parser, LEXER_EXPRESSION, "UnexpectedToken", "a command");
        parser_skip_lines(parser);
        if (!at_command(parser)) {
            if (strchr("|;)}", *parser_look(parser)))
                parser_unexpected(parser, LEXER_ARGUMENT, "EmptyPipeElement", "a command behind '|'");
            else
                parser_unexpected(parser, LEXER_ARGUMENT, "ExpressionsMustBeFirstInPipeline", "a command behind '|'");
            return;
        }
        parser_add(parser, pipeline, parser_command(parser));
    }
}

struct node *parser_pipeline(struct parser *parser)
{
    const u32 start = (u32)(parser_look(parser) - parser->lexer.text);
    struct node *first = NULL;
    if (!parser_enter(parser)) {
        parser_leave(parser);
        return parser_node(parser, NODE_STATEMENTS, start);
    }
    if (at_command(parser)) {
        first = parser_command(parser);
    } else {
        first = parser_first(parser);
        if (!parser_failed(parser) && parser_is(parser, LEXER_EXPRESSION, TOKEN_ASSIGN)) {
            first = parser_assignment(parser, first);
            parser_leave(parser);
            return first;
        }
    }
    struct node *pipeline = first;
    if (first->kind != NODE_PIPELINE) {
        pipeline = parser_node(parser, NODE_PIPELINE, start);
        parser_add(parser, pipeline, first);
    }
    parser_stages(parser, pipeline);
    if (!parser_failed(parser) && *parser_look(parser) == '&')
        parser_unexpected(parser, LEXER_EXPRESSION, "BackgroundOperator",
                          "the end of the command (nothing runs in the background)");
    parser_leave(parser);
    return parser_end(parser, pipeline);
}
