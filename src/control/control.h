// What the service and a VM's worker say to each other. The worker listens on a Unix socket in the VM's runtime
// directory, so that a service that was restarted finds the VM again and goes on; one service is connected at a time, a
// newer connection replaces an older one.
//
// A message is one line of JSON, at most CONTROL_LINE bytes. Either side treats the other as foreign: the service
// because a guest may have taken the worker over, the worker because it costs nothing.
//
//   to the worker      {"id": 7, "command": "pause", ...}; "descriptors": how many come along (SCM_RIGHTS)
//   back               {"id": 7, "result": {...}}  or  {"id": 7, "error": "cannot ..."}
//   without being asked {"event": "ended", ...}
//
// Commands                what they take             what they give
//   status                -                          struct control_status
//   pause, resume         -                          -
//   shutdown              {"wait_ms"}                how it was asked: {"by": "agent" | "power-button"}
//   reset                 -                          - ; a guest that starts anew: same process, same sockets
//   end                   -                          - ; the process ends as if the plug was pulled
//   save                  {"path"}                   - ; pauses, writes the state, ends with CONTROL_ENDED_SAVED
//   connect               {"adapter"}, CONTROL_WIRE_DESCRIPTORS or no descriptors: plugs a wire to a switch
//                         (net/wire.h) into it, or pulls the one it has
//   adapters              {"adapters": the configuration's list}: which network adapters the VM has from now on. Those
//                         that are not there yet are plugged, without a cable; the guest is asked to let go of the
//                         others. Answered before it has.
//   unplugged             {"adapter"}, answered when it has left the VM: {"by": "guest" | "force"}, or "nobody" if it
//                         was not there any more
//   memory                {"startup", "minimum", "maximum", "dynamic", "buffer"}  - ; an error says why not
// Events
//   state                 {"state": enum control_state's name}
//   nested                {"extension", "running", "launched"}: a hypervisor began or ended in the VM
//   heartbeat             {"heartbeat"}
//   ended                 {"ending", "text"}: the last line before the process ends
//
// Commands but `status` are done one after the other; `status` is answered at once, whatever else is going on.
//
// How a worker is started: `nidus worker`, in a session of its own, without arguments, with these descriptors (enum
// control_descriptor) and no others:
//   0        /dev/null
//   1, 2     DIRECTORY/worker.log
//   3        the configuration, to be read from offset 0 to its end
//   4        DIRECTORY/lock, locked with flock by the service: held open, without close-on-exec being cleared for
//            anybody, for as long as the process lives. That this lock is taken is what says that a worker lives; its text
//            is the worker's process id.
//   5        one end of a connected socket pair: the first control connection, so that the service need not wait for a
//            socket to appear. Its loss means no more than any control connection's: the service was restarted.
// By the time it says {"event": "state", "state": "running"} the worker listens on DIRECTORY/control, where a service
// that comes later finds it. Its last act is to write the line of the `ended` event to DIRECTORY/ended as well, so
// that a service that was not there learns how it ended; the file is there, empty, from the start, for the worker
// gives up its right to create one.
#pragma once

#include "base/error.h"
#include "base/types.h"

struct json_t;

// Behind a saved state's name until it is whole, and after a worker was killed meanwhile: whoever removes the one
// removes the other.
#define CONTROL_UNFINISHED ".new"

enum {
    CONTROL_LINE = 64 << 10,
    CONTROL_CONFIG_BYTES = 1 << 20, // of a configuration's text
    CONTROL_PATH = 4095,            // bytes of a file's name
    CONTROL_CPUS = 64,
    CONTROL_DISKS = 64,
    CONTROL_ADAPTERS = 8,
    CONTROL_PORTS = 2,
};

enum control_descriptor { CONTROL_FD_CONFIG = 3, CONTROL_FD_LOCK = 4, CONTROL_FD_SERVICE = 5 };

// Of a wire's end, in this order.
enum { CONTROL_WIRE_MEMORY, CONTROL_WIRE_BELL, CONTROL_WIRE_DESCRIPTORS };

enum control_state { CONTROL_STARTING, CONTROL_RUNNING, CONTROL_PAUSED, CONTROL_SAVING };

