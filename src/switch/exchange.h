// What the files of `nidus switch` share: the process (switch_main.c), the round of its loop (exchange.c), its ports
// (port.c), its uplink (uplink.c), and what it is told (command.c). One thread does all of it; the control channel's
// thread only leaves commands in a queue.
#pragma once

#include <pthread.h>

#include "control/channel.h"
#include "control/control.h"
#include "control/message.h"
#include "control/switch.h"
#include "host/network.h"
#include "net/switch.h"
#include "net/wire.h"
#include "switch/capture.h"
#include "switch/outside.h"

struct exchange;

enum {
    EXCHANGE_COMMANDS = 64, // that wait
    EXCHANGE_BATCH = 64,    // frames of a port in a round: no longer does a flood make others wait
};

struct exchange_request {
    struct control_ticket ticket;
    const struct exchange_command *command;
    struct json_t *message;
    struct message_descriptors descriptors;
};

// A VM's adapter at the switch.
struct port {
    struct exchange *exchange;
    bool used;
    char id[CONTROL_ID];
    int number;        // in the switch
    struct wire *wire; // NULL: none, or it is dead
    int bell;          // in the set the thread sleeps on
    struct capture *capture; // NULL: none
};

// A port of the switch that no VM is behind.
struct way {
    struct exchange *exchange;
    struct network_port *network; // NULL: none
    int number;                   // in the switch
};

// Where frames leave the host's virtual world: NAT, the host's own adapter, a physical one; and the host's own adapter
// beside a physical one.
struct uplink {
    struct outside *outside; // NULL: nobody has said
    struct way out;          // its port
    struct way host;         // this one's port is ours
    struct json_t *told;     // what it was made by: struct control_uplink; NULL: nobody has said
};

struct exchange {
    struct control_switch config;
    char jail[640]; // as in struct control_status
    struct switch_device *device;
    struct port ports[SWITCH_PORTS];
    int port_count; // beyond the highest one in use
    struct uplink uplink;
    struct control_server *server;
    struct pollset set;
    u64 looked; // when it was last seen after the log and the company, ns
    u64 lonely; // since when nobody is there, neither service nor VM; ns, 0: somebody is
    bool over;

    int wake;             // eventfd: a request waits
    pthread_mutex_t lock; // what follows
    struct exchange_request requests[EXCHANGE_COMMANDS];
    unsigned request_count;
};

u64 exchange_now(void); // ns, never goes back
void exchange_run(struct exchange *exchange); // until it is over

// port.c
struct port *port_find(struct exchange *exchange, const char *id); // NULL: none
// A new port, or other rules for the one that is there.
struct port *port_set(struct exchange *exchange, const struct control_port *config, struct error *error);
int port_plug(struct port *port, int memory, int bell, struct error *error); // takes both over if it succeeds
void port_remove(struct port *port);
void port_prepare(struct port *port, struct pollset *set);
void port_dispatch(struct port *port, const struct pollset *set, u64 now);
// NULL ends the capture there was.
void port_capture(struct port *port, struct capture *capture);
void port_counters(const struct port *port, struct control_counters *counters);

// rules.c
int rules_read(struct switch_rules *rules, const struct control_port *config, struct error *error);

// uplink.c
int uplink_set(struct exchange *exchange, const struct json_t *config, struct message_descriptors *descriptors,
               struct error *error);
struct json_t *uplink_sessions(struct exchange *exchange); // a list of struct control_session
void uplink_close(struct exchange *exchange);
void uplink_prepare(struct exchange *exchange, struct pollset *set);
void uplink_dispatch(struct exchange *exchange, const struct pollset *set);

// command.c
void exchange_on_command(void *context, struct control_server *server, struct control_ticket ticket, const char *name,
                         const struct json_t *message, struct message_descriptors *descriptors); // the server's thread
void exchange_do_commands(struct exchange *exchange);
