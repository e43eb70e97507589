// See jail.h. The stages, outermost first, and why each:
//
//   identity      a per-VM user: what belongs to the service, or to another VM, is not ours to touch
//   user          without the right to make the namespaces below, a user namespace, which gives it, and no other
//   mount         an empty, read-only root: there is no file to read, no socket to connect to, no device to open
//   network       an empty network: nobody to talk to (but with user-mode network, which is made of the host's)
//   ipc, uts      System V's and POSIX's queues and shared memory of others; the host's name
//   capabilities  root without its powers, and no way back to them
//   no-new-privs  no program could give any (and the filter needs it)
//   limits        no core file with guest memory in it
//   seccomp       of the kernel only what the program uses: its list, which stands beside the code that needs the
//                 calls, and threads; everything else fails with EPERM, as a library's probing of something new must
//                 not end it
//
// A process namespace is for children, of which the filter allows none.
#include "jail/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "jail/jail_root.h"

static int jail_rules(scmp_filter_ctx filter, const struct jail_config *config)
{
    int result = 0;
    for (size_t i = 0; i < config->call_count && !result; i++)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, config->calls[i], 0);
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

// The leak checker of a sanitizer build traces the process from a child when it ends, and reads what the process maps:
// it needs what the jail forbids.
static bool jail_is_possible(void)
{
#if defined(__SANITIZE_ADDRESS__)
    return false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
    return false;
#else
    return true;
#endif
#else
    return true;
#endif
}

// --- What became of each stage ---

static void jail_held(struct jail_report *report, const char *stage)
{
    size_t used = strlen(report->held);
    snprintf(report->held + used, sizeof report->held - used, "%s%s", used ? " " : "", stage);
}

static void jail_lacks(struct jail_report *report, const char *stage, const char *reason)
{
    size_t used = strlen(report->lacking);
    snprintf(report->lacking + used, sizeof report->lacking - used, "%s%s: %s", used ? "; " : "", stage, reason);
}

// `result`: 0 or a negative errno. Whether the stage holds.
static bool jail_note(struct jail_report *report, const char *stage, int result)
{
    if (result)
        jail_lacks(report, stage, strerror(-result));
    else
        jail_held(report, stage);
    return !result;
}

// --- The stages ---

static int jail_write(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int result = write(fd, text, strlen(text)) < 0 ? -errno : 0;
    close(fd);
    return result;
}

// We stay who we are in it, so that our files stay ours.
static int jail_user_namespace(void)
{
    char map[64];
    uid_t user = geteuid();
    gid_t group = getegid();
    if (unshare(CLONE_NEWUSER) < 0)
        return -errno;
    int result = jail_write("/proc/self/setgroups", "deny");
    snprintf(map, sizeof map, "%u %u 1", (unsigned)user, (unsigned)user);
    if (!result)
        result = jail_write("/proc/self/uid_map", map);
    snprintf(map, sizeof map, "%u %u 1", (unsigned)group, (unsigned)group);
    return result ? result : jail_write("/proc/self/gid_map", map);
}

static int jail_namespace(int kind) { return unshare(kind) < 0 ? -errno : 0; }

static void jail_mount(const struct jail_config *config, struct jail_report *report)
{
    if (config->anywhere) {
        jail_lacks(report, "mount", "the VM may be saved to any directory");
        return;
    }
    int result = jail_namespace(CLONE_NEWNS);
    report->rooted = jail_note(report, "mount", result ? result : jail_root_enter(config));
}

static void jail_namespaces(const struct jail_config *config, struct jail_report *report)
{
    int result = jail_namespace(CLONE_NEWUTS);
    // Who may not make them, a container's root included, may in a user namespace. But there are no other users in it.
    if (result == -EPERM && !config->user) {
        if (!jail_note(report, "user", jail_user_namespace()))
            return;
        result = jail_namespace(CLONE_NEWUTS);
    }
    jail_note(report, "uts", result);
    if (!config->network)
        jail_note(report, "network", jail_namespace(CLONE_NEWNET));
    jail_note(report, "ipc", jail_namespace(CLONE_NEWIPC));
    jail_mount(config, report);
}

// What the VM writes later becomes its user's.
static int jail_identity(const struct jail_config *config, struct error *error)
{
    for (unsigned i = 0; i < JAIL_PATHS; i++)
        if (config->paths[i].writable && config->paths[i].path &&
            chown(config->paths[i].path, config->user, config->user) < 0)
            return error_set(error, "'%s' cannot be given to user %u: %s", config->paths[i].path, config->user,
                             strerror(errno));
    if (setgroups(0, NULL) < 0 || setresgid(config->user, config->user, config->user) < 0 ||
        setresuid(config->user, config->user, config->user) < 0)
        return error_set(error, "cannot become user %u: %s", config->user, strerror(errno));
    return 0;
}

// What programs could get by being executed. It takes CAP_SETPCAP; who has not got that has nothing to lose here.
static void jail_bound(void)
{
    for (int i = 0; prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++)
        prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
}

static int jail_capabilities(struct error *error)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};
    if (syscall(SYS_capset, &header, none) < 0)
        return error_set(error, "cannot give up capabilities: %s", strerror(errno));
    return 0;
}

static int jail_filter(const struct jail_config *config)
{
    if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0)
        return -errno;
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!filter)
        return -ENOMEM;
    // A tree instead of a chain: the calls are hot.
    seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    int result = jail_rules(filter, config);
    if (!result)
        result = seccomp_load(filter);
    seccomp_release(filter);
    return result;
}

int jail_enter(const struct jail_config *config, struct jail_report *report, struct error *error)
{
    const struct rlimit none = {0};
    bool possible = jail_is_possible();
    *report = (struct jail_report){.held = ""};
    if (possible)
        jail_namespaces(config, report);
    jail_bound();
    if (config->user && geteuid() == 0) {
        if (jail_identity(config, error))
            return -1;
        jail_held(report, "identity");
    }
    if (jail_capabilities(error))
        return -1;
    jail_held(report, "capabilities");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return error_set(error, "cannot give up privileges: %s", strerror(errno));
    jail_held(report, "no-new-privs");
    jail_note(report, "limits", setrlimit(RLIMIT_CORE, &none) < 0 ? -errno : 0);
    if (possible)
        jail_note(report, "seccomp", jail_filter(config));
    return 0;
}
