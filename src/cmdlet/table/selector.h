// How cmdlets name what they act on. Hyper-V has the same few ways everywhere: by name, by the VM's object, by the
// part's own object; the first two come through the pipeline as well. And what many of them take beside that.
#pragma once

#include "cmdlet/class.h"
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

// By name in the first parameter set, by object in the second.
#define SELECTOR_VMS SELECTOR_VM_NAME(PARAMETER_SET_1), SELECTOR_VM(PARAMETER_SET_2)

// Those two alone, which is what most cmdlets take that show something of a VM.
extern const struct parameter selector_vms[];

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

#define PARAMETER_NEW_NAME                                                                                            \
    {.name = "NewName", .type = PARAMETER_STRING, .flags = PARAMETER_MANDATORY, .position = 2,                        \
     .help = "Its name from now on."}

#define PARAMETER_ON_OFF(parameter, text)                                                                             \
    {.name = parameter, .type = PARAMETER_ENUM, .values = "On Off", .help = text}

#define PARAMETER_RESOURCE_POOL                                                                                       \
    {.name = "ResourcePoolName", .type = PARAMETER_STRING,                                                            \
     .help = "The resource pool; nidus has the one named Primordial."}

// What the classes of a VM's parts have in common.
#define PROPERTIES_OF_VM                                                                                              \
    {"Id", PROPERTY_STRING, NULL, "names this part of this VM"},                                                      \
    {"VMId", PROPERTY_STRING, NULL, "the VM's id"}, {"VMName", PROPERTY_STRING, NULL, "the VM's name"}

#define PROPERTIES_OF_NO_CHECKPOINT                                                                                   \
    {"VMSnapshotId", PROPERTY_STRING, NULL, "zeros: not of a checkpoint"},                                            \
    {"VMSnapshotName", PROPERTY_STRING, NULL, "empty: not of a checkpoint"}

#define PROPERTIES_OF_PART                                                                                            \
    {"ComputerName", PROPERTY_STRING, NULL, "the host"},                                                              \
    {"IsDeleted", PROPERTY_BOOL, NULL, "whether the VM was removed since"}
