// See session_room.h. Commands: what their names mean, what their arguments are worth, and how objects run through a
// row of them. A stage hands each object to the next one as soon as it has it.
#include <stdlib.h>
#include <string.h>

#include "cmdlet/stage.h"

enum { PIPELINE_STAGES = 64, PIPELINE_ARGUMENTS = 4096 };

// Functions.

const struct function *function_find(const struct session *session, const char *name)
{
    for (const struct function *function = session->functions; function; function = function->next)
        if (!value_name_compare(function->name, name))
            return function;
    return NULL;
}

void function_set(struct session *session, const char *name, struct syntax *syntax, const struct node *block)
{
    struct function *function = (struct function *)function_find(session, name);
    if (!function) {
        function = value_allocate(sizeof *function);
        function->name = value_text_copy(name);
        function->next = session->functions;
        session->functions = function;
    }
    syntax_ref(syntax);
    syntax_unref(function->syntax);
    function->syntax = syntax;
    function->block = block;
}

static bool is_switch(const struct node *parameter)
{
    return parameter->type && !value_name_compare(parameter->type, "switch");
}

static const struct node *parameter_named(const struct node *block, const char *name)
{
    const struct node *found = NULL;
    for (u32 i = 1; i < block->count; i++) {
        if (!value_name_compare(block->child[i]->text, name))
            return block->child[i];
        if (!strncasecmp(block->child[i]->text, name, strlen(name)))
            found = found ? NULL : block->child[i];
    }
    return found;
}

static void parameter_set(struct session *session, const struct node *parameter, struct value *value)
{
    struct value *cast = parameter->type ? operate_cast(session, parameter, parameter->type, value) : value_ref(value);
    if (cast)
        value_put(session->scope->variables, parameter->text, cast);
}

static void function_unknown(struct session *session, const char *name)
{
    session_fail(session, NULL, "NamedParameterNotFound",
                 "A parameter cannot be found that matches parameter name '%.100s'.", name);
}

// Named arguments first, the others in order, the rest into $args.
static void function_bind(struct session *session, const struct node *block, const struct argument *arguments,
                          size_t count)
{
    struct value *variables = session->scope->variables, *rest = value_array();
    bool *taken = value_allocate(count + 1);
    for (size_t i = 0; i < count; i++) {
        const struct node *parameter = arguments[i].name ? parameter_named(block, arguments[i].name) : NULL;
        if (!arguments[i].name)
            continue;
        if (!parameter) {
            function_unknown(session, arguments[i].name);
        } else if (arguments[i].value) {
            parameter_set(session, parameter, arguments[i].value);
        } else if (is_switch(parameter)) {
            value_put(variables, parameter->text, value_bool(true));
        } else if (i + 1 < count && !arguments[i + 1].name) {
            parameter_set(session, parameter, arguments[i + 1].value);
            taken[i + 1] = true;
        } else {
            session_fail(session, NULL, "MissingArgument", "Missing an argument for parameter '%.100s'.",
                         parameter->text);
        }
    }
    u32 next = 1;
    for (size_t i = 0; i < count; i++) {
        if (arguments[i].name || taken[i])
            continue;
        while (next < block->count && (value_get(variables, block->child[next]->text) || is_switch(block->child[next])))
            next++;
        if (next < block->count)
            parameter_set(session, block->child[next++], arguments[i].value);
        else
            value_add(rest, value_ref(arguments[i].value));
    }
    value_put(variables, "args", rest);
    free(taken);
}

void pipeline_take(struct session *session, const struct node *block, struct value *object)
{
    for (u32 i = 1; i < block->count && session->flow == FLOW_ON; i++) {
        const struct node *parameter = block->child[i];
        if (!value_get(session->scope->unbound, parameter->text))
            continue;
        struct value *property = parameter->named ? value_get(object, parameter->text) : NULL;
        if (property || parameter->piped)
            parameter_set(session, parameter, property ? property : object);
    }
}

// What was not given: the pipeline may bring it if objects come (`piped`), or it is missing. A map; the caller's.
static struct value *function_unbound(struct session *session, const struct node *block, bool piped)
{
    struct value *unbound = value_map();
    for (u32 i = 1; i < block->count && session->flow == FLOW_ON; i++) {
        const struct node *parameter = block->child[i];
        const bool comes = piped && (parameter->piped || parameter->named);
        if (value_get(session->scope->variables, parameter->text))
            continue;
        if (comes)
            value_put(unbound, parameter->text, value_bool(true));
        else if (parameter->mandatory)
            session_fail(session, NULL, "MissingMandatoryParameter",
                         "Cannot process command because of one or more missing mandatory parameters: %.100s.",
                         parameter->text);
    }
    return unbound;
}

