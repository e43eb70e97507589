// The round of a switch's loop: sleep until a wire rings or the uplink has something, then a bounded number of frames
// of each, in turn. Nothing waits for anybody: a port whose VM does not read loses frames, and so does nobody else.
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "switch/exchange.h"

// Without a service that could plug one in, a switch without a wire has nothing left to do: so long it waits for
// either.
static const u64 exchange_lonely_ns = 60ull * 1000000000;
static const u64 exchange_look_ns = 1000000000;
enum { EXCHANGE_LOOK_MS = 10000, EXCHANGE_LOG_MOST = 1 << 20 };

u64 exchange_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (u64)now.tv_sec * 1000000000 + (u64)now.tv_nsec;
}

// A library may have words for everything a guest does wrong, and standard error is a file of the host's.
static void exchange_bound_log(void)
{
    struct stat status;
    if (!fstat(STDERR_FILENO, &status) && S_ISREG(status.st_mode) && status.st_size > EXCHANGE_LOG_MOST &&
        ftruncate(STDERR_FILENO, 0) == 0)
        fprintf(stderr, "nidus: (%lld bytes were here)\n", (long long)status.st_size);
}

static void exchange_look_around(struct exchange *exchange, u64 now)
{
    if (now - exchange->looked < exchange_look_ns)
        return;
    exchange->looked = now;
    exchange_bound_log();
    bool alone = !control_server_connected(exchange->server);
    for (int i = 0; i < exchange->port_count && alone; i++)
        alone = !exchange->ports[i].used || !exchange->ports[i].wire;
    if (!alone)
        exchange->lonely = 0;
    else if (!exchange->lonely)
        exchange->lonely = now;
    else if (now - exchange->lonely > exchange_lonely_ns)
        exchange->over = true;
}

static void exchange_round(struct exchange *exchange)
{
    struct pollset *set = &exchange->set;
    pollset_begin(set);
    pollset_within(set, EXCHANGE_LOOK_MS);
    const int wake = pollset_add(set, exchange->wake, POLLIN);
    uplink_prepare(exchange, set); // first: it may still have frames for the ports, which flush their wires
    for (int i = 0; i < exchange->port_count; i++)
        port_prepare(&exchange->ports[i], set);
    pollset_wait(set);
    const u64 now = exchange_now();
    for (int i = 0; i < exchange->port_count; i++)
        port_dispatch(&exchange->ports[i], set, now);
    uplink_dispatch(exchange, set);
    if (pollset_events(set, wake))
        exchange_do_commands(exchange);
    exchange_look_around(exchange, now);
}

void exchange_run(struct exchange *exchange)
{
    while (!exchange->over)
        exchange_round(exchange);
}
