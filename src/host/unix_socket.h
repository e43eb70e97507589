// A Unix socket to listen on, with the two cases told apart that EADDRINUSE throws together: a socket somebody
// serves, and one that a process which ended left behind.
#pragma once

#include "base/error.h"

// Returns a non-blocking listening socket at `path`, usable by our user only. `what` names the user of it in errors.
int unix_socket_listen(const char *path, const char *what, struct error *error);