enum control_ending {
    CONTROL_ENDED_POWER_OFF,
    CONTROL_ENDED_BY_COMMAND,
    CONTROL_ENDED_SAVED,
    CONTROL_ENDED_TRIPLE_FAULT,
    CONTROL_ENDED_ENGINE,
    CONTROL_ENDED_START, // it never ran: `text` says why
};

enum control_heartbeat {
    CONTROL_HEARTBEAT_NONE, // no agent ever answered
    CONTROL_HEARTBEAT_OK,
    CONTROL_HEARTBEAT_LOST,
};

struct control_disk {
    char *path;
    char *format; // "raw", "qcow2", "vpc" (VHD), "vhdx"; NULL: by the name's suffix, never by content
    bool readonly;
    bool dvd;
};

struct control_adapter {
    char *id;     // GUID
    unsigned place; // of CONTROL_ADAPTERS, no two the same: where it is plugged in, which is part of a saved state
    u8 mac[6];
    char *network; // "wire": what `connect` plugs in; "user": the worker's own NAT; "none": a cable to nowhere
    bool plugged;  // "wire": `connect` will plug one in; so the guest finds its link up when it first looks
};

// Everything a VM starts from. Given to the worker as one JSON document on a descriptor; strings are owned.
struct control_config {
    char *id;   // GUID
    char *name;
    char *directory;  // runtime directory, an absolute path: control, console are sockets in it
    char *console_log; // NULL: none
    char *state_directory; // the only one in which it can save, an absolute path; NULL: any, and the jail is wider
    char *restore;     // a saved state to go on from, or NULL
    unsigned cpus;
    u64 memory_startup, memory_minimum, memory_maximum; // bytes
    unsigned memory_buffer;                             // percent
    bool memory_dynamic;
    char *engine; // "auto", "soft", "kvm"
    char *vendor; // "host", "intel", "amd"
    bool nested;
    char *kernel, *initrd, *append; // initrd, append may be NULL
    struct control_disk disks[CONTROL_DISKS];
    unsigned disk_count;
    struct control_adapter adapters[CONTROL_ADAPTERS];
    unsigned adapter_count;
    char *com_ports[CONTROL_PORTS]; // a Unix socket to listen on, or NULL
    bool debug_exit;
    u32 user; // the user and group number the worker becomes, if the service may choose one; 0: it stays who it is
};

struct control_status {
    enum control_state state;
    char engine[8];     // what "auto" became
    u64 uptime_ns;      // that the guest ran, without pauses
    u64 cpu_ns;         // that its virtual processors used
    u64 memory_assigned, memory_demand; // bytes; demand is 0 while the guest does not tell
    char nested_extension[8]; // "none", "vmx", "svm": what a hypervisor in the VM uses right now
    bool nested_running;
    u64 nested_launched; // guests it has launched since power-on
    enum control_heartbeat heartbeat;
    char guest_system[128]; // from the agent, or empty
    char addresses[512];    // of its adapters, with blanks between, or empty
    char jail[640];         // what holds the worker, and what does not and why (jail/jail.h)
};

// Reading takes foreign text: every field has its type and range checked, and a field of a configuration that is not
// known is an error, because ignoring it might open what it was to close. On failure nothing is to be freed.
int control_config_read(struct control_config *config, const char *text, size_t bytes, struct error *error);
char *control_config_write(const struct control_config *config); // the caller frees
void control_config_free(struct control_config *config);

// The list of adapters alone, likewise; `count` of them are to be freed, also on failure.
int control_adapters_read(struct control_adapter adapters[CONTROL_ADAPTERS], unsigned *count, const struct json_t *json,
                          struct error *error);
struct json_t *control_adapters_write(const struct control_adapter *adapters, unsigned count);
void control_adapter_free(struct control_adapter *adapter);

struct json_t *control_status_write(const struct control_status *status);
int control_status_read(struct control_status *status, const struct json_t *json, struct error *error);

const char *control_state_name(enum control_state state);
const char *control_ending_name(enum control_ending ending);
const char *control_heartbeat_name(enum control_heartbeat heartbeat);
bool control_state_find(const char *name, enum control_state *state);
bool control_ending_find(const char *name, enum control_ending *ending);
