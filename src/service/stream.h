// A console over the API: whoever cannot reach a worker's socket, being on another host or another user, asks for its
// bytes here. HTTP's own way to go on with something else is Upgrade (RFC 9110, section 7.8); from its answer, 101, on
// the connection is the console's, after the end of its log, in both directions.
#pragma once

#include "base/error.h"

struct event_base;
struct evhttp_request;

#define STREAM_PROTOCOL "nidus-console"

// Takes the request's connection over and answers it; it ends when either side does. `log` may be NULL. On the loop's
// thread. -1 with the reason: the request is still to be answered.
int stream_begin(struct event_base *base, struct evhttp_request *http, const char *socket, const char *log,
                 struct error *error);
