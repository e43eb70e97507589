// The cmdlets of the language itself: filtering, choosing, sorting, counting and converting objects, writing text. They
// run in the shell; what they do is in src/cmdlet/local/.
#include "cmdlet/table/table.h"

#define UTILITY .module = "Microsoft.PowerShell.Utility", .flags = CMDLET_LOCAL
#define MANAGEMENT .module = "Microsoft.PowerShell.Management", .flags = CMDLET_LOCAL
#define CORE .module = "Microsoft.PowerShell.Core", .flags = CMDLET_LOCAL

#define INPUT_OBJECT                                                                                                  \
    {.name = "InputObject", .type = PARAMETER_ANY, .flags = PARAMETER_PIPED, .help = "The objects; usually piped in."}

#define PROPERTIES(what)                                                                                              \
    {.name = "Property", .type = PARAMETER_ANY, .flags = PARAMETER_LIST, .position = 1, .help = what}

#define COMPARISON(option, says) {.name = option, .type = PARAMETER_SWITCH, .sets = PARAMETER_SET_2, .help = says}

#define CSV_DELIMITER \
    {.name = "Delimiter", .type = PARAMETER_STRING, .position = 2, \
     .help = "What stands between cells: a comma without it."}
#define CSV_HEADER \
    {.name = "Header", .type = PARAMETER_STRING, .flags = PARAMETER_LIST, \
     .help = "The columns' names; the first line has them without it."}

static const struct parameter where_parameters[] = {
    {.name = "FilterScript", .type = PARAMETER_BLOCK, .flags = PARAMETER_MANDATORY, .sets = PARAMETER_SET_1,
     .position = 1,
     .help = "A block that says whether $_ stays: { $_.State -eq 'Off' }."},
    {.name = "Property", .type = PARAMETER_STRING, .flags = PARAMETER_MANDATORY, .sets = PARAMETER_SET_2, .position = 1,
     .help = "The property that is looked at; alone, whether it is true."},
    {.name = "Value", .type = PARAMETER_ANY, .sets = PARAMETER_SET_2, .position = 2,
     .help = "What it is compared with."},
    COMPARISON("EQ", "Is equal."), COMPARISON("NE", "Is not equal."), COMPARISON("GT", "Is greater."),
    COMPARISON("GE", "Is greater or equal."), COMPARISON("LT", "Is less."), COMPARISON("LE", "Is less or equal."),
    COMPARISON("Like", "Matches a pattern with * and ?."), COMPARISON("NotLike", "Does not match a pattern."),
    COMPARISON("Match", "Matches a regular expression."),
    COMPARISON("NotMatch", "Does not match a regular expression."),
    COMPARISON("Contains", "Is a list that contains the value."),
    COMPARISON("NotContains", "Does not contain the value."), COMPARISON("In", "Is one of the values."),
    COMPARISON("NotIn", "Is none of the values."), COMPARISON("Not", "Turns the answer round."), INPUT_OBJECT,
    {0},
};

static const struct parameter each_parameters[] = {
    {.name = "Process", .type = PARAMETER_BLOCK, .flags = PARAMETER_MANDATORY | PARAMETER_LIST, .sets = PARAMETER_SET_1,
     .position = 1, .help = "The block that runs for each object, which is $_ in it."},
    {.name = "Begin", .type = PARAMETER_BLOCK, .sets = PARAMETER_SET_1,
     .help = "A block that runs before the first object."},
    {.name = "End", .type = PARAMETER_BLOCK, .sets = PARAMETER_SET_1,
     .help = "A block that runs after the last object."},
    {.name = "MemberName", .type = PARAMETER_STRING, .flags = PARAMETER_MANDATORY, .sets = PARAMETER_SET_2,
     .position = 1,
     .help = "The property that is put out, or the method that is called."},
    {.name = "ArgumentList", .aliases = "Args", .type = PARAMETER_ANY, .flags = PARAMETER_LIST | PARAMETER_REST,
     .sets = PARAMETER_SET_2, .help = "The method's arguments."},
    INPUT_OBJECT,
    {0},
};

