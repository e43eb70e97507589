// See parser_room.h. Expressions, by precedence: a level's operators bind tighter than those of the level before it
// (about_Operator_Precedence).
#include "cmdlet/parser_room.h"

#include <string.h>

enum { LEVEL_LOGICAL, LEVEL_BITWISE, LEVEL_COMPARISON, LEVEL_SUM, LEVEL_PRODUCT, LEVEL_FORMAT, LEVEL_RANGE, LEVELS };

static int operator_level(enum operator op)
{
    switch (op) {
    case OPERATOR_AND:
    case OPERATOR_OR:
    case OPERATOR_XOR:
        return LEVEL_LOGICAL;
    case OPERATOR_BAND:
    case OPERATOR_BOR:
    case OPERATOR_BXOR:
        return LEVEL_BITWISE;
    case OPERATOR_ADD:
    case OPERATOR_SUBTRACT:
        return LEVEL_SUM;
    case OPERATOR_MULTIPLY:
    case OPERATOR_DIVIDE:
    case OPERATOR_REMAINDER:
        return LEVEL_PRODUCT;
    case OPERATOR_FORMAT:
        return LEVEL_FORMAT;
    case OPERATOR_RANGE:
        return LEVEL_RANGE;
    default:
        return op >= OPERATOR_EQ && op <= OPERATOR_AS ? LEVEL_COMPARISON : -1;
    }
}

static struct node *parser_unary(struct parser *parser);

static struct node *parser_list(struct parser *parser)
{
    struct node *first = parser_unary(parser);
    if (!parser_is(parser, LEXER_EXPRESSION, TOKEN_COMMA))
        return first;
    struct node *list = parser_node(parser, NODE_LIST, first->start);
    parser_add(parser, list, first);
    while (!parser_failed(parser) && parser_accept(parser, LEXER_EXPRESSION, TOKEN_COMMA)) {
        parser_skip_lines(parser);
        parser_add(parser, list, parser_unary(parser));
    }
    return parser_end(parser, list);
}

// In a method's arguments a comma ends an expression.
static struct node *parser_binary(struct parser *parser, int least, bool lists)
{
    struct node *left = NULL;
    if (parser_enter(parser)) {
        left = lists ? parser_list(parser) : parser_unary(parser);
        while (!parser_failed(parser)) {
            struct token token = *parser_peek(parser, LEXER_EXPRESSION);
            int level = token.kind == TOKEN_OPERATOR ? operator_level(token.op) : -1;
            if (level < least)
                break;
            parser_take(parser);
            parser_skip_lines(parser);
            struct node *node = parser_node(parser, NODE_BINARY, left->start);
            node->op = token.op;
            node->sensitive = token.sensitive;
            parser_add(parser, node, left);
            parser_add(parser, node, parser_binary(parser, level + 1, lists));
            left = parser_end(parser, node);
        }
    }
    parser_leave(parser);
    return left ? left : parser_node(parser, NODE_STATEMENTS, parser->before);
}

struct node *parser_expression(struct parser *parser) { return parser_binary(parser, 0, true); }

// At [ of a type: its name, with the brackets of an array type. NULL: none.
static const char *parser_type(struct parser *parser)
{
    const char *text = parser_look(parser) + 1;
    size_t bytes = 0;
    while (lexer_name_part(text[bytes]) || text[bytes] == '.' || !strncmp(text + bytes, "[]", 2))
        bytes += text[bytes] == '[' ? 2 : 1;
    if (!bytes || text[bytes] != ']') {
        parser_jump(parser, (u32)(text + bytes - parser->lexer.text));
        parser_unexpected(parser, LEXER_EXPRESSION, "MissingTypename", "a type's name in [ ]");
        return NULL;
    }
    parser_jump(parser, (u32)(text + bytes + 1 - parser->lexer.text));
    return syntax_text(parser->syntax, text, bytes);
}

static struct node *parser_member_name(struct parser *parser);
static struct node *parser_call(struct parser *parser, struct node *member);

// [type]::Name, [type]::Name(...): a member of the type itself, which `prefix` says.
static struct node *parser_static(struct parser *parser, struct node *type)
{
    struct node *member = parser_node(parser, NODE_MEMBER, type->start);
    parser_jump(parser, parser->before + 2);
    type->prefix = true;
    parser_add(parser, member, type);
    parser_add(parser, member, parser_member_name(parser));
    member = parser_end(parser, member);
    if (*parser_adjacent(parser) == '(')
        member = parser_call(parser, member);
    return parser_postfix(parser, member);
}

