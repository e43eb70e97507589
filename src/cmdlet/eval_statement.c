// See session_room.h. Statements: what they put out goes to a sink as it comes.
#include "cmdlet/session_room.h"

#include <stdlib.h>
#include <string.h>

// A condition: -1 if evaluation goes on elsewhere.
static int eval_condition(struct session *session, const struct node *node)
{
    struct value *value = eval_value(session, node);
    if (!value)
        return -1;
    int truth = value_truth(value);
    value_unref(value);
    return truth;
}

static void eval_if(struct session *session, const struct node *node, const struct sink *sink)
{
    for (u32 i = 0; i < node->count; i += 2) {
        int truth = i + 1 < node->count ? eval_condition(session, node->child[i]) : 1;
        if (truth < 0)
            return;
        if (truth) {
            eval_statements(session, node->child[i + 1 < node->count ? i + 1 : i], sink);
            return;
        }
    }
}

// One turn of a loop's body. False: the loop is over.
static bool eval_turn(struct session *session, const struct node *body, const struct sink *sink)
{
    eval_statements(session, body, sink);
    if (session->flow == FLOW_CONTINUE)
        session->flow = FLOW_ON;
    if (session->flow == FLOW_BREAK) {
        session->flow = FLOW_ON;
        return false;
    }
    return session->flow == FLOW_ON;
}

static void eval_for(struct session *session, const struct node *node, const struct sink *sink)
{
    struct value *ignored = value_array();
    struct sink nowhere = eval_collector(ignored);
    eval_statement(session, node->child[0], &nowhere);
    while (session_step(session)) {
        const struct node *condition = node->child[1];
        bool endless = condition->kind == NODE_STATEMENTS && !condition->count;
        if ((!endless && eval_condition(session, condition) != 1) || !eval_turn(session, node->child[3], sink))
            break;
        eval_statement(session, node->child[2], &nowhere);
    }
    value_unref(ignored);
}

static void eval_foreach(struct session *session, const struct node *node, const struct sink *sink)
{
    struct value *list = eval_value(session, node->child[1]);
    if (!list)
        return;
    bool many = list->kind == VALUE_ARRAY;
    size_t count = many ? list->array.count : list->kind != VALUE_NULL;
    for (size_t i = 0; i < count && session_step(session); i++) {
        variable_set(session, node->child[0]->text, value_ref(many ? list->array.items[i] : list));
        if (session->flow != FLOW_ON || !eval_turn(session, node->child[2], sink))
            break;
    }
    value_unref(list);
}

static void eval_while(struct session *session, const struct node *node, const struct sink *sink)
{
    while (session_step(session))
        if (eval_condition(session, node->child[0]) != 1 || !eval_turn(session, node->child[1], sink))
            break;
}

static void eval_do(struct session *session, const struct node *node, const struct sink *sink)
{
    const int again = node->op != OPERATOR_NOT;
    while (session_step(session))
        if (!eval_turn(session, node->child[0], sink) || eval_condition(session, node->child[1]) != again)
            break;
}

static bool is_default(const struct node *condition)
{
    return condition->kind == NODE_LITERAL && !condition->text && condition->value->kind == VALUE_STRING &&
           !value_name_compare(condition->value->string, "default");
}

// Whether a clause of a switch takes the value.
static bool switch_takes(struct session *session, const struct node *node, const struct node *condition,
                         struct value *value)
{
    struct value *result = NULL, *pattern = eval_value(session, condition);
    bool takes = false;
    if (pattern && pattern->kind == VALUE_BLOCK) {
        struct value *output = value_array();
        struct sink collect = eval_collector(output);
        eval_block(session, pattern->block.node, value, &collect);
        takes = session->flow == FLOW_ON && value_truth(output);
        value_unref(output);
    } else if (pattern) {
        result = operate_binary(session, node, node->op, value, pattern);
        takes = result && value_truth(result);
    }
    value_unref(result);
    value_unref(pattern);
    return takes;
}

static void switch_one(struct session *session, const struct node *node, struct value *value, const struct sink *sink)
{
    bool any = false;
    for (unsigned pass = 0; pass < 2 && session->flow == FLOW_ON && !(pass && any); pass++)
        for (u32 i = 1; i + 1 < node->count && session->flow == FLOW_ON; i += 2) {
            if (is_default(node->child[i]) != (pass == 1))
                continue;
            if (pass || switch_takes(session, node, node->child[i], value)) {
                any = true;
                variable_set(session, "_", value_ref(value));
                eval_statements(session, node->child[i + 1], sink);
            }
        }
}

