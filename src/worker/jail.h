// What a VM's process gives up before its first guest runs: a guest that breaks out of the monitor finds a process that can
// start no program and no other process, gain no privilege, trace nothing, and change nothing of the system.
#pragma once

#include "base/error.h"

// For this process and all threads it will have. On a kernel without seccomp filters (some tiny guests') only privileges
// are given up.
int jail_enter(struct error *error);
