// Which engines there are, and which one a VM gets. One table, in order of preference; everything else (help, errors,
// --engine) is derived from it.
#pragma once

#include "engine/engine.h"

// The engines, preferred first.
const struct engine *const *engine_list(unsigned *count);

// The engine called `name`, if it can give what `config` asks for; with "auto" the first of the table that can. NULL
// with the reason, or every engine's reason, in `error`.
const struct engine *engine_select(const char *name, const struct engine_config *config, struct error *error);
