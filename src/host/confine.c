// See confine.h. It is the VM's user also for the sake of how it ends: the kernel's signal to the children of a process
// that died is that process's, which may send none to root.
#include "host/confine.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int confine_identity(u32 user)
{
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setgroups(0, NULL) < 0 || setresgid(user, user, user) < 0 ||
        setresuid(user, user, user) < 0)
        return -errno;
    return 0;
}

static int confine_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const u32 files = 1U << CAP_DAC_OVERRIDE;
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {
        {.effective = files, .permitted = files, .inheritable = files}};
    if (syscall(SYS_capset, &header, sets) < 0 ||
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0) < 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    return 0;
}

int confine_program(u32 user)
{
    // Where they may not be made there is the user, all the same.
    static const int kinds[] = {CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS};
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (unshare(kinds[i]) < 0 && errno != EPERM && errno != ENOSPC && errno != EINVAL)
            return -errno;
    for (int i = 0; prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++)
        if (i != CAP_DAC_OVERRIDE)
            prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
    const int result = confine_identity(user);
    return result ? result : confine_capabilities();
}
