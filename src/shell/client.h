// The user's end of the service's API: finds the service, starts it if there is none, sends requests, and hands over
// what comes back as it comes.
#pragma once

#include <sys/types.h>

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

// The client's connection becomes the console of the VM with this id (service/stream.h). -1 with the reason.
int client_console(struct client *client, const char *id, struct error *error);
// Of the console, until client_console_end: as recv and send with MSG_DONTWAIT, after poll on client_console_fd. The
// first receive takes what came with the answer, and poll knows nothing of that. `room` is 16 KiB at least.
int client_console_fd(const struct client *client);
ssize_t client_console_receive(struct client *client, void *bytes, size_t room);
ssize_t client_console_send(struct client *client, const void *bytes, size_t count);
void client_console_end(struct client *client);
