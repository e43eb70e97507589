// `nidus guest-agent`: what runs inside a VM so that its host knows that it lives, what it is, and can shut it down
// in good order. It speaks QEMU's guest agent protocol, so it and qemu-guest-agent can stand in for each other on
// either host.
#pragma once

int guest_agent_main(int argc, char **argv); // argv[0] is the word "guest-agent"
