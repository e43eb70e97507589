// What happens in the service, told to whoever listens (GET /v1/events): one JSON object an event, on one line.
#pragma once

#include "base/types.h"

struct service;
struct event_bus;

struct event_bus *event_bus_create(void);
void event_bus_destroy(struct event_bus *bus);

// Listeners are called on the thread where the event happens and must not block. `line` ends with a newline.
void event_listen(struct event_bus *bus, void (*heard)(void *context, const char *line, size_t bytes), void *context);
void event_unlisten(struct event_bus *bus, void *context);

// Pairs of key and text, ends with a NULL key; the time is added. Any thread.
__attribute__((sentinel)) void event_publish(struct service *service, const char *type, ...);
