// How a thread that carries frames between a guest and the world is scheduled.
#pragma once

// The calling thread, on a machine with one processor, no longer takes the processor from whoever wakes it, but waits
// until that sleeps or has had its turn. On other machines, or where the host does not allow it, nothing changes: it is
// only faster or slower.
void batch_thread(void);
