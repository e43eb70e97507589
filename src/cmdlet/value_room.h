// What the files that make up values share among themselves.
#pragma once

#include "cmdlet/value.h"

struct value *value_string_put(char *text); // takes the allocated text over
