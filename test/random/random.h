// The random-instruction tester: the same few instructions from the same state, run by the bare machine and by the soft
// engine, must end in the same registers, memory and exception. The silicon is the definition of what nidus re-encodes,
// so this is its proof.
//
// Both sides see the same linear addresses: a data region of two writable pages and one read-only page between pages
// that are not there, and a code region. Natively they are mappings of this process; the guest's page tables map RAM
// there. A case's code ends in INT3, so that each case ends in exactly one exception, which says where and why.
#pragma once

#include "base/types.h"

#define DATA_BASE 0x10000000ull
#define CODE_BASE 0x20000000ull
#define FS_BASE 0x1230ull
#define GS_BASE 0x7ffff0ull
enum { DATA_WRITABLE = 2 * PAGE_BYTES, DATA_MAPPED = 3 * PAGE_BYTES, CODE_PAGES = 64,
    CODE_REGION = CODE_PAGES * PAGE_BYTES };
enum { CASE_INSNS = 4, CASE_CODE = 64, STATE_XSAVE = 2688 };

// A case has a slot of the code region. The first slot of each page is left to the case in the last one of the page
// before, which is moved so that it crosses the boundary.
enum { SLOT_BYTES = 128, PAGE_SLOTS = PAGE_BYTES / SLOT_BYTES, BATCH = (CODE_PAGES - 1) * (PAGE_SLOTS - 1) };
static inline u64 slot_address(unsigned index)
{
    return CODE_BASE + index / (PAGE_SLOTS - 1) * PAGE_BYTES + (1 + index % (PAGE_SLOTS - 1)) * SLOT_BYTES;
}

// Selectors as Linux gives them to processes, which the guest's GDT has too.
enum { USER_CS32 = 0x23, USER_DS = 0x2b, USER_CS64 = 0x33 };

// 16-bit code has segments of its own in an LDT, and a run has either it or the others: one code segment for each 64
// KiB of the code region, and one data segment that begins with the data region and ends in its read-only page.
enum { LDT_CODES = CODE_REGION >> 16, LDT_DATA = LDT_CODES << 3 | 7, LDT_DATA_LIMIT = DATA_WRITABLE + 0x7ff };
// FS and GS, natively, where the host's kernel has LDTs.
enum { LDT_FS = (LDT_CODES + 1) << 3 | 7, LDT_GS = (LDT_CODES + 2) << 3 | 7 };
static inline u16 ldt_code(u64 rip) { return (u16)((rip - CODE_BASE) >> 16 << 3 | 7); }

// What an XSAVE area holds, in standard format with Intel's offsets. area.c converts from and to the host's.
struct vectors {
    u16 fcw, fsw;
    u8 ftw, reserved;
    u16 fop;
    u64 fip, fdp;
    u32 mxcsr, mxcsr_mask;
    u8 st[8][16];
    u8 xmm[16][16];
    u8 available[96];
    u64 xstate_bv, xcomp_bv, header[6];
    u8 ymm_high[16][16];
    u8 gap[256];
    u64 opmask[8];
    u8 zmm_high[16][32];
    u8 zmm16[16][64];
} __attribute__((aligned(64)));
static_assert(sizeof(struct vectors) == STATE_XSAVE, "the end of AVX-512's state");
#define AREA_COMPONENTS 0xe7u // x87, SSE, AVX, AVX-512

struct state {
    struct vectors vectors;
    u64 gpr[16]; // in the encoding's order
    u64 rip, flags;
    u32 vector, error;
    u64 cr2;
};

enum test_class {
    CLASS_ALL, CLASS_COPY, CLASS_STACK, CLASS_FLOW, CLASS_STRING, CLASS_STATE, CLASS_SYSTEM, CLASS_VECTOR, CLASS_X87,
    CLASS_COUNT
};

struct test {
    u64 number;              // with the seed, it makes the case
    unsigned bits;           // of the code segment: 16, 32, 64
    unsigned insns, length;
    u8 bytes[CASE_CODE];
    u32 undefined;           // flags that no manual defines, at the end
    u32 undefined_once;      // and those somewhere on the way
    bool pointers;           // x87's pointers to code and data may be in memory
    bool intel, paravirtual; // as in struct options
    struct state before, native, soft;
    u8 *native_memory;       // DATA_WRITABLE bytes, NULL: unchanged
};

struct random { u64 state; };
static inline u64 random_next(struct random *random)
{
    u64 z = random->state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}
static inline unsigned random_below(struct random *random, unsigned limit)
{
    return (unsigned)((random_next(random) >> 32) * limit >> 32);
}
static inline bool random_percent(struct random *random, unsigned percent)
{
    return random_below(random, 100) < percent;
}

struct options {
    u64 seed, first, cases;
    enum test_class class;
    unsigned bits;  // 64, 32, 16; 0: 64 and 32
    unsigned insns; // at most in a case
    bool native_only, verbose, keep_going;
    bool paravirtual; // the host's kernel is (native.c)
    bool intel;       // the host's processor is, as the virtual one
};

static inline u64 code_base(const struct test *test)
{
    return test->bits == 16 ? test->before.rip & ~0xffffull : 0;
}

// area.c: XSAVE areas of the host's layout, STATE_XSAVE bytes at most. False: the host does not have all components.
bool area_init(void);
void area_load(struct vectors *to, const void *area);
void area_store(void *area, const struct vectors *from);

// undefined.c; undefined: the flags that are so before the instruction
u32 undefined_after(u32 undefined, const void *zydis_insn);
bool unspecified(const void *zydis_insn, unsigned bits);
bool host_is_intel(void);

// generate.c
void generate_memory(struct random *random, u8 data[DATA_MAPPED]);
void generate_test(struct test *test, const struct options *options, u64 number, u64 rip);

// native.c: maps the regions; runs tests and fills test->native and native_memory. A kernel without LDTs and 32-bit
// code segments runs 64-bit cases only.
bool native_has_segments(void);
void native_create(unsigned bits);
void native_set_memory(const u8 data[DATA_MAPPED]);
void native_run(struct test *tests, unsigned count);
// The code of the tests that were run last, at that address, and how much of it there is to the region's end; or NULL.
const u8 *native_code(u64 rip, u64 *bytes);

// guest.c: the same on the soft engine; the comparison of memory is done here, where it is
void guest_create(unsigned bits);
void guest_begin(const struct test *tests, unsigned count, const u8 data[DATA_MAPPED]);
bool guest_run(struct test *test, u8 memory[DATA_WRITABLE]); // memory: as the test left it, if it changed

// compare.c
bool compare_test(const struct test *test, const u8 *native_memory, const u8 *soft_memory, bool report);
void print_test(const struct test *test);
void decoder_init(void *zydis_decoder, unsigned bits);
