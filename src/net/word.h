// Numbers in network byte order, wherever they lie.
#pragma once

#include "base/types.h"

static inline u16 read16(const u8 *at) { return (u16)(at[0] << 8 | at[1]); }
static inline u32 read32(const u8 *at) { return (u32)read16(at) << 16 | read16(at + 2); }
static inline void write16(u8 *at, u32 value)
{
    at[0] = (u8)(value >> 8);
    at[1] = (u8)value;
}
static inline void write32(u8 *at, u32 value)
{
    write16(at, value >> 16);
    write16(at + 2, value);
}
