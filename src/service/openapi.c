// See openapi.h. A path a cmdlet, a schema a class.
#include "service/openapi.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/version.h"
#include "cmdlet/class.h"
#include "cmdlet/cmdlet.h"
#include "service/object/object.h"
#include "service/stream.h"

static json_t *reference(const char *class)
{
    char *path = value_text("#/components/schemas/%s", class);
    json_t *schema = json_pack("{s:s}", "$ref", path);
    free(path);
    return schema;
}

static json_t *of_type(const char *type) { return json_pack("{s:s}", "type", type); }

static json_t *words(const char *text)
{
    json_t *list = json_array();
    for (const char *at = text; at && *at; at += strspn(at, " ")) {
        const size_t length = strcspn(at, " ");
        json_array_append_new(list, json_stringn(at, length));
        at += length;
    }
    return json_pack("{s:s, s:o}", "type", "string", "enum", list);
}

static json_t *parameter_schema(const struct parameter *parameter)
{
    json_t *schema;
    switch (parameter->type) {
    case PARAMETER_SWITCH:
    case PARAMETER_BOOL:
        schema = of_type("boolean");
        break;
    case PARAMETER_INT:
    case PARAMETER_BYTES:
        schema = of_type("integer");
        if (parameter->least || parameter->most) {
            json_object_set_new(schema, "minimum", json_integer(parameter->least));
            json_object_set_new(schema, "maximum", json_integer(parameter->most));
        }
        break;
    case PARAMETER_ENUM:
        schema = words(parameter->values);
        break;
    case PARAMETER_OBJECT:
        schema = parameter->object && class_find(parameter->object) ? reference(class_find(parameter->object)->name)
                                                                    : of_type("object");
        break;
    case PARAMETER_MAP:
        schema = of_type("object");
        break;
    case PARAMETER_ANY:
        schema = json_object();
        break;
    default:
        schema = of_type("string");
    }
    if (parameter->flags & (PARAMETER_LIST | PARAMETER_REST))
        schema = json_pack("{s:s, s:o}", "type", "array", "items", schema);
    if (!json_object_get(schema, "$ref"))
        json_object_set_new(schema, "description", json_string(parameter->help ? parameter->help : ""));
    return schema;
}

static json_t *property_schema(const struct property *property)
{
    json_t *schema;
    switch (property->type) {
    case PROPERTY_STRING:
    case PROPERTY_TIMESPAN:
    case PROPERTY_DATETIME:
        schema = json_pack("{s:[s, s]}", "type", "string", "null");
        break;
    case PROPERTY_BOOL:
        schema = json_pack("{s:[s, s]}", "type", "boolean", "null");
        break;
    case PROPERTY_INT:
        schema = json_pack("{s:[s, s]}", "type", "integer", "null");
        break;
    case PROPERTY_REAL:
        schema = json_pack("{s:[s, s]}", "type", "number", "null");
        break;
    case PROPERTY_STRINGS:
        schema = json_pack("{s:[s, s], s:{s:s}}", "type", "array", "null", "items", "type", "string");
        break;
    case PROPERTY_OBJECTS:
        schema = json_pack("{s:[s, s]}", "type", "array", "null");
        break;
    default:
        schema = json_object();
    }
    if (property->help)
        json_object_set_new(schema, "description", json_string(property->help));
    return schema;
}

static json_t *class_schema(const struct class *class)
{
    json_t *properties = json_object();
    json_object_set_new(properties, "@type", json_pack("{s:s}", "const", class->name));
    for (const struct property *property = class->properties; property && property->name; property++)
        json_object_set_new(properties, property->name, property_schema(property));
    return json_pack("{s:s, s:s, s:[s], s:o}", "type", "object", "title", class->full_name, "required", "@type",
                     "properties", properties);
}

