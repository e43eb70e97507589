// What somebody may have meant who mistyped a name.
#pragma once

#include "cmdlet/cmdlet.h"

// How many letters one has to change, without regard to case; more than `most` counts as most + 1.
unsigned nearest_distance(const char *left, const char *right, unsigned most);
const char *nearest_cmdlet(const char *name); // NULL: nothing is near
const char *nearest_parameter(const struct cmdlet *cmdlet, const char *name);
const char *nearest_word(const char *words, const char *name, char *room, size_t bytes); // of words with blanks between
