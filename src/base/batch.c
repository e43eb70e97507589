// See batch.h. A doorbell wakes the device's thread, and with one processor the kernel would run that thread at once in
// place of the vCPU that rang: each frame then goes all its way (thread, switch, host) before the guest makes the next,
// and each answer comes back as alone. A thread of SCHED_BATCH is not hurried so (sched(7)): the vCPU goes on until it
// halts, which a guest that waits for an answer does at once, and a guest that has more to send does when its window or
// its queue is full. Measured in a level-1 guest with one processor, for its level-2 guests: ten times the datagrams
// between two of them, eight times those to the outside, one and a half times the throughput of TCP.
#include "base/batch.h"

#include <sched.h>

void batch_thread(void)
{
    cpu_set_t processors;
    if (sched_getaffinity(0, sizeof processors, &processors) == 0 && CPU_COUNT(&processors) == 1)
        sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0});
}
