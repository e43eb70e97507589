// The user's end of the command language: a session whose output goes to this process's standard output and error, and
// whose service cmdlets go to the daemon. The prompt, scripts and single commands all run in one of these.
#pragma once

#include <stdio.h>

#include "base/error.h"
#include "cmdlet/format.h"
#include "cmdlet/session.h"

struct client;
struct remote_server;

struct shell {
    struct session *session;
    struct client *client;
    const struct remote_server *server; // outlives the shell
    struct format *format;
    struct view_style style;
    struct value *gathered; // --json: what fell out so far
    bool json;
    bool red;      // standard error is a terminal that shows colours
    bool progress; // a progress line stands at the terminal
};

// 0, or -1 with the reason. `server`: whose service (remote.h). `prompt`: blank lines around tables, as PowerShell has
// them.
int shell_open(struct shell *shell, const struct remote_server *server, bool json, bool prompt, struct error *error);
void shell_close(struct shell *shell);
void shell_resized(struct shell *shell); // looks at the terminal's width again
void shell_finish(struct shell *shell);  // --json: prints what was gathered

// The service's names of a class's objects, one string each: what completion asks. NULL if no cmdlet lists them; no
// service is started for this.
struct value *shell_names(struct shell *shell, const char *class);

// shell_io.c: what the language needs of the world.
void shell_io_fill(struct session_config *config);
// shell_confirm.c: PowerShell's question.
enum session_answer shell_confirm(void *context, const char *caption, const char *question);
void shell_progress_clear(struct shell *shell);