static void function_defaults(struct session *session, const struct node *block)
{
    for (u32 i = 1; i < block->count && session->flow == FLOW_ON; i++) {
        const struct node *parameter = block->child[i];
        if (value_get(session->scope->variables, parameter->text))
            continue;
        struct value *value = parameter->count ? eval_value(session, parameter->child[0])
                            : is_switch(parameter) ? value_bool(false) : value_null();
        if (value)
            value_put(session->scope->variables, parameter->text, value);
    }
}

void pipeline_parameters(struct session *session, const struct node *block, const struct argument *arguments,
                         size_t count)
{
    function_bind(session, block, arguments, count);
    value_unref(function_unbound(session, block, false));
    function_defaults(session, block);
}

void pipeline_call(struct session *session, struct syntax *syntax, const struct node *block,
                   const struct argument *arguments, size_t count, struct value *input, const struct sink *sink)
{
    struct syntax *outer = session->syntax;
    struct scope scope;
    if (session->calls >= SESSION_CALLS) {
        session_fail(session, NULL, "CallDepthOverflow", "The script calls itself too deeply.");
        return;
    }
    session->calls++;
    scope_enter(session, &scope);
    function_bind(session, block, arguments, count);
    value_put(scope.variables, "input", input ? value_ref(input) : value_array());
    scope.unbound = function_unbound(session, block, input);
    session->syntax = syntax_ref(syntax);
    function_defaults(session, block);
    if (block->prefix) {
        eval_parts(session, block->child[0], block, input, sink);
    } else { // the body is the end, which sees what came last
        if (value_count(input))
            pipeline_take(session, block, value_item(input, value_count(input) - 1));
        eval_statements(session, block->child[0], sink);
    }
    if (session->flow == FLOW_RETURN)
        session->flow = FLOW_ON;
    session->syntax = outer;
    syntax_unref(syntax);
    value_unref(scope.unbound);
    scope_leave(session, &scope);
    session->calls--;
}

// Arguments.

static void argument_add(struct stage *stage, struct argument argument)
{
    if (stage->argument_count >= PIPELINE_ARGUMENTS) {
        value_unref(argument.value);
        session_fail(stage->session, NULL, "TooManyArguments", "A command takes at most %d arguments.",
                     PIPELINE_ARGUMENTS);
        return;
    }
    stage->arguments = value_reallocate(stage->arguments, (stage->argument_count + 1) * sizeof argument);
    stage->arguments[stage->argument_count++] = argument;
}

// @name: a map's entries by name, a list's items by position.
static void argument_splat(struct stage *stage, const struct node *node)
{
    struct value *value = variable_get(stage->session, node->text);
    if (!value)
        return;
    if (!stage->splats)
        stage->splats = value_array();
    value_add(stage->splats, value_ref(value));
    if (value_is_map(value)) {
        for (size_t i = 0; i < value->map.count; i++)
            argument_add(stage, (struct argument){.name = value->map.pairs[i].key,
                                                  .value = value_ref(value->map.pairs[i].value),
                                                  .start = node->start, .end = node->end});
        return;
    }
    for (size_t i = 0; i < value_count(value); i++)
        argument_add(stage, (struct argument){.value = value_ref(value->array.items[i]), .start = node->start,
                                              .end = node->end});
}

static void argument_value(struct stage *stage, const struct node *node)
{
    struct value *value = eval_value(stage->session, node);
    if (value)
        argument_add(stage, (struct argument){.value = value, .start = node->start, .end = node->end,
                                              .spelling = node->kind == NODE_LITERAL ? node->text : NULL});
}

static void argument_option(struct stage *stage, const struct node *node)
{
    struct argument argument = {.name = node->text, .start = node->start, .end = node->end};
    if (node->count) {
        argument.value = eval_value(stage->session, node->child[0]);
        argument.spelling = node->child[0]->kind == NODE_LITERAL ? node->child[0]->text : NULL;
        if (!argument.value)
            return;
    }
    argument_add(stage, argument);
}

static void stage_redirect(struct stage *stage, const struct node *node)
{
    struct value *target = node->count ? eval_value(stage->session, node->child[0]) : NULL;
    if (node->count && !target)
        return;
    if (!target) {
        stage->merge = true;
        return;
    }
    if (*node->text == '2' || *node->text == '*') {
        value_unref(stage->error_file);
        stage->error_file = value_ref(target);
    }
    if (*node->text == '1' || *node->text == '*') {
        value_unref(stage->file);
        stage->file = value_ref(target);
        stage->append = node->append;
        if (target->kind != VALUE_NULL && !stage->filed)
            stage->filed = value_array();
    }
    value_unref(target);
}