static struct node *parser_cast(struct parser *parser)
{
    struct node *node = parser_node(parser, NODE_TYPE, parser->token.start);
    node->type = parser_type(parser);
    const char *next = parser_adjacent(parser);
    if (next[0] == ':' && next[1] == ':')
        return parser_static(parser, parser_end(parser, node));
    next = parser_look(parser);
    if (*next && (strchr("$(@[{'\"", *next) || (*next >= '0' && *next <= '9') || lexer_double_quote(next) ||
                  lexer_single_quote(next) || (lexer_dash(next) && next == parser_adjacent(parser)))) {
        node->kind = NODE_CAST;
        parser_add(parser, node, parser_unary(parser));
    }
    return parser_end(parser, node);
}

// -5 is a number, not an operation on one.
static struct node *parser_sign(struct parser *parser, struct token *sign)
{
    struct node *node = parser_node(parser, NODE_UNARY, sign->start);
    node->op = sign->op;
    parser_take(parser);
    parser_add(parser, node, parser_unary(parser));
    return parser_end(parser, node);
}

static struct node *parser_step(struct parser *parser, struct token *sign)
{
    struct node *node = parser_node(parser, NODE_STEP, sign->start);
    node->op = sign->op;
    node->prefix = true;
    parser_take(parser);
    parser_add(parser, node, parser_unary(parser));
    return parser_end(parser, node);
}

static struct node *parser_prefixed(struct parser *parser)
{
    struct token token = *parser_peek(parser, LEXER_EXPRESSION);
    if (token.kind == TOKEN_OPEN_BRACKET)
        return parser_cast(parser);
    if (token.kind == TOKEN_COMMA) { // ,1: an array of one
        struct node *list = parser_node(parser, NODE_LIST, token.start);
        parser_take(parser);
        parser_add(parser, list, parser_unary(parser));
        return parser_end(parser, list);
    }
    if (token.kind == TOKEN_OPERATOR)
        switch (token.op) {
        case OPERATOR_NOT:
        case OPERATOR_SUBTRACT:
        case OPERATOR_ADD:
        case OPERATOR_SPLIT:
        case OPERATOR_JOIN:
            return parser_sign(parser, &token);
        case OPERATOR_INCREMENT:
        case OPERATOR_DECREMENT:
            return parser_step(parser, &token);
        default:
            break;
        }
    struct node *node = parser_primary(parser, LEXER_EXPRESSION);
    const char *text = parser_adjacent(parser);
    bool up = text[0] == '+' && text[1] == '+', down = text[0] == '-' && text[1] == '-';
    if (!up && !down)
        return node;
    struct node *step = parser_node(parser, NODE_STEP, node->start);
    step->op = up ? OPERATOR_INCREMENT : OPERATOR_DECREMENT;
    parser_jump(parser, parser->before + 2);
    parser_add(parser, step, node);
    return parser_end(parser, step);
}

static struct node *parser_unary(struct parser *parser)
{
    struct node *node = NULL;
    if (parser_enter(parser))
        node = parser_prefixed(parser);
    parser_leave(parser);
    return node ? node : parser_node(parser, NODE_STATEMENTS, parser->before);
}

// The name behind a dot.
static struct node *parser_member_name(struct parser *parser)
{
    struct token token = *parser_peek(parser, LEXER_EXPRESSION);
    if (token.kind == TOKEN_NAME) {
        parser_take(parser);
        return parser_literal(parser, token.start, value_string(token.text));
    }
    if (token.kind == TOKEN_VARIABLE) {
        struct node *node = parser_node(parser, NODE_VARIABLE, token.start);
        node->text = token.text;
        parser_take(parser);
        return parser_end(parser, node);
    }
    if (token.kind == TOKEN_STRING || token.kind == TOKEN_QUOTE || token.kind == TOKEN_OPEN)
        return parser_primary(parser, LEXER_EXPRESSION);
    parser_unexpected(parser, LEXER_EXPRESSION, "MissingPropertyName", "a property's name");
    return parser_node(parser, NODE_STATEMENTS, token.start);
}