static const struct parameter select_parameters[] = {
    PROPERTIES("What the new objects have: names of properties, with wildcards, or @{Name=...; Expression={...}}."),
    {.name = "ExpandProperty", .type = PARAMETER_STRING,
     .help = "Puts out this property's value instead of the object."},
    {.name = "First", .type = PARAMETER_INT, .least = 0, .most = 1 << 30, .help = "Only so many from the start."},
    {.name = "Last", .type = PARAMETER_INT, .least = 0, .most = 1 << 30, .help = "Only so many from the end."},
    {.name = "Skip", .type = PARAMETER_INT, .least = 0, .most = 1 << 30, .help = "Not the first so many."},
    {.name = "Unique", .type = PARAMETER_SWITCH, .help = "Each only once."},
    INPUT_OBJECT,
    {0},
};

static const struct parameter sort_parameters[] = {
    PROPERTIES("What it is sorted by: names of properties, or blocks; the objects themselves without it."),
    {.name = "Descending", .type = PARAMETER_SWITCH, .help = "The greatest first."},
    {.name = "Unique", .type = PARAMETER_SWITCH, .help = "Of equal ones only the first."},
    {.name = "Top", .type = PARAMETER_INT, .least = 1, .most = 1 << 30, .help = "Only so many from the start."},
    INPUT_OBJECT,
    {0},
};

static const struct parameter group_parameters[] = {
    PROPERTIES("What the objects of a group have in common."),
    {.name = "NoElement", .type = PARAMETER_SWITCH, .help = "Counts only: leaves the objects out."},
    {.name = "AsHashTable", .aliases = "AHT", .type = PARAMETER_SWITCH,
     .help = "Puts out one table of the groups by name."},
    INPUT_OBJECT,
    {0},
};

static const struct parameter measure_parameters[] = {
    PROPERTIES("What is measured; the objects themselves without it."),
    {.name = "Sum", .type = PARAMETER_SWITCH, .help = "Adds them up."},
    {.name = "Average", .type = PARAMETER_SWITCH, .help = "Their mean."},
    {.name = "Maximum", .type = PARAMETER_SWITCH, .help = "The greatest."},
    {.name = "Minimum", .type = PARAMETER_SWITCH, .help = "The least."},
    {.name = "AllStats", .type = PARAMETER_SWITCH, .help = "All of these."},
    INPUT_OBJECT,
    {0},
};

static const struct parameter to_json_parameters[] = {
    {.name = "Depth", .type = PARAMETER_INT, .least = 0, .most = 30,
     .help = "How deep objects in objects are shown as such; all of them without it."},
    {.name = "Compress", .type = PARAMETER_SWITCH, .help = "In one line."},
    {.name = "AsArray", .type = PARAMETER_SWITCH, .help = "A list even of one object."},
    {.name = "InputObject", .type = PARAMETER_ANY, .flags = PARAMETER_PIPED, .position = 1,
     .help = "The objects; usually piped in."},
    {0},
};

static const struct parameter from_json_parameters[] = {
    {.name = "InputObject", .type = PARAMETER_ANY, .flags = PARAMETER_MANDATORY | PARAMETER_PIPED, .position = 1,
     .help = "The text; several strings are its lines."},
    {0},
};

static const struct parameter csv_parameters[] = {
    {.name = "InputObject", .type = PARAMETER_ANY, .flags = PARAMETER_MANDATORY | PARAMETER_PIPED, .position = 1,
     .help = "The objects; usually piped in."},
    CSV_DELIMITER,
    {.name = "NoTypeInformation", .aliases = "NTI", .type = PARAMETER_SWITCH,
     .help = "Leaves out the type. It always is; scripts may say so."},
    {0},
};

static const struct parameter from_csv_parameters[] = {
    {.name = "InputObject", .type = PARAMETER_ANY, .flags = PARAMETER_MANDATORY | PARAMETER_PIPED, .position = 1,
     .help = "The lines."},
    CSV_DELIMITER,
    CSV_HEADER,
    {0},
};

