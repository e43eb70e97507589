// What the service needs of TLS where it listens on TCP: its certificate, made when there is none, and the token by
// which it knows who may use it. Both are files that only the service's user may read.
#pragma once

#include "base/error.h"

enum { TLS_FINGERPRINT = 7 + 64 + 1, TLS_TOKEN_LEAST = 32, TLS_TOKEN_MOST = 512 };

struct ssl_ctx_st; // OpenSSL's SSL_CTX

// A server's side with the certificate (and what it was signed with) and key of these PEM files. If there is no
// certificate file and `make`, a key and a certificate that signs itself are made there first. NULL with the reason.
struct ssl_ctx_st *tls_server(const char *certificate, const char *key, bool make, struct error *error);
void tls_free(struct ssl_ctx_st *tls);
// "sha256:" and 64 hexadecimal digits of the certificate, by which a client may know it.
void tls_fingerprint(struct ssl_ctx_st *tls, char text[static TLS_FINGERPRINT]);

// The token in a file: its first line, TLS_TOKEN_LEAST to TLS_TOKEN_MOST visible characters. `make`: a file that is not
// there is made, with a random one. One that others may read is an error. 0, or -1 with the reason.
int tls_token(char token[static TLS_TOKEN_MOST + 1], const char *path, bool make, struct error *error);