static struct node *parser_call(struct parser *parser, struct node *member)
{
    member->kind = NODE_CALL;
    parser_jump(parser, parser->before + 1);
    parser_skip_lines(parser);
    if (parser_accept(parser, LEXER_EXPRESSION, TOKEN_CLOSE))
        return parser_end(parser, member);
    do {
        parser_skip_lines(parser);
        parser_add(parser, member, parser_binary(parser, 0, false));
        parser_skip_lines(parser);
    } while (!parser_failed(parser) && parser_accept(parser, LEXER_EXPRESSION, TOKEN_COMMA));
    parser_expect(parser, TOKEN_CLOSE, "MissingEndParenthesisInMethodCall", "')'");
    return parser_end(parser, member);
}

// .Name, .Name(...), [index], as many as follow without white space.
struct node *parser_postfix(struct parser *parser, struct node *node)
{
    while (!parser_failed(parser)) {
        const char *text = parser_adjacent(parser);
        if (text[0] == '.' && (lexer_name_start(text[1]) || strchr("$'\"(", text[1])) && text[1]) {
            struct node *member = parser_node(parser, NODE_MEMBER, node->start);
            parser_jump(parser, parser->before + 1);
            parser_add(parser, member, node);
            parser_add(parser, member, parser_member_name(parser));
            node = parser_end(parser, member);
            if (*parser_adjacent(parser) == '(')
                node = parser_call(parser, node);
        } else if (text[0] == '[') {
            struct node *index = parser_node(parser, NODE_INDEX, node->start);
            parser_jump(parser, parser->before + 1);
            parser_add(parser, index, node);
            parser_skip_lines(parser);
            parser_add(parser, index, parser_expression(parser));
            parser_skip_lines(parser);
            parser_expect(parser, TOKEN_CLOSE_BRACKET, "MissingArrayIndexExpression", "']'");
            node = parser_end(parser, index);
        } else {
            break;
        }
    }
    return node;
}

static struct node *parser_map_key(struct parser *parser)
{
    struct token token = *parser_peek(parser, LEXER_EXPRESSION);
    if (token.kind != TOKEN_NAME)
        return parser_primary(parser, LEXER_EXPRESSION);
    parser_take(parser);
    return parser_literal(parser, token.start, value_string(token.text));
}

static struct node *parser_map(struct parser *parser, u32 start)
{
    struct node *map = parser_node(parser, NODE_MAP, start);
    while (!parser_failed(parser)) {
        for (const char *text; *(text = parser_look(parser)) == ';' || lexer_line_end(text);)
            parser_jump(parser, (u32)(text - parser->lexer.text) + (*text == ';' ? 1 : lexer_line_end(text)));
        if (parser_accept(parser, LEXER_EXPRESSION, TOKEN_CLOSE_BRACE))
            return parser_end(parser, map);
        parser_add(parser, map, parser_map_key(parser));
        if (!parser_is(parser, LEXER_EXPRESSION, TOKEN_ASSIGN) || parser->token.op != OPERATOR_ASSIGN) {
            parser_unexpected(parser, LEXER_EXPRESSION, "MissingEqualsInHashLiteral", "'=' behind the key");
            break;
        }
        parser_take(parser);
        parser_skip_lines(parser);
        parser_add(parser, map, parser_statement(parser));
        const char *text = parser_look(parser);
        if (*text != ';' && *text != '}' && !lexer_line_end(text))
            parser_unexpected(parser, LEXER_EXPRESSION, "MissingEndCurlyBrace", "'}', ';' or a new line");
    }
    return map;
}

// Whether an attribute says `word`, and not $false behind it.
static bool attribute_says(const char *text, size_t bytes, const char *word)
{
    const size_t length = strlen(word);
    for (size_t i = 0; i + length <= bytes; i++) {
        if (strncasecmp(text + i, word, length) || lexer_name_part(text[i + length]))
            continue;
        const char *behind = text + i + length;
        behind += strspn(behind, " \t=");
        return strncasecmp(behind, "$false", 6) != 0;
    }
    return false;
}