static const struct parameter export_csv_parameters[] = {
    {.name = "Path", .aliases = "FilePath LiteralPath", .type = PARAMETER_PATH, .flags = PARAMETER_MANDATORY,
     .position = 1, .help = "The file."},
    CSV_DELIMITER,
    {.name = "Append", .type = PARAMETER_SWITCH, .help = "Adds lines to what is in it."},
    {.name = "NoTypeInformation", .aliases = "NTI", .type = PARAMETER_SWITCH,
     .help = "Leaves out the type. It always is; scripts may say so."},
    {.name = "Encoding", .type = PARAMETER_STRING, .help = "Is understood for scripts' sake: text is UTF-8."},
    {.name = "Force", .type = PARAMETER_SWITCH, .help = "Is understood for scripts' sake."},
    INPUT_OBJECT,
    {0},
};

static const struct parameter import_csv_parameters[] = {
    {.name = "Path", .aliases = "LiteralPath", .type = PARAMETER_PATH,
     .flags = PARAMETER_MANDATORY | PARAMETER_LIST | PARAMETER_PIPED, .position = 1, .help = "The files."},
    CSV_DELIMITER,
    CSV_HEADER,
    {.name = "Encoding", .type = PARAMETER_STRING, .help = "Is understood for scripts' sake: text is UTF-8."},
    {0},
};

static const struct parameter output_parameters[] = {
    {.name = "InputObject", .type = PARAMETER_ANY, .flags = PARAMETER_PIPED | PARAMETER_REST, .help = "The objects."},
    {.name = "NoEnumerate", .type = PARAMETER_SWITCH,
     .help = "Is understood for scripts' sake: lists are put out item by item."},
    {0},
};

static const struct parameter host_parameters[] = {
    {.name = "Object", .aliases = "Msg Message", .type = PARAMETER_ANY, .flags = PARAMETER_PIPED | PARAMETER_REST,
     .help = "What is shown."},
    {.name = "NoNewline", .type = PARAMETER_SWITCH, .help = "Does not end the line."},
    {.name = "Separator", .type = PARAMETER_STRING, .help = "What stands between several; a blank without it."},
    {.name = "ForegroundColor", .type = PARAMETER_STRING,
     .help = "Is understood for scripts' sake, and shows no colour."},
    {.name = "BackgroundColor", .type = PARAMETER_STRING,
     .help = "Is understood for scripts' sake, and shows no colour."},
    {0},
};

#define MESSAGE                                                                                                       \
    {.name = "Message", .aliases = "Msg", .type = PARAMETER_STRING, .flags = PARAMETER_MANDATORY | PARAMETER_PIPED,    \
     .position = 1, .help = "The text."}

static const struct parameter message_parameters[] = {MESSAGE, {0}};

static const struct parameter error_parameters[] = {
    MESSAGE,
    {.name = "ErrorId", .type = PARAMETER_STRING, .help = "What FullyQualifiedErrorId shows."},
    {.name = "Category", .type = PARAMETER_STRING,
     .help = "What CategoryInfo shows: InvalidOperation, ObjectNotFound."},
    {0},
};

static const struct parameter null_parameters[] = {INPUT_OBJECT, {0}};

static const struct parameter string_parameters[] = {
    {.name = "Stream", .type = PARAMETER_SWITCH, .help = "A string for each line instead of one for all."},
    {.name = "Width", .type = PARAMETER_INT, .least = 2, .most = 10000,
     .help = "Is understood for scripts' sake: text is as wide as the terminal."},
    INPUT_OBJECT,
    {0},
};

static const struct parameter out_file_parameters[] = {
    {.name = "FilePath", .aliases = "Path LiteralPath", .type = PARAMETER_PATH, .flags = PARAMETER_MANDATORY,
     .position = 1,
     .help = "The file."},
    {.name = "Append", .type = PARAMETER_SWITCH, .help = "Adds to what is in it."},
    {.name = "NoNewline", .type = PARAMETER_SWITCH, .help = "Does not end the last line."},
    {.name = "Encoding", .type = PARAMETER_STRING, .position = 2,
     .help = "Is understood for scripts' sake: text is UTF-8."},
    {.name = "Force", .type = PARAMETER_SWITCH, .help = "Is understood for scripts' sake."},
    INPUT_OBJECT,
    {0},
};

