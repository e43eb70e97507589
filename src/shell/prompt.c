// See prompt.h.
#include "shell/prompt.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shell/editor.h"
#include "shell/paths.h"

struct prompt {
    struct shell *shell;
    struct text pending; // the lines of a command that is not whole yet
    int status; // of the last command
};

static void offer_objects(void *context, const char *class, struct completions *to)
{
    struct prompt *prompt = context;
    struct value *names = shell_names(prompt->shell, class);
    for (size_t i = 0; i < value_count(names); i++)
        complete_offer(to, value_item(names, i)->string, NULL);
    value_unref(names);
}

static void offer_paths(void *context, const char *prefix, struct completions *to)
{
    (void)context;
    paths_offer(prefix, to);
}

static void prompt_complete(void *context, const char *line, size_t cursor, struct completions *completions)
{
    struct prompt *prompt = context;
    const struct complete_source source = {.context = prompt, .objects = offer_objects, .paths = offer_paths};
    size_t before = prompt->pending.length;
    char *whole = value_text("%s%.*s", before ? prompt->pending.bytes : "", (int)cursor, line);
    complete_line(&source, whole, before + cursor, completions);
    if (completions->start < before)
        complete_free(completions);
    else
        completions->start -= before;
    free(whole);
}

// $XDG_STATE_HOME/nidus/history; NULL if there is no home for it. The caller frees.
static char *history_path(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if ((!state || *state != '/') && (!home || *home != '/'))
        return NULL;
    char *path = state && *state == '/' ? value_text("%s/nidus/history", state)
                                        : value_text("%s/.local/state/nidus/history", home);
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0700); // what is there already stays as it is
        *slash = '/';
    }
    return path;
}

static bool is_exit(const char *text)
{
    size_t length = strcspn(text, "\n");
    return (length == 4 && (!strncasecmp(text, "exit", 4) || !strncasecmp(text, "quit", 4))) && !text[length + 1];
}

// One line more. True if the prompt goes on.
static bool prompt_line(struct prompt *prompt, struct editor *editor)
{
    bool cancelled;
    const char *line = editor_read(editor, prompt->pending.length ? ">> " : "nidus> ", &cancelled);
    if (!line && !prompt->pending.length)
        return false;
    if (cancelled) {
        text_free(&prompt->pending);
        return true;
    }
    bool more = line != NULL;
    if (line) {
        text_put(&prompt->pending, line);
        text_put(&prompt->pending, "\n");
        editor_remember(editor, line);
        if (session_incomplete(prompt->pending.bytes))
            return true;
    }
    char *text = text_take(&prompt->pending);
    bool leave = is_exit(text);
    if (!leave) {
        shell_resized(prompt->shell);
        prompt->status = session_run(prompt->shell->session, NULL, text);
        leave = session_exited(prompt->shell->session);
    }
    free(text);
    return more && !leave;
}

int prompt_run(struct shell *shell)
{
    struct prompt prompt = {.shell = shell};
    char *history = history_path();
    const struct editor_config config = {.context = &prompt, .complete = prompt_complete, .history = history};
    struct editor *editor = editor_open(&config);
    puts("nidus: Get-Help tells how to go on, exit leaves.");
    while (prompt_line(&prompt, editor))
        continue;
    editor_close(editor);
    text_free(&prompt.pending);
    free(history);
    return session_exited(shell->session) ? prompt.status : 0;
}
