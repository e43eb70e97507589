// What the service and a switch's process say to each other: control.h's rules, descriptors at the start, and lock,
// with these words. A switch that begins has no ports and no uplink; the service gives it all of them, and gives them
// anew to the next process when one was lost.
//
// Commands                what they take                  what they give
//   status                -                               {"state": "running", "jail", "network", "uplink": struct
//                                                         control_uplink}
//   port                  struct control_port, and a wire's end (CONTROL_WIRE_DESCRIPTORS), or no descriptors
//                                                         - ; a new port, or other rules for one that is there; a wire
//                                                         replaces the one it had
//   remove                {"port": id}                    -
//   counters              {"first": n}                    {"ports": [struct control_counters], "more": bool}, from the
//                                                         n-th on, as many as a line takes
//   meters                {"port"}                        {"bytes": [of each access rule, in their order]}
//   uplink                {"config": struct control_uplink}, and a descriptor if its kind needs one (control/uplink.h)
//                                                         - ; replaces the one there was; connections live on if only
//                                                         mappings differ
//   sessions              -                               {"sessions": [struct control_session]}
//   capture               {"port", "path", "label", "limit"}, and a file: what goes over the port is written to it
//                         {"port"}, no file: that ends    {"port", "path", "frames", "bytes"}
//   captures              -                               {"captures": [those]}
//   end                   -                               - ; the process ends
// Events
//   spoofed               {"port", "address"}: the first frame from a foreign address since the port's rules were set
//   uplink-lost           {"text"}: its interface was removed; it has none until it is told of one anew
//   capture-ended         {"port", "path", "frames", "text"}: of its own accord: the file is full
#pragma once

#include "base/error.h"
#include "base/types.h"

struct json_t;

enum { CONTROL_ID = 64, CONTROL_ACL_BYTES = 16 << 10, CONTROL_DROPS = 9, CONTROL_COUNTERS = 64 /* in an answer */ };

// What a switch's process is started with.
struct control_switch {
    char *id, *name;
    char *directory; // runtime directory, an absolute path
    unsigned user;   // the user and group number it becomes, if the service may choose one; 0: it stays who it is
    bool network;    // its uplink may be made of the host's sockets, so that the host's network must stay in reach
};

int control_switch_read(struct control_switch *config, const char *text, size_t bytes, struct error *error);
char *control_switch_write(const struct control_switch *config); // the caller frees
void control_switch_free(struct control_switch *config);

enum control_vlan { CONTROL_UNTAGGED, CONTROL_ACCESS, CONTROL_TRUNK };
enum control_mirror { CONTROL_MIRROR_NONE, CONTROL_MIRROR_SOURCE, CONTROL_MIRROR_DESTINATION };

// A port and its rules, in the words of the records: what Set-VMNetworkAdapter and its like set.
struct control_port {
    char id[CONTROL_ID]; // the adapter's
    u8 mac[6];
    bool spoofing, dhcp_guard, router_guard, priority_tags;
    enum control_mirror mirror;
    unsigned storm_limit;  // frames a second, 0: none
    u64 bits_per_second;   // 0: no limit
    enum control_vlan vlan_mode;
    unsigned vlan; // the access VLAN, or a trunk's native one
    char *trunk;   // net/vlan.h's text, or NULL
    char *acl;     // lines "ACTION DIRECTION LOCAL REMOTE", or NULL
};

int control_port_read(struct control_port *port, const struct json_t *json, struct error *error);
struct json_t *control_port_write(const struct control_port *port); // NULL: out of memory
void control_port_free(struct control_port *port);

// Of one port, since it was made. Drops in the order of enum switch_drop.
struct control_counters {
    char id[CONTROL_ID];
    bool connected; // a wire with somebody at its other end
    u64 frames_sent, bytes_sent;         // by the VM
    u64 frames_received, bytes_received; // by the VM
    u64 dropped[CONTROL_DROPS];
    u8 last_spoofed[6];
};

int control_counters_read(struct control_counters *counters, const struct json_t *json, struct error *error);
struct json_t *control_counters_write(const struct control_counters *counters);
