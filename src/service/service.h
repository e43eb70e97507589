// What the service's parts share: the store, the VMs, and where things are.
#pragma once

#include "base/error.h"
#include "service/record.h"
#include "service/vm.h"

struct store;
struct service;

struct store *service_store(struct service *service);
const char *service_host_name(const struct service *service);   // the host's
const char *service_state_directory(const struct service *service);
const char *service_runtime_directory(const struct service *service); // of sockets; a folder a VM in it

// References to all VMs, in the order of their names. The caller unrefs each and frees the array.
size_t service_vms(struct service *service, struct vm ***vms);
struct vm *service_vm_by_id(struct service *service, const char *id); // a reference, or NULL
// Stores the record (which is taken over) and makes the VM known. A reference, or NULL.
struct vm *service_vm_add(struct service *service, struct vm_record *record, struct error *error);

void service_host(struct service *service, struct host_record *host); // a copy
int service_host_set(struct service *service, const struct host_record *host, struct error *error);
