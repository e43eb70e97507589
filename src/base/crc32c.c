// See crc32c.h. Every processor of the last fifteen years has an instruction for it; for the others, the polynomial's
// definition, four bits at a time.
#include "base/crc32c.h"

#include <string.h>

__attribute__((target("sse4.2"))) static u32 crc32c_fast(u32 crc, const u8 *bytes, size_t count)
{
    u64 wide = crc;
    for (; count >= 8; bytes += 8, count -= 8) {
        u64 word;
        memcpy(&word, bytes, 8);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    crc = (u32)wide;
    for (; count; count--)
        crc = __builtin_ia32_crc32qi(crc, *bytes++);
    return crc;
}

static u32 crc32c_slow(u32 crc, const u8 *bytes, size_t count)
{
    // The remainders of 0..15 shifted by four bits, polynomial 0x1EDC6F41 with its bits reversed.
    static const u32 table[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
        0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    for (; count; count--) {
        crc ^= *bytes++;
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return crc;
}

u32 crc32c(u32 crc, const void *bytes, size_t count)
{
    crc = ~crc;
    return ~(__builtin_cpu_supports("sse4.2") ? crc32c_fast(crc, bytes, count) : crc32c_slow(crc, bytes, count));
}
