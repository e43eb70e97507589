// See api.h. libevent's HTTP server parses and frames; what it hands over is bounded in size and time here. A request
// lives in an `exchange`, which the loop and one thread of the pool share until both are done with it.
#include "service/api.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cmdlet/class.h"
#include "cmdlet/json.h"
#include "service/api_request.h"
#include "service/event.h"
#include "service/log.h"
#include "service/metrics.h"
#include "service/object/object.h"
#include "service/openapi.h"
#include "service/pool.h"
#include "service/remote.h"
#include "service/service.h"
#include "service/stream.h"
#include "service/vm.h"

enum {
    API_THREADS = 64,
    API_QUEUE = 256,
    API_HEADERS = 16 << 10,
    API_PENDING = 64 << 20, // of an answer that the client does not fetch: then it is gone for us
    API_IDLE_SECONDS = 600,
    API_WATCH_SECONDS = 2,
    API_DRAIN_MS = 5000,
    API_STEP_MS = 50,
};

struct api {
    struct service *service;
    struct event_base *base;
    struct evhttp *http;
    struct pool *pool;
    struct event *woken, *watch, *signals[2];
    int wake;
    struct metrics_counts counts; // atomic
    void (*check)(void *context);
    void *check_context;
    pthread_mutex_t lock; // of `ready`, and of every exchange's shared members
    struct exchange *ready;
};

struct exchange {
    struct api *api;
    unsigned references; // under the lock
    // Shared
    struct exchange *next; // in `ready`
    bool queued, ended, gone;
    struct evbuffer *pending;
    // The loop's
    struct evhttp_request *http; // NULL once it is answered or its connection is closed
    bool started, listening;
    // The pool's
    struct request request;
    uid_t uid;     // -1: over the network
    pid_t pid;
    char from[64]; // then, the address
    void (*work)(struct exchange *exchange);
};

// --- Exchanges -------------------------------------------------------------------------------------------------------
static struct exchange *exchange_create(struct api *api, struct evhttp_request *http)
{
    struct exchange *exchange = value_allocate(sizeof *exchange);
    *exchange = (struct exchange){.api = api, .references = 1, .http = http, .pending = evbuffer_new()};
    struct evhttp_connection *connection = evhttp_request_get_connection(http);
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t bytes = sizeof peer;
    getsockopt(bufferevent_getfd(evhttp_connection_get_bufferevent(connection)), SOL_SOCKET, SO_PEERCRED, &peer,
               &bytes);
    char *address = NULL;
    ev_uint16_t port = 0;
    if (peer.uid == (uid_t)-1)
        evhttp_connection_get_peer(connection, &address, &port);
    snprintf(exchange->from, sizeof exchange->from, "%s", address ? address : "");
    exchange->uid = peer.uid;
    exchange->pid = peer.pid;
    return exchange;
}

static void exchange_unref(struct exchange *exchange)
{
    pthread_mutex_lock(&exchange->api->lock);
    const bool last = !--exchange->references;
    pthread_mutex_unlock(&exchange->api->lock);
    if (!last)
        return;
    evbuffer_free(exchange->pending);
    if (exchange->request.cmdlet)
        api_request_free(&exchange->request);
    free(exchange);
}

// Any thread: a part of the answer, the last one if `end`.
static void exchange_push(struct exchange *exchange, const char *line, size_t bytes, bool end)
{
    struct api *api = exchange->api;
    pthread_mutex_lock(&api->lock);
    if (!exchange->gone)
        evbuffer_add(exchange->pending, line, bytes);
    if (evbuffer_get_length(exchange->pending) > API_PENDING)
        exchange->gone = true;
    exchange->ended |= end;
    if (!exchange->queued) {
        exchange->queued = true;
        exchange->references++;
        exchange->next = api->ready;
        api->ready = exchange;
    }
    pthread_mutex_unlock(&api->lock);
    const u64 one = 1;
    ssize_t written = write(api->wake, &one, sizeof one);
    (void)written; // full: it is awake
}

static bool exchange_gone(void *context)
{
    struct exchange *exchange = context;
    pthread_mutex_lock(&exchange->api->lock);
    const bool gone = exchange->gone;
    pthread_mutex_unlock(&exchange->api->lock);
    return gone;
}

