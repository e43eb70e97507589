// XSAVE areas in the host's own layout. Where a component lies is the processor's to say (SDM vol. 1 13.4.2; APM vol.
// 2 11.5.2): Intel's keep a gap for MPX in front of AVX-512's, AMD's do not. The tester's struct vectors is one of the
// two for all hosts, and this is the only place that knows the other.
#include <cpuid.h>
#include <string.h>

#include "random.h"

enum { LEGACY_AND_HEADER = 576, AVX = 2, OPMASK = 5, ZMM_HIGH = 6, ZMM16 = 7 };

#define FIELD(number, name) {number, offsetof(struct vectors, name), sizeof(((struct vectors *)0)->name)}
static const struct { unsigned number, offset, bytes; } component[] = {
    FIELD(AVX, ymm_high), FIELD(OPMASK, opmask), FIELD(ZMM_HIGH, zmm_high), FIELD(ZMM16, zmm16),
};
static unsigned host_offset[ARRAY_SIZE(component)];

bool area_init(void)
{
    u32 eax, ebx, ecx, edx, low, high;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx >> 27 & 1)) // OSXSAVE
        return false;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & AREA_COMPONENTS) != AREA_COMPONENTS)
        return false;
    for (unsigned i = 0; i < ARRAY_SIZE(component); i++) {
        __cpuid_count(0xd, component[i].number, eax, ebx, ecx, edx);
        if (eax != component[i].bytes || ebx < LEGACY_AND_HEADER || ebx + eax > STATE_XSAVE)
            return false;
        host_offset[i] = ebx;
    }
    return true;
}

// No library call: this runs in signal handlers between two states of the vector registers' control word.
static void copy(void *to, const void *from, size_t bytes)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

void area_load(struct vectors *to, const void *area)
{
    const u8 *from = area;
    copy(to, from, LEGACY_AND_HEADER);
    for (unsigned i = 0; i < ARRAY_SIZE(component); i++)
        copy((u8 *)to + component[i].offset, from + host_offset[i], component[i].bytes);
}

void area_store(void *area, const struct vectors *from)
{
    u8 *to = area;
    copy(to, from, LEGACY_AND_HEADER);
    for (unsigned i = 0; i < ARRAY_SIZE(component); i++)
        copy(to + host_offset[i], (const u8 *)from + component[i].offset, component[i].bytes);
}
