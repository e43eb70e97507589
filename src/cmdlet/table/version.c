// Configuration versions: what a VM may have goes by the version it was made with. Hyper-V's, and nidus's own.
#include "cmdlet/table/selector.h"
#include "cmdlet/table/table.h"

static const struct parameter get_parameters[] = {
    {.name = "Default", .type = PARAMETER_SWITCH, .help = "Only the one that new virtual machines get."},
    {0},
};

static const struct parameter update_parameters[] = {
    SELECTOR_NAME(PARAMETER_SET_1, PARAMETER_MANDATORY),
    SELECTOR_VM(PARAMETER_SET_2),
    PARAMETER_FORCE,
    PARAMETER_AS_JOB,
    PARAMETER_PASSTHRU,
    {0},
};

static const struct cmdlet cmdlets[] = {
    {.name = "Get-VMHostSupportedVersion",
     .module = "Hyper-V",
     .parameters = get_parameters,
     .output = "VMHostSupportedVersion",
     .synopsis = "Gets the configuration versions a virtual machine can have here.",
     .examples = {{"Get-VMHostSupportedVersion", "Shows them all."},
                  {"Get-VMHostSupportedVersion -Default", "Shows the one that New-VM takes."}}},
    {.name = "Update-VMVersion",
     .module = "Hyper-V",
     .parameters = update_parameters,
     .output = "VirtualMachine",
     .sets = {"Name", "VMObject"},
     .flags = CMDLET_SHOULD_PROCESS | CMDLET_CHANGES | CMDLET_CONFIRM,
     .synopsis = "Gives virtual machines the newest configuration version. There is no way back.",
     .examples = {{"Update-VMVersion lab -Force", "Gives lab the newest version without a question."}}},
    {0},
};

static const struct property properties[] = {
    {"Name", PROPERTY_STRING, NULL, "the systems that brought it"},
    {"Version", PROPERTY_STRING, NULL, "the version"},
    {"IsDefault", PROPERTY_BOOL, NULL, "whether New-VM takes it"},
    {0},
};

static const struct class classes[] = {
    {.name = "VMHostSupportedVersion",
     .full_name = "Microsoft.HyperV.PowerShell.VMHostSupportedVersion",
     .key = "Version",
     .display = "Version",
     .properties = properties,
     .columns = {{"Name", NULL, 0, false}, {"Version", NULL, 0, false}, {"IsDefault", NULL, 0, false}}},
    {0},
};

const struct noun table_version = {cmdlets, classes};
