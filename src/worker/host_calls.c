// The system calls that a VM's process makes, grouped by who needs them (jail/jail.h). Threads and signals to them
// are the jail's own business.
#include <seccomp.h>

#include "jail/jail.h"
#include "worker/host.h"

static const int host_calls[] = {
    // Memory: guest RAM, code caches, malloc.
    SCMP_SYS(brk), SCMP_SYS(fallocate), SCMP_SYS(ftruncate), SCMP_SYS(madvise), SCMP_SYS(memfd_create), SCMP_SYS(mmap),
    SCMP_SYS(mprotect), SCMP_SYS(mremap), SCMP_SYS(munmap),
    // Threads and their signals: vCPUs, devices, the console. clone and tgkill are the jail's.
    SCMP_SYS(arch_prctl), SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(futex), SCMP_SYS(getcpu), SCMP_SYS(getpid),
    SCMP_SYS(gettid), SCMP_SYS(membarrier), SCMP_SYS(restart_syscall), SCMP_SYS(rseq), SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sched_getaffinity), SCMP_SYS(sched_yield),
    SCMP_SYS(sched_setscheduler), SCMP_SYS(set_robust_list), SCMP_SYS(sigaltstack), SCMP_SYS(signalfd4),
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
    SCMP_SYS(stat), SCMP_SYS(statx), SCMP_SYS(sync_file_range), SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(write),
    SCMP_SYS(writev),
    // Sockets: the user-mode network's, the console's.
    SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(bind), SCMP_SYS(connect), SCMP_SYS(getpeername),
    SCMP_SYS(getsockname), SCMP_SYS(getsockopt), SCMP_SYS(listen), SCMP_SYS(recvfrom), SCMP_SYS(recvmmsg),
    SCMP_SYS(recvmsg), SCMP_SYS(sendmmsg), SCMP_SYS(sendmsg), SCMP_SYS(sendto), SCMP_SYS(setsockopt),
    SCMP_SYS(shutdown), SCMP_SYS(socket), SCMP_SYS(socketpair),
    // Questions about ourselves that libraries ask.
    SCMP_SYS(getegid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getpgid), SCMP_SYS(getpgrp), SCMP_SYS(getppid),
    SCMP_SYS(getuid), SCMP_SYS(sysinfo), SCMP_SYS(uname),
};

void host_jail_calls(struct jail_config *jail)
{
    jail->calls = host_calls;
    jail->call_count = ARRAY_SIZE(host_calls);
}
