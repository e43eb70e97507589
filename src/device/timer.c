// See timer.h.
#include "device/timer.h"

#include <assert.h>

void timer_init(struct timer *timer, struct timer_list *list, void (*expire)(void *context, u64 now), void *context)
{
    assert(list->count < TIMER_LIST_MAX);
    *timer = (struct timer){.expire = expire, .context = context, .list = list, .deadline = TIMER_NEVER};
    list->timers[list->count++] = timer;
}

void timer_arm(struct timer *timer, u64 deadline) { timer->deadline = deadline; }
void timer_disarm(struct timer *timer) { timer->deadline = TIMER_NEVER; }

u64 timer_next(const struct timer_list *list)
{
    u64 next = TIMER_NEVER;
    for (unsigned i = 0; i < list->count; i++)
        if (list->timers[i]->deadline < next)
            next = list->timers[i]->deadline;
    return next;
}

void timer_run(struct timer_list *list)
{
    u64 now = clock_now(&list->clock);
    for (unsigned i = 0; i < list->count; i++) {
        struct timer *timer = list->timers[i];
        if (timer->deadline > now)
            continue;
        timer->deadline = TIMER_NEVER;
        timer->expire(timer->context, now);
    }
}
