// Any bytes as a script: it is read, bound and run against a service that answers at once, within a number of steps.
// Values that come out are made into text, as a front end would. The first byte chooses between a script and the words
// of a shell's command line, which are then separated by line ends.
#include <stdlib.h>
#include <string.h>

#include "cmdlet/json.h"
#include "cmdlet/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FUZZ_STEPS = 5000, FUZZ_BYTES = 4096, FUZZ_WORDS = 16 };

static void fuzz_emit(void *context, struct value *object)
{
    (void)context;
    char *text = value_to_text(object);
    free(text);
    free(json_write(object, true, 0));
}

static void fuzz_object(const struct request *request, const struct reply *reply, const char *name)
{
    struct value *object = value_object(request->cmdlet->output);
    value_put(object, "Name", value_string(name));
    value_put(object, "VMName", value_string(name));
    value_put(object, "State", value_string("Off"));
    value_put(object, "MemoryStartup", value_int(1 << 30));
    reply->output(reply->context, object);
    value_unref(object);
}

// What reaches the service is of the types that the rows say, whatever was typed.
static void fuzz_invoke(void *context, const struct request *request, const struct reply *reply)
{
    (void)context;
    for (const struct parameter *parameter = request->cmdlet->parameters; parameter && parameter->name; parameter++) {
        struct value *value = value_get(request->parameters, parameter->name);
        if (!value || value->kind == VALUE_NULL)
            continue;
        if (parameter->flags & PARAMETER_LIST && value->kind != VALUE_ARRAY)
            abort();
        if (!(parameter->flags & PARAMETER_LIST) &&
            (parameter->type == PARAMETER_STRING || parameter->type == PARAMETER_ENUM) && value->kind != VALUE_STRING)
            abort();
        if (!(parameter->flags & PARAMETER_LIST) && (parameter->least || parameter->most) &&
            parameter->type == PARAMETER_INT && (value->integer < parameter->least || value->integer > parameter->most))
            abort();
    }
    free(json_write(request->parameters, true, 0));
    if (request->cmdlet->output) {
        fuzz_object(request, reply, "lab1");
        fuzz_object(request, reply, "lab2");
    }
    const struct cmdlet_error error = {CATEGORY_INVALID_OPERATION, "InvalidState", "VirtualizationException", NULL,
                                       "No."};
    if (strlen(request->cmdlet->name) & 1)
        reply->error(reply->context, &error);
}

static void fuzz_error(void *context, const struct error_report *report)
{
    (void)context;
    if (!report->error.message || !report->identity || !report->line || !report->column || !report->length)
        abort();
}

static void fuzz_words(struct session *session, char *text)
{
    const char *words[FUZZ_WORDS];
    int count = 0;
    for (char *word = text; word && count < FUZZ_WORDS;)
        words[count++] = strsep(&word, "\n");
    session_run_words(session, count, words);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct session_config config = {
        .directory = "/work", .invoke = fuzz_invoke, .emit = fuzz_emit, .error = fuzz_error, .steps = FUZZ_STEPS,
    };
    if (size < 1 || size > FUZZ_BYTES)
        return 0;
    char *text = value_allocate(size);
    memcpy(text, data + 1, size - 1);
    struct session *session = session_create(&config);
    session_incomplete(text);
    if (data[0] & 1)
        session_run(session, "fuzz.ps1", text);
    else
        fuzz_words(session, text);
    session_destroy(session);
    free(text);
    return 0;
}