static const struct parameter content_parameters[] = {
    {.name = "Path", .aliases = "LiteralPath", .type = PARAMETER_PATH, .flags = PARAMETER_MANDATORY | PARAMETER_LIST,
     .position = 1, .help = "The files."},
    {.name = "Value", .type = PARAMETER_ANY, .flags = PARAMETER_LIST, .position = 2,
     .help = "What is written, a line each."},
    {.name = "NoNewline", .type = PARAMETER_SWITCH, .help = "Does not end lines."},
    {.name = "Encoding", .type = PARAMETER_STRING, .help = "Is understood for scripts' sake: text is UTF-8."},
    {.name = "Force", .type = PARAMETER_SWITCH, .help = "Is understood for scripts' sake."},
    INPUT_OBJECT,
    {0},
};

static const struct parameter get_content_parameters[] = {
    {.name = "Path", .aliases = "LiteralPath", .type = PARAMETER_PATH,
     .flags = PARAMETER_MANDATORY | PARAMETER_LIST | PARAMETER_PIPED, .position = 1, .help = "The files."},
    {.name = "Raw", .type = PARAMETER_SWITCH, .help = "All of it as one string instead of a string a line."},
    {0},
};

static const struct parameter tee_parameters[] = {
    {.name = "FilePath", .type = PARAMETER_PATH, .flags = PARAMETER_MANDATORY, .sets = PARAMETER_SET_1, .position = 1,
     .help = "The file that gets the objects' text."},
    {.name = "Variable", .type = PARAMETER_STRING, .flags = PARAMETER_MANDATORY, .sets = PARAMETER_SET_2,
     .help = "The variable, without a dollar sign, that gets the objects."},
    {.name = "Append", .type = PARAMETER_SWITCH, .sets = PARAMETER_SET_1, .help = "Adds to what is in the file."},
    INPUT_OBJECT,
    {0},
};

static const struct parameter get_variable_parameters[] = {
    {.name = "Name", .type = PARAMETER_STRING, .flags = PARAMETER_LIST | PARAMETER_WILDCARD | PARAMETER_PIPED,
     .position = 1,
     .help = "Their names, without dollar signs; all of them without it."},
    {.name = "ValueOnly", .type = PARAMETER_SWITCH, .help = "Puts out the value instead of name and value."},
    {0},
};

static const struct parameter set_variable_parameters[] = {
    {.name = "Name", .type = PARAMETER_STRING, .flags = PARAMETER_MANDATORY | PARAMETER_LIST, .position = 1,
     .help = "Its name, without a dollar sign."},
    {.name = "Value", .type = PARAMETER_ANY, .flags = PARAMETER_PIPED, .position = 2, .help = "What it is set to."},
    {0},
};

static const struct parameter date_parameters[] = {
    {.name = "Date", .type = PARAMETER_STRING, .flags = PARAMETER_PIPED, .position = 1,
     .help = "A date instead of now: 2026-01-31T12:00:00Z."},
    {.name = "Format", .type = PARAMETER_STRING, .help = "How it is written: yyyy-MM-dd HH:mm:ss."},
    {0},
};

static const struct parameter sleep_parameters[] = {
    {.name = "Seconds", .type = PARAMETER_INT, .least = 0, .most = 2147483, .sets = PARAMETER_SET_1, .position = 1,
     .flags = PARAMETER_MANDATORY | PARAMETER_PIPED, .help = "How long."},
    {.name = "Milliseconds", .aliases = "ms", .type = PARAMETER_INT, .least = 0, .most = 2147483647,
     .sets = PARAMETER_SET_2,
     .flags = PARAMETER_MANDATORY, .help = "The same in thousandths."},
    {0},
};

static const struct parameter test_path_parameters[] = {
    {.name = "Path", .aliases = "LiteralPath", .type = PARAMETER_PATH,
     .flags = PARAMETER_MANDATORY | PARAMETER_LIST | PARAMETER_PIPED, .position = 1, .help = "The files or folders."},
    {0},
};

static const struct parameter netsh_parameters[] = {
    {.name = "ArgumentList", .type = PARAMETER_STRING, .flags = PARAMETER_REST | PARAMETER_LIST,
     .help = "What netsh is to do: interface ip add dnsserver NAME address=ADDRESS."},
    {0},
};

