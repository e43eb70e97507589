// One run of the command language: its variables, its functions, and what it needs of the world, which comes in through
// function pointers. The language itself touches no file, socket, clock or terminal, so that the shell, the tests and
// the fuzzer drive the same code.
//
// A session belongs to one thread; session_cancel alone may be called from elsewhere, a signal handler included.
#pragma once

#include "base/error.h"
#include "cmdlet/request.h"

struct session;
struct job;
struct local_cmdlet;

// An error and where it happened. Everything the front end needs to print it as PowerShell does:
//
//   Set-VMProcessor : A parameter cannot be found that matches parameter name 'Foo'.
//   At line:1 char:24
//   + Set-VMProcessor -VMName x -Foo 1
//   +                           ~~~~
//       + CategoryInfo          : InvalidArgument: (:) [Set-VMProcessor], ParameterBindingException
//       + FullyQualifiedErrorId : NamedParameterNotFound,Microsoft.HyperV.PowerShell.Commands.SetVMProcessor
struct error_report {
    const char *command;     // "Set-VMProcessor", as the table spells it; NULL: not a command's error
    struct cmdlet_error error;
    const char *identity;    // what FullyQualifiedErrorId shows: the id, and the cmdlet's class behind a comma
    const char *script;      // the name session_run was given; NULL: typed at the prompt
    const char *line_text;   // the line, without its end; NULL: no place is known
    unsigned line, column;   // from 1; the column counts characters, not bytes
    unsigned length;         // characters to underline, at least 1, all on this line
};

enum session_answer { SESSION_YES, SESSION_YES_ALL, SESSION_NO, SESSION_NO_ALL, SESSION_HALT };

// All may be NULL but `invoke`, `emit` and `error`: what is not there is not done. Values and texts are borrowed.
struct session_config {
    void *context; // the first argument of each
    const char *directory; // absolute: what relative paths start from
    const char *computer;  // the host's name, which -ComputerName may say; NULL: not known

    // Carries out a cmdlet of the service and returns when it is done. Never called while another call is under way,
    // except that a cmdlet at the end of a pipeline sees its output emitted as it comes.
    void (*invoke)(void *context, const struct request *request, const struct reply *reply);

    // Carries a job out on another thread (job.h). NULL: -AsJob is refused. False: it could not be started.
    bool (*beside)(void *context, struct job *job);

    // What falls out of the end of a pipeline, in order; then once emit_end when the statement is over, so that a
    // table can be sized by its rows.
    void (*emit)(void *context, struct value *object);
    void (*emit_end)(void *context);
    void (*error)(void *context, const struct error_report *report);
    void (*warning)(void *context, const char *text);
    void (*verbose)(void *context, const char *text);
    void (*progress)(void *context, const char *activity, const char *status, int percent);
    void (*what_if)(void *context, const char *text); // without the words "What if: "
    void (*host)(void *context, const char *text);    // Write-Host: as it is, with its line end

    // A question that a cmdlet asks before it does something. NULL: nobody can be asked, the answer is no.
    enum session_answer (*confirm)(void *context, const char *caption, const char *question);
    // Objects as text, as a terminal would show them; the caller frees. NULL: one line an object.
    char *(*format)(void *context, struct value *const *objects, size_t count);

    int (*write_file)(void *context, const char *path, const char *text, bool append, struct error *error);
    char *(*read_file)(void *context, const char *path, struct error *error); // the caller frees
    bool (*test_path)(void *context, const char *path);
    const char *(*environment)(void *context, const char *name); // NULL: not set
    s64 (*now)(void *context);                                   // ticks since 1970, as VALUE_DATETIME
    void (*sleep)(void *context, s64 ticks); // returns early when the session was cancelled

    // Cmdlets that run in the shell besides the language's own (local.h); ends with a NULL name.
    const struct local_cmdlet *locals;
    u64 steps; // a run ends with an error after so many steps of evaluation; 0: never
};

struct session *session_create(const struct session_config *config); // copied; its strings, too
void session_destroy(struct session *session);                       // NULL is allowed

// Runs a script. `name` is what errors call it, NULL at a prompt. 0, or 1 if an error was reported; what `exit` says.
int session_run(struct session *session, const char *name, const char *text);
// The same with the words behind the script's name, for its param( ) and $args.
int session_run_script(struct session *session, const char *name, const char *text, int count,
                       const char *const *words);
bool session_exited(const struct session *session); // whether the last run said `exit`
// `nidus CMDLET ARGS...`: words that a shell has split already. A leading dash names a parameter; literals ($true, 4GB)
// and lists (a,b) are read; nothing else in a word means anything. 0, or 1 if an error was reported.
int session_run_words(struct session *session, int count, const char *const *words);

// Waits for the jobs that run, reports what went wrong in those that nobody received, and forgets them: before a front
// end ends. Ctrl-C ends the waiting, not the jobs. 0, or 1 if an error was reported.
int session_finish(struct session *session);

// Whether `text` ends in the middle of something, so that a prompt should read on.
bool session_incomplete(const char *text);

// Ends the run that is under way, as Ctrl-C does. From any thread and from signal handlers.
void session_cancel(struct session *session);

// Variables, by name without the dollar sign. Get borrows, NULL if there is none; set takes the reference over.
struct value *session_variable(const struct session *session, const char *name);
void session_variable_set(struct session *session, const char *name, struct value *value);

const struct session_config *session_config_of(const struct session *session);
