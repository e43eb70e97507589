// See remote.h. Each connection carries one request and has a deadline for the whole of it, handshake included: a
// client that sends a byte a minute holds its place no longer than one that sends nothing. While all places are taken
// nobody is accepted; the kernel keeps the next ones waiting.
#include "service/remote.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <netdb.h>
#include <netinet/in.h>
#include <openssl/crypto.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "cmdlet/value.h"
#include "service/log.h"

enum {
    REMOTE_CONNECTIONS = 256,
    REMOTE_STRANGERS = 64,         // of these, without a token yet
    REMOTE_SECONDS = 15,           // to show it
    REMOTE_IDLE_SECONDS = 60,      // of a client that does not take its answer
    REMOTE_HEADERS = 8 << 10,
    REMOTE_BODY = 1 << 20,
    REMOTE_BACKLOG = 64,
};

struct remote {
    struct event_base *base;
    struct evhttp *http;
    struct evconnlistener *listener;
    struct ssl_ctx_st *tls;
    char *token;
    int slot; // of a connection's place in its SSL
    unsigned connections, strangers;
    unsigned port;
    time_t refused_at; // when the log last told of a stranger
    void (*request)(struct evhttp_request *http, void *context);
    void *context;
};

// A connection's place; lives as long as its SSL.
struct place {
    struct remote *remote;
    struct bufferevent *connection;
    struct event *deadline;
    bool known; // it showed the token
};

static void remote_admit(struct remote *remote)
{
    if (remote->connections < REMOTE_CONNECTIONS && remote->strangers < REMOTE_STRANGERS)
        evconnlistener_enable(remote->listener);
    else
        evconnlistener_disable(remote->listener);
}

static void place_free(void *parent, void *data, CRYPTO_EX_DATA *all, int index, long number, void *context)
{
    (void)parent, (void)all, (void)index, (void)number, (void)context;
    struct place *place = data;
    if (!place)
        return;
    struct remote *remote = place->remote;
    event_free(place->deadline);
    remote->connections--;
    remote->strangers -= !place->known;
    free(place);
    remote_admit(remote);
}

// The connection's own end: libevent learns of it as if the client had hung up.
static void place_late(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    const struct place *place = context;
    shutdown(bufferevent_getfd(place->connection), SHUT_RDWR);
}

// libevent takes a connection without TLS where this gives NULL, so it never does: without memory the service ends.
static struct bufferevent *remote_connection(struct event_base *base, void *context)
{
    struct remote *remote = context;
    const struct timeval limit = {.tv_sec = REMOTE_SECONDS};
    struct place *place = value_allocate(sizeof *place);
    SSL *ssl = SSL_new(remote->tls);
    *place = (struct place){.remote = remote, .deadline = event_new(base, -1, 0, place_late, place)};
    if (!ssl || !place->deadline || !SSL_set_ex_data(ssl, remote->slot, place))
        abort();
    remote->connections++;
    remote->strangers++;
    place->connection = bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
    if (!place->connection)
        abort();
    bufferevent_openssl_set_allow_dirty_shutdown(place->connection, 1);
    event_add(place->deadline, &limit);
    remote_admit(remote);
    return place->connection;
}

// RFC 6750, section 2.1. The time this takes tells nothing of where they differ.
static bool remote_has_token(const struct remote *remote, struct evhttp_request *http)
{
    static const char scheme[] = "Bearer ";
    const char *given = evhttp_find_header(evhttp_request_get_input_headers(http), "Authorization");
    if (!given || strncasecmp(given, scheme, sizeof scheme - 1))
        return false;
    given += sizeof scheme - 1;
    return strlen(given) == strlen(remote->token) && !CRYPTO_memcmp(given, remote->token, strlen(given));
}

// The log has a line a second at most: strangers are not to fill it.
static void remote_refuse(struct remote *remote, struct evhttp_request *http, const char *peer)
{
    static const char body[] = "{\"error\":{\"category\":\"PermissionDenied\",\"id\":\"Unauthorized\","
                               "\"exception\":\"UnauthorizedAccessException\",\"message\":"
                               "\"The token is missing or not the service's.\"}}";
    struct evbuffer *answer = evbuffer_new();
    evbuffer_add(answer, body, sizeof body - 1);
    evhttp_add_header(evhttp_request_get_output_headers(http), "Content-Type", "application/json");
    evhttp_add_header(evhttp_request_get_output_headers(http), "WWW-Authenticate", "Bearer");
    evhttp_send_reply(http, 401, "Unauthorized", answer);
    evbuffer_free(answer);
    const time_t now = time(NULL);
    if (now != remote->refused_at)
        log_write(LOG_WARNING, "refused", "from", peer, "reason", "no token, or a wrong one", NULL);
    remote->refused_at = now;
}