// [int] is the parameter's type; of [Parameter(...)] counts whether it must be given, and what the pipeline gives it.
static void parser_attribute(struct parser *parser, struct node *parameter)
{
    unsigned depth = 0;
    const char *text = parser_look(parser) + 1, *from = text;
    size_t bytes = strcspn(text, "()[] \t\r\n,");
    if (text[bytes] == ']' || !strncmp(text + bytes, "[]", 2)) {
        parameter->type = parser_type(parser);
        return;
    }
    do {
        struct token *token = parser_peek(parser, LEXER_EXPRESSION);
        if (token->kind == TOKEN_OPEN_BRACKET || token->kind == TOKEN_OPEN)
            depth++;
        else if (token->kind == TOKEN_CLOSE_BRACKET || token->kind == TOKEN_CLOSE)
            depth--;
        else if (token->kind == TOKEN_END)
            parser_unexpected(parser, LEXER_EXPRESSION, "EndSquareBracketExpectedAtEndOfAttribute", "']'");
        else if (token->kind == TOKEN_QUOTE) {
            parser_quoted(parser);
            continue;
        }
        parser_take(parser);
    } while (depth && !parser_failed(parser));
    if (parser_failed(parser) || strncasecmp(from, "Parameter(", 10))
        return;
    bytes = (size_t)(parser_look(parser) - from);
    parameter->mandatory |= attribute_says(from, bytes, "Mandatory");
    parameter->piped |= attribute_says(from, bytes, "ValueFromPipeline");
    parameter->named |= attribute_says(from, bytes, "ValueFromPipelineByPropertyName");
}

struct node *parser_parameters(struct parser *parser, struct node *block)
{
    for (bool more = true; more && !parser_failed(parser);) {
        parser_skip_lines(parser);
        if (!block->count && parser_accept(parser, LEXER_EXPRESSION, TOKEN_CLOSE))
            return block;
        struct node *parameter = parser_node(parser, NODE_PARAMETER, parser->before);
        while (*parser_look(parser) == '[' && !parser_failed(parser)) {
            parser_attribute(parser, parameter);
            parser_skip_lines(parser);
        }
        struct token token = *parser_peek(parser, LEXER_EXPRESSION);
        if (token.kind != TOKEN_VARIABLE) {
            parser_unexpected(parser, LEXER_EXPRESSION, "MissingExpressionAfterToken", "a parameter like $Name");
            break;
        }
        parser_take(parser);
        parameter->text = token.text;
        if (parser_accept(parser, LEXER_EXPRESSION, TOKEN_ASSIGN))
            parser_add(parser, parameter, parser_binary(parser, 0, false));
        parser_add(parser, block, parser_end(parser, parameter));
        parser_skip_lines(parser);
        more = parser_accept(parser, LEXER_EXPRESSION, TOKEN_COMMA);
    }
    parser_skip_lines(parser);
    parser_expect(parser, TOKEN_CLOSE, "MissingEndParenthesisInFunctionParameterList", "')'");
    return block;
}

static bool at_param(struct parser *parser)
{
    while (lexer_line_end(parser_look(parser)))
        parser_skip_lines(parser);
    const char *text = parser_look(parser);
    return !strncasecmp(text, "param", 5) && !lexer_name_part(text[5]);
}

struct node *parser_param(struct parser *parser)
{
    while (lexer_line_end(parser_look(parser)))
        parser_skip_lines(parser);
    if (!strncasecmp(parser_look(parser), "[CmdletBinding(", 15)) {
        struct node ignored = {0};
        parser_attribute(parser, &ignored);
    }
    if (!at_param(parser))
        return NULL;
    struct node *parameters = parser_node(parser, NODE_BLOCK, parser->before);
    parser_jump(parser, (u32)(parser_look(parser) - parser->lexer.text) + 5);
    struct node *block = parser_node(parser, NODE_BLOCK, parser->before);
    if (parser_expect(parser, TOKEN_OPEN, "MissingOpenParenthesis", "'('"))
        parser_parameters(parser, block);
    parser_add(parser, parameters, parser_node(parser, NODE_STATEMENTS, parser->before)); // as in any block
    for (u32 i = 0; i < block->count; i++)
        parser_add(parser, parameters, block->child[i]);
    return parser_end(parser, parameters);
}

// begin { }, process { }, end { } in a block: what happens before, at and after the pipeline's objects.
static bool at_part(struct parser *parser, unsigned *part)
{
    static const char *const names[SYNTAX_PARTS] = {"begin", "process", "end"};
    while (lexer_line_end(parser_look(parser)))
        parser_skip_lines(parser);
    const char *text = parser_look(parser);
    for (unsigned i = 0; i < SYNTAX_PARTS; i++) {
        const size_t length = strlen(names[i]);
        const char *after = text + length;
        if (strncasecmp(text, names[i], length))
            continue;
        while (*after == ' ' || *after == '\t' || *after == '\r' || *after == '\n')
            after++;
        if (*after != '{')
            continue;
        if (part) {
            *part = i;
            parser_jump(parser, (u32)(text + length - parser->lexer.text));
        }
        return true;
    }
    return false;
}

