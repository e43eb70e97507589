// The host's time-stamp counter, which guests read with an offset.
#pragma once

#include "base/types.h"

u64 tsc_host_khz(void); // takes 10 ms where CPUID does not tell
