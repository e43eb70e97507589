// What is behind a switch, as the service tells the switch's process: one JSON object, with a descriptor beside it where
// the kind needs one that the process could not open itself.
#pragma once

#include "base/error.h"
#include "base/types.h"

struct json_t;

enum {
    CONTROL_ADDRESS = 15,   // bytes of an IPv4 address's text
    CONTROL_INTERFACE = 15, // of an interface's name: IFNAMSIZ - 1
    CONTROL_MAPPINGS = 400, // of these and of sessions a message (CONTROL_LINE) holds so many
    CONTROL_SESSIONS = 400,
};

enum control_uplink_kind {
    CONTROL_UPLINK_NONE,     // the switch is alone
    CONTROL_UPLINK_USER,     // the host, and what is behind it, by the process's own sockets (libslirp)
    CONTROL_UPLINK_HOST,     // an adapter of the host's kernel: a tap descriptor
    CONTROL_UPLINK_PHYSICAL, // a physical adapter: a packet socket
};

// A port outside that leads to a guest.
struct control_mapping {
    enum { CONTROL_TCP, CONTROL_UDP } protocol;
    char external[CONTROL_ADDRESS + 1], internal[CONTROL_ADDRESS + 1];
    unsigned external_port, internal_port;
};

struct control_uplink {
    enum control_uplink_kind kind;
    char interface[CONTROL_INTERFACE + 1]; // HOST, PHYSICAL: its name; the same name is the same descriptor
    char host[CONTROL_INTERFACE + 1]; // PHYSICAL: the host's own adapter on the switch, a second descriptor; "": none
    u8 mac[6];                         // of the host's adapter on the switch
    char address[CONTROL_ADDRESS + 1]; // its IPv4 address; "": none, so nobody is there
    unsigned bits;                     // of its network
    bool nat;                          // USER: what is behind the host is reachable, too
    char external[CONTROL_ADDRESS + 1]; // USER: the host's address that connections leave by; "": whichever
    unsigned sockets;                   // USER: about so many at once; 0: no limit
    // DHCP: on if `dhcp_first` is not "". Name servers come with blanks between.
    char dhcp_first[CONTROL_ADDRESS + 1], dhcp_last[CONTROL_ADDRESS + 1];
    char dhcp_servers[80];
    char name_server[CONTROL_ADDRESS + 1]; // USER: this address is answered with the host's name servers
    struct control_mapping *mappings;      // USER; owned
    unsigned mapping_count;
};

// A connection that is translated, for Get-NetNatSession.
struct control_session {
    unsigned protocol; // IP's
    bool from_outside;
    char internal[CONTROL_ADDRESS + 1], remote[CONTROL_ADDRESS + 1];
    unsigned internal_port, external_port, remote_port;
};

// Both texts are taken for foreign. On failure nothing is to be freed.
int control_uplink_read(struct control_uplink *uplink, const struct json_t *json, struct error *error);
struct json_t *control_uplink_write(const struct control_uplink *uplink); // NULL: out of memory
void control_uplink_free(struct control_uplink *uplink);

// A list of at most CONTROL_SESSIONS; `sessions` is allocated.
int control_sessions_read(struct control_session **sessions, unsigned *count, const struct json_t *json,
                          struct error *error);
struct json_t *control_sessions_write(const struct control_session *sessions, unsigned count);
