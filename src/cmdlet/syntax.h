// A script as a tree. Made by the parser (parser.c), walked by the evaluator (eval.c).
//
// The tree lives as long as anything refers to it: a script block that was put into a variable keeps its script's tree,
// which is why a tree is counted. Its nodes are never changed after parsing.
#pragma once

#include <stdio.h>

#include "base/types.h"
#include "cmdlet/value.h"

// A script is foreign: it may not be longer, and its tree not higher, so that whoever walks it can recurse.
enum { SYNTAX_BYTES = 1 << 20, SYNTAX_DEPTH = 500, SYNTAX_PARTS = 3 };

enum node_kind {
    NODE_LITERAL,       // `value`; a bare word that reads as a number has its spelling in `text`
    NODE_EXPANDABLE,    // "a $b": parts whose texts are joined
    NODE_VARIABLE,      // `text`: name, with its scope: "env:HOME"
    NODE_SPLAT,         // `text`: @name among a command's arguments
    NODE_LIST,          // a, b
    NODE_ARRAY,         // @( statements )
    NODE_GROUP,         // ( statement )
    NODE_SUBEXPRESSION, // $( statements )
    NODE_MAP,           // @{ }: keys and values by turns
    // { }: statements, then NODE_PARAMETER...; `prefix`: the statements are begin's, process's, end's
    NODE_BLOCK,
    NODE_PARAMETER,     // of a function: `text` its name, the default if it has one; `type` its type
    NODE_MEMBER,        // target, name
    NODE_CALL,          // target, name, arguments...
    NODE_INDEX,         // target, index
    NODE_TYPE,          // [int] by itself: `type`; `prefix`: [int]:: before a member's name
    NODE_CAST,          // `type`, operand
    NODE_UNARY,         // operator, operand
    NODE_BINARY,        // operator, left, right
    NODE_STEP,          // operator ++ or --, target; `prefix`
    NODE_ASSIGN,        // operator, target, statement
    NODE_COMMAND,       // name, then NODE_OPTION, NODE_SPLAT, NODE_REDIRECT or expressions; `op`: & or . before it
    NODE_OPTION,        // -Name: `text`; with its argument if it was written -Name:argument
    NODE_REDIRECT,      // `text`: the stream ("1", "2", "*"), target; `append`
    NODE_PIPELINE,      // stages: commands, or an expression first
    NODE_STATEMENTS,
    NODE_IF,            // condition, body, condition, body, ..., body of else
    NODE_WHILE,         // condition, body
    NODE_DO,            // body, condition; `op` OPERATOR_NOT: until
    NODE_FOR,           // start, condition, step, body; the first three may be empty NODE_STATEMENTS
    NODE_FOREACH,       // variable, list, body
    NODE_SWITCH,        // value, then condition and body by turns; a NODE_BLOCK condition is asked; `text` "default"
    NODE_TRY,           // body, finally or empty, then the catches: `type` the types with blanks between, NULL: all
    NODE_THROW,         // what, if anything
    NODE_RETURN,        // what, if anything
    NODE_EXIT,          // the status, if any
    NODE_BREAK,
    NODE_CONTINUE,
    NODE_FUNCTION,      // `text`: name; NODE_BLOCK
};

enum operator {
    OPERATOR_NONE,
    OPERATOR_ADD, OPERATOR_SUBTRACT, OPERATOR_MULTIPLY, OPERATOR_DIVIDE, OPERATOR_REMAINDER,
    OPERATOR_RANGE, OPERATOR_FORMAT,
    OPERATOR_EQ, OPERATOR_NE, OPERATOR_GT, OPERATOR_GE, OPERATOR_LT, OPERATOR_LE,
    OPERATOR_LIKE, OPERATOR_NOTLIKE, OPERATOR_MATCH, OPERATOR_NOTMATCH,
    OPERATOR_CONTAINS, OPERATOR_NOTCONTAINS, OPERATOR_IN, OPERATOR_NOTIN,
    OPERATOR_REPLACE, OPERATOR_SPLIT, OPERATOR_JOIN,
    OPERATOR_IS, OPERATOR_ISNOT, OPERATOR_AS,
    OPERATOR_AND, OPERATOR_OR, OPERATOR_XOR, OPERATOR_NOT,
    OPERATOR_BAND, OPERATOR_BOR, OPERATOR_BXOR,
    OPERATOR_INCREMENT, OPERATOR_DECREMENT,
    OPERATOR_ASSIGN, // plain; += is OPERATOR_ADD on NODE_ASSIGN
    OPERATOR_CALL, OPERATOR_SOURCE,
};

struct node {
    enum node_kind kind;
    enum operator op;
    bool sensitive; // -ceq: letter case counts
    bool prefix, append;
    bool mandatory, piped, named; // NODE_PARAMETER: what [Parameter()] says of it
    u16 depth;      // how high the tree below it is
    u32 start, end; // bytes of the text
    const char *text;
    const char *type;
    struct value *value;
    struct node **child;
    u32 count, room;
};

struct syntax {
    unsigned references;
    char *name; // NULL: typed at a prompt
    char *text;
    struct node *root; // NODE_STATEMENTS
    struct node *parameters; // NODE_BLOCK: those of param( ) at the script's beginning; NULL: none
    struct syntax_chunk *chunks;
    struct value *literals; // an array: what the nodes' `value` borrow from
};

struct syntax_error {
    u32 start, end;  // bytes of the text
    bool incomplete; // more text could make it right
    const char *id;  // "UnexpectedToken"
    char text[400];  // says what was expected
};

// NULL with the reason in `error`.
struct syntax *syntax_parse(const char *name, const char *text, struct syntax_error *error);
struct syntax *syntax_ref(struct syntax *syntax);
void syntax_unref(struct syntax *syntax); // NULL is allowed

// Texts are UTF-8, because values are: the offset of the first byte that is not, or the length.
size_t syntax_utf8_length(const char *text);

// Memory that lives as long as the tree.
void *syntax_allocate(struct syntax *syntax, size_t bytes);
char *syntax_text(struct syntax *syntax, const char *text, size_t bytes);

// What a name of an operator is: "ceq" -> OPERATOR_EQ, sensitive. OPERATOR_NONE: no operator.
enum operator operator_find(const char *name, bool *sensitive);
