// PowerShell's question before something is done:
//
//   Confirm
//   Are you sure you want to remove virtual machine "lab"?
//   [Y] Yes  [A] Yes to All  [N] No  [L] No to All  [S] Stop  [?] Help (default is "Y"):
#include <stdlib.h>
#include <string.h>

#include "shell/shell.h"

static const char help[] = "Y - Continue with only the next step of the operation.\n"
                           "A - Continue with all the steps of the operation.\n"
                           "N - Skip this operation and proceed with the next operation.\n"
                           "L - Skip this operation and all subsequent operations.\n"
                           "S - End the command.\n";

struct choice {
    char key;
    const char *word;
    enum session_answer answer;
};

static const struct choice choices[] = {
    {'y', "yes", SESSION_YES}, {'a', "yes to all", SESSION_YES_ALL}, {'n', "no", SESSION_NO},
    {'l', "no to all", SESSION_NO_ALL}, {'s', "stop", SESSION_HALT},
};

static const struct choice *choice_of(const char *line)
{
    if (!*line)
        return &choices[0];
    for (size_t i = 0; i < ARRAY_SIZE(choices); i++)
        if ((!line[1] && (line[0] | 0x20) == choices[i].key) || !strcasecmp(line, choices[i].word))
            return &choices[i];
    return NULL;
}

enum session_answer shell_confirm(void *context, const char *caption, const char *question)
{
    struct shell *shell = context;
    fflush(stdout);
    shell_progress_clear(shell);
    fprintf(stderr, "\nConfirm\n%s\n%s\n", caption, question);
    enum session_answer answer = SESSION_HALT; // the end of input, or Ctrl-C
    char *line = NULL;
    size_t room = 0;
    for (;;) {
        fputs("[Y] Yes  [A] Yes to All  [N] No  [L] No to All  [S] Stop  [?] Help (default is \"Y\"): ", stderr);
        ssize_t length = getline(&line, &room, stdin);
        if (length < 0) {
            fputs("\n", stderr);
            clearerr(stdin);
            break;
        }
        line[strcspn(line, "\r\n")] = 0;
        const struct choice *choice = choice_of(line);
        if (choice) {
            answer = choice->answer;
            break;
        }
        if (!strcmp(line, "?"))
            fputs(help, stderr);
    }
    free(line);
    return answer;
}
