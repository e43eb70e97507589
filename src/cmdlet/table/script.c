// What scripts need around the cmdlets they are for: modules, strictness, paths, spans of time, objects of their own.
// They run in the shell; what they do is in src/cmdlet/local/script.c.
#include "cmdlet/table/table.h"

#define UTILITY .module = "Microsoft.PowerShell.Utility", .flags = CMDLET_LOCAL
#define MANAGEMENT .module = "Microsoft.PowerShell.Management", .flags = CMDLET_LOCAL
#define CORE .module = "Microsoft.PowerShell.Core", .flags = CMDLET_LOCAL

static const struct parameter module_parameters[] = {
    {.name = "Name", .type = PARAMETER_STRING, .flags = PARAMETER_MANDATORY | PARAMETER_LIST | PARAMETER_PIPED,
     .position = 1, .help = "The modules: Hyper-V, NetNat, ..."},
    {.name = "Force", .type = PARAMETER_SWITCH, .help = "As it is without."},
    {0},
};

static const struct parameter get_module_parameters[] = {
    {.name = "Name", .type = PARAMETER_STRING, .flags = PARAMETER_LIST | PARAMETER_PIPED | PARAMETER_WILDCARD,
     .position = 1, .help = "The modules; all without it."},
    {.name = "ListAvailable", .type = PARAMETER_SWITCH, .help = "As it is without: all that there are are loaded."},
    {.name = "All", .type = PARAMETER_SWITCH, .help = "As it is without."},
    {0},
};

static const struct parameter strict_parameters[] = {
    {.name = "Version", .type = PARAMETER_STRING, .flags = PARAMETER_MANDATORY, .sets = PARAMETER_SET_1,
     .help = "1.0: a variable that was never set is an error; 2.0, 3.0 and Latest: a property that is not there, too."},
    {.name = "Off", .type = PARAMETER_SWITCH, .flags = PARAMETER_MANDATORY, .sets = PARAMETER_SET_2,
     .help = "Neither is."},
    {0},
};

static const struct parameter alias_parameters[] = {
    {.name = "Name", .type = PARAMETER_STRING, .flags = PARAMETER_LIST | PARAMETER_PIPED | PARAMETER_WILDCARD,
     .position = 1, .help = "The aliases; all without it."},
    {.name = "Definition", .type = PARAMETER_STRING, .flags = PARAMETER_LIST | PARAMETER_WILDCARD,
     .help = "Only those of these cmdlets."},
    {0},
};

#define SPAN(unit, says)                                                                                              \
    {.name = unit, .type = PARAMETER_INT, .least = -(1ll << 31), .most = 1ll << 31, .sets = PARAMETER_SET_2,           \
     .help = says}

static const struct parameter span_parameters[] = {
    {.name = "Start", .aliases = "LastWriteTime", .type = PARAMETER_ANY, .flags = PARAMETER_PIPED | PARAMETER_NAMED,
     .sets = PARAMETER_SET_1, .position = 1, .help = "The date it begins at; now without it."},
    {.name = "End", .type = PARAMETER_ANY, .flags = PARAMETER_NAMED, .sets = PARAMETER_SET_1, .position = 2,
     .help = "The date it ends at; now without it."},
    SPAN("Days", "So many days."), SPAN("Hours", "So many hours."), SPAN("Minutes", "So many minutes."),
    SPAN("Seconds", "So many seconds."), SPAN("Milliseconds", "So many thousandths of a second."),
    {0},
};

static const struct parameter join_parameters[] = {
    {.name = "Path", .type = PARAMETER_STRING, .flags = PARAMETER_MANDATORY | PARAMETER_LIST | PARAMETER_PIPED,
     .position = 1, .help = "What comes first."},
    {.name = "ChildPath", .type = PARAMETER_STRING, .flags = PARAMETER_MANDATORY, .position = 2,
     .help = "What comes behind it."},
    {.name = "AdditionalChildPath", .type = PARAMETER_STRING, .flags = PARAMETER_LIST | PARAMETER_REST,
     .help = "What comes behind that."},
    {0},
};

static const struct parameter split_parameters[] = {
    {.name = "Path", .aliases = "LiteralPath", .type = PARAMETER_STRING,
     .flags = PARAMETER_MANDATORY | PARAMETER_LIST | PARAMETER_PIPED, .position = 1, .help = "The paths."},
    {.name = "Parent", .type = PARAMETER_SWITCH, .sets = PARAMETER_SET_1, .help = "All but the last name, as without."},
    {.name = "Leaf", .type = PARAMETER_SWITCH, .flags = PARAMETER_MANDATORY, .sets = PARAMETER_SET_2,
     .help = "The last name."},
    {.name = "LeafBase", .type = PARAMETER_SWITCH, .flags = PARAMETER_MANDATORY, .sets = PARAMETER_SET_3,
     .help = "The last name without its ending."},
    {.name = "Extension", .type = PARAMETER_SWITCH, .flags = PARAMETER_MANDATORY, .sets = PARAMETER_SET_4,
     .help = "Its ending, with the dot."},
    {.name = "IsAbsolute", .type = PARAMETER_SWITCH, .flags = PARAMETER_MANDATORY, .sets = PARAMETER_SET_5,
     .help = "Whether it begins at the root."},
    {0},
};

static const struct parameter object_parameters[] = {
    {.name = "TypeName", .type = PARAMETER_STRING, .flags = PARAMETER_MANDATORY, .position = 1,
     .help = "PSObject; there are no others."},
    {.name = "Property", .type = PARAMETER_MAP, .help = "What it has: @{Name='lab'; GiB=2}."},
    {0},
};

static const struct parameter no_parameters[] = {{0}};

