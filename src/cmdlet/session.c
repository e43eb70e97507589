// See session.h. A session's life, its variables, and how errors are told.
#include "cmdlet/session_room.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cmdlet/job.h"
#include "cmdlet/lexer.h"

static void variable_put(struct scope *scope, const char *name, struct value *value)
{
    value_put(scope->variables, name, value);
}

struct session *session_create(const struct session_config *config)
{
    struct session *session = value_allocate(sizeof *session);
    session->config = *config;
    session->config.directory = value_text_copy(config->directory ? config->directory : "/");
    session->config.computer = value_text_copy(config->computer ? config->computer : "localhost");
    session->global.variables = value_map();
    session->scope = &session->global;
    session->succeeded = true;
    variable_put(session->scope, "true", value_bool(true));
    variable_put(session->scope, "false", value_bool(false));
    variable_put(session->scope, "null", value_null());
    variable_put(session->scope, "ErrorActionPreference", value_string("Continue"));
    variable_put(session->scope, "WarningPreference", value_string("Continue"));
    variable_put(session->scope, "VerbosePreference", value_string("SilentlyContinue"));
    variable_put(session->scope, "ConfirmPreference", value_string("High"));
    variable_put(session->scope, "WhatIfPreference", value_bool(false));
    variable_put(session->scope, "Error", value_array());
    variable_put(session->scope, "LASTEXITCODE", value_int(0)); // no programs are run here
    variable_put(session->scope, "PWD", value_string(session->config.directory));
    const char *home = config->environment ? config->environment(config->context, "HOME") : NULL;
    variable_put(session->scope, "HOME", value_string(home ? home : "/"));
    return session;
}

void session_destroy(struct session *session)
{
    if (!session)
        return;
    for (struct function *function = session->functions, *next; function; function = next) {
        next = function->next;
        syntax_unref(function->syntax);
        free(function->name);
        free(function);
    }
    while (session->jobs)
        job_remove(session, session->jobs);
    value_unref(session->global.variables);
    value_unref(session->thrown);
    free((char *)session->config.directory);
    free((char *)session->config.computer);
    free(session);
}

const struct session_config *session_config_of(const struct session *session) { return &session->config; }

void session_cancel(struct session *session) { atomic_store(&session->cancelled, true); }

struct bind_context session_bind_context(const struct session *session)
{
    return (struct bind_context){
        .directory = session->config.directory,
        .home = session->config.environment ? session->config.environment(session->config.context, "HOME") : NULL,
    };
}

bool session_charge(struct session *session, u64 work)
{
    session->steps += work;
    return session_step(session);
}

bool session_step(struct session *session)
{
    if (session->flow != FLOW_ON)
        return false;
    session->steps++;
    if (atomic_load_explicit(&session->cancelled, memory_order_relaxed) ||
        (session->config.steps && session->steps > session->config.steps)) {
        session->flow = FLOW_HALT;
        return false;
    }
    return true;
}

// Variables.

void scope_enter(struct session *session, struct scope *scope)
{
    *scope = (struct scope){.parent = session->scope, .variables = value_map()};
    session->scope = scope;
}

void scope_leave(struct session *session, struct scope *scope)
{
    session->scope = scope->parent;
    value_unref(scope->variables);
}

// "global:x" -> "x" and the scope.
static const char *scope_of(struct session *session, const char *name, struct scope **scope)
{
    static const struct { const char *prefix; bool global; } prefixes[] = {
        {"global:", true}, {"script:", true}, {"local:", false}, {"private:", false}, {"variable:", false},
    };
    *scope = NULL;
    for (unsigned i = 0; i < ARRAY_SIZE(prefixes); i++)
        if (!strncasecmp(name, prefixes[i].prefix, strlen(prefixes[i].prefix))) {
            *scope = prefixes[i].global ? &session->global : session->scope;
            return name + strlen(prefixes[i].prefix);
        }
    return name;
}

struct value *variable_get(struct session *session, const char *name)
{
    if (!strcmp(name, "?")) {
        variable_put(&session->global, "?", value_bool(session->succeeded));
        return value_get(session->global.variables, "?");
    }
    if (!value_name_compare(name, "PSItem"))
        name = "_";
    if (!strncasecmp(name, "env:", 4)) {
        const char *text = NULL;
        if (session->config.environment)
            text = session->config.environment(session->config.context, name + 4);
        if (!text && !value_name_compare(name + 4, "COMPUTERNAME")) // what Windows always sets
            text = session->config.computer;
        if (!text)
            return NULL;
        variable_put(&session->global, name, value_string(text));
        return value_get(session->global.variables, name);
    }
    struct scope *scope;
    const char *plain = scope_of(session, name, &scope);
    if (scope)
        return value_get(scope->variables, plain);
    for (scope = session->scope; scope; scope = scope->parent) {
        struct value *value = value_get(scope->variables, plain);
        if (value)
            return value;
    }
    return NULL;
}