static void eval_switch(struct session *session, const struct node *node, const struct sink *sink)
{
    struct value *list = eval_value(session, node->child[0]);
    if (!list)
        return;
    bool many = list->kind == VALUE_ARRAY;
    for (size_t i = 0; i < (many ? list->array.count : 1) && session->flow == FLOW_ON; i++) {
        switch_one(session, node, many ? list->array.items[i] : list, sink);
        if (session->flow == FLOW_CONTINUE)
            session->flow = FLOW_ON;
    }
    if (session->flow == FLOW_BREAK)
        session->flow = FLOW_ON;
    value_unref(list);
}

// Whether an error is of one of the types: by the last part of a name, and those that every error here derives from.
static bool catch_takes(const char *types, const struct value *record)
{
    static const char *const all[] = {"Exception", "SystemException", "RuntimeException"};
    const char *is = value_as_string(value_get(record, "ExceptionType"), "");
    for (const char *at = types; at && *at;) {
        const char *end = at + strcspn(at, " "), *name = end;
        while (name > at && name[-1] != '.')
            name--;
        char *type = value_text("%.*s", (int)(end - name), name);
        bool takes = !value_name_compare(type, is);
        for (size_t i = 0; i < ARRAY_SIZE(all); i++)
            takes |= !value_name_compare(type, all[i]);
        free(type);
        if (takes)
            return true;
        at = *end ? end + 1 : end;
    }
    return !types;
}

// The first catch that takes the error; NULL: none does.
static const struct node *try_handler(const struct node *node, const struct value *record)
{
    for (u32 i = 2; i < node->count; i++)
        if (catch_takes(node->child[i]->type, record))
            return node->child[i];
    return NULL;
}

static void eval_try(struct session *session, const struct node *node, const struct sink *sink)
{
    session->tries++;
    eval_statements(session, node->child[0], sink);
    session->tries--;
    const struct node *handler = session->flow == FLOW_THROW ? try_handler(node, session->thrown) : NULL;
    if (handler) {
        struct value *record = session->thrown, *outer = variable_get(session, "_");
        value_ref(outer);
        session->thrown = NULL;
        session->flow = FLOW_ON;
        session->ends = false;
        session_remember(session, record);
        variable_set(session, "_", record);
        eval_statements(session, handler, sink);
        value_put(session->scope->variables, "_", outer ? outer : value_null());
    }
    // The last block runs whatever happens, and what was under way goes on behind it.
    enum flow flow = session->flow;
    struct value *thrown = session->thrown;
    if (flow == FLOW_HALT)
        return;
    session->flow = FLOW_ON;
    session->thrown = NULL;
    eval_statements(session, node->child[1], sink);
    if (session->flow == FLOW_ON) {
        session->flow = flow;
        session->thrown = thrown;
    } else {
        value_unref(thrown);
    }
}

static void eval_throw(struct session *session, const struct node *node)
{
    struct value *what = node->count ? eval_value(session, node->child[0]) : value_ref(variable_get(session, "_"));
    if (what && what->kind == VALUE_OBJECT && value_is_a(what, "ErrorRecord")) {
        session_throw(session, what, true);
        return;
    }
    if (node->count && !what)
        return;
    char *text = what && what->kind != VALUE_NULL ? value_to_text(what) : value_text_copy("ScriptHalted");
    struct failure failure = {.id = text, .message = text, .start = node->start, .end = node->end};
    session_throw(session, failure_record(session, &failure), true);
    free(text);
    value_unref(what);
}

static void eval_return(struct session *session, const struct node *node, const struct sink *sink)
{
    if (node->count)
        eval_statement(session, node->child[0], sink);
    if (session->flow == FLOW_ON)
        session->flow = FLOW_RETURN;
}

// Ends the script, as Ctrl-C would, but for its status.
static void eval_exit(struct session *session, const struct node *node)
{
    struct value *status = node->count ? eval_value(session, node->child[0]) : NULL;
    if (session->flow == FLOW_ON) {
        session->exited = true;
        session->exit_status = (int)(value_as_int(status, 0) & 0xff);
        session->flow = FLOW_HALT;
    }
    value_unref(status);
}

