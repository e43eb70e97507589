// See user.h.
#include "service/user.h"

#include <linux/capability.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "service/record.h"

// Another user is worth it only where the worker can still be given a root of its own: the folders above its own are
// the service's alone. A container's root that may make no namespaces keeps to a user namespace (jail.c).
bool user_possible(void)
{
    static const int wanted[] = {CAP_SYS_ADMIN, CAP_SETUID, CAP_SETGID, CAP_CHOWN};
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct have[_LINUX_CAPABILITY_U32S_3] = {0};
    unsigned long long first, below, count = 0;
    if (geteuid() != 0 || syscall(SYS_capget, &header, have) < 0)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
        if (!(have[CAP_TO_INDEX(wanted[i])].effective & CAP_TO_MASK(wanted[i])))
            return false;
    FILE *map = fopen("/proc/self/uid_map", "re");
    bool mapped = false;
    while (map && !mapped && fscanf(map, "%llu %llu %llu", &first, &below, &count) == 3)
        mapped = first <= RECORD_USER_FIRST && first + count > RECORD_USER_SWITCH_FIRST + RECORD_USER_SWITCHES;
    if (map)
        fclose(map);
    return mapped;
}
