// What the service's parts share: the store, the VMs, and where things are.
#pragma once

#include "base/error.h"
#include "service/record.h"
#include "service/vm.h"

struct event_bus;
struct service;
struct store;
struct switchboard;
struct uplinks;

struct service_config {
    const char *state;   // folder of the records and of the VMs' files; made if it is not there
    const char *runtime; // folder of the sockets; a folder a VM below it
    const char *worker;  // the program run as `nidus worker`; NULL: this one
};

// Opens the records and finds the workers again that still run. NULL: the reason is in `error`; another service with
// this state is one.
struct service *service_open(const struct service_config *config, struct error *error);
// Forgets everything; workers run on. No handler may be under way.
void service_close(struct service *service);

// What AutomaticStartAction asks for in this run of the host, and was not done yet. Returns at once.
void service_start_vms(struct service *service);
// What AutomaticStopAction asks for, of every VM that runs; returns when that is done.
void service_stop_vms(struct service *service);

struct event_bus *service_events(struct service *service);
struct store *service_store(struct service *service);
struct switchboard *service_switchboard(struct service *service);
struct uplinks *service_uplinks(struct service *service); // see uplink.h
const char *service_host_name(const struct service *service);   // the host's
const char *service_state_directory(const struct service *service);
const char *service_runtime_directory(const struct service *service);
const char *service_worker_program(const struct service *service);
char *service_vm_runtime(const struct service *service, const char *id); // a VM's folder of sockets; the caller frees

// References to all VMs, in the order of their names. The caller unrefs each and frees the array.
size_t service_vms(struct service *service, struct vm ***vms);
struct vm *service_vm_by_id(struct service *service, const char *id); // a reference, or NULL
// Stores the record (its members are taken over) and makes the VM known. A reference, or NULL.
struct vm *service_vm_add(struct service *service, struct vm_record *record, struct error *error);
// With the change lock held, which is given back whatever comes of it, and the draft with it.
int service_vm_remove(struct service *service, struct vm *vm, struct vm_record *draft, struct error *error);

void service_host(struct service *service, struct host_record *host); // a copy
int service_host_set(struct service *service, const struct host_record *host, struct error *error);
// The user number of a VM's worker: the one it has, or one that no other VM has; 0: the service's own.
s64 service_user(struct service *service, s64 has);
// The next address of the host's range that no adapter has: twelve digits.
int service_mac(struct service *service, char mac[static 13], struct error *error);
