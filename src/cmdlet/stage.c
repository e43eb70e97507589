// See stage.h and local.h. One command of a pipeline: binding, running it here or in the service, its errors.
#include "cmdlet/stage.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cmdlet/format_text.h"
#include "cmdlet/job.h"
#include "cmdlet/nearest.h"

// What local cmdlets ask.

struct session *stage_session(struct stage *stage) { return stage->session; }
void *stage_data(struct stage *stage) { return stage->data; }
const struct cmdlet *stage_cmdlet(const struct stage *stage) { return stage->cmdlet; }
bool stage_stopped(const struct stage *stage) { return stage->session->flow != FLOW_ON; }

static const struct bound *stage_bound(const struct stage *stage)
{
    return stage->now.parameters ? &stage->now : &stage->base;
}

struct value *stage_parameter(struct stage *stage, const char *name)
{
    struct value *value = value_get(stage_bound(stage)->parameters, name);
    return value ? value : value_get(stage_bound(stage)->common, name);
}

bool stage_switch(struct stage *stage, const char *name) { return value_as_bool(stage_parameter(stage, name), false); }

s64 stage_int(struct stage *stage, const char *name, s64 fallback)
{
    return value_as_int(stage_parameter(stage, name), fallback);
}

const char *stage_string(struct stage *stage, const char *name, const char *fallback)
{
    return value_as_string(stage_parameter(stage, name), fallback);
}

const char *stage_set(struct stage *stage) { return bound_set(stage_bound(stage)); }

// A common parameter, or the variable that stands for it where it is not given.
static const char *stage_preference(struct stage *stage, const char *parameter, const char *variable)
{
    const char *text = value_as_string(value_get(stage->base.common, parameter), NULL);
    return text ? text : variable_text(stage->session, variable, "Continue");
}

// Output.

void stage_put(struct stage *stage, struct value *object)
{
    if (!session_step(stage->session)) {
        value_unref(object);
        return;
    }
    if (stage->outputs)
        value_add(stage->outputs, value_ref(object));
    const char *variable = value_as_string(value_get(stage->base.common, "PipelineVariable"), NULL);
    if (variable)
        variable_set(stage->session, variable, value_ref(object));
    if (stage->file) {
        if (stage->filed)
            value_add(stage->filed, object);
        else
            value_unref(object);
    } else if (stage->next) {
        stage_feed(stage->next, object);
    } else {
        stage->sink->put(stage->sink->context, object);
    }
}

void stage_enough(struct stage *stage)
{
    if (stage->session->flow != FLOW_ON)
        return;
    stage->session->flow = FLOW_ENOUGH;
    stage->session->enough = stage;
}

void stage_warning(struct stage *stage, const char *text)
{
    const struct session_config *config = &stage->session->config;
    const char *action = stage_preference(stage, "WarningAction", "WarningPreference");
    if (stage->warnings)
        value_add(stage->warnings, value_string(text));
    if (config->warning && value_name_compare(action, "SilentlyContinue") && value_name_compare(action, "Ignore"))
        config->warning(config->context, text);
}

static bool stage_is_verbose(struct stage *stage)
{
    struct value *verbose = value_get(stage->base.common, "Verbose");
    if (verbose)
        return value_truth(verbose);
    return !value_name_compare(variable_text(stage->session, "VerbosePreference", ""), "Continue");
}

static bool stage_is_what_if(struct stage *stage)
{
    struct value *what_if = value_get(stage->base.common, "WhatIf");
    return value_truth(what_if ? what_if : variable_get(stage->session, "WhatIfPreference"));
}

// Errors.

