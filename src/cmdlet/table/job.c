// What goes on in the background: the jobs that -AsJob starts.
#include "cmdlet/table/table.h"

#define JOB_SELECTORS                                                                                                 \
    {.name = "Job", .type = PARAMETER_OBJECT, .sets = PARAMETER_SET_1, .position = 1, .object = "Job",                \
     .flags = PARAMETER_MANDATORY | PARAMETER_LIST | PARAMETER_PIPED, \
     .help = "The jobs, as -AsJob or Get-Job gives them."}, \
    {.name = "Id", .type = PARAMETER_INT, .sets = PARAMETER_SET_2, .position = 1, .least = 1, .most = INT32_MAX,      \
     .flags = PARAMETER_MANDATORY | PARAMETER_LIST, .help = "Their numbers."},                                        \
    {.name = "Name", .type = PARAMETER_STRING, .sets = PARAMETER_SET_3,                                               \
     .flags = PARAMETER_MANDATORY | PARAMETER_LIST | PARAMETER_WILDCARD, .help = "Their names."}

static const struct parameter get_parameters[] = {
    {.name = "Id", .type = PARAMETER_INT, .sets = PARAMETER_SET_1, .position = 1, .least = 1, .most = INT32_MAX,
     .flags = PARAMETER_LIST, .help = "Their numbers."},
    {.name = "Name", .type = PARAMETER_STRING, .sets = PARAMETER_SET_2,
     .flags = PARAMETER_MANDATORY | PARAMETER_LIST | PARAMETER_WILDCARD, .help = "Their names."},
    {0},
};

static const struct parameter wait_parameters[] = {
    JOB_SELECTORS,
    {.name = "Timeout", .type = PARAMETER_INT, .least = 0, .most = 1 << 20,
     .help = "Seconds after which it waits no longer."},
    {0},
};

static const struct parameter receive_parameters[] = {
    JOB_SELECTORS,
    {.name = "Keep", .type = PARAMETER_SWITCH, .help = "What is received can be received again."},
    {.name = "Wait", .type = PARAMETER_SWITCH, .help = "Waits for the job's end first."},
    {.name = "AutoRemoveJob", .type = PARAMETER_SWITCH, .help = "Removes the job once it has ended."},
    {0},
};

static const struct parameter stop_parameters[] = {
    JOB_SELECTORS,
    {.name = "PassThru", .type = PARAMETER_SWITCH, .help = "Puts out the jobs."},
    {0},
};

static const struct parameter remove_parameters[] = {
    JOB_SELECTORS,
    {.name = "Force", .type = PARAMETER_SWITCH, .help = "Removes a job that still runs; what it does goes on."},
    {0},
};

#define CORE .module = "Microsoft.PowerShell.Core", .flags = CMDLET_LOCAL

static const struct cmdlet cmdlets[] = {
    {.name = "Get-Job", .aliases = "gjb", CORE, .parameters = get_parameters, .sets = {"Id", "Name"}, .output = "Job",
     .synopsis = "Shows what goes on in the background.",
     .description = "A cmdlet with -AsJob puts out a job at once and goes on. Jobs are their shell's; when it ends, it "
                    "waits for those that run, and tells what went wrong in them.",
     .examples = {{"Get-Job", "Shows all jobs of this shell."}}},
    {.name = "Wait-Job", .aliases = "wjb", CORE, .parameters = wait_parameters, .sets = {"Job", "Id", "Name"},
     .output = "Job", .synopsis = "Waits until jobs have ended.",
     .examples = {{"Start-VM lab -AsJob | Wait-Job -Timeout 60", "Waits a minute at most for lab to start."}}},
    {.name = "Receive-Job", .aliases = "rcjb", CORE, .parameters = receive_parameters, .sets = {"Job", "Id", "Name"},
     .synopsis = "Gets what jobs have put out, errors included.",
     .examples = {{"Start-VM lab -AsJob -Passthru | Receive-Job -Wait -AutoRemoveJob",
                   "Is the same as Start-VM lab -Passthru."}}},
    {.name = "Stop-Job", .aliases = "spjb", CORE, .parameters = stop_parameters, .sets = {"Job", "Id", "Name"},
     .output = "Job", .synopsis = "Stops jobs.",
     .description = "The service gives up what only waits, such as Stop-VM for a guest's shutdown. What it has begun "
                    "it ends, and nobody hears of it.",
     .examples = {{"Get-Job | Stop-Job -PassThru", "Stops all, and shows them."}}},
    {.name = "Remove-Job", .aliases = "rjb", CORE, .parameters = remove_parameters, .sets = {"Job", "Id", "Name"},
     .synopsis = "Forgets jobs.", .examples = {{"Get-Job | Remove-Job", "Forgets all that have ended."}}},
    {0},
};

static const struct property job_properties[] = {
    {"Id", PROPERTY_INT, NULL, "its number"},
    {"Name", PROPERTY_STRING, NULL, "its name"},
    {"PSJobTypeName", PROPERTY_STRING, NULL, "VMJob"},
    {"State", PROPERTY_STRING, NULL, "Running, Completed, Failed or Stopped"},
    {"HasMoreData", PROPERTY_BOOL, NULL, "whether there is something to receive"},
    {"Location", PROPERTY_STRING, NULL, "where it is carried out"},
    {"Command", PROPERTY_STRING, NULL, "the cmdlet"},
    {0},
};

static const struct class classes[] = {
    {.name = "Job", .full_name = "System.Management.Automation.Job", .key = "Id", .display = "Name",
     .properties = job_properties,
     .columns = {{"Id", NULL, 0, false}, {"Name", NULL, 0, false}, {"PSJobTypeName", NULL, 0, false},
                 {"State", NULL, 0, false}, {"HasMoreData", NULL, 0, false}, {"Location", NULL, 0, false},
                 {"Command", NULL, 0, false}}},
    {0},
};

const struct noun table_job = {cmdlets, classes};
