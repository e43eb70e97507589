// The local APIC's timer, and the one thread per VM that waits for all of them. The timer's clock runs at 1 GHz, so
// that counts divided by the divider are nanoseconds.
//
// A vCPU arms its timer by writing its own slot, and sets the thread's timer only when that is earlier than what it is
// set for: a guest that moves its deadline forward all the time (every tick, every idle) costs no system call.
// Cancelled and moved deadlines make the thread wake for nothing once. The thread sleeps on a timerfd, not on a futex
// with a timeout: to set that does not wake the thread, which takes some hosts 50 us of the vCPU's own time.
#include "engine/soft/lapic_state.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "engine/soft/vm.h"

enum { NS_PER_SECOND = 1000000000, TIMER_PERIOD_MIN = 20000 };

struct lapic_clock {
    _Atomic u64 wake[ENGINE_MAX_VCPUS]; // when this vCPU wants to be told, LAPIC_NEVER
    _Atomic u64 armed;                  // what the timer is set for, LAPIC_NEVER
    pthread_mutex_t lock;               // held while the timer is set
    int timer;                          // timerfd
    _Atomic bool stop;
    unsigned users;
    pthread_t thread;
};

static u64 timer_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (u64)now.tv_sec * NS_PER_SECOND + (u64)now.tv_nsec;
}

// The thread.

static u64 timer_earliest(struct lapic_clock *clock)
{
    u64 earliest = LAPIC_NEVER;
    for (unsigned i = 0; i < ENGINE_MAX_VCPUS; i++) {
        u64 at = atomic_load(&clock->wake[i]);
        earliest = at < earliest ? at : earliest;
    }
    return earliest;
}

static void timer_tell(struct engine_vm *vm, u64 now)
{
    struct lapic_clock *clock = vm->lapic_clock;
    pthread_mutex_lock(&vm->lock); // or a vCPU could be destroyed while it is told
    for (unsigned i = 0; i < ENGINE_MAX_VCPUS; i++) {
        u64 at = atomic_load(&clock->wake[i]);
        // Lost to a vCPU that has just moved it, which then needs no telling.
        if (at <= now && atomic_compare_exchange_strong(&clock->wake[i], &at, LAPIC_NEVER))
            lapic_attend(vm->cpu[i]);
    }
    pthread_mutex_unlock(&vm->lock);
}

