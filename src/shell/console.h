// Connect-VM: this terminal becomes one of the viewers of a VM's console. The service says where the console's Unix
// socket is and where its log; the bytes go directly to the VM's worker where that can be, and through the service
// from elsewhere.
#pragma once

#include "base/error.h"
#include "cmdlet/request.h"

struct client;

// Carries Connect-VM out: asks the service for the console (a VMConsole), attaches, and returns when the user leaves or
// the console ends.
void console_invoke(struct client *client, const struct request *request, const struct reply *reply);
