// A file system of a process's own that holds a few paths of the host's and nothing else.
#pragma once

#include "jail/jail.h"

// In a mount namespace of our own. The working directory keeps its name. 0 or a negative errno.
int jail_root_enter(const struct jail_config *config);
