// Every example of every cmdlet's help is run, with a service that does nothing: it must parse, and its parameters must
// bind. And the cmdlets that make text and help are run as a user types them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "cmdlet/format.h"
#include "cmdlet/format_error.h"
#include "cmdlet/job.h"
#include "cmdlet/session.h"

struct world {
    struct text out, errors;
    struct format *format;
    const struct cmdlet *invoked; // the last one
};

static void write_out(void *context, const char *text, size_t bytes)
{
    struct world *world = context;
    text_put_bytes(&world->out, text, bytes);
}

static void emit(void *context, struct value *object)
{
    struct world *world = context;
    format_put(world->format, object);
}

static void emit_end(void *context)
{
    struct world *world = context;
    format_end(world->format);
}

static void error(void *context, const struct error_report *report)
{
    struct world *world = context;
    format_error(report, false, &world->errors);
}

static void text_ignored(void *context, const char *text) { (void)context, (void)text; }

// Gets give one object of their class, so that pipelines have something to carry.
static void invoke(void *context, const struct request *request, const struct reply *reply)
{
    struct world *world = context;
    world->invoked = request->cmdlet;
    if (strncmp(request->cmdlet->name, "Get-", 4) || !request->cmdlet->output)
        return;
    struct value *object = value_object(request->cmdlet->output);
    static const char *const texts[] = {"Name", "VMName", "Id", "VMId", "InterfaceAlias", "Path", "State"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        value_put(object, texts[i], value_string("lab"));
    value_put(object, "Count", value_int(2));
    value_put(object, "ExposeVirtualizationExtensions", value_bool(true));
    reply->output(reply->context, object);
    value_unref(object);
}

static bool beside(void *context, struct job *job)
{
    struct reply reply;
    job_reply(job, &reply);
    invoke(context, job_request(job), &reply);
    job_done(job);
    return true;
}

static int write_file(void *context, const char *path, const char *text, bool append, struct error *failed)
{
    (void)context, (void)path, (void)text, (void)append, (void)failed;
    return 0;
}

static char *read_file(void *context, const char *path, struct error *failed)
{
    (void)context, (void)path, (void)failed;
    return value_text_copy("{\"a\": 1}\n");
}

static enum session_answer confirm(void *context, const char *caption, const char *question)
{
    (void)context, (void)caption, (void)question;
    return SESSION_YES;
}

static bool test_path(void *context, const char *path) { return context && path; }
static const char *environment(void *context, const char *name) { return context && name ? "/x" : NULL; }
static s64 now(void *context) { return context ? 1000 : 0; }
static void no_sleep(void *context, s64 ticks) { (void)context, (void)ticks; }

static struct session *open_session(struct world *world)
{
    *world = (struct world){0};
    world->format = format_create(&(struct view_style){0}, write_out, world);
    const struct session_config config = {
        .context = world, .directory = "/", .invoke = invoke, .beside = beside, .emit = emit, .emit_end = emit_end,
        .error = error,
        .warning = text_ignored, .verbose = text_ignored, .what_if = text_ignored, .host = text_ignored,
        .confirm = confirm, .write_file = write_file, .read_file = read_file, .test_path = test_path,
        .environment = environment, .now = now, .sleep = no_sleep, .steps = 100000,
    };
    return session_create(&config);
}

static void close_session(struct world *world, struct session *session)
{
    session_destroy(session);
    format_destroy(world->format);
    text_free(&world->out);
    text_free(&world->errors);
}

static void every_example_binds(void **state)
{
    (void)state;
    const struct cmdlet *cmdlet;
    for (unsigned i = 0; (cmdlet = cmdlet_at(i)); i++)
        for (unsigned e = 0; e < CMDLET_EXAMPLES && cmdlet->examples[e].command; e++) {
            struct world world;
            struct session *session = open_session(&world);
            session_run(session, NULL, cmdlet->examples[e].command);
            if (world.errors.length)
                fail_msg("%s\n%s", cmdlet->examples[e].command, world.errors.bytes);
            assert_int_equal(cmdlet->examples[e].says[strlen(cmdlet->examples[e].says) - 1], '.');
            close_session(&world, session);
        }
}

static void prints(const char *script, const char *expected)
{
    struct world world;
    struct session *session = open_session(&world);
    session_run(session, NULL, script);
    assert_string_equal(world.errors.bytes ? world.errors.bytes : "", "");
    assert_string_equal(world.out.bytes ? world.out.bytes : "", expected);
    close_session(&world, session);
}

static void fails(const char *script, const char *part)
{
    struct world world;
    struct session *session = open_session(&world);
    session_run(session, NULL, script);
    if (!world.errors.bytes || !strstr(world.errors.bytes, part))
        fail_msg("%s: '%s' is not in: %s", script, part, world.errors.bytes ? world.errors.bytes : "(nothing)");
    close_session(&world, session);
}

static void formatting_as_typed(void **state)
{
    (void)state;
    prints("Get-VMProcessor lab | Format-Table vmname, Cou*, @{Name='Twice'; Expression={$_.Count * 2}}",
           "VMName Count Twice\n------ ----- -----\nlab        2     4\n");
    prints("Get-VMProcessor lab | ft VMName -HideTableHeaders", "lab\n");
    prints("Get-VMProcessor lab | fl Count, ExposeV*", "Count                          : 2\n"
                                                       "ExposeVirtualizationExtensions : True\n");
    prints("1..3 | Select-Object @{n='N'; e={$_}}, @{n='Odd'; e={$_ % 2}} | Sort-Object Odd | "
           "Format-Table N -GroupBy Odd",
           "   Odd: 0\n\nN\n-\n2\n\n   Odd: 1\n\nN\n-\n1\n3\n");
    prints("'text' | Format-Table", "text\n");
    prints("Get-VMProcessor lab | Format-Wide", "lab\n");
    prints("Get-VMProcessor lab | Format-Table @{l='x'; e='Count'; width=5; align='left'} | Out-Default", "x\n-\n2\n");
    prints("(Get-VMProcessor lab | Format-Table VMName | Out-String).Length -gt 5", "True\n");
    fails("Get-VMProcessor lab | Format-Table @{Nonsense=1}", "The key 'Nonsense' is not valid");
    fails("Get-VMProcessor lab | Format-Table @{Name='x'}", "'Expression' is missing");
}

static void help_as_typed(void **state)
{
    (void)state;
    prints("Get-Help Set-VMMemory -Parameter Buff* | Select-Object -First 1 | ForEach-Object { $_.Length -gt 20 }",
           "True\n");
    prints("Get-Command Format-W* | Select-Object -ExpandProperty Name", "Format-Wide\n");
    prints("(Get-Command -Verb Format -Noun L*).Name", "Format-List\n");
    prints("gcm ft | fl Name, Aliases", "Name    : Format-Table\nAliases : {ft}\n");
    prints("Get-Command Get-VMMemory -Syntax", "Get-VMMemory [-VMName] <String[]> [<CommonParameters>]\n\n"
                                               "Get-VMMemory [-VM] <VirtualMachine[]> [<CommonParameters>]\n");
    fails("Get-Help Nothing-LikeThis", "HelpNotFound");
    fails("Get-Command Start-VMFailover", "that nidus does not have");
    fails("Get-Help Set-VMMemory -Parameter Nope", "has no parameter of this name");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_example_binds),
        cmocka_unit_test(formatting_as_typed),
        cmocka_unit_test(help_as_typed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