static struct node *parser_parts(struct parser *parser, struct node *block)
{
    struct node *parts = parser_node(parser, NODE_STATEMENTS, parser->before);
    unsigned part;
    block->prefix = true;
    for (unsigned i = 0; i < SYNTAX_PARTS; i++)
        parser_add(parser, parts, parser_node(parser, NODE_STATEMENTS, parser->before));
    while (!parser_failed(parser) && at_part(parser, &part)) {
        parser_skip_lines(parser);
        if (parser_expect(parser, TOKEN_OPEN_BRACE, "MissingStatementBlock", "a block { }"))
            parts->child[part] = parser_statements(parser, TOKEN_CLOSE_BRACE);
        if (parts->child[part]->depth >= parts->depth)
            parts->depth = parts->child[part]->depth + 1;
    }
    parser_skip_lines(parser);
    parser_expect(parser, TOKEN_CLOSE_BRACE, "MissingEndCurlyBrace", "begin, process, end or '}'");
    return parser_end(parser, parts);
}

struct node *parser_block(struct parser *parser)
{
    struct node *block = parser_node(parser, NODE_BLOCK, parser->token.start);
    parser_take(parser);
    struct node *parameters = parser_param(parser);
    parser_add(parser, block, at_part(parser, NULL) ? parser_parts(parser, block)
                                                    : parser_statements(parser, TOKEN_CLOSE_BRACE));
    for (u32 i = 1; parameters && i < parameters->count; i++)
        parser_add(parser, block, parameters->child[i]);
    return parser_end(parser, block);
}

// ( pipeline ), $( statements ), @( statements )
static struct node *parser_enclosed(struct parser *parser, const struct token *token)
{
    enum node_kind kind = token->kind == TOKEN_OPEN ? NODE_GROUP
                        : token->kind == TOKEN_OPEN_SUB ? NODE_SUBEXPRESSION : NODE_ARRAY;
    struct node *node = parser_node(parser, kind, token->start);
    parser_take(parser);
    if (kind != NODE_GROUP) {
        parser_add(parser, node, parser_statements(parser, TOKEN_CLOSE));
        return parser_end(parser, node);
    }
    parser_skip_lines(parser);
    parser_add(parser, node, parser_pipeline(parser));
    parser_skip_lines(parser);
    parser_expect(parser, TOKEN_CLOSE, "MissingEndParenthesisInExpression", "')'");
    return parser_end(parser, node);
}

struct node *parser_primary(struct parser *parser, enum lexer_mode mode)
{
    struct token token = *parser_peek(parser, mode);
    struct node *node = NULL;
    if (!parser_enter(parser)) {
        parser_leave(parser);
        return parser_node(parser, NODE_STATEMENTS, token.start);
    }
    switch (token.kind) {
    case TOKEN_NUMBER:
        parser_take(parser);
        node = parser_node(parser, NODE_LITERAL, token.start);
        node->value = token.value;
        parser_end(parser, node);
        break;
    case TOKEN_STRING:
        parser_take(parser);
        node = parser_literal(parser, token.start, value_string(token.text));
        break;
    case TOKEN_QUOTE:
    case TOKEN_HERE:
        node = parser_quoted(parser);
        break;
    case TOKEN_VARIABLE:
        parser_take(parser);
        node = parser_node(parser, NODE_VARIABLE, token.start);
        node->text = token.text;
        parser_end(parser, node);
        break;
    case TOKEN_OPEN:
    case TOKEN_OPEN_SUB:
    case TOKEN_OPEN_ARRAY:
        node = parser_enclosed(parser, &token);
        break;
    case TOKEN_OPEN_MAP:
        parser_take(parser);
        node = parser_map(parser, token.start);
        break;
    case TOKEN_OPEN_BRACE:
        node = parser_block(parser);
        break;
    default:
        parser_unexpected(parser, mode, "ExpectedExpression", "a value");
        node = parser_node(parser, NODE_STATEMENTS, token.start);
        break;
    }
    node = parser_postfix(parser, node);
    parser_leave(parser);
    return node;
}
