// See session_room.h. Walks the tree. Every value has one owner at a time; NULL means that evaluation goes on elsewhere
// (session->flow says where).
//
// Containers have value semantics where PowerShell has references: `$h.x = 1` changes the variable's map and nobody
// else's. Nothing can contain itself that way, so counting references is enough to free everything.
#include "cmdlet/job.h"
#include "cmdlet/session_room.h"

#include <stdlib.h>
#include <string.h>

#include "cmdlet/value_room.h"

static void collect_put(void *context, struct value *object) { value_add(context, object); }

struct sink eval_collector(struct value *array) { return (struct sink){.put = collect_put, .context = array}; }

struct value *eval_unwrap(struct value *array)
{
    if (array->array.count > 1)
        return array;
    struct value *only = array->array.count ? value_ref(array->array.items[0]) : value_null();
    value_unref(array);
    return only;
}

// What a value weighs, until the budget is used up. False: too much, or too deep.
static bool value_weigh(const struct value *value, unsigned depth, size_t *budget)
{
    size_t bytes = sizeof *value;
    if (value->kind == VALUE_STRING)
        bytes += strlen(value->string);
    if (bytes > *budget || depth > SESSION_VALUE_DEPTH)
        return false;
    *budget -= bytes;
    if (value->kind == VALUE_ARRAY)
        for (size_t i = 0; i < value->array.count; i++)
            if (!value_weigh(value->array.items[i], depth + 1, budget))
                return false;
    if (value_is_map(value))
        for (size_t i = 0; i < value->map.count; i++)
            if (!value_weigh(value->map.pairs[i].value, depth + 1, budget))
                return false;
    return true;
}

struct value *eval_bounded(struct session *session, const struct node *node, struct value *value)
{
    size_t budget = SESSION_VALUE_BYTES;
    bool fits = !value || value_weigh(value, 0, &budget);
    session->steps += (SESSION_VALUE_BYTES - budget) >> 10; // big values are work, too
    if (fits)
        return value;
    value_unref(value);
    return session_fail(session, node, "ValueTooLarge",
                        "The value is too large: at most %d MiB, and %d arrays or tables one in another.",
                        SESSION_VALUE_BYTES >> 20, SESSION_VALUE_DEPTH);
}

char *eval_text(struct session *session, struct value *value)
{
    (void)session;
    return value_to_text(value);
}

void eval_output(struct session *session, struct value *value, const struct sink *sink)
{
    if (value->kind == VALUE_ARRAY) {
        for (size_t i = 0; i < value->array.count && session->flow == FLOW_ON; i++)
            sink->put(sink->context, value_ref(value->array.items[i]));
    } else if (value->kind != VALUE_NULL) {
        sink->put(sink->context, value_ref(value));
    }
    value_unref(value);
}

static struct value *eval_collect(struct session *session, const struct node *node, bool statements, bool unwrap)
{
    struct value *array = value_array();
    struct sink sink = eval_collector(array);
    if (statements)
        eval_statements(session, node, &sink);
    else
        eval_statement(session, node, &sink);
    if (session->flow != FLOW_ON) {
        value_unref(array);
        return NULL;
    }
    return eval_bounded(session, node, unwrap ? eval_unwrap(array) : array);
}

static struct value *eval_expandable(struct session *session, const struct node *node)
{
    char *text = value_text_copy("");
    size_t length = 0;
    for (u32 i = 0; i < node->count; i++) {
        struct value *value = eval_value(session, node->child[i]);
        if (!value) {
            free(text);
            return NULL;
        }
        char *part = eval_text(session, value);
        size_t more = strlen(part);
        value_unref(value);
        text = value_reallocate(text, length + more + 1);
        memcpy(text + length, part, more + 1);
        length += more;
        free(part);
    }
    return eval_bounded(session, node, value_string_put(text));
}

// Those that PowerShell itself sets, now or when there is something to set them to.
static bool variable_is_its_own(const char *name)
{
    static const char *const own[] = {"_", "PSItem", "args", "input", "Matches", "this", "PSScriptRoot",
                                      "PSCommandPath", "MyInvocation", "PSBoundParameters", "PSCmdlet", "Host"};
    if (strchr(name, ':')) // $env:HOME
        return true;
    for (unsigned i = 0; i < ARRAY_SIZE(own); i++)
        if (!value_name_compare(name, own[i]))
            return true;
    return false;
}

