// A program that is not ours, run for one VM: what it is not to have of a service of root's.
#pragma once

#include "base/types.h"

// In the child, before it is executed, with root's powers: becomes `user`, as the VM's own process does, and keeps of
// root's powers only that of opening files, for what it serves need not be its own. Gone are the network, other
// processes, and every way back. 0 or a negative errno.
int confine_program(u32 user);
