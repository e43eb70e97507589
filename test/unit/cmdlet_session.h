// A session for tests: a service that answers from memory, and everything that happens written down as text.
//
// The service knows Get-VM and its like by their rows: it puts out objects of the row's class for Get-, and notes each
// request as a line "Set-VMProcessor ExposeVirtualizationExtensions=True VMName=lab" in `requests`.
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmdlet/job.h"
#include "cmdlet/json.h"
#include "cmdlet/session.h"

struct fake {
    char *output, *requests, *errors, *texts; // lines each; texts: warnings, what-ifs, Write-Host
    char *file;                               // what was written last: "PATH: TEXT"
    enum session_answer answer;
    unsigned asked, slept;
    struct job *endless; // whose end the test says
    struct session *session;
};

__attribute__((format(printf, 2, 3), unused)) static void fake_add(char **to, const char *format, ...)
{
    char *line, *longer;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&line, format, arguments) < 0)
        abort();
    va_end(arguments);
    longer = value_text("%s%s", *to ? *to : "", line);
    free(line);
    free(*to);
    *to = longer;
}

__attribute__((unused)) static void fake_emit(void *context, struct value *object)
{
    struct fake *fake = context;
    char *text = value_is_map(object) || object->kind == VALUE_ARRAY ? json_write(object, false, 0)
                                                                     : value_to_text(object);
    fake_add(&fake->output, "%s\n", text);
    free(text);
}

__attribute__((unused)) static void fake_error(void *context, const struct error_report *report)
{
    fake_add(&((struct fake *)context)->errors, "%s: %s [%s] %u:%u+%u\n", report->command ? report->command : "-",
             report->error.message, report->identity, report->line, report->column, report->length);
}

__attribute__((unused)) static void fake_text(void *context, const char *text)
{
    fake_add(&((struct fake *)context)->texts, "%s\n", text);
}

__attribute__((unused)) static void fake_host(void *context, const char *text)
{
    fake_add(&((struct fake *)context)->texts, "%s", text);
}

// Three VMs, or the parts of them.
__attribute__((unused)) static void fake_objects(const struct request *request, const struct reply *reply)
{
    static const struct { const char *name, *state; s64 gib; } vms[] = {
        {"lab1", "Running", 4}, {"lab2", "Off", 1}, {"web", "Off", 2},
    };
    struct value *names = value_get(request->parameters, "VMName");
    const s64 number = value_as_int(value_get(request->parameters, "Number"), 0);
    names = names ? names : value_get(request->parameters, "Name");
    for (unsigned i = 0; i < ARRAY_SIZE(vms); i++) {
        bool wanted = !names;
        for (size_t n = 0; n < value_count(names); n++)
            wanted |= value_name_like(vms[i].name, value_as_string(value_item(names, n), ""));
        if (!wanted || (number && i))
            continue;
        struct value *object = value_object(request->cmdlet->output);
        value_put(object, "Name", value_string(vms[i].name));
        value_put(object, "State", value_string(vms[i].state));
        value_put(object, "MemoryStartup", value_int(vms[i].gib << 30));
        value_put(object, "Id", value_int(i));
        value_put(object, "VMName", value_string(vms[i].name));
        value_put(object, "InterfaceAlias", value_string("vEthernet (VmNAT)"));
        value_put(object, "InterfaceIndex", value_int(7));
        reply->output(reply->context, object);
        value_unref(object);
    }
}

__attribute__((unused)) static void fake_note(struct fake *fake, const struct request *request)
{
    fake_add(&fake->requests, "%s", request->cmdlet->name);
    for (size_t i = 0; i < request->parameters->map.count; i++) {
        const struct value_pair *pair = &request->parameters->map.pairs[i];
        char *text = value_to_text(pair->value);
        fake_add(&fake->requests, " %s=%s", pair->key, text);
        free(text);
    }
    fake_add(&fake->requests, "%s\n", request->what_if ? " (what if)" : "");
}

