// The user's end of the service's API: finds the service, starts it if there is none, sends requests, and hands over
// what comes back as it comes.
#pragma once

#include "base/error.h"
#include "cmdlet/request.h"

struct client;
struct remote_server;

// Of `server` (borrowed texts; no `url`: of this host, at place_socket's). Nothing is connected yet.
struct client *client_create(const struct remote_server *server);
bool client_is_remote(const struct client *client);
void client_destroy(struct client *client);

// Carries a request out; returns when the service is done with it. Whatever goes wrong, the connection's own troubles
// included, is told as an error of the reply. `start`: a service that is not there is started.
void client_invoke(struct client *client, const struct request *request, const struct reply *reply, bool start);
// Ends the client_invoke that is under way in another thread, or that a signal handler interrupts.
void client_cancel(struct client *client);
// Asks `stopped` now and then, in client_invoke's thread, and ends as if cancelled when it says so.
void client_stop_when(struct client *client, bool (*stopped)(void *context), void *context);

// What the service happens to do, a line of JSON each, until `heard` returns false. -1 with the reason.
int client_listen(struct client *client, bool (*heard)(void *context, const char *line), void *context,
                  struct error *error);