// An assignment, or an expression by itself, whose value is its output. $i++ has none.
static void eval_expression_statement(struct session *session, const struct node *node, const struct sink *sink)
{
    if (node->kind == NODE_ASSIGN) {
        eval_assignment(session, node);
        return;
    }
    struct value *value = eval_value(session, node);
    session->succeeded = value != NULL;
    if (value && node->kind != NODE_STEP)
        eval_output(session, value, sink);
    else
        value_unref(value);
}

static void eval_kind(struct session *session, const struct node *node, const struct sink *sink)
{
    switch (node->kind) {
    case NODE_STATEMENTS:
        eval_statements(session, node, sink);
        break;
    case NODE_PIPELINE:
        if (node->count == 1 && node->child[0]->kind != NODE_COMMAND)
            eval_expression_statement(session, node->child[0], sink);
        else
            pipeline_run(session, node, sink);
        break;
    case NODE_IF:
        eval_if(session, node, sink);
        break;
    case NODE_WHILE:
        eval_while(session, node, sink);
        break;
    case NODE_DO:
        eval_do(session, node, sink);
        break;
    case NODE_FOR:
        eval_for(session, node, sink);
        break;
    case NODE_FOREACH:
        eval_foreach(session, node, sink);
        break;
    case NODE_SWITCH:
        eval_switch(session, node, sink);
        break;
    case NODE_TRY:
        eval_try(session, node, sink);
        break;
    case NODE_THROW:
        eval_throw(session, node);
        break;
    case NODE_RETURN:
        eval_return(session, node, sink);
        break;
    case NODE_EXIT:
        eval_exit(session, node);
        break;
    case NODE_BREAK:
        session->flow = FLOW_BREAK;
        break;
    case NODE_CONTINUE:
        session->flow = FLOW_CONTINUE;
        break;
    case NODE_FUNCTION:
        function_set(session, node->text, session->syntax, node->child[0]);
        break;
    default:
        eval_expression_statement(session, node, sink);
        break;
    }
}

void eval_statement(struct session *session, const struct node *node, const struct sink *sink)
{
    if (!session_step(session))
        return;
    if (++session->depth > SESSION_DEPTH)
        session_fail(session, node, "CallDepthOverflow", "The script is nested too deeply.");
    else
        eval_kind(session, node, sink);
    session->depth--;
}

void eval_statements(struct session *session, const struct node *node, const struct sink *sink)
{
    for (u32 i = 0; i < node->count && session->flow == FLOW_ON; i++) {
        eval_statement(session, node->child[i], sink);
        // An error ends its statement; only `throw` and -ErrorAction Stop end more.
        if (session->flow == FLOW_THROW && !session->ends && !session->tries) {
            struct value *thrown = session->thrown;
            session->thrown = NULL;
            session->flow = FLOW_ON;
            session_report(session, thrown);
            value_unref(thrown);
        }
    }
}

void eval_parts(struct session *session, const struct node *parts, const struct node *block, struct value *input,
                const struct sink *sink)
{
    eval_statements(session, parts->child[0], sink);
    const size_t count = input ? value_count(input) : 1;
    for (size_t i = 0; i < count && session->flow == FLOW_ON; i++) {
        if (input)
            value_put(session->scope->variables, "_", value_ref(value_item(input, i)));
        if (input && block)
            pipeline_take(session, block, value_item(input, i));
        eval_statements(session, parts->child[1], sink);
        if (session->flow == FLOW_RETURN) // from this object's turn
            session->flow = FLOW_ON;
    }
    if (session->flow == FLOW_ON)
        eval_statements(session, parts->child[2], sink);
}

void eval_block(struct session *session, const struct block *block, struct value *item, const struct sink *sink)
{
    struct syntax *outer = session->syntax;
    struct value *before = item ? value_ref(value_get(session->scope->variables, "_")) : NULL;
    if (!session_step(session))
        goto end;
    if (++session->calls > SESSION_CALLS) {
        session_fail(session, block->node, "CallDepthOverflow", "The script calls itself too deeply.");
    } else {
        if (item)
            value_put(session->scope->variables, "_", value_ref(item));
        session->syntax = syntax_ref(block->syntax);
        if (block->node->prefix)
            eval_parts(session, block->node->child[0], NULL, NULL, sink);
        else
            eval_statements(session, block->node->child[0], sink);
        syntax_unref(session->syntax);
        session->syntax = outer;
        if (item) {
            value_put(session->scope->variables, "_", before ? before : value_null());
            before = NULL;
        }
    }
    session->calls--;
end:
    value_unref(before);
}