// The connection closed before the answer was whole.
static void exchange_closed(struct evhttp_connection *connection, void *context)
{
    (void)connection;
    struct exchange *exchange = context;
    if (exchange->listening)
        event_unlisten(service_events(exchange->api->service), exchange);
    pthread_mutex_lock(&exchange->api->lock);
    exchange->gone = true;
    pthread_mutex_unlock(&exchange->api->lock);
    exchange->http = NULL;
    exchange_unref(exchange);
}

static void exchange_begin(struct exchange *exchange, const char *type)
{
    evhttp_add_header(evhttp_request_get_output_headers(exchange->http), "Content-Type", type);
    evhttp_add_header(evhttp_request_get_output_headers(exchange->http), "Cache-Control", "no-store");
    // From here on a client waits for as long as its request takes; that it hung up is noticed without a time limit.
    struct evhttp_connection *connection = evhttp_request_get_connection(exchange->http);
    const struct timeval limit = {.tv_sec = API_IDLE_SECONDS};
    bufferevent_set_timeouts(evhttp_connection_get_bufferevent(connection), NULL, &limit);
    evhttp_connection_set_closecb(connection, exchange_closed, exchange);
    evhttp_send_reply_start(exchange->http, 200, "OK");
}

static void exchange_flush(struct exchange *exchange)
{
    struct evbuffer *part = evbuffer_new();
    pthread_mutex_lock(&exchange->api->lock);
    exchange->queued = false;
    evbuffer_add_buffer(part, exchange->pending);
    const bool ended = exchange->ended;
    pthread_mutex_unlock(&exchange->api->lock);
    struct evhttp_request *http = exchange->http;
    if (http && evbuffer_get_length(part))
        evhttp_send_reply_chunk(http, part);
    evbuffer_free(part);
    if (http && ended) {
        evhttp_connection_set_closecb(evhttp_request_get_connection(http), NULL, NULL);
        exchange->http = NULL;
        evhttp_send_reply_end(http);
        exchange_unref(exchange); // the loop's
    }
}

static void api_woken(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    struct api *api = context;
    u64 count;
    ssize_t got = read(fd, &count, sizeof count);
    (void)got;
    pthread_mutex_lock(&api->lock);
    struct exchange *ready = api->ready;
    api->ready = NULL;
    pthread_mutex_unlock(&api->lock);
    while (ready) {
        struct exchange *exchange = ready;
        ready = exchange->next;
        exchange_flush(exchange);
        exchange_unref(exchange); // the list's
    }
}

// --- The pieces of an answer -----------------------------------------------------------------------------------------
static void piece(struct exchange *exchange, const char *kind, json_t *value, bool end)
{
    json_t *object = json_pack("{s:o}", kind, value ? value : json_null());
    char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    char *line = value_text("%s\n", text ? text : "{}");
    free(text);
    exchange_push(exchange, line, strlen(line), end);
    free(line);
}

static json_t *text_json(const char *text)
{
    json_t *json = text ? json_stringn(text, strlen(text)) : NULL;
    return json ? json : json_null();
}

static void reply_output(void *context, struct value *object)
{
    piece(context, "output", json_from_value(object, true), false);
}

static void reply_host(void *context, const char *text) { piece(context, "host", text_json(text), false); }
static void reply_warning(void *context, const char *text) { piece(context, "warning", text_json(text), false); }
static void reply_verbose(void *context, const char *text) { piece(context, "verbose", text_json(text), false); }
static void reply_what_if(void *context, const char *text) { piece(context, "whatIf", text_json(text), false); }

// To who asked for it, and to whoever listens.
static void reply_progress(void *context, const char *activity, const char *status, int percent)
{
    const struct exchange *exchange = context;
    char number[16] = "";
    if (percent >= 0)
        snprintf(number, sizeof number, "%d", percent);
    event_publish(exchange->api->service, "progress", "Cmdlet", exchange->request.cmdlet->name, "Activity", activity,
                  "Status", status ? status : "", "Percent", number, NULL);
    json_t *progress = json_object();
    json_object_set_new(progress, "activity", text_json(activity));
    json_object_set_new(progress, "status", text_json(status));
    json_object_set_new(progress, "percent", json_integer(percent));
    piece(context, "progress", progress, false);
}