// The lines that every answer is made of.
static json_t *piece_schema(void)
{
    json_t *text = of_type("string"), *pieces = json_object();
    static const char *const texts[] = {"warning", "verbose", "host", "whatIf"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        json_object_set(pieces, texts[i], text);
    json_decref(text);
    json_object_set_new(pieces, "output", json_object());
    json_object_set_new(pieces, "progress",
                        json_pack("{s:s, s:{s:{s:s}, s:{s:s}, s:{s:s}}}", "type", "object", "properties", "activity",
                                  "type", "string", "status", "type", "string", "percent", "type", "integer"));
    json_object_set_new(pieces, "error", reference("Error"));
    json_object_set_new(pieces, "end", json_pack("{s:s, s:[s], s:{s:{s:s}}}", "type", "object", "required", "errors",
                                                 "properties", "errors", "type", "integer"));
    return json_pack("{s:s, s:i, s:i, s:b, s:o}", "type", "object", "minProperties", 1, "maxProperties", 1,
                     "additionalProperties", 0, "properties", pieces);
}

// What the events have besides their kind and their time is text, and depends on the kind.
static json_t *event_schema(void)
{
    static const char *const texts[] = {"VMId", "VMName", "State", "HypervisorRunning", "VirtualizationExtension",
                                        "NestedGuestsLaunched", "Heartbeat", "Address", "Cmdlet", "Activity", "Status",
                                        "Percent"};
    json_t *kinds = json_pack("{s:s, s:[s, s, s, s, s, s, s]}", "type", "string", "enum", "created", "removed", "state",
                              "nested", "heartbeat", "foreign-address", "progress");
    json_t *text = json_pack("{s:s}", "type", "string");
    json_t *properties = json_pack("{s:o, s:{s:s, s:s}}", "event", kinds, "time", "type", "string", "format",
                                   "date-time");
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        json_object_set(properties, texts[i], text);
    json_decref(text);
    return json_pack("{s:s, s:[s, s], s:b, s:o}", "type", "object", "required", "event", "time", "additionalProperties",
                     0, "properties", properties);
}

static json_t *error_schema(void)
{
    return json_pack("{s:s, s:[s, s], s:{s:{s:s}, s:{s:[s, s]}, s:{s:[s, s]}, s:{s:[s, s]}, s:{s:s}}}", "type",
                     "object", "required", "category", "message", "properties", "category", "type", "string", "id",
                     "type", "string", "null", "exception", "type", "string", "null", "target", "type", "string",
                     "null", "message", "type", "string");
}

static json_t *cmdlet_path(const struct cmdlet *cmdlet)
{
    json_t *parameters = json_object();
    for (const struct parameter *parameter = cmdlet->parameters; parameter && parameter->name; parameter++)
        if (parameter->type != PARAMETER_BLOCK)
            json_object_set_new(parameters, parameter->name, parameter_schema(parameter));
    json_t *body = json_pack(
        "{s:s, s:b, s:{s:{s:s, s:b, s:o}, s:{s:s}, s:{s:s}, s:{s:s}}}", "type", "object", "additionalProperties", 0,
        "properties", "parameters", "type", "object", "additionalProperties", 0, "properties", parameters, "whatIf",
        "type", "boolean", "verbose", "type", "boolean", "directory", "type", "string");
    json_t *responses = json_pack(
        "{s:{s:s, s:{s:{s:o}}}, s:{s:s}, s:{s:s}}", "200", "description",
        "A stream of lines, a JSON object each; the last one has the member end.", "content", "application/x-ndjson",
        "schema", reference("Piece"), "400", "description", "The parameters are not those of the cmdlet.", "503",
        "description", "Too many requests wait already.");
    json_t *post = json_pack("{s:s, s:s, s:{s:{s:{s:o}}}, s:o}", "operationId", cmdlet->name, "summary",
                             cmdlet->synopsis ? cmdlet->synopsis : "", "requestBody", "content", "application/json",
                             "schema", body, "responses", responses);
    if (cmdlet->output)
        json_object_set_new(post, "x-output", json_string(cmdlet->output));
    return json_pack("{s:o}", "post", post);
}

static json_t *get_path(const char *summary, const char *type, json_t *schema)
{
    return json_pack("{s:{s:s, s:{s:{s:s, s:{s:{s:o}}}}}}", "get", "summary", summary, "responses", "200",
                     "description", summary, "content", type, "schema", schema);
}

static json_t *console_path(void)
{
    json_t *id = json_pack("{s:s, s:s, s:b, s:{s:s}}", "name", "Id", "in", "path", "required", 1, "schema", "type",
                           "string");
    json_t *upgrade = json_pack("{s:s, s:s, s:b, s:{s:s}}", "name", "Upgrade", "in", "header", "required", 1, "schema",
                                "const", STREAM_PROTOCOL);
    static const char *const answers[][2] = {
        {"101", "The connection is the console's from here on: the end of its log, then its bytes in both directions."},
        {"404", "There is no such virtual machine."},
        {"409", "It does not run."},
        {"426", "The header Upgrade is missing."},
        {"503", "The console does not answer."},
    };
    json_t *responses = json_object();
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
        json_object_set_new(responses, answers[i][0], json_pack("{s:s}", "description", answers[i][1]));
    return json_pack("{s:{s:s, s:[o, o], s:o}}", "get", "summary", "Becomes the console of a virtual machine.",
                     "parameters", id, upgrade, "responses", responses);
}

char *openapi_write(void)
{
    json_t *paths = json_object(), *schemas = json_object();
    const struct cmdlet *cmdlet;
    const struct class *class;
    for (unsigned i = 0; (cmdlet = cmdlet_at(i)); i++) {
        if (cmdlet->flags & (CMDLET_LOCAL | CMDLET_ABSENT) || !object_knows(cmdlet->name))
            continue;
        char *path = value_text("/v1/cmdlets/%s", cmdlet->name);
        json_object_set_new(paths, path, cmdlet_path(cmdlet));
        free(path);
    }
    json_object_set_new(paths, "/v1/events",
                        get_path("What happens, a line each.", "application/x-ndjson", reference("Event")));
    json_object_set_new(paths, "/metrics", get_path("Numbers for Prometheus.", "text/plain", json_object()));
    json_object_set_new(paths, "/openapi.json", get_path("This description.", "application/json", json_object()));
    json_object_set_new(paths, "/v1/vms/{Id}/console", console_path());
    json_object_set_new(paths, "/v1/host/stop",
                        json_pack("{s:{s:s, s:{s:{s:s}}}}", "post", "summary",
                                  "Does what AutomaticStopAction says, to all virtual machines.", "responses", "200",
                                  "description", "It is done."));
    for (unsigned i = 0; (class = class_at(i)); i++)
        if (class->properties)
            json_object_set_new(schemas, class->name, class_schema(class));
    json_object_set_new(schemas, "Piece", piece_schema());
    json_object_set_new(schemas, "Event", event_schema());
    json_object_set_new(schemas, "Error", error_schema());
    json_t *document = json_pack("{s:s, s:{s:s, s:s, s:s}, s:o, s:{s:o}}", "openapi", "3.1.0", "info", "title", "nidus",
                                 "version", NIDUS_VERSION, "description",
                                 "Hyper-V's cmdlets over HTTP, on a Unix socket.", "paths", paths, "components",
                                 "schemas", schemas);
    char *text = json_dumps(document, JSON_INDENT(1));
    json_decref(document);
    return text ? text : value_text_copy("{}");
}
