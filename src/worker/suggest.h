// The nearest of a list of words to one that was mistyped: a message that names it saves the user a trip to the manual.
#pragma once

// `word` and the candidates are compared without regard to case. NULL when nothing is near enough to be meant.
// `candidate(index)` gives the words until it returns NULL.
const char *suggest_nearest(const char *word, const char *(*candidate)(unsigned index));