static void remote_request(struct evhttp_request *http, void *context)
{
    struct remote *remote = context;
    struct evhttp_connection *connection = evhttp_request_get_connection(http);
    SSL *ssl = bufferevent_openssl_get_ssl(evhttp_connection_get_bufferevent(connection));
    struct place *place = ssl ? SSL_get_ex_data(ssl, remote->slot) : NULL;
    char *peer = NULL;
    ev_uint16_t port = 0;
    evhttp_connection_get_peer(connection, &peer, &port);
    evhttp_add_header(evhttp_request_get_output_headers(http), "Connection", "close");
    if (!place || !remote_has_token(remote, http)) {
        remote_refuse(remote, http, peer);
        return;
    }
    event_del(place->deadline);
    remote->strangers -= !place->known;
    place->known = true;
    remote_admit(remote);
    const int one = 1; // a client that vanished is noticed
    setsockopt(bufferevent_getfd(place->connection), SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    remote->request(http, remote->context);
}

// --- Listening -------------------------------------------------------------------------------------------------------
// "HOST:PORT", the host in brackets if it has colons, and nothing for all.
static int address_read(const char *text, char host[static 256], char port[static 8], struct error *error)
{
    const char *colon = strrchr(text, ':');
    const bool bracket = text[0] == '[';
    const char *end = bracket ? strchr(text, ']') : colon;
    const char *start = text + bracket;
    char *rest = NULL;
    const unsigned long number = colon && colon[1] ? strtoul(colon + 1, &rest, 10) : 65536;
    if (!colon || !end || end < start || (bracket && end + 1 != colon) || end - start > 255 || number > 65535 ||
        *rest || (!bracket && memchr(text, ':', (size_t)(colon - text))))
        return error_set(error, "'%s' is no address to listen at: ADDRESS:PORT, [ADDRESS]:PORT or :PORT", text);
    snprintf(host, 256, "%.*s", (int)(end - start), start);
    snprintf(port, 8, "%lu", number);
    return 0;
}

static int remote_socket(const char *address, struct error *error)
{
    char host[256], port[8];
    struct addrinfo *found, hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    if (address_read(address, host, port, error) < 0)
        return -1;
    const int why = getaddrinfo(host[0] ? host : "::", port, &hints, &found);
    if (why)
        return error_set(error, "'%s': %s", address, gai_strerror(why));
    const int one = 1, zero = 0;
    const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (fd >= 0 && found->ai_family == AF_INET6 && !host[0])
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero); // IPv4's, too
    const bool bound = fd >= 0 && bind(fd, found->ai_addr, found->ai_addrlen) == 0;
    freeaddrinfo(found);
    if (bound)
        return fd;
    error_set(error, "cannot listen at '%s': %s", address, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

static unsigned socket_port(int fd)
{
    struct sockaddr_storage address;
    socklen_t bytes = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &bytes) < 0)
        return 0;
    return ntohs(address.ss_family == AF_INET ? ((const struct sockaddr_in *)&address)->sin_port
                                              : ((const struct sockaddr_in6 *)&address)->sin6_port);
}

struct remote *remote_open(struct event_base *base, const struct remote_config *config, struct error *error)
{
    const int fd = remote_socket(config->address, error);
    if (fd < 0)
        return NULL;
    struct remote *remote = value_allocate(sizeof *remote);
    *remote = (struct remote){.base = base, .tls = config->tls, .token = value_text_copy(config->token),
                              .port = socket_port(fd), .request = config->request, .context = config->context,
                              .slot = SSL_get_ex_new_index(0, NULL, NULL, NULL, place_free)};
    remote->http = evhttp_new(base);
    remote->listener = evconnlistener_new(base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC,
                                          REMOTE_BACKLOG, fd);
    if (remote->slot < 0 || !remote->http || !remote->listener ||
        !evhttp_bind_listener(remote->http, remote->listener)) {
        error_set(error, "cannot listen at '%s': %s", config->address, strerror(errno));
        return NULL; // the process ends
    }
    evhttp_set_bevcb(remote->http, remote_connection, remote);
    evhttp_set_gencb(remote->http, remote_request, remote);
    evhttp_set_max_headers_size(remote->http, REMOTE_HEADERS);
    evhttp_set_max_body_size(remote->http, REMOTE_BODY);
    evhttp_set_allowed_methods(remote->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST);
    evhttp_set_timeout(remote->http, REMOTE_IDLE_SECONDS);
    return remote;
}

unsigned remote_port(const struct remote *remote) { return remote->port; }
