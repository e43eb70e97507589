// The commands at the end of the user's fingers: `nidus CMDLET ARGS...`, `nidus -Command TEXT`, `nidus FILE.ps1`,
// `nidus` at a terminal, and what completion scripts and the build ask.
#pragma once

#include "base/types.h"

// argv as main got it. The exit status: 0, 1 if a command failed, 2 for a command line that makes no sense.
int shell_main(int argc, char **argv);
// Whether a first word is the shell's to deal with: a cmdlet, a script, one of the shell's own options.
bool shell_knows(const char *word);