void variable_set(struct session *session, const char *name, struct value *value)
{
    static const char *const constants[] = {"true", "false", "null"};
    struct scope *scope;
    const char *plain = scope_of(session, name, &scope);
    for (unsigned i = 0; i < ARRAY_SIZE(constants); i++)
        if (!value_name_compare(plain, constants[i])) {
            value_unref(value);
            if (i < 2) // what is assigned to $null is thrown away
                session_fail(session, NULL, "VariableNotWritable",
                             "Cannot overwrite variable %s because it is constant.", plain);
            return;
        }
    variable_put(scope ? scope : session->scope, plain, value);
}

const char *variable_text(struct session *session, const char *name, const char *fallback)
{
    return value_as_string(variable_get(session, name), fallback);
}

struct value *session_variable(const struct session *session, const char *name)
{
    return variable_get((struct session *)session, name);
}

void session_variable_set(struct session *session, const char *name, struct value *value)
{
    variable_put(&session->global, name, value);
}

// Errors.

// "Set-VMProcessor" of Hyper-V -> "Microsoft.HyperV.PowerShell.Commands.SetVMProcessor"
static char *cmdlet_class(const struct cmdlet *cmdlet)
{
    bool hyper_v = !strcmp(cmdlet->module, "Hyper-V"), own = !strncmp(cmdlet->module, "Microsoft.PowerShell", 20);
    if (!hyper_v && !own)
        return value_text_copy(cmdlet->name);
    char *name = value_text_copy(cmdlet->name), *dash = strchr(name, '-');
    if (dash)
        memmove(dash, dash + 1, strlen(dash));
    char *text = value_text(hyper_v ? "Microsoft.HyperV.PowerShell.Commands.%s"
                                    : "Microsoft.PowerShell.Commands.%sCommand",
                            name);
    free(name);
    return text;
}

static void place_put(struct session *session, struct value *record, u32 start, u32 end)
{
    struct value *place = value_map();
    const struct syntax *syntax = session->syntax;
    if (syntax) {
        const char *text = syntax->text;
        size_t length = strlen(text);
        if (start > length)
            start = (u32)length;
        u32 line_start = start, line = 1, column = 1, width = 0, at;
        while (line_start && text[line_start - 1] != '\n')
            line_start--;
        for (at = 0; at < line_start; at++)
            line += text[at] == '\n';
        for (at = line_start; at < start; at++)
            column += ((u8)text[at] & 0xc0) != 0x80;
        for (at = start; at < end && text[at] && !lexer_line_end(text + at); at++)
            width += ((u8)text[at] & 0xc0) != 0x80;
        char *copy = value_text("%.*s", (int)strcspn(text + line_start, "\r\n"), text + line_start);
        value_put(place, "Line", value_string(copy));
        free(copy);
        value_put(place, "ScriptLineNumber", value_int(line));
        value_put(place, "OffsetInLine", value_int(column));
        value_put(place, "Length", value_int(width ? width : 1));
        if (syntax->name)
            value_put(place, "ScriptName", value_string(syntax->name));
    }
    value_put(record, "InvocationInfo", place);
}

struct value *failure_record(struct session *session, const struct failure *failure)
{
    struct value *record = value_object("ErrorRecord"), *exception = value_map();
    session->steps += SESSION_ERROR_STEPS;
    const char *message = failure->message ? failure->message : "";
    const char *id = failure->id ? failure->id : "NotSpecified";
    const char *kind = failure->exception ? failure->exception : "RuntimeException";
    const char *command = failure->cmdlet ? failure->cmdlet->name : failure->command ? failure->command : "";
    value_put(record, "Message", value_string(message));
    value_put(exception, "Message", value_string(message));
    value_put(record, "Exception", exception);
    value_put(record, "CategoryInfo",
              value_format("%s: (%s:%s) [%s], %s", error_category_name(failure->category),
                           failure->target ? failure->target : "", failure->target ? "String" : "", command, kind));
    char *class = failure->cmdlet ? cmdlet_class(failure->cmdlet) : NULL;
    value_put(record, "FullyQualifiedErrorId", value_format("%s%s%s", id, class ? "," : "", class ? class : ""));
    free(class);
    if (failure->target)
        value_put(record, "TargetObject", value_string(failure->target));
    place_put(session, record, failure->start, failure->end);
    value_put(record, "Category", value_int(failure->category));
    value_put(record, "ErrorId", value_string(id));
    value_put(record, "ExceptionType", value_string(kind));
    value_put(record, "Command", value_string(command));
    return record;
}

