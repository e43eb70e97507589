// The worker's, and the switch's, end of the control channel (control.h says what goes over it). A thread of its own
// moves the bytes, so that the service's slowness is not the VM's.
#pragma once

#include "base/error.h"
#include "base/types.h"

struct json_t;
struct message_descriptors;

struct control_server;

// Whom an answer is for. An answer to a service that was replaced meanwhile goes nowhere.
struct control_ticket {
    u64 connection, id;
};

// On the server's thread: answer with control_server_answer, at once or later, from any thread. `message` is the
// server's; the arguments of the command are its fields. `descriptors` (message.h) came with it.
struct control_server_commands {
    void *context;
    void (*command)(void *context, struct control_server *server, struct control_ticket ticket, const char *command,
                    const struct json_t *message, struct message_descriptors *descriptors);
};

// Serves those who connect to `listener`, a non-blocking listening socket, and first of all `service`, one that is
// connected (-1: none); takes both over. NULL with the reason, and they stay the caller's.
struct control_server *control_server_open(int listener, int service, const struct control_server_commands *commands,
                                           struct error *error);
// What was said before is sent, as long as the other side takes it. No command comes once this has begun; not from the
// server's thread.
void control_server_close(struct control_server *server); // NULL is allowed

// Any thread. They take over `result` (NULL: an empty one) and `event`; `error` stands for failure, NULL for success.
void control_server_answer(struct control_server *server, struct control_ticket ticket, struct json_t *result,
                           const struct error *error);
bool control_server_connected(struct control_server *server); // whether a service is there
void control_server_event(struct control_server *server, struct json_t *event);
