// See sum.h. Eight bytes at a time: such a sum may be taken over wider words and folded later, in either byte order.
#include "net/sum.h"

#include <string.h>

u16 sum_fold(u64 total)
{
    while (total >> 16)
        total = (total & 0xFFFF) + (total >> 16);
    return (u16)total;
}

static u64 sum_words(const u8 *bytes, size_t count)
{
    u64 low = 0, high = 0, word;
    for (; count >= sizeof word; bytes += sizeof word, count -= sizeof word) {
        memcpy(&word, bytes, sizeof word);
        low += (u32)word;
        high += word >> 32;
    }
    u8 rest[8] = {0};
    memcpy(rest, bytes, count);
    memcpy(&word, rest, sizeof word);
    return sum_fold(low) + (u64)sum_fold(high) + sum_fold((u32)word) + sum_fold(word >> 32);
}

void sum_add(struct sum *sum, const void *bytes, size_t count)
{
    const u16 part = sum_fold(sum_words(bytes, count)); // as a little-endian word
    sum->total += sum->odd ? part : __builtin_bswap16(part);
    sum->odd ^= count & 1;
}

void sum_add_parts(struct sum *sum, const struct iovec *parts, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        sum_add(sum, parts[i].iov_base, parts[i].iov_len);
}

u16 sum_ipv4(const u8 *ip, size_t bytes)
{
    enum { CHECKSUM = 10 };
    struct sum sum = {0};
    sum_add(&sum, ip, CHECKSUM);
    sum_add(&sum, ip + CHECKSUM + 2, bytes - CHECKSUM - 2);
    return (u16)~sum_fold(sum.total);
}

u16 sum_pseudo(const u8 *ip, bool ipv6, u8 protocol, size_t bytes)
{
    struct sum sum = {.total = protocol + bytes};
    sum_add(&sum, ip + (ipv6 ? 8 : 12), ipv6 ? 32 : 8);
    return sum_fold(sum.total);
}
