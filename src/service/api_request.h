// A request of the API, read from foreign JSON and checked against the cmdlet table: what a handler sees is as well
// typed as if it came from our own shell.
//
//   {"parameters": {"VMName": ["lab"], "Count": 2}, "whatIf": false, "verbose": false, "directory": "/home/me"}
#pragma once

#include "base/error.h"
#include "cmdlet/request.h"

// `cmdlet` is one that the service carries out. On success free with api_request_free.
int api_request_read(struct request *request, const struct cmdlet *cmdlet, const char *body, size_t bytes,
                     struct error *error);
void api_request_free(struct request *request);
