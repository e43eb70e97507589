// `nidus` at a terminal: reads commands until they are whole, runs them, remembers them.
#pragma once

#include "shell/shell.h"

int prompt_run(struct shell *shell); // until the end of input or `exit`; the exit status