static const struct cmdlet cmdlets[] = {
    {.name = "Where-Object", .aliases = "where ?", CORE, .parameters = where_parameters,
     .sets = {"ScriptBlock", "Compare"},
     .synopsis = "Lets those objects through for which a condition holds.",
     .examples = {{"Get-VM | Where-Object State -eq Running", "Shows the virtual machines that run."},
                  {"Get-VM | Where-Object { $_.MemoryStartup -gt 1GB -and $_.Name -like 'lab*' }",
                   "Shows those of more than 1 GiB whose names begin with lab."}}},
    {.name = "ForEach-Object", .aliases = "foreach %", CORE, .parameters = each_parameters,
     .sets = {"ScriptBlock", "Member"},
     .synopsis = "Runs a block for each object.",
     .examples = {{"1..3 | ForEach-Object { \"lab$_\" }", "Makes three names."},
                  {"Get-VM | ForEach-Object Name", "Puts out the names."}}},
    {.name = "Select-Object", .aliases = "select", UTILITY, .parameters = select_parameters,
     .synopsis = "Chooses properties of objects, or some of the objects.",
     .examples = {{"Get-VM | Select-Object Name, State", "Makes objects of two properties."},
                  {"Get-VM | Select-Object -First 1", "Takes the first one."},
                  {"Get-VM | Select-Object Name, @{n='GiB'; e={$_.MemoryStartup / 1GB}}", "Computes a property."},
                  {"Get-VM | Select-Object -ExpandProperty Name", "Puts out the names as strings."}}},
    {.name = "Sort-Object", .aliases = "sort", UTILITY, .parameters = sort_parameters, .synopsis = "Sorts objects.",
     .examples = {{"Get-VM | Sort-Object MemoryStartup -Descending", "Shows the greatest first."}}},
    {.name = "Group-Object", .aliases = "group", UTILITY, .parameters = group_parameters, .output = "GroupInfo",
     .synopsis = "Puts objects that have something in common into groups.",
     .examples = {{"Get-VM | Group-Object State", "Counts the virtual machines of each state."}}},
    {.name = "Measure-Object", .aliases = "measure", UTILITY, .parameters = measure_parameters,
     .output = "GenericMeasureInfo", .synopsis = "Counts objects and adds up their properties.",
     .examples = {{"Get-VM | Measure-Object MemoryStartup -Sum", "Adds up the memory of all virtual machines."}}},
    {.name = "ConvertTo-Json", UTILITY, .parameters = to_json_parameters, .synopsis = "Writes objects as JSON.",
     .examples = {{"Get-VM | ConvertTo-Json", "Shows all virtual machines as JSON."}}},
    {.name = "ConvertFrom-Json", UTILITY, .parameters = from_json_parameters, .synopsis = "Makes objects from JSON.",
     .examples = {{"'{\"Name\":\"lab\"}' | ConvertFrom-Json | Select-Object -ExpandProperty Name",
                   "Reads a property."}}},
    {.name = "ConvertTo-Csv", UTILITY, .parameters = csv_parameters,
     .synopsis = "Writes objects as comma-separated values.",
     .examples = {{"Get-VM | Select-Object Name, State | ConvertTo-Csv", "Shows two columns as CSV."}}},
    {.name = "ConvertFrom-Csv", UTILITY, .parameters = from_csv_parameters,
     .synopsis = "Makes objects of comma-separated values; their properties are strings.",
     .examples = {{"'Name,GiB', 'lab,2' | ConvertFrom-Csv | ForEach-Object { New-VM $_.Name ([int]$_.GiB * 1GB) }",
                   "Makes a virtual machine for each line."}}},
    {.name = "Export-Csv", .aliases = "epcsv", UTILITY, .parameters = export_csv_parameters,
     .synopsis = "Writes objects to a file as comma-separated values.",
     .examples = {{"Get-VM | Select-Object Name, State | Export-Csv vms.csv -NoTypeInformation",
                   "Writes two columns."}}},
    {.name = "Import-Csv", .aliases = "ipcsv", UTILITY, .parameters = import_csv_parameters,
     .synopsis = "Reads comma-separated values from a file as objects; their properties are strings.",
     .examples = {{"Import-Csv vms.csv | New-VM", "Makes virtual machines of the names in the column Name."}}},
    {.name = "Write-Output", .aliases = "echo write", UTILITY, .parameters = output_parameters,
     .synopsis = "Puts objects into the pipeline.",
     .examples = {{"Write-Output one two", "Puts out two strings."}}},
    {.name = "Write-Host", UTILITY, .parameters = host_parameters, .synopsis = "Shows text, past the pipeline.",
     .examples = {{"Write-Host 'Starting' -NoNewline", "Shows a word."}}},
    {.name = "Write-Warning", UTILITY, .parameters = message_parameters, .synopsis = "Shows a warning.",
     .examples = {{"Write-Warning 'The disk is nearly full.'", "Warns."}}},
    {.name = "Write-Verbose", UTILITY, .parameters = message_parameters,
     .synopsis = "Says what is being done, to those who asked with -Verbose.",
     .examples = {{"Write-Verbose 'Looking' -Verbose", "Says so."}}},
    {.name = "Write-Error", UTILITY, .parameters = error_parameters, .synopsis = "Reports an error.",
     .examples = {{"if (-not (Get-VM lab)) { Write-Error 'lab is gone' }", "Reports what a script finds wrong."}}},
    {.name = "Out-Null", CORE, .parameters = null_parameters, .synopsis = "Throws objects away.",
     .examples = {{"Get-VM | Out-Null", "Shows nothing."}}},
    {.name = "Out-String", UTILITY, .parameters = string_parameters,
     .synopsis = "Makes a string of what a terminal would show.",
     .examples = {{"Get-VM | Out-String -Stream | Where-Object { $_ -match 'lab' }", "Searches the table's lines."}}},
    {.name = "Out-File", UTILITY, .parameters = out_file_parameters,
     .synopsis = "Writes to a file what a terminal would show.",
     .examples = {{"Get-VM | Out-File vms.txt", "Keeps the table in a file."}}},
    {.name = "Tee-Object", .aliases = "tee", UTILITY, .parameters = tee_parameters, .sets = {"File", "Variable"},
     .synopsis = "Writes objects to a file or a variable and lets them through.",
     .examples = {{"Get-VM | Tee-Object -Variable vms | Measure-Object", "Counts what $vms then has."}}},
    {.name = "Set-Content", .aliases = "sc", MANAGEMENT, .parameters = content_parameters,
     .synopsis = "Writes values to a file, a line each.",
     .examples = {{"(Get-VM).Name | Set-Content names.txt", "Writes the names of all virtual machines."}}},
    {.name = "Add-Content", .aliases = "ac", MANAGEMENT, .parameters = content_parameters,
     .synopsis = "Adds values to a file, a line each.",
     .examples = {{"Add-Content names.txt 'lab2'", "Adds a line."}}},
    {.name = "Get-Content", .aliases = "gc cat type", MANAGEMENT, .parameters = get_content_parameters,
     .synopsis = "Reads a file, a string a line.",
     .examples = {{"Get-Content names.txt | ForEach-Object { New-VM $_ }", "Makes a virtual machine for each line."}}},
    {.name = "Test-Path", MANAGEMENT, .parameters = test_path_parameters,
     .synopsis = "Says whether a file or folder is there.",
     .examples = {{"Test-Path /etc/passwd", "Says True."}}},
    {.name = "Get-Variable", .aliases = "gv", UTILITY, .parameters = get_variable_parameters, .output = "PSVariable",
     .synopsis = "Shows variables.",
     .examples = {{"Get-Variable *Preference", "Shows what the language goes by."}}},
    {.name = "Set-Variable", .aliases = "sv set", UTILITY, .parameters = set_variable_parameters,
     .synopsis = "Sets a variable.",
     .examples = {{"Set-Variable memory 2GB", "Is the same as $memory = 2GB."}}},
    {.name = "Get-Date", UTILITY, .parameters = date_parameters, .synopsis = "Tells the time.",
     .examples = {{"Get-Date -Format yyyy-MM-dd", "Shows today's date."}}},
    {.name = "Get-Member", .aliases = "gm", UTILITY, .parameters = null_parameters, .output = "MemberDefinition",
     .synopsis = "Shows which properties objects have.",
     .examples = {{"Get-VM | Get-Member", "Shows what is known of a virtual machine."}}},
    {.name = "Start-Sleep", .aliases = "sleep", UTILITY, .parameters = sleep_parameters,
     .sets = {"Seconds", "Milliseconds"},
     .synopsis = "Waits.",
     .examples = {{"Start-Sleep -Milliseconds 10", "Waits a hundredth of a second."}}},
    {.name = "netsh", .module = "NetTCPIP", .flags = CMDLET_LOCAL, .parameters = netsh_parameters,
     .synopsis = "Adds a name server to an adapter, as Windows' netsh interface ip add dnsserver does.",
     .examples = {{"netsh interface ip add dnsserver 'vEthernet (VmNat)' address=192.168.100.1",
                   "Asks the router for names."}}},
    {0},
};

