// The host's end of the guest agent: a client of QEMU's guest agent protocol (JSON lines), as `nidus guest-agent` and
// qemu-guest-agent speak it in the guest, over the port named AGENT_PORT. It is how the host knows that the guest's
// user space lives (guest-ping), what system it is (guest-get-osinfo), which addresses it has
// (guest-network-get-interfaces), and how it asks for an orderly shutdown (guest-shutdown).
//
// The guest is hostile: a line is bounded, a reply that is late, out of turn, or no JSON of the shape that was asked
// for counts as none, and what is kept of one is cut to its place and cleaned of control characters. One question is
// under way at a time; contact is made, and after a question without an answer made anew, by a guest-sync with a
// number that was not used before, so that the remains of an earlier question cannot answer a later one.
//
// One thread, asleep between heartbeats, and for good while no agent has the port open.
#pragma once

#include "base/error.h"
#include "base/types.h"

struct agent;
struct channel;

#define AGENT_PORT "org.qemu.guest_agent.0"

enum agent_heartbeat {
    AGENT_NO_CONTACT, // no agent has answered since the VM was started
    AGENT_OK,
    AGENT_LOST,       // one did, and does not any more
};

struct agent_status {
    enum agent_heartbeat heartbeat;
    char version[32];     // the agent's own
    char system[128];     // "Debian GNU/Linux 12 (bookworm)", or empty
    char kernel[96];      // release, or empty
    char host_name[64];   // or empty
    char addresses[512];  // of the guest's adapters, without loopback, with blanks between; or empty
};

// On the agent's thread, with no lock held. Both optional.
struct agent_events {
    void *context;
    void (*changed)(void *context);         // agent_get would say something else
    void (*shutdown_failed)(void *context); // agent_shutdown had no effect: press the power button
};

// The thread begins at once. The channel is the caller's and outlives the agent.
struct agent *agent_create(struct channel *channel, const struct agent_events *events, struct error *error);
void agent_destroy(struct agent *agent); // NULL is allowed

// Any thread; none waits for the guest.
void agent_get(struct agent *agent, struct agent_status *status);
const char *agent_heartbeat_name(enum agent_heartbeat heartbeat); // Hyper-V's: "OK", "No Contact", "Lost Communication"

// Asks the agent to shut the guest down, or to reboot it. False if there is none that answers: nothing was asked then.
// Otherwise the VM ends, or events.shutdown_failed comes: when the agent refuses, or after a minute.
enum agent_shutdown { AGENT_POWER_DOWN, AGENT_HALT, AGENT_REBOOT };
bool agent_shutdown(struct agent *agent, enum agent_shutdown mode);

// Sets the guest's clock to the host's, if an agent answers: for a guest that stood still.
void agent_set_time(struct agent *agent);

// The VM is another one now (it was reset): nobody has answered yet.
void agent_forget(struct agent *agent);
