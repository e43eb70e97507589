// See tls.h. Secrets are files made under another name with mode 0600 and renamed into place, so that whoever finds one
// finds all of it.
#include "service/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmdlet/value.h"

enum { CERTIFICATE_DAYS = 3650, TOKEN_BYTES = 32 };

// What OpenSSL says went wrong.
static int tls_error(struct error *error, const char *what, const char *path)
{
    char reason[200];
    ERR_error_string_n(ERR_peek_last_error(), reason, sizeof reason);
    ERR_clear_error();
    return error_set(error, "%s '%s': %s", what, path, reason);
}

// --- Secret files ----------------------------------------------------------------------------------------------------
static FILE *secret_begin(char **path, const char *final)
{
    *path = value_text("%s.new", final);
    unlink(*path);
    const int fd = open(*path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (fd >= 0 && !file)
        close(fd);
    return file;
}

// Takes file and path over; -1: nothing is there that was not there before.
static int secret_end(FILE *file, char *path, const char *final, bool written)
{
    written = written && fflush(file) == 0 && fsync(fileno(file)) == 0;
    written = file && fclose(file) == 0 && written && rename(path, final) == 0;
    if (!written)
        unlink(path);
    free(path);
    return written ? 0 : -1;
}

// A file that somebody else can read or write is no secret any more.
static int secret_check(int fd, const char *path, struct error *error)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return error_set(error, "'%s': %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return error_set(error, "'%s' is no file", path);
    if (status.st_uid != geteuid() || status.st_mode & 077)
        return error_set(error, "'%s' must belong to the service's user and be readable by nobody else: chmod 600",
                         path);
    return 0;
}

// --- The certificate -------------------------------------------------------------------------------------------------
static bool certificate_extend(X509 *certificate, int what, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, what, value);
    const bool added = extension && X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    return added;
}

// RFC 5280, section 4.1, of a server that is its own authority; a host's name that is no DNS name is left out.
static X509 *certificate_make(EVP_PKEY *key)
{
    char host[256] = "localhost", names[300];
    unsigned char serial[16];
    gethostname(host, sizeof host - 1);
    const bool plain = strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") == strlen(host);
    snprintf(names, sizeof names, "DNS:localhost%s%s,IP:127.0.0.1,IP:::1", plain ? ",DNS:" : "", plain ? host : "");
    X509 *certificate = X509_new();
    BIGNUM *number = RAND_bytes(serial, sizeof serial) == 1 ? BN_bin2bn(serial, sizeof serial - 1, NULL) : NULL;
    X509_NAME *name = certificate ? X509_get_subject_name(certificate) : NULL;
    const bool made =
        name && number && X509_set_version(certificate, X509_VERSION_3) &&
        BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) &&
        X509_gmtime_adj(X509_getm_notBefore(certificate), -3600) && // clocks differ
        X509_time_adj_ex(X509_getm_notAfter(certificate), CERTIFICATE_DAYS, 0, NULL) &&
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)"nidus", -1, -1, 0) &&
        X509_set_issuer_name(certificate, name) && X509_set_pubkey(certificate, key) &&
        certificate_extend(certificate, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
        certificate_extend(certificate, NID_ext_key_usage, "serverAuth") &&
        certificate_extend(certificate, NID_subject_alt_name, names) && X509_sign(certificate, key, EVP_sha256());
    BN_free(number);
    if (made)
        return certificate;
    X509_free(certificate);
    return NULL;
}

// The key first: a certificate that is there has its key.
static int certificate_files(const char *certificate_path, const char *key_path, struct error *error)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = key ? certificate_make(key) : NULL;
    int result = certificate ? 0 : tls_error(error, "a certificate for", certificate_path);
    if (result == 0) {
        char *path;
        FILE *file = secret_begin(&path, key_path);
        result = secret_end(file, path, key_path, file && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL));
        file = result == 0 ? secret_begin(&path, certificate_path) : NULL;
        if (result == 0)
            result = secret_end(file, path, certificate_path, file && PEM_write_X509(file, certificate));
        if (result < 0)
            error_set(error, "certificate '%s' cannot be made: %s", certificate_path, strerror(errno));
    }
    X509_free(certificate);
    EVP_PKEY_free(key);
    return result;
}

static int key_check(const char *path, struct error *error)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(error, "key '%s': %s", path, strerror(errno));
    const int result = secret_check(fd, path, error);
    close(fd);
    return result;
}

struct ssl_ctx_st *tls_server(const char *certificate, const char *key, bool make, struct error *error)
{
    if (make && access(certificate, F_OK) < 0 && certificate_files(certificate, key, error) < 0)
        return NULL;
    if (key_check(key, error) < 0)
        return NULL;
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    if (!tls || !SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION)) {
        tls_error(error, "TLS for", certificate);
    } else if (SSL_CTX_use_certificate_chain_file(tls, certificate) != 1) {
        tls_error(error, "certificate", certificate);
    } else if (SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1) {
        tls_error(error, "key", key);
    } else if (SSL_CTX_check_private_key(tls) != 1) {
        ERR_clear_error();
        error_set(error, "key '%s' is not that of certificate '%s'", key, certificate);
    } else {
        SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
        SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
        return tls;
    }
    SSL_CTX_free(tls);
    return NULL;
}

void tls_free(struct ssl_ctx_st *tls) { SSL_CTX_free(tls); }

void tls_fingerprint(struct ssl_ctx_st *tls, char text[static TLS_FINGERPRINT])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned bytes = 0;
    X509_digest(SSL_CTX_get0_certificate(tls), EVP_sha256(), digest, &bytes);
    int at = snprintf(text, TLS_FINGERPRINT, "sha256:");
    for (unsigned i = 0; i < bytes && at < TLS_FINGERPRINT - 2; i++)
        at += snprintf(text + at, (size_t)(TLS_FINGERPRINT - at), "%02x", digest[i]);
}

// --- The token -------------------------------------------------------------------------------------------------------
static int token_make(const char *path, struct error *error)
{
    unsigned char bytes[TOKEN_BYTES];
    char *new;
    FILE *file = secret_begin(&new, path);
    bool written = file && RAND_bytes(bytes, sizeof bytes) == 1;
    for (size_t i = 0; i < sizeof bytes && written; i++)
        written = fprintf(file, "%02x", bytes[i]) > 0;
    if (secret_end(file, new, path, written && fputc('\n', file) != EOF) == 0)
        return 0;
    return error_set(error, "token '%s' cannot be made: %s", path, strerror(errno));
}

int tls_token(char token[static TLS_TOKEN_MOST + 1], const char *path, bool make, struct error *error)
{
    if (make && access(path, F_OK) < 0 && token_make(path, error) < 0)
        return -1;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(error, "token '%s': %s", path, strerror(errno));
    if (secret_check(fd, path, error) < 0) {
        close(fd);
        return -1;
    }
    const ssize_t got = read(fd, token, TLS_TOKEN_MOST + 1);
    close(fd);
    const size_t filled = got > 0 ? (size_t)got : 0;
    token[filled > TLS_TOKEN_MOST ? TLS_TOKEN_MOST : filled] = 0;
    const size_t length = strcspn(token, "\r\n");
    token[length] = 0;
    for (size_t i = 0; i < length; i++)
        if (token[i] <= ' ' || token[i] > '~')
            return error_set(error, "token '%s': a blank or another character that a header cannot have", path);
    if (length < TLS_TOKEN_LEAST || filled > TLS_TOKEN_MOST)
        return error_set(error, "token '%s' must have %d to %d characters", path, TLS_TOKEN_LEAST, TLS_TOKEN_MOST);
    return 0;
}