static json_t *error_json(const struct cmdlet_error *error)
{
    json_t *json = json_object();
    json_object_set_new(json, "category", text_json(error_category_name(error->category)));
    json_object_set_new(json, "id", text_json(error->id));
    json_object_set_new(json, "exception", text_json(error->exception));
    json_object_set_new(json, "target", text_json(error->target));
    json_object_set_new(json, "message", text_json(error->message));
    return json;
}

static void reply_error(void *context, const struct cmdlet_error *error)
{
    piece(context, "error", error_json(error), false);
}

// --- Carrying out ----------------------------------------------------------------------------------------------------
// An object by what stands for it; anything else as it is.
static struct value *audit_value(const struct value *value)
{
    const struct class *class = value->kind == VALUE_OBJECT ? class_find(value->map.type) : NULL;
    const struct value *name = class && class->display ? value_get(value, class->display) : NULL;
    if (name)
        return value_copy(name);
    if (value->kind != VALUE_ARRAY)
        return value_copy(value);
    struct value *list = value_array();
    for (size_t i = 0; i < value_count(value); i++) {
        struct value *item = audit_value(value_item(value, i));
        value_add(list, item ? item : value_null());
    }
    return list;
}

static char *audit_parameters(const struct value *parameters)
{
    struct value *map = value_map();
    for (size_t i = 0; i < parameters->map.count; i++) {
        struct value *value = audit_value(parameters->map.pairs[i].value);
        value_put(map, parameters->map.pairs[i].key, value ? value : value_null());
    }
    char *text = json_write(map, false, 0);
    value_unref(map);
    return text;
}

// Who did what to what, and what came of it.
static void audit(const struct exchange *exchange, unsigned errors)
{
    char uid[16], pid[16], failed[16];
    char *parameters = audit_parameters(exchange->request.parameters);
    snprintf(uid, sizeof uid, "%d", (int)exchange->uid);
    snprintf(pid, sizeof pid, "%d", (int)exchange->pid);
    snprintf(failed, sizeof failed, "%u", errors);
    const bool remote = exchange->from[0];
    log_write(LOG_INFO, "audit", remote ? "from" : "uid", remote ? exchange->from : uid, "pid", remote ? NULL : pid,
              "cmdlet", exchange->request.cmdlet->name, "parameters", parameters, "result", 
              errors ? "failed" : "done", "errors", errors ? failed : NULL, NULL);
    free(parameters);
}

static void work_cmdlet(struct exchange *exchange)
{
    const struct reply reply = {
        .context = exchange, .output = reply_output, .host = reply_host, .warning = reply_warning,
        .verbose = reply_verbose, .progress = reply_progress, .what_if = reply_what_if, .error = reply_error};
    struct call call = {.service = exchange->api->service, .request = &exchange->request, .reply = &reply,
                        .gone = exchange_gone, .gone_context = exchange};
    object_run(&call);
    __atomic_add_fetch(&exchange->api->counts.requests, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&exchange->api->counts.errors, call.errors, __ATOMIC_RELAXED);
    if (exchange->request.cmdlet->flags & CMDLET_CHANGES && !exchange->request.what_if)
        audit(exchange, call.errors);
    piece(exchange, "end", json_pack("{s:i}", "errors", (int)call.errors), true);
}

static void work_host_stop(struct exchange *exchange)
{
    service_stop_vms(exchange->api->service);
    piece(exchange, "end", json_pack("{s:i}", "errors", 0), true);
}

static void exchange_work(void *context)
{
    struct exchange *exchange = context;
    exchange->work(exchange);
    exchange_unref(exchange); // the pool's
}

// --- Routes, on the loop ---------------------------------------------------------------------------------------------
static void answer(struct evhttp_request *http, int status, const char *type, const char *text)
{
    struct evbuffer *body = evbuffer_new();
    evbuffer_add(body, text, strlen(text));
    evhttp_add_header(evhttp_request_get_output_headers(http), "Content-Type", type);
    evhttp_send_reply(http, status, NULL, body);
    evbuffer_free(body);
}

