// See prefix.h.
#include "service/prefix.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned prefix_most(const struct prefix *prefix)
{
    return prefix->ipv6 ? 128 : 32;
}

void prefix_cut(struct prefix *prefix, u8 bits)
{
    prefix->bits = bits;
    for (unsigned i = bits; i < 128; i++)
        prefix->bytes[i / 8] &= (u8) ~(0x80 >> i % 8);
}

int prefix_read(struct prefix *prefix, const char *text, struct error *error)
{
    char address[INET6_ADDRSTRLEN], *end;
    const char *slash = strchr(text, '/');
    const size_t length = slash ? (size_t)(slash - text) : strlen(text);
    *prefix = (struct prefix){.ipv6 = strchr(text, ':') != NULL};
    if (length < sizeof address) {
        memcpy(address, text, length);
        address[length] = 0;
    }
    if (length >= sizeof address || inet_pton(prefix->ipv6 ? AF_INET6 : AF_INET, address, prefix->bytes) != 1)
        return error_set(error, "'%s' is no IP address", text);
    const long bits = slash ? strtol(slash + 1, &end, 10) : (long)prefix_most(prefix);
    if (slash && (end == slash + 1 || *end || bits < 0 || bits > (long)prefix_most(prefix)))
        return error_set(error, "'%s': the prefix length is 0 to %u", text, prefix_most(prefix));
    prefix_cut(prefix, (u8)bits);
    return 0;
}

void prefix_write(const struct prefix *prefix, char text[PREFIX_TEXT])
{
    char address[INET6_ADDRSTRLEN];
    inet_ntop(prefix->ipv6 ? AF_INET6 : AF_INET, prefix->bytes, address, sizeof address);
    if (prefix->bits == prefix_most(prefix))
        snprintf(text, PREFIX_TEXT, "%s", address);
    else
        snprintf(text, PREFIX_TEXT, "%s/%u", address, prefix->bits);
}

bool prefix_contains(const struct prefix *outer, const struct prefix *inner)
{
    struct prefix cut = *inner;
    if (outer->ipv6 != inner->ipv6 || inner->bits < outer->bits)
        return false;
    prefix_cut(&cut, outer->bits);
    return !memcmp(cut.bytes, outer->bytes, sizeof cut.bytes);
}

bool prefix_overlaps(const struct prefix *left, const struct prefix *right)
{
    return prefix_contains(left, right) || prefix_contains(right, left);
}