static void stage_elements(struct stage *stage, const struct node *node)
{
    for (u32 i = 1; i < node->count && stage->session->flow == FLOW_ON; i++) {
        const struct node *element = node->child[i];
        switch (element->kind) {
        case NODE_OPTION:
            argument_option(stage, element);
            break;
        case NODE_SPLAT:
            argument_splat(stage, element);
            break;
        case NODE_REDIRECT:
            stage_redirect(stage, element);
            break;
        default:
            argument_value(stage, element);
            break;
        }
    }
}

static void stage_command(struct stage *stage, const struct node *node)
{
    struct session *session = stage->session;
    struct value *name = eval_value(session, node->child[0]);
    if (name)
        stage_elements(stage, node);
    if (!name || session->flow != FLOW_ON) {
        value_unref(name);
        return;
    }
    if (name->kind == VALUE_BLOCK) {
        const struct block *block = name->block.node;
        stage->syntax = syntax_ref(block->syntax);
        stage->block = block->node;
    } else {
        const struct node *word = node->child[0];
        char *text = word->kind == NODE_LITERAL && word->text ? value_text_copy(word->text) : value_to_text(name);
        stage_prepare(stage, text);
        free(text);
    }
    value_unref(name);
}

// Running.

static void put_first(void *context, struct value *object) { stage_feed(context, object); }

// Whether a stage of these has had enough; what comes behind it goes on. Returns its index, or 0.
static size_t pipeline_enough(struct session *session, const struct stage *stages, size_t count)
{
    if (session->flow != FLOW_ENOUGH)
        return 0;
    for (size_t i = 0; i < count; i++)
        if (session->enough == &stages[i]) {
            session->flow = FLOW_ON;
            session->enough = NULL;
            return i;
        }
    return 0;
}

// `first`: an expression whose values are fed to the first stage; NULL: the first stage is a command of its own.
static void pipeline_drive(struct session *session, struct stage *stages, size_t count, const struct node *first)
{
    for (size_t i = 0; i < count && session->flow == FLOW_ON; i++)
        stage_begin(&stages[i]);
    if (first && session->flow == FLOW_ON) {
        struct sink sink = {.put = put_first, .context = &stages[0]};
        struct value *value = eval_value(session, first);
        if (value)
            eval_output(session, value, &sink);
    } else if (session->flow == FLOW_ON) {
        stage_feed(&stages[0], NULL);
    }
    size_t from = pipeline_enough(session, stages, count);
    for (size_t i = from; i < count; i++) {
        stage_end(&stages[i]);
        size_t enough = pipeline_enough(session, stages, count);
        if (enough > i)
            i = enough - 1;
    }
    for (size_t i = 0; i < count; i++)
        stage_finish(&stages[i]);
}

static void stages_release(struct stage *stages, size_t count)
{
    for (size_t i = 0; i < count; i++)
        stage_release(&stages[i]);
    free(stages);
}

void pipeline_run(struct session *session, const struct node *node, const struct sink *sink)
{
    const struct node *first = node->child[0]->kind == NODE_COMMAND ? NULL : node->child[0];
    bool redirected = first && node->count > 1 && node->child[1]->kind == NODE_REDIRECT;
    struct stage *stages = value_allocate((node->count + 1) * sizeof *stages);
    size_t count = 0;
    session->succeeded = true;
    if (node->count > PIPELINE_STAGES)
        session_fail(session, node, "TooManyCommands", "A pipeline has at most %d commands.", PIPELINE_STAGES);
    for (u32 i = first && !redirected ? 1 : 0; i < node->count && session->flow == FLOW_ON; i++) {
        const struct node *child = node->child[i];
        if (child->kind == NODE_REDIRECT) {
            stage_redirect(&stages[0], child);
            continue;
        }
        struct stage *stage = &stages[count++];
        *stage = (struct stage){.session = session, .sink = sink, .start = child->start, .end = child->end,
                                .piped = i > 0, .next = NULL};
        if (count > 1)
            stages[count - 2].next = stage;
        if (child->kind == NODE_COMMAND)
            stage_command(stage, child);
    }
    if (session->flow == FLOW_ON && count)
        pipeline_drive(session, stages, count, first);
    stages_release(stages, count);
}

void pipeline_words(struct session *session, const char *name, const struct argument *arguments, size_t count,
                    const struct sink *sink)
{
    struct stage *stage = value_allocate(sizeof *stage);
    *stage = (struct stage){.session = session, .sink = sink, .end = (u32)strlen(session->syntax->text)};
    session->succeeded = true;
    for (size_t i = 0; i < count; i++) {
        struct argument argument = arguments[i];
        value_ref(argument.value);
        argument_add(stage, argument);
    }
    if (stage_prepare(stage, name))
        pipeline_drive(session, stage, 1, NULL);
    stages_release(stage, 1);
}