void session_remember(struct session *session, struct value *record)
{
    struct value *old = value_get(session->global.variables, "Error"), *errors = value_array();
    value_add(errors, value_ref(record));
    for (size_t i = 0; i < value_count(old) && i + 1 < SESSION_ERRORS; i++)
        value_add(errors, value_ref(value_item(old, i)));
    variable_put(&session->global, "Error", errors);
    session->succeeded = false;
}

void session_report(struct session *session, struct value *record)
{
    const struct value *place = value_get(record, "InvocationInfo");
    const char *command = value_as_string(value_get(record, "Command"), "");
    struct error_report report = {
        .command = *command ? command : NULL,
        .error = {
            .category = (enum error_category)value_as_int(value_get(record, "Category"), CATEGORY_NOT_SPECIFIED),
            .id = value_as_string(value_get(record, "ErrorId"), "NotSpecified"),
            .exception = value_as_string(value_get(record, "ExceptionType"), "RuntimeException"),
            .target = value_as_string(value_get(record, "TargetObject"), NULL),
            .message = value_as_string(value_get(record, "Message"), ""),
        },
        .identity = value_as_string(value_get(record, "FullyQualifiedErrorId"), "NotSpecified"),
        .script = value_as_string(value_get(place, "ScriptName"), NULL),
        .line_text = value_as_string(value_get(place, "Line"), NULL),
        .line = (unsigned)value_as_int(value_get(place, "ScriptLineNumber"), 1),
        .column = (unsigned)value_as_int(value_get(place, "OffsetInLine"), 1),
        .length = (unsigned)value_as_int(value_get(place, "Length"), 1),
    };
    session_remember(session, record);
    session->failed = true;
    session->config.error(session->config.context, &report);
}

void session_throw(struct session *session, struct value *record, bool ends)
{
    if (session->flow == FLOW_HALT) { // nothing overtakes Ctrl-C
        value_unref(record);
        return;
    }
    value_unref(session->thrown);
    session->thrown = record;
    session->flow = FLOW_THROW;
    session->ends = ends || !value_name_compare(variable_text(session, "ErrorActionPreference", ""), "Stop");
}

struct value *session_fail(struct session *session, const struct node *node, const char *id, const char *format, ...)
{
    va_list arguments;
    char text[600];
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    struct failure failure = {
        .category = CATEGORY_INVALID_OPERATION, .id = id, .message = text,
        .start = node ? node->start : 0, .end = node ? node->end : 0,
    };
    if (session->flow == FLOW_ON)
        session_throw(session, failure_record(session, &failure), false);
    return NULL;
}

// Runs.

static void emit_put(void *context, struct value *object)
{
    struct session *session = context;
    session->config.emit(session->config.context, object);
    value_unref(object);
}

// `exit` says its status; otherwise whether there was an error.
static int session_status(const struct session *session)
{
    return session->exited ? session->exit_status : session->failed;
}

bool session_exited(const struct session *session) { return session->exited; }

static void session_begin(struct session *session)
{
    atomic_store(&session->cancelled, false);
    session->flow = FLOW_ON;
    session->failed = session->ends = session->exited = false;
    session->steps = 0;
    session->hints = 0;
    session->tries = session->depth = session->calls = 0;
    session->yes_to_all = session->no_to_all = false;
}

// What no try block has caught.
static void session_settle(struct session *session)
{
    struct value *thrown = session->thrown;
    session->thrown = NULL;
    if (session->flow == FLOW_THROW)
        session_report(session, thrown);
    value_unref(thrown);
    if (session->flow == FLOW_HALT && !session->exited)
        session->failed = true;
    session->flow = FLOW_ON;
    if (session->config.emit_end)
        session->config.emit_end(session->config.context);
}

struct left {
    struct session *session;
    struct job *job;
};

static void left_output(void *context, struct value *object) { (void)context, (void)object; }