static struct value *eval_variable(struct session *session, const struct node *node)
{
    struct value *value = variable_get(session, node->text);
    if (!value && session->strict && !variable_is_its_own(node->text))
        return session_fail(session, node, "VariableIsUndefined",
                            "The variable '$%.80s' cannot be retrieved because it has not been set.", node->text);
    return value ? value_ref(value) : value_null();
}

static struct value *eval_list(struct session *session, const struct node *node)
{
    struct value *array = value_array();
    for (u32 i = 0; i < node->count; i++) {
        struct value *value = eval_value(session, node->child[i]);
        if (!value) {
            value_unref(array);
            return NULL;
        }
        value_add(array, value);
    }
    return eval_bounded(session, node, array);
}

static struct value *eval_map(struct session *session, const struct node *node)
{
    struct value *map = value_map();
    for (u32 i = 0; i + 1 < node->count; i += 2) {
        struct value *key = eval_value(session, node->child[i]);
        struct value *value = key ? eval_value(session, node->child[i + 1]) : NULL;
        if (!value) {
            value_unref(key);
            value_unref(map);
            return NULL;
        }
        char *name = eval_text(session, key);
        if (value_get(map, name))
            session_fail(session, node->child[i], "DuplicateKeyInHashLiteral",
                         "Duplicate key '%s' is not allowed in a table.", name);
        value_put(map, name, value);
        free(name);
        value_unref(key);
        if (session->flow != FLOW_ON) {
            value_unref(map);
            return NULL;
        }
    }
    return eval_bounded(session, node, map);
}

static void block_release(void *node)
{
    struct block *block = node;
    syntax_unref(block->syntax);
    free(block);
}

static struct value *eval_block_value(struct session *session, const struct node *node)
{
    struct block *block = value_allocate(sizeof *block);
    *block = (struct block){.syntax = syntax_ref(session->syntax), .node = node};
    return value_block(block, block_release);
}

static struct value *eval_member(struct session *session, const struct node *node)
{
    const struct node *type = node->child[0];
    struct value *target = eval_value(session, type);
    struct value *name = target ? eval_value(session, node->child[1]) : NULL, *result = NULL;
    if (name) {
        char *text = eval_text(session, name);
        result = type->kind == NODE_TYPE && type->prefix
                 ? static_member(session, node, type->type, text, NULL, 0, false)
                                                         : member_find(session, target, text);
        if (!result && session->flow == FLOW_ON && session->strict >= STRICT_PROPERTIES)
            session_fail(session, node, "PropertyNotFoundStrict", "The property '%.80s' cannot be found on this "
                         "object. Verify that the property exists.", text);
        else if (!result && session->flow == FLOW_ON)
            result = value_null();
        free(text);
    }
    value_unref(target);
    value_unref(name);
    return result;
}

enum { METHOD_ARGUMENTS = 4 };

static struct value *eval_call(struct session *session, const struct node *node)
{
    struct value *values[2 + METHOD_ARGUMENTS] = {NULL}, *result = NULL;
    u32 count = 0;
    if (node->count > ARRAY_SIZE(values))
        return session_fail(session, node, "MethodCountCouldNotFindBest", "The method takes fewer arguments.");
    while (count < node->count && (values[count] = eval_value(session, node->child[count])))
        count++;
    if (count == node->count) {
        char *name = eval_text(session, values[1]);
        const struct node *type = node->child[0];
        result = type->kind == NODE_TYPE && type->prefix
                     ? static_member(session, node, type->type, name, values + 2, count - 2, true)
                     : member_call(session, node, values[0], name, values + 2, count - 2);
        free(name);
    }
    for (u32 i = 0; i < count; i++)
        value_unref(values[i]);
    return result;
}

static struct value *eval_index(struct session *session, const struct node *node)
{
    struct value *target = eval_value(session, node->child[0]);
    struct value *index = target ? eval_value(session, node->child[1]) : NULL, *result = NULL;
    if (index)
        result = member_index(session, node, target, index);
    value_unref(target);
    value_unref(index);
    return result;
}

static struct value *eval_unary(struct session *session, const struct node *node)
{
    struct value *operand = eval_value(session, node->child[0]), *result = NULL;
    if (!operand)
        return NULL;
    struct value *zero = value_int(0), *blank = value_string(node->op == OPERATOR_JOIN ? "" : " ");
    switch (node->op) {
    case OPERATOR_NOT:
        result = value_bool(!value_truth(operand));
        break;
    case OPERATOR_SUBTRACT:
    case OPERATOR_ADD:
        result = operate_binary(session, node, node->op, zero, operand);
        break;
    default: // -join, -split
        result = operate_binary(session, node, node->op, operand, blank);
        break;
    }
    value_unref(zero);
    value_unref(blank);
    value_unref(operand);
    return result;
}

