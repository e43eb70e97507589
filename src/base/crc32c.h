// CRC-32C (Castagnoli), for whatever is written now and read back later, perhaps by somebody else. It finds accidents,
// not malice.
#pragma once

#include "base/types.h"

// Begins with 0; goes on with what it returned.
u32 crc32c(u32 crc, const void *bytes, size_t count);
