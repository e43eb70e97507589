// See vlan.h.
#include "net/vlan.h"

#include <stdlib.h>
#include <string.h>

bool vlan_list_read(const char *text, u64 set[4096 / 64])
{
    memset(set, 0, 4096 / 8);
    for (const char *at = text;;) {
        char *end;
        const long first = strtol(at, &end, 10);
        if (end == at || first < 0 || first > VLAN_MOST)
            return false;
        long last = first;
        if (*end == '-') {
            at = end + 1;
            last = strtol(at, &end, 10);
            if (end == at || last < first || last > VLAN_MOST)
                return false;
        }
        for (long vlan = first; vlan <= last; vlan++)
            set[vlan / 64] |= 1ull << (vlan % 64);
        if (!*end)
            return true;
        if (*end != ',')
            return false;
        at = end + 1;
    }
}