static struct value *eval_binary(struct session *session, const struct node *node)
{
    struct value *left = eval_value(session, node->child[0]), *right, *result = NULL;
    if (!left)
        return NULL;
    if (node->op == OPERATOR_AND || node->op == OPERATOR_OR) {
        bool truth = value_truth(left);
        value_unref(left);
        if (truth == (node->op == OPERATOR_OR))
            return value_bool(truth);
        right = eval_value(session, node->child[1]);
        if (!right)
            return NULL;
        truth = value_truth(right);
        value_unref(right);
        return value_bool(truth);
    }
    bool is = node->op == OPERATOR_IS || node->op == OPERATOR_ISNOT || node->op == OPERATOR_AS;
    right = is && node->child[1]->kind == NODE_TYPE ? value_string(node->child[1]->type)
                                                    : eval_value(session, node->child[1]);
    if (right)
        result = operate_binary(session, node, node->op, left, right);
    value_unref(left);
    value_unref(right);
    return result;
}

// Assignment.

// A copy that shares its items, unless the variable is all that holds it.
static struct value *container_own(struct value *value)
{
    struct value *copy;
    if (value->kind == VALUE_ARRAY) {
        copy = value_array();
        for (size_t i = 0; i < value->array.count; i++)
            value_add(copy, value_ref(value->array.items[i]));
    } else {
        copy = value->map.type ? value_object(value->map.type) : value_map();
        for (size_t i = 0; i < value->map.count; i++)
            value_put(copy, value->map.pairs[i].key, value_ref(value->map.pairs[i].value));
    }
    return copy;
}

// container[key] = value in a copy of the container. Takes the value over.
static struct value *container_set(struct session *session, const struct node *node, struct value *container,
                                   struct value *key, struct value *value)
{
    if (value_is_map(container)) {
        struct value *copy = container_own(container);
        char *name = eval_text(session, key);
        value_put(copy, name, value);
        free(name);
        return copy;
    }
    s64 index = key->kind == VALUE_INT ? key->integer : -1, count = (s64)value_count(container);
    if (key->kind == VALUE_INT && index < 0)
        index += count;
    if (container->kind == VALUE_ARRAY && node->kind == NODE_INDEX && key->kind == VALUE_INT && index >= 0 &&
        index < count) {
        struct value *copy = container_own(container);
        value_unref(copy->array.items[index]);
        copy->array.items[index] = value;
        return copy;
    }
    value_unref(value);
    if (container->kind == VALUE_ARRAY && node->kind == NODE_INDEX)
        return session_fail(session, node, "IndexOutOfRange", "Index was outside the bounds of the array.");
    char *name = eval_text(session, key);
    session_fail(session, node, "PropertyAssignmentException",
                 "The property '%.100s' cannot be set: the value has no properties of its own.", name);
    free(name);
    return NULL;
}

static void assign_element(struct session *session, const struct node *target, struct value *value)
{
    struct value *container = eval_value(session, target->child[0]);
    struct value *key = container ? eval_value(session, target->child[1]) : NULL;
    if (!key) {
        value_unref(container);
        value_unref(value);
        return;
    }
    struct value *changed = eval_bounded(session, target, container_set(session, target, container, key, value));
    if (changed)
        eval_assign(session, target->child[0], changed);
    value_unref(container);
    value_unref(key);
}

// $a, $b = 1, 2, 3: the last one gets the rest.
static void assign_list(struct session *session, const struct node *target, struct value *value)
{
    for (u32 i = 0; i < target->count && session->flow == FLOW_ON; i++) {
        struct value *part;
        if (value->kind != VALUE_ARRAY) {
            part = i ? value_null() : value_ref(value);
        } else if (i + 1 < target->count || value->array.count <= i + 1) {
            part = i < value->array.count ? value_ref(value->array.items[i]) : value_null();
        } else {
            part = value_array();
            for (size_t item = i; item < value->array.count; item++)
                value_add(part, value_ref(value->array.items[item]));
        }
        eval_assign(session, target->child[i], part);
    }
    value_unref(value);
}

