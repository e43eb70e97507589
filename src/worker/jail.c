// See jail.h. The list is one of what is allowed, grouped by who needs it; everything else fails with EPERM, as a library's
// probing of something new must not end a VM. Files stay reachable by name, because a reset loads the images anew.
#include "worker/jail.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static const int jail_calls[] = {
    // Memory: guest RAM, code caches, malloc.
    SCMP_SYS(brk), SCMP_SYS(fallocate), SCMP_SYS(ftruncate), SCMP_SYS(madvise), SCMP_SYS(memfd_create), SCMP_SYS(mmap),
    SCMP_SYS(mprotect), SCMP_SYS(mremap), SCMP_SYS(munmap),
    // Threads and their signals: vCPUs, devices, the console. clone and tgkill are below.
    SCMP_SYS(arch_prctl), SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(futex), SCMP_SYS(getcpu), SCMP_SYS(getpid),
    SCMP_SYS(gettid), SCMP_SYS(membarrier), SCMP_SYS(restart_syscall), SCMP_SYS(rseq), SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sched_getaffinity), SCMP_SYS(sched_yield),
    SCMP_SYS(set_robust_list), SCMP_SYS(sigaltstack), SCMP_SYS(signalfd4),
    // Time: the board's timers, APIC timers, timeouts.
    SCMP_SYS(clock_getres), SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep), SCMP_SYS(gettimeofday),
    SCMP_SYS(nanosleep), SCMP_SYS(timer_create), SCMP_SYS(timer_delete), SCMP_SYS(timer_gettime),
    SCMP_SYS(timer_settime), SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_gettime), SCMP_SYS(timerfd_settime),
    // Files: images, disks, terminal, /dev/kvm (ioctl).
    SCMP_SYS(access), SCMP_SYS(close), SCMP_SYS(dup), SCMP_SYS(eventfd2), SCMP_SYS(faccessat), SCMP_SYS(faccessat2),
    SCMP_SYS(fcntl), SCMP_SYS(fdatasync), SCMP_SYS(flock), SCMP_SYS(fstat), SCMP_SYS(fsync), SCMP_SYS(getdents64),
    SCMP_SYS(getrandom), SCMP_SYS(ioctl), SCMP_SYS(lseek), SCMP_SYS(newfstatat), SCMP_SYS(open), SCMP_SYS(openat),
    SCMP_SYS(pipe2), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(pread64), SCMP_SYS(preadv), SCMP_SYS(preadv2),
    SCMP_SYS(pwrite64), SCMP_SYS(pwritev), SCMP_SYS(pwritev2), SCMP_SYS(read), SCMP_SYS(readlink),
    SCMP_SYS(readlinkat), SCMP_SYS(readv), SCMP_SYS(rename), SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(select),
    SCMP_SYS(stat), SCMP_SYS(statx), SCMP_SYS(sync_file_range), SCMP_SYS(unlink), SCMP_SYS(write), SCMP_SYS(writev),
    // Sockets: the user-mode network's, the console's.
    SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(bind), SCMP_SYS(connect), SCMP_SYS(getpeername),
    SCMP_SYS(getsockname), SCMP_SYS(getsockopt), SCMP_SYS(listen), SCMP_SYS(recvfrom), SCMP_SYS(recvmmsg),
    SCMP_SYS(recvmsg), SCMP_SYS(sendmmsg), SCMP_SYS(sendmsg), SCMP_SYS(sendto), SCMP_SYS(setsockopt),
    SCMP_SYS(shutdown), SCMP_SYS(socket), SCMP_SYS(socketpair),
    // Questions about ourselves that libraries ask.
    SCMP_SYS(getegid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getpgid), SCMP_SYS(getpgrp), SCMP_SYS(getppid),
    SCMP_SYS(getuid), SCMP_SYS(sysinfo), SCMP_SYS(uname),
};

static int jail_rules(scmp_filter_ctx filter)
{
    int result = 0;
    for (size_t i = 0; i < ARRAY_SIZE(jail_calls) && !result; i++)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, jail_calls[i], 0);
    // Threads, not processes. clone3's flags are out of a filter's sight; libraries fall back to clone.
    if (!result)
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    if (!result)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                                  SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    // Signals to our own threads: kicks, and abort.
    if (!result)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                                  SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0));
    // A thread's name; a thread's stack size.
    if (!result)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME, 0));
    if (!result)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, SCMP_A2(SCMP_CMP_EQ, 0, 0));
    return result;
}

// The leak checker of a sanitizer build traces the process from a child when it ends: it needs what the jail forbids.
static bool jail_is_possible(void)
{
#if defined(__SANITIZE_ADDRESS__)
    return false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
    return false;
#else
    return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 0;
#endif
#else
    return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 0;
#endif
}

int jail_enter(struct error *error)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return error_set(error, "cannot give up privileges: %s", strerror(errno));
    if (!jail_is_possible())
        return 0;
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!filter)
        return error_set(error, "out of memory for the system-call filter");
    // A tree instead of a chain: the calls are hot.
    seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    int result = jail_rules(filter);
    if (!result)
        result = seccomp_load(filter);
    seccomp_release(filter);
    return result ? error_set(error, "cannot set up the system-call filter: %s", strerror(-result)) : 0;
}
