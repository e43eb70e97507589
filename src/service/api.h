// The API: HTTP/1.1 and JSON.
//
//   POST /v1/cmdlets/{Name}   carries a cmdlet out; the answer is a stream of lines, a JSON object each:
//                             {"output": OBJECT} {"warning": TEXT} {"verbose": TEXT} {"host": TEXT} {"whatIf": TEXT}
//                             {"progress": {"activity", "status", "percent"}}
//                             {"error": {"category", "id", "exception", "target", "message"}}
//                             and {"end": {"errors": N}} as the last one; without it the answer is not whole
//   GET /v1/events            what happens, a line each, until the client has enough
//   GET /v1/vms/{Id}/console  becomes the console of a VM (stream.h)
//   POST /v1/host/stop        does what AutomaticStopAction says, to all; for the host's end
//   GET /openapi.json         this, in full, made from the tables of cmdlets and classes
//   GET /metrics              counters for Prometheus
//
// Who may connect to the Unix socket may do everything; over TCP, who also has the token (remote.h).
//
// One thread, the one in api_run, talks to the network; handlers run in a pool and hand it what they have to say.
#pragma once

#include "base/error.h"

struct api;
struct service;
struct ssl_ctx_st;

struct api *api_create(struct service *service, struct error *error);
// Serves a listening Unix socket, which is taken over.
int api_serve(struct api *api, int listener, struct error *error);
// Serves TCP, too, behind TLS and the token; `port` gets the port.
struct api_remote {
    const char *address; // as remote.h reads it
    struct ssl_ctx_st *tls;
    const char *token;
};
int api_serve_remote(struct api *api, const struct api_remote *remote, unsigned *port, struct error *error);
// Calls `check` every few seconds on the API's thread.
void api_watch(struct api *api, void (*check)(void *context), void *context);
// Until api_stop, or SIGTERM or SIGINT; then waits a moment for requests that are under way.
void api_run(struct api *api);
