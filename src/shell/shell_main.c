// See shell_main.h.
#include "shell/shell_main.h"

#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmdlet/complete.h"
#include "cmdlet/help.h"
#include "shell/client.h"
#include "shell/paths.h"
#include "shell/prompt.h"
#include "shell/remote.h"
#include "shell/shell.h"

enum { EXIT_USAGE = 2 };

// Whom Ctrl-C concerns. A signal handler has no context; this is set before the handler is, and never again.
static struct shell *interrupted;

static void on_interrupt(int number)
{
    (void)number;
    session_cancel(interrupted->session);
    client_cancel(interrupted->client);
}

static void interrupt_begin(struct shell *shell)
{
    interrupted = shell;
    struct sigaction action = {.sa_handler = on_interrupt}; // no SA_RESTART: what waits is to end
    sigaction(SIGINT, &action, NULL);
}

static void interrupt_end(void)
{
    signal(SIGINT, SIG_DFL);
}

static bool is_script(const char *word)
{
    size_t length = strlen(word);
    return length > 4 && !strcasecmp(word + length - 4, ".ps1");
}

static bool option_is(const char *word, const char *name, const char *brief)
{
    return !strcasecmp(word, name) || (brief && !strcasecmp(word, brief));
}

bool shell_knows(const char *word)
{
    return option_is(word, "-Command", "-c") || option_is(word, "-File", "-f") || option_is(word, "--json", NULL) ||
           !strcmp(word, "--server") || !strcmp(word, "--token-file") || !strcmp(word, "--fingerprint") ||
           !strcmp(word, "--authority") ||
           option_is(word, "--complete", NULL) || option_is(word, "--man", NULL) || !strcmp(word, "-") ||
           is_script(word) || cmdlet_find(word) || (*word != '-' && strchr(word, '-'));
}

// `words`: for the script's parameters.
static int run_file(struct shell *shell, const char *path, int count, char **words)
{
    const struct session_config *config = session_config_of(shell->session);
    struct error error;
    char *text = config->read_file(config->context, path, &error);
    if (!text) {
        fprintf(stderr, "nidus: %s\n", error.text);
        return 1;
    }
    int status = session_run_script(shell->session, strcmp(path, "-") ? path : NULL, text, count,
                                    (const char *const *)words);
    free(text);
    return status;
}

static int run_text(struct shell *shell, int count, char **words)
{
    struct text text = {0};
    for (int i = 0; i < count; i++) {
        text_put(&text, i ? " " : "");
        text_put(&text, words[i]);
    }
    int status = session_run(shell->session, NULL, text.bytes ? text.bytes : "");
    text_free(&text);
    return status;
}

static int usage(const char *what)
{
    fprintf(stderr, "nidus: %s\n", what);
    return EXIT_USAGE;
}

// What the words behind the program's name ask for, --json already taken off.
static int run(struct shell *shell, int count, char **words)
{
    if (!count)
        return isatty(STDIN_FILENO) ? prompt_run(shell) : run_file(shell, "-", 0, NULL);
    if (option_is(words[0], "-Command", "-c") && count == 2 && !strcmp(words[1], "-"))
        return run_file(shell, "-", 0, NULL);
    if (option_is(words[0], "-Command", "-c"))
        return count > 1 ? run_text(shell, count - 1, words + 1) : usage("-Command wants a command behind it");
    if (option_is(words[0], "-File", "-f"))
        return count > 1 ? run_file(shell, words[1], count - 2, words + 2) : usage("-File wants a file behind it");
    if ((is_script(words[0]) || !strcmp(words[0], "-")) && !cmdlet_find(words[0]))
        return run_file(shell, words[0], count - 1, words + 1);
    return session_run_words(shell->session, count, (const char *const *)words);
}

static void offer_objects(void *context, const char *class, struct completions *to)
{
    struct shell *shell = context;
    struct value *names = shell_names(shell, class);
    for (size_t i = 0; i < value_count(names); i++)
        complete_offer(to, value_item(names, i)->string, NULL);
    value_unref(names);
}

