// Users of their own for the workers that a service of root's starts (record.h has the range).
#pragma once

#include "base/types.h"

bool user_possible(void); // whether this process can start a worker that becomes one
