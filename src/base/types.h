// Short names for the widths every other file counts in. Guest-visible layouts are built from these only.
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;
typedef unsigned __int128 u128;

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(pointer, type, member) ((type *)((char *)(pointer) - offsetof(type, member)))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

#define KIB(n) ((u64)(n) << 10)
#define MIB(n) ((u64)(n) << 20)
#define GIB(n) ((u64)(n) << 30)

enum { PAGE_BITS = 12, PAGE_BYTES = 1 << PAGE_BITS };

static inline u64 align_down(u64 value, u64 power_of_two) { return value & -power_of_two; }
static inline u64 align_up(u64 value, u64 power_of_two) { return (value + power_of_two - 1) & -power_of_two; }