void stage_record(struct stage *stage, struct value *record)
{
    const char *action = stage_preference(stage, "ErrorAction", "ErrorActionPreference");
    if (stage->errors)
        value_add(stage->errors, value_ref(record));
    if (!value_name_compare(action, "Stop")) {
        session_throw(stage->session, record, true);
        return;
    }
    if (stage->merge) {
        session_remember(stage->session, record);
        stage_put(stage, record);
        return;
    }
    if (!value_name_compare(action, "Ignore"))
        stage->session->succeeded = false;
    else if (stage->error_file || !value_name_compare(action, "SilentlyContinue"))
        session_remember(stage->session, record);
    else
        session_report(stage->session, record);
    value_unref(record);
}

void stage_error(struct stage *stage, const struct cmdlet_error *error)
{
    struct failure failure = {
        .cmdlet = stage->cmdlet, .category = error->category, .id = error->id, .exception = error->exception,
        .target = error->target, .message = error->message, .start = stage->start, .end = stage->end,
    };
    stage_record(stage, failure_record(stage->session, &failure));
}

void stage_fail(struct stage *stage, enum error_category category, const char *id, const char *format, ...)
{
    va_list arguments;
    char text[700];
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    struct cmdlet_error error = {.category = category, .id = id, .message = text};
    stage_error(stage, &error);
}

static void stage_bind_failed(struct stage *stage, const struct bind_error *error, bool terminates)
{
    struct failure failure = {
        .cmdlet = stage->cmdlet, .category = error->category, .id = error->id, .exception = error->exception,
        .message = error->text, .start = error->end ? error->start : stage->start,
        .end = error->end ? error->end : stage->end,
    };
    struct value *record = failure_record(stage->session, &failure);
    if (terminates)
        session_throw(stage->session, record, false);
    else
        stage_record(stage, record);
}

// Getting ready.

static bool stage_unknown(struct stage *stage, const char *name)
{
    // All names are compared: a loop that fails again and again is told often enough.
    const char *near = stage->session->hints++ < SESSION_HINTS ? nearest_cmdlet(name) : NULL;
    char *hint = near ? value_text("Did you mean %s?", near) : value_text_copy("Get-Command lists what there is.");
    char *text = value_text("The term '%.200s' is not recognized as the name of a cmdlet, function or script. %s", name,
                            hint);
    free(hint);
    struct failure failure = {
        .command = name, .category = CATEGORY_OBJECT_NOT_FOUND, .id = "CommandNotFoundException",
        .exception = "CommandNotFoundException", .target = name, .message = text, .start = stage->start,
        .end = stage->start + (u32)strlen(name) < stage->end ? stage->start + (u32)strlen(name) : stage->end,
    };
    session_throw(stage->session, failure_record(stage->session, &failure), false);
    free(text);
    return false;
}

static bool stage_absent(struct stage *stage)
{
    char *text = value_text("%s is a cmdlet of %s that nidus does not have.", stage->cmdlet->name,
                            stage->cmdlet->module);
    struct failure failure = {
        .cmdlet = stage->cmdlet, .category = CATEGORY_NOT_IMPLEMENTED, .id = "NotImplemented",
        .exception = "NotImplementedException", .message = text, .start = stage->start, .end = stage->end,
    };
    session_throw(stage->session, failure_record(stage->session, &failure), false);
    free(text);
    return false;
}

const struct local_cmdlet *local_find(const struct session *session, const char *name)
{
    for (const struct local_cmdlet *local = session->config.locals; local && local->name; local++)
        if (!value_name_compare(local->name, name))
            return local;
    for (unsigned i = 0; local_cmdlets[i]; i++)
        for (const struct local_cmdlet *local = local_cmdlets[i]; local->name; local++)
            if (!value_name_compare(local->name, name))
                return local;
    return NULL;
}

