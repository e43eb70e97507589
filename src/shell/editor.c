// See editor.h.
#include "shell/editor.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cmdlet/format_text.h"
#include "cmdlet/value.h"

enum { EDITOR_HISTORY = 2000, EDITOR_OFFERS = 200 };

// What is used of libedit, under its own names.
struct library {
    void *handle;
    typeof(el_init) *init;
    typeof(el_end) *end;
    typeof(el_gets) *gets;
    typeof(el_set) *set;
    typeof(el_line) *line;
    typeof(el_insertstr) *insert;
    typeof(el_deletestr) *erase;
    typeof(history_init) *history_init;
    typeof(history_end) *history_end;
    typeof(history) *history;
};

struct editor {
    struct library library;
    struct editor_config config;
    EditLine *edit; // NULL: no libedit here
    History *history;
    const char *prompt;
    char *line;
    size_t room;
    bool cancelled;
};

static bool library_load(struct library *library)
{
    library->handle = dlopen("libedit.so.2", RTLD_NOW | RTLD_GLOBAL);
    if (!library->handle)
        return false;
    const struct {
        const char *name;
        void *function; // a pointer to the member
    } wanted[] = {
        {"el_init", &library->init}, {"el_end", &library->end}, {"el_gets", &library->gets}, {"el_set", &library->set},
        {"el_line", &library->line}, {"el_insertstr", &library->insert}, {"el_deletestr", &library->erase},
        {"history_init", &library->history_init}, {"history_end", &library->history_end},
        {"history", &library->history},
    };
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
        void *found = dlsym(library->handle, wanted[i].name);
        if (!found) {
            dlclose(library->handle);
            return false;
        }
        memcpy(wanted[i].function, &found, sizeof found); // POSIX: a function's address fits a void *
    }
    return true;
}

// libedit's callbacks get its own object only; ours hangs on it.
static struct editor *editor_of(EditLine *edit)
{
    typeof(el_get) *get;
    void *found = dlsym(RTLD_DEFAULT, "el_get"), *client = NULL;
    memcpy(&get, &found, sizeof get);
    get(edit, EL_CLIENTDATA, &client);
    return client;
}

static char *show_prompt(EditLine *edit) { return (char *)(uintptr_t)editor_of(edit)->prompt; }

static unsigned char on_cancel(EditLine *edit, int key)
{
    (void)key;
    editor_of(edit)->cancelled = true;
    fputs("^C", stdout);
    fflush(stdout);
    return CC_NEWLINE;
}

// How many bytes all items have in common at their beginning, letter case apart; whole characters only.
static size_t common_length(const struct completions *completions)
{
    const char *first = completions->items[0].text;
    size_t common = strlen(first);
    for (size_t i = 1; i < completions->count; i++) {
        size_t same = 0;
        while (same < common && completions->items[i].text[same] &&
               !strncasecmp(first + same, completions->items[i].text + same, 1))
            same++;
        common = same;
    }
    while (common && ((u8)first[common] & 0xc0) == 0x80)
        common--;
    return common;
}

static int characters(const char *text, size_t bytes)
{
    int count = 0;
    for (size_t i = 0; i < bytes; i++)
        count += ((u8)text[i] & 0xc0) != 0x80;
    return count;
}

static void list_offers(const struct completions *completions)
{
    struct winsize size;
    unsigned width = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_col ? 80 : size.ws_col, widest = 1;
    size_t shown = completions->count < EDITOR_OFFERS ? completions->count : EDITOR_OFFERS;
    for (size_t i = 0; i < shown; i++) {
        unsigned columns = text_columns(completions->items[i].text);
        widest = columns > widest ? columns : widest;
    }
    unsigned across = width / (widest + 2) ? width / (widest + 2) : 1;
    size_t lines = (shown + across - 1) / across;
    struct text text = {0};
    for (size_t line = 0; line < lines; line++) {
        text_put(&text, "\n");
        for (size_t i = line; i < shown; i += lines) {
            char *harmless = text_harmless(completions->items[i].text, false);
            text_put_cell(&text, harmless, widest < width ? widest : width - 1, false);
            text_put(&text, i + lines < shown ? "  " : "");
            free(harmless);
        }
    }
    if (shown < completions->count)
        text_printf(&text, "\n... and %zu more", completions->count - shown);
    text_put(&text, "\n");
    fputs(text.bytes, stdout);
    fflush(stdout);
    text_free(&text);
}

static void replace(struct editor *editor, const char *word, size_t bytes, const char *with, size_t with_bytes,
                    bool done)
{
    char *text = value_text("%.*s%s", (int)with_bytes, with, done ? " " : "");
    editor->library.erase(editor->edit, characters(word, bytes));
    editor->library.insert(editor->edit, text);
    free(text);
}

