// See remote.h.
#include "shell/remote.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmdlet/value.h"

enum { CONNECT_SECONDS = 10, FINGERPRINT = 7 + 64 + 1 };

struct remote {
    SSL_CTX *context;
    SSL *ssl;
    char distrusted[FINGERPRINT]; // of the certificate that failed, or ""
};

struct place {
    char host[256], port[8];
};

static int place_read(const char *url, struct place *place, struct error *error)
{
    static const char scheme[] = "https://";
    const bool known = !strncasecmp(url, scheme, sizeof scheme - 1);
    const char *start = known ? url + sizeof scheme - 1 : url, *end = NULL;
    const bool bracket = *start == '[';
    start += bracket;
    end = bracket ? strchr(start, ']') : start + strcspn(start, ":/");
    const char *colon = end && bracket ? end + 1 : end;
    char *rest = NULL;
    const unsigned long port = colon && *colon == ':' ? strtoul(colon + 1, &rest, 10) : 0;
    if (!known || !end || end == start || end - start > 255 || !port || port > 65535 || strcmp(rest, *rest ? "/" : ""))
        return error_set(error, "server '%s': expected https://HOST:PORT", url);
    snprintf(place->host, sizeof place->host, "%.*s", (int)(end - start), start);
    snprintf(place->port, sizeof place->port, "%lu", port);
    return 0;
}

int remote_connect(const struct remote_server *server, struct error *error)
{
    struct place place;
    struct addrinfo *found, hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    if (place_read(server->url, &place, error) < 0)
        return -1;
    const int why = getaddrinfo(place.host, place.port, &hints, &found);
    if (why)
        return error_set(error, "server '%s': %s", server->url, gai_strerror(why));
    int fd = -1, reason = 0;
    for (const struct addrinfo *at = found; at && fd < 0; at = at->ai_next) {
        const struct timeval limit = {.tv_sec = CONNECT_SECONDS}; // connect keeps to it, too
        fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        if (fd >= 0 && connect(fd, at->ai_addr, at->ai_addrlen) == 0)
            break;
        reason = errno == EINPROGRESS ? ETIMEDOUT : errno;
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    freeaddrinfo(found);
    return fd >= 0 ? fd : error_set(error, "no service answers at '%s': %s", server->url, strerror(reason));
}

// --- Whom we talk to -------------------------------------------------------------------------------------------------
static void certificate_fingerprint(const X509 *certificate, char text[static FINGERPRINT])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned bytes = 0;
    X509_digest(certificate, EVP_sha256(), digest, &bytes);
    int at = snprintf(text, FINGERPRINT, "sha256:");
    for (unsigned i = 0; i < bytes && at < FINGERPRINT - 2; i++)
        at += snprintf(text + at, (size_t)(FINGERPRINT - at), "%02x", digest[i]);
}

// "sha256:AB:CD...", as openssl prints it, is the same as ours.
static bool fingerprint_is(const char *given, const char *found)
{
    for (; *found; found++) {
        const bool prefix = !strncmp(found, "sha256:", 7);
        if (prefix && !strncasecmp(given, "sha256:", 7))
            given += 7;
        if (prefix) {
            found += 6;
            continue;
        }
        given += *given == ':';
        if ((*given | 0x20) != *found && *given != *found)
            return false;
        given++;
    }
    return !*given;
}

static bool remote_names(SSL *ssl, const char *host)
{
    unsigned char address[16];
    const bool numeric = inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
    if (numeric)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host);
    return SSL_set_tlsext_host_name(ssl, host) && SSL_set1_host(ssl, host);
}

// The handshake ends here, and the certificate with it.
static int remote_verified(int trusted, X509_STORE_CTX *chain)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct remote *remote = SSL_get_app_data(ssl);
    if (!trusted)
        certificate_fingerprint(X509_STORE_CTX_get0_cert(chain), remote->distrusted);
    return trusted;
}

static int remote_failed(const struct remote *remote, const struct remote_server *server, struct error *error)
{
    char reason[200];
    const char *fingerprint = remote->distrusted;
    const long verified = remote->ssl ? SSL_get_verify_result(remote->ssl) : X509_V_OK;
    const unsigned long code = ERR_peek_last_error();
    ERR_error_string_n(code, reason, sizeof reason);
    ERR_clear_error();
    if (verified != X509_V_OK)
        return error_set(error, "server '%s' cannot be trusted: %s%s%s%s", server->url,
                         X509_verify_cert_error_string(verified), fingerprint[0] ? "; if its service's log says " : "",
                         fingerprint, fingerprint[0] ? ", give that with --fingerprint" : "");
    return error_set(error, "server '%s': no TLS: %s", server->url, code ? reason : "the connection was closed");
}

