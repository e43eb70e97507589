// Write-*, Out-*, Set-Content, Add-Content, Get-Content, Tee-Object: where objects leave the pipeline as text.
#include <stdlib.h>
#include <string.h>

#include "cmdlet/format_text.h"
#include "cmdlet/local/local.h"
#include "cmdlet/session.h"
#include "cmdlet/value_room.h"

struct gather {
    struct value *objects; // an array
};

static const struct session_config *config_of(struct stage *stage) { return session_config_of(stage_session(stage)); }

static void gather_process(struct stage *stage, struct value *input)
{
    struct gather *gather = stage_data(stage);
    if (!gather->objects)
        gather->objects = value_array();
    if (input)
        value_add(gather->objects, value_ref(input));
}

static void gather_release(struct stage *stage) { value_unref(((struct gather *)stage_data(stage))->objects); }

static void text_put_line(struct text *text, struct value *value, const char *end)
{
    char *line = value_to_text(value);
    text_put(text, line);
    text_put(text, end);
    free(line);
}

char *local_text(struct stage *stage, struct value *objects)
{
    const struct session_config *config = config_of(stage);
    if (config->format)
        return config->format(config->context, objects->array.items, objects->array.count);
    struct text text = {0};
    for (size_t i = 0; i < objects->array.count; i++)
        text_put_line(&text, objects->array.items[i], "\n");
    return text_take(&text);
}

void local_write_file(struct stage *stage, const char *path, const char *text, bool append)
{
    const struct session_config *config = config_of(stage);
    struct error error = {"files cannot be written here"};
    if (!config->write_file || config->write_file(config->context, path, text, append, &error))
        stage_fail(stage, CATEGORY_WRITE_ERROR, "FileOpenFailure", "%s", error.text);
}

char *local_read_file(struct stage *stage, const char *path)
{
    const struct session_config *config = config_of(stage);
    struct error error = {"files cannot be read here"};
    char *text = config->read_file ? config->read_file(config->context, path, &error) : NULL;
    if (!text)
        stage_fail(stage, CATEGORY_OBJECT_NOT_FOUND, "PathNotFound", "%s", error.text);
    return text;
}

static void put_all(struct stage *stage, struct value *value)
{
    if (value->kind != VALUE_ARRAY) {
        stage_put(stage, value_ref(value));
        return;
    }
    for (size_t i = 0; i < value->array.count; i++)
        stage_put(stage, value_ref(value->array.items[i]));
}

static void output_process(struct stage *stage, struct value *input)
{
    if (input)
        put_all(stage, input);
}

// Items with blanks, or -Separator, between them.
static void host_put(struct text *text, struct value *value, const char *separator)
{
    if (value->kind != VALUE_ARRAY) {
        text_put_line(text, value, "");
        return;
    }
    for (size_t i = 0; i < value->array.count; i++) {
        text_put(text, i ? separator : "");
        host_put(text, value->array.items[i], separator);
    }
}

static void host_process(struct stage *stage, struct value *input)
{
    struct value *object = input ? input : stage_parameter(stage, "Object"), *nothing = value_string("");
    struct text text = {0};
    host_put(&text, object ? object : nothing, stage_string(stage, "Separator", " "));
    text_put(&text, stage_switch(stage, "NoNewline") ? "" : "\n");
    char *line = text_take(&text);
    if (config_of(stage)->host)
        config_of(stage)->host(config_of(stage)->context, line);
    free(line);
    value_unref(nothing);
}

static void warning_process(struct stage *stage, struct value *input)
{
    (void)input;
    stage_warning(stage, stage_string(stage, "Message", ""));
}

static void verbose_process(struct stage *stage, struct value *input)
{
    (void)input;
    const char *preference = value_as_string(session_variable(stage_session(stage), "VerbosePreference"), "");
    if (config_of(stage)->verbose && (stage_switch(stage, "Verbose") || !value_name_compare(preference, "Continue")))
        config_of(stage)->verbose(config_of(stage)->context, stage_string(stage, "Message", ""));
}

static void error_process(struct stage *stage, struct value *input)
{
    (void)input;
    struct cmdlet_error error = {
        .category = error_category_find(stage_string(stage, "Category", "NotSpecified")),
        .id = stage_string(stage, "ErrorId", "Microsoft.PowerShell.Commands.WriteErrorException"),
        .exception = "WriteErrorException",
        .message = stage_string(stage, "Message", ""),
    };
    stage_error(stage, &error);
}