// -ComputerName and -CimSession may name the host that is spoken to, and no other.
static bool stage_host_known(struct stage *stage)
{
    static const char *const parameters[] = {"ComputerName", "CimSession"};
    const char *own = stage->session->config.computer, *here[] = {".", "localhost", "127.0.0.1", "::1", own};
    for (unsigned i = 0; i < ARRAY_SIZE(parameters); i++) {
        struct value *given = value_get(stage->base.common, parameters[i]);
        size_t count = !given || given->kind == VALUE_NULL ? 0 : given->kind == VALUE_ARRAY ? given->array.count : 1;
        for (size_t j = 0; j < count; j++) {
            const char *name = value_as_string(given->kind == VALUE_ARRAY ? value_item(given, j) : given, "");
            bool known = false;
            for (unsigned k = 0; k < ARRAY_SIZE(here); k++)
                known |= here[k] && !value_name_compare(name, here[k]);
            if (known)
                continue;
            struct bind_error error = {0};
            bind_fail(&error, CATEGORY_INVALID_ARGUMENT, "InvalidParameter",
                      "'%.200s' is not the host whose service this is. `nidus --server https://%.200s:PORT` speaks to "
                      "the service of another one.", name, *name ? name : "HOST");
            stage_bind_failed(stage, &error, true);
            return false;
        }
    }
    return true;
}

// Set-VM -?: its help, whatever else is there.
static bool stage_asks_for_help(struct stage *stage)
{
    for (size_t i = 0; i < stage->argument_count; i++)
        if (stage->arguments[i].name && !strcmp(stage->arguments[i].name, "?")) {
            struct argument *name = value_allocate(sizeof *name);
            *name = (struct argument){.value = value_string(stage->cmdlet->name), .start = stage->start,
                                      .end = stage->end};
            for (size_t j = 0; j < stage->argument_count; j++)
                value_unref(stage->arguments[j].value);
            free(stage->arguments);
            stage->arguments = name;
            stage->argument_count = 1;
            stage->piped = false;
            return true;
        }
    return false;
}

bool stage_prepare(struct stage *stage, const char *name)
{
    struct bind_context context = session_bind_context(stage->session);
    struct bind_error error;
    const struct function *function = function_find(stage->session, name);
    if (function) {
        stage->syntax = syntax_ref(function->syntax);
        stage->block = function->block;
        return true;
    }
    stage->cmdlet = cmdlet_find(name);
    if (!stage->cmdlet)
        return stage_unknown(stage, name);
    if (stage_asks_for_help(stage))
        stage->cmdlet = cmdlet_find("Get-Help");
    if (stage->cmdlet->flags & CMDLET_ABSENT)
        return stage_absent(stage);
    if (bind_arguments(&stage->base, stage->cmdlet, stage->arguments, stage->argument_count, &context, stage->piped,
                       &error)) {
        stage_bind_failed(stage, &error, true);
        return false;
    }
    stage->local = local_find(stage->session, stage->cmdlet->name);
    if (stage->cmdlet->flags & CMDLET_LOCAL && !stage->local)
        return stage_absent(stage);
    if (stage->local)
        stage->data = value_allocate(stage->local->data);
    if (value_get(stage->base.common, "OutVariable"))
        stage->outputs = value_array();
    if (value_get(stage->base.common, "ErrorVariable"))
        stage->errors = value_array();
    if (value_get(stage->base.common, "WarningVariable"))
        stage->warnings = value_array();
    return stage_host_known(stage);
}

// Running in the service.

struct carry {
    struct stage *stage;
    const struct cmdlet *cmdlet;
    struct value *kept; // NULL: output is emitted as it comes
};

static void carry_output(void *context, struct value *object)
{
    struct carry *carry = context;
    if (carry->kept)
        value_add(carry->kept, value_ref(object));
    else
        stage_put(carry->stage, value_ref(object));
}

static void carry_host(void *context, const char *text)
{
    const struct session_config *config = &((struct carry *)context)->stage->session->config;
    char *line = value_text("%s\n", text);
    if (config->host)
        config->host(config->context, line);
    free(line);
}

static void carry_warning(void *context, const char *text) { stage_warning(((struct carry *)context)->stage, text); }

