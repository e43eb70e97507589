// Security settings of a VM, as far as nested virtualization has to do with them: virtualization based security in a
// VM and a hypervisor of the guest's own exclude each other, and so does a host that is locked.
#include "cmdlet/table/selector.h"
#include "cmdlet/table/table.h"

static const struct parameter set_parameters[] = {
    SELECTOR_VMS,
    {.name = "VirtualizationBasedSecurityOptOut",
     .type = PARAMETER_BOOL,
     .help = "Whether the VM opts out of virtualization based security. The VM must be off."},
    {.name = "VirtualizationBasedSecurityEnabled",
     .type = PARAMETER_BOOL,
     .flags = PARAMETER_NIDUS,
     .help =
         "Whether virtualization based security is on in the VM. It and a hypervisor of the guest's own exclude each "
         "other. The VM must be off."},
    {.name = "EncryptStateAndVmMigrationTraffic",
     .type = PARAMETER_BOOL,
     .help = "Whether saved states and migrations are encrypted. nidus does not encrypt them: only $false is taken."},
    PARAMETER_PASSTHRU,
    {0},
};

static const struct cmdlet cmdlets[] = {
    {
        .name = "Get-VMSecurity",
        .module = "Hyper-V",
        .synopsis = "Gets the security settings of a virtual machine.",
        .parameters = selector_vms,
        .sets = {"VMName", "VMObject"},
        .output = "VMSecurity",
        .examples = {{"Get-VMSecurity lab", "Shows the security settings of lab."}},
    },
    {
        .name = "Set-VMSecurity",
        .module = "Hyper-V",
        .flags = CMDLET_SHOULD_PROCESS | CMDLET_CHANGES,
        .synopsis = "Configures the security settings of a virtual machine.",
        .parameters = set_parameters,
        .sets = {"VMName", "VMObject"},
        .output = "VMSecurity",
        .examples = {{"Set-VMSecurity -VMName lab -VirtualizationBasedSecurityOptOut $true",
                      "Opts lab out of virtualization based security."}},
    },
    {0},
};

static const struct property properties[] = {
    {"TpmEnabled", PROPERTY_BOOL, NULL, "whether it has a TPM"},
    {"KsdEnabled", PROPERTY_BOOL, NULL, "whether it has a key storage drive"},
    {"Shielded", PROPERTY_BOOL, NULL, "whether it is shielded from its host"},
    {"EncryptStateAndVmMigrationTraffic", PROPERTY_BOOL, NULL, "whether saved states are encrypted"},
    {"VirtualizationBasedSecurityOptOut", PROPERTY_BOOL, NULL, "whether it opts out of virtualization based security"},
    {"VirtualizationBasedSecurityEnabled", PROPERTY_BOOL, NULL, "whether that is on in it"},
    {"BindToHostTpm", PROPERTY_BOOL, NULL, "whether its keys are bound to the host's TPM"},
    {"VMId", PROPERTY_STRING, NULL, "the VM's id"},
    {"VMName", PROPERTY_STRING, NULL, "the VM's name"},
    PROPERTIES_OF_PART,
    {0},
};

static const struct class classes[] = {
    {.name = "VMSecurity",
     .full_name = "Microsoft.HyperV.PowerShell.VMSecurity",
     .key = "VMId",
     .display = "VMName",
     .properties = properties},
    {0},
};

const struct noun table_security = {cmdlets, classes};
