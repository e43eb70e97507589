// A VM's life in this process, from power-on through its resets to the end that counts: what `nidus run` and `nidus
// worker` have in common. The thread that lives it sleeps until something ends the VM; it also lends itself to the
// board's timers, so that no processor is late because of them.
#pragma once

#include "base/error.h"
#include "worker/host.h"
#include "worker/vm.h"

enum { LIFE_FDS = 2 };

struct life {
    const struct run_options *options;
    const struct engine *engine;
    struct host *host;
    bool reboots; // a reset begins another round; otherwise it is an end
    void *context;
    int fds[LIFE_FDS]; // one of them is readable: `ready` is called. -1: none
    void (*ready)(void *context, struct vm *vm);
    void (*save)(void *context, struct vm *vm);   // vm_want_save was called
    void (*begins)(void *context, struct vm *vm); // it runs from here on; after each reset anew. Optional
    void (*ends)(void *context, struct vm *vm);   // nobody but this thread may use it from here on. Optional
};

// 0: it ran, and *ending says how that ended. -1: it did not get that far.
int life_run(const struct life *life, struct vm_ending *ending, struct error *error);

// The exit status that says the same (status.h).
int life_status(const struct vm_ending *ending);