__attribute__((unused)) static void fake_invoke(void *context, const struct request *request, const struct reply *reply)
{
    struct fake *fake = context;
    struct value *names = value_get(request->parameters, "VMName");
    fake_note(fake, request);
    if (request->what_if) {
        reply->what_if(reply->context, request->cmdlet->name);
    } else if (value_count(names) == 1 && !strcmp(value_item(names, 0)->string, "gone")) {
        struct cmdlet_error error = {CATEGORY_INVALID_ARGUMENT, "InvalidParameter", "VirtualizationException", "gone",
                                     "There is no virtual machine 'gone'."};
        reply->error(reply->context, &error);
    } else if (!strncmp(request->cmdlet->name, "Get-", 4) && request->cmdlet->output) {
        fake_objects(request, reply);
    }
}

// Carried out at once: it has ended before anybody looks. One that is called "endless" is never carried out.
__attribute__((unused)) static bool fake_beside(void *context, struct job *job)
{
    struct fake *fake = context;
    struct reply reply;
    const struct value *names = value_get(job_request(job)->parameters, "Name");
    job_reply(job, &reply);
    if (value_count(names) == 1 && !strcmp(value_item(names, 0)->string, "endless")) {
        fake->endless = job;
        return true;
    }
    fake_invoke(context, job_request(job), &reply);
    if (value_count(names) == 1 && !strcmp(value_item(names, 0)->string, "bad")) {
        struct cmdlet_error error = {CATEGORY_INVALID_OPERATION, "InvalidState", "VirtualizationException", "bad",
                                     "'bad' failed to start."};
        reply.error(reply.context, &error);
    }
    job_done(job);
    return true;
}

__attribute__((unused)) static enum session_answer fake_confirm(void *context, const char *caption,
                                                                const char *question)
{
    struct fake *fake = context;
    fake->asked++;
    fake_add(&fake->texts, "%s %s\n", caption, question);
    return fake->answer;
}

__attribute__((unused)) static int fake_write(void *context, const char *path, const char *text, bool append,
                                              struct error *error)
{
    struct fake *fake = context;
    if (!strcmp(path, "/full"))
        return error_set(error, "cannot write '/full': the disk is full");
    free(fake->file);
    fake->file = NULL;
    fake_add(&fake->file, "%s%s: %s", path, append ? "+" : "", text);
    return 0;
}

__attribute__((unused)) static char *fake_read(void *context, const char *path, struct error *error)
{
    (void)context;
    if (!strcmp(path, "/work/lines"))
        return value_text_copy("one\r\ntwo\n");
    error_set(error, "cannot read '%s': there is no such file", path);
    return NULL;
}

__attribute__((unused)) static const char *fake_environment(void *context, const char *name)
{
    (void)context;
    return !strcmp(name, "HOME") ? "/home/me" : NULL;
}

__attribute__((unused)) static s64 fake_now(void *context)
{
    (void)context;
    return 946684800LL * VALUE_TICKS_SECOND; // the first of January 2000
}

__attribute__((unused)) static void fake_sleep(void *context, s64 ticks)
{
    ((struct fake *)context)->slept = (unsigned)(ticks / (VALUE_TICKS_SECOND / 1000));
}

__attribute__((unused)) static bool fake_test_path(void *context, const char *path)
{
    (void)context;
    return !strcmp(path, "/work/lines");
}

__attribute__((unused)) static void fake_clear(struct fake *fake)
{
    char **const texts[] = {&fake->output, &fake->requests, &fake->errors, &fake->texts, &fake->file};
    for (unsigned i = 0; i < ARRAY_SIZE(texts); i++) {
        free(*texts[i]);
        *texts[i] = NULL;
    }
}

__attribute__((unused)) static void fake_start(struct fake *fake, u64 steps)
{
    const struct session_config config = {
        .context = fake, .directory = "/work", .invoke = fake_invoke, .beside = fake_beside, .emit = fake_emit,
        .error = fake_error,
        .warning = fake_text, .verbose = fake_text, .what_if = fake_text, .host = fake_host, .confirm = fake_confirm,
        .write_file = fake_write, .read_file = fake_read, .test_path = fake_test_path, .environment = fake_environment,
        .now = fake_now, .sleep = fake_sleep, .steps = steps,
    };
    *fake = (struct fake){.answer = SESSION_NO};
    fake->session = session_create(&config);
}

__attribute__((unused)) static void fake_stop(struct fake *fake)
{
    session_destroy(fake->session);
    fake_clear(fake);
}
