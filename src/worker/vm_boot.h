// From files to a guest about to run its first instruction.
#pragma once

#include "engine/engine.h"
#include "machine/board.h"
#include "worker/run_options.h"

// Loads the images into the board's memory and sets the registers of `first`.
int vm_boot(const struct run_options *options, struct board *board, const struct engine *engine,
            struct engine_vcpu *first, struct error *error);