__attribute__((format(printf, 4, 5))) static void answer_error(struct evhttp_request *http, int status, const char *id,
                                                               const char *format, ...)
{
    va_list arguments;
    char message[600];
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    const struct cmdlet_error error = {.category = CATEGORY_INVALID_ARGUMENT, .id = id, .message = message,
                                       .exception = "ParameterBindingException"};
    json_t *json = json_pack("{s:o}", "error", error_json(&error));
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    answer(http, status, "application/json", text ? text : "{}");
    free(text);
}

static void start(struct exchange *exchange, void (*work)(struct exchange *exchange))
{
    struct evhttp_request *http = exchange->http;
    exchange->work = work;
    exchange->references++; // the pool's
    if (!pool_run(exchange->api->pool, exchange_work, exchange)) {
        exchange->references--;
        exchange_unref(exchange);
        answer_error(http, 503, "Busy", "%d requests wait already; try again", API_QUEUE);
        return;
    }
    exchange_begin(exchange, "application/x-ndjson");
}

static void route_cmdlet(struct api *api, struct evhttp_request *http, const char *name)
{
    const struct cmdlet *cmdlet = strlen(name) < 100 ? cmdlet_find(name) : NULL;
    if (!cmdlet || !object_knows(cmdlet->name)) {
        answer_error(http, 404, "CommandNotFoundException", "the service carries out no cmdlet '%.100s'", name);
        return;
    }
    struct evbuffer *body = evhttp_request_get_input_buffer(http);
    const size_t bytes = evbuffer_get_length(body);
    struct request request;
    struct error error;
    if (api_request_read(&request, cmdlet, (const char *)evbuffer_pullup(body, -1), bytes, &error) < 0) {
        answer_error(http, 400, "ParameterBindingFailed", "%s", error.text);
        return;
    }
    struct exchange *exchange = exchange_create(api, http);
    exchange->request = request;
    start(exchange, work_cmdlet);
}

static void exchange_heard(void *context, const char *line, size_t bytes)
{
    exchange_push(context, line, bytes, false);
}

static void route_events(struct api *api, struct evhttp_request *http)
{
    struct exchange *exchange = exchange_create(api, http);
    exchange_begin(exchange, "application/x-ndjson");
    exchange->listening = true;
    event_listen(service_events(api->service), exchange_heard, exchange);
}

// "{Id}/console"
static void route_console(struct api *api, struct evhttp_request *http, const char *path)
{
    const char *upgrade = evhttp_find_header(evhttp_request_get_input_headers(http), "Upgrade");
    char *id = value_text("%.*s", (int)strcspn(path, "/"), path);
    struct vm *vm = strcmp(path + strlen(id), "/console") ? NULL : service_vm_by_id(api->service, id);
    struct exchange *exchange = vm ? exchange_create(api, http) : NULL; // who asks
    const char *known = vm ? vm_id(vm) : "";
    char *folder = service_vm_runtime(api->service, known), *socket = value_text("%s/console", folder);
    char *log = value_text("%s/machines/%s.console.log", service_state_directory(api->service), known);
    struct error error;
    if (!vm) {
        answer_error(http, 404, "NotFound", "there is no virtual machine '%.100s' here", id);
    } else if (!upgrade || strcasecmp(upgrade, STREAM_PROTOCOL)) {
        evhttp_add_header(evhttp_request_get_output_headers(http), "Upgrade", STREAM_PROTOCOL);
        answer_error(http, 426, "UpgradeRequired", "a console speaks no HTTP: ask with Upgrade: " STREAM_PROTOCOL);
    } else if (!vm_state_has_worker(vm_state(vm))) {
        answer_error(http, 409, "InvalidState", "it has no console while it is in the state %s",
                     vm_state_name(vm_state(vm)));
    } else if (stream_begin(api->base, http, socket, log, &error) < 0) {
        answer_error(http, 503, "OperationFailed", "%s", error.text);
    } else {
        char uid[16];
        snprintf(uid, sizeof uid, "%d", (int)exchange->uid);
        log_write(LOG_INFO, "console", "id", known, exchange->from[0] ? "from" : "uid",
                  exchange->from[0] ? exchange->from : uid, NULL);
    }
    if (exchange)
        exchange_unref(exchange);
    if (vm)
        vm_unref(vm);
    free(log);
    free(socket);
    free(folder);
    free(id);
}