static int remote_check(const struct remote *remote, const struct remote_server *server, struct error *error)
{
    char found[FINGERPRINT] = "";
    X509 *certificate = SSL_get1_peer_certificate(remote->ssl);
    if (certificate)
        certificate_fingerprint(certificate, found);
    X509_free(certificate);
    if (!server->fingerprint || fingerprint_is(server->fingerprint, found))
        return certificate ? 0 : error_set(error, "server '%s' shows no certificate", server->url);
    return error_set(error, "server '%s' is not the one that was expected: its fingerprint is %s", server->url, found);
}

struct remote *remote_begin(const struct remote_server *server, int fd, struct error *error)
{
    struct place place;
    if (place_read(server->url, &place, error) < 0)
        return NULL;
    struct remote *remote = value_allocate(sizeof *remote);
    remote->context = SSL_CTX_new(TLS_client_method());
    remote->ssl = remote->context ? SSL_new(remote->context) : NULL;
    if (!remote->ssl || !SSL_set_min_proto_version(remote->ssl, TLS1_2_VERSION) || !SSL_set_fd(remote->ssl, fd)) {
        remote_failed(remote, server, error);
    } else if (server->authority && SSL_CTX_load_verify_file(remote->context, server->authority) != 1) {
        ERR_clear_error();
        error_set(error, "'%s' holds no certificates", server->authority);
    } else {
        if (!server->fingerprint && !server->authority)
            SSL_CTX_set_default_verify_paths(remote->context);
        SSL_set_app_data(remote->ssl, remote);
        SSL_set_verify(remote->ssl, server->fingerprint ? SSL_VERIFY_NONE : SSL_VERIFY_PEER,
                       server->fingerprint ? NULL : remote_verified);
        if (!remote_names(remote->ssl, place.host) || SSL_connect(remote->ssl) != 1)
            remote_failed(remote, server, error);
        else if (remote_check(remote, server, error) == 0)
            return remote;
    }
    remote_end(remote);
    return NULL;
}

void remote_end(struct remote *remote)
{
    if (!remote)
        return;
    SSL_free(remote->ssl);
    SSL_CTX_free(remote->context);
    free(remote);
}

void remote_hurry(struct remote *remote)
{
    const int fd = SSL_get_fd(remote->ssl);
    SSL_set_mode(remote->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static ssize_t remote_result(const struct remote *remote, int result)
{
    const int why = result > 0 ? SSL_ERROR_NONE : SSL_get_error(remote->ssl, result);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
        errno = EAGAIN;
    else if (why != SSL_ERROR_NONE && why != SSL_ERROR_SYSCALL)
        errno = EIO;
    return result > 0 ? result : why == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}

ssize_t remote_send(struct remote *remote, const void *bytes, size_t count)
{
    ERR_clear_error();
    return remote_result(remote, SSL_write(remote->ssl, bytes, count > INT32_MAX ? INT32_MAX : (int)count));
}

ssize_t remote_receive(struct remote *remote, void *bytes, size_t count)
{
    ERR_clear_error();
    return remote_result(remote, SSL_read(remote->ssl, bytes, count > INT32_MAX ? INT32_MAX : (int)count));
}

// --- The token -------------------------------------------------------------------------------------------------------
int remote_token(const struct remote_server *server, char token[static REMOTE_TOKEN + 1], struct error *error)
{
    struct stat status;
    token[0] = 0;
    if (!server->token_file)
        return 0;
    const int fd = open(server->token_file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(error, "token '%s': %s", server->token_file, strerror(errno));
    if (fstat(fd, &status) < 0 || status.st_mode & 077) {
        close(fd);
        return error_set(error, "token '%s' may be read by others: chmod 600", server->token_file);
    }
    const ssize_t got = read(fd, token, REMOTE_TOKEN);
    close(fd);
    token[got > 0 ? got : 0] = 0;
    token[strcspn(token, "\r\n")] = 0;
    for (const char *at = token; *at; at++)
        if (*at <= ' ' || *at > '~')
            return error_set(error, "token '%s': a blank or another character that a header cannot have",
                             server->token_file);
    return 0;
}