static void timer_set(struct lapic_clock *clock, u64 at)
{
    const struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(at / NS_PER_SECOND), .tv_nsec = (long)(at % NS_PER_SECOND)}};
    atomic_store(&clock->armed, at);
    timerfd_settime(clock->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static void timer_set_earlier(struct lapic_clock *clock, u64 at)
{
    pthread_mutex_lock(&clock->lock);
    if (at < atomic_load(&clock->armed))
        timer_set(clock, at);
    pthread_mutex_unlock(&clock->lock);
}

static void timer_set_again(struct lapic_clock *clock)
{
    pthread_mutex_lock(&clock->lock);
    // Said before the slots are looked at: an earlier deadline written meanwhile is either seen here, or its writer
    // sees that nothing is set, and sets it itself.
    atomic_store(&clock->armed, LAPIC_NEVER);
    const u64 earliest = timer_earliest(clock);
    if (earliest != LAPIC_NEVER)
        timer_set(clock, earliest);
    pthread_mutex_unlock(&clock->lock);
}

static void *timer_thread(void *argument)
{
    struct engine_vm *vm = argument;
    struct lapic_clock *clock = vm->lapic_clock;
    u64 expirations;
    while (!atomic_load(&clock->stop)) {
        if (read(clock->timer, &expirations, sizeof expirations) < 0)
            continue; // a signal
        timer_tell(vm, timer_now());
        timer_set_again(clock);
    }
    return NULL;
}

static void timer_free(struct lapic_clock *clock)
{
    if (clock->timer >= 0)
        close(clock->timer);
    pthread_mutex_destroy(&clock->lock);
    free(clock);
}

// NULL with errno set.
static struct lapic_clock *timer_clock_create(void)
{
    struct lapic_clock *clock = calloc(1, sizeof *clock);
    if (!clock)
        return NULL;
    for (unsigned i = 0; i < ENGINE_MAX_VCPUS; i++)
        atomic_init(&clock->wake[i], LAPIC_NEVER);
    atomic_init(&clock->armed, LAPIC_NEVER);
    pthread_mutex_init(&clock->lock, NULL);
    clock->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    if (clock->timer >= 0)
        return clock;
    const int reason = errno;
    timer_free(clock);
    errno = reason;
    return NULL;
}

int lapic_timer_create(struct cpu *cpu)
{
    struct engine_vm *vm = cpu->vm;
    int result = 0;
    pthread_mutex_lock(&vm->lock);
    if (!vm->lapic_clock) {
        struct lapic_clock *clock = vm->lapic_clock = timer_clock_create();
        result = clock ? -pthread_create(&clock->thread, NULL, timer_thread, vm) : -errno;
        if (clock && result) {
            timer_free(clock);
            vm->lapic_clock = NULL;
        }
    }
    if (!result)
        vm->lapic_clock->users++;
    pthread_mutex_unlock(&vm->lock);
    return result;
}

void lapic_timer_destroy(struct cpu *cpu)
{
    struct engine_vm *vm = cpu->vm;
    struct lapic_clock *clock = vm->lapic_clock;
    pthread_mutex_lock(&vm->lock);
    atomic_store(&clock->wake[cpu->id], LAPIC_NEVER);
    bool last = --clock->users == 0;
    pthread_mutex_unlock(&vm->lock);
    if (!last)
        return;
    atomic_store(&clock->stop, true);
    pthread_mutex_lock(&clock->lock);
    timer_set(clock, 1); // a moment long ago
    pthread_mutex_unlock(&clock->lock);
    pthread_join(clock->thread, NULL);
    timer_free(clock);
    vm->lapic_clock = NULL;
}

// The vCPU's side.

static void timer_arm(struct cpu *cpu, u64 expiry)
{
    struct lapic_clock *clock = cpu->vm->lapic_clock;
    cpu->lapic->expiry = expiry;
    if (cpu->lapic->alarm < expiry)
        expiry = cpu->lapic->alarm;
    atomic_store(&clock->wake[cpu->id], expiry);
    if (expiry < atomic_load(&clock->armed))
        timer_set_earlier(clock, expiry);
}

static u64 timer_ns(const struct cpu *cpu, u64 ticks) // rounded up: a timer that comes too early has to come again
{
    u64 khz = cpu->vm->tsc_khz;
    return khz ? ticks / khz * 1000000 + (ticks % khz * 1000000 + khz - 1) / khz : ticks;
}

void lapic_alarm_set(struct cpu *cpu, u64 ticks)
{
    cpu->lapic->alarm = timer_now() + timer_ns(cpu, ticks);
    if (cpu->lapic->alarm < atomic_load(&cpu->vm->lapic_clock->wake[cpu->id]))
        timer_arm(cpu, cpu->lapic->expiry);
}

void lapic_alarm_cancel(struct cpu *cpu) { cpu->lapic->alarm = LAPIC_NEVER; }

bool lapic_alarm_rang(const struct cpu *cpu)
{
    return atomic_load(&cpu->vm->lapic_clock->wake[cpu->id]) > cpu->lapic->alarm;
}

static unsigned timer_mode(const struct lapic *lapic) { return lapic_get_reg(lapic, APIC_LVT_TIMER) >> 17 & 3; }

// The divider, from bits 3, 1 and 0 of its register: 0 is 2, ... 6 is 128, 7 is 1.
static u64 timer_divider(u32 divide)
{
    unsigned code = (divide & 3) | (divide >> 1 & 4);
    return 1ull << ((code + 1) & 7);
}

static u64 timer_period(const struct lapic *lapic)
{
    u64 period = lapic_get_reg(lapic, APIC_INITIAL_COUNT) * timer_divider(lapic_get_reg(lapic, APIC_DIVIDE));
    // A periodic timer that no processor could keep up with would only be the monitor's burden.
    return period && period < TIMER_PERIOD_MIN && timer_mode(lapic) == APIC_TIMER_PERIODIC ? TIMER_PERIOD_MIN : period;
}

static void timer_fire(struct cpu *cpu)
{
    u32 lvt = lapic_get_reg(cpu->lapic, APIC_LVT_TIMER);
    if (!(lvt & APIC_LVT_MASKED))
        lapic_accept(cpu, (u8)lvt, false);
}

void lapic_timer_stop(struct cpu *cpu)
{
    if (cpu->lapic->expiry != LAPIC_NEVER)
        timer_arm(cpu, LAPIC_NEVER);
}

void lapic_timer_start(struct cpu *cpu)
{
    u64 period = timer_period(cpu->lapic);
    if (period)
        timer_arm(cpu, timer_now() + period);
    else
        lapic_timer_stop(cpu);
}

u32 lapic_timer_count(struct cpu *cpu)
{
    const struct lapic *lapic = cpu->lapic;
    if (lapic->expiry == LAPIC_NEVER || timer_mode(lapic) == APIC_TIMER_DEADLINE)
        return 0;
    u64 now = timer_now(), left = 0, period = timer_period(lapic);
    if (now < lapic->expiry)
        left = lapic->expiry - now;
    else if (timer_mode(lapic) == APIC_TIMER_PERIODIC && period)
        left = period - (now - lapic->expiry) % period;
    u64 divider = timer_divider(lapic_get_reg(lapic, APIC_DIVIDE));
    return (u32)((left + divider - 1) / divider);
}

void lapic_timer_mode(struct cpu *cpu, u32 old_lvt)
{
    struct lapic *lapic = cpu->lapic;
    unsigned mode = timer_mode(lapic), old = old_lvt >> 17 & 3;
    // What has reached zero but was not looked at since has done so in its old mode, and does not start again in the
    // new one.
    if (old == APIC_TIMER_ONE_SHOT && mode != old && lapic->expiry != LAPIC_NEVER && timer_now() >= lapic->expiry) {
        lapic_timer_stop(cpu);
        if (!(old_lvt & APIC_LVT_MASKED))
            lapic_accept(cpu, (u8)old_lvt, false);
    }
    if (mode == old || (mode != APIC_TIMER_DEADLINE && old != APIC_TIMER_DEADLINE))
        return; // between one-shot and periodic the count goes on
    lapic_timer_stop(cpu);
    lapic_set_reg(lapic, APIC_INITIAL_COUNT, 0);
    lapic->deadline = 0;
}

void lapic_timer_divide(struct cpu *cpu, u32 divide)
{
    struct lapic *lapic = cpu->lapic;
    u32 count = lapic_timer_count(cpu);
    lapic_set_reg(lapic, APIC_DIVIDE, divide);
    if (count)
        timer_arm(cpu, timer_now() + count * timer_divider(divide));
}

void lapic_timer_restore(struct cpu *cpu, u32 current)
{
    struct lapic *lapic = cpu->lapic;
    if (timer_mode(lapic) != APIC_TIMER_DEADLINE && lapic_get_reg(lapic, APIC_INITIAL_COUNT) && current)
        timer_arm(cpu, timer_now() + current * timer_divider(lapic_get_reg(lapic, APIC_DIVIDE)));
}

u64 lapic_next_timer(const struct cpu *cpu) { return cpu->lapic->expiry; }

static u64 timer_guest_tsc(const struct cpu *cpu) { return __builtin_ia32_rdtsc() + cpu->tsc_offset; }

u64 lapic_deadline_read(struct cpu *cpu) { return cpu->lapic->deadline; }

static void timer_arm_deadline(struct cpu *cpu)
{
    struct lapic *lapic = cpu->lapic;
    u64 left = lapic->deadline - timer_guest_tsc(cpu);
    if ((s64)left <= 0) {
        lapic->deadline = 0;
        lapic_timer_stop(cpu);
        timer_fire(cpu);
        return;
    }
    timer_arm(cpu, timer_now() + timer_ns(cpu, left));
}

void lapic_deadline_write(struct cpu *cpu, u64 tsc)
{
    struct lapic *lapic = cpu->lapic;
    if (timer_mode(lapic) != APIC_TIMER_DEADLINE)
        return; // reads as zero and ignores writes in the other modes (SDM 3A 11.5.4.1)
    lapic->deadline = tsc;
    if (tsc)
        timer_arm_deadline(cpu);
    else
        lapic_timer_stop(cpu);
}

void lapic_tsc_moved(struct cpu *cpu)
{
    if (timer_mode(cpu->lapic) == APIC_TIMER_DEADLINE && cpu->lapic->deadline)
        timer_arm_deadline(cpu);
}

void lapic_timer_expire(struct cpu *cpu)
{
    struct lapic *lapic = cpu->lapic;
    // Reading the clock would cost more than all the rest of an event_poll: the thread knows, and has emptied the slot.
    if (lapic->expiry == LAPIC_NEVER ||
        atomic_load_explicit(&cpu->vm->lapic_clock->wake[cpu->id], memory_order_relaxed) <= lapic->expiry)
        return;
    if (timer_now() < lapic->expiry)
        timer_arm(cpu, lapic->expiry); // told too early, or on account of something else
    else
        lapic_timer_catch_up(cpu);
}

void lapic_timer_catch_up(struct cpu *cpu)
{
    struct lapic *lapic = cpu->lapic;
    u64 now = timer_now();
    if (now < lapic->expiry) // LAPIC_NEVER too
        return;
    if (timer_mode(lapic) == APIC_TIMER_DEADLINE) {
        timer_arm_deadline(cpu);
        return;
    }
    u64 period = timer_period(lapic);
    if (timer_mode(lapic) == APIC_TIMER_PERIODIC && period)
        timer_arm(cpu, lapic->expiry + ((now - lapic->expiry) / period + 1) * period); // missed ticks are lost
    else
        lapic_timer_stop(cpu);
    timer_fire(cpu);
}
