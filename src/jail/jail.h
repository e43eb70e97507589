// What a VM's process gives up before its first guest runs, and a switch's before its first frame: who breaks out of
// the monitor, or into the switch, finds a process that sees no file and no network but its own, can start no program
// and no other process, gain no privilege, trace nothing, and change nothing of the system.
//
// It is given up in stages, each for a reason of its own (jail.c names them). A host may forbid some: most containers
// allow no namespaces, tiny kernels have no seccomp. Then the others hold, and the report says which do not, and why.
#pragma once

#include "base/error.h"
#include "base/types.h"

enum { JAIL_PATHS = 4 };

struct jail_path {
    const char *path; // NULL: none
    bool writable; // a directory
    bool device;   // opened for writing, though its name is not
};

struct jail_config {
    u32 user;     // the user and group number to become, when we are root; 0: who we are
    bool network; // the host's network stays reachable: the user-mode network is made of the host's sockets
    // What stays reachable by name: what the VM writes later, and what its parts read again. Paths that do not exist
    // are passed over. `anywhere` instead: nobody can tell yet where a state will be saved to.
    struct jail_path paths[JAIL_PATHS];
    bool anywhere;
    const int *calls; // the system calls it makes, besides those of threads; SCMP_SYS(...)
    size_t call_count;
};

struct jail_report {
    char held[128];   // the stages that hold, with blanks between
    bool rooted;      // there is a root of our own, with the paths in it and nothing else
    char lacking[384]; // "network namespace: Operation not permitted; ..." or empty
};

// For this process and all threads it will have; it has none yet. -1 only if privileges that we have cannot be given
// up.
int jail_enter(const struct jail_config *config, struct jail_report *report, struct error *error);
