// DHCP requests of any kind: a server answers within its bounds, and gives no address to two guests.
#include <stdlib.h>
#include <string.h>

#include "net/dhcp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FRAMES = 64, FRAME = 400 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct dhcp_config config = {
        .mac = {2, 0, 0, 0, 0, 1}, .router = 0x0a000001, .bits = 29, .first = 0x0a000000, .last = 0x0a000007};
    struct dhcp *dhcp = dhcp_create(&config);
    u8 reply[DHCP_REPLY], other[FRAME_MAC];
    struct frame frame;
    u64 now = 1;
    for (unsigned i = 0; dhcp && i < FRAMES && size > 2; i++) {
        size_t bytes = 2u * data[0] < size - 2 ? 2u * data[0] : size - 2;
        u8 *copy = malloc(bytes + 1); // of its own size, so that reading past it is seen
        memcpy(copy, data + 2, bytes);
        now += (u64)data[1] << 36;
        if (frame_read(&frame, copy, bytes, bytes)) {
            const size_t answer = dhcp_answer(dhcp, &frame, now, reply);
            if (answer > DHCP_REPLY || (answer && answer < FRAME_HEADER))
                abort();
            memcpy(other, frame.source, FRAME_MAC);
            other[5] ^= 1;
            const u32 address = dhcp_find(dhcp, frame.source, now);
            if (address && (address == config.router || address == dhcp_find(dhcp, other, now)))
                abort();
        }
        free(copy);
        data += bytes + 2;
        size -= bytes + 2;
    }
    dhcp_destroy(dhcp);
    return 0;
}
