// The API's foreign text: a request for a cmdlet (the first byte picks it from the table). What was taken is of the
// types the table promises, and is carried over the wire unchanged.
#include <stdlib.h>
#include <string.h>

#include "cmdlet/json.h"
#include "service/api_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_one(const struct parameter *parameter, const struct value *value)
{
    static const enum value_kind kinds[] = {
        [PARAMETER_STRING] = VALUE_STRING, [PARAMETER_SWITCH] = VALUE_BOOL,       [PARAMETER_BOOL] = VALUE_BOOL,
        [PARAMETER_INT] = VALUE_INT,       [PARAMETER_BYTES] = VALUE_INT,         [PARAMETER_ENUM] = VALUE_STRING,
        [PARAMETER_PATH] = VALUE_STRING,   [PARAMETER_TIMESPAN] = VALUE_TIMESPAN, [PARAMETER_VERSION] = VALUE_STRING,
        [PARAMETER_OBJECT] = VALUE_OBJECT};
    if (parameter->type != PARAMETER_ANY && parameter->type != PARAMETER_MAP &&
        (parameter->type >= ARRAY_SIZE(kinds) || value->kind != kinds[parameter->type]))
        abort();
    if (value->kind == VALUE_INT && parameter->type != PARAMETER_ANY && (parameter->least || parameter->most) &&
        (value->integer < parameter->least || value->integer > parameter->most))
        abort();
}

static void check(const struct request *request)
{
    for (const struct parameter *parameter = request->cmdlet->parameters; parameter && parameter->name; parameter++) {
        const struct value *value = value_get(request->parameters, parameter->name);
        const bool list = parameter->flags & (PARAMETER_LIST | PARAMETER_REST);
        if (value && list && value->kind != VALUE_ARRAY)
            abort();
        for (size_t i = 0; value && list && i < value_count(value); i++)
            check_one(parameter, value_item(value, i));
        if (value && !list)
            check_one(parameter, value);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned count = 0;
    while (cmdlet_at(count))
        count++;
    struct request request;
    struct error error;
    if (!size || api_request_read(&request, cmdlet_at(data[0] % count), (const char *)data + 1, size - 1, &error) < 0)
        return 0;
    check(&request);
    char *text = json_write(request.parameters, true, 0);
    struct value *again = json_read(text, strlen(text), &error);
    if (!again || value_count(again) != value_count(request.parameters))
        abort();
    value_unref(again);
    free(text);
    api_request_free(&request);
    return 0;
}