static unsigned char complete_with(struct editor *editor, const char *line, size_t cursor,
                                   struct completions *completions)
{
    const char *word = line + completions->start;
    size_t typed = cursor - completions->start;
    if (!completions->count)
        return CC_ERROR;
    const char *first = completions->items[0].text;
    size_t common = common_length(completions);
    if (completions->count == 1) {
        bool folder = completions->path && common && first[common - 1] == '/';
        replace(editor, word, typed, first, common, !folder);
        return CC_REFRESH;
    }
    if (common > typed) {
        replace(editor, word, typed, first, common, false);
        return CC_REFRESH;
    }
    list_offers(completions);
    return CC_REDISPLAY;
}

static unsigned char on_tab(EditLine *edit, int key)
{
    (void)key;
    struct editor *editor = editor_of(edit);
    const LineInfo *info = editor->library.line(edit);
    size_t cursor = (size_t)(info->cursor - info->buffer);
    char *line = value_text("%.*s", (int)cursor, info->buffer);
    struct completions completions = {0};
    editor->config.complete(editor->config.context, line, cursor, &completions);
    unsigned char result = completions.start <= cursor ? complete_with(editor, line, cursor, &completions) : CC_ERROR;
    complete_free(&completions);
    free(line);
    return result;
}

static void history_start(struct editor *editor)
{
    const struct library *library = &editor->library;
    HistEvent event;
    editor->history = library->history_init();
    if (!editor->history)
        return;
    library->history(editor->history, &event, H_SETSIZE, EDITOR_HISTORY);
    library->history(editor->history, &event, H_SETUNIQUE, 1);
    if (editor->config.history) {
        // Made by us, so that nobody else reads what may hold secrets.
        int fd = open(editor->config.history, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (fd >= 0)
            close(fd);
        library->history(editor->history, &event, H_LOAD, editor->config.history);
    }
    library->set(editor->edit, EL_HIST, library->history, editor->history);
}

struct editor *editor_open(const struct editor_config *config)
{
    struct editor *editor = value_allocate(sizeof *editor);
    editor->config = *config;
    if (config->history)
        editor->config.history = value_text_copy(config->history);
    if (!library_load(&editor->library))
        return editor;
    const struct library *library = &editor->library;
    editor->edit = library->init("nidus", stdin, stdout, stderr);
    if (!editor->edit)
        return editor;
    library->set(editor->edit, EL_CLIENTDATA, editor);
    library->set(editor->edit, EL_PROMPT, show_prompt);
    library->set(editor->edit, EL_EDITOR, "emacs");
    library->set(editor->edit, EL_ADDFN, "nidus-complete", "Completes a word", on_tab);
    library->set(editor->edit, EL_ADDFN, "nidus-cancel", "Drops the line", on_cancel);
    library->set(editor->edit, EL_BIND, "^I", "nidus-complete", NULL);
    library->set(editor->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
    // While a line is edited Ctrl-C is a key; while a command runs it is the signal.
    library->set(editor->edit, EL_SETTY, "-d", "-isig", NULL);
    library->set(editor->edit, EL_BIND, "^C", "nidus-cancel", NULL);
    history_start(editor);
    return editor;
}

void editor_close(struct editor *editor)
{
    if (editor->history)
        editor->library.history_end(editor->history);
    if (editor->edit)
        editor->library.end(editor->edit);
    if (editor->library.handle)
        dlclose(editor->library.handle);
    free((char *)(uintptr_t)editor->config.history);
    free(editor->line);
    free(editor);
}

static const char *read_plain(struct editor *editor, const char *prompt)
{
    fputs(prompt, stdout);
    fflush(stdout);
    ssize_t length = getline(&editor->line, &editor->room, stdin);
    if (length < 0 && errno == EINTR) {
        clearerr(stdin);
        editor->cancelled = true;
        return "";
    }
    if (length < 0)
        return NULL;
    editor->line[strcspn(editor->line, "\n")] = 0;
    return editor->line;
}

const char *editor_read(struct editor *editor, const char *prompt, bool *cancelled)
{
    editor->cancelled = false;
    const char *line;
    if (editor->edit) {
        int count = 0;
        editor->prompt = prompt;
        editor->library.set(editor->edit, EL_PREP_TERM, 1); // before the prompt shows: keys typed at once are keys
        const char *got = editor->library.gets(editor->edit, &count);
        if (got) {
            free(editor->line);
            editor->line = value_text("%.*s", (int)strcspn(got, "\r\n"), got);
        }
        line = got && count > 0 ? editor->line : editor->cancelled ? "" : NULL;
    } else {
        line = read_plain(editor, prompt);
    }
    *cancelled = editor->cancelled;
    return line;
}

void editor_remember(struct editor *editor, const char *line)
{
    HistEvent event;
    if (!editor->history || !*line)
        return;
    editor->library.history(editor->history, &event, H_ENTER, line);
    if (editor->config.history)
        editor->library.history(editor->history, &event, H_SAVE, editor->config.history);
}
