// The host's time-stamp counter. Guests run on it directly, so all that is needed is its frequency: from CPUID when
// the host says it exactly, else measured against the host's clock, long enough for a few parts in a million.
#include "engine/soft/tsc.h"

#include <cpuid.h>
#include <time.h>

enum { TSC_MEASURE_NS = 10000000, TSC_TRIES = 3 };

static u64 tsc_from_cpuid(void)
{
    u32 denominator, numerator, crystal, reserved;
    if (__get_cpuid_max(0, NULL) < 0x15)
        return 0;
    __cpuid(0x15, denominator, numerator, crystal, reserved);
    return denominator && numerator ? (u64)crystal * numerator / denominator / 1000 : 0;
}

static u64 tsc_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_RAW, &now);
    return (u64)now.tv_sec * 1000000000 + (u64)now.tv_nsec;
}

// A moment on both clocks; the closest of several tries, since the scheduler may come between the two reads.
struct tsc_sample {
    u64 tsc, ns, spread;
};

static struct tsc_sample tsc_sample(void)
{
    struct tsc_sample best = {.spread = ~0ull};
    for (unsigned i = 0; i < TSC_TRIES; i++) {
        u64 before = __builtin_ia32_rdtsc(), ns = tsc_now_ns(), after = __builtin_ia32_rdtsc();
        if (after - before < best.spread)
            best = (struct tsc_sample){.tsc = before + (after - before) / 2, .ns = ns, .spread = after - before};
    }
    return best;
}

static u64 tsc_measure(void)
{
    struct tsc_sample from = tsc_sample();
    struct timespec wait = {.tv_nsec = TSC_MEASURE_NS};
    nanosleep(&wait, NULL);
    struct tsc_sample to = tsc_sample();
    return to.ns > from.ns ? (to.tsc - from.tsc) * 1000000 / (to.ns - from.ns) : 1000000;
}

u64 tsc_host_khz(void)
{
    u64 khz = tsc_from_cpuid();
    return khz ? khz : tsc_measure();
}
