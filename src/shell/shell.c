// See shell.h. Where a session's output goes: objects to standard output, through the formatter or as JSON; all that is
// said beside them to standard error, so that `nidus Get-VM > file` holds the table and nothing else.
#include "shell/shell.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cmdlet/class.h"
#include "cmdlet/format_error.h"
#include "cmdlet/job.h"
#include "cmdlet/json.h"
#include "shell/client.h"
#include "shell/console.h"
#include "shell/remote.h"

static bool terminal_shows_colour(int descriptor)
{
    const char *none = getenv("NO_COLOR"), *kind = getenv("TERM");
    return isatty(descriptor) && !(none && *none) && kind && strcmp(kind, "dumb");
}

static unsigned terminal_width(int descriptor)
{
    struct winsize size;
    return isatty(descriptor) && !ioctl(descriptor, TIOCGWINSZ, &size) ? size.ws_col : 0;
}

void shell_progress_clear(struct shell *shell)
{
    if (shell->progress)
        fputs("\r\033[K", stderr);
    shell->progress = false;
}

// Before something goes to standard error, what was put out before it goes to standard output.
static void beside(struct shell *shell)
{
    fflush(stdout);
    shell_progress_clear(shell);
}

static void write_out(void *context, const char *text, size_t bytes)
{
    struct shell *shell = context;
    shell_progress_clear(shell);
    fwrite(text, 1, bytes, stdout);
}

static void put_beside(struct shell *shell, struct text *text)
{
    beside(shell);
    fputs(text->bytes ? text->bytes : "", stderr);
    text_free(text);
}

static void shell_emit(void *context, struct value *object)
{
    struct shell *shell = context;
    if (!shell->json) {
        format_put(shell->format, object);
    } else if (view_of(object)) { // formatting is for people: a program gets the text
        char *text = format_objects(&object, 1, &shell->style);
        value_add(shell->gathered, value_string(text));
        free(text);
    } else if (object && object->kind != VALUE_NULL) {
        value_add(shell->gathered, value_ref(object));
    }
}

static void shell_emit_end(void *context)
{
    struct shell *shell = context;
    if (!shell->json)
        format_end(shell->format);
    fflush(stdout);
}

void shell_finish(struct shell *shell)
{
    if (shell->json) {
        const struct value *all = shell->gathered;
        char *text = json_write(value_count(all) == 1 ? value_item(all, 0) : all, false, 2);
        puts(text);
        free(text);
    }
    fflush(stdout);
    shell_progress_clear(shell);
}

static void shell_error(void *context, const struct error_report *report)
{
    struct shell *shell = context;
    struct text text = {0};
    if (!shell->json)
        format_end(shell->format); // what came before the error stands before it
    format_error(report, shell->red, &text);
    put_beside(shell, &text);
}

static void shell_note(struct shell *shell, enum format_note kind, const char *words)
{
    struct text text = {0};
    format_note(kind, words, shell->red, &text);
    put_beside(shell, &text);
}

static void shell_warning(void *context, const char *words) { shell_note(context, NOTE_WARNING, words); }
static void shell_verbose(void *context, const char *words) { shell_note(context, NOTE_VERBOSE, words); }
static void shell_what_if(void *context, const char *words) { shell_note(context, NOTE_WHAT_IF, words); }

static void shell_host(void *context, const char *words)
{
    struct shell *shell = context;
    beside(shell);
    fputs(words, shell->json ? stderr : stdout);
    fflush(stdout);
}

// One line that is drawn over and over; only where somebody watches.
static void shell_progress(void *context, const char *activity, const char *status, int percent)
{
    struct shell *shell = context;
    unsigned width = terminal_width(STDERR_FILENO);
    if (!width)
        return;
    struct text text = {0};
    text_put(&text, "\r\033[K");
    format_progress(activity, status, percent, width - 1, &text);
    fflush(stdout);
    fputs(text.bytes, stderr);
    text_free(&text);
    shell->progress = true;
}

static char *shell_format(void *context, struct value *const *objects, size_t count)
{
    struct shell *shell = context;
    struct view_style style = {.width = shell->style.width};
    return format_objects(objects, count, &style);
}

static void shell_invoke(void *context, const struct request *request, const struct reply *reply)
{
    struct shell *shell = context;
    if (!shell->json && !value_name_compare(request->cmdlet->name, "Connect-VM"))
        console_invoke(shell->client, request, reply);
    else
        client_invoke(shell->client, request, reply, true);
    shell_progress_clear(shell);
}

struct beside {
    const struct remote_server *server;
    struct job *job;
};

static bool beside_stopped(void *job) { return job_stopped(job); }

static void *beside_thread(void *context)
{
    struct beside *beside = context;
    struct client *client = client_create(beside->server);
    struct reply reply;
    job_reply(beside->job, &reply);
    client_stop_when(client, beside_stopped, beside->job);
    client_invoke(client, job_request(beside->job), &reply, true);
    client_destroy(client);
    job_done(beside->job);
    free(beside);
    return NULL;
}

