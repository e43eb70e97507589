// The API's other door: TCP, behind TLS and a token, opened only where the service's user asks for it. Whoever knocks
// here is a stranger until the token is seen, so that time, bytes and number of connections are bounded before that.
#pragma once

#include "base/error.h"

struct event_base;
struct evhttp_request;
struct remote;
struct ssl_ctx_st;

struct remote_config {
    const char *address;    // "127.0.0.1:8006", "[::1]:8006", ":8006" for all of the host's
    struct ssl_ctx_st *tls; // stays the caller's
    const char *token;
    void (*request)(struct evhttp_request *http, void *context); // of who has the token
    void *context;
};

// Listens, on the loop's thread from then on. NULL with the reason.
struct remote *remote_open(struct event_base *base, const struct remote_config *config, struct error *error);
unsigned remote_port(const struct remote *remote); // where port 0 was asked for