static void left_warning(void *context, const char *text)
{
    const struct session_config *config = &((struct left *)context)->session->config;
    if (config->warning)
        config->warning(config->context, text);
}

static void left_error(void *context, const struct cmdlet_error *error)
{
    const struct left *left = context;
    const struct failure failure = {
        .cmdlet = job_request(left->job)->cmdlet, .category = error->category, .id = error->id,
        .exception = error->exception, .target = error->target, .message = error->message};
    struct value *record = failure_record(left->session, &failure);
    session_report(left->session, record);
    value_unref(record);
}

int session_finish(struct session *session)
{

    session_begin(session);
    unsigned left = 0;
    for (struct job *job; (job = session->jobs);) {
        const struct job_sink sink = {.context = &(struct left){session, job}, .output = left_output,
                                      .warning = left_warning, .error = left_error};
        left += !job_wait(session, job, INT32_MAX);
        job_receive(job, false, &sink);
        job_remove(session, job);
    }
    if (left) {
        char *text = value_text("%u job%s still going on; the service finishes what it has begun.", left,
                                left == 1 ? " is" : "s are");
        left_warning(&(struct left){session, NULL}, text);
        free(text);
    }
    return session_status(session);
}

static void session_syntax_error(struct session *session, const char *name, const char *text,
                                 const struct syntax_error *error)
{
    struct syntax place = {.references = 1, .name = (char *)name, .text = (char *)text};
    struct syntax *outer = session->syntax;
    struct failure failure = {
        .category = CATEGORY_PARSER_ERROR, .id = error->id, .exception = "ParentContainsErrorRecordException",
        .message = error->text, .start = error->start, .end = error->end,
    };
    session->syntax = &place;
    struct value *record = failure_record(session, &failure);
    session_report(session, record);
    value_unref(record);
    session->syntax = outer;
}


bool session_incomplete(const char *text)
{
    struct syntax_error error;
    struct syntax *syntax = syntax_parse(NULL, text, &error);
    syntax_unref(syntax);
    return !syntax && error.incomplete;
}

// A word as an argument: a literal, a list of them, or text.
static struct value *word_value(const char *word, const char **spelling)
{
    const char *end;
    struct value *number = lexer_number(word, &end);
    if (number && !*end) {
        *spelling = word;
        return number;
    }
    value_unref(number);
    if (!value_name_compare(word, "$true") || !value_name_compare(word, "$false"))
        return value_bool((word[1] | 32) == 't');
    if (!value_name_compare(word, "$null"))
        return value_null();
    return value_string(word);
}

static struct value *word_list(const char *word, const char **spelling)
{
    if (!strchr(word, ',') || strchr(word, ' '))
        return word_value(word, spelling);
    struct value *list = value_array();
    for (const char *at = word;; at++) {
        const char *ignored = NULL;
        char *item = value_text("%.*s", (int)strcspn(at, ","), at);
        value_add(list, word_value(item, &ignored));
        free(item);
        at += strcspn(at, ",");
        if (!*at)
            return list;
    }
}

// -Name, -Name:value, or a value. `room` holds the name.
static void word_argument(struct argument *argument, const char *word, char **room)
{
    unsigned dash = lexer_dash(word);
    *room = NULL;
    if (!dash || !lexer_name_start(word[dash])) {
        argument->value = word_list(word, &argument->spelling);
        return;
    }
    const char *colon = strchr(word, ':');
    *room = value_text("%.*s", colon ? (int)(colon - word) - (int)dash : (int)strlen(word + dash), word + dash);
    argument->name = *room;
    if (colon)
        argument->value = word_list(colon + 1, &argument->spelling);
}

// The words as one line, for errors to point at.
static char *words_line(int count, const char *const *words, struct argument *arguments)
{
    char *line = value_text_copy("");
    for (int i = 0; i < count; i++) {
        bool quote = !*words[i] || words[i][strcspn(words[i], " \t'\"|;(){}&")];
        char *longer = value_text("%s%s%s%s%s", line, i ? " " : "", quote ? "'" : "", words[i], quote ? "'" : "");
        if (i) {
            arguments[i - 1].start = (u32)strlen(line) + 1;
            arguments[i - 1].end = (u32)strlen(longer);
        }
        free(line);
        line = longer;
    }
    return line;
}