static void carry_verbose(void *context, const char *text)
{
    struct stage *stage = ((struct carry *)context)->stage;
    const struct session_config *config = &stage->session->config;
    if (config->verbose && stage_is_verbose(stage))
        config->verbose(config->context, text);
}

static void carry_progress(void *context, const char *activity, const char *status, int percent)
{
    const struct session_config *config = &((struct carry *)context)->stage->session->config;
    if (config->progress)
        config->progress(config->context, activity, status, percent);
}

static void carry_what_if(void *context, const char *text)
{
    const struct session_config *config = &((struct carry *)context)->stage->session->config;
    if (config->what_if)
        config->what_if(config->context, text);
}

static void carry_error(void *context, const struct cmdlet_error *error)
{
    stage_error(((struct carry *)context)->stage, error);
}

// Whom the question is about: the first required parameter, or the first of all.
static char *confirm_target(const struct cmdlet *cmdlet, struct value *parameters)
{
    for (unsigned pass = 0; pass < 2; pass++)
        for (const struct parameter *parameter = cmdlet->parameters; parameter && parameter->name; parameter++) {
            struct value *value = value_get(parameters, parameter->name);
            if (value && (pass || parameter->flags & PARAMETER_MANDATORY))
                return value_to_text(value);
        }
    return value_text_copy("");
}

static bool stage_must_ask(struct stage *stage, const struct cmdlet *cmdlet, struct value *parameters)
{
    struct value *confirm = value_get(stage->base.common, "Confirm");
    if (stage->session->yes_to_all || stage_is_what_if(stage) || !(cmdlet->flags & CMDLET_SHOULD_PROCESS))
        return false;
    if (confirm)
        return value_truth(confirm);
    return cmdlet->flags & CMDLET_CONFIRM && !value_truth(value_get(parameters, "Force")) &&
           value_name_compare(variable_text(stage->session, "ConfirmPreference", "High"), "None") != 0;
}

static bool stage_confirmed(struct stage *stage, const struct cmdlet *cmdlet, struct value *parameters)
{
    const struct session_config *config = &stage->session->config;
    if (!stage_must_ask(stage, cmdlet, parameters))
        return true;
    if (stage->session->no_to_all)
        return false;
    char *target = confirm_target(cmdlet, parameters);
    char *question = value_text("Performing the operation \"%s\" on target \"%s\".", cmdlet->name, target);
    enum session_answer answer = SESSION_NO;
    if (config->confirm)
        answer = config->confirm(config->context, "Are you sure you want to perform this action?", question);
    else
        stage_fail(stage, CATEGORY_INVALID_OPERATION, "ConfirmationRequired",
                   "%s asks before it acts on '%s', and nobody is there to answer. Add -Confirm:$false%s.",
                   cmdlet->name, target, bind_find(cmdlet, "Force", NULL, 0) ? " or -Force" : "");
    free(question);
    free(target);
    stage->session->yes_to_all |= answer == SESSION_YES_ALL;
    stage->session->no_to_all |= answer == SESSION_NO_ALL;
    if (answer == SESSION_HALT)
        stage->session->flow = FLOW_HALT;
    return answer == SESSION_YES || answer == SESSION_YES_ALL;
}

// -AsJob: the job is put out instead of what it will put out.
static void stage_background(struct stage *stage, const struct request *request)
{
    struct job *job = job_start(stage->session, request);
    if (job)
        stage_put(stage, value_ref(job_object(job)));
    else
        stage_fail(stage, CATEGORY_NOT_IMPLEMENTED, "JobsNotSupported",
                   "%s cannot go on in the background here. Leave -AsJob out, and it is waited for.",
                   request->cmdlet->name);
}

