// What the evaluator's files share: session.c runs scripts and reports errors, eval.c walks the tree, operate.c has the
// operators, member.c properties and methods, pipeline.c commands.
#pragma once

#include <stdatomic.h>

#include "cmdlet/bind.h"
#include "cmdlet/local.h"
#include "cmdlet/session.h"
#include "cmdlet/syntax.h"

enum {
    SESSION_DEPTH = 1200,        // of evaluation, one tree in another
    SESSION_CALLS = 60,          // of functions and blocks, one in another
    SESSION_VALUE_DEPTH = 24,    // of arrays and maps, one in another
    SESSION_VALUE_BYTES = 64 << 20,
    SESSION_ERRORS = 256,        // what $Error keeps
    SESSION_ERROR_STEPS = 16,    // what making an error costs, in steps
    STRICT_PROPERTIES = 2,
    SESSION_HINTS = 16,          // names are looked for that unknown ones are like: so often in a run
};

// Where evaluation goes on. What is not FLOW_ON unwinds to whoever handles it.
enum flow {
    FLOW_ON,
    FLOW_BREAK,
    FLOW_CONTINUE,
    FLOW_RETURN,
    FLOW_THROW,  // `thrown`
    FLOW_ENOUGH, // the pipeline's stage `enough` wants no more objects
    FLOW_HALT,   // Ctrl-C, or the step limit; `exited`: `exit`
};

// Where objects go; takes them over.
struct sink {
    void (*put)(void *context, struct value *object);
    void *context;
    bool emits; // the end of the outermost pipeline
};

struct scope {
    struct scope *parent;
    struct value *variables;
    struct value *unbound; // a function's: a map of the parameters that the pipeline's objects may bring; or NULL
};

struct function {
    struct function *next;
    char *name;
    struct syntax *syntax;
    const struct node *block;
};

// What a VALUE_BLOCK's node is.
struct block {
    struct syntax *syntax;
    const struct node *node; // NODE_BLOCK
};

struct session {
    struct session_config config;
    struct scope global, *scope;
    struct function *functions;
    struct syntax *syntax; // what positions refer to
    atomic_bool cancelled;
    enum flow flow;
    struct value *thrown; // an ErrorRecord
    bool ends;            // the thrown error ends the script, not just its statement
    bool failed;          // an error was reported
    bool exited;          // the script said `exit`
    int exit_status;      // with this
    bool succeeded;       // $?
    unsigned strict;      // Set-StrictMode: 0, 1 (variables), STRICT_PROPERTIES and more (properties, too)
    const struct stage *enough;
    unsigned tries; // try blocks around
    unsigned depth, calls;
    u64 steps;
    unsigned hints;
    bool yes_to_all, no_to_all;
    struct job *jobs; // in the order they were started
    s64 last_job;
};

// session.c: errors.
struct failure {
    const struct cmdlet *cmdlet;
    const char *command; // where there is no row: a function's name
    enum error_category category;
    const char *id, *exception, *target, *message;
    u32 start, end;
};
struct value *failure_record(struct session *session, const struct failure *failure); // an ErrorRecord
void session_report(struct session *session, struct value *record); // prints it, and remembers it in $Error
void session_remember(struct session *session, struct value *record);
void session_throw(struct session *session, struct value *record, bool ends); // takes the record over
// A failure of the language itself at a node. Returns NULL.
__attribute__((format(printf, 4, 5))) struct value *session_fail(struct session *session, const struct node *node,
                                                                 const char *id, const char *format, ...);
bool session_step(struct session *session); // false: stop (flow says why)
bool session_charge(struct session *session, u64 work); // the same before so much more work
struct bind_context session_bind_context(const struct session *session);

// Variables, with scopes: name, local:name, script:name, global:name, env:NAME.
struct value *variable_get(struct session *session, const char *name); // borrowed; NULL: none
void variable_set(struct session *session, const char *name, struct value *value);
const char *variable_text(struct session *session, const char *name, const char *fallback); // a preference
void scope_enter(struct session *session, struct scope *scope);
void scope_leave(struct session *session, struct scope *scope);

// eval.c. NULL: flow is not FLOW_ON.
struct value *eval_value(struct session *session, const struct node *node); // an expression, or a statement's output
void eval_statements(struct session *session, const struct node *node, const struct sink *sink);
void eval_statement(struct session *session, const struct node *node, const struct sink *sink);
// Enumerates: an array's items one by one, null not at all (as the output of a statement).
void eval_output(struct session *session, struct value *value, const struct sink *sink); // takes the value over
struct sink eval_collector(struct value *array);
struct value *eval_unwrap(struct value *array); // null, the one item, or the array; takes the array over
// Runs a block in the scope that is current. `item`: $_, or NULL.
void eval_block(struct session *session, const struct block *block, struct value *item, const struct sink *sink);
// A block's begin, process and end: process once an object of `input`, or once if that is NULL. `block` (may be NULL):
// whose parameters take from each object what they were not given.
void eval_parts(struct session *session, const struct node *parts, const struct node *block, struct value *input,
                const struct sink *sink);
void pipeline_take(struct session *session, const struct node *block, struct value *object);
// Bounds depth and bytes of a new container; takes it over, gives it back, or NULL with an error.
struct value *eval_bounded(struct session *session, const struct node *node, struct value *value);
char *eval_text(struct session *session, struct value *value); // as "$value" reads
void eval_assignment(struct session *session, const struct node *node); // NODE_ASSIGN
void eval_assign(struct session *session, const struct node *target, struct value *value); // takes it over

// operate.c. Operands are borrowed.
struct value *operate_binary(struct session *session, const struct node *node, enum operator op, struct value *left,
                             struct value *right);
struct value *operate_cast(struct session *session, const struct node *node, const char *type, struct value *value);
bool operate_is(const struct value *value, const char *type);

// member.c
// A new reference; null if there is none. What is a link (class.h) is asked for.
struct value *member_get(struct session *session, struct value *target, const char *name);
struct value *member_find(struct session *session, struct value *target, const char *name); // NULL if there is none
struct value *member_call(struct session *session, const struct node *node, struct value *target, const char *name,
                          struct value **arguments, size_t count);
struct value *member_index(struct session *session, const struct node *node, struct value *target, struct value *index);

// static.c: [type]::name, [type]::name(arguments).
struct value *static_member(struct session *session, const struct node *node, const char *type, const char *name,
                            struct value **arguments, size_t count, bool call);

// pipeline.c
void pipeline_run(struct session *session, const struct node *node, const struct sink *sink);
void pipeline_words(struct session *session, const char *name, const struct argument *arguments, size_t count,
                    const struct sink *sink);
// Calls a function's or a block's body with arguments.
void pipeline_call(struct session *session, struct syntax *syntax, const struct node *block,
                   const struct argument *arguments, size_t count, struct value *input, const struct sink *sink);
// Sets the parameters of param( ) or a function in the scope that is current.
void pipeline_parameters(struct session *session, const struct node *block, const struct argument *arguments,
                         size_t count);
const struct function *function_find(const struct session *session, const char *name);
void function_set(struct session *session, const char *name, struct syntax *syntax, const struct node *block);