static void offer_paths(void *context, const char *prefix, struct completions *to)
{
    (void)context;
    paths_offer(prefix, to);
}

// For bash and zsh: the words behind `nidus`, of which the last is to be completed; a line each, the help behind a tab.
static int complete(const struct remote_server *server, int count, char **words)
{
    struct shell shell;
    struct error error;
    if (shell_open(&shell, server, false, false, &error))
        return usage(error.text);
    const struct complete_source source = {.context = &shell, .objects = offer_objects, .paths = offer_paths};
    struct completions completions;
    if (count && option_is(words[0], "--json", NULL)) {
        count--;
        words++;
    }
    complete_words(&source, count, (const char *const *)words, &completions);
    for (size_t i = 0; i < completions.count; i++) {
        char *harmless = text_harmless(completions.items[i].text, false);
        printf("%s\t%s\n", harmless, completions.items[i].help ? completions.items[i].help : "");
        free(harmless);
    }
    complete_free(&completions);
    shell_close(&shell);
    return 0;
}

static int manual(int count, char **words)
{
    const struct cmdlet *cmdlet;
    if (!count) {
        for (unsigned i = 0; (cmdlet = cmdlet_at(i)); i++)
            if (!(cmdlet->flags & CMDLET_ABSENT))
                puts(cmdlet->name);
        return 0;
    }
    cmdlet = cmdlet_find(words[0]);
    if (!cmdlet || cmdlet->flags & CMDLET_ABSENT) {
        fprintf(stderr, "nidus: --man: there is no cmdlet '%s'; nidus --man lists them\n", words[0]);
        return EXIT_USAGE;
    }
    struct text text = {0};
    help_man(cmdlet, &text);
    fputs(text.bytes, stdout);
    text_free(&text);
    return 0;
}

// Takes what stands before the command: --json, and which service is meant, which the environment may say as well.
static bool leading_options(struct remote_server *server, bool *json, int *count, char ***words)
{
    const struct {
        const char *option, *variable;
        const char **to;
    } rows[] = {{"--server", "NIDUS_SERVER", &server->url},
                {"--token-file", "NIDUS_TOKEN_FILE", &server->token_file},
                {"--fingerprint", "NIDUS_FINGERPRINT", &server->fingerprint},
                {"--authority", "NIDUS_AUTHORITY", &server->authority}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *value = getenv(rows[i].variable);
        *rows[i].to = value && *value ? value : NULL;
    }
    while (*count) {
        size_t row = 0;
        const bool is_json = option_is((*words)[0], "--json", NULL);
        while (row < ARRAY_SIZE(rows) && strcmp((*words)[0], rows[row].option))
            row++;
        if (!is_json && row == ARRAY_SIZE(rows))
            break;
        if (!is_json && *count < 2) {
            fprintf(stderr, "nidus: %s wants a value behind it\n", rows[row].option);
            return false;
        }
        *json |= is_json;
        if (!is_json)
            *rows[row].to = (*words)[1];
        *words += 2 - is_json;
        *count -= 2 - is_json;
    }
    return true;
}

int shell_main(int argc, char **argv)
{
    setlocale(LC_CTYPE, "C.UTF-8"); // names and widths are UTF-8, whatever the user's language
    struct remote_server server;
    bool json = false;
    int count = argc - 1;
    char **words = argv + 1;
    if (!leading_options(&server, &json, &count, &words))
        return EXIT_USAGE;
    if (count && option_is(words[0], "--complete", NULL))
        return complete(&server, count - 1, words + 1);
    if (count && option_is(words[0], "--man", NULL))
        return manual(count - 1, words + 1);
    struct shell shell;
    struct error error;
    if (shell_open(&shell, &server, json, !count && !json && isatty(STDIN_FILENO), &error))
        return usage(error.text);
    interrupt_begin(&shell);
    int status = run(&shell, count, words);
    status |= session_finish(shell.session);
    interrupt_end();
    shell_close(&shell);
    return fflush(stdout) ? 1 : status;
}
