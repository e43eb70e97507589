// Threads that carry requests out. They come as they are needed, up to a bound, and stay, asleep; what is beyond the
// bound waits in a queue with a bound of its own.
#pragma once

#include "base/types.h"

struct pool;

struct pool *pool_create(unsigned threads, unsigned queue);
// False: the queue is full.
bool pool_run(struct pool *pool, void (*work)(void *context), void *context);
// Waits until nothing is under way, for so long at the most. False: something still is.
bool pool_drain(struct pool *pool, unsigned milliseconds);
