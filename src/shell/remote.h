// A service on another host: TCP behind TLS, and the token that it wants to see. The server is known by its
// certificate's fingerprint, by an authority of the user's, or by the host's authorities and its name.
#pragma once

#include <sys/types.h>

#include "base/error.h"

struct remote_server {
    const char *url;         // "https://HOST:PORT"
    const char *token_file;  // NULL: none
    const char *fingerprint; // "sha256:..."; NULL: not known that way
    const char *authority;   // PEM file; NULL: the host's
};

enum { REMOTE_TOKEN = 512 };

struct remote;

// A TCP connection, before TLS. -1 with the reason.
int remote_connect(const struct remote_server *server, struct error *error);
// TLS on it: after this the server is who it should be. NULL with the reason. `fd` stays the caller's.
struct remote *remote_begin(const struct remote_server *server, int fd, struct error *error);
// As send and recv do, and without waiting after remote_hurry: EAGAIN. What is read with room for 16 KiB, TLS's longest
// record, leaves nothing behind that poll would not tell of.
void remote_hurry(struct remote *remote);
ssize_t remote_send(struct remote *remote, const void *bytes, size_t count);
ssize_t remote_receive(struct remote *remote, void *bytes, size_t count);
void remote_end(struct remote *remote); // NULL is allowed
// The token, "" if the server has no token file.
int remote_token(const struct remote_server *server, char token[static REMOTE_TOKEN + 1], struct error *error);
