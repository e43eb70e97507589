// The Internet checksum (RFC 1071): a one's complement sum of 16-bit words, big-endian as if the sum had begun at an
// even byte. Pure.
#pragma once

#include <sys/uio.h>

#include "base/types.h"

struct sum {
    u64 total;
    bool odd; // bytes so far
};

void sum_add(struct sum *sum, const void *bytes, size_t count);
void sum_add_parts(struct sum *sum, const struct iovec *parts, unsigned count);
u16 sum_fold(u64 total);

// IPv4's over its header, whose checksum field is 0 or right.
u16 sum_ipv4(const u8 *ip, size_t bytes);
// Of the pseudo header of TCP or UDP behind an IP header (RFC 9293, 3.1; RFC 8200, 8.1): `bytes` from theirs on.
u16 sum_pseudo(const u8 *ip, bool ipv6, u8 protocol, size_t bytes);
