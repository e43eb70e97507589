// Where the service and those who look for it meet: its folders and its socket. By environment variable, or the usual
// place of the user: NIDUS_RUNTIME_DIRECTORY (/run/nidus, $XDG_RUNTIME_DIR/nidus), NIDUS_STATE_DIRECTORY
// (/var/lib/nidus, $XDG_STATE_HOME/nidus), NIDUS_SOCKET ("socket" in the runtime directory).
#pragma once

#include "base/error.h"

enum { PLACE_BYTES = 512 };

// The name only; nothing is made.
void place_runtime(char path[static PLACE_BYTES]);
void place_state(char path[static PLACE_BYTES]);
void place_socket(char path[static PLACE_BYTES]);
// Makes a folder and those above it, for this user alone. A folder that is there and belongs to somebody else is an
// error: in /tmp anybody could have put it there.
int place_make(const char *path, struct error *error);