static const struct property group_properties[] = {
    {"Count", PROPERTY_INT, NULL, "how many objects it has"},
    {"Name", PROPERTY_STRING, NULL, "what they have in common"},
    {"Group", PROPERTY_ANY, NULL, "the objects"},
    {0},
};

static const struct property measure_properties[] = {
    {"Count", PROPERTY_INT, NULL, "how many there are"},
    {"Average", PROPERTY_REAL, NULL, "their mean"},
    {"Sum", PROPERTY_ANY, NULL, "their sum"},
    {"Maximum", PROPERTY_ANY, NULL, "the greatest"},
    {"Minimum", PROPERTY_ANY, NULL, "the least"},
    {"Property", PROPERTY_STRING, NULL, "what was measured"},
    {0},
};

static const struct property variable_properties[] = {
    {"Name", PROPERTY_STRING, NULL, "its name"},
    {"Value", PROPERTY_ANY, NULL, "its value"},
    {0},
};

static const struct property member_properties[] = {
    {"TypeName", PROPERTY_STRING, NULL, "the object's class"},
    {"Name", PROPERTY_STRING, NULL, "the property's name"},
    {"MemberType", PROPERTY_STRING, NULL, "Property"},
    {"Definition", PROPERTY_STRING, NULL, "its type and name"},
    {0},
};