void stage_invoke(struct stage *stage, const struct cmdlet *cmdlet, struct value *parameters)
{
    struct session *session = stage->session;
    bool direct = !stage->next && stage->sink->emits && !stage->file;
    struct carry carry = {.stage = stage, .cmdlet = cmdlet};
    struct request request = {
        .cmdlet = cmdlet, .parameters = parameters, .directory = session->config.directory,
        .what_if = stage_is_what_if(stage), .verbose = stage_is_verbose(stage),
    };
    struct reply reply = {
        .context = &carry, .output = carry_output, .host = carry_host, .warning = carry_warning,
        .verbose = carry_verbose,
        .progress = carry_progress, .what_if = carry_what_if, .error = carry_error,
    };
    if (!stage_confirmed(stage, cmdlet, parameters))
        return;
    if (value_truth(value_get(parameters, "AsJob")) && !request.what_if) {
        stage_background(stage, &request);
        return;
    }
    carry.kept = direct ? NULL : value_array();
    session->config.invoke(session->config.context, &request, &reply);
    session_step(session); // Ctrl-C while it ran
    for (size_t i = 0; i < value_count(carry.kept) && session->flow == FLOW_ON; i++)
        stage_put(stage, value_ref(value_item(carry.kept, i)));
    value_unref(carry.kept);
}

// Objects coming in.

// Whether objects bind parameters, or are only handed to the cmdlet.
static bool stage_binds_objects(const struct stage *stage)
{
    for (const struct parameter *parameter = stage->cmdlet->parameters; parameter && parameter->name; parameter++)
        if (parameter->flags & (PARAMETER_PIPED | PARAMETER_NAMED) && strcmp(parameter->name, "InputObject") != 0)
            return true;
    return !stage->local;
}

static bool stage_bind(struct stage *stage, struct value *object)
{
    struct bind_context context = session_bind_context(stage->session);
    struct bind_error error;
    bound_release(&stage->now);
    if (!bind_object(&stage->now, &stage->base, object, &context, &error))
        return true;
    bound_release(&stage->now);
    stage_bind_failed(stage, &error, false);
    return false;
}

static void stage_process(struct stage *stage, struct value *object)
{
    if (object && stage_binds_objects(stage) && !stage_bind(stage, object))
        return;
    if (!stage->local)
        stage_invoke(stage, stage->cmdlet, stage_bound(stage)->parameters);
    else if (stage->local->process)
        stage->local->process(stage, object);
}

// A first command that was given its objects by name.
static bool stage_process_given(struct stage *stage)
{
    struct value *given = stage->local ? value_get(stage->base.parameters, "InputObject") : NULL;
    if (!given)
        return false;
    value_ref(given);
    for (size_t i = 0; i < (given->kind == VALUE_ARRAY ? given->array.count : 1) && !stage_stopped(stage); i++)
        if (stage->local->process)
            stage->local->process(stage, given->kind == VALUE_ARRAY ? given->array.items[i] : given);
    value_unref(given);
    return true;
}

void stage_begin(struct stage *stage)
{
    if (stage->local && stage->local->begin && session_step(stage->session))
        stage->local->begin(stage);
}

static void stage_put_to(void *context, struct value *object) { stage_put(context, object); }

static void stage_call(struct stage *stage)
{
    struct sink sink = {.put = stage_put_to, .context = stage};
    if (stage->piped && !stage->input)
        stage->input = value_array(); // no objects came, which is not the same as being no pipeline's
    pipeline_call(stage->session, stage->syntax, stage->block, stage->arguments, stage->argument_count, stage->input,
                  &sink);
}

void stage_feed(struct stage *stage, struct value *object)
{
    if (session_step(stage->session)) {
        if (stage->block && object) {
            if (!stage->input)
                stage->input = value_array();
            value_add(stage->input, value_ref(object));
        } else if (!stage->block && !stage->cmdlet) {
            if (object)
                stage_put(stage, value_ref(object));
        } else if (!stage->block && (object || !stage_process_given(stage))) {
            stage_process(stage, object);
        }
    }
    value_unref(object);
}

void stage_end(struct stage *stage)
{
    if (!session_step(stage->session))
        return;
    if (stage->block)
        stage_call(stage);
    else if (stage->local && stage->local->end)
        stage->local->end(stage);
}

