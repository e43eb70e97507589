// What a VM has of the host, and keeps over its resets: the console, the disks with their locks, the client of the
// guest's agent, and how much memory it shall have. A guest that reboots must not lose the terminal, nor the disk to
// another VM that waits for its lock.
#pragma once

#include <pthread.h>

#include "device/uart.h"
#include "host/agent.h"
#include "host/channel.h"
#include "host/console.h"
#include "host/disk.h"
#include "host/wire_port.h"
#include "worker/memory_control.h"
#include "worker/run_options.h"

struct board;
struct engine;
struct vm;
struct vm_images;

struct host {
    const struct run_options *options;
    struct console *console;
    struct console_port serial; // COM1's, whichever board has it now
    bool started;
    struct disk disks[RUN_DISKS];
    unsigned disk_count;
    struct vm_images *images; // what the VM boots; NULL: it can only be restored
    int restore;              // the saved state to go on from, -1: none
    int state_folder;         // where states are saved, for who may not go there by name; -1: it is by name
    int device;               // /dev/kvm, for a VM whose user may not open it; 0: it is opened by name
    struct channel *channel;  // to the guest's agent
    struct agent *agent;      // from host_start on
    struct network_port *wires[RUN_ADAPTERS]; // RUN_NET_WIRE, by place: plugged and pulled by the service
    struct memory_policy memory;
    void (*agent_changed)(void *context); // agent_events.changed; set before host_start, or NULL
    void *agent_context;
    // An adapter has left its place, on the thread that lives the VM; or NULL: none are taken out.
    void (*adapter_left)(void *context, unsigned place, bool let_go);
    void *adapter_context;
    pthread_mutex_t lock; // vm
    struct vm *vm;        // that input and escape keys are meant for, NULL between two
    bool ended;           // the escape key came between two
};

int host_open(struct host *host, const struct run_options *options, struct error *error);
int host_start(struct host *host, struct error *error); // input begins, the terminal is raw; once only counts
void host_close(struct host *host);

// What must stay reachable once the VM runs: what it may save to ("": anywhere; NULL: nothing), and what its parts
// need.
struct jail_config;
void host_jail(const struct host *host, const struct engine *engine, const char *state_directory,
               struct jail_config *jail);
void host_jail_calls(struct jail_config *jail); // the system calls of all that a VM is made of (host_calls.c)

bool host_ended(struct host *host);
void host_connect(struct host *host, struct vm *vm); // NULL: nobody
struct uart_backend host_serial(struct host *host);
