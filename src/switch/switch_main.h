// `nidus switch`: one virtual switch in a process of its own, without files and privileges. The service starts it and
// tells it what it has for ports and uplink (control/switch.h); frames come over wires (net/wire.h) from the VMs'
// workers.
#pragma once

int switch_main(int argc, char **argv);
