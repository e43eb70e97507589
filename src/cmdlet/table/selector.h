// How cmdlets name what they act on. Hyper-V has the same few ways everywhere: by name, by the VM's object, by the
// part's own object; the first two come through the pipeline as well.
#pragma once

#include "cmdlet/cmdlet.h"

#define SELECTOR_VM_NAME(set)                                                                                         \
    {.name = "VMName", .type = PARAMETER_STRING, .sets = (set), .position = 1, .object = "VirtualMachine",            \
     .flags = PARAMETER_MANDATORY | PARAMETER_LIST | PARAMETER_PIPED | PARAMETER_NAMED | PARAMETER_WILDCARD,          \
     .help = "The names of the virtual machines; * and ? stand for any characters."}

// VM cmdlets call the VM's name -Name.
#define SELECTOR_NAME(set, more)                                                                                      \
    {.name = "Name", .aliases = "VMName", .type = PARAMETER_STRING, .sets = (set), .position = 1,                     \
     .object = "VirtualMachine", .flags = PARAMETER_LIST | PARAMETER_PIPED | PARAMETER_WILDCARD | (more),             \
     .help = "The names of the virtual machines; * and ? stand for any characters."}

#define SELECTOR_VM(set)                                                                                              \
    {.name = "VM", .type = PARAMETER_OBJECT, .sets = (set), .position = 1, .object = "VirtualMachine",                \
     .flags = PARAMETER_MANDATORY | PARAMETER_LIST | PARAMETER_PIPED,                                                 \
     .help = "The virtual machines, as Get-VM gives them."}

// A part's own object: -VMProcessor, -VMMemory. The class has the parameter's name.
#define SELECTOR_PART(part, set)                                                                                      \
    {.name = part, .type = PARAMETER_OBJECT, .sets = (set), .position = 1, .object = part,                            \
     .flags = PARAMETER_MANDATORY | PARAMETER_LIST | PARAMETER_PIPED, .help = "The " part " objects themselves."}

#define PARAMETER_PASSTHRU                                                                                            \
    {.name = "Passthru", .type = PARAMETER_SWITCH, .help = "Puts out the object that was changed."}

#define PARAMETER_AS_JOB                                                                                              \
    {.name = "AsJob", .type = PARAMETER_SWITCH,                                                                       \
     .help = "Goes on in the background, and puts out a job: Get-Job, Wait-Job, Receive-Job."}

#define PARAMETER_FORCE {.name = "Force", .type = PARAMETER_SWITCH, .help = "Asks no questions."}
