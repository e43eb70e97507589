// Files that start with what is typed, for completion.
#pragma once

#include "cmdlet/complete.h"

void paths_offer(const char *prefix, struct completions *to); // folders end with a slash