// `a, b` is a list of two to who types it, though the shell made two words of it: those are one again. The caller frees
// what is returned, and each word of it.
static char **words_join(int *count, const char *const *words)
{
    char **joined = value_allocate((size_t)*count * sizeof *joined);
    int made = 0;
    for (int i = 0; i < *count; i++) {
        const char *before = made ? joined[made - 1] : "";
        const size_t length = strlen(before);
        if (length > 1 && before[length - 1] == ',' && !strchr(before, ' ') && !strchr(words[i], ' ')) {
            char *longer = value_text("%s%s", before, words[i]);
            free(joined[made - 1]);
            joined[made - 1] = longer;
        } else {
            joined[made++] = value_text_copy(words[i]);
        }
    }
    *count = made;
    return joined;
}

static void session_words(struct session *session, int count, const char *const *words)
{
    struct argument *arguments = value_allocate((size_t)count * sizeof *arguments);
    char **rooms = value_allocate((size_t)count * sizeof *rooms);
    for (int i = 1; i < count; i++)
        word_argument(&arguments[i - 1], words[i], &rooms[i]);
    char *line = words_line(count, words, arguments);
    struct syntax place = {.references = 1, .text = line};
    const struct sink sink = {.put = emit_put, .context = session, .emits = true};
    session->syntax = &place;
    pipeline_words(session, words[0], arguments, (size_t)count - 1, &sink);
    session_settle(session);
    session->syntax = NULL;
    for (int i = 1; i < count; i++) {
        value_unref(arguments[i - 1].value);
        free(rooms[i]);
    }
    free(line);
    free(arguments);
    free(rooms);
}

int session_run_words(struct session *session, int count, const char *const *words)
{
    session_begin(session);
    if (count < 1)
        return 0;
    for (int i = 0; i < count; i++)
        if (words[i][syntax_utf8_length(words[i])]) {
            const struct syntax_error error = {.id = "InvalidEncoding", .text = "A word is not UTF-8.", .end = 1};
            session_syntax_error(session, NULL, "", &error);
            return 1;
        }
    char **joined = words_join(&count, words);
    session_words(session, count, (const char *const *)joined);
    for (int i = 0; i < count; i++)
        free(joined[i]);
    free(joined);
    return session_status(session);
}

// Scripts: the words behind a script's name are its parameters, as param( ) at its beginning has them, and $args.
static void session_arguments(struct session *session, const struct syntax *syntax, int count, const char *const *words)
{
    struct node none = {.kind = NODE_BLOCK, .count = 1};
    const struct node *block = syntax->parameters ? syntax->parameters : &none;
    if (!syntax->parameters && !count)
        return;
    struct argument *arguments = value_allocate(((size_t)count + 1) * sizeof *arguments);
    char **rooms = value_allocate(((size_t)count + 1) * sizeof *rooms);
    for (int i = 0; i < count; i++)
        word_argument(&arguments[i], words[i], &rooms[i]);
    pipeline_parameters(session, block, arguments, (size_t)count);
    for (int i = 0; i < count; i++) {
        value_unref(arguments[i].value);
        free(rooms[i]);
    }
    free(arguments);
    free(rooms);
}

static int session_run_with(struct session *session, const char *name, const char *text, int count,
                            const char *const *words)
{
    struct syntax_error error;
    struct syntax *syntax = syntax_parse(name, text, &error);
    session_begin(session);
    if (!syntax) {
        session_syntax_error(session, name, text, &error);
        return 1;
    }
    const struct sink sink = {.put = emit_put, .context = session, .emits = true};
    session->syntax = syntax;
    struct scope scope;
    const bool scoped = syntax->parameters || count; // a script's parameters are its own
    if (scoped)
        scope_enter(session, &scope);
    session_arguments(session, syntax, count, words);
    for (u32 i = 0; i < syntax->root->count && session->flow == FLOW_ON; i++) {
        eval_statement(session, syntax->root->child[i], &sink);
        if (session->flow == FLOW_THROW && session->ends)
            break;
        if (session->flow == FLOW_THROW || session->flow == FLOW_ON)
            session_settle(session);
    }
    session_settle(session);
    if (scoped)
        scope_leave(session, &scope);
    session->syntax = NULL;
    syntax_unref(syntax);
    return session_status(session);
}

int session_run(struct session *session, const char *name, const char *text)
{
    return session_run_with(session, name, text, 0, NULL);
}

int session_run_script(struct session *session, const char *name, const char *text, int count, const char *const *words)
{
    return session_run_with(session, name, text, count, words);
}
