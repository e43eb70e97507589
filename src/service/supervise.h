// The worker processes of VMs: what a peer (peer.h) is to its VM.
#pragma once

#include "base/error.h"
#include "service/peer.h"

struct vm;

// A new worker for the VM, whose change lock the caller holds. Returns when the guest runs. -1: there is no worker, and
// `error` says why, in the worker's own words where it had any.
int supervise_start(struct vm *vm, const struct control_config *config, const char *program, struct error *error);

// What became of the VM's worker while nobody looked: as peer_adopt; the VM has one that lives now, and `status` tells
// of it.
enum peer_found supervise_adopt(struct vm *vm, const char *directory, struct control_status *status,
                                struct peer_end *end);

int worker_status(struct peer *worker, struct control_status *status, unsigned milliseconds, struct error *error);
