// What makes the network's records true: a process for each switch that is in use (`nidus switch`), and in it a port
// for each adapter of a running VM that is connected to it, with a wire to the VM's worker (net/wire.h). Nothing here
// is kept: a process that ended is started anew with all its ports, and a service that comes after another one finds
// the processes again and plugs new wires.
//
// The records say what shall be; whoever changed one of them calls the function that is about it, and what is different
// is made so. All functions: any thread, with a VM's change lock or without.
#pragma once

#include "base/error.h"
#include "control/switch.h"
#include "service/service.h"

struct json_t;
struct switchboard;

struct switchboard *switchboard_create(struct service *service);
void switchboard_destroy(struct switchboard *board); // the processes run on

// Once the VMs were found: begins to mend (see below), finds the switches' processes, ends those that nobody needs,
// and plugs everything anew.
void switchboard_adopt(struct switchboard *board);

// Before a VM is started: the switches that its record names run. -1: one does not, and why.
int switchboard_ready(struct switchboard *board, const struct vm_record *record, struct error *error);
// After a VM was started, an adapter of it changed, or its worker has ended. -1: one of its adapters is not as its
// record says, and why.
int switchboard_vm(struct switchboard *board, struct vm *vm, struct error *error);
// Later, and again until it is done: what a VM's process or a switch's could not be told just now. Also for a thread
// that must not wait.
void switchboard_mend(struct switchboard *board);
// After a switch's record changed or is gone, or what its uplink is made of. -1: it is not as its record says, and why.
int switchboard_switch(struct switchboard *board, const char *id, struct error *error);

// Asks the switch that an adapter is plugged into; as peer_command_with.
struct json_t *switchboard_ask(struct switchboard *board, const char *adapter, const char *command,
                               const struct json_t *arguments, const int *fds, unsigned fd_count, struct error *error);
// Each running switch's answer to a command that takes nothing.
void switchboard_ask_all(struct switchboard *board, const char *command,
                         void (*each)(void *context, const struct json_t *answer), void *context);
const char *switchboard_drop_reason(unsigned index); // of control_counters.dropped: "Spoofed"
// What an adapter's port has counted; false: it has no port, or its switch does not answer.
bool switchboard_counters(struct switchboard *board, const char *adapter, struct control_counters *counters);

// The answer of a switch's process to a question about all of it ("sessions"), the caller's; NULL: none runs, or it
// does not answer.
struct json_t *switchboard_question(struct switchboard *board, const char *id, const char *question);