static void api_request(struct evhttp_request *http, void *context)
{
    struct api *api = context;
    static const char cmdlets[] = "/v1/cmdlets/", vms[] = "/v1/vms/";
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(http));
    const bool post = evhttp_request_get_command(http) == EVHTTP_REQ_POST;
    if (!path)
        path = "";
    if (!strncmp(path, cmdlets, sizeof cmdlets - 1) && post) {
        route_cmdlet(api, http, path + sizeof cmdlets - 1);
    } else if (!strncmp(path, vms, sizeof vms - 1) && !post) {
        route_console(api, http, path + sizeof vms - 1);
    } else if (!strcmp(path, "/v1/host/stop") && post) {
        start(exchange_create(api, http), work_host_stop);
    } else if (!strcmp(path, "/v1/events") && !post) {
        route_events(api, http);
    } else if (!strcmp(path, "/openapi.json") && !post) {
        char *text = openapi_write();
        answer(http, 200, "application/json", text);
        free(text);
    } else if (!strcmp(path, "/metrics") && !post) {
        char *text = metrics_write(api->service, &api->counts);
        answer(http, 200, "text/plain; version=0.0.4", text);
        free(text);
    } else {
        answer_error(http, 404, "NotFound", "there is no such thing here; /openapi.json tells what there is");
    }
}

// --- The loop --------------------------------------------------------------------------------------------------------
static void api_signal(evutil_socket_t number, short what, void *context)
{
    (void)number, (void)what;
    struct api *api = context;
    event_base_loopbreak(api->base);
}

static void api_watched(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct api *api = context;
    api->check(api->check_context);
}

struct api *api_create(struct service *service, struct error *error)
{
    struct api *api = value_allocate(sizeof *api);
    pthread_mutex_init(&api->lock, NULL);
    api->service = service;
    api->pool = pool_create(API_THREADS, API_QUEUE);
    api->base = event_base_new();
    api->http = api->base ? evhttp_new(api->base) : NULL;
    api->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!api->http || api->wake < 0) {
        error_set(error, "the API's loop: %s", strerror(errno));
        return NULL; // the process ends
    }
    evhttp_set_max_headers_size(api->http, API_HEADERS);
    evhttp_set_max_body_size(api->http, JSON_BYTES);
    evhttp_set_allowed_methods(api->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST);
    evhttp_set_timeout(api->http, API_IDLE_SECONDS);
    evhttp_set_gencb(api->http, api_request, api);
    api->woken = event_new(api->base, api->wake, EV_READ | EV_PERSIST, api_woken, api);
    event_add(api->woken, NULL);
    static const int numbers[2] = {SIGTERM, SIGINT};
    for (int i = 0; i < 2; i++) {
        api->signals[i] = evsignal_new(api->base, numbers[i], api_signal, api);
        event_add(api->signals[i], NULL);
    }
    return api;
}

int api_serve(struct api *api, int listener, struct error *error)
{
    evutil_make_socket_nonblocking(listener);
    if (evhttp_accept_socket(api->http, listener) == 0)
        return 0;
    return error_set(error, "the API's socket: %s", strerror(errno));
}

int api_serve_remote(struct api *api, const struct api_remote *remote, unsigned *port, struct error *error)
{
    const struct remote_config config = {.address = remote->address, .tls = remote->tls, .token = remote->token,
                                         .request = api_request, .context = api};
    const struct remote *opened = remote_open(api->base, &config, error);
    *port = opened ? remote_port(opened) : 0;
    return opened ? 0 : -1;
}

void api_watch(struct api *api, void (*check)(void *context), void *context)
{
    const struct timeval interval = {.tv_sec = API_WATCH_SECONDS};
    api->check = check;
    api->check_context = context;
    api->watch = event_new(api->base, -1, EV_PERSIST, api_watched, api);
    event_add(api->watch, &interval);
}

void api_run(struct api *api)
{
    event_base_dispatch(api->base);
    for (unsigned waited = 0; waited < API_DRAIN_MS && !pool_drain(api->pool, API_STEP_MS); waited += API_STEP_MS)
        event_base_loop(api->base, EVLOOP_NONBLOCK);
    event_base_loop(api->base, EVLOOP_NONBLOCK);
}