static void out_string_end(struct stage *stage)
{
    struct gather *gather = stage_data(stage);
    if (!gather->objects)
        return;
    char *text = local_text(stage, gather->objects);
    if (!stage_switch(stage, "Stream")) {
        stage_put(stage, value_string_put(text));
        return;
    }
    for (char *line = text, *end; *line; line = end) {
        size_t bytes = strcspn(line, "\n");
        end = line + bytes + (line[bytes] == '\n');
        stage_put(stage, value_format("%.*s", (int)bytes, line));
    }
    free(text);
}

static void out_file_end(struct stage *stage)
{
    struct gather *gather = stage_data(stage);
    struct value *none = value_array();
    char *text = local_text(stage, gather->objects ? gather->objects : none);
    size_t length = strlen(text);
    if (stage_switch(stage, "NoNewline") && length && text[length - 1] == '\n')
        text[length - 1] = 0;
    local_write_file(stage, stage_string(stage, "FilePath", ""), text, stage_switch(stage, "Append"));
    free(text);
    value_unref(none);
}

// The texts of values, a line each: unlike Out-File, which writes what a terminal would show.
static void content_end(struct stage *stage)
{
    struct gather *gather = stage_data(stage);
    struct value *value = stage_parameter(stage, "Value"), *paths = stage_parameter(stage, "Path");
    struct text lines = {0};
    const char *end = stage_switch(stage, "NoNewline") ? "" : "\n";
    for (size_t i = 0; i < value_count(value); i++)
        text_put_line(&lines, value_item(value, i), end);
    for (size_t i = 0; i < value_count(gather->objects); i++)
        text_put_line(&lines, value_item(gather->objects, i), end);
    char *text = text_take(&lines);
    for (size_t i = 0; i < value_count(paths); i++)
        local_write_file(stage, value_as_string(value_item(paths, i), ""), text,
                         !value_name_compare(stage_cmdlet(stage)->name, "Add-Content"));
    free(text);
}

static void get_content_one(struct stage *stage, const char *path)
{
    char *text = local_read_file(stage, path);
    if (!text)
        return;
    if (stage_switch(stage, "Raw")) {
        stage_put(stage, value_string_put(text));
        return;
    }
    for (char *line = text, *end; *line && !stage_stopped(stage); line = end) {
        size_t bytes = strcspn(line, "\n");
        end = line + bytes + (line[bytes] == '\n');
        bytes -= bytes && line[bytes - 1] == '\r';
        stage_put(stage, value_format("%.*s", (int)bytes, line));
    }
    free(text);
}

static void get_content_process(struct stage *stage, struct value *input)
{
    (void)input;
    struct value *paths = stage_parameter(stage, "Path");
    for (size_t i = 0; i < value_count(paths) && !stage_stopped(stage); i++)
        get_content_one(stage, value_as_string(value_item(paths, i), ""));
}

static void tee_process(struct stage *stage, struct value *input)
{
    gather_process(stage, input);
    if (input)
        stage_put(stage, value_ref(input));
}

static void tee_end(struct stage *stage)
{
    struct gather *gather = stage_data(stage);
    const char *variable = stage_string(stage, "Variable", NULL);
    if (!variable)
        out_file_end(stage);
    else
        session_variable_set(stage_session(stage), variable,
                             gather->objects ? value_ref(gather->objects) : value_null());
}

const struct local_cmdlet local_write[] = {
    {.name = "Write-Output", .process = output_process},
    {.name = "Write-Host", .process = host_process},
    {.name = "Write-Warning", .process = warning_process},
    {.name = "Write-Verbose", .process = verbose_process},
    {.name = "Write-Error", .process = error_process},
    {.name = "Out-Null"},
    {.name = "Out-String", .data = sizeof(struct gather), .process = gather_process, .end = out_string_end,
     .release = gather_release},
    {.name = "Out-File", .data = sizeof(struct gather), .process = gather_process, .end = out_file_end,
     .release = gather_release},
    {.name = "Set-Content", .data = sizeof(struct gather), .process = gather_process, .end = content_end,
     .release = gather_release},
    {.name = "Add-Content", .data = sizeof(struct gather), .process = gather_process, .end = content_end,
     .release = gather_release},
    {.name = "Get-Content", .process = get_content_process},
    {.name = "Tee-Object", .data = sizeof(struct gather), .process = tee_process, .end = tee_end,
     .release = gather_release},
    {0},
};