// Signals are for the thread that has the terminal.
static bool shell_beside(void *context, struct job *job)
{
    const struct shell *shell = context;
    struct beside *beside = malloc(sizeof *beside);
    sigset_t all, before;
    pthread_t thread;
    *beside = (struct beside){.server = shell->server, .job = job};
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const bool started = pthread_create(&thread, NULL, beside_thread, beside) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (started)
        pthread_detach(thread);
    else
        free(beside);
    return started;
}

struct gather {
    struct value *names;
    const char *display;
};

static void gather_name(void *context, struct value *object)
{
    struct gather *gather = context;
    struct value *name = value_get(object, gather->display);
    if (name && name->kind == VALUE_STRING)
        value_add(gather->names, value_ref(name));
}

static void ignore_text(void *context, const char *text) { (void)context, (void)text; }
static void ignore_error(void *context, const struct cmdlet_error *error) { (void)context, (void)error; }
static void ignore_progress(void *context, const char *activity, const char *status, int percent)
{
    (void)context, (void)activity, (void)status, (void)percent;
}

// The cmdlet that lists a class: Get-VM for VirtualMachine. One that wants a VM is asked about all.
static const struct cmdlet *lister_of(const char *class, bool *of_vms)
{
    const struct cmdlet *cmdlet;
    for (unsigned i = 0; (cmdlet = cmdlet_at(i)); i++) {
        if (!cmdlet->output || cmdlet->flags & (CMDLET_LOCAL | CMDLET_ABSENT) || strncmp(cmdlet->name, "Get-", 4) ||
            value_name_compare(cmdlet->output, class))
            continue;
        *of_vms = false;
        for (const struct parameter *p = cmdlet->parameters; p && p->name; p++)
            if (p->flags & PARAMETER_MANDATORY && !strcmp(p->name, "VMName"))
                *of_vms = true;
        return cmdlet;
    }
    return NULL;
}

struct value *shell_names(struct shell *shell, const char *class)
{
    bool of_vms;
    const struct class *row = class_find(class);
    const struct cmdlet *cmdlet = lister_of(class, &of_vms);
    if (!row || !row->display || !cmdlet)
        return NULL;
    struct gather gather = {.names = value_array(), .display = row->display};
    struct value *parameters = value_map();
    if (of_vms) {
        struct value *all = value_array();
        value_add(all, value_string("*"));
        value_put(parameters, "VMName", all);
    }
    const struct request request = {.cmdlet = cmdlet, .parameters = parameters, .directory = "/"};
    const struct reply reply = {.context = &gather, .output = gather_name, .host = ignore_text, .warning = ignore_text,
                                .verbose = ignore_text, .progress = ignore_progress, .what_if = ignore_text,
                                .error = ignore_error};
    client_invoke(shell->client, &request, &reply, false);
    value_unref(parameters);
    return gather.names;
}

void shell_resized(struct shell *shell)
{
    shell->style.width = terminal_width(STDOUT_FILENO);
    format_style(shell->format, &shell->style);
}

int shell_open(struct shell *shell, const struct remote_server *server, bool json, bool prompt, struct error *error)
{
    char directory[PATH_MAX], computer[HOST_NAME_MAX + 1] = "";
    gethostname(computer, sizeof computer - 1);
    *shell = (struct shell){.json = json, .server = server, .red = terminal_shows_colour(STDERR_FILENO)};
    if (!getcwd(directory, sizeof directory))
        return error_set(error, "cannot tell the current directory: it was removed");
    shell->style = (struct view_style){.width = terminal_width(STDOUT_FILENO), .spaced = prompt,
                                       .colour = terminal_shows_colour(STDOUT_FILENO)};
    shell->format = format_create(&shell->style, write_out, shell);
    shell->gathered = value_array();
    shell->client = client_create(server);
    struct session_config config = {
        .context = shell,
        .directory = directory,
        .computer = computer,
        .invoke = shell_invoke,
        .beside = shell_beside,
        .emit = shell_emit,
        .emit_end = shell_emit_end,
        .error = shell_error,
        .warning = shell_warning,
        .verbose = shell_verbose,
        .progress = shell_progress,
        .what_if = shell_what_if,
        .host = shell_host,
        .confirm = isatty(STDIN_FILENO) && isatty(STDERR_FILENO) ? shell_confirm : NULL,
        .format = shell_format,
    };
    shell_io_fill(&config);
    shell->session = session_create(&config);
    return 0;
}

void shell_close(struct shell *shell)
{
    shell_finish(shell);
    session_destroy(shell->session);
    format_destroy(shell->format);
    value_unref(shell->gathered);
    client_destroy(shell->client);
    *shell = (struct shell){0};
}
