// See switch_main.h. As with a worker: what can fail for reasons of the host is done first, then the process is jailed,
// and only then does it meet a frame.
#include "switch/switch_main.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/batch.h"
#include "host/unix_socket.h"
#include "jail/jail.h"
#include "switch/exchange.h"

enum { STATUS_USAGE = 2, STATUS_START = 4 };

// The calls of the loop and the control channel, and of libslirp where the uplink is made of the host's sockets.
static const int switch_calls[] = {
    // Memory: wires, malloc.
    SCMP_SYS(brk), SCMP_SYS(madvise), SCMP_SYS(mmap), SCMP_SYS(mprotect), SCMP_SYS(mremap), SCMP_SYS(munmap),
    // Threads: the control channel's.
    SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(futex), SCMP_SYS(getpid), SCMP_SYS(gettid),
    SCMP_SYS(restart_syscall), SCMP_SYS(rseq), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn), SCMP_SYS(sched_getaffinity), SCMP_SYS(sched_yield), SCMP_SYS(set_robust_list),
    // Time.
    SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep), SCMP_SYS(gettimeofday), SCMP_SYS(nanosleep),
    // Descriptors: bells, wires' memory (fcntl, fstat), captures, the log, the name server's file.
    SCMP_SYS(close), SCMP_SYS(dup), SCMP_SYS(eventfd2), SCMP_SYS(fcntl), SCMP_SYS(fstat), SCMP_SYS(ftruncate),
    SCMP_SYS(getrandom), SCMP_SYS(ioctl), SCMP_SYS(lseek), SCMP_SYS(newfstatat), SCMP_SYS(open), SCMP_SYS(openat),
    SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(pread64), SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(stat),
    SCMP_SYS(write), SCMP_SYS(writev),
    // Sockets: the control channel's, the bells, the uplink's.
    SCMP_SYS(accept4), SCMP_SYS(accept), SCMP_SYS(bind), SCMP_SYS(connect), SCMP_SYS(getpeername),
    SCMP_SYS(getsockname), SCMP_SYS(getsockopt), SCMP_SYS(listen), SCMP_SYS(recvfrom), SCMP_SYS(recvmmsg),
    SCMP_SYS(recvmsg), SCMP_SYS(sendmmsg), SCMP_SYS(sendmsg), SCMP_SYS(sendto), SCMP_SYS(setsockopt),
    SCMP_SYS(shutdown), SCMP_SYS(socket),
    // Questions about ourselves that libraries ask.
    SCMP_SYS(getegid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getuid), SCMP_SYS(uname),
};

static int switch_take_descriptors(struct error *error)
{
    static const int descriptors[] = {CONTROL_FD_CONFIG, CONTROL_FD_LOCK, CONTROL_FD_SERVICE};
    for (size_t i = 0; i < ARRAY_SIZE(descriptors); i++)
        if (fcntl(descriptors[i], F_SETFD, FD_CLOEXEC) < 0)
            return error_set(error, "descriptor %d: %s: a switch is started by the service, not by hand",
                             descriptors[i], strerror(errno));
    return 0;
}

static int switch_read_config(struct exchange *exchange, struct error *error)
{
    char text[CONTROL_LINE];
    const ssize_t got = pread(CONTROL_FD_CONFIG, text, sizeof text, 0);
    if (got < 0)
        return error_set(error, "configuration: %s", strerror(errno));
    close(CONTROL_FD_CONFIG);
    if (control_switch_read(&exchange->config, text, (size_t)got, error))
        return -1;
    if (flock(CONTROL_FD_LOCK, LOCK_EX | LOCK_NB) < 0) // the service has locked the same description
        return error_set(error, "'%s' is locked by another process", exchange->config.directory);
    return 0;
}

static int switch_jail(struct exchange *exchange, struct error *error)
{
    const struct jail_config config = {
        .user = exchange->config.user,
        .network = exchange->config.network,
        .paths = {{.path = exchange->config.network ? "/etc/resolv.conf" : NULL}}, // libslirp's name server
        .calls = switch_calls,
        .call_count = ARRAY_SIZE(switch_calls),
    };
    struct jail_report report;
    if (jail_enter(&config, &report, error))
        return -1;
    snprintf(exchange->jail, sizeof exchange->jail, "%s%s%s%s", report.held, report.lacking[0] ? " (not: " : "",
             report.lacking, report.lacking[0] ? ")" : "");
    if (report.lacking[0])
        fprintf(stderr, "nidus: switch '%s': the host does not let it be jailed wholly: %s\n", exchange->config.name,
                report.lacking);
    return 0;
}

static int switch_start(struct exchange *exchange, struct error *error)
{
    const struct control_server_commands commands = {.context = exchange, .command = exchange_on_command};
    char path[CONTROL_PATH + 16];
    if (switch_take_descriptors(error) || switch_read_config(exchange, error))
        return -1;
    snprintf(path, sizeof path, "%s/control", exchange->config.directory);
    const int listener = unix_socket_listen(path, "control channel", error);
    if (listener < 0)
        return -1;
    exchange->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    exchange->device = switch_create();
    if (exchange->wake < 0 || !exchange->device)
        return error_set(error, "switch '%s': out of memory or descriptors", exchange->config.name);
    batch_thread();
    if (switch_jail(exchange, error))
        return -1;
    exchange->server = control_server_open(listener, CONTROL_FD_SERVICE, &commands, error);
    return exchange->server ? 0 : -1;
}

static void switch_end(struct exchange *exchange)
{
    while (exchange->port_count)
        port_remove(&exchange->ports[exchange->port_count - 1]);
    uplink_close(exchange);
    control_server_close(exchange->server);
    switch_destroy(exchange->device);
    control_switch_free(&exchange->config);
    pollset_free(&exchange->set);
}

int switch_main(int argc, char **argv)
{
    struct exchange *exchange = calloc(1, sizeof *exchange);
    struct error error;
    (void)argv;
    if (argc != 1 || !exchange) {
        fprintf(stderr, "nidus: %s\n",
                exchange ? "switch: takes no arguments: the service starts it" : "out of memory");
        free(exchange);
        return STATUS_USAGE;
    }
    pthread_mutex_init(&exchange->lock, NULL);
    signal(SIGPIPE, SIG_IGN);
    const int failed = switch_start(exchange, &error);
    if (failed) {
        // Its log, and the first line of the connection: so the service has the reason.
        json_t *event = json_pack("{s:s,s:s,s:s}", "event", "ended", "ending",
                                  control_ending_name(CONTROL_ENDED_START), "text", error.text);
        char *line = event ? json_dumps(event, JSON_COMPACT) : NULL;
        fprintf(stderr, "nidus: switch: %s\n", error.text);
        if (line)
            dprintf(CONTROL_FD_SERVICE, "%s\n", line);
        free(line);
        json_decref(event);
    } else {
        control_server_event(exchange->server, json_pack("{s:s,s:s}", "event", "state", "state",
                                                         control_state_name(CONTROL_RUNNING)));
        exchange_run(exchange);
    }
    switch_end(exchange);
    free(exchange);
    return failed ? STATUS_START : 0;
}
