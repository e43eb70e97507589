// Copying and filling without the C library, whose memcpy and friends use the vector registers that hold the guest's
// state (fpu.h). The string instructions need general registers only, and on the hosts of today they are as fast as
// anything from some hundred bytes on. Short constant sizes are better written as __builtin_memcpy, which the
// compiler expands.
#pragma once

#include "base/types.h"

static inline void bytes_copy(void *to, const void *from, u64 bytes)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

static inline void bytes_set(void *to, u8 value, u64 bytes)
{
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
}

// 0 when equal, else the sign of the first difference, as memcmp.
static inline int bytes_compare(const void *left, const void *right, u64 bytes)
{
    const u8 *a = left, *b = right;
    for (u64 i = 0; i < bytes; i++)
        if (a[i] != b[i])
            return a[i] < b[i] ? -1 : 1;
    return 0;
}

// The two ranges may overlap.
static inline void bytes_move(void *to, const void *from, u64 bytes)
{
    u8 *target = to;
    const u8 *source = from;
    if ((u64)(target - source) >= bytes) {
        bytes_copy(to, from, bytes);
        return;
    }
    for (u64 i = bytes; i-- > 0;) {
        target[i] = source[i];
        __asm__ volatile("" : : : "memory"); // or the compiler sees memmove in this loop
    }
}

// A value of 1..8 bytes in guest memory, which any other processor may be changing: a naturally sized, possibly
// misaligned, single access for the sizes that have one, so that guests see the atomicity that the manual promises
// (SDM 3A 9.1.1).
typedef u16 __attribute__((aligned(1))) u16_anywhere;
typedef u32 __attribute__((aligned(1))) u32_anywhere;
typedef u64 __attribute__((aligned(1))) u64_anywhere;

static inline u64 bytes_load(const void *from, unsigned size)
{
    switch (size) {
    case 1:
        return *(const volatile u8 *)from;
    case 2:
        return *(const volatile u16_anywhere *)from;
    case 4:
        return *(const volatile u32_anywhere *)from;
    case 8:
        return *(const volatile u64_anywhere *)from;
    default: {
        u64 value = 0;
        bytes_copy(&value, from, size);
        return value;
    }
    }
}

static inline void bytes_store(void *to, unsigned size, u64 value)
{
    switch (size) {
    case 1:
        *(volatile u8 *)to = (u8)value;
        break;
    case 2:
        *(volatile u16_anywhere *)to = (u16)value;
        break;
    case 4:
        *(volatile u32_anywhere *)to = (u32)value;
        break;
    case 8:
        *(volatile u64_anywhere *)to = value;
        break;
    default:
        bytes_copy(to, &value, size);
    }
}
