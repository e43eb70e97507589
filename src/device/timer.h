// Call-backs at a guest time. A board has a handful of timers, so an array that is searched is both the smallest and
// the fastest structure; whoever owns the list sleeps until timer_next and then calls timer_run.
#pragma once

#include "device/device.h"

enum { TIMER_LIST_MAX = 32 };
#define TIMER_NEVER UINT64_MAX

struct timer_list;

struct timer {
    void (*expire)(void *context, u64 now); // may arm or disarm any timer
    void *context;
    struct timer_list *list;
    u64 deadline; // TIMER_NEVER: not armed
};

// In a chip's table of state: the deadline of its timer.
#define TIMER_STATE(type, member) STATE_FIELD(type, member.deadline)

struct timer_list {
    struct clock clock;
    struct timer *timers[TIMER_LIST_MAX];
    unsigned count;
};

// Connects a timer to its list, not armed. A timer lives as long as its list.
void timer_init(struct timer *timer, struct timer_list *list, void (*expire)(void *context, u64 now), void *context);

void timer_arm(struct timer *timer, u64 deadline); // in the past: expires at the next timer_run
void timer_disarm(struct timer *timer);
static inline u64 timer_now(const struct timer *timer) { return clock_now(&timer->list->clock); }

u64 timer_next(const struct timer_list *list); // earliest deadline, or TIMER_NEVER

// Expires what is due, each timer at most once, so that a timer that always re-arms in the past cannot hold the caller.
void timer_run(struct timer_list *list);