static const struct parameter progress_parameters[] = {
    {.name = "Activity", .type = PARAMETER_STRING, .flags = PARAMETER_MANDATORY, .position = 1,
     .help = "What is being done."},
    {.name = "Status", .type = PARAMETER_STRING, .position = 2, .help = "How far it is, in words."},
    {.name = "PercentComplete", .type = PARAMETER_INT, .least = -1, .most = 100, .help = "The same as a number."},
    {.name = "Completed", .type = PARAMETER_SWITCH, .help = "It is done."},
    {.name = "Id", .type = PARAMETER_INT, .position = 3, .help = "Is understood for scripts' sake."},
    {.name = "CurrentOperation", .type = PARAMETER_STRING, .help = "Is understood for scripts' sake."},
    {.name = "SecondsRemaining", .type = PARAMETER_INT, .help = "Is understood for scripts' sake."},
    {0},
};

static const struct cmdlet cmdlets[] = {
    {.name = "Import-Module", .aliases = "ipmo", CORE, .parameters = module_parameters,
     .synopsis = "Does nothing for the modules whose cmdlets nidus has, which are there without it.",
     .description = "So that scripts that begin with it run as they stand. A module that nidus knows no cmdlet of is "
                    "an error.",
     .examples = {{"Import-Module Hyper-V", "Succeeds: Hyper-V's cmdlets are there already."}}},
    {.name = "Get-Module", .aliases = "gmo", CORE, .parameters = get_module_parameters, .output = "PSModuleInfo",
     .synopsis = "Lists the modules whose cmdlets nidus has.",
     .examples = {{"if (-not (Get-Module Hyper-V -ListAvailable)) { throw 'Hyper-V is missing' }",
                   "Ends a script where there are no cmdlets of Hyper-V."}}},
    {.name = "Set-StrictMode", CORE, .parameters = strict_parameters, .sets = {"Version", "Off"},
     .synopsis = "Makes errors of what would otherwise be empty: variables that were never set, properties that are "
                 "not there.",
     .examples = {{"Set-StrictMode -Version Latest", "Finds slips of the finger in what follows."}}},
    {.name = "Get-Alias", .aliases = "gal", UTILITY, .parameters = alias_parameters, .output = "AliasInfo",
     .synopsis = "Lists the short names of cmdlets.",
     .examples = {{"Get-Alias -Definition Where-Object", "Shows what else it is called."}}},
    {.name = "New-TimeSpan", UTILITY, .parameters = span_parameters, .sets = {"Date", "Time"},
     .synopsis = "Makes a span of time.",
     .examples = {{"Get-VM | Where-Object { $_.Uptime -gt (New-TimeSpan -Hours 1) }",
                   "Shows those that have been running for an hour."},
                  {"(New-TimeSpan -End 2030-01-01T00:00:00Z).Days", "Counts the days until then."}}},
    {.name = "Join-Path", MANAGEMENT, .parameters = join_parameters, .synopsis = "Puts the parts of a path together.",
     .examples = {{"Join-Path /srv/disks lab.qcow2", "Makes /srv/disks/lab.qcow2."}}},
    {.name = "Split-Path", MANAGEMENT, .parameters = split_parameters,
     .sets = {"Parent", "Leaf", "LeafBase", "Extension", "IsAbsolute"},
     .synopsis = "Takes a path apart.",
     .examples = {{"Split-Path /srv/disks/lab.qcow2", "Puts out /srv/disks."},
                  {"Split-Path /srv/disks/lab.qcow2 -Leaf", "Puts out lab.qcow2."}}},
    {.name = "Get-Location", .aliases = "gl pwd", MANAGEMENT, .parameters = no_parameters,
     .synopsis = "Tells the folder that relative paths start from.",
     .examples = {{"(Get-Location).Path", "Puts out its path."}}},
    {.name = "New-Object", UTILITY, .parameters = object_parameters,
     .synopsis = "Makes an object with properties of one's own.",
     .examples = {{"New-Object PSObject -Property @{Name='lab'; GiB=2}", "Makes one with two properties."}}},
    {.name = "Write-Progress", UTILITY, .parameters = progress_parameters, .synopsis = "Shows how far something is.",
     .examples = {{"Write-Progress 'Making disks' -PercentComplete 50", "Shows so at a terminal."}}},
    {0},
};

static const struct property module_properties[] = {
    {"ModuleType", PROPERTY_STRING, NULL, "Manifest"},
    {"Version", PROPERTY_STRING, NULL, "nidus's"},
    {"Name", PROPERTY_STRING, NULL, "what it is called"},
    {"ExportedCommands", PROPERTY_STRINGS, NULL, "its cmdlets, as far as nidus has them"},
    {0},
};

static const struct property alias_properties[] = {
    {"CommandType", PROPERTY_STRING, NULL, "Alias"},
    {"Name", PROPERTY_STRING, NULL, "the short name"},
    {"Definition", PROPERTY_STRING, NULL, "the cmdlet"},
    {0},
};

static const struct class classes[] = {
    {.name = "PSModuleInfo", .full_name = "System.Management.Automation.PSModuleInfo", .display = "Name",
     .properties = module_properties,
     .columns = {{"ModuleType", NULL, 0, false}, {"Version", NULL, 0, false}, {"Name", NULL, 0, false},
                 {"ExportedCommands", NULL, 0, false}}},
    {.name = "AliasInfo", .full_name = "System.Management.Automation.AliasInfo", .display = "Name",
     .properties = alias_properties,
     .columns = {{"CommandType", NULL, 0, false}, {"Name", NULL, 0, false}, {"Definition", NULL, 0, false}}},
    {0},
};

const struct noun table_script = {cmdlets, classes};
