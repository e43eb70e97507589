// A worker says what was wrong in the words of `nidus run`, whose code it is: its options. Who typed cmdlets is told what
// to type of those.
#pragma once

#include <stddef.h>

// `to` gets `text`, or as much of it as there is room for.
void words_of_cmdlets(char *to, size_t room, const char *text);
