// See memory_control.h. What the guest says decides only about its own memory: a guest that lies about its demand
// gets at most the maximum of the policy, and one that lies about its balloon has pages that it was given anyway.
//
// The lock is taken before the devices' own; they call back without theirs.
#include "worker/memory_control.h"

#include <pthread.h>
#include <stdlib.h>

#include "virtio/virtio_balloon.h"
#include "virtio/virtio_mem.h"

// Growing is done at once, as a guest that waits for memory is slow or ends programs; shrinking by a part of what
// there is to spare a report, so that a program that lets go of memory for a moment finds it still there, and not at
// all for less than a little, which would keep the guest's page cache moving for nothing.
enum { REPORTS_MS = 1000, SHRINK_PART = 4 };
#define SHRINK_LEAST MIB(16)

struct memory_control {
    pthread_mutex_t lock;
    u64 startup, most;
    struct virtio_pci *balloon, *hotplug; // hotplug NULL: nothing can be plugged
    struct memory_policy policy;
    bool (*held)(void *context); // or NULL
    void *held_context;
};

static u64 memory_clamp(u64 value, u64 least, u64 most) { return value < least ? least : value > most ? most : value; }

static void memory_control_look(struct memory_control *control, struct memory_status *status)
{
    struct virtio_balloon_status balloon;
    struct virtio_mem_status hotplug = {0};
    virtio_balloon_get(control->balloon, &balloon);
    if (control->hotplug)
        virtio_mem_get(control->hotplug, &hotplug);
    u64 held = balloon.held < control->startup ? balloon.held : control->startup;
    *status = (struct memory_status){
        .startup = control->startup,
        .most = control->most,
        .assigned = control->startup - held + hotplug.plugged,
        .target = control->startup - balloon.target + hotplug.requested,
        .available = balloon.available,
        .balloon = balloon.live,
        .hotplug = hotplug.live,
    };
    // What is neither available nor ballooned is in use, the kernel's own part included, which its total leaves out.
    if (balloon.available && balloon.available < status->assigned)
        status->demand = status->assigned - balloon.available;
}

static void memory_control_apply(struct memory_control *control, u64 target)
{
    virtio_balloon_ask(control->balloon, target < control->startup ? control->startup - target : 0);
    if (control->hotplug)
        virtio_mem_request(control->hotplug, target > control->startup ? target - control->startup : 0);
}

static u64 memory_control_wanted(const struct memory_control *control, const struct memory_status *status)
{
    const struct memory_policy *policy = &control->policy;
    u64 wanted = memory_clamp(status->demand + status->demand / 100 * policy->buffer, policy->minimum, policy->maximum);
    if (wanted >= status->target)
        return wanted;
    u64 spare = status->target - wanted, part = align_up(spare / SHRINK_PART, PAGE_BYTES);
    if (spare < SHRINK_LEAST)
        return status->target;
    return status->target - (part > SHRINK_LEAST ? part : SHRINK_LEAST);
}

// The guest has told anew what its memory is used for.
static void memory_control_reported(void *context)
{
    struct memory_control *control = context;
    struct memory_status status;
    const bool held = control->held && control->held(control->held_context);
    pthread_mutex_lock(&control->lock);
    memory_control_look(control, &status);
    const bool dynamic = control->policy.minimum < control->policy.maximum;
    if (dynamic && held && status.target != status.assigned) // what is under way ends here
        memory_control_apply(control, status.assigned);
    else if (dynamic && !held && status.demand)
        memory_control_apply(control, memory_control_wanted(control, &status));
    pthread_mutex_unlock(&control->lock);
}

struct memory_control *memory_control_create(u64 startup, u64 most, struct virtio_pci *balloon,
                                             struct virtio_pci *hotplug, struct error *error)
{
    struct memory_control *control = calloc(1, sizeof *control);
    if (!control) {
        error_set(error, "out of memory");
        return NULL;
    }
    pthread_mutex_init(&control->lock, NULL);
    control->startup = startup;
    control->most = most > startup && hotplug ? most : startup;
    control->balloon = balloon;
    control->hotplug = hotplug;
    control->policy = (struct memory_policy){.minimum = startup, .maximum = startup};
    virtio_balloon_listen(balloon, memory_control_reported, control);
    return control;
}

void memory_control_destroy(struct memory_control *control)
{
    if (!control)
        return;
    pthread_mutex_destroy(&control->lock);
    free(control);
}

void memory_control_hold(struct memory_control *control, bool (*held)(void *context), void *context)
{
    control->held = held;
    control->held_context = context;
}

int memory_control_set(struct memory_control *control, const struct memory_policy *policy, struct error *error)
{
    if (policy->minimum > policy->maximum || policy->minimum < MEMORY_LEAST || policy->buffer > 2000)
        return error_set(error, "memory from %lu to %lu MiB with a buffer of %u %%: the minimum must be at least 1 MiB "
                                "and not above the maximum, and the buffer at most 2000 %%",
                         policy->minimum >> 20, policy->maximum >> 20, policy->buffer);
    if (policy->maximum > control->most)
        return error_set(error, "%lu MiB of memory are more than the %lu MiB that this VM can have while it runs: turn "
                                "it off, and start it with more", policy->maximum >> 20, control->most >> 20);
    pthread_mutex_lock(&control->lock);
    struct memory_status status;
    bool dynamic = policy->minimum < policy->maximum;
    control->policy = *policy;
    memory_control_look(control, &status);
    memory_control_apply(control, memory_clamp(status.target, policy->minimum, policy->maximum));
    virtio_balloon_every(control->balloon, dynamic ? REPORTS_MS : 0);
    pthread_mutex_unlock(&control->lock);
    return 0;
}

void memory_control_get(struct memory_control *control, struct memory_policy *policy)
{
    pthread_mutex_lock(&control->lock);
    *policy = control->policy;
    pthread_mutex_unlock(&control->lock);
}

void memory_control_status(struct memory_control *control, struct memory_status *status)
{
    pthread_mutex_lock(&control->lock);
    memory_control_look(control, status);
    bool dynamic = control->policy.minimum < control->policy.maximum;
    pthread_mutex_unlock(&control->lock);
    if (!dynamic)
        virtio_balloon_refresh(control->balloon); // for whoever asks next
}