void eval_assign(struct session *session, const struct node *target, struct value *value)
{
    switch (target->kind) {
    case NODE_VARIABLE:
        variable_set(session, target->text, value);
        break;
    case NODE_MEMBER:
    case NODE_INDEX:
        assign_element(session, target, value);
        break;
    case NODE_LIST:
        assign_list(session, target, value);
        break;
    case NODE_CAST: {
        struct value *cast = operate_cast(session, target, target->type, value);
        value_unref(value);
        if (cast)
            eval_assign(session, target->child[0], cast);
        break;
    }
    default: // (1..3)[0] = 5: nobody would ever see it
        session_fail(session, target, "InvalidLeftHandSide", "This cannot be assigned to.");
        value_unref(value);
        break;
    }
}

void eval_assignment(struct session *session, const struct node *node)
{
    struct value *value = eval_value(session, node->child[1]);
    if (value && node->op != OPERATOR_ASSIGN) {
        struct value *old = eval_value(session, node->child[0]), *result = NULL;
        if (old)
            result = operate_binary(session, node, node->op, old, value);
        value_unref(old);
        value_unref(value);
        value = result;
    }
    if (value)
        eval_assign(session, node->child[0], value);
}

// The value it had before for $i++, after for ++$i.
static struct value *eval_step(struct session *session, const struct node *node)
{
    struct value *old = eval_value(session, node->child[0]), *one = value_int(1), *new = NULL, *result = NULL;
    if (old && old->kind == VALUE_NULL) {
        value_unref(old);
        old = value_int(0);
    }
    if (old)
        new = operate_binary(session, node, node->op == OPERATOR_INCREMENT ? OPERATOR_ADD : OPERATOR_SUBTRACT, old,
                             one);
    if (new) {
        result = value_ref(node->prefix ? new : old);
        eval_assign(session, node->child[0], new);
        if (session->flow != FLOW_ON) {
            value_unref(result);
            result = NULL;
        }
    }
    value_unref(old);
    value_unref(one);
    return result;
}

static struct value *eval_kind(struct session *session, const struct node *node)
{
    switch (node->kind) {
    case NODE_LITERAL:
        return value_ref(node->value);
    case NODE_EXPANDABLE:
        return eval_expandable(session, node);
    case NODE_VARIABLE:
        return eval_variable(session, node);
    case NODE_LIST:
        return eval_list(session, node);
    case NODE_ARRAY:
        return eval_collect(session, node->child[0], true, false);
    case NODE_SUBEXPRESSION:
        return eval_collect(session, node->child[0], true, true);
    case NODE_GROUP:
        if (node->child[0]->kind == NODE_ASSIGN) { // ($a = 5) is 5
            eval_assignment(session, node->child[0]);
            return session->flow == FLOW_ON ? eval_value(session, node->child[0]->child[0]) : NULL;
        }
        return eval_value(session, node->child[0]);
    case NODE_MAP:
        return eval_map(session, node);
    case NODE_BLOCK:
        return eval_block_value(session, node);
    case NODE_MEMBER:
        jobs_show(session); // $job.State is asked for in loops
        return eval_member(session, node);
    case NODE_CALL:
        return eval_call(session, node);
    case NODE_INDEX:
        return eval_index(session, node);
    case NODE_TYPE:
        return value_string(node->type);
    case NODE_CAST: {
        struct value *operand = eval_value(session, node->child[0]);
        struct value *result = operand ? operate_cast(session, node, node->type, operand) : NULL;
        value_unref(operand);
        return result;
    }
    case NODE_UNARY:
        return eval_unary(session, node);
    case NODE_BINARY:
        return eval_binary(session, node);
    case NODE_STEP:
        return eval_step(session, node);
    case NODE_PIPELINE: // an expression alone keeps its value as it is: an array of one stays an array
        if (node->count == 1 && node->child[0]->kind != NODE_COMMAND)
            return eval_value(session, node->child[0]);
        return eval_collect(session, node, false, true);
    default:
        return eval_collect(session, node, false, true);
    }
}

struct value *eval_value(struct session *session, const struct node *node)
{
    struct value *value = NULL;
    if (!session_step(session))
        return NULL;
    if (++session->depth > SESSION_DEPTH)
        session_fail(session, node, "CallDepthOverflow", "The script is nested too deeply.");
    else
        value = eval_kind(session, node);
    session->depth--;
    if (value && session->flow != FLOW_ON) {
        value_unref(value);
        value = NULL;
    }
    return value;
}