static const struct property error_properties[] = {
    {"Message", PROPERTY_STRING, NULL, "what failed, why, and the way out"},
    {"Exception", PROPERTY_ANY, NULL, "Message again, where PowerShell's scripts look for it"},
    {"CategoryInfo", PROPERTY_STRING, NULL, "what kind of error it is"},
    {"FullyQualifiedErrorId", PROPERTY_STRING, NULL, "what it is called"},
    {"TargetObject", PROPERTY_STRING, NULL, "what it is about"},
    {"InvocationInfo", PROPERTY_ANY, NULL, "where it happened"},
    {0},
};

static const struct property no_properties[] = {{0}};

static const struct class classes[] = {
    {.name = "GroupInfo", .full_name = "Microsoft.PowerShell.Commands.GroupInfo", .display = "Name",
     .properties = group_properties,
     .columns = {{"Count", NULL, 0, true}, {"Name", NULL, 0, false}, {"Group", NULL, 0, false}}},
    {.name = "GroupInfoNoElement", .full_name = "Microsoft.PowerShell.Commands.GroupInfoNoElement", .display = "Name",
     .parent = "GroupInfo", .properties = group_properties,
     .columns = {{"Count", NULL, 0, true}, {"Name", NULL, 0, false}}},
    {.name = "GenericMeasureInfo", .full_name = "Microsoft.PowerShell.Commands.GenericMeasureInfo",
     .properties = measure_properties},
    {.name = "PSVariable", .full_name = "System.Management.Automation.PSVariable", .display = "Name",
     .properties = variable_properties, .columns = {{"Name", NULL, 0, false}, {"Value", NULL, 0, false}}},
    {.name = "MemberDefinition", .full_name = "Microsoft.PowerShell.Commands.MemberDefinition", .display = "Name",
     .properties = member_properties,
     .columns = {{"Name", NULL, 0, false}, {"MemberType", NULL, 0, false}, {"Definition", NULL, 0, false}}},
    {.name = "ErrorRecord", .full_name = "System.Management.Automation.ErrorRecord", .display = "Message",
     .properties = error_properties},
    {.name = "PSCustomObject", .full_name = "System.Management.Automation.PSCustomObject", .properties = no_properties},
    {0},
};

const struct noun table_utility = {cmdlets, classes};
