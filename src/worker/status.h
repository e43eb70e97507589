// What `nidus run` tells the shell. All statuses but a debug exit's are even, because a guest that ends the VM through
// the debug-exit port gives an odd one, (value << 1) | 1: so no two causes share a status. The manual page and --help
// print this table.
#pragma once

enum status {
    STATUS_POWER_OFF = 0,
    STATUS_USAGE = 2,        // the command line
    STATUS_START = 4,        // the VM could not be built: kernel, disk, memory, network, engine not usable here
    STATUS_RESET = 6,        // the guest asked for a reset and --no-reboot was given
    STATUS_TRIPLE_FAULT = 8,
    STATUS_ENGINE = 10,      // the engine failed while the VM ran
    STATUS_ENDED = 12,       // from outside: a signal, or the console's escape key
    STATUS_SAVED = 14,       // its state is in the file of --state, and it goes on with --restore
};
