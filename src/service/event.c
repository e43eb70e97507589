// See event.h.
#include "service/event.h"

#include <jansson.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmdlet/json.h"
#include "cmdlet/value.h"
#include "service/service.h"

struct listener {
    struct listener *next;
    void (*heard)(void *context, const char *line, size_t bytes);
    void *context;
};

struct event_bus {
    pthread_mutex_t lock;
    struct listener *listeners;
};

struct event_bus *event_bus_create(void)
{
    struct event_bus *bus = value_allocate(sizeof *bus);
    pthread_mutex_init(&bus->lock, NULL);
    return bus;
}

void event_bus_destroy(struct event_bus *bus)
{
    while (bus->listeners)
        event_unlisten(bus, bus->listeners->context);
    pthread_mutex_destroy(&bus->lock);
    free(bus);
}

void event_listen(struct event_bus *bus, void (*heard)(void *context, const char *line, size_t bytes), void *context)
{
    struct listener *listener = value_allocate(sizeof *listener);
    *listener = (struct listener){.heard = heard, .context = context};
    pthread_mutex_lock(&bus->lock);
    listener->next = bus->listeners;
    bus->listeners = listener;
    pthread_mutex_unlock(&bus->lock);
}

void event_unlisten(struct event_bus *bus, void *context)
{
    pthread_mutex_lock(&bus->lock);
    for (struct listener **at = &bus->listeners; *at; at = &(*at)->next)
        if ((*at)->context == context) {
            struct listener *listener = *at;
            *at = listener->next;
            free(listener);
            break;
        }
    pthread_mutex_unlock(&bus->lock);
}

void event_publish(struct service *service, const char *type, ...)
{
    struct event_bus *bus = service_events(service);
    pthread_mutex_lock(&bus->lock);
    if (bus->listeners) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        char *time = json_datetime_text((s64)now.tv_sec * VALUE_TICKS_SECOND + now.tv_nsec / 100);
        json_t *event = json_pack("{s:s, s:s}", "event", type, "time", time);
        free(time);
        va_list pairs;
        va_start(pairs, type);
        for (const char *key; (key = va_arg(pairs, const char *));) {
            json_t *text = json_string(va_arg(pairs, const char *));
            json_object_set_new(event, key, text ? text : json_null());
        }
        va_end(pairs);
        char *line = json_dumps(event, JSON_COMPACT);
        json_decref(event);
        char *ended = value_text("%s\n", line ? line : "{}");
        free(line);
        for (struct listener *listener = bus->listeners; listener; listener = listener->next)
            listener->heard(listener->context, ended, strlen(ended));
        free(ended);
    }
    pthread_mutex_unlock(&bus->lock);
}