// The end of it: what was redirected, what goes into variables.

static char *objects_text(struct session *session, struct value *objects)
{
    if (session->config.format)
        return session->config.format(session->config.context, objects->array.items, objects->array.count);
    struct text text = {0};
    for (size_t i = 0; i < objects->array.count; i++) {
        char *line = value_to_text(objects->array.items[i]);
        text_put(&text, line);
        text_put(&text, "\n");
        free(line);
    }
    return text_take(&text);
}

static void stage_write(struct stage *stage)
{
    struct session *session = stage->session;
    const struct parameter path_parameter = {.name = "FilePath", .type = PARAMETER_PATH};
    struct bind_context context = session_bind_context(session);
    struct bind_error bind_error;
    struct value *path = bind_convert(&path_parameter, stage->file, NULL, &context, true, &bind_error);
    struct error error = {"files cannot be written here"};
    if (!path) {
        stage_bind_failed(stage, &bind_error, false);
        return;
    }
    char *text = objects_text(session, stage->filed);
    if (!session->config.write_file ||
        session->config.write_file(session->config.context, path->string, text, stage->append, &error))
        stage_fail(stage, CATEGORY_WRITE_ERROR, "FileOpenFailure", "%s", error.text);
    free(text);
    value_unref(path);
}

// -OutVariable x sets $x, -OutVariable +x adds to it.
static void stage_keep(struct stage *stage, const char *parameter, struct value *values)
{
    const char *name = value_as_string(value_get(stage->base.common, parameter), "");
    struct value *old = *name == '+' ? variable_get(stage->session, name + 1) : NULL, *all;
    if (!values)
        return;
    if (*name == '+')
        name++;
    all = old ? value_array() : value_ref(values);
    if (old) {
        for (size_t i = 0; i < value_count(old); i++)
            value_add(all, value_ref(value_item(old, i)));
        if (old->kind != VALUE_ARRAY && old->kind != VALUE_NULL)
            value_add(all, value_ref(old));
        for (size_t i = 0; i < value_count(values); i++)
            value_add(all, value_ref(value_item(values, i)));
    }
    variable_set(stage->session, *name ? name : "_", all);
}

void stage_finish(struct stage *stage)
{
    if (stage->filed && stage->session->flow == FLOW_ON)
        stage_write(stage);
    stage_keep(stage, "OutVariable", stage->outputs);
    stage_keep(stage, "ErrorVariable", stage->errors);
    stage_keep(stage, "WarningVariable", stage->warnings);
}

void stage_release(struct stage *stage)
{
    if (stage->local && stage->local->release && stage->data)
        stage->local->release(stage);
    free(stage->data);
    bound_release(&stage->base);
    bound_release(&stage->now);
    syntax_unref(stage->syntax);
    for (size_t i = 0; i < stage->argument_count; i++)
        value_unref(stage->arguments[i].value);
    free(stage->arguments);
    value_unref(stage->splats);
    value_unref(stage->input);
    value_unref(stage->file);
    value_unref(stage->filed);
    value_unref(stage->error_file);
    value_unref(stage->outputs);
    value_unref(stage->errors);
    value_unref(stage->warnings);
}

// Blocks.

bool stage_block(struct stage *stage, struct value *block, struct value *item, struct value *output)
{
    struct sink sink = eval_collector(output);
    eval_block(stage->session, block->block.node, item, &sink);
    return stage->session->flow == FLOW_ON;
}

struct value *stage_evaluate(struct stage *stage, struct value *what, struct value *item)
{
    if (what->kind != VALUE_BLOCK) {
        char *name = value_to_text(what);
        struct value *value = item ? member_get(stage->session, item, name) : value_null();
        free(name);
        return value;
    }
    struct value *output = value_array();
    if (stage_block(stage, what, item, output))
        return eval_unwrap(output);
    value_unref(output);
    return NULL;
}
