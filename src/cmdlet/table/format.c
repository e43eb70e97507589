// Objects to text: Format-Table, Format-List, Format-Wide, and where output goes by itself. What they do is in
// src/cmdlet/local/format.c.
#include "cmdlet/table/table.h"

#define UTILITY .module = "Microsoft.PowerShell.Utility", .flags = CMDLET_LOCAL

#define INPUT_OBJECT                                                                                                  \
    {.name = "InputObject", .type = PARAMETER_ANY, .flags = PARAMETER_PIPED, .help = "The objects; usually piped in."}

#define GROUP_BY                                                                                                      \
    {.name = "GroupBy", .type = PARAMETER_ANY,                                                                        \
     .help = "A property (or a block, or a table with Name and Expression): each of its values gets a part of "        \
             "its own. Sort by it first."}

#define PROPERTIES                                                                                                    \
    {.name = "Property", .type = PARAMETER_ANY, .flags = PARAMETER_LIST | PARAMETER_WILDCARD, .position = 1,          \
     .help = "What is shown: names of properties, with wildcards, or @{Name=...; Expression={...}} for one that is "   \
             "computed, in a table also with Width and Alignment."}

static const struct parameter table_parameters[] = {
    PROPERTIES,
    {.name = "AutoSize", .type = PARAMETER_SWITCH,
     .help = "Columns are as wide as their contents. They always are; Hyper-V's scripts may say so."},
    {.name = "Wrap", .type = PARAMETER_SWITCH,
     .help = "What does not fit goes on in the next line instead of being cut."},
    {.name = "HideTableHeaders", .type = PARAMETER_SWITCH, .help = "Leaves the headings out."},
    GROUP_BY,
    INPUT_OBJECT,
    {0},
};

static const struct parameter list_parameters[] = {PROPERTIES, GROUP_BY, INPUT_OBJECT, {0}};

static const struct parameter wide_parameters[] = {
    {.name = "Property", .type = PARAMETER_ANY, .position = 1,
     .help = "The one property that is shown; the name without it."},
    {.name = "Column", .type = PARAMETER_INT, .least = 1, .most = 100, .help = "How many stand beside each other."},
    {.name = "AutoSize", .type = PARAMETER_SWITCH, .help = "As many beside each other as fit, which is usual."},
    GROUP_BY,
    INPUT_OBJECT,
    {0},
};

static const struct parameter out_parameters[] = {INPUT_OBJECT, {0}};

static const struct cmdlet cmdlets[] = {
    {
        .name = "Format-Table",
        .aliases = "ft",
        UTILITY,
        .synopsis = "Shows objects as a table.",
        .description = "Without -Property, the columns are those that the objects' class shows by itself.",
        .parameters = table_parameters,
        .examples = {{"Get-VM | Format-Table Name, State, ProcessorCount", "Shows three columns."},
                     {"Get-VM | Format-Table Name, @{Name='GiB'; Expression={$_.MemoryStartup / 1GB}}",
                      "Shows a column that is computed."},
                     {"Get-VM | Sort-Object State | Format-Table -GroupBy State", "Shows a table for each state."}},
    },
    {
        .name = "Format-List",
        .aliases = "fl",
        UTILITY,
        .synopsis = "Shows objects as lists, a line for each property.",
        .description = "Without -Property, all properties are shown, in their class's order.",
        .parameters = list_parameters,
        .examples = {{"Get-VM | Format-List", "Shows all that is known of each virtual machine."},
                     {"Get-VMProcessor lab | Format-List Expose*, Hypervisor*",
                      "Shows whether a hypervisor can run in lab, and whether one does."}},
    },
    {
        .name = "Format-Wide",
        .aliases = "fw",
        UTILITY,
        .synopsis = "Shows one property of each object, several beside each other.",
        .parameters = wide_parameters,
        .examples = {{"Get-VM | Format-Wide -Column 3", "Shows the names in three columns."}},
    },
    {
        .name = "Out-Default",
        .module = "Microsoft.PowerShell.Core",
        .flags = CMDLET_LOCAL,
        .synopsis = "Shows objects as they are shown without it.",
        .parameters = out_parameters,
        .examples = {{"Get-VM | Out-Default", "Does what Get-VM does by itself."}},
    },
    {
        .name = "Out-Host",
        .aliases = "oh",
        .module = "Microsoft.PowerShell.Core",
        .flags = CMDLET_LOCAL,
        .synopsis = "Shows objects at the terminal.",
        .parameters = out_parameters,
        .examples = {{"Get-VM | Out-Host", "Does what Get-VM does by itself."}},
    },
    {0},
};

const struct noun table_format = {cmdlets, NULL};
