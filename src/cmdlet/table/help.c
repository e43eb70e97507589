// Help: Get-Help and Get-Command. What they say comes from the table itself; how, is in src/cmdlet/local/help.c.
#include "cmdlet/table/table.h"

static const struct parameter help_parameters[] = {
    {.name = "Name", .type = PARAMETER_STRING, .position = 1, .flags = PARAMETER_WILDCARD, .object = "CmdletInfo",
     .help = "A cmdlet or an alias; with wildcards, or where no cmdlet has this name, those whose names have it in "
             "them."},
    {.name = "Detailed", .type = PARAMETER_SWITCH, .sets = PARAMETER_SET_1, .help = "Parameters and examples, too."},
    {.name = "Full", .type = PARAMETER_SWITCH, .sets = PARAMETER_SET_2, .help = "All that is known."},
    {.name = "Examples", .type = PARAMETER_SWITCH, .sets = PARAMETER_SET_3, .help = "Only the examples."},
    {.name = "Parameter", .type = PARAMETER_STRING, .sets = PARAMETER_SET_4,
     .flags = PARAMETER_MANDATORY | PARAMETER_LIST | PARAMETER_WILDCARD,
     .help = "Only these parameters, with all that is known."},
    {0},
};

static const struct parameter command_parameters[] = {
    {.name = "Name", .type = PARAMETER_STRING, .position = 1, .object = "CmdletInfo",
     .flags = PARAMETER_LIST | PARAMETER_WILDCARD | PARAMETER_PIPED | PARAMETER_NAMED,
     .help = "Names of cmdlets or aliases."},
    {.name = "Module", .type = PARAMETER_STRING, .flags = PARAMETER_LIST | PARAMETER_WILDCARD,
     .help = "Only cmdlets of these modules."},
    {.name = "Noun", .type = PARAMETER_STRING, .flags = PARAMETER_LIST | PARAMETER_WILDCARD,
     .help = "Only cmdlets with these words behind the dash."},
    {.name = "Verb", .type = PARAMETER_STRING, .flags = PARAMETER_LIST | PARAMETER_WILDCARD,
     .help = "Only cmdlets with these words before the dash."},
    {.name = "Syntax", .type = PARAMETER_SWITCH, .help = "Shows what they take instead."},
    {0},
};

static const struct cmdlet cmdlets[] = {
    {
        .name = "Get-Help",
        .aliases = "help man",
        .module = "Microsoft.PowerShell.Core",
        .flags = CMDLET_LOCAL,
        .synopsis = "Tells what a cmdlet does, what it takes, and how it is used.",
        .parameters = help_parameters,
        .sets = {"DetailedView", "AllUsersView", "Examples", "Parameters"},
        .examples = {{"Get-Help Set-VMProcessor -Examples", "Shows how Set-VMProcessor is used."},
                     {"Get-Help Set-VMProcessor -Parameter Expose*", "Tells of one parameter."},
                     {"Get-Help *NetNat*", "Lists the cmdlets that have to do with NAT."}},
    },
    {
        .name = "Get-Command",
        .aliases = "gcm",
        .module = "Microsoft.PowerShell.Core",
        .flags = CMDLET_LOCAL,
        .synopsis = "Lists cmdlets.",
        .parameters = command_parameters,
        .output = "CmdletInfo",
        .examples = {{"Get-Command -Noun VMNetworkAdapter*", "Lists what can be done with network adapters."},
                     {"Get-Command Set-VM* -Module Hyper-V", "Lists what can be set."},
                     {"Get-Command Set-VMMemory -Syntax", "Shows what Set-VMMemory takes."}},
    },
    {0},
};

static const struct property properties[] = {
    {"CommandType", PROPERTY_STRING, NULL, "Cmdlet"},
    {"Name", PROPERTY_STRING, NULL, "verb and noun"},
    {"Version", PROPERTY_STRING, NULL, "nidus's own"},
    {"Source", PROPERTY_STRING, NULL, "the module it is known from"},
    {"Verb", PROPERTY_STRING, NULL, "what is done"},
    {"Noun", PROPERTY_STRING, NULL, "to what"},
    {"Aliases", PROPERTY_STRINGS, NULL, "other names"},
    {"Synopsis", PROPERTY_STRING, NULL, "what it does, in a sentence"},
    {0},
};

static const struct class classes[] = {
    {
        .name = "CmdletInfo",
        .full_name = "System.Management.Automation.CmdletInfo",
        .key = "Name",
        .display = "Name",
        .properties = properties,
        .columns = {{"CommandType", NULL, 0, false}, {"Name", NULL, 0, false}, {"Version", NULL, 0, false},
                    {"Source", NULL, 0, false}},
    },
    {0},
};

const struct noun table_help = {cmdlets, classes};
