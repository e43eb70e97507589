// IP addresses and prefixes as texts and as bits.
#pragma once

#include "base/error.h"
#include "base/types.h"

enum { PREFIX_TEXT = 64 };

struct prefix {
    bool ipv6;
    u8 bytes[16]; // bits behind the prefix are zero
    u8 bits;      // 0..32, 0..128
};

// "192.168.100.0/24", or an address alone, which is a prefix of all its bits.
int prefix_read(struct prefix *prefix, const char *text, struct error *error);
void prefix_write(const struct prefix *prefix, char text[PREFIX_TEXT]); // with its length, unless that is all bits
bool prefix_contains(const struct prefix *outer, const struct prefix *inner);
bool prefix_overlaps(const struct prefix *left, const struct prefix *right);
void prefix_cut(struct prefix *prefix, u8 bits); // makes it shorter
