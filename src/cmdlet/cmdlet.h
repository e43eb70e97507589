// The one table of cmdlets. A row says what a cmdlet takes, what it puts out and what it is for; binding, help,
// completion, the manual pages and the API's schema are made from it, and nothing else may know.
//
// A cmdlet runs in one of two places: in the shell, if it only looks at objects (Where-Object, Format-Table), or in the
// service, if it needs the records or the VMs. The rows of the latter stand in src/cmdlet/table/, one file a noun; what
// they do stands in src/service/object/, one file a noun of the same name.
#pragma once

#include "base/types.h"
#include "cmdlet/value.h"

enum parameter_type {
    PARAMETER_STRING,
    PARAMETER_SWITCH, // -Force, -Force:$false
    PARAMETER_BOOL,   // $true, $false, 1, 0
    PARAMETER_INT,    // least..most
    PARAMETER_BYTES,  // a number with KB, MB, GB, TB; least..most
    PARAMETER_ENUM,   // one of `values`
    PARAMETER_TIMESPAN,
    PARAMETER_PATH,   // a file: made absolute against the shell's directory
    PARAMETER_OBJECT, // of class `object`; a string is refused
    PARAMETER_MAP,    // @{ }
    PARAMETER_BLOCK,  // { }
    PARAMETER_ANY,
    PARAMETER_VERSION, // 8.0: a number or a string, kept as text
};

enum parameter_flags {
    PARAMETER_MANDATORY = 1 << 0,
    PARAMETER_LIST = 1 << 1,      // takes several, a single one becomes a list of one
    PARAMETER_PIPED = 1 << 2,     // binds the pipeline's object, by value
    PARAMETER_NAMED = 1 << 3,     // binds the pipeline object's property of this name (or an alias's)
    PARAMETER_REST = 1 << 4,      // takes all remaining arguments
    PARAMETER_WILDCARD = 1 << 5,  // a name with * and ?
    PARAMETER_NIDUS = 1 << 6,     // not in Hyper-V: marked so in help
};

// Parameter sets: at most eight a cmdlet. A parameter in no set named is in all.
enum { PARAMETER_SET_1 = 1, PARAMETER_SET_2 = 2, PARAMETER_SET_3 = 4, PARAMETER_SET_4 = 8, PARAMETER_SET_5 = 16,
       PARAMETER_SET_6 = 32 };

struct parameter {
    const char *name;
    const char *aliases; // with blanks between, or NULL
    enum parameter_type type;
    unsigned flags;      // enum parameter_flags
    u8 sets;             // PARAMETER_SET_*; 0: all
    u8 position;         // 1..; 0: by name only
    const char *values;  // PARAMETER_ENUM: with blanks between, in the spelling that goes on
    s64 least, most;     // PARAMETER_INT, PARAMETER_BYTES: both 0: any
    const char *object;  // PARAMETER_OBJECT: class; others: the class whose names complete it, or NULL
    const char *help;    // a sentence
};

enum cmdlet_flags {
    CMDLET_LOCAL = 1 << 0,          // runs in the shell
    CMDLET_SHOULD_PROCESS = 1 << 1, // takes -WhatIf and -Confirm
    CMDLET_CONFIRM = 1 << 2,        // asks at a terminal unless -Force or -Confirm:$false
    CMDLET_CHANGES = 1 << 3,        // changes a record or a VM: gets a line in the audit log
    CMDLET_ABSENT = 1 << 4,         // known by name, not in nidus: answers so
    CMDLET_GUEST = 1 << 5,          // acts on the machine it is typed at, not on the service's (netlink in a guest)
};

struct cmdlet_example {
    const char *command; // runs as it stands
    const char *says;    // what it does, a sentence
};

enum { CMDLET_EXAMPLES = 4, CMDLET_SETS = 6 };

struct cmdlet {
    const char *name;    // "Set-VMProcessor"
    const char *aliases; // with blanks between, or NULL
    const char *module;  // "Hyper-V", "NetNat", "NetAdapter", "NetTCPIP", "Microsoft.PowerShell.Utility", ...
    unsigned flags;      // enum cmdlet_flags
    const char *synopsis;    // a sentence
    const char *description; // paragraphs, or NULL
    const struct parameter *parameters; // ends with a NULL name
    const char *sets[CMDLET_SETS];      // names of the parameter sets, the default one first; none: one set
    const char *output;                 // class it puts out, or NULL
    struct cmdlet_example examples[CMDLET_EXAMPLES];
};

// Without regard to case; an alias is found, too. NULL: none.
const struct cmdlet *cmdlet_find(const char *name);
const struct cmdlet *cmdlet_at(unsigned index); // in the table's order; NULL past the last
// -Verbose, -ErrorAction, -WhatIf, -Confirm ...: what cmdlets take besides their own. Ends with a NULL name. Not every
// cmdlet takes each: what asks whether it should go on has -WhatIf, what the service does has -ComputerName.
extern const struct parameter cmdlet_common_parameters[];
bool cmdlet_takes(const struct cmdlet *cmdlet, const struct parameter *common);
